//! Columns that a plugin's configuration names and that none of the plugin's tables has.
//!
//! A plugin is handed tables as the plugins before it put them out, so it is those that are looked
//! at. What a plugin that protects must cover is the guard's matter (`protect.rs`); whatever else it
//! names has to be there too.

use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_config::{Config, UnknownColumns, nearest};
use offtake_transform::{NamedColumn, Plugin};

use super::halt::Halt;
use super::outputs::Outputs;
use super::router::Router;

/// The code of such a column.
pub const COLUMN_UNKNOWN: &str = "PLUGIN_COLUMN_UNKNOWN";

/// The columns that a plugin's configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedColumns {
    /// Each with its place in the file.
    columns: Vec<(String, String)>,
    is_error: bool,
}

/// A captured table on its way to a plugin.
pub struct Handed<'a> {
    /// As the database has it.
    pub source: &'a Arc<TableSchema>,
    /// As the plugin is handed it, by the first route that names the plugin.
    pub input: Arc<TableSchema>,
    /// Whether that is known: a plugin before it may have refused the table.
    pub is_known: bool,
}

/// A column that none of the tables has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownColumn {
    /// What is wrong, with its place.
    pub cause: String,
    /// What to do.
    pub next_step: String,
    /// Whether the pipeline may not start.
    pub is_error: bool,
}

impl NamedColumns {
    /// The columns of a plugin that was loaded, with their places.
    pub fn new(config: &Config, configured: &offtake_config::Plugin, plugin: &Plugin) -> Self {
        let info = plugin.info();
        let guarded =
            |name: &String| info.protects && info.required_columns.iter().any(|it| it == name);
        let named = plugin.named_columns().iter().filter(|column| !guarded(&column.name));
        let place = |pointer: &str| config.place_of(configured, pointer);
        NamedColumns {
            columns: named
                .map(|NamedColumn { pointer, name }| (name.clone(), place(pointer)))
                .collect(),
            is_error: info.protects || configured.unknown_columns == UnknownColumns::Error,
        }
    }

    /// Whether one that none of the tables has is an error.
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// Whether there is anything to look at.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Those that none of the tables has. Without a table there is nothing to compare with.
    pub fn unknown(&self, plugin: &str, tables: &[Handed<'_>]) -> Vec<UnknownColumn> {
        if tables.is_empty() || tables.iter().any(|table| !table.is_known) {
            return Vec::new();
        }
        let is_missing = |name: &String| tables.iter().all(|it| it.input.ordinal(name).is_none());
        let missing = self.columns.iter().filter(|(name, _)| is_missing(name));
        let names = || tables.iter().flat_map(|table| &table.input.columns);
        let unknown = missing.map(|(name, place)| {
            let step = format!("correct the name in [plugin.{plugin}] config, or remove it");
            UnknownColumn {
                cause: format!(
                    "plugin {plugin:?} names the column {name:?} ({place}), which none of its tables has"
                ),
                next_step: match nearest(name, names().map(|column| column.name.as_str())) {
                    Some(meant) => format!("did you mean {meant}? {step}"),
                    None => step,
                },
                is_error: self.is_error,
            }
        });
        unknown.collect()
    }

    /// At the start: what is an error halts, the rest is told in the log.
    ///
    /// # Errors
    /// The first that is an error.
    pub fn check(&self, plugin: &str, tables: &[Handed<'_>]) -> Result<(), Halt> {
        for UnknownColumn { cause, next_step, is_error } in self.unknown(plugin, tables) {
            if is_error {
                return Err(Halt::new(COLUMN_UNKNOWN, cause, next_step));
            }
            tracing::warn!(code = COLUMN_UNKNOWN, cause, next_step, "an unknown column is named");
        }
        Ok(())
    }
}

/// Before the first change: what the configurations of plugins name is in one of their tables, or told.
/// `plugins`: all of them, in the configuration's order.
///
/// # Errors
/// A column that is in none, where that is an error.
pub fn check_columns(
    plugins: &[(Plugin, Arc<NamedColumns>)],
    router: &Router,
    tables: &[Arc<TableSchema>],
) -> Result<(), Halt> {
    if plugins.iter().all(|(_, columns)| columns.is_empty()) {
        return Ok(());
    }
    let loaded: Vec<Option<Plugin>> =
        plugins.iter().map(|(plugin, _)| Some(plugin.clone())).collect();
    let mut outputs = Outputs::new(&loaded);
    for (index, (plugin, columns)) in plugins.iter().enumerate() {
        columns.check(plugin.name(), &handed_to(index, router, tables, &mut outputs))?;
    }
    Ok(())
}

/// The tables of a plugin's routes, as the plugins before it put them out.
pub fn handed_to<'p>(
    plugin: usize,
    router: &Router,
    tables: &'p [Arc<TableSchema>],
    outputs: &mut Outputs<'_>,
) -> Vec<Handed<'p>> {
    let mut handed = Vec::new();
    for source in tables {
        let targets = router.targets(source);
        let mut places = targets.iter().filter_map(|target| {
            let place = target.plugins.iter().position(|&index| index == plugin)?;
            target.plugins.get(..place)
        });
        if let Some(before) = places.next() {
            let output = outputs.after(before, source);
            let is_known = output.is_some();
            let input = output.unwrap_or_else(|| Arc::clone(source));
            handed.push(Handed { source, input, is_known });
        }
    }
    handed
}
