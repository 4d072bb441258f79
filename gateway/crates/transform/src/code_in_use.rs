//! Compiled code that is in use, found by what it was compiled from.
//!
//! Several plugins of a pipeline are often one component under several configurations. They run the
//! same code, so it is held once: copies would evict each other from the processor's caches at every
//! step of a chain (for an interpreter, whose code is tens of megabytes, that is up to a quarter of
//! what a call costs), and take their memory several times. Code is all that is shared: every instance has a
//! store and a memory of its own. What was compiled and lies on disk is the matter of `cache`.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::PluginError;
use crate::door::Prepared;

/// What decides how a plugin is compiled and whether it may be: equal keys give equal code and pass
/// the same checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CodeIdentity {
    /// SHA-256 of the component or core module.
    pub(crate) digest: [u8; 32],
    /// wasmtime has one stack limit an engine, and code belongs to its engine.
    pub(crate) stack_bytes: usize,
    /// Whether it may import the functions of state.
    pub(crate) grants_state: bool,
}

/// The code that plugins hold now. It does not keep any of it alive.
#[derive(Default)]
pub(crate) struct CodeInUse {
    held: Mutex<HashMap<CodeIdentity, Weak<Prepared>>>,
}

impl CodeInUse {
    /// Code that a plugin holds, or what `prepare` makes.
    pub(crate) fn get_or_prepare(
        &self,
        identity: CodeIdentity,
        prepare: impl FnOnce() -> Result<Prepared, PluginError>,
    ) -> Result<Arc<Prepared>, PluginError> {
        let held = self.held.lock().get(&identity).and_then(Weak::upgrade);
        if let Some(prepared) = held {
            return Ok(prepared);
        }
        // Outside the lock, for it can take seconds. Where another thread was first, its code counts.
        let made = Arc::new(prepare()?);
        let mut held = self.held.lock();
        held.retain(|_, prepared| prepared.strong_count() > 0);
        if let Some(prepared) = held.get(&identity).and_then(Weak::upgrade) {
            return Ok(prepared);
        }
        held.insert(identity, Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{Engine, EngineOptions, Limits, Plugin, PluginSpec, builtin};

    fn load(engine: &Engine, name: &str, config: &str, limits: Limits) -> Plugin {
        let spec = PluginSpec {
            name: name.to_owned(),
            component: builtin("project").unwrap().to_vec(),
            config_json: config.to_owned(),
            limits,
            state: None,
        };
        Plugin::load(engine, spec).unwrap()
    }

    #[test]
    fn plugins_of_one_component_hold_its_code_once_and_let_it_go_together() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(EngineOptions { cache_dir: Some(folder.path().into()) }).unwrap();
        let first = load(&engine, "a", r#"{"remove":["x"]}"#, Limits::default());
        let second = load(&engine, "b", r#"{"remove":["y"]}"#, Limits::default());
        assert!(Arc::ptr_eq(first.prepared(), second.prepared()));
        assert_ne!(first.config_digest(), second.config_digest());
        assert_eq!(engine.cache_hits(), 0, "nothing was read for the second");

        let limits = Limits { stack_bytes: 256 << 10, ..Limits::default() };
        let small_stack = load(&engine, "c", r#"{"remove":["y"]}"#, limits);
        assert!(!Arc::ptr_eq(first.prepared(), small_stack.prepared()));

        let gone = Arc::downgrade(first.prepared());
        drop(first);
        assert!(gone.upgrade().is_some(), "the second plugin holds it");
        drop(second);
        assert!(gone.upgrade().is_none(), "nobody holds it");
        let hits = engine.cache_hits();
        load(&engine, "d", r#"{"remove":["x"]}"#, Limits::default());
        assert_eq!(engine.cache_hits(), hits + 1, "it was read again");
    }
}
