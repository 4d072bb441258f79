//! A plugin: what was compiled, checked and configured, ready to make instances of.

use std::fmt;
use std::sync::Arc;

use offtake_state::Keyspace;
use sha2::{Digest, Sha256};

use crate::code_in_use::CodeIdentity;
use crate::config_schema::{ConfigSchema, NamedColumn};
use crate::custom_section::config_schema;
use crate::door::Prepared;
use crate::runner::Runner;
use crate::{Engine, Instance, Limits, PluginError};

/// What a plugin is made of.
#[derive(Clone)]
pub struct PluginSpec {
    /// Its name in the configuration.
    pub name: String,
    /// The WebAssembly component or core module.
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

/// Whether a plugin's own words (failures, log lines) are repeated while it handles changes: they may
/// hold values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Unless it protects.
    UnlessProtecting,
    /// Never.
    Withheld,
    /// Always.
    Shown,
}

/// What all instances share.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) name: Arc<str>,
    pub(crate) engine: Engine,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) config_json: String,
    pub(crate) limits: Limits,
    pub(crate) state: Option<Keyspace>,
    /// Whether its own words are repeated while it handles changes.
    pub(crate) words: Words,
    config_schema: Option<Vec<u8>>,
    named_columns: Vec<NamedColumn>,
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
    /// Compiles a component or core module (or finds it compiled, or in use by another plugin of this
    /// engine), checks what it imports and exports,
    /// holds the configuration against the schema that it carries, starts it once and configures it.
    ///
    /// # Errors
    /// What is wrong with it, or the plugin's own words where it refuses its
    /// configuration.
    pub fn load(engine: &Engine, spec: PluginSpec) -> Result<Plugin, PluginError> {
        let name: Arc<str> = Arc::from(spec.name.as_str());
        serde_json::from_str::<serde::de::IgnoredAny>(&spec.config_json).map_err(|error| {
            PluginError::ConfigNotJson { plugin: Arc::clone(&name), message: error.to_string() }
        })?;
        let digest: [u8; 32] = Sha256::digest(&spec.component).into();
        let grants_state = spec.state.is_some();
        let stack_bytes = spec.limits.stack_bytes;
        let engine = engine.with_stack(stack_bytes)?;
        let identity = CodeIdentity { digest, stack_bytes, grants_state };
        let prepared = engine.code_in_use.get_or_prepare(identity, || {
            Prepared::new(&engine, &name, &spec.component, &digest, grants_state)
        })?;
        let is_component = !prepared.is_core();
        let config_schema = config_schema(&spec.component, is_component).map(<[u8]>::to_vec);
        let named_columns = named_columns(&name, &spec)?;
        let config_digest = Sha256::digest(spec.config_json.as_bytes()).into();
        let loaded = Arc::new(Loaded {
            name,
            engine,
            prepared,
            config_json: spec.config_json,
            limits: spec.limits,
            state: spec.state,
            words: Words::UnlessProtecting,
            config_schema,
            named_columns,
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

    #[cfg(test)]
    pub(crate) fn prepared(&self) -> &Arc<Prepared> {
        &self.loaded.prepared
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

    /// The same plugin with a state of its own, empty: what it does leaves this one's alone.
    pub fn apart(&self) -> Plugin {
        let state = self.state().map(|state| Keyspace::new(state.usage().quota));
        let loaded = Loaded { state, ..Loaded::clone(&self.loaded) };
        Plugin { loaded: Arc::new(loaded), info: self.info.clone() }
    }

    /// The same plugin with the state of another version of it, where it keeps any; its own quota
    /// holds.
    pub fn over(&self, before: &Plugin) -> Plugin {
        let (Some(own), Some(kept)) = (self.state(), before.state()) else { return self.clone() };
        let state = Some(kept.with_quota(own.usage().quota));
        let loaded = Loaded { state, ..Loaded::clone(&self.loaded) };
        Plugin { loaded: Arc::new(loaded), info: self.info.clone() }
    }

    /// The same plugin, whose own words are never repeated while it handles changes: for one that
    /// sees what another protects. State is shared.
    pub fn withheld(&self) -> Plugin {
        self.with_words(Words::Withheld)
    }

    /// The same plugin, whose own words are repeated also where it protects: for changes that an author
    /// made up and reads in any case. Never for those of a database. State is shared.
    pub fn over_fixtures(&self) -> Plugin {
        self.with_words(Words::Shown)
    }

    fn with_words(&self, words: Words) -> Plugin {
        let loaded = Loaded { words, ..Loaded::clone(&self.loaded) };
        Plugin { loaded: Arc::new(loaded), info: self.info.clone() }
    }

    /// SHA-256 of the component or core module.
    pub fn digest(&self) -> [u8; 32] {
        self.loaded.digest
    }

    /// SHA-256 of the configuration's JSON.
    pub fn config_digest(&self) -> [u8; 32] {
        self.loaded.config_digest
    }

    /// The JSON Schema of its configuration that the plugin carries (custom section
    /// `offtake:config-schema`), as it is: nothing of it was checked.
    pub fn config_schema(&self) -> Option<&[u8]> {
        self.loaded.config_schema.as_deref()
    }

    /// The columns that its configuration names, as far as its schema tells (`"format": "column"`).
    pub fn named_columns(&self) -> &[NamedColumn] {
        &self.loaded.named_columns
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

/// Holds the configuration against the schema that the plugin carries, and gives the columns that it
/// names.
fn named_columns(name: &Arc<str>, spec: &PluginSpec) -> Result<Vec<NamedColumn>, PluginError> {
    let Some(schema) = ConfigSchema::of(name, &spec.component)? else { return Ok(Vec::new()) };
    let judged = schema.judge(name, &spec.config_json, &|_, _| None)?;
    if judged.findings.is_empty() {
        return Ok(judged.columns);
    }
    Err(PluginError::ConfigInvalid { plugin: Arc::clone(name), findings: judged.findings })
}
