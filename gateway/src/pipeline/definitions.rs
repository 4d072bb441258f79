//! Versions of the definitions that plugins changed.
//!
//! The source counts a table's definitions and knows nothing of plugins. What leaves a chain is
//! counted here: the same content has the same version, also after a restart, and another content
//! (the table changed, or a plugin chooses another key) has the next. Definitions that no plugin
//! changed keep the source's version.

use std::collections::HashMap;
use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_proto::v1;

/// A table by namespace and name.
type Table = (String, String);

/// The newest definition of each table as chains put it out.
#[derive(Debug, Default)]
pub struct OutputVersions {
    /// By the table and the plugins that changed it: two routes may put out two.
    newest: HashMap<(Table, Vec<String>), Arc<TableSchema>>,
    /// The highest version of a table, whoever changed it.
    highest: HashMap<Table, u32>,
}

impl OutputVersions {
    /// Goes on from what the log holds.
    pub fn new(recorded: &[v1::Schema]) -> OutputVersions {
        let mut versions = OutputVersions::default();
        // A schema of a later version of this program was refused when the log was opened.
        for schema in recorded.iter().filter_map(|schema| TableSchema::from_proto(schema).ok()) {
            versions.remember(&Arc::new(schema));
        }
        versions
    }

    /// A definition that leaves a chain, with its version.
    pub fn versioned(&mut self, output: Arc<TableSchema>) -> Arc<TableSchema> {
        if output.changed_by.is_empty() {
            self.remember(&output);
            return output;
        }
        let mut output = Arc::unwrap_or_clone(output);
        if let Some(newest) = self.newest.get(&line(&output)) {
            output.version = newest.version;
            if output == **newest {
                return Arc::clone(newest);
            }
        }
        let highest = self.highest.get(&table(&output)).copied().unwrap_or(0);
        output.version = highest.saturating_add(1);
        let output = Arc::new(output);
        self.remember(&output);
        output
    }

    fn remember(&mut self, schema: &Arc<TableSchema>) {
        let highest = self.highest.entry(table(schema)).or_default();
        *highest = schema.version.max(*highest);
        let newest = self.newest.entry(line(schema)).or_insert_with(|| Arc::clone(schema));
        if newest.version < schema.version {
            *newest = Arc::clone(schema);
        }
    }
}

fn table(schema: &TableSchema) -> Table {
    (schema.namespace.clone(), schema.table.clone())
}

fn line(schema: &TableSchema) -> (Table, Vec<String>) {
    (table(schema), schema.changed_by.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_change::{Column, Kind};

    fn schema(version: u32, key: &[u32], changed_by: &[&str]) -> Arc<TableSchema> {
        let columns = ["id", "tenant"].map(|name| Column::new(name, Kind::Text, "text"));
        Arc::new(TableSchema {
            version,
            changed_by: changed_by.iter().map(|&name| name.to_owned()).collect(),
            ..TableSchema::new("shop", "public", "orders", columns.to_vec(), key)
        })
    }

    #[test]
    fn equal_content_has_one_version_also_after_a_restart_and_another_key_the_next() {
        let mut versions = OutputVersions::new(&[]);
        let first = versions.versioned(schema(1, &[1], &["rekey"]));
        assert_eq!(first.version, 1);
        // The source counts from somewhere else after a restart.
        let mut again = OutputVersions::new(&[first.to_proto(1)]);
        assert_eq!(again.versioned(schema(7, &[1], &["rekey"])), first);
        let other = again.versioned(schema(7, &[1, 0], &["rekey"]));
        assert_eq!((other.version, &other.key[..]), (2, &[1, 0][..]));
        // Back to the first key is no step back.
        assert_eq!(again.versioned(schema(7, &[1], &["rekey"])).version, 3);
    }

    #[test]
    fn what_no_plugin_changed_keeps_its_version_and_what_one_changed_comes_after_it() {
        let mut versions = OutputVersions::new(&[schema(3, &[0], &[]).to_proto(1)]);
        assert_eq!(versions.versioned(schema(4, &[0], &[])).version, 4);
        assert_eq!(versions.versioned(schema(4, &[1], &["rekey"])).version, 5);
        // Two routes with other plugins have a line each.
        assert_eq!(versions.versioned(schema(4, &[1], &["other"])).version, 6);
        assert_eq!(versions.versioned(schema(4, &[1], &["rekey"])).version, 5);
    }
}
