//! The plugins that are at work now, for those who look from outside.
//!
//! The worker owns its instances; here stands which versions they are of, for the status, the metrics
//! and a reload. Replaced as a whole, by the worker, once it has switched.

use std::sync::{Arc, PoisonError, RwLock};

use offtake_transform::Plugin;

use super::chain::Configured;

impl Configured {
    /// This version in the place of another one: it goes on counting where that one stopped, and
    /// with what that one kept.
    pub fn in_place_of(&self, before: &Configured) -> Configured {
        Configured {
            plugin: self.plugin.over(&before.plugin),
            counters: Arc::clone(&before.counters),
            policy: self.policy,
            columns: Arc::clone(&self.columns),
        }
    }
}

/// The plugins that are at work, in the order of the configuration.
#[derive(Default)]
pub struct Live {
    plugins: RwLock<Arc<[Configured]>>,
}

impl Live {
    /// These plugins.
    pub fn new(plugins: &[Configured]) -> Live {
        Live { plugins: RwLock::new(plugins.into()) }
    }

    /// Those at work now.
    pub fn get(&self) -> Arc<[Configured]> {
        Arc::clone(&self.plugins.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others are at work from now on.
    pub(super) fn replace(&self, plugins: &[Configured]) {
        *self.plugins.write().unwrap_or_else(PoisonError::into_inner) = plugins.into();
    }
}

/// Whether two are of one component and one configuration, and may take and keep as much.
pub fn is_same_version(one: &Plugin, other: &Plugin) -> bool {
    one.digest() == other.digest()
        && one.config_digest() == other.config_digest()
        && one.limits() == other.limits()
        && quota(one) == quota(other)
}

fn quota(plugin: &Plugin) -> Option<u64> {
    plugin.state().map(|state| state.usage().quota)
}
