//! Turns a core module into a component: `offtake-componentize plugin-core.wasm plugin.wasm`.
//!
//! The module carries its WIT world in a custom section, put there by the bindings generator, so
//! nothing but the module is needed. No adapter is applied: a module that imports anything besides
//! the world's own interfaces (a WASI function, because it was built for another target) is
//! refused with a word on how to build it. The result is validated before it is written.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, component] = arguments.as_slice() else {
        eprintln!("usage: offtake-componentize <core module> <component to write>");
        return ExitCode::from(2);
    };
    let read = std::fs::read(module).map_err(|error| format!("cannot read it: {error}"));
    let written = read.and_then(|bytes| componentize(&bytes)).and_then(|bytes| {
        std::fs::write(component, &bytes)
            .map_err(|error| format!("cannot write {}: {error}", component.display()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{}: {reason}", module.display());
            ExitCode::FAILURE
        }
    }
}

/// The component of a core module, validated.
fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    inspect(module)?;
    let encoded = wit_component::ComponentEncoder::default()
        .module(module)
        .map_err(|error| format!("its embedded WIT world cannot be read: {error:#}"))?
        .validate(true)
        .encode()
        .map_err(|error| format!("cannot be made a component: {error:#}"))?;
    wasmparser::Validator::new()
        .validate_all(&encoded)
        .map_err(|error| format!("the component is not valid: {error}"))?;
    Ok(encoded)
}

/// Refuses a module without an embedded world, and one that imports what is no part of the world.
fn inspect(module: &[u8]) -> Result<(), String> {
    let mut has_world = false;
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        match payload.map_err(|error| format!("no WebAssembly module: {error}"))? {
            wasmparser::Payload::CustomSection(section) => {
                has_world |= section.name().starts_with("component-type");
            }
            wasmparser::Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import =
                        import.map_err(|error| format!("no WebAssembly module: {error}"))?;
                    if !import.module.starts_with("offtake:transform/") {
                        return Err(format!(
                            "imports {}.{}, which the gateway does not offer\n  \
                             next step: build for wasm32-unknown-unknown, with panic = \"abort\"",
                            import.module, import.name
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    if has_world {
        return Ok(());
    }
    Err("has no embedded WIT world\n  \
         next step: export a plugin, in Rust with offtake_sdk::export!"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused() {
        let error = componentize(b"not a module").unwrap_err();
        assert!(error.starts_with("no WebAssembly module"), "{error}");
    }

    #[test]
    fn a_module_without_a_world_is_refused() {
        let error = componentize(b"\0asm\x01\0\0\0").unwrap_err();
        assert!(error.starts_with("has no embedded WIT world"), "{error}");
    }

    #[test]
    fn an_import_of_wasi_is_refused_by_name() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend_from_slice(&[1, 4, 1, 0x60, 0, 0]);
        let (from, name) = ("wasi_snapshot_preview1", "fd_write");
        module.extend_from_slice(&[2, (from.len() + name.len() + 5) as u8, 1, from.len() as u8]);
        module.extend_from_slice(from.as_bytes());
        module.push(name.len() as u8);
        module.extend_from_slice(name.as_bytes());
        module.extend_from_slice(&[0, 0]);
        let error = componentize(&module).unwrap_err();
        assert!(error.contains("wasi_snapshot_preview1.fd_write"), "{error}");
        assert!(error.contains("wasm32-unknown-unknown"), "{error}");
    }
}
