//! From bytes to a compiled component that may run: what it is, what it wants, what it offers.

use std::sync::Arc;

use wasmtime::component::Component;

use crate::cache::CodeKey;
use crate::{Engine, PluginError};

/// Largest component that is accepted.
const COMPONENT_BYTES: usize = 64 << 20;

/// The package of the contract, and the version of it that this host offers.
const PACKAGE: &str = "offtake:transform/";
const VERSION: &str = "1.";
/// Interfaces that a plugin may import: the host's functions, and types alone.
const ALLOWED: &[&str] = &["host", "types"];
/// The interface that a plugin may import where the configuration grants it.
const STATE: &str = "state";

const MAGIC: &[u8; 4] = b"\0asm";
/// Version and layer of a core module and of a component.
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// Compiles a component, or finds it compiled, and checks what it imports.
pub(crate) fn compile(
    engine: &Engine,
    plugin: &Arc<str>,
    wasm: &[u8],
    digest: &[u8; 32],
    grants_state: bool,
) -> Result<Component, PluginError> {
    check_preamble(plugin, wasm)?;
    let component = compile_cached(engine, wasm, digest).map_err(|error| PluginError::Invalid {
        plugin: Arc::clone(plugin),
        message: format!("{error:#}"),
    })?;
    let types = component.component_type();
    for (import, _) in types.imports(&engine.wasmtime) {
        check_import(plugin, import, grants_state)?;
    }
    Ok(component)
}

fn compile_cached(engine: &Engine, wasm: &[u8], digest: &[u8; 32]) -> wasmtime::Result<Component> {
    let Some(cache) = &engine.cache else {
        return Component::from_binary(&engine.wasmtime, wasm);
    };
    let key = CodeKey::new(&engine.wasmtime, digest);
    if let Some(component) = cache.load(&engine.wasmtime, &key) {
        return Ok(component);
    }
    let component = Component::from_binary(&engine.wasmtime, wasm)?;
    cache.store(&key, &component.serialize()?);
    Ok(component)
}

fn check_preamble(plugin: &Arc<str>, wasm: &[u8]) -> Result<(), PluginError> {
    let plugin = || Arc::clone(plugin);
    let refused = |found, hint| Err(PluginError::NotAComponent { plugin: plugin(), found, hint });
    if wasm.len() > COMPONENT_BYTES {
        let limit = COMPONENT_BYTES;
        return Err(PluginError::TooLarge { plugin: plugin(), bytes: wasm.len(), limit });
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(PluginError::Precompiled { plugin: plugin() });
    }
    match (wasm.first_chunk(), wasm.get(4..8)) {
        (Some(MAGIC), Some(version)) if version == COMPONENT => Ok(()),
        (Some(MAGIC), Some(version)) if version == CORE => refused(
            "a core module",
            "make a component of it: sdk/README.md has the command, or use `wasm-tools component new`",
        ),
        (Some(MAGIC), _) => refused(
            "WebAssembly of an unknown version",
            "build it with tools of the component model's current version",
        ),
        _ if wasm.is_empty() => refused("an empty file", "give the plugin's .wasm file"),
        _ => refused("something that is no WebAssembly", "give the plugin's .wasm file"),
    }
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
        if !version.starts_with(VERSION) {
            return refused(
                "build the plugin against offtake:transform@1.0.0, this host's version",
            );
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
        for name in [
            "wasi:cli/environment@0.2.3",
            "offtake:transform/host@0.2.0",
            "offtake:transform/host@2.0.0",
            "offtake:transform/host",
            "offtake:transform/network@1.0.0",
            "env",
        ] {
            assert_eq!(import(name), Err("PLUGIN_IMPORT_REFUSED"), "{name}");
        }
        let state = "offtake:transform/state@1.0.0";
        assert_eq!(import(state), Err("PLUGIN_STATE_NOT_GRANTED"));
        assert_eq!(granted(state, true), Ok(()));
        assert_eq!(granted("offtake:transform/state@2.0.0", true), Err("PLUGIN_IMPORT_REFUSED"));
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        let check = |bytes: &[u8]| match check_preamble(&Arc::from("p"), bytes) {
            Err(PluginError::NotAComponent { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(check(b""), "an empty file");
        assert_eq!(check(b"#!/bin/sh"), "something that is no WebAssembly");
        assert_eq!(check(b"\0asm\x01\0\0\0"), "a core module");
        assert_eq!(check(b"\0asm\x0c\0\x01\0"), "WebAssembly of an unknown version");
        assert_eq!(check(b"\0asm"), "WebAssembly of an unknown version");
        assert!(check_preamble(&Arc::from("p"), b"\0asm\x0d\0\x01\0").is_ok());
    }
}
