//! Recent changes for a fixture: those that trials run over, as they came from the source.
//!
//! They go out before any plugin has seen them. So what comes through a route with a plugin that
//! protects is refused unless it is asked for by name: a fixture is a file, and files are copied.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offtake_change::{Batch, Row, Subject, TableSchema};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::super::halt::Halt;
use super::super::live::Live;
use super::super::router::Router;
use super::Reloader;
use super::inputs::{Kept, is_same_table};

/// Which changes are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Only those of tables that this plugin works on.
    pub plugin: Option<String>,
    /// Only those of these tables, `schema.table`; none: of all.
    pub tables: Vec<String>,
    /// How many, the newest.
    pub changes: u32,
    /// Also those that a plugin protects, uncovered.
    pub include_protected_values: bool,
}

/// Changes and their definitions, each a message of `change.proto` in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// `Schema` messages; a change's `schema` is an index into these.
    pub definitions: Vec<String>,
    /// `Change` messages, oldest first.
    pub changes: Vec<String>,
}

impl Reloader {
    /// The newest changes that are wanted.
    ///
    /// # Errors
    /// There is none, no such plugin, a plugin protects them, or the capture cannot be read.
    pub fn record(&self, wanted: &Wanted) -> Result<Recording, Halt> {
        self.check_names(wanted.plugin.as_slice())?;
        let place = |name: &String| self.config.plugins.iter().position(|it| it.name == *name);
        let plugin = wanted.plugin.as_ref().and_then(place);
        let kept = self.inputs.with_captured()?;
        // Of a table that was captured and is no more, no route speaks of today.
        let tables = kept.tables();
        let is_there = |schema: &TableSchema| {
            schema.subject == Subject::Message || tables.iter().any(|it| is_same_table(it, schema))
        };
        let chosen = Chosen::of(&kept, wanted, |schema| {
            is_there(schema) && plugin.is_none_or(|plugin| self.router.uses_plugin(schema, plugin))
        });
        if chosen.rows.is_empty() {
            return Err(nothing(&kept, wanted));
        }
        if !wanted.include_protected_values {
            chosen.check_open(&self.router, &self.live)?;
        }
        Ok(chosen.recording())
    }
}

/// Changes of those that are kept, newest first.
struct Chosen<'k> {
    definitions: Vec<&'k Arc<TableSchema>>,
    rows: Vec<(&'k Batch, &'k Row, usize)>,
}

impl<'k> Chosen<'k> {
    /// A table has one definition in a fixture: its newest, and changes under older ones are left.
    fn of(kept: &'k Kept, wanted: &Wanted, uses: impl Fn(&TableSchema) -> bool) -> Chosen<'k> {
        let mut chosen = Chosen { definitions: Vec::new(), rows: Vec::new() };
        for batch in kept.batches.iter().rev() {
            let is_wanted = |schema: &Arc<TableSchema>| {
                let is_named = |name: &String| *name == schema.qualified_name();
                uses(schema) && (wanted.tables.is_empty() || wanted.tables.iter().any(is_named))
            };
            let are_wanted: Vec<bool> = batch.schemas.iter().map(is_wanted).collect();
            for row in batch.rows.iter().rev() {
                if chosen.rows.len() >= wanted.changes as usize {
                    return chosen;
                }
                let at = row.schema as usize;
                if !are_wanted.get(at).copied().unwrap_or_default() {
                    continue;
                }
                let Some(definition) = batch.schemas.get(at).and_then(|it| chosen.place(it)) else {
                    continue;
                };
                chosen.rows.push((batch, row, definition));
            }
        }
        chosen
    }

    /// The definition's place; `None`: the table has a newer one.
    fn place(&mut self, schema: &'k Arc<TableSchema>) -> Option<usize> {
        let same = self.definitions.iter().position(|known| is_same_table(known, schema));
        match same {
            Some(at) => (self.definitions.get(at) == Some(&schema)).then_some(at),
            None => {
                self.definitions.push(schema);
                Some(self.definitions.len() - 1)
            }
        }
    }

    /// Refuses what a plugin protects on one of its ways.
    fn check_open(&self, router: &Router, live: &Live) -> Result<(), Halt> {
        let live = live.get();
        for schema in &self.definitions {
            let targets = router.targets(schema);
            let plugins = targets.iter().flat_map(|target| &target.plugins);
            let mut plugins = plugins.filter_map(|&at| live.get(at));
            if let Some(protecting) = plugins.find(|it| it.plugin.info().protects) {
                return Err(Halt::new(
                    "RECORD_PROTECTED",
                    format!(
                        "changes of {} come through a route with plugin {:?}, which protects values, \
                         and a recording has them as they are in the database",
                        schema.qualified_name(),
                        protecting.plugin.name()
                    ),
                    "name other tables with --table, or have the values uncovered in a file with \
                     --include-protected-values",
                ));
            }
        }
        Ok(())
    }

    fn recording(&self) -> Recording {
        let definition = |(at, schema): (usize, &&Arc<TableSchema>)| {
            STANDARD.encode(schema.to_proto(at as u32).encode_to_vec())
        };
        let change = |&(batch, row, definition): &(&Batch, &Row, usize)| {
            let mut encoded = Vec::new();
            batch.encode(row, 0, 0, definition as u32, &mut encoded);
            STANDARD.encode(encoded)
        };
        Recording {
            definitions: self.definitions.iter().enumerate().map(definition).collect(),
            changes: self.rows.iter().rev().map(change).collect(),
        }
    }
}

fn nothing(kept: &Kept, wanted: &Wanted) -> Halt {
    let mut there: Vec<String> =
        kept.batches.iter().flat_map(|it| &it.schemas).map(|it| it.qualified_name()).collect();
    there.sort();
    there.dedup();
    let of = match (&wanted.plugin, wanted.tables.is_empty()) {
        (_, false) => format!(" of {}", wanted.tables.join(", ")),
        (Some(plugin), true) => format!(" of tables that plugin {plugin:?} works on"),
        (None, true) => String::new(),
    };
    let next = match there.is_empty() {
        true => {
            "write some rows, then ask again: a gateway keeps what came while it runs".to_owned()
        }
        false => format!("write some rows, or take others: there are some of {}", there.join(", ")),
    };
    Halt::new("RECORD_NOTHING", format!("the gateway has no recent changes{of}"), next)
}

#[cfg(test)]
mod tests {
    use offtake_change::wire::ChangeView;
    use offtake_change::{Column, Image, Kind, Operation};

    use super::*;

    fn table(name: &str, column: &str) -> Arc<TableSchema> {
        let columns = vec![Column::new(column, Kind::Text, "text")];
        Arc::new(TableSchema::new("shop", "public", name, columns, &[0]))
    }

    fn batch(rows: &[(&Arc<TableSchema>, &str)]) -> Batch {
        let mut batch = Batch::new();
        for (schema, text) in rows {
            let cell = batch.text(text.as_bytes());
            let begin = batch.begin_image();
            batch.push_cell(cell);
            let image = batch.end_image(begin);
            let row = Row::new(Operation::Create, Image::NONE, image);
            let schema = batch.schema_index(schema);
            batch.rows.push(Row { schema, ..row });
        }
        batch
    }

    fn texts(recording: &Recording) -> Vec<String> {
        let decoded = recording.changes.iter().map(|it| STANDARD.decode(it).expect("base64"));
        let text = |change: Vec<u8>| {
            let change = ChangeView::parse(&change).expect("a change");
            let mut values = change.after.expect("an image").values();
            let value = values.next().expect("a value").expect("whole");
            format!("{}{}", change.schema, value.as_str().unwrap_or("-"))
        };
        decoded.map(text).collect()
    }

    #[test]
    fn the_newest_changes_are_chosen_in_their_order_under_each_tables_newest_definition() {
        let (old, new, other) = (table("a", "x"), table("a", "y"), table("b", "z"));
        let mut kept = Kept::default();
        kept.batches.push_back(batch(&[(&old, "1"), (&other, "2"), (&other, "3")]));
        kept.batches.push_back(batch(&[(&new, "4"), (&other, "5"), (&new, "6")]));
        let chosen = |changes, tables: &[&str]| {
            let tables = tables.iter().map(|&table| table.to_owned()).collect();
            let wanted = Wanted { changes, tables, ..Wanted::default() };
            texts(&Chosen::of(&kept, &wanted, |_| true).recording())
        };
        assert_eq!(chosen(3, &[]), ["04", "15", "06"]);
        // The first is of a definition that the table has no more.
        assert_eq!(chosen(9, &[]), ["12", "13", "04", "15", "06"]);
        assert_eq!(chosen(9, &["public.b"]), ["02", "03", "05"]);
        assert_eq!(chosen(9, &["public.c"]), Vec::<String>::new());
        let wanted = Wanted { changes: 9, ..Wanted::default() };
        assert!(Chosen::of(&kept, &wanted, |_| false).rows.is_empty());
    }
}
