//! Masking fails closed: what a plugin that `protects` must cover, and whether it still can.
//!
//! Such a plugin names the columns that it promises to hide. The pipeline halts when one of them
//! is in none of the route's tables at the start, and when a table loses or retypes one that it
//! had. What was covered is a record in the log, so that a restart notices too, also with another
//! configuration: only columns that it no longer names are given up.
//!
//! The catalogue tells today's definitions, the stream those of when its rows were written. A
//! column that only the catalogue has shown so far may have been added, or got its type, after rows
//! that are still to be read: their definition, if it is the beginning of today's without that
//! column, or has it with another type than today's, is taken as an older one. What a column is
//! counts from its first sight in the stream.

use offtake_change::TableSchema;
use offtake_proto::v1;
use offtake_transform::{ColumnLoss, column_loss};

use super::halt::Halt;

/// The watch over one plugin.
#[derive(Clone, Debug)]
pub struct Guard {
    plugin: String,
    digest: String,
    config_digest: String,
    required: Vec<String>,
    covered: Vec<v1::ProtectedColumn>,
    /// The tables as the catalogue has them in this run.
    catalogue: Vec<Today>,
    recorded: bool,
}

/// A table as the catalogue has it.
#[derive(Clone, Debug)]
struct Today {
    namespace: String,
    table: String,
    /// Names and logical types, in order.
    columns: Vec<(String, String)>,
}

impl Today {
    fn new(table: &TableSchema) -> Today {
        let columns = table.columns.iter();
        Today {
            namespace: table.namespace.clone(),
            table: table.table.clone(),
            columns: columns.map(|it| (it.name.clone(), it.logical.clone())).collect(),
        }
    }

    fn logical(&self, column: &str) -> Option<&str> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, logical)| logical.as_str())
    }

    /// Whether a definition is what this one began as: its first columns with their types. Columns
    /// are added at the end, so one that is not in it came later.
    fn begins_as(&self, older: &TableSchema) -> bool {
        older.columns.len() < self.columns.len()
            && older
                .columns
                .iter()
                .zip(&self.columns)
                .all(|(older, (name, logical))| older.name == *name && older.logical == *logical)
    }
}

impl Guard {
    /// A guard over a plugin; `recorded` is what the log holds of its last activation. What it
    /// covered binds whatever else was changed since, so that no change of another setting hides a
    /// loss. A column that is no longer required does not bind: whoever took it out decided so.
    pub fn new(
        plugin: &str,
        digest: &str,
        config_digest: &str,
        required: &[String],
        recorded: Option<&v1::PluginActivation>,
    ) -> Guard {
        let same = recorded
            .filter(|record| record.config_digest == config_digest && record.digest == digest);
        let covered = recorded
            .map_or(&[][..], |record| &record.protects)
            .iter()
            .filter(|covered| required.contains(&covered.column))
            .cloned()
            .collect();
        Guard {
            catalogue: Vec::new(),
            plugin: plugin.to_owned(),
            digest: digest.to_owned(),
            config_digest: config_digest.to_owned(),
            required: required.to_vec(),
            covered,
            recorded: same.is_some(),
        }
    }

    /// At the start: every required column is in at least one of the tables that the plugin sees,
    /// or was once and may be in rows that are still to be read.
    pub fn check_start<'t>(
        &mut self,
        tables: impl Iterator<Item = &'t TableSchema> + Clone,
    ) -> Result<(), Halt> {
        for column in &self.required {
            if !tables.clone().any(|table| table.ordinal(column).is_some())
                && !self.covered.iter().any(|covered| covered.column == *column)
            {
                let names: Vec<String> = tables.map(TableSchema::qualified_name).collect();
                return Err(self.missing(column, &names));
            }
        }
        self.catalogue = tables.clone().map(Today::new).collect();
        for table in tables {
            self.cover(table, true);
        }
        Ok(())
    }

    /// The halt for a column that none of the plugin's tables has.
    fn missing(&self, column: &str, tables: &[String]) -> Halt {
        let plugin = &self.plugin;
        let (tables, next) = match tables {
            [] => (
                "no captured table goes through it".to_owned(),
                format!("correct `tables` of the [[route]] whose `plugins` name {plugin}"),
            ),
            names => (
                names.join(", "),
                format!(
                    "correct the spelling in [plugin.{plugin}] config, or remove the column there"
                ),
            ),
        };
        let cause = format!(
            "plugin {plugin:?} is to protect column {column:?}, which none of its tables has \
             ({tables})"
        );
        Halt::new("PLUGIN_COLUMN_MISSING", cause, next)
    }

    /// When a table's definition is first used: nothing covered before is lost or retyped. New
    /// coverage is remembered. `precedes_start`: the definition's first row committed before the
    /// catalogue was read, so it may be an older definition.
    pub fn check_table(&mut self, table: &TableSchema, precedes_start: bool) -> Result<(), Halt> {
        let first = self.losses(table, precedes_start).next();
        if let Some((covered, loss)) = first {
            return Err(self.halt(covered, &loss));
        }
        self.cover(table, false);
        Ok(())
    }

    /// What was covered of the table and is lost or retyped under the definition. `precedes_start`
    /// as in [`Guard::check_table`].
    pub fn losses(
        &self,
        table: &TableSchema,
        precedes_start: bool,
    ) -> impl Iterator<Item = (&v1::ProtectedColumn, ColumnLoss)> {
        let of_table = |covered: &&v1::ProtectedColumn| {
            covered.namespace == table.namespace && covered.table == table.table
        };
        self.covered.iter().filter(of_table).filter_map(move |covered| {
            let loss = column_loss(&covered.column, &covered.logical, table)?;
            let is_older =
                covered.catalogue_only && precedes_start && self.is_older(table, covered, &loss);
            (!is_older).then_some((covered, loss))
        })
    }

    /// What the pipeline halts with over a loss.
    pub fn halt(&self, covered: &v1::ProtectedColumn, loss: &ColumnLoss) -> Halt {
        Halt::new(
            "PLUGIN_COLUMN_LOST",
            format!(
                "plugin {:?} protects column {:?} of {}.{}, which {loss}",
                self.plugin, covered.column, covered.namespace, covered.table
            ),
            format!(
                "in [plugin.{0}] config put the column that took its place instead of {1:?}, then \
                 start again; where {1:?} has to stay (other tables have it, or this one with \
                 another type), give the plugin another name as well: what it covered under the \
                 old one then does not bind it",
                self.plugin, covered.column
            ),
        )
    }

    /// Whether the definition is from before the column was added, or got the type that the
    /// catalogue shows today.
    fn is_older(
        &self,
        table: &TableSchema,
        covered: &v1::ProtectedColumn,
        loss: &ColumnLoss,
    ) -> bool {
        self.catalogue
            .iter()
            .filter(|today| today.namespace == table.namespace && today.table == table.table)
            .any(|today| match (today.logical(&covered.column), loss) {
                (Some(_), ColumnLoss::Gone) => today.begins_as(table),
                // Another type than the catalogue's of an earlier run is a retype since.
                (Some(logical), ColumnLoss::Retyped { .. }) => logical == covered.logical,
                (None, _) => false,
            })
    }

    fn cover(&mut self, table: &TableSchema, catalogue_only: bool) {
        for name in &self.required {
            let Some(column) = table.ordinal(name).and_then(|at| table.columns.get(at)) else {
                continue;
            };
            let known = self.covered.iter_mut().find(|known| {
                known.namespace == table.namespace
                    && known.table == table.table
                    && known.column == *name
            });
            match known {
                Some(known) if known.catalogue_only && !catalogue_only => {
                    known.catalogue_only = false;
                    known.logical.clone_from(&column.logical);
                    self.recorded = false;
                }
                Some(_) => {}
                None => {
                    self.covered.push(v1::ProtectedColumn {
                        namespace: table.namespace.clone(),
                        table: table.table.clone(),
                        column: name.clone(),
                        logical: column.logical.clone(),
                        catalogue_only,
                    });
                    self.recorded = false;
                }
            }
        }
    }

    /// Has the record written again, though the log may hold it: something else was decided.
    pub fn record_again(&mut self) {
        self.recorded = false;
    }

    /// The record for the log, when it does not hold what is covered now.
    pub fn take_record(&mut self) -> Option<v1::PluginActivation> {
        if self.recorded {
            return None;
        }
        self.recorded = true;
        Some(self.record())
    }

    /// What the log is to hold of the plugin.
    pub fn record(&self) -> v1::PluginActivation {
        v1::PluginActivation {
            name: self.plugin.clone(),
            digest: self.digest.clone(),
            config_digest: self.config_digest.clone(),
            protects: self.covered.clone(),
            stateful: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_change::{Column, Kind};

    fn table(name: &str, columns: &[(&str, &str)]) -> TableSchema {
        TableSchema::new(
            "shop",
            "public",
            name,
            columns.iter().map(|(name, ty)| Column::new(*name, Kind::Text, *ty)).collect(),
            &[],
        )
    }

    fn guard(recorded: Option<&v1::PluginActivation>) -> Guard {
        Guard::new("mask", "d", "c", &["email".to_owned()], recorded)
    }

    #[test]
    fn a_required_column_in_no_table_halts_the_start() {
        let orders = table("orders", &[("id", "int4")]);
        let halt = guard(None).check_start([&orders].into_iter()).unwrap_err();
        assert_eq!(halt.code, "PLUGIN_COLUMN_MISSING");
        let people = table("people", &[("email", "text")]);
        guard(None).check_start([&orders, &people].into_iter()).unwrap();
    }

    #[test]
    fn a_covered_column_that_is_lost_or_retyped_halts_also_after_a_restart() {
        let mut first = guard(None);
        first.check_table(&table("people", &[("email", "text")]), true).unwrap();
        let record = first.take_record().unwrap();
        assert!(first.take_record().is_none());

        let mut again = guard(Some(&record));
        assert!(again.take_record().is_none());
        let renamed = table("people", &[("mail", "text")]);
        assert_eq!(again.check_table(&renamed, true).unwrap_err().code, "PLUGIN_COLUMN_LOST");
        let retyped = table("people", &[("email", "json")]);
        assert_eq!(again.check_table(&retyped, true).unwrap_err().code, "PLUGIN_COLUMN_LOST");
        // Another table may have no such column.
        again.check_table(&table("orders", &[("id", "int4")]), true).unwrap();
    }

    /// The record of a run that covered `email` of `public.people`, and the table since.
    fn renamed_while_down() -> (v1::PluginActivation, TableSchema) {
        let mut first = guard(None);
        let people = table("people", &[("id", "int4"), ("email", "text")]);
        first.check_start([&people].into_iter()).unwrap();
        first.check_table(&people, true).unwrap();
        (first.take_record().unwrap(), table("people", &[("id", "int4"), ("mail", "text")]))
    }

    fn reconfigured(required: &[&str], record: &v1::PluginActivation) -> Guard {
        let required: Vec<String> = required.iter().map(|&name| name.to_owned()).collect();
        Guard::new("mask", "d", "other", &required, Some(record))
    }

    #[test]
    fn another_length_of_the_same_type_is_no_loss_and_another_type_is() {
        let mut guard = guard(None);
        let people = |email: &str| table("people", &[("id", "int4"), ("email", email)]);
        guard.check_start([&people("varchar(40)")].into_iter()).unwrap();
        for wider in ["varchar(40)", "varchar(80)", "varchar"] {
            guard.check_table(&people(wider), false).unwrap();
        }
        let halt = guard.check_table(&people("text"), false).unwrap_err();
        assert_eq!(halt.code, "PLUGIN_COLUMN_LOST");
    }

    #[test]
    fn another_configuration_of_the_same_columns_does_not_hide_a_loss() {
        let (record, renamed) = renamed_while_down();
        let orders = table("orders", &[("id", "int4"), ("phone", "text")]);
        let staff = table("staff", &[("id", "int4"), ("email", "text")]);
        let lost = |result: Result<(), Halt>| {
            assert_eq!(result.unwrap_err().code, "PLUGIN_COLUMN_LOST");
        };
        // Another setting; a further column; no table or another one that still has the column.
        for required in [&["email"][..], &["email", "phone"]] {
            for other in [&orders, &staff] {
                let mut again = reconfigured(required, &record);
                let tables = [&renamed, &orders, other];
                again.check_start(tables.into_iter()).unwrap();
                // The record of this start keeps it for the next.
                let mut after = reconfigured(required, &again.take_record().unwrap());
                lost(again.check_table(&renamed, true));
                after.check_start(tables.into_iter()).unwrap();
                lost(after.check_table(&renamed, false));
            }
        }
        let retyped = table("people", &[("id", "int4"), ("email", "varchar(80)")]);
        lost(reconfigured(&["email"], &record).check_table(&retyped, true));
        // A column that no table has and none had halts at the start as ever.
        let halt = reconfigured(&["email", "telephone"], &record)
            .check_start([&renamed, &orders].into_iter())
            .unwrap_err();
        assert_eq!(halt.code, "PLUGIN_COLUMN_MISSING");
    }

    #[test]
    fn a_column_taken_out_of_the_configuration_no_longer_binds() {
        let (record, renamed) = renamed_while_down();
        let mut changed = reconfigured(&["mail"], &record);
        changed.check_start([&renamed].into_iter()).unwrap();
        changed.check_table(&renamed, true).unwrap();
        let record = changed.take_record().unwrap();
        let covered: Vec<&str> = record.protects.iter().map(|it| &*it.column).collect();
        assert_eq!(covered, ["mail"]);
        // It is given up for good: back in the configuration it is a column as any other.
        let staff = table("staff", &[("id", "int4"), ("email", "text")]);
        let mut back = reconfigured(&["email", "mail"], &record);
        back.check_start([&renamed, &staff].into_iter()).unwrap();
        back.check_table(&renamed, false).unwrap();
        let halt = reconfigured(&["email"], &record).check_start([&renamed].into_iter());
        assert_eq!(halt.unwrap_err().code, "PLUGIN_COLUMN_MISSING");
    }

    #[test]
    fn a_column_added_while_down_does_not_halt_on_older_rows_and_its_later_loss_does() {
        let mut guard = guard(None);
        let today = table("people", &[("id", "int4"), ("email", "text")]);
        guard.check_start([&today].into_iter()).unwrap();
        let older = table("people", &[("id", "int4")]);
        guard.check_table(&older, true).unwrap();
        guard.check_table(&today, true).unwrap();
        // Something of that shape that was written since is no older definition.
        let mut since = self::guard(None);
        since.check_start([&today].into_iter()).unwrap();
        assert_eq!(since.check_table(&older, false).unwrap_err().code, "PLUGIN_COLUMN_LOST");
        assert_eq!(guard.check_table(&older, true).unwrap_err().code, "PLUGIN_COLUMN_LOST");
    }

    #[test]
    fn a_definition_that_is_not_the_beginning_of_todays_is_no_older_one() {
        let today = table("people", &[("id", "int4"), ("name", "text"), ("email", "text")]);
        for columns in [
            // Another type, another order, a gap: something else was done than adding columns.
            &[("id", "int8")][..],
            &[("name", "text"), ("id", "int4")],
            &[("name", "text")],
            &[("id", "int4"), ("name", "text"), ("note", "text")],
        ] {
            let mut guard = guard(None);
            guard.check_start([&today].into_iter()).unwrap();
            let halt = guard.check_table(&table("people", columns), true).unwrap_err();
            assert_eq!(halt.code, "PLUGIN_COLUMN_LOST", "{columns:?}");
        }
        let mut guard = guard(None);
        guard.check_start([&today].into_iter()).unwrap();
        guard.check_table(&table("people", &[("id", "int4"), ("name", "text")]), true).unwrap();
    }

    #[test]
    fn a_type_that_only_the_catalogue_showed_gives_way_to_the_streams_on_first_sight() {
        let today = table("people", &[("email", "json")]);
        let older = table("people", &[("email", "text")]);
        let mut first = guard(None);
        first.check_start([&today].into_iter()).unwrap();
        let record = first.take_record().unwrap();
        first.check_table(&older, true).unwrap();
        let lost = |result: Result<(), Halt>| result.unwrap_err().code;
        // From here on it is the stream's: the retype that led to today's is noticed.
        assert_eq!(lost(first.check_table(&today, true)), "PLUGIN_COLUMN_LOST");
        // The same after a crash before the older rows were read.
        let mut again = guard(Some(&record));
        again.check_start([&today].into_iter()).unwrap();
        again.check_table(&older, true).unwrap();
        let record = again.take_record().unwrap();
        assert_eq!(
            (&*record.protects[0].logical, record.protects[0].catalogue_only),
            ("text", false)
        );
        // A row written since has a type of since.
        let mut since = guard(None);
        since.check_start([&today].into_iter()).unwrap();
        assert_eq!(lost(since.check_table(&older, false)), "PLUGIN_COLUMN_LOST");
        // Retyped while down: the catalogue of the earlier run had another one.
        let mut before = guard(None);
        before.check_start([&older].into_iter()).unwrap();
        let record = before.take_record().unwrap();
        let mut retyped = guard(Some(&record));
        retyped.check_start([&today].into_iter()).unwrap();
        assert_eq!(lost(retyped.check_table(&today, true)), "PLUGIN_COLUMN_LOST");
    }

    #[test]
    fn a_column_renamed_while_down_is_known_from_the_log_and_halts_after_its_old_rows() {
        let mut first = guard(None);
        let old = table("people", &[("email", "text")]);
        first.check_start([&old].into_iter()).unwrap();
        let record = first.take_record().unwrap();
        let new = table("people", &[("mail", "text")]);
        let mut again = guard(Some(&record));
        again.check_start([&new].into_iter()).unwrap();
        again.check_table(&old, true).unwrap();
        assert_eq!(again.check_table(&new, true).unwrap_err().code, "PLUGIN_COLUMN_LOST");
        // Also where no old row was left to be read.
        let mut again = guard(Some(&record));
        again.check_start([&new].into_iter()).unwrap();
        assert_eq!(again.check_table(&new, true).unwrap_err().code, "PLUGIN_COLUMN_LOST");
    }
}
