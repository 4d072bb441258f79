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

/// A table as it leaves, and the plugins that changed it: two routes may put out two.
type Line = (Table, Vec<String>);

/// The definitions of each table as chains put it out.
#[derive(Debug, Default)]
pub struct OutputVersions {
    known: HashMap<Line, Vec<Arc<TableSchema>>>,
    /// The version of the newest, by the table of the source that it was made of too: a plugin may
    /// give several tables one name, and their definitions come by turns.
    newest: HashMap<(Line, Table), u32>,
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

    /// A definition that leaves a chain, with its version. `source`: what it was made of.
    pub fn versioned(
        &mut self,
        output: Arc<TableSchema>,
        source: &TableSchema,
    ) -> Arc<TableSchema> {
        if output.changed_by.is_empty() {
            self.remember(&output);
            return output;
        }
        let line = (line(&output), table(source));
        // Back to an earlier content is no step back.
        let least = self.newest.get(&line).copied().unwrap_or(0);
        let known = self.known.get(&line.0).map_or(&[][..], Vec::as_slice);
        let known = known.iter().filter(|it| it.version >= least && is_equal(it, &output));
        let versioned = match known.max_by_key(|known| known.version) {
            Some(known) => Arc::clone(known),
            None => {
                let highest = self.highest.get(&line.0.0).copied().unwrap_or(0);
                let version = highest.saturating_add(1);
                let new = Arc::new(TableSchema { version, ..Arc::unwrap_or_clone(output) });
                self.remember(&new);
                new
            }
        };
        self.newest.insert(line, versioned.version);
        versioned
    }

    fn remember(&mut self, schema: &Arc<TableSchema>) {
        let highest = self.highest.entry(table(schema)).or_default();
        *highest = schema.version.max(*highest);
        if !schema.changed_by.is_empty() {
            self.known.entry(line(schema)).or_default().push(Arc::clone(schema));
        }
    }
}

/// Whether nothing but the version differs.
fn is_equal(one: &TableSchema, other: &TableSchema) -> bool {
    *one == TableSchema { version: one.version, ..other.clone() }
}

fn table(schema: &TableSchema) -> Table {
    (schema.namespace.clone(), schema.table.clone())
}

fn line(schema: &TableSchema) -> Line {
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

    fn source(name: &str) -> TableSchema {
        TableSchema::new("shop", "public", name, Vec::new(), &[])
    }

    #[test]
    fn tables_of_one_name_have_a_version_each_content_whenever_they_are_told_again() {
        let [one, other] = [[0], [1]].map(|key| schema(1, &key, &["shards"]));
        let mut versions = OutputVersions::new(&[]);
        let told = |versions: &mut OutputVersions| {
            let of = [(&one, "a"), (&other, "b"), (&one, "c")];
            of.map(|(output, of)| versions.versioned(Arc::clone(output), &source(of)).version)
        };
        assert_eq!(told(&mut versions), [1, 2, 1]);
        assert_eq!(told(&mut versions), [1, 2, 1]);
        // One goes over to what another has.
        assert_eq!(versions.versioned(Arc::clone(&other), &source("a")).version, 2);
        let recorded = [(&one, 1), (&other, 2)].map(|(schema, version)| {
            TableSchema { version, ..(**schema).clone() }.to_proto(version)
        });
        assert_eq!(told(&mut OutputVersions::new(&recorded)), [1, 2, 1]);
    }

    #[test]
    fn equal_content_has_one_version_also_after_a_restart_and_another_key_the_next() {
        let mut versions = OutputVersions::new(&[]);
        let first = versions.versioned(schema(1, &[1], &["rekey"]), &source("a"));
        assert_eq!(first.version, 1);
        // The source counts from somewhere else after a restart.
        let mut again = OutputVersions::new(&[first.to_proto(1)]);
        assert_eq!(again.versioned(schema(7, &[1], &["rekey"]), &source("a")), first);
        let other = again.versioned(schema(7, &[1, 0], &["rekey"]), &source("a"));
        assert_eq!((other.version, &other.key[..]), (2, &[1, 0][..]));
        // Back to the first key is no step back.
        assert_eq!(again.versioned(schema(7, &[1], &["rekey"]), &source("a")).version, 3);
    }

    #[test]
    fn what_no_plugin_changed_keeps_its_version_and_what_one_changed_comes_after_it() {
        let mut versions = OutputVersions::new(&[schema(3, &[0], &[]).to_proto(1)]);
        assert_eq!(versions.versioned(schema(4, &[0], &[]), &source("a")).version, 4);
        assert_eq!(versions.versioned(schema(4, &[1], &["rekey"]), &source("a")).version, 5);
        // Two routes with other plugins have a line each.
        assert_eq!(versions.versioned(schema(4, &[1], &["other"]), &source("a")).version, 6);
        assert_eq!(versions.versioned(schema(4, &[1], &["rekey"]), &source("a")).version, 5);
    }
}
