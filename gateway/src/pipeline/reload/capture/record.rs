//! A batch of changes as bytes and back: the definitions, then the changes, as the log encodes both.
//!
//! Only what the source gave is kept: what plugins add to a batch comes later, and where transactions
//! end is nothing that a trial asks for.

use std::sync::Arc;

use offtake_change::wire::{ChangeView, TransactionView};
use offtake_change::{Batch, Image, NO_TRANSACTION, Row, TableSchema, Transaction};
use offtake_proto::v1;
use prost::Message;

/// Bytes that are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A batch as bytes.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.size_bytes());
    put_count(&mut out, batch.schemas.len());
    for schema in &batch.schemas {
        put(&mut out, &schema.to_proto(0).encode_to_vec());
    }
    put_count(&mut out, batch.rows.len());
    let mut change = Vec::new();
    for row in &batch.rows {
        change.clear();
        batch.encode(row, 0, 0, row.schema, &mut change);
        put(&mut out, &change);
    }
    out
}

/// The batch of these bytes.
///
/// # Errors
/// They are none.
pub fn decode(bytes: &[u8]) -> Result<Batch, Unreadable> {
    let mut rest = bytes;
    let mut batch = Batch::new();
    for _ in 0..take_count(&mut rest)? {
        let schema = v1::Schema::decode(take(&mut rest)?).map_err(|_| Unreadable)?;
        batch.schemas.push(Arc::new(TableSchema::from_proto(&schema).map_err(|_| Unreadable)?));
    }
    for _ in 0..take_count(&mut rest)? {
        push_row(&mut batch, take(&mut rest)?)?;
    }
    if rest.is_empty() { Ok(batch) } else { Err(Unreadable) }
}

fn push_row(batch: &mut Batch, encoded: &[u8]) -> Result<(), Unreadable> {
    let change = ChangeView::parse(encoded).map_err(|_| Unreadable)?;
    if change.schema as usize >= batch.schemas.len() {
        return Err(Unreadable);
    }
    let mut image = |row: Option<offtake_change::wire::RowRef<'_>>| match row {
        Some(row) => row.store(batch).map_err(|_| Unreadable),
        None => Ok(Image::NONE),
    };
    let (before, after) = (image(change.before)?, image(change.after)?);
    let transaction = match &change.transaction {
        Some(view) => transaction_index(batch, view)?,
        None => NO_TRANSACTION,
    };
    batch.processed_unix_ns = change.processed_unix_ns;
    batch.rows.push(Row {
        schema: change.schema,
        transaction,
        snapshot: change.snapshot,
        lsn: change.lsn,
        order: change.order,
        order_in_table: change.order_in_table,
        ..Row::new(change.operation, before, after)
    });
    Ok(())
}

/// Changes of a transaction are neighbours.
fn transaction_index(batch: &mut Batch, view: &TransactionView<'_>) -> Result<u32, Unreadable> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable);
    let transaction = Transaction {
        id: text(view.id)?,
        commit: view.commit,
        previous_commit: view.previous_commit,
        commit_unix_us: view.commit_unix_us,
        origin: text(view.origin)?,
        begin: view.begin,
    };
    match batch.transactions.last() {
        Some(last) if *last == transaction => Ok((batch.transactions.len() - 1) as u32),
        _ => Ok(batch.push_transaction(transaction)),
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    put_count(out, part.len());
    out.extend_from_slice(part);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

fn take<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Unreadable> {
    let length = take_count(rest)?;
    let (part, after) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = after;
    Ok(part)
}

fn take_count(rest: &mut &[u8]) -> Result<usize, Unreadable> {
    let (count, after) = rest.split_first_chunk::<8>().ok_or(Unreadable)?;
    *rest = after;
    usize::try_from(u64::from_le_bytes(*count)).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use offtake_change::{Cell, Column, Kind, Lsn, Operation, Snapshot, ValueRef};

    use super::*;

    fn batch() -> Batch {
        let columns = vec![
            Column::new("id", Kind::Integer, "int8"),
            Column::new("note", Kind::Text, "text"),
            Column::new("data", Kind::Bytes, "bytea"),
        ];
        let people = Arc::new(TableSchema::new("shop", "public", "people", columns, &[0]));
        let mut batch = Batch::new();
        batch.processed_unix_ns = 77;
        let schema = batch.schema_index(&people);
        let transaction = batch.push_transaction(Transaction {
            id: "812".to_owned(),
            commit: Lsn(9),
            previous_commit: Lsn(4),
            commit_unix_us: 5,
            origin: "far".to_owned(),
            begin: Lsn(6),
        });
        let texts = [b"it".as_slice(), b"", "\u{e9}".as_bytes()];
        for (order, text) in (1..).zip(texts) {
            let begin = batch.begin_image();
            let cells = [Cell::integer(i64::MIN), batch.text(text), batch.bytes(&[0, 255])];
            cells.into_iter().for_each(|cell| batch.push_cell(cell));
            let after = batch.end_image(begin);
            let begin = batch.begin_image();
            let cells = [Cell::integer(1), Cell::UNCHANGED, Cell::NULL];
            cells.into_iter().for_each(|cell| batch.push_cell(cell));
            let before = batch.end_image(begin);
            let row = Row::new(Operation::Update, before, after);
            let lsn = Lsn(order + 20);
            batch.rows.push(Row { schema, transaction, lsn, order, order_in_table: order, ..row });
        }
        let read = Row::new(Operation::Read, Image::NONE, batch.rows[0].after);
        batch.rows.push(Row { snapshot: Snapshot::Row, ..read });
        batch
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let (one, other) = (batch(), decode(&encode(&batch())).unwrap());
        assert_eq!(one.schemas, other.schemas);
        assert_eq!(one.transactions, other.transactions);
        assert_eq!(one.processed_unix_ns, other.processed_unix_ns);
        assert_eq!(one.rows.len(), other.rows.len());
        for (one_row, other_row) in one.rows.iter().zip(&other.rows) {
            let blank = |row: &Row| Row { before: Image::NONE, after: Image::NONE, ..*row };
            assert_eq!(blank(one_row), blank(other_row));
            let values = |batch: &Batch, image: Image| -> Vec<String> {
                let values = batch.values(image).map(|value: ValueRef<'_>| format!("{value:?}"));
                values.collect()
            };
            assert_eq!(values(&one, one_row.before), values(&other, other_row.before));
            assert_eq!(values(&one, one_row.after), values(&other, other_row.after));
        }
    }

    #[test]
    fn bytes_that_are_cut_are_no_batch() {
        let bytes = encode(&batch());
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).err(), Some(Unreadable), "cut at {end}");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }
}
