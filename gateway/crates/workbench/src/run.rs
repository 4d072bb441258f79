//! Runs a plugin over a fixture's changes on the production host, and writes down what leaves.
//!
//! It does what the pipeline does with a batch: rows of one definition share calls, faults are
//! isolated, what is emitted follows its parent. A change that the plugin fails at is written down
//! as failed, whatever a configuration would make of it.

use std::collections::HashMap;
use std::sync::Arc;

use offtake_change::{Batch, Form, Image, Row, TableSchema};
use offtake_transform::{Fault, FaultCode, Isolated, Plugin, PluginError, Processed};
use serde_json::{Map, Value};

use crate::changes::{Changes, is_message};
use crate::{batches, tables, values};

/// A plugin that cannot be used with a fixture: it refused its configuration or a table, or broke in
/// a way that is no change's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code that `offtake run` would halt with.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub next_step: String,
}

impl From<&PluginError> for Refusal {
    fn from(error: &PluginError) -> Refusal {
        Refusal {
            code: error.code().to_owned(),
            message: error.to_string(),
            next_step: error.next_step().to_owned(),
        }
    }
}

impl From<&Fault> for Refusal {
    fn from(fault: &Fault) -> Refusal {
        Refusal {
            code: fault.code().to_owned(),
            message: fault.to_string(),
            next_step: fault.next_step().to_owned(),
        }
    }
}

/// What left a plugin, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One object a row that left, was dropped or failed: the lines of `expect.jsonl`.
    pub lines: Vec<Value>,
    /// The rows as the log gets them.
    pub(crate) wire: Vec<Vec<u8>>,
    /// Definitions that the plugin made, by the table that they are of.
    pub definitions: Vec<Value>,
    /// Rows that left, emitted ones among them.
    pub left: usize,
    /// Rows that the plugin emitted.
    pub emitted: usize,
    /// Rows that it dropped.
    pub dropped: usize,
    /// Rows that it failed at.
    pub failed: usize,
    /// Failures that it did not declare: a line of the changes, the code, and the words.
    pub undeclared: Vec<(usize, String, String)>,
}

/// Runs a fresh instance over the changes, `size` of them in each batch.
///
/// # Errors
/// What is no change's.
pub fn run(
    plugin: &Plugin,
    schemas: &[Arc<TableSchema>],
    changes: &Changes,
    size: usize,
) -> Result<Outcome, Refusal> {
    let mut isolated = Isolated::new(&plugin.apart()).map_err(|error| Refusal::from(&error))?;
    check_required(plugin, schemas)?;
    let mut writer = Writer::default();
    for schema in schemas {
        let output = isolated.output_schema(schema).map_err(|fault| Refusal::from(&fault))?;
        writer.define(&output, Some(schema));
    }
    let mut start = 0;
    while start < changes.len() {
        let end = changes.len().min(start + size.max(1));
        let mut batch = batches::stretch(changes, start..end);
        let done = process(&mut isolated, &mut batch).map_err(|fault| Refusal::from(&fault))?;
        writer.batch(&batch, &changes.lines[start..end], &done);
        start = end;
    }
    Ok(writer.outcome)
}

/// What a plugin that protects must cover is in one of the tables at least, as at the pipeline's
/// start.
fn check_required(plugin: &Plugin, schemas: &[Arc<TableSchema>]) -> Result<(), Refusal> {
    let info = plugin.info();
    let is_missing = |name: &&String| schemas.iter().all(|table| table.ordinal(name).is_none());
    let missing = info.required_columns.iter().filter(|_| info.protects).find(is_missing);
    match missing.filter(|_| !schemas.is_empty()) {
        None => Ok(()),
        Some(name) => Err(Refusal {
            code: "PLUGIN_COLUMN_MISSING".to_owned(),
            message: format!(
                "plugin {}: it is to protect {name:?}, which none of its tables has",
                plugin.name()
            ),
            next_step: "correct the column in config.toml, or add it in tables.json".to_owned(),
        }),
    }
}

/// All rows of a batch, as the pipeline has a plugin process them.
pub(crate) fn process(isolated: &mut Isolated, batch: &mut Batch) -> Result<Processed, Fault> {
    let rows: Vec<u32> = (0..batch.rows.len() as u32).collect();
    let mut done = Processed::default();
    isolated.process_by_schema(batch, &rows, &mut done)?;
    Ok(done)
}

/// Writes down what leaves.
#[derive(Default)]
struct Writer {
    outcome: Outcome,
    schemas: Vec<Arc<TableSchema>>,
}

impl Writer {
    /// Numbers a definition that leaves, and describes one that the plugin made. `of`: the table as
    /// it came in; none of emitted rows.
    fn define(&mut self, schema: &Arc<TableSchema>, of: Option<&TableSchema>) -> u32 {
        if let Some(at) = self.schemas.iter().rposition(|known| known == schema) {
            return at as u32;
        }
        self.schemas.push(Arc::clone(schema));
        if !schema.changed_by.is_empty() {
            let mut described = Map::new();
            if let Some(of) = of {
                described.insert("of".into(), of.qualified_name().into());
            }
            if let Value::Object(rest) = tables::describe(schema) {
                described.extend(rest);
            }
            self.outcome.definitions.push(Value::Object(described));
        }
        self.schemas.len() as u32 - 1
    }

    fn batch(&mut self, batch: &Batch, lines: &[usize], done: &Processed) {
        let mut emitted: HashMap<u32, Vec<u32>> = HashMap::new();
        for emission in &done.emitted {
            emitted.entry(emission.parent).or_default().push(emission.row);
        }
        let failed: HashMap<u32, &Fault> =
            done.failed.iter().map(|failed| (failed.row, &failed.fault)).collect();
        for (at, &line) in lines.iter().enumerate() {
            let Some(row) = batch.rows.get(at) else { continue };
            match failed.get(&(at as u32)) {
                Some(fault) => self.failed(line, fault),
                None if row.dropped => self.dropped(line),
                None => self.row(batch, row, line, false),
            }
            for &of in emitted.get(&(at as u32)).into_iter().flatten() {
                let row = batch.rows.get(of as usize);
                if let Some(row) = row.filter(|row| !row.dropped) {
                    self.outcome.emitted += 1;
                    self.row(batch, row, line, true);
                }
            }
        }
    }

    fn failed(&mut self, line: usize, fault: &Fault) {
        self.outcome.failed += 1;
        if !matches!(fault.code, FaultCode::RowFailure | FaultCode::Refused) {
            let (code, message) = (fault.code().to_owned(), fault.message.clone());
            self.outcome.undeclared.push((line, code, message));
        }
        let mut object = Map::new();
        object.insert("change".into(), line.into());
        object.insert("failed".into(), fault.code().into());
        object.insert("message".into(), fault.message.as_str().into());
        self.outcome.lines.push(Value::Object(object));
    }

    fn dropped(&mut self, line: usize) {
        self.outcome.dropped += 1;
        let mut object = Map::new();
        object.insert("change".into(), line.into());
        object.insert("dropped".into(), true.into());
        self.outcome.lines.push(Value::Object(object));
    }

    fn row(&mut self, batch: &Batch, row: &Row, line: usize, emitted: bool) {
        let Some(schema) = batch.schemas.get(row.schema as usize) else { return };
        let id = self.define(schema, None);
        self.outcome.left += 1;
        self.outcome.lines.push(describe(batch, row, schema, line, emitted));
        let mut wire = Vec::new();
        // Streams are in the line; here all rows are of one.
        batch.encode(row, self.outcome.wire.len() as u64 + 1, 0, id, &mut wire);
        self.outcome.wire.push(wire);
    }
}

/// A row that leaves, as a line of `expect.jsonl`.
fn describe(batch: &Batch, row: &Row, schema: &TableSchema, line: usize, emitted: bool) -> Value {
    let mut object = Map::new();
    object.insert("change".into(), line.into());
    if emitted {
        object.insert("emitted".into(), true.into());
    }
    if let Some(stream) = row.stream.and_then(|stream| batch.streams.get(stream as usize)) {
        object.insert("stream".into(), stream.as_ref().into());
    }
    if !is_message(schema) {
        object.insert("table".into(), schema.qualified_name().into());
    }
    object.insert("op".into(), char::from(row.operation.letter()).to_string().into());
    let opaque = (schema.form == Form::Opaque).then_some(schema.payload);
    let image = |image: Image, ordinals: &mut dyn Iterator<Item = u32>| {
        let named = ordinals.filter_map(|ordinal| {
            let column = schema.columns.get(ordinal as usize)?;
            let value = values::show(batch.column(image, ordinal as usize))?;
            Some((column.name.clone(), value))
        });
        Value::Object(named.collect())
    };
    // The key of what is left of the row, as sinks derive it.
    let keyed = if row.after.is_some() { row.after } else { row.before };
    if !schema.key.is_empty() && keyed.is_some() {
        object.insert("key".into(), image(keyed, &mut schema.key.iter().copied()));
    }
    for (name, of) in [("before", row.before), ("after", row.after)] {
        let mut rest = (0..schema.columns.len() as u32).filter(|at| Some(*at) != opaque);
        if of.is_some() {
            object.insert(name.into(), image(of, &mut rest));
        }
    }
    if let Some(partition) = row.headers.partition() {
        object.insert("partition".into(), partition.into());
    }
    let headers: Map<String, Value> = batch.headers(row.headers).map(header).collect();
    if !headers.is_empty() {
        object.insert("headers".into(), Value::Object(headers));
    }
    if let Some(payload) = opaque {
        let value = values::show(batch.column(row.after, payload as usize));
        object.insert("payload".into(), value.unwrap_or(Value::Null));
        object.insert("content_type".into(), schema.content_type.as_str().into());
    }
    Value::Object(object)
}

/// A header: its value as text where it is text.
fn header((name, value): (&[u8], &[u8])) -> (String, Value) {
    let value = match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => values::show_bytes(value),
    };
    (String::from_utf8_lossy(name).into_owned(), value)
}
