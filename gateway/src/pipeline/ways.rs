//! What plugins on one route mean for each other.
//!
//! A plugin sees what a plugin behind it is to protect. So its own words, which may repeat a value,
//! are withheld wherever it stands on a route with one that protects; and it must not keep anything
//! of rows that are still to be covered, since what plugins keep is on the disk.

use offtake_transform::Plugin;

use super::halt::Halt;
use super::router::Router;

/// Of each plugin, whether it stands on a route with one that protects.
pub fn withheld(router: &Router, plugins: &[&Plugin]) -> Vec<bool> {
    let protects = |index: &usize| plugins.get(*index).is_some_and(|it| it.info().protects);
    let mut withheld = vec![false; plugins.len()];
    for chain in router.chains().filter(|chain| chain.iter().any(protects)) {
        for index in chain {
            if let Some(withheld) = withheld.get_mut(*index) {
                *withheld = true;
            }
        }
    }
    withheld
}

/// Refuses a plugin that keeps state in front of one that protects.
///
/// # Errors
/// There is one on a route.
pub fn check_state_order(router: &Router, plugins: &[&Plugin]) -> Result<(), Halt> {
    for chain in router.chains() {
        let named = |index: &usize| plugins.get(*index).copied();
        let Some(keeps) = chain
            .iter()
            .position(|index| named(index).is_some_and(|plugin| plugin.state().is_some()))
        else {
            continue;
        };
        let behind = chain.iter().skip(keeps + 1).filter_map(named);
        let protects = behind.rev().find(|plugin| plugin.info().protects);
        if let (Some(keeper), Some(protects)) = (chain.get(keeps).and_then(named), protects) {
            return Err(Halt::new(
                "PLUGIN_STATE_UNPROTECTED",
                format!(
                    "plugin {:?} keeps state and stands before plugin {:?}, which protects: what it \
                     keeps of a row would be on the disk before it is covered",
                    keeper.name(),
                    protects.name()
                ),
                "put the plugin that keeps state behind the one that protects",
            ));
        }
    }
    Ok(())
}
