//! Why a plugin cannot be used at all: what is found before the first change reaches it.

use std::sync::Arc;

use crate::Fault;
use crate::config_schema::{ConfigFinding, Findings};

/// A plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The bytes are no WebAssembly, or not yet a component.
    #[error("plugin {plugin}: {found}, not a WebAssembly component or core module")]
    NotAComponent {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// What it is instead.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The bytes are code that some wasmtime compiled; to run it would be to trust it entirely.
    #[error("plugin {plugin}: compiled machine code is not accepted, only WebAssembly")]
    Precompiled {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
    },
    /// The plugin is larger than one may be.
    #[error("plugin {plugin}: it has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// Its size.
        bytes: usize,
        /// The largest that is accepted.
        limit: usize,
    },
    /// The plugin is damaged, or uses what is not offered.
    #[error("plugin {plugin}: it cannot be compiled: {message}")]
    Invalid {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// The compiler's words.
        message: String,
    },
    /// The plugin wants something that a plugin may not have.
    #[error("plugin {plugin}: imports {import}, which a plugin may not have")]
    ImportRefused {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// The import's name.
        import: String,
        /// What to do.
        hint: &'static str,
    },
    /// The plugin does not export the plugin interface, or not in the right shape.
    #[error(
        "plugin {plugin}: does not export what a plugin must (offtake:transform/plugin, or a core module's functions): {message}"
    )]
    ExportMissing {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// What is missing.
        message: String,
    },
    /// A component that was built for another version of the contract.
    #[error(
        "plugin {plugin}: is built for {found}, and this gateway offers offtake:transform@{offered}"
    )]
    ContractVersion {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// What it is built for.
        found: String,
        /// The version that the host offers.
        offered: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A core module of another version of its ABI.
    #[error(
        "plugin {plugin}: is of version {found} of the core-module ABI, and this host offers {offered}"
    )]
    AbiVersion {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// The version that it says it is of.
        found: u32,
        /// The version that the host offers.
        offered: u32,
    },
    /// The plugin keeps state, and the configuration does not grant it.
    #[error("plugin {plugin}: keeps state, which its configuration does not grant")]
    StateNotGranted {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
    },
    /// The configuration grants state to a plugin that keeps none.
    #[error("plugin {plugin}: is granted state, and keeps none")]
    StateUnused {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
    },
    /// The plugin refused its configuration.
    #[error("plugin {plugin}: refused its configuration: {message}")]
    ConfigRefused {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// The plugin's words.
        message: String,
    },
    /// The configuration has not the form that the plugin's own schema asks for.
    #[error("plugin {plugin}: its configuration is wrong: {}", Findings(findings))]
    ConfigInvalid {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// All mistakes; at least one.
        findings: Vec<ConfigFinding>,
    },
    /// The schema of its configuration that the plugin carries cannot be used.
    #[error("plugin {plugin}: the schema of its configuration cannot be used: {message}")]
    SchemaInvalid {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// What is wrong with it, and where.
        message: String,
    },
    /// The configuration is no JSON.
    #[error("plugin {plugin}: its configuration is no JSON: {message}")]
    ConfigNotJson {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
        /// What is wrong with it.
        message: String,
    },
    /// The plugin failed while it was started.
    #[error("while it was started: {0}")]
    Fault(Fault),
    /// The host itself could not be set up.
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
}

impl PluginError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            PluginError::NotAComponent { .. } => "PLUGIN_NOT_A_COMPONENT",
            PluginError::Precompiled { .. } => "PLUGIN_PRECOMPILED",
            PluginError::TooLarge { .. } => "PLUGIN_TOO_LARGE",
            PluginError::Invalid { .. } => "PLUGIN_INVALID",
            PluginError::ImportRefused { .. } => "PLUGIN_IMPORT_REFUSED",
            PluginError::ExportMissing { .. } => "PLUGIN_EXPORT_MISSING",
            PluginError::StateNotGranted { .. } => "PLUGIN_STATE_NOT_GRANTED",
            PluginError::StateUnused { .. } => "PLUGIN_STATE_UNUSED",
            PluginError::ContractVersion { .. } => "PLUGIN_CONTRACT_VERSION",
            PluginError::AbiVersion { .. } => "PLUGIN_ABI_VERSION",
            PluginError::ConfigRefused { .. } => "PLUGIN_CONFIG_REFUSED",
            PluginError::ConfigInvalid { .. } => "PLUGIN_CONFIG_INVALID",
            PluginError::SchemaInvalid { .. } => "PLUGIN_SCHEMA_INVALID",
            PluginError::ConfigNotJson { .. } => "PLUGIN_CONFIG_NOT_JSON",
            PluginError::Fault(fault) => fault.code(),
            PluginError::Engine(_) => "PLUGIN_ENGINE",
        }
    }

    /// What an operator can do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            PluginError::NotAComponent { hint, .. }
            | PluginError::ImportRefused { hint, .. }
            | PluginError::ContractVersion { hint, .. } => hint,
            PluginError::Precompiled { .. } => {
                "give the .wasm file that it was compiled from; compiled code is cached by itself"
            }
            PluginError::TooLarge { .. } => "build it smaller: optimise for size and strip it",
            PluginError::Invalid { .. } => {
                "build the plugin anew; threads, 64-bit memory, garbage collection and exceptions are not offered"
            }
            PluginError::ExportMissing { .. } => {
                "build the plugin for the world `transform` of offtake:transform@1.0.0, or with the exports that sdk/abi.md names"
            }
            PluginError::AbiVersion { .. } => {
                "build the plugin with an SDK for version 1 of sdk/abi.md, or use a later release"
            }
            PluginError::StateNotGranted { .. } => {
                "grant it under [plugin.NAME], for example `state = { quota = \"64MiB\" }`"
            }
            PluginError::StateUnused { .. } => {
                "remove `state` under [plugin.NAME], or give the plugin that keeps some"
            }
            PluginError::ConfigRefused { .. } => {
                "correct the plugin's `config` as its message says"
            }
            PluginError::ConfigInvalid { .. } | PluginError::ConfigNotJson { .. } => {
                "correct the plugin's `config`"
            }
            PluginError::SchemaInvalid { .. } => {
                "correct the JSON Schema in the plugin's section offtake:config-schema (sdk/README.md says what it may have), or build it without"
            }
            PluginError::Fault(fault) => fault.next_step(),
            PluginError::Engine(_) => "see the message; memory or address space may be short",
        }
    }
}
