//! `offtake plugin inspect`: what a plugin's file is, wants and offers, without a change.
//!
//! Imports and exports are read from the bytes, so that a file is shown that the host refuses. Whether
//! it runs is asked of the host itself.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::check::Subject;
use crate::run::Refusal;

/// Custom section with the JSON Schema of the configuration.
const CONFIG_SCHEMA: &str = "offtake:config-schema";
const INTERFACE: &str = "offtake:transform/";

/// What a plugin's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// `component`, `core module`, or what it is instead.
    pub kind: &'static str,
    /// What it wants: a component's interfaces, a core module's functions.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Bytes of code, of all its modules together.
    pub code_bytes: usize,
    /// JSON Schema of its configuration, as it stands in the file.
    pub config_schema: Option<String>,
    /// Why the file cannot be read to its end.
    pub damage: Option<String>,
}

impl Contents {
    /// Reads a file's bytes, as far as they can be read.
    pub fn read(wasm: &[u8]) -> Contents {
        let mut contents = Contents { kind: "no WebAssembly", ..Contents::default() };
        if let Err(reason) = contents.take(wasm) {
            // The reader's words go over several lines.
            contents.damage = Some(reason.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        contents
    }

    fn take(&mut self, wasm: &[u8]) -> Result<(), String> {
        // What stands in a component's modules is its own business, but for code and sections.
        let mut parser = Parser::new(0);
        let (mut rest, mut depth, mut parents) = (wasm, 0_usize, Vec::new());
        loop {
            let (payload, consumed) = match parser.parse(rest, true) {
                Err(error) => return Err(error.to_string()),
                Ok(Chunk::NeedMoreData(_)) => return Err("it ends too early".to_owned()),
                Ok(Chunk::Parsed { payload, consumed }) => (payload, consumed),
            };
            match payload {
                Payload::ModuleSection { parser: inner, .. }
                | Payload::ComponentSection { parser: inner, .. } => {
                    parents.push(std::mem::replace(&mut parser, inner));
                    depth += 1;
                }
                Payload::End(_) => match parents.pop() {
                    None => return Ok(()),
                    Some(parent) => {
                        parser = parent;
                        depth -= 1;
                    }
                },
                Payload::CodeSectionStart { size, .. } => {
                    self.code_bytes += size as usize;
                    parser.skip_section();
                    rest = rest.get(consumed + size as usize..).unwrap_or_default();
                    continue;
                }
                payload => self.section(payload, depth).map_err(|error| error.to_string())?,
            }
            rest = rest.get(consumed..).unwrap_or_default();
        }
    }

    fn section(&mut self, payload: Payload<'_>, depth: usize) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } if depth == 0 => {
                self.kind = match encoding {
                    Encoding::Module => "core module",
                    Encoding::Component => "component",
                };
            }
            Payload::CustomSection(section) if section.name() == CONFIG_SCHEMA => {
                let text = String::from_utf8_lossy(section.data()).into_owned();
                self.config_schema.get_or_insert(text);
            }
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(imports) if depth == 0 => {
                for import in imports.into_imports() {
                    let import = import?;
                    let name = format!("{}.{}", import.module, import.name);
                    // Go's linker takes a function once for each place that declares it.
                    if !self.imports.contains(&name) {
                        self.imports.push(name);
                    }
                }
            }
            Payload::ExportSection(exports) if depth == 0 => {
                for export in exports {
                    self.exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The world of the contract that it is built for, by what it wants and offers.
    pub fn world(&self) -> Option<String> {
        let offers = |export: &&String| export.starts_with(&format!("{INTERFACE}plugin@"));
        if let Some(plugin) = self.exports.iter().find(offers) {
            let version = plugin.split('@').nth(1).unwrap_or_default();
            let stateful = if self.is_stateful() { "stateful-transform" } else { "transform" };
            return Some(format!("{INTERFACE}{stateful}@{version}"));
        }
        let abi = |export: &String| export == "offtake_abi_version";
        (self.kind == "core module" && self.exports.iter().any(abi))
            .then(|| "the core-module ABI".to_owned())
    }

    /// Whether it wants kept state.
    pub fn is_stateful(&self) -> bool {
        let state = |import: &String| {
            import.starts_with(&format!("{INTERFACE}state@"))
                || import.starts_with("offtake.state_")
        };
        self.imports.iter().any(state)
    }
}

/// What a plugin says when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its own name and version.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Whether it keeps something secret.
    pub protects: bool,
    /// SHA-256 of the file.
    pub digest: String,
}

/// Starts a plugin with a configuration.
///
/// # Errors
/// What `offtake run` would halt with.
pub fn start(subject: &Subject, config_json: &str) -> Result<Started, Refusal> {
    let plugin = subject.load(config_json)?;
    let info = plugin.info();
    Ok(Started {
        name: info.name.clone(),
        version: info.version.clone(),
        protects: info.protects,
        digest: hexadecimal(&plugin.digest()),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the file runs, and only the configuration is not what the plugin takes.
pub fn is_configuration(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_str(), "PLUGIN_CONFIG_REFUSED" | "PLUGIN_CONFIG_INVALID")
}

/// What a file is, in a line: its size, its world and its digest.
pub fn line(wasm: &[u8]) -> String {
    let world = Contents::read(wasm).world();
    let world = world.unwrap_or_else(|| "none of the contract's".to_owned());
    format!("{} bytes, {world}, sha256 {}", wasm.len(), hexadecimal(&Sha256::digest(wasm)))
}

/// The inspection as lines for a person.
pub fn text(subject: &Subject, contents: &Contents, started: &Result<Started, Refusal>) -> String {
    let list = |items: &[String]| match items {
        [] => "none".to_owned(),
        items => items.join(", "),
    };
    let mut lines = vec![
        ("kind", contents.kind.to_owned()),
        ("world", contents.world().unwrap_or_else(|| "none of the contract's".to_owned())),
        ("imports", list(&contents.imports)),
        ("exports", list(&contents.exports)),
        ("size", format!("{} bytes, {} of code", subject.wasm.len(), contents.code_bytes)),
        ("sha256", hexadecimal(&subject.digest())),
        ("stateful", yes_or_no(contents.is_stateful()).to_owned()),
    ];
    if let Ok(started) = started {
        lines.push(("plugin", format!("{} {}", started.name, started.version)));
        lines.push(("protects", yes_or_no(started.protects).to_owned()));
    }
    if let Some(damage) = &contents.damage {
        lines.push(("damaged", damage.clone()));
    }
    let mut out = String::new();
    for (name, value) in lines {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{name:<10}{value}");
    }
    match started {
        Ok(_) => out.push_str("runs      yes\n"),
        Err(refusal) if is_configuration(refusal) => {
            let _ = writeln!(out, "runs      yes, with another configuration: {}", refusal.message);
        }
        Err(refusal) => {
            let _ = writeln!(out, "runs      no\nerror[{}]: {}", refusal.code, refusal.message);
            let _ = writeln!(out, "  next: {}", refusal.next_step);
        }
    }
    if let Some(schema) = &contents.config_schema {
        let _ = writeln!(out, "configuration schema:\n{}", schema.trim());
    }
    out
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// The inspection as JSON.
pub fn json(subject: &Subject, contents: &Contents, started: &Result<Started, Refusal>) -> Value {
    let runs = match started {
        Ok(_) => true,
        Err(refusal) => is_configuration(refusal),
    };
    let info = started.as_ref().ok();
    json!({
        "kind": contents.kind,
        "world": contents.world(),
        "imports": contents.imports,
        "exports": contents.exports,
        "bytes": subject.wasm.len(),
        "code_bytes": contents.code_bytes,
        "sha256": hexadecimal(&subject.digest()),
        "stateful": contents.is_stateful(),
        "damage": contents.damage,
        "runs": runs,
        "name": info.map(|info| &info.name),
        "version": info.map(|info| &info.version),
        "protects": info.map(|info| info.protects),
        "error": started.as_ref().err().map(|refusal| json!({
            "code": refusal.code, "message": refusal.message, "next_step": refusal.next_step,
        })),
        // As it stands where it is no JSON.
        "config_schema": contents.config_schema.as_ref().map(|schema| {
            serde_json::from_str(schema).unwrap_or_else(|_| Value::from(schema.as_str()))
        }),
    })
}
