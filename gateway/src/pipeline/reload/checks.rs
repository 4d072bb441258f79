//! What a reload never does, whatever a trial finds, because nobody looks at it while it happens: it
//! takes no protection away, and it neither grants state nor withdraws it.
//!
//! A person may do both, at a start.

use offtake_transform::Info;

use super::super::chain::Configured;
use super::super::halt::Halt;

/// Whether a version may take the place of the one at work.
///
/// # Errors
/// Why not.
pub fn check_replacement(at_work: &Configured, new: &Configured) -> Result<(), Halt> {
    let (before, after) = (&at_work.plugin, &new.plugin);
    let is_same_config = before.config_digest() == after.config_digest();
    if let Some(lost) = lost_protection(before.info(), after.info(), is_same_config) {
        return Err(Halt::new(
            "RELOAD_UNPROTECTED",
            format!("plugin {:?} would no longer {lost}", after.name()),
            "the version at work goes on. Put a component there that protects as much; where this \
             is meant, `offtake run --accept-plugin-files`",
        ));
    }
    let words = |keeps: bool| if keeps { "keeps state" } else { "keeps none" };
    let (kept, keeps) = (before.state().is_some(), after.state().is_some());
    if kept != keeps {
        return Err(Halt::new(
            "RELOAD_STATE",
            format!(
                "the version of plugin {:?} at work {}, and the new one {}",
                after.name(),
                words(kept),
                words(keeps)
            ),
            "restart the gateway to take it over: what plugins keep is then put in order with the log",
        ));
    }
    Ok(())
}

/// What of a protection is lost; columns that another configuration leaves out were left out by whoever
/// wrote it.
pub(super) fn lost_protection(before: &Info, after: &Info, is_same_config: bool) -> Option<String> {
    if !before.protects {
        return None;
    }
    if !after.protects {
        return Some("protect anything".to_owned());
    }
    let lost = before.required_columns.iter().find(|it| !after.required_columns.contains(it));
    let lost = lost.filter(|_| is_same_config)?;
    Some(format!("protect column {lost:?}, under the same `config`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protection_is_lost_by_none_at_all_and_by_a_column_that_nobody_took_out() {
        let info = |protects, columns: &[&str]| Info {
            name: "mask".to_owned(),
            version: "1".to_owned(),
            protects,
            required_columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            stateful: false,
        };
        let (both, one) = (info(true, &["email", "phone"]), info(true, &["email"]));
        assert_eq!(lost_protection(&both, &both, true), None);
        assert_eq!(lost_protection(&one, &both, true), None);
        assert!(lost_protection(&both, &one, true).unwrap().contains("phone"));
        assert_eq!(lost_protection(&both, &one, false), None, "the configuration says so");
        assert!(lost_protection(&one, &info(false, &["email"]), false).is_some());
        assert_eq!(lost_protection(&info(false, &[]), &both, true), None);
    }
}
