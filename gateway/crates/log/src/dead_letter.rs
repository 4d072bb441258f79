//! Dead letters: changes that a plugin or a sink could not take, as changes of a stream of their
//! own.
//!
//! The stream lies in the log like any other, so that subscribers and Kafka get it in the same
//! order and with the same guarantees; only what a dead letter looks like is decided here. Who
//! writes one, and how much of a protected row it may hold, is the pipeline's business.

use std::sync::Arc;

use offtake_change::wire::ChangeView;
use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};

use offtake_proto::v1;

use crate::{Log, LogWriter, ReadError, Selection};

/// What the stream's name ends with, after the pipeline's.
const SUFFIX: &str = ".dead_letters";
/// Ordinals of the columns that name the original: they are the key.
const ORIGIN: usize = 0;
const SEQUENCE: usize = 1;
/// Ordinal of the original change.
const CHANGE: usize = 12;

/// Name of a pipeline's dead-letter stream.
pub fn dead_letter_stream(pipeline: &str) -> String {
    format!("{pipeline}{SUFFIX}")
}

/// A change that could not be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Who could not take it: `kafka`, or a plugin's name.
    pub origin: &'a str,
    /// The sequence of the original; of a change that never got one, a number that is unique for
    /// the origin.
    pub sequence: u64,
    /// SHA-256 of the plugin's component, hexadecimal; `None`: it was no plugin.
    pub digest: Option<&'a str>,
    /// Stable code of the error.
    pub code: &'a str,
    /// The error. Holds no value of the row.
    pub error: &'a str,
    /// Where the row stands in the source's log.
    pub position: Lsn,
    /// Where its transaction commits; zero: it is in none.
    pub commit: Lsn,
    /// The stream that the change was for.
    pub stream: &'a str,
    /// Schema of the table.
    pub namespace: &'a str,
    /// The table.
    pub table: &'a str,
    /// Operation of the change, as Debezium's letter.
    pub operation: &'a str,
    /// SHA-256 of the key's columns, hexadecimal; `None`: the table has no key.
    pub key_hash: Option<&'a str>,
    /// The change, encoded as in the log; `None` where nothing of the row may be kept.
    pub change: Option<&'a [u8]>,
}

/// Where the schema of dead letters stands, which is no table's.
const NAME: (&str, &str) = ("offtake", "dead_letters");

/// Whether it is the schema of a dead-letter stream's changes, of whichever version.
pub(crate) fn is_dead_letter_schema(schema: &v1::Schema) -> bool {
    schema.database.is_empty() && (schema.namespace.as_str(), schema.table.as_str()) == NAME
}

/// The schema of a dead-letter stream's changes.
pub fn dead_letter_schema() -> TableSchema {
    let column = |name: &str, kind, logical: &str, type_id, nullable| Column {
        type_id,
        nullable,
        ..Column::new(name, kind, logical)
    };
    let text = |name: &str, nullable| column(name, Kind::Text, "text", 25, nullable);
    TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new(
            "",
            NAME.0,
            NAME.1,
            vec![
                text("origin", false),
                column("sequence", Kind::Integer, "int8", 20, false),
                text("digest", true),
                text("code", false),
                text("error", false),
                text("position", false),
                text("commit_position", true),
                text("stream", false),
                text("namespace", false),
                text("table", false),
                text("operation", false),
                text("key_hash", true),
                column("change", Kind::Bytes, "bytea", 17, true),
            ],
            &[ORIGIN as u32, SEQUENCE as u32],
        )
    }
}

/// The writing end of a pipeline's dead letters.
#[derive(Debug)]
pub struct DeadLetterStream {
    name: String,
    schema: Arc<TableSchema>,
    batch: Batch,
}

impl DeadLetterStream {
    /// That of the pipeline of that name.
    pub fn new(pipeline: &str) -> DeadLetterStream {
        DeadLetterStream {
            name: dead_letter_stream(pipeline),
            schema: Arc::new(dead_letter_schema()),
            batch: Batch::new(),
        }
    }

    /// Adds a dead letter to the open group and gives its own sequence. `now`: nanoseconds since
    /// the Unix epoch.
    pub fn push(&mut self, writer: &mut LogWriter, letter: &DeadLetter<'_>, now: i64) -> u64 {
        let stream = writer.register_stream(&self.name);
        let schema = writer.register_schema(&self.schema);
        let batch = &mut self.batch;
        batch.clear();
        batch.processed_unix_ns = now;
        let index = batch.schema_index(&self.schema);
        let (position, commit) = (letter.position.to_string(), letter.commit.to_string());
        let commit = (letter.commit != Lsn::ZERO).then_some(commit.as_str());
        let sequence = Cell::integer(i64::try_from(letter.sequence).unwrap_or(i64::MAX));
        let mut text = |text: &str| batch.text(text.as_bytes());
        let cells = [
            text(letter.origin),
            sequence,
            letter.digest.map_or(Cell::NULL, &mut text),
            text(letter.code),
            text(letter.error),
            text(&position),
            commit.map_or(Cell::NULL, &mut text),
            text(letter.stream),
            text(letter.namespace),
            text(letter.table),
            text(letter.operation),
            letter.key_hash.map_or(Cell::NULL, &mut text),
            letter.change.map_or(Cell::NULL, |change| batch.bytes(change)),
        ];
        let after = put_image(batch, cells);
        let row = row(index, after, letter.position);
        writer.push(stream, schema, |sequence, out| {
            batch.encode(&row, sequence, stream, schema, out);
        })
    }
}

fn put_image(batch: &mut Batch, cells: impl IntoIterator<Item = Cell>) -> Image {
    let begin = batch.begin_image();
    cells.into_iter().for_each(|cell| batch.push_cell(cell));
    batch.end_image(begin)
}

fn row(schema: u32, after: Image, lsn: Lsn) -> Row {
    Row {
        schema,
        lsn,
        order: 0,
        order_in_table: 0,
        ..Row::new(Operation::Create, Image::NONE, after)
    }
}

/// Encodes a dead letter again without the original change, for a reader that cannot take it.
///
/// # Errors
/// The dead letter cannot be read.
pub fn without_original(
    letter: &ChangeView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), offtake_change::wire::WireError> {
    let mut batch = Batch::new();
    batch.processed_unix_ns = letter.processed_unix_ns;
    let mut cells = Vec::with_capacity(CHANGE + 1);
    let values = letter.after.map(|row| row.values());
    for (ordinal, value) in values.into_iter().flatten().enumerate() {
        cells.push(match value? {
            _ if ordinal == CHANGE => Cell::NULL,
            ValueRef::Text(text) => batch.text(text),
            ValueRef::Integer(number) => Cell::integer(number),
            _ => Cell::NULL,
        });
    }
    let after = put_image(&mut batch, cells);
    let row = row(0, after, letter.lsn);
    batch.encode(&row, letter.sequence, letter.stream, letter.schema, out);
    Ok(())
}

impl Log {
    /// The sequence of the durable dead letter that an origin wrote for a change; `None`: there is
    /// none. Reads the stream from the change on, which is for rare moments.
    ///
    /// # Errors
    /// The log no longer holds what follows the change, or cannot be read.
    pub fn dead_letter_of(
        &self,
        stream: &str,
        origin: &str,
        sequence: u64,
    ) -> Result<Option<u64>, ReadError> {
        if !self.streams().iter().any(|known| known.name == stream) {
            return Ok(None);
        }
        let mut reader = self.reader(sequence, Selection::globs([stream]))?;
        while let Some(group) = reader.next_group()? {
            for run in &group.runs {
                // What cannot be read is no dead letter of ours.
                for change in run.changes().map_while(Result::ok) {
                    if is_of(&change, origin, sequence) {
                        return Ok(Some(change.sequence));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn is_of(letter: &ChangeView<'_>, origin: &str, sequence: u64) -> bool {
    let mut values = letter.after.into_iter().flat_map(|row| row.values()).map_while(Result::ok);
    let is_origin = values.next().is_some_and(|value| value.as_str() == Some(origin));
    let wanted = i64::try_from(sequence).unwrap_or(i64::MAX);
    is_origin && values.next() == Some(ValueRef::Integer(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogOptions;

    fn letter(sequence: u64) -> DeadLetter<'static> {
        DeadLetter {
            origin: "kafka",
            sequence,
            code: "KAFKA_MESSAGE_TOO_LARGE",
            error: "too large",
            position: Lsn(0x16_b374_d848),
            stream: "shop.public.orders",
            namespace: "public",
            table: "orders",
            operation: "c",
            change: Some(b"\x08\x01"),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn a_dead_letter_is_found_by_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = crate::open(LogOptions::new(folder.path())).unwrap();
        let stream = opened.writer.register_stream("other");
        for _ in 0..5 {
            opened.writer.push(stream, 1, |_, _| {});
        }
        opened.writer.flush().unwrap();
        let find =
            |sequence| opened.log.dead_letter_of("shop.dead_letters", "kafka", sequence).unwrap();
        assert_eq!(find(3), None, "there is no such stream yet");
        let mut letters = DeadLetterStream::new("shop");
        for sequence in [3, 5] {
            letters.push(&mut opened.writer, &letter(sequence), 7);
        }
        opened.writer.flush().unwrap();
        assert_eq!((find(3), find(4), find(5)), (Some(6), None, Some(7)));
        let by_other = opened.log.dead_letter_of("shop.dead_letters", "mask", 3).unwrap();
        assert_eq!(by_other, None);
    }

    #[test]
    fn a_dead_letter_reads_back_and_can_do_without_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = crate::open(LogOptions::new(folder.path())).unwrap();
        DeadLetterStream::new("shop").push(&mut opened.writer, &letter(9), 7);
        opened.writer.flush().unwrap();
        let mut reader = opened.log.reader(0, Selection::all()).unwrap();
        let group = reader.next_group().unwrap().unwrap();
        let change = group.runs[0].changes().next().unwrap().unwrap();
        let texts = |change: &ChangeView<'_>| {
            let values = change.after.unwrap().values().map(|value| {
                let mut text = Vec::new();
                value.unwrap().put_text(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            });
            values.collect::<Vec<_>>()
        };
        let read = texts(&change);
        assert_eq!(read.len(), dead_letter_schema().columns.len());
        assert_eq!(read[..2], ["kafka", "9"]);
        assert_eq!((read[5].as_str(), read[12].as_str()), ("16/B374D848", "\u{8}\u{1}"));
        let mut stripped = Vec::new();
        without_original(&change, &mut stripped).unwrap();
        let stripped = ChangeView::parse(&stripped).unwrap();
        assert_eq!(texts(&stripped)[..12], read[..12]);
        assert_eq!(texts(&stripped)[12], "");
        assert_eq!((stripped.sequence, stripped.schema), (change.sequence, change.schema));
        assert_eq!(stripped.processed_unix_ns, 7);
    }
}
