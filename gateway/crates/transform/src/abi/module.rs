//! From bytes to a compiled core module that may run: what it imports, what it exports.

use std::sync::Arc;

use wasmtime::{ExternType, FuncType, InstancePre, Module, ValType};

use super::imports::{self, HOST};
use super::state;
use super::wasi::{self, WASI};
use crate::host::HostState;
use crate::{Engine, PluginError};

/// What a module must export beside its memory: name, parameters, result.
const EXPORTS: [(&str, &[ValType], ValType); 5] = [
    ("offtake_abi_version", &[], ValType::I32),
    ("offtake_alloc", &[ValType::I32], ValType::I32),
    ("offtake_configure", &[ValType::I32, ValType::I32], ValType::I64),
    ("offtake_on_schema", &[ValType::I32, ValType::I32], ValType::I64),
    ("offtake_process", &[ValType::I32, ValType::I32], ValType::I64),
];
/// What the imports and exports of a module begin with that is still to become a component.
const CONTRACT: &str = "offtake:transform/";

/// Compiles a core module, or finds it compiled, and checks what it imports and exports.
pub(crate) fn prepare(
    engine: &Engine,
    plugin: &Arc<str>,
    wasm: &[u8],
    digest: &[u8; 32],
    grants_state: bool,
) -> Result<InstancePre<HostState>, PluginError> {
    let invalid = |message| PluginError::Invalid { plugin: Arc::clone(plugin), message };
    let module: Module =
        engine.compiled(wasm, digest).map_err(|error| invalid(format!("{error:#}")))?;
    check_layer(plugin, &module)?;
    for import in module.imports() {
        check_import(plugin, import.module(), import.name(), grants_state)?;
    }
    check_exports(engine, plugin, &module)?;
    if module.resources_required().num_memories != 1 {
        return Err(invalid("it has more than one memory".to_owned()));
    }
    imports::linker(&engine.wasmtime)
        .map_err(|error| PluginError::Engine(format!("{error:#}")))?
        .instantiate_pre(&module)
        .map_err(|error| invalid(format!("{error:#}")))
}

/// Refuses what was built for the component model and is only half done.
fn check_layer(plugin: &Arc<str>, module: &Module) -> Result<(), PluginError> {
    let of_contract = |name: &str| name.starts_with(CONTRACT);
    if module.imports().any(|import| of_contract(import.module()))
        || module.exports().any(|export| of_contract(export.name()))
    {
        return Err(PluginError::NotAComponent {
            plugin: Arc::clone(plugin),
            found: "a core module that is to become a component",
            hint: "make a component of it: sdk/README.md has the command, or use `wasm-tools component new`",
        });
    }
    Ok(())
}

fn check_import(
    plugin: &Arc<str>,
    module: &str,
    name: &str,
    grants_state: bool,
) -> Result<(), PluginError> {
    let offered = match module {
        HOST if state::NAMES.contains(&name) && !grants_state => {
            return Err(PluginError::StateNotGranted { plugin: Arc::clone(plugin) });
        }
        HOST => imports::NAMES.contains(&name) || state::NAMES.contains(&name),
        WASI => wasi::has(name),
        _ => false,
    };
    if offered {
        return Ok(());
    }
    Err(PluginError::ImportRefused {
        plugin: Arc::clone(plugin),
        import: format!("{module}::{name}"),
        hint: match (module, name) {
            (WASI, _) => "build for WASI preview 1; sdk/abi.md lists what stands in for it",
            ("env", "abort") => {
                "AssemblyScript: give the compiler `use` of the SDK's template, asconfig.json, by which \
                 an error is logged instead"
            }
            _ => "a core module may import what sdk/abi.md lists and nothing else",
        },
    })
}

fn check_exports(engine: &Engine, plugin: &Arc<str>, module: &Module) -> Result<(), PluginError> {
    let missing = |message| PluginError::ExportMissing { plugin: Arc::clone(plugin), message };
    match module.get_export("memory") {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => {}
        _ => return Err(missing("no 32-bit memory with the name memory".to_owned())),
    }
    for (name, parameters, result) in EXPORTS {
        let expected =
            FuncType::new(&engine.wasmtime, parameters.iter().cloned(), [result.clone()]);
        match module.get_export(name) {
            Some(ExternType::Func(found)) if FuncType::eq(&found, &expected) => {}
            Some(found) => {
                return Err(missing(format!("{name} is {found:?}, not {expected}")));
            }
            None => return Err(missing(format!("no function {name}"))),
        }
    }
    if let Some(found) = module.get_export("_initialize") {
        let expected = FuncType::new(&engine.wasmtime, [], []);
        match found {
            ExternType::Func(found) if FuncType::eq(&found, &expected) => {}
            _ => return Err(missing("_initialize takes or gives something".to_owned())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_may_be_imported() {
        let granted = |module: &str, name: &str, grants_state| {
            check_import(&Arc::from("p"), module, name, grants_state).map_err(|error| error.code())
        };
        let import = |module: &str, name: &str| granted(module, name, false);
        for (module, name) in [
            ("offtake", "log"),
            ("offtake", "observe"),
            ("wasi_snapshot_preview1", "fd_write"),
            ("wasi_snapshot_preview1", "path_open"),
            ("wasi_snapshot_preview1", "proc_exit"),
        ] {
            assert_eq!(import(module, name), Ok(()));
        }
        for (module, name) in [
            ("env", "abort"),
            ("offtake", "exec"),
            ("offtake", "state_now"),
            ("wasi_snapshot_preview1", "proc_raise"),
            ("wasi_snapshot_preview1", "sock_open"),
            ("wasi_unstable", "fd_write"),
        ] {
            assert_eq!(import(module, name), Err("PLUGIN_IMPORT_REFUSED"), "{module} {name}");
        }
        let abort = check_import(&Arc::from("p"), "env", "abort", false).unwrap_err();
        assert!(abort.next_step().contains("asconfig.json"), "{}", abort.next_step());
        for name in state::NAMES {
            assert_eq!(import("offtake", name), Err("PLUGIN_STATE_NOT_GRANTED"), "{name}");
            assert_eq!(granted("offtake", name, true), Ok(()), "{name}");
        }
    }
}
