//! Masking fails closed: what a plugin that `protects` must cover, and whether it still can.
//!
//! Such a plugin names the columns that it promises to hide. The pipeline halts when one of them
//! is in none of the route's tables at the start, and when a table loses or retypes one that it
//! had. What was covered is a record in the log, so that a restart notices too.
//!
//! The catalogue tells today's definitions, the stream those of when its rows were written. A
//! column that only the catalogue has shown so far may have been added after rows that are still to
//! be read: their definition, if it is today's without that column, is taken as an older one.

use offtake_change::TableSchema;
use offtake_proto::v1;

use super::halt::Halt;

/// The watch over one plugin.
#[derive(Clone, Debug)]
pub struct Guard {
    plugin: String,
    digest: String,
    config_digest: String,
    required: Vec<String>,
    covered: Vec<v1::ProtectedColumn>,
    /// Columns that were covered under any configuration.
    ever_covered: Vec<String>,
    /// The tables as the catalogue has them in this run: schema, name, column names.
    catalogue: Vec<(String, String, Vec<String>)>,
    recorded: bool,
}

impl Guard {
    /// A guard over a plugin; `recorded` is what the log holds of its last activation. Coverage of
    /// another configuration does not bind: whoever changed it decided so.
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
            .filter(|record| record.config_digest == config_digest)
            .map(|record| record.protects.clone())
            .unwrap_or_default();
        let ever_covered = recorded
            .map(|record| record.protects.iter().map(|column| column.column.clone()).collect())
            .unwrap_or_default();
        Guard {
            ever_covered,
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
                && !self.ever_covered.contains(column)
            {
                let names: Vec<String> = tables.clone().map(TableSchema::qualified_name).collect();
                return Err(Halt::new(
                    "PLUGIN_COLUMN_MISSING",
                    format!(
                        "plugin {:?} is to protect column {column:?}, which none of its tables has \
                         ({})",
                        self.plugin,
                        if names.is_empty() {
                            "it has no table".to_owned()
                        } else {
                            names.join(", ")
                        }
                    ),
                    format!(
                        "correct the spelling in [plugin.{}] config, or remove the column there",
                        self.plugin
                    ),
                ));
            }
        }
        for table in tables {
            let names = table.columns.iter().map(|column| column.name.clone()).collect();
            self.catalogue.push((table.namespace.clone(), table.table.clone(), names));
            self.cover(table, true);
        }
        Ok(())
    }

    /// When a table's definition is first used: nothing covered before is lost or retyped. New
    /// coverage is remembered. `precedes_start`: the definition's first row committed before the
    /// catalogue was read, so it may be an older definition.
    pub fn check_table(&mut self, table: &TableSchema, precedes_start: bool) -> Result<(), Halt> {
        let of_table = |covered: &&v1::ProtectedColumn| {
            covered.namespace == table.namespace && covered.table == table.table
        };
        for covered in self.covered.iter().filter(of_table) {
            let now = table.ordinal(&covered.column).and_then(|at| table.columns.get(at));
            let what = match now {
                None if covered.catalogue_only
                    && precedes_start
                    && self.is_older(table, &covered.column) =>
                {
                    continue;
                }
                None => "is gone".to_owned(),
                Some(column) if column.logical != covered.logical => {
                    format!("was {} and is now {}", covered.logical, column.logical)
                }
                Some(_) => continue,
            };
            return Err(Halt::new(
                "PLUGIN_COLUMN_LOST",
                format!(
                    "plugin {:?} protects column {:?} of {}, which {what}",
                    self.plugin,
                    covered.column,
                    table.qualified_name()
                ),
                format!(
                    "name the column that took its place in [plugin.{}] config (a changed \
                     configuration is taken as your decision), then start again",
                    self.plugin
                ),
            ));
        }
        self.cover(table, false);
        Ok(())
    }

    /// Whether the definition is today's without the column, so from before that was added.
    fn is_older(&self, table: &TableSchema, column: &str) -> bool {
        self.catalogue.iter().any(|(namespace, name, columns)| {
            *namespace == table.namespace
                && *name == table.table
                && columns.iter().any(|today| today == column)
                && table.columns.iter().all(|column| columns.contains(&column.name))
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

    /// The record for the log, when it does not hold what is covered now.
    pub fn take_record(&mut self) -> Option<v1::PluginActivation> {
        if self.recorded {
            return None;
        }
        self.recorded = true;
        Some(v1::PluginActivation {
            name: self.plugin.clone(),
            digest: self.digest.clone(),
            config_digest: self.config_digest.clone(),
            protects: self.covered.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_change::{Column, Form, Kind, ReplicaIdentity, Subject};

    fn table(name: &str, columns: &[(&str, &str)]) -> TableSchema {
        TableSchema {
            database: "shop".into(),
            namespace: "public".into(),
            table: name.into(),
            version: 1,
            columns: columns.iter().map(|(name, ty)| Column::new(*name, Kind::Text, *ty)).collect(),
            key: vec![],
            replica_identity: ReplicaIdentity::Key,
            form: Form::Envelope,
            changed_by: vec![],
            content_type: String::new(),
            subject: Subject::Table,
        }
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

        let mut changed = Guard::new("mask", "d", "other", &["mail".to_owned()], Some(&record));
        changed.check_table(&renamed, true).unwrap();
        assert!(changed.take_record().is_some());
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
