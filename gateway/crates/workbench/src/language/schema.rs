//! The configuration's schema in what was built: `config.schema.json` of the plugin's folder becomes a
//! custom section behind the code, as `sdk/README.md` has it.
//!
//! Not every language can write such a section, and a file may end with one, component or core module.
//! A plugin that has one already keeps it. What is in the schema is judged where plugins are loaded.

use std::path::Path;

use super::Obstacle;
use crate::inspect::Contents;

/// The file with the schema.
const FILE: &str = "config.schema.json";
/// The section's name.
const NAME: &[u8] = b"offtake:config-schema";
/// Id of a custom section.
const CUSTOM: u8 = 0;

/// Adds the schema of the folder, where there is one and the plugin carries none.
///
/// # Errors
/// The file cannot be read.
pub(super) fn add(folder: &Path, wasm: &mut Vec<u8>) -> Result<(), Obstacle> {
    let path = folder.join(FILE);
    if !path.exists() || Contents::read(wasm).config_schema.is_some() {
        return Ok(());
    }
    let schema = std::fs::read(&path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Obstacle::new("PLUGIN_FOLDER", message, "check the file's permissions")
    })?;
    let mut content = Vec::with_capacity(1 + NAME.len() + schema.len());
    put_length(NAME.len(), &mut content);
    content.extend_from_slice(NAME);
    content.extend_from_slice(&schema);
    wasm.push(CUSTOM);
    put_length(content.len(), wasm);
    wasm.extend_from_slice(&content);
    Ok(())
}

/// A number in seven bits a byte, the lowest first.
fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}
