//! The definition that a plugin puts out, made of the one that it takes in and the shape that it
//! asked for.
//!
//! It is made once a definition, never a change: rows of the table then carry the output's
//! definition, so the next plugin, the log and every sink see one and the same. Of a shape this
//! release offers the key; columns that are removed, retyped or added are refused, for images are
//! not rewritten yet.

use std::sync::Arc;

use offtake_change::TableSchema;

use crate::FaultCode;
use crate::bindings as wit;
use crate::interest::Refusal;

/// How what a plugin puts out of a table differs from what it takes in, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Ordinals of the key's columns in key order; empty: no key. `None`: the key stays.
    pub key: Option<Vec<u32>>,
}

impl Shape {
    /// Checks the shape that a plugin asked for.
    pub(crate) fn check(
        schema: &TableSchema,
        answer: Option<wit::Shape>,
    ) -> Result<Shape, Refusal> {
        let Some(wit::Shape { remove, retype, add, key }) = answer else {
            return Ok(Shape::default());
        };
        let beyond = [
            (!remove.is_empty(), "removed"),
            (!retype.is_empty(), "retyped"),
            (!add.is_empty(), "added"),
        ];
        if let Some((_, what)) = beyond.iter().find(|(asked, _)| *asked) {
            let message = format!(
                "it asks for columns to be {what}; of a shape this release offers the key alone"
            );
            return Err((FaultCode::FeatureUnsupported, message));
        }
        if let Some(key) = &key {
            check_key(schema.columns.len(), key)
                .map_err(|message| (FaultCode::MalformedVerdict, message))?;
        }
        Ok(Shape { key })
    }

    /// The definition that leaves a plugin. The very one that it took in where nothing differs;
    /// else one that names the plugin among those that changed it.
    fn output(&self, plugin: &str, input: &Arc<TableSchema>) -> Arc<TableSchema> {
        let Some(key) = self.key.as_ref().filter(|key| **key != input.key) else {
            return Arc::clone(input);
        };
        let mut output = TableSchema { key: key.clone(), ..TableSchema::clone(input) };
        output.changed_by.push(plugin.to_owned());
        Arc::new(output)
    }
}

fn check_key(count: usize, key: &[u32]) -> Result<(), String> {
    for (at, ordinal) in key.iter().enumerate() {
        if *ordinal as usize >= count {
            return Err(format!("its key has column {ordinal} of {count}"));
        }
        if key[..at].contains(ordinal) {
            return Err(format!("its key has column {ordinal} twice"));
        }
    }
    Ok(())
}

/// A table as a plugin takes it in and as it puts it out.
#[derive(Clone, Debug)]
pub(crate) struct Shaped {
    /// Its columns are those that the plugin's ordinals count.
    pub(crate) input: Arc<TableSchema>,
    /// Its key is the one that rows have once the plugin is done.
    pub(crate) output: Arc<TableSchema>,
}

impl Shaped {
    pub(crate) fn new(plugin: &str, input: &Arc<TableSchema>, shape: &Shape) -> Shaped {
        Shaped { input: Arc::clone(input), output: shape.output(plugin, input) }
    }

    /// Whether rows leave under another definition than they came.
    pub(crate) fn differs(&self) -> bool {
        !Arc::ptr_eq(&self.input, &self.output)
    }

    /// Takes an equal definition, which was read anew, in the place of the input.
    pub(crate) fn read_anew(&mut self, input: &Arc<TableSchema>) {
        if !self.differs() {
            self.output = Arc::clone(input);
        }
        self.input = Arc::clone(input);
    }
}
