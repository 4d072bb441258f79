//! A plugin by whichever door it comes in: the component model or the core-module ABI.
//!
//! From here on both are the same: the same calls with the same types, under the same limits.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{InstancePre, Store};

use crate::bindings as wit;
use crate::host::HostState;
use crate::preamble::{Layer, layer};
use crate::{Engine, PluginError, abi, component};

/// A plugin that was compiled and checked.
pub(crate) enum Prepared {
    Component(wit::TransformPre<HostState>),
    Core(InstancePre<HostState>),
}

/// A plugin that runs.
#[allow(clippy::large_enum_variant, reason = "one an instance, which stays where it is")]
pub(crate) enum Running {
    Component(wit::Transform),
    Core(abi::Guest),
}

impl Prepared {
    /// Compiles a plugin, or finds it compiled, and checks what it imports and exports.
    pub(crate) fn new(
        engine: &Engine,
        plugin: &Arc<str>,
        wasm: &[u8],
        digest: &[u8; 32],
        grants_state: bool,
    ) -> Result<Prepared, PluginError> {
        Ok(match layer(plugin, wasm)? {
            Layer::Component => {
                let component: Component =
                    component::compile(engine, plugin, wasm, digest, grants_state)?;
                Prepared::Component(component::link(engine, plugin, &component)?)
            }
            Layer::Core => {
                Prepared::Core(abi::prepare(engine, plugin, wasm, digest, grants_state)?)
            }
        })
    }

    /// Whether it is a core module.
    pub(crate) fn is_core(&self) -> bool {
        matches!(self, Prepared::Core(_))
    }

    /// Starts an instance. `output_bytes`: what one answer may take.
    pub(crate) fn start(
        &self,
        store: &mut Store<HostState>,
        output_bytes: usize,
    ) -> wasmtime::Result<Running> {
        Ok(match self {
            Prepared::Component(pre) => Running::Component(pre.instantiate(store)?),
            Prepared::Core(pre) => Running::Core(abi::Guest::start(pre, store, output_bytes)?),
        })
    }
}

impl Running {
    pub(crate) fn configure(
        &mut self,
        store: &mut Store<HostState>,
        config_json: &str,
    ) -> wasmtime::Result<Result<wit::Info, wit::Failure>> {
        match self {
            Running::Component(guest) => {
                guest.offtake_transform_plugin().call_configure(store, config_json)
            }
            Running::Core(guest) => guest.configure(store, config_json),
        }
    }

    pub(crate) fn on_schema(
        &mut self,
        store: &mut Store<HostState>,
        schema: &wit::Schema,
    ) -> wasmtime::Result<Result<wit::Interest, wit::Failure>> {
        match self {
            Running::Component(guest) => {
                guest.offtake_transform_plugin().call_on_schema(store, schema)
            }
            Running::Core(guest) => guest.on_schema(store, schema),
        }
    }

    pub(crate) fn process(
        &mut self,
        store: &mut Store<HostState>,
        batch: &wit::Batch,
    ) -> wasmtime::Result<Result<wit::Verdict, wit::Failure>> {
        match self {
            Running::Component(guest) => {
                guest.offtake_transform_plugin().call_process(store, batch)
            }
            Running::Core(guest) => guest.process(store, batch),
        }
    }
}
