//! What `offtake check` says about plugins: each by itself, so that one that cannot be loaded does
//! not hide what is wrong with the next.
//!
//! A column that is configured and that no table has is told apart by its past: one that the log
//! knows was renamed or dropped, one that was never there is misspelt. Whether a protected column is
//! lost or retyped is judged as the pipeline will at the table's next row. What a plugin thinks of a
//! table's types is its own word: it is handed every definition as the pipeline hands it over at the
//! table's first row, with what the plugins before it made of it. Rows are not tried.

use offtake_change::{Subject, TableSchema};
use offtake_config::{Config, nearest};
use offtake_log::Recovered;
use offtake_proto::v1;
use offtake_source_postgres::Finding;
use offtake_transform::{ColumnLoss, Plugin};

use crate::pipeline::{
    COLUMN_UNKNOWN, Guard, Halt, Handed, NamedColumns, UnknownColumn, chain_text, guard,
    load_plugins,
};

/// Tables that a plugin refuses which are listed one by one; more would hide the other findings.
const LISTED_REFUSALS: usize = 20;

/// Loads the plugin of that index and no other, and keeps nothing of it on the disk.
///
/// # Errors
/// What `offtake run` would end with.
pub fn load(config: &Config, index: usize) -> Result<Plugin, Halt> {
    let Some(wanted) = config.plugins.get(index) else {
        return Err(Halt::new("PLUGIN", "there is no such plugin", "report this as a defect"));
    };
    let only = Config { plugins: vec![wanted.clone()], ..config.clone() };
    load_plugins(&only, None)?
        .pop()
        .map(|loaded| loaded.plugin)
        .ok_or_else(|| Halt::new("PLUGIN", "nothing was loaded", "report this as a defect"))
}

/// What is known about the tables that a plugin works on.
pub struct Seen<'a> {
    /// The captured tables whose route names the plugin; `None`: the database was not looked at.
    pub tables: Option<Vec<Handed<'a>>>,
    /// What the log holds.
    pub recovered: Option<&'a Recovered>,
}

/// Judges a plugin that was loaded. `named`: the columns that its configuration names.
pub fn judge(plugin: &Plugin, named: &NamedColumns, seen: &Seen<'_>) -> Vec<Finding> {
    let item = format!("plugin {}", plugin.name());
    let info = plugin.info();
    let what = format!("{} {}", info.name, info.version);
    let Some(tables) = &seen.tables else {
        let text = format!("{what} loads; its tables were not looked at, for want of the database");
        return vec![Finding::ok(item, text)];
    };
    let definitions: Vec<&TableSchema> = tables.iter().map(|table| table.source.as_ref()).collect();
    let columns =
        Columns { plugin: plugin.name(), tables: &definitions, recovered: seen.recovered };
    let guard = guard(plugin, columns.activations());
    let mut findings = columns.protection(&item, &guard, &info.required_columns);
    findings.extend(refusals(plugin, &item, tables, &guard));
    findings.extend(named.unknown(plugin.name(), tables).into_iter().map(|unknown| {
        let UnknownColumn { cause, next_step, is_error } = unknown;
        let item = item.clone();
        match is_error {
            true => Finding::error(item, COLUMN_UNKNOWN, cause, next_step),
            false => Finding::warning(item, COLUMN_UNKNOWN, cause, next_step),
        }
    }));
    if findings.is_empty() {
        let is_table = |table: &&Handed<'_>| table.source.subject == Subject::Table;
        let count = tables.iter().filter(is_table).count();
        let text = match (count, tables.len() > count) {
            (0, false) => format!("{what}; no captured table goes through it"),
            (0, true) => format!("{what}, on logical messages"),
            (1, false) => format!("{what}, on 1 table"),
            (count, false) => format!("{what}, on {count} tables"),
            (1, true) => format!("{what}, on 1 table and logical messages"),
            (count, true) => format!("{what}, on {count} tables and logical messages"),
        };
        findings.push(Finding::ok(item, text));
    }
    findings
}

/// What the plugin says against the definitions of its tables, in the run's words.
fn refusals(plugin: &Plugin, item: &str, tables: &[Handed<'_>], guard: &Guard) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut more: usize = 0;
    let mut idle = None;
    // The run halts over a lost column before it asks the plugin.
    for table in tables.iter().filter(|table| guard.losses(table.source, false).next().is_none()) {
        let mut instance = match idle.take().map_or_else(|| plugin.instance(), Ok) {
            Ok(instance) => instance,
            Err(error) => {
                let text = chain_text(&error);
                findings.push(Finding::error(item, error.code(), text, error.next_step()));
                break;
            }
        };
        match instance.on_schema(&table.input) {
            Ok(_) => idle = Some(instance),
            // The instance is spent.
            Err(_) if findings.len() == LISTED_REFUSALS => more += 1,
            Err(fault) => {
                let text = chain_text(&fault);
                findings.push(Finding::error(item, fault.code(), text, fault.next_step()));
            }
        }
    }
    if let (1.., Some(last)) = (more, findings.last_mut()) {
        last.text.push_str(&format!(" (and so for {more} more of its tables)"));
    }
    findings
}

/// The columns of a plugin's tables, now and as the log remembers them.
struct Columns<'a> {
    plugin: &'a str,
    tables: &'a [&'a TableSchema],
    recovered: Option<&'a Recovered>,
}

impl Columns<'_> {
    fn is_anywhere(&self, column: &str) -> bool {
        self.tables.iter().any(|table| table.ordinal(column).is_some())
    }

    /// What the log holds of activations.
    fn activations(&self) -> &[v1::PluginActivation] {
        self.recovered.map_or(&[], |recovered| &recovered.plugins)
    }

    /// Where the log says that the plugin has covered the column.
    fn covered(&self, column: &str) -> impl Iterator<Item = &v1::ProtectedColumn> {
        let mut newest_first = self.activations().iter().rev();
        let last = newest_first.find(|activation| activation.name == self.plugin);
        last.into_iter()
            .flat_map(|activation| &activation.protects)
            .filter(move |covered| covered.column == column)
    }

    /// What is wrong with the columns that the plugin is to protect.
    fn protection(&self, item: &str, guard: &Guard, required: &[String]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut lost = Vec::new();
        for table in self.tables {
            for (covered, loss) in guard.losses(table, false) {
                let halt = guard.halt(covered, &loss);
                let new =
                    if loss == ColumnLoss::Gone { self.new_columns(table) } else { String::new() };
                let text = halt.cause + &new;
                findings.push(Finding::error(item, "PLUGIN_COLUMN_LOST", text, halt.next_step));
                lost.push(&covered.column);
            }
        }
        let others = required.iter().filter(|column| !lost.contains(column));
        findings.extend(others.filter_map(|column| self.protected(item, column)));
        findings
    }

    /// What is wrong with a column that is to be protected, where no table that has it covered lost
    /// it.
    fn protected(&self, item: &str, column: &str) -> Option<Finding> {
        if self.is_anywhere(column) {
            return None;
        }
        if let Some(covered) = self.covered(column).next() {
            return Some(Finding::warning(
                item,
                "PLUGIN_COLUMN_LOST",
                format!(
                    "it protected {column} of {}.{}, and that table is not captured by this name \
                     any more: renamed, dropped or excluded",
                    covered.namespace, covered.table
                ),
                format!(
                    "name the table's new name in the plugin's route, or remove the column in \
                     [plugin.{}] config",
                    self.plugin
                ),
            ));
        }
        let (text, next) = if self.tables.is_empty() {
            // The run halts here too, and not for the column's spelling.
            let plugin = self.plugin;
            (
                format!("it is to protect {column}, and no captured table goes through it"),
                format!(
                    "correct `tables` of the [[route]] whose `plugins` name {plugin}, or remove \
                     [plugin.{plugin}] and its name there"
                ),
            )
        } else {
            let text = format!("it is to protect {column}, which none of its tables has");
            (text, self.spelling(column))
        };
        Some(Finding::error(item, "PLUGIN_COLUMN_MISSING", text, next))
    }

    fn spelling(&self, column: &str) -> String {
        let names = self.tables.iter().flat_map(|table| &table.columns);
        let step = format!("correct the spelling in [plugin.{}] config", self.plugin);
        match nearest(column, names.map(|column| column.name.as_str())) {
            Some(meant) => format!("did you mean {meant}? {step}"),
            None => step,
        }
    }

    /// The columns that the table has and that its last definition in the log has not.
    fn new_columns(&self, table: &TableSchema) -> String {
        let schemas = self.recovered.map_or(&[][..], |recovered| &recovered.schemas[..]);
        let last = schemas
            .iter()
            .rev()
            .find(|schema| schema.namespace == table.namespace && schema.table == table.table);
        let Some(last) = last else { return String::new() };
        let new: Vec<&str> = table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| last.columns.iter().all(|old| old.name != *name))
            .collect();
        if new.is_empty() {
            return String::new();
        }
        format!(" (new in the table: {})", new.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_change::{Column, Kind};
    use offtake_source_postgres::Level;

    fn table(name: &str, columns: &[&str]) -> TableSchema {
        TableSchema::new(
            "shop",
            "public",
            name,
            columns.iter().map(|name| Column::new(*name, Kind::Text, "text")).collect(),
            &[0],
        )
    }

    /// A log in which plugin `hide` has covered `email` of `public.people`.
    fn covered() -> Recovered {
        let column = v1::ProtectedColumn {
            namespace: "public".to_owned(),
            table: "people".to_owned(),
            column: "email".to_owned(),
            logical: "text".to_owned(),
            catalogue_only: false,
        };
        let column_of = |name: &str| v1::Column { name: name.to_owned(), ..Default::default() };
        Recovered {
            is_empty: false,
            next_sequence: 2,
            schemas: vec![v1::Schema {
                namespace: "public".to_owned(),
                table: "people".to_owned(),
                columns: vec![column_of("id"), column_of("email")],
                ..Default::default()
            }],
            streams: Vec::new(),
            position: None,
            snapshots: Vec::new(),
            plugins: vec![v1::PluginActivation {
                name: "hide".to_owned(),
                config_digest: "c".to_owned(),
                protects: vec![column],
                ..Default::default()
            }],
            truncated_bytes: 0,
        }
    }

    fn protected(tables: &[&TableSchema], recovered: Option<&Recovered>) -> Option<Finding> {
        let columns = Columns { plugin: "hide", tables, recovered };
        let required = ["email".to_owned()];
        let guard = Guard::new("hide", "", "other", &required, columns.activations().last());
        let mut findings = columns.protection("plugin hide", &guard, &required);
        assert!(findings.len() <= 1, "{findings:?}");
        findings.pop()
    }

    #[test]
    fn a_column_that_never_was_is_misspelt_and_the_near_one_is_proposed() {
        let people = table("people", &["id", "e_mail"]);
        let finding = protected(&[&people], None).unwrap();
        assert_eq!((finding.level, finding.code), (Level::Error, "PLUGIN_COLUMN_MISSING"));
        assert!(finding.next_step.starts_with("did you mean e_mail? correct"), "{finding:?}");
        let people = table("people", &["id", "email"]);
        assert_eq!(protected(&[&people], None), None);
    }

    #[test]
    fn a_plugin_without_a_table_is_told_of_its_route_and_not_of_the_spelling() {
        let finding = protected(&[], None).unwrap();
        assert_eq!((finding.level, finding.code), (Level::Error, "PLUGIN_COLUMN_MISSING"));
        assert!(finding.text.ends_with("no captured table goes through it"), "{finding:?}");
        assert!(finding.next_step.contains("[[route]]"), "{finding:?}");
        assert!(!finding.next_step.contains("spelling"), "{finding:?}");
    }

    #[test]
    fn a_column_that_was_renamed_is_told_so_also_where_another_table_still_has_it() {
        let people = table("people", &["id", "mail"]);
        let staff = table("staff", &["id", "email"]);
        for tables in [&[&people][..], &[&staff, &people]] {
            let finding = protected(tables, Some(&covered())).unwrap();
            assert_eq!((finding.level, finding.code), (Level::Error, "PLUGIN_COLUMN_LOST"));
            assert!(finding.text.contains("column \"email\" of public.people"), "{finding:?}");
            assert!(finding.text.ends_with("(new in the table: mail)"), "{finding:?}");
            assert!(!finding.next_step.contains("spelling"), "{finding:?}");
        }
        // The table itself has another name now.
        let clients = table("clients", &["id"]);
        let finding = protected(&[&clients], Some(&covered())).unwrap();
        assert_eq!((finding.level, finding.code), (Level::Warning, "PLUGIN_COLUMN_LOST"));
        assert!(finding.text.contains("public.people"), "{finding:?}");
        assert_eq!(protected(&[&staff], Some(&covered())), None, "it is protected there");
    }

    #[test]
    fn a_protected_column_that_was_retyped_is_an_error() {
        let mut people = table("people", &["id", "email"]);
        assert_eq!(protected(&[&people], Some(&covered())), None);
        people.columns[1].logical = "json".to_owned();
        let finding = protected(&[&people], Some(&covered())).unwrap();
        assert_eq!((finding.level, finding.code), (Level::Error, "PLUGIN_COLUMN_LOST"));
        assert!(finding.text.ends_with("which was text and is now json"), "{finding:?}");
        assert_eq!(protected(&[&people], None), None);
    }
}
