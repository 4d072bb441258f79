//! The JSON Schema of its configuration that a plugin carries, and a configuration held against it.
//!
//! The schema is checked before the plugin is started, so that a misspelt key is shown at its place
//! in the file, with all other mistakes and not one after the other. The plugin stays the authority:
//! what passes here it may still refuse. A schema is a stranger's bytes, so its size, its patterns and
//! the steps of one check are bounded, and nothing outside it is ever read. What is found names keys,
//! types and what the schema allows, and never a value: one may be a secret.
//!
//! `vocabulary` says whether a schema can be used at all, `evaluate` holds a configuration against
//! it, `found` has the words for what it finds. Strings with `"format": "column"` are names of columns; they are told apart here, and compared
//! with the tables by whoever knows these.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use regex_lite::Regex;
use serde_json::Value;

use crate::PluginError;
use crate::custom_section;
use crate::fault::guest_text;

mod evaluate;
mod found;
mod values;
mod vocabulary;

#[cfg(test)]
mod tests;

/// A schema longer than this is none.
const SCHEMA_BYTES: usize = 256 << 10;

/// The schema of a plugin's configuration, known to be one that can be used.
#[derive(Debug)]
pub struct ConfigSchema {
    document: Value,
    patterns: BTreeMap<String, Regex>,
}

impl ConfigSchema {
    /// Whether it says of some value that it is secret.
    pub fn has_secrets(&self) -> bool {
        fn is_in(value: &Value) -> bool {
            match value {
                Value::Object(members) => {
                    members.get("writeOnly") == Some(&Value::Bool(true))
                        || members.values().any(is_in)
                }
                Value::Array(items) => items.iter().any(is_in),
                _ => false,
            }
        }
        is_in(&self.document)
    }
}

/// What a configuration is by its schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JudgedConfig {
    /// What is wrong, in the order of the configuration.
    pub findings: Vec<ConfigFinding>,
    /// The columns that it names.
    pub columns: Vec<NamedColumn>,
    /// JSON Pointers of the values that are secret (`writeOnly`).
    pub secrets: Vec<String>,
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigMistake {
    /// A key that there is not; the place is the key's.
    UnknownKey,
    /// A key that must be there; the place is that of the table which lacks it.
    MissingKey,
    /// A value of another type.
    WrongType,
    /// A value of the right type that may not be.
    BadValue,
}

/// One mistake in a configuration. It repeats no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFinding {
    /// Its place, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What kind it is.
    pub mistake: ConfigMistake,
    /// What is wrong, with the key.
    pub message: String,
    /// What to write, where that is known.
    pub help: Option<String>,
}

/// A column that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedColumn {
    /// Where, as a JSON Pointer.
    pub pointer: String,
    /// The column's name.
    pub name: String,
}

/// Finds the word that was meant among those that there are.
pub type Nearest<'n> = &'n dyn Fn(&str, &[&str]) -> Option<String>;

impl ConfigSchema {
    /// The schema that a plugin's file carries, if it carries one. `plugin`: its name in the
    /// configuration.
    ///
    /// # Errors
    /// What the file carries is no schema that can be used (`PLUGIN_SCHEMA_INVALID`).
    pub fn of(plugin: &str, wasm: &[u8]) -> Result<Option<ConfigSchema>, PluginError> {
        let is_component = wasm.get(4..8).is_none_or(|version| version != [1, 0, 0, 0]);
        let Some(text) = custom_section::config_schema(wasm, is_component) else {
            return Ok(None);
        };
        ConfigSchema::parse(text).map(Some).map_err(|wrong| wrong.of(plugin))
    }

    /// Reads a schema.
    ///
    /// # Errors
    /// It is no schema that can be used, and the first place where it is not.
    pub fn parse(text: &[u8]) -> Result<ConfigSchema, SchemaMistake> {
        if text.len() > SCHEMA_BYTES {
            let message = format!("it has {} bytes, more than {SCHEMA_BYTES}", text.len());
            return Err(SchemaMistake::new("", message));
        }
        let document: Value = serde_json::from_slice(text)
            .map_err(|error| SchemaMistake::new("", format!("it is no JSON: {error}")))?;
        let patterns = vocabulary::check(&document)?;
        Ok(ConfigSchema { document, patterns })
    }

    /// Holds a configuration against the schema. `nearest` proposes what was meant. `plugin` as for
    /// [`ConfigSchema::of`].
    ///
    /// # Errors
    /// The configuration is no JSON, or the schema cannot be evaluated: it goes in a circle, or takes
    /// too many steps.
    pub fn judge(
        &self,
        plugin: &str,
        config_json: &str,
        nearest: Nearest<'_>,
    ) -> Result<JudgedConfig, PluginError> {
        let config: Value = serde_json::from_str(config_json).map_err(|error| {
            PluginError::ConfigNotJson { plugin: Arc::from(plugin), message: error.to_string() }
        })?;
        evaluate::judge(self, &config, nearest).map_err(|wrong| wrong.of(plugin))
    }
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMistake {
    /// Where, as a JSON Pointer into the schema; empty: it is about the whole.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl SchemaMistake {
    fn new(at: &str, message: impl Into<String>) -> SchemaMistake {
        SchemaMistake { at: at.to_owned(), message: message.into() }
    }

    fn of(self, plugin: &str) -> PluginError {
        let at = if self.at.is_empty() { "its beginning" } else { &self.at };
        let message = guest_text(&format!("at {at}: {}", self.message));
        PluginError::SchemaInvalid { plugin: Arc::from(plugin), message }
    }
}

/// What was found, as one line.
pub(crate) struct Findings<'f>(pub(crate) &'f [ConfigFinding]);

/// Findings that are named in one line.
const LISTED: usize = 10;

impl fmt::Display for Findings<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().take(LISTED).enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(out, "{between}{}", finding.message)?;
            if let Some(help) = &finding.help {
                write!(out, " ({help})")?;
            }
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(out, "; and {more} more"),
        }
    }
}

/// What a JSON value is, as it is written in TOML.
fn word_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// A reference token of a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
