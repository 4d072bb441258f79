//! The plugins' configurations, held against the schemas that the plugins carry.
//!
//! All mistakes of all plugins are told at once, each at its place in the file, before any plugin is
//! started. What a plugin refuses by itself is told when it is started.

use offtake_config::{Config, Diagnostics, Misfit, MisfitKind, Plugin, nearest};
use offtake_transform::{ConfigFinding, ConfigMistake, ConfigSchema, JudgedConfig};

use super::chain::plugin_halt;
use super::halt::Halt;

/// The code of a configuration that is wrong, as shown in its file.
pub const CONFIG_INVALID: &str = "CONFIG_INVALID";

/// Holds the configurations against the schemas in the components, which stand in the order of the
/// plugins.
///
/// # Errors
/// All mistakes, as the file's own are shown; or a schema that cannot be used.
pub fn check_configs<'p>(
    config: &Config,
    plugins: impl Iterator<Item = (&'p Plugin, &'p [u8])>,
) -> Result<(), Halt> {
    let mut all: Option<Diagnostics> = None;
    for (plugin, component) in plugins {
        if let Some(found) = mistakes(config, plugin, component)? {
            all = Some(all.map_or_else(|| found.clone(), |all| all.and(&found)));
        }
    }
    match all {
        None => Ok(()),
        Some(all) => Err(Halt::new(
            CONFIG_INVALID,
            all.to_string().trim_end().to_owned(),
            "correct the configuration; `offtake plugin inspect` shows what a plugin takes",
        )),
    }
}

/// What is wrong with a plugin's configuration by the schema in its component.
///
/// # Errors
/// The schema cannot be used.
pub fn mistakes(
    config: &Config,
    plugin: &Plugin,
    component: &[u8],
) -> Result<Option<Diagnostics>, Halt> {
    let schema = ConfigSchema::of(&plugin.name, component).map_err(|error| plugin_halt(&error))?;
    let Some(schema) = schema else { return Ok(None) };
    let near =
        |given: &str, names: &[&str]| nearest(given, names.iter().copied()).map(str::to_owned);
    let judged = schema.judge(&plugin.name, &plugin.config_json, &near);
    let JudgedConfig { findings, mut secrets, .. } = judged.map_err(|error| plugin_halt(&error))?;
    if findings.is_empty() {
        return Ok(None);
    }
    if schema.has_secrets() {
        // A misspelt key, or a table in a text's place, may be the secret itself.
        let unplaced = |it: &&ConfigFinding| {
            matches!(it.mistake, ConfigMistake::UnknownKey | ConfigMistake::WrongType)
        };
        secrets.extend(findings.iter().filter(unplaced).map(|it| it.pointer.clone()));
    }
    let misfits: Vec<Misfit> = findings.into_iter().map(|it| misfit(&plugin.name, it)).collect();
    Ok(Some(config.diagnose(plugin, &misfits, &secrets)))
}

fn misfit(plugin: &str, finding: ConfigFinding) -> Misfit {
    let ConfigFinding { pointer, mistake, message, help } = finding;
    let (kind, place) = match mistake {
        ConfigMistake::UnknownKey => (MisfitKind::UnknownKey, true),
        ConfigMistake::MissingKey => (MisfitKind::MissingKey, true),
        ConfigMistake::WrongType => (MisfitKind::WrongType, false),
        ConfigMistake::BadValue => (MisfitKind::BadValue, false),
    };
    let message = match place {
        true => format!("{message} in [plugin.{plugin}] config"),
        false => message,
    };
    Misfit { pointer, kind, message, help }
}
