//! A plugin: a component that was compiled, checked and configured, ready to make instances of.

use std::fmt;
use std::sync::Arc;

use offtake_state::Keyspace;
use sha2::{Digest, Sha256};
use wasmtime::component::Linker;

use crate::bindings as wit;
use crate::host::HostState;
use crate::runner::Runner;
use crate::{Engine, Instance, Limits, PluginError, component};

/// What a plugin is made of.
#[derive(Clone)]
pub struct PluginSpec {
    /// Its name in the configuration.
    pub name: String,
    /// The WebAssembly component.
    pub component: Vec<u8>,
    /// Its configuration as JSON.
    pub config_json: String,
    /// What each of its instances may take.
    pub limits: Limits,
    /// What it keeps, where that is granted; its instances share it.
    pub state: Option<Keyspace>,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// It keeps something secret: no failure of it may let a change pass.
    pub protects: bool,
    /// Names of columns that a plugin which protects promises to cover. Each must exist in at least
    /// one table of the route.
    pub required_columns: Vec<String>,
    /// It keeps state.
    pub stateful: bool,
}

/// A loaded plugin. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    loaded: Arc<Loaded>,
    info: Info,
}

/// What all instances share.
pub(crate) struct Loaded {
    pub(crate) name: Arc<str>,
    pub(crate) engine: Engine,
    pub(crate) pre: wit::TransformPre<HostState>,
    pub(crate) config_json: String,
    pub(crate) limits: Limits,
    pub(crate) state: Option<Keyspace>,
    digest: [u8; 32],
    config_digest: [u8; 32],
}

impl fmt::Debug for Plugin {
    /// The configuration may hold secrets and is left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plugin").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Compiles a component (or finds it compiled), checks what it imports and exports, starts it
    /// once and configures it.
    ///
    /// # Errors
    /// What is wrong with the component, or the plugin's own words where it refuses its
    /// configuration.
    pub fn load(engine: &Engine, spec: PluginSpec) -> Result<Plugin, PluginError> {
        let name: Arc<str> = Arc::from(spec.name);
        serde_json::from_str::<serde::de::IgnoredAny>(&spec.config_json).map_err(|error| {
            PluginError::ConfigNotJson { plugin: Arc::clone(&name), message: error.to_string() }
        })?;
        let digest: [u8; 32] = Sha256::digest(&spec.component).into();
        let component =
            component::compile(engine, &name, &spec.component, &digest, spec.state.is_some())?;
        let pre = link(engine, &name, &component)?;
        let config_digest = Sha256::digest(spec.config_json.as_bytes()).into();
        let loaded = Arc::new(Loaded {
            name,
            engine: engine.clone(),
            pre,
            config_json: spec.config_json,
            limits: spec.limits,
            state: spec.state,
            digest,
            config_digest,
        });
        let (_, info) = Runner::start(&loaded)?;
        Ok(Plugin { loaded, info })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.loaded.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.loaded.name)
    }

    /// What each of its instances may take.
    pub fn limits(&self) -> &Limits {
        &self.loaded.limits
    }

    /// What the plugin keeps, where it keeps something.
    pub fn state(&self) -> Option<&Keyspace> {
        self.loaded.state.as_ref()
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> [u8; 32] {
        self.loaded.digest
    }

    /// SHA-256 of the configuration's JSON.
    pub fn config_digest(&self) -> [u8; 32] {
        self.loaded.config_digest
    }

    /// What the plugin says of itself under its configuration.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Starts and configures an instance of its own store.
    ///
    /// # Errors
    /// The plugin fails to start, or answers its configuration differently than before.
    pub fn instance(&self) -> Result<Instance, PluginError> {
        let (runner, info) = Runner::start(&self.loaded)?;
        if info != self.info {
            return Err(PluginError::ConfigRefused {
                plugin: Arc::clone(&self.loaded.name),
                message: "it answers the same configuration differently each time".to_owned(),
            });
        }
        Ok(Instance::new(runner, info))
    }
}

fn link(
    engine: &Engine,
    name: &Arc<str>,
    component: &wasmtime::component::Component,
) -> Result<wit::TransformPre<HostState>, PluginError> {
    let mut linker = Linker::new(&engine.wasmtime);
    wit::Transform::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)
        .map_err(|error| PluginError::Engine(format!("{error:#}")))?;
    let pre = linker.instantiate_pre(component).map_err(|error| PluginError::Invalid {
        plugin: Arc::clone(name),
        message: format!("{error:#}"),
    })?;
    wit::TransformPre::new(pre).map_err(|error| PluginError::ExportMissing {
        plugin: Arc::clone(name),
        message: format!("{error:#}"),
    })
}
