//! From bytes to a compiled component that may run: what it is, what it wants, what it offers.

use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, Linker};

use crate::bindings as wit;
use crate::fault::guest_text;
use crate::host::HostState;
use crate::{Engine, PluginError};

/// The package of the contract, and the version of it that this host offers.
const PACKAGE: &str = "offtake:transform/";
const VERSION: &str = "1.0.0";
/// What the versions begin with that it can be: within 1, only functions are added.
const MAJOR: &str = "1.";
/// Interfaces that a plugin may import: the host's functions, and types alone.
const ALLOWED: &[&str] = &["host", "types"];
/// The interface that a plugin may import where the configuration grants it.
const STATE: &str = "state";

/// Compiles a component, or finds it compiled, and checks what it imports.
pub(crate) fn compile(
    engine: &Engine,
    plugin: &Arc<str>,
    wasm: &[u8],
    digest: &[u8; 32],
    grants_state: bool,
) -> Result<Component, PluginError> {
    let component: Component = engine.compiled(wasm, digest).map_err(|error| {
        PluginError::Invalid { plugin: Arc::clone(plugin), message: format!("{error:#}") }
    })?;
    let types = component.component_type();
    for (import, _) in types.imports(&engine.wasmtime) {
        check_import(plugin, import, grants_state)?;
    }
    for (export, _) in types.exports(&engine.wasmtime) {
        check_export(plugin, export)?;
    }
    Ok(component)
}

/// Gives a component what it may import, and finds what it must export.
pub(crate) fn link(
    engine: &Engine,
    plugin: &Arc<str>,
    component: &Component,
) -> Result<wit::TransformPre<HostState>, PluginError> {
    let mut linker = Linker::new(&engine.wasmtime);
    wit::Transform::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
        .map_err(|error| PluginError::Engine(format!("{error:#}")))?;
    let pre = linker.instantiate_pre(component).map_err(|error| {
        // What a later 1.x has and this one lacks.
        let types = component.component_type();
        let mut imports = types.imports(&engine.wasmtime).map(|(import, _)| import);
        let newer = imports.find_map(|import| newer_version(import));
        newer.map_or_else(
            || PluginError::Invalid { plugin: Arc::clone(plugin), message: format!("{error:#}") },
            |found| other_version(plugin, found),
        )
    })?;
    wit::TransformPre::new(pre).map_err(|error| PluginError::ExportMissing {
        plugin: Arc::clone(plugin),
        message: format!("{error:#}"),
    })
}

fn check_import(plugin: &Arc<str>, import: &str, grants_state: bool) -> Result<(), PluginError> {
    let refused = |hint| {
        Err(PluginError::ImportRefused {
            plugin: Arc::clone(plugin),
            import: import.to_owned(),
            hint,
        })
    };
    if let Some(rest) = import.strip_prefix(PACKAGE) {
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        if interface == STATE && !grants_state {
            return Err(PluginError::StateNotGranted { plugin: Arc::clone(plugin) });
        }
        if interface != STATE && !ALLOWED.contains(&interface) {
            return refused("use a plugin that needs no more than offtake:transform/host");
        }
        if !version.starts_with(MAJOR) {
            return Err(other_version(plugin, version));
        }
        return Ok(());
    }
    if import.starts_with("wasi:") {
        return refused(
            "build for wasm32-unknown-unknown (Rust), or stub WASI out (`--stub-wasi`): a plugin \
             reaches no file, network, clock or randomness",
        );
    }
    refused("a plugin may import offtake:transform/host and nothing else")
}

/// Refuses the contract's exports of another version: without their own name they would only be
/// missing.
fn check_export(plugin: &Arc<str>, export: &str) -> Result<(), PluginError> {
    let Some((_, version)) = export.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'))
    else {
        return Ok(());
    };
    if version.starts_with(MAJOR) { Ok(()) } else { Err(other_version(plugin, version)) }
}

/// The version of an import of the contract, where it is a later 1.x than the host's.
fn newer_version(import: &str) -> Option<&str> {
    let (_, version) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    (version != VERSION && version.starts_with(MAJOR)).then_some(version)
}

fn other_version(plugin: &Arc<str>, found: &str) -> PluginError {
    let major = found.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let is_older = major.is_none_or(|major| major < 1);
    let found = match found {
        "" => "offtake:transform without a version".to_owned(),
        found => format!("offtake:transform@{}", guest_text(found)),
    };
    PluginError::ContractVersion {
        plugin: Arc::clone(plugin),
        found,
        offered: VERSION,
        hint: if is_older {
            "build it anew with an SDK of this gateway's version (sdk/README.md)"
        } else {
            "use a later release of the gateway, or build it with an SDK of this gateway's version"
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str) -> Result<(), &'static str> {
        granted(name, false)
    }

    fn granted(name: &str, grants_state: bool) -> Result<(), &'static str> {
        check_import(&Arc::from("p"), name, grants_state).map_err(|error| error.code())
    }

    #[test]
    fn only_the_contract_may_be_imported() {
        assert_eq!(import("offtake:transform/host@1.0.0"), Ok(()));
        assert_eq!(import("offtake:transform/types@1.3.7"), Ok(()));
        for name in ["wasi:cli/environment@0.2.3", "offtake:transform/network@1.0.0", "env"] {
            assert_eq!(import(name), Err("PLUGIN_IMPORT_REFUSED"), "{name}");
        }
        for name in [
            "offtake:transform/host@0.2.0",
            "offtake:transform/host@2.0.0",
            "offtake:transform/types@10.0.0",
            "offtake:transform/host",
        ] {
            assert_eq!(import(name), Err("PLUGIN_CONTRACT_VERSION"), "{name}");
        }
        let state = "offtake:transform/state@1.0.0";
        assert_eq!(import(state), Err("PLUGIN_STATE_NOT_GRANTED"));
        assert_eq!(granted(state, true), Ok(()));
        assert_eq!(granted("offtake:transform/state@2.0.0", true), Err("PLUGIN_CONTRACT_VERSION"));
    }
}
