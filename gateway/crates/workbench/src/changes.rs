//! Changes of a fixture: `changes.jsonl`, one a line, to rows of a batch.

use std::path::Path;
use std::sync::Arc;

use offtake_change::{
    Batch, Cell, Image, Lsn, NO_TRANSACTION, Operation, ReplicaIdentity, Row, Snapshot, Subject,
    TableSchema, Transaction,
};
use offtake_config::nearest;
use serde_json::{Map, Value};

use crate::mistake::{Mistake, Place, kind_of};
use crate::{tables, time, values};

const CHANGE: &[&str] = &[
    "table",
    "op",
    "before",
    "after",
    "position",
    "commit_time",
    "transaction",
    "order",
    "snapshot",
    "headers",
    "prefix",
    "content",
];

/// Between the positions of two lines, where none is given.
const POSITION_STEP: u64 = 0x100;
/// Commit time of a line numbered 0, where none is given: 2026-01-01T00:00:00Z.
const COMMIT_TIME: i64 = 1_767_225_600_000_000;

/// The changes of a fixture.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The rows; nothing else of it is set.
    pub(crate) batch: Batch,
    /// Of each row its line in the file, from 1.
    pub(crate) lines: Vec<usize>,
}

impl Changes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Reads `changes.jsonl`.
///
/// # Errors
/// The first mistake of each line.
pub(crate) fn parse(
    file: &Path,
    text: &str,
    tables: &[Arc<TableSchema>],
) -> Result<Changes, Vec<Mistake>> {
    let mut changes = Changes::default();
    let mut mistakes = Vec::new();
    let mut messages = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let reader = Reader {
            place: Place { file, line: Some(at + 1) },
            line: at + 1,
            tables,
            messages: &mut messages,
        };
        if let Err(mistake) = reader.line(trimmed, &mut changes) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() { Ok(changes) } else { Err(mistakes) }
}

/// Reads one line.
struct Reader<'f> {
    place: Place<'f>,
    line: usize,
    tables: &'f [Arc<TableSchema>],
    messages: &'f mut Option<Arc<TableSchema>>,
}

impl Reader<'_> {
    fn line(mut self, text: &str, changes: &mut Changes) -> Result<(), Mistake> {
        let value = self.place.json(text)?;
        let object = self.place.object("the change", &value, CHANGE)?;
        let operation = self.operation(object)?;
        let schema = match operation {
            Operation::Message => self.message_schema(object)?,
            _ => self.table(object)?,
        };
        let (before, after) = self.images(object, operation, &schema, &mut changes.batch)?;
        let (transaction, order, snapshot) = self.transaction(object, operation, changes)?;
        let index = changes.batch.schema_index(&schema);
        let in_table = changes.batch.rows.iter().filter(|row| {
            row.schema == index && row.transaction == transaction && transaction != NO_TRANSACTION
        });
        let order_in_table = in_table.count() as u64 + 1;
        changes.batch.rows.push(Row {
            schema: index,
            transaction,
            snapshot,
            lsn: self.position(object)?,
            order,
            order_in_table,
            ..Row::new(operation, before, after)
        });
        changes.lines.push(self.line);
        self.headers(object, &mut changes.batch)
    }

    fn mistake(&self, code: &'static str, message: String, help: impl Into<String>) -> Mistake {
        self.place.mistake(code, message, help)
    }

    fn operation(&self, object: &Map<String, Value>) -> Result<Operation, Mistake> {
        let help = "there are c created, u updated, d deleted, r read by a snapshot, t truncated, \
                    m logical message";
        let Some(text) = self.place.text(object, "op")? else {
            return Err(self.mistake("FIXTURE_CHANGE", "it has no \"op\"".to_owned(), help));
        };
        let found = match text.as_bytes() {
            [letter] => Operation::from_letter(*letter).filter(|found| *found != Operation::Define),
            _ => None,
        };
        found.ok_or_else(|| self.mistake("FIXTURE_CHANGE", format!("\"op\" is {text:?}"), help))
    }

    fn table(&self, object: &Map<String, Value>) -> Result<Arc<TableSchema>, Mistake> {
        for name in ["prefix", "content"] {
            if object.contains_key(name) {
                let message = format!("it has {name:?}, as logical messages have, and is a row");
                return Err(self.mistake("FIXTURE_CHANGE", message, "write \"op\": \"m\""));
            }
        }
        let known: Vec<String> = self.tables.iter().map(|table| table.qualified_name()).collect();
        let all = || format!("tables.json has {}", known.join(", "));
        let Some(name) = self.place.text(object, "table")? else {
            return Err(self.mistake("FIXTURE_CHANGE", "it has no \"table\"".to_owned(), all()));
        };
        let found = known.iter().position(|known| known == name);
        if let Some(table) = found.and_then(|at| self.tables.get(at)) {
            return Ok(Arc::clone(table));
        }
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => all(),
        };
        let message = format!("\"table\" is {name:?}, which tables.json does not have");
        Err(self.mistake("FIXTURE_CHANGE", message, help))
    }

    fn message_schema(&mut self, object: &Map<String, Value>) -> Result<Arc<TableSchema>, Mistake> {
        if object.contains_key("table") {
            let message = "a logical message has no table".to_owned();
            return Err(self.mistake("FIXTURE_CHANGE", message, "leave \"table\" out"));
        }
        Ok(Arc::clone(self.messages.get_or_insert_with(|| Arc::new(tables::messages()))))
    }

    fn images(
        &self,
        object: &Map<String, Value>,
        operation: Operation,
        schema: &TableSchema,
        batch: &mut Batch,
    ) -> Result<(Image, Image), Mistake> {
        if operation == Operation::Message {
            return Ok((Image::NONE, self.message(object, batch)?));
        }
        // Whether there may be an image, and whether there must be one.
        let (before, after) = match operation {
            Operation::Create | Operation::Read => ((false, false), (true, true)),
            Operation::Update => ((true, false), (true, true)),
            Operation::Delete => ((true, false), (false, false)),
            _ => ((false, false), (false, false)),
        };
        let mut made = [Image::NONE; 2];
        for (slot, (name, (may, must))) in
            made.iter_mut().zip([("before", before), ("after", after)])
        {
            let letter = char::from(operation.letter());
            match object.get(name) {
                None | Some(Value::Null) if must => {
                    let message = format!("\"op\" is \"{letter}\" and there is no {name:?}");
                    let help = format!("write \"{name}\": {{…}} with the row's values");
                    return Err(self.mistake("FIXTURE_CHANGE", message, help));
                }
                None | Some(Value::Null) => {}
                Some(_) if !may => {
                    let message = format!("\"op\" is \"{letter}\", which has no {name:?}");
                    return Err(self.mistake("FIXTURE_CHANGE", message, "leave it out"));
                }
                Some(value) => {
                    let updated = operation == Operation::Update && name == "after";
                    *slot = self.image(name, value, schema, batch, updated)?;
                }
            }
        }
        Ok((made[0], made[1]))
    }

    fn image(
        &self,
        field: &str,
        value: &Value,
        schema: &TableSchema,
        batch: &mut Batch,
        updated: bool,
    ) -> Result<Image, Mistake> {
        let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        let object = self.place.object(&format!("{field:?}"), value, &names)?;
        let begin = batch.begin_image();
        for (ordinal, column) in schema.columns.iter().enumerate() {
            let Some(value) = object.get(&column.name) else {
                batch.push_cell(Cell::ABSENT);
                continue;
            };
            if field == "before" && !schema.is_in_identity(ordinal as u32) {
                return Err(self.not_before(schema, &column.name));
            }
            let is_key = schema.key.contains(&(ordinal as u32));
            let cell = values::store(batch, column, value, updated && !is_key);
            let cell = cell.map_err(|(message, help)| {
                self.mistake("FIXTURE_VALUE", format!("{field}.{} {message}", column.name), help)
            })?;
            batch.push_cell(cell);
        }
        Ok(batch.end_image(begin))
    }

    /// A before image has a column that the table's are said not to have.
    fn not_before(&self, schema: &TableSchema, column: &str) -> Mistake {
        let what = match schema.replica_identity {
            ReplicaIdentity::Nothing => "have nothing",
            _ => "have the key's columns alone",
        };
        let message = format!(
            "\"before\" has {column:?}, and before images of {} {what}, as tables.json has it",
            schema.qualified_name()
        );
        let help =
            "leave the column out, or write \"before\": \"all\" for the table in tables.json";
        self.mistake("FIXTURE_CHANGE", message, help)
    }

    fn message(&self, object: &Map<String, Value>, batch: &mut Batch) -> Result<Image, Mistake> {
        let Some(prefix) = self.place.text(object, "prefix")? else {
            let message = "a logical message needs a \"prefix\"".to_owned();
            return Err(self.mistake("FIXTURE_CHANGE", message, "write \"prefix\": \"audit\""));
        };
        let content = match object.get("content") {
            Some(value) => self.text_or_bytes("content", value)?,
            None => {
                let message = "a logical message needs a \"content\"".to_owned();
                return Err(self.mistake("FIXTURE_CHANGE", message, "write \"content\": \"text\""));
            }
        };
        let cells = [batch.text(prefix.as_bytes()), batch.bytes(&content)];
        let begin = batch.begin_image();
        cells.into_iter().for_each(|cell| batch.push_cell(cell));
        Ok(batch.end_image(begin))
    }

    fn text_or_bytes(&self, field: &str, value: &Value) -> Result<Vec<u8>, Mistake> {
        match value {
            Value::String(text) => Ok(text.clone().into_bytes()),
            Value::Object(object) if object.len() == 1 && object.contains_key("bytes") => {
                values::decode(&object["bytes"]).map_err(|(message, help)| {
                    self.mistake("FIXTURE_VALUE", format!("{field} {message}"), help)
                })
            }
            other => {
                let message = format!("{field} is {}", kind_of(other));
                let help = "write a text, or {\"bytes\": \"<base64>\"}";
                Err(self.mistake("FIXTURE_VALUE", message, help))
            }
        }
    }

    fn position(&self, object: &Map<String, Value>) -> Result<Lsn, Mistake> {
        let Some(text) = self.place.text(object, "position")? else {
            return Ok(Lsn(self.line as u64 * POSITION_STEP));
        };
        text.parse().map_err(|error| {
            self.mistake("FIXTURE_VALUE", format!("\"position\": {error}"), "as \"0/16B3748\"")
        })
    }

    /// The transaction's index, the place in it, and the snapshot marker.
    fn transaction(
        &self,
        object: &Map<String, Value>,
        operation: Operation,
        changes: &mut Changes,
    ) -> Result<(u32, u64, Snapshot), Mistake> {
        let order = self.place.number(object, "order")?;
        let marker = self.place.number(object, "snapshot")?;
        if operation == Operation::Read {
            for name in ["transaction", "commit_time"] {
                if object.contains_key(name) {
                    let message = format!("a row of a snapshot has no {name:?}");
                    return Err(self.mistake("FIXTURE_CHANGE", message, "leave it out"));
                }
            }
            let snapshot = Snapshot::try_from(marker.unwrap_or(Snapshot::Row as u64))
                .ok()
                .filter(|marker| *marker != Snapshot::None);
            let Some(snapshot) = snapshot else {
                let message = "\"snapshot\" of a row of a snapshot is out of range".to_owned();
                let help =
                    "1 first row, 2 a row, 3 last of its table, 4 last, 5 first of its table";
                return Err(self.mistake("FIXTURE_VALUE", message, help));
            };
            return Ok((NO_TRANSACTION, order.unwrap_or(changes.len() as u64 + 1), snapshot));
        }
        if marker.unwrap_or(0) != 0 {
            let message = "\"snapshot\" is given, and it is no row of a snapshot".to_owned();
            return Err(self.mistake("FIXTURE_CHANGE", message, "write \"op\": \"r\""));
        }
        let (index, next) = self.transaction_index(object, &mut changes.batch)?;
        Ok((index, order.unwrap_or(next), Snapshot::None))
    }

    /// The transaction's index, and the next place in it.
    fn transaction_index(
        &self,
        object: &Map<String, Value>,
        batch: &mut Batch,
    ) -> Result<(u32, u64), Mistake> {
        let commit_time = self.commit_time(object)?;
        let id = match self.place.text(object, "transaction")? {
            Some(id) => id.to_owned(),
            None => self.line.to_string(),
        };
        let of = |row: &&Row| {
            let transaction = batch.transactions.get(row.transaction as usize);
            transaction.is_some_and(|transaction| transaction.id == id)
        };
        if let Some(known) = batch.rows.iter().rfind(of) {
            let index = known.transaction;
            let held = batch.transactions.get(index as usize).map(|known| known.commit_unix_us);
            if commit_time.is_some_and(|given| Some(given) != held) {
                let message = format!("transaction {id:?} has another commit time above");
                let help = "give \"commit_time\" with the transaction's first change alone";
                return Err(self.mistake("FIXTURE_CHANGE", message, help));
            }
            return Ok((index, known.order + 1));
        }
        let commit_unix_us = commit_time.unwrap_or(COMMIT_TIME + self.line as i64 * 1_000_000);
        let commit = self.position(object)?;
        let transaction = Transaction { id, commit, commit_unix_us, ..Transaction::default() };
        Ok((batch.push_transaction(transaction), 1))
    }

    fn commit_time(&self, object: &Map<String, Value>) -> Result<Option<i64>, Mistake> {
        let given = match object.get("commit_time") {
            None => return Ok(None),
            Some(Value::String(text)) => time::parse(text),
            Some(value) => value.as_i64(),
        };
        given.map(Some).ok_or_else(|| {
            let message = "\"commit_time\" cannot be read".to_owned();
            let help = "write \"2026-01-02T03:04:05.000006Z\", or microseconds since 1970";
            self.mistake("FIXTURE_VALUE", message, help)
        })
    }

    fn headers(&self, object: &Map<String, Value>, batch: &mut Batch) -> Result<(), Mistake> {
        let Some(value) = object.get("headers") else { return Ok(()) };
        let Value::Object(given) = value else {
            let message = format!("\"headers\" is {}", kind_of(value));
            return Err(self.mistake("FIXTURE_TYPE", message, "write {\"name\": \"value\"}"));
        };
        let mut headers = Vec::with_capacity(given.len());
        for (name, value) in given {
            headers.push((name, self.text_or_bytes(&format!("headers.{name}"), value)?));
        }
        let row = batch.rows.len() - 1;
        batch.set_headers(row, headers.iter().map(|(name, value)| (name.as_str(), &value[..])));
        Ok(())
    }
}

/// Whether changes of the definition are logical messages.
pub(crate) fn is_message(schema: &TableSchema) -> bool {
    schema.subject == Subject::Message
}
