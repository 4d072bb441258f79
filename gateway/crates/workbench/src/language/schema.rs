//! The configuration's schema in what was built: `config.schema.json` of the plugin's folder becomes a
//! custom section behind the code, as `sdk/README.md` has it.
//!
//! Not every language can write such a section, and a file may end with one, component or core module.
//! A plugin that has one already keeps it. A schema that no gateway could use is refused here, for the
//! plugin would be refused with it, whatever its configuration.

use std::path::Path;

use offtake_transform::ConfigSchema;
use serde_json::Value;

use super::Obstacle;
use crate::inspect::Contents;
use crate::json_place::line_of;

/// The file with the schema.
const FILE: &str = "config.schema.json";
/// The section's name.
const NAME: &[u8] = b"offtake:config-schema";
/// Id of a custom section.
const CUSTOM: u8 = 0;

/// Refuses the folder's schema where it cannot be used, before a compiler takes its time.
///
/// # Errors
/// The file cannot be read, or what is wrong with the schema, with its line.
pub(super) fn check(folder: &Path) -> Result<(), Obstacle> {
    let Some(schema) = read(folder)? else { return Ok(()) };
    let file = folder.join(FILE);
    let refused = |place: &str, message: &str| {
        let message = format!("{}{place}: {message}", file.display());
        let next = "correct it (sdk/README.md has what a schema may have), and build again";
        Err(Obstacle::new("PLUGIN_SCHEMA_INVALID", message, next))
    };
    if let Err(error) = serde_json::from_slice::<Value>(&schema) {
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        let place = format!(":{}:{}", error.line(), error.column());
        return refused(&place, &format!("it is no JSON: {words}"));
    }
    let Err(mistake) = ConfigSchema::parse(&schema) else { return Ok(()) };
    let line = line_of(&schema, &mistake.at).map(|line| format!(":{line}")).unwrap_or_default();
    match mistake.at.as_str() {
        "" => refused("", &mistake.message),
        at => refused(&line, &format!("{at} {}", mistake.message)),
    }
}

/// Adds the schema of the folder, where there is one and the plugin carries none.
///
/// # Errors
/// The file cannot be read, or the schema that the plugin carries cannot be used.
pub(super) fn add(folder: &Path, wasm: &mut Vec<u8>) -> Result<(), Obstacle> {
    if Contents::read(wasm).config_schema.is_some() {
        let judged = ConfigSchema::of("that was built", wasm);
        return judged
            .map(|_| ())
            .map_err(|error| Obstacle::new(error.code(), error.to_string(), error.next_step()));
    }
    let Some(schema) = read(folder)? else { return Ok(()) };
    let mut content = Vec::with_capacity(1 + NAME.len() + schema.len());
    put_length(NAME.len(), &mut content);
    content.extend_from_slice(NAME);
    content.extend_from_slice(&schema);
    wasm.push(CUSTOM);
    put_length(content.len(), wasm);
    wasm.extend_from_slice(&content);
    Ok(())
}

/// The folder's schema, where it has one.
fn read(folder: &Path) -> Result<Option<Vec<u8>>, Obstacle> {
    let path = folder.join(FILE);
    match std::fs::read(&path) {
        Ok(schema) => Ok(Some(schema)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("{} cannot be read: {error}", path.display());
            Err(Obstacle::new("PLUGIN_FOLDER", message, "check the file's permissions"))
        }
    }
}

/// A number in seven bits a byte, the lowest first.
fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}
