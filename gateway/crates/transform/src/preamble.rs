//! What a plugin's file is, by its first bytes: a component, a core module, or nothing that runs.

use std::sync::Arc;

use crate::PluginError;

/// Largest file that is accepted.
const FILE_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 4] = b"\0asm";
/// Version and layer of a core module and of a component.
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// By which door a plugin comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The component model, `sdk/wit/transform.wit`.
    Component,
    /// The core-module ABI, `sdk/abi.md`.
    Core,
}

/// Tells what a plugin's file is, without reading on.
pub(crate) fn layer(plugin: &Arc<str>, wasm: &[u8]) -> Result<Layer, PluginError> {
    let plugin = || Arc::clone(plugin);
    let refused = |found, hint| Err(PluginError::NotAComponent { plugin: plugin(), found, hint });
    if wasm.len() > FILE_BYTES {
        let limit = FILE_BYTES;
        return Err(PluginError::TooLarge { plugin: plugin(), bytes: wasm.len(), limit });
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(PluginError::Precompiled { plugin: plugin() });
    }
    match (wasm.first_chunk(), wasm.get(4..8)) {
        (Some(MAGIC), Some(version)) if version == COMPONENT => Ok(Layer::Component),
        (Some(MAGIC), Some(version)) if version == CORE => Ok(Layer::Core),
        (Some(MAGIC), _) => refused(
            "WebAssembly of an unknown version",
            "build it with tools of the component model's current version",
        ),
        _ if wasm.is_empty() => refused("an empty file", "give the plugin's .wasm file"),
        _ => refused("something that is no WebAssembly", "give the plugin's .wasm file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let layer_of = |bytes: &[u8]| layer(&Arc::from("p"), bytes).map_err(|error| error.code());
        assert_eq!(layer_of(b"\0asm\x0d\0\x01\0"), Ok(Layer::Component));
        assert_eq!(layer_of(b"\0asm\x01\0\0\0"), Ok(Layer::Core));
    }

    #[test]
    fn what_cannot_run_is_told_apart() {
        let check = |bytes: &[u8]| match layer(&Arc::from("p"), bytes) {
            Err(PluginError::NotAComponent { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(check(b""), "an empty file");
        assert_eq!(check(b"#!/bin/sh"), "something that is no WebAssembly");
        assert_eq!(check(b"\0asm\x0c\0\x01\0"), "WebAssembly of an unknown version");
        assert_eq!(check(b"\0asm"), "WebAssembly of an unknown version");
    }
}
