//! A fixture of changes that a gateway has: `tables.json`, `changes.jsonl` and `config.toml`, as a
//! person would have written them. What is expected of them is written by the test that follows.
//!
//! The values are those of a production database, so the files are their owner's alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use offtake_change::wire::{ChangeView, RowRef, TransactionView, WireError};
use offtake_change::{Operation, TableSchema};
use serde_json::{Map, Value};

use crate::changes::is_message;
use crate::fixture::{CHANGES, CONFIG, EXPECT, TABLES};
use crate::mistake::{Mistake, Place};
use crate::{tables, values};

/// Writes a fixture into a folder that must not be there. `changes`: encoded `Change` messages, whose
/// schema is an index into `definitions`. `config`: the plugin's `config` table as TOML.
///
/// # Errors
/// The folder is there or cannot be written, or a change cannot be read.
pub fn write(
    folder: &Path,
    definitions: &[TableSchema],
    changes: &[Vec<u8>],
    config: Option<&str>,
) -> Result<(), Mistake> {
    let place = Place { file: folder, line: None };
    if folder.exists() {
        let help = "name a fixture that is to be: --fixtures FOLDER/NAME";
        return Err(place.mistake("FIXTURE_EXISTS", "it is there already", help));
    }
    let changes = lines(definitions, changes).map_err(|error| {
        let message = format!("the gateway's changes cannot be read: {error}");
        let help = "use an `offtake` of the running gateway's version";
        place.mistake("FIXTURE_RECORDING", message, help)
    })?;
    let tables: Vec<String> = definitions
        .iter()
        .filter(|definition| !is_message(definition))
        .map(|definition| format!("  {}", tables::record(definition)))
        .collect();
    let tables = format!("[\n{}\n]\n", tables.join(",\n"));
    let unwritable = |error: io::Error| {
        let message = format!("cannot be written: {error}");
        place.mistake("FIXTURE_UNWRITABLE", message, "check the folder's permissions")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
    let mut files = vec![(TABLES, tables), (CHANGES, changes)];
    files.extend(config.map(|config| (CONFIG, config.to_owned())));
    // What is expected holds values too: there, it keeps its mode when it is written.
    files.push((EXPECT, String::new()));
    for (name, text) in files {
        put(&folder.join(name), &text).map_err(unwritable)?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The lines of `changes.jsonl`.
fn lines(definitions: &[TableSchema], changes: &[Vec<u8>]) -> Result<String, String> {
    let mut out = String::from("# Recorded from a running gateway.\n");
    let mut last = String::new();
    for encoded in changes {
        let change = ChangeView::parse(encoded).map_err(|error| error.to_string())?;
        let Some(definition) = definitions.get(change.schema as usize) else {
            return Err("a change is of no table".to_owned());
        };
        let line = line(definition, &change, &mut last).map_err(|error| error.to_string())?;
        out.push_str(&Value::Object(line).to_string());
        out.push('\n');
    }
    Ok(out)
}

/// One change. `last`: the transaction of the one before.
fn line(
    definition: &TableSchema,
    change: &ChangeView<'_>,
    last: &mut String,
) -> Result<Map<String, Value>, WireError> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    if change.operation != Operation::Message {
        put("table", definition.qualified_name().into());
    }
    put("op", char::from(change.operation.letter()).to_string().into());
    for (name, image) in [("before", change.before), ("after", change.after)] {
        let Some(image) = image.map(|image| image_of(definition, image)).transpose()? else {
            continue;
        };
        if change.operation == Operation::Message {
            image.into_iter().for_each(|(name, value)| drop(put(&name, value)));
        } else {
            put(name, Value::Object(image));
        }
    }
    put("position", change.lsn.to_string().into());
    match &change.transaction {
        Some(transaction) => {
            let id = name_of(transaction);
            put("transaction", id.as_str().into());
            put("order", change.order.into());
            if id != *last {
                put("commit_time", transaction.commit_unix_us.into());
            }
            *last = id;
        }
        None => {
            put("order", change.order.into());
            put("snapshot", (change.snapshot as u64).into());
        }
    }
    Ok(line)
}

fn name_of(transaction: &TransactionView<'_>) -> String {
    String::from_utf8_lossy(transaction.id).into_owned()
}

fn image_of(definition: &TableSchema, image: RowRef<'_>) -> Result<Map<String, Value>, WireError> {
    let mut object = Map::new();
    for (column, value) in definition.columns.iter().zip(image.values()) {
        if let Some(value) = values::show(value?) {
            object.insert(column.name.clone(), value);
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use offtake_change::{
        Batch, Cell, Column, Image, Kind, Lsn, NO_TRANSACTION, ReplicaIdentity, Row, Snapshot,
        Transaction,
    };

    use super::*;
    use crate::fixture::Fixture;

    fn people() -> TableSchema {
        let columns = vec![
            Column { nullable: false, ..Column::new("id", Kind::Integer, "int8") },
            Column::new("note", Kind::Text, "text"),
            Column::new("photo", Kind::Bytes, "bytes"),
        ];
        let table = TableSchema::new("shop", "public", "people", columns, &[0]);
        TableSchema { replica_identity: ReplicaIdentity::Index, ..table }
    }

    fn image(batch: &mut Batch, cells: &[Cell]) -> Image {
        let begin = batch.begin_image();
        cells.iter().for_each(|&cell| batch.push_cell(cell));
        batch.end_image(begin)
    }

    /// A row of a snapshot, then an update and a delete of one transaction.
    fn batch() -> Batch {
        let mut batch = Batch::new();
        let (note, photo) = (batch.text(b"\"zo\xc3\xa9\""), batch.bytes(&[0, 255]));
        let read = image(&mut batch, &[Cell::integer(i64::MAX), note, photo]);
        let after = image(&mut batch, &[Cell::integer(2), Cell::UNCHANGED, Cell::NULL]);
        let key = image(&mut batch, &[Cell::integer(2), Cell::ABSENT, Cell::ABSENT]);
        let transaction = batch.push_transaction(Transaction {
            id: "771".to_owned(),
            commit: Lsn(0x900),
            commit_unix_us: 1_767_323_045_000_006,
            ..Transaction::default()
        });
        let rows = [
            (Operation::Read, Image::NONE, read, NO_TRANSACTION, Snapshot::Last),
            (Operation::Update, Image::NONE, after, transaction, Snapshot::None),
            (Operation::Delete, key, Image::NONE, transaction, Snapshot::None),
        ];
        for (at, (operation, before, after, transaction, snapshot)) in rows.into_iter().enumerate()
        {
            let (order, lsn) = (at as u64 + 3, Lsn(0x800 + at as u64));
            let row = Row::new(operation, before, after);
            batch.rows.push(Row { transaction, snapshot, order, lsn, ..row });
        }
        batch
    }

    fn encoded(batch: &Batch) -> Vec<Vec<u8>> {
        let encode = |row: &Row| {
            let mut out = Vec::new();
            batch.encode(row, 0, 0, 0, &mut out);
            out
        };
        batch.rows.iter().map(encode).collect()
    }

    #[test]
    fn what_is_written_reads_as_the_changes_that_were_recorded_and_is_the_owners_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("fixtures/recorded");
        let batch = batch();
        write(&folder, &[people()], &encoded(&batch), Some("column = \"note\"\n"))
            .expect("written");
        let fixture = Fixture::load(&folder).expect("no mistake");
        assert_eq!(fixture.config_json, "{\"column\":\"note\"}");
        let read = &fixture.changes.batch;
        assert_eq!(read.rows.len(), 3);
        for (row, written) in read.rows.iter().zip(&batch.rows) {
            assert_eq!(
                (row.operation, row.order, row.lsn, row.snapshot),
                (written.operation, written.order, written.lsn, written.snapshot)
            );
            for (image, of) in [(row.before, written.before), (row.after, written.after)] {
                assert_eq!(image.is_some(), of.is_some());
                let (image, of) = (read.values(image), batch.values(of));
                assert!(image.map(Some).eq(of.map(Some)), "{row:?}");
            }
        }
        assert_eq!(read.transactions.len(), 1);
        assert_eq!(read.transactions[0].id, "771");
        assert_eq!(read.transactions[0].commit_unix_us, 1_767_323_045_000_006);
        let mode = |name: &str| {
            let metadata = folder.join(name).metadata().expect("a file");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(
            [mode(""), mode(CHANGES), mode(CONFIG), mode(EXPECT)],
            [0o700, 0o600, 0o600, 0o600]
        );

        let again = write(&folder, &[people()], &[], None).expect_err("it is there");
        assert_eq!(again.code, "FIXTURE_EXISTS");
        let damaged = write(&parent.path().join("other"), &[people()], &[vec![0xff]], None);
        assert_eq!(damaged.expect_err("damage").code, "FIXTURE_RECORDING");
    }
}
