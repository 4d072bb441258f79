//! Which partition a message goes to: a plugin's choice, else chosen columns, else the key.
//!
//! Whatever chooses, the answer follows from the change alone, so that what is sent again lands
//! where it lay.

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Operation, Subject, TableSchema, ValueRef};
use offtake_encode::debezium::{Message, NEW_KEY_HEADER};
use offtake_encode::{EncodeError, partition_of};

use crate::KafkaError;

/// Changes of a table without a key that go to one partition in a row, as a power of two.
const KEYLESS_RUN_BITS: u32 = 10;
/// Between two columns' texts: no text holds it.
const BETWEEN: u8 = 0;

/// The columns that decide the partition of a table's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionBy {
    table: String,
    columns: Vec<(String, usize)>,
}

impl PartitionBy {
    /// The columns of that name in a table; `None`: there are none to look for.
    ///
    /// # Errors
    /// The table has no such column.
    pub(crate) fn new(
        schema: &TableSchema,
        columns: &[String],
    ) -> Result<Option<PartitionBy>, KafkaError> {
        if columns.is_empty() || schema.subject != Subject::Table {
            return Ok(None);
        }
        let table = schema.qualified_name();
        let columns = columns.iter().map(|column| match schema.ordinal(column) {
            Some(ordinal) => Ok((column.clone(), ordinal)),
            None => {
                let (table, column) = (table.clone(), column.clone());
                Err(KafkaError::PartitionColumn { table, column })
            }
        });
        Ok(Some(PartitionBy { columns: columns.collect::<Result<_, _>>()?, table }))
    }

    /// Appends the columns' values as text.
    fn put_text(
        &self,
        change: &ChangeView<'_>,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), KafkaError> {
        // The first half of a moved key, and a delete, are about the row that was.
        let is_old = change.operation == Operation::Delete
            || message.key_change.is_some_and(|(name, _)| name == NEW_KEY_HEADER);
        let (row, other) = match is_old {
            true => (change.before, None),
            false => (change.after, change.before),
        };
        for (index, (name, ordinal)) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(BETWEEN);
            }
            let value = match value(row, *ordinal)? {
                // A large value that the update left alone is in the row that was, if anywhere.
                ValueRef::Unchanged => value(other, *ordinal)?,
                value => value,
            };
            if matches!(value, ValueRef::Unchanged | ValueRef::Absent) {
                return Err(KafkaError::PartitionUnknown {
                    table: self.table.clone(),
                    column: name.clone(),
                });
            }
            value.put_text(out);
        }
        Ok(())
    }
}

fn value<'a>(row: Option<RowRef<'a>>, ordinal: usize) -> Result<ValueRef<'a>, EncodeError> {
    let value = row.and_then(|row| row.values().nth(ordinal));
    Ok(value.transpose()?.unwrap_or(ValueRef::Absent))
}

/// The partition of a message. A plugin's choice is taken modulo the topic's partitions; columns
/// and keys as Java's client takes a key. Changes without a key go in runs to one partition after
/// the other, as with Java's sticky partitioner; the run follows from the sequence. `scratch` is
/// for text.
///
/// # Errors
/// The change is damaged, or does not hold a column that decides.
pub(crate) fn partition(
    change: &ChangeView<'_>,
    message: &Message<'_>,
    partitions: i32,
    by: Option<&PartitionBy>,
    scratch: &mut Vec<u8>,
) -> Result<i32, KafkaError> {
    let count = partitions.unsigned_abs().max(1);
    if let Some(chosen) = change.partition {
        return Ok(i32::try_from(chosen % count).unwrap_or(0));
    }
    if let Some(by) = by.filter(|_| has_row(change)) {
        scratch.clear();
        by.put_text(change, message, scratch)?;
        return Ok(partition_of(scratch, partitions));
    }
    Ok(match message.key {
        Some(key) => partition_of(key, partitions),
        None => {
            let run = change.sequence >> KEYLESS_RUN_BITS;
            i32::try_from(run % u64::from(count)).unwrap_or(0)
        }
    })
}

/// Truncates and statements are about no row.
fn has_row(change: &ChangeView<'_>) -> bool {
    change.before.is_some() || change.after.is_some()
}

#[cfg(test)]
mod tests {
    use offtake_change::{Batch, Cell, Column, Image, Kind, Lsn, ReplicaIdentity, Row};

    use super::*;

    fn schema() -> TableSchema {
        TableSchema {
            replica_identity: ReplicaIdentity::Full,
            ..TableSchema::new(
                "shop",
                "public",
                "orders",
                vec![
                    Column::new("id", Kind::Integer, "int8"),
                    Column::new("tenant", Kind::Text, "text"),
                ],
                &[0],
            )
        }
    }

    /// An encoded change of these tenants, before and after.
    fn change(
        operation: Operation,
        before: Option<Option<&str>>,
        after: Option<Option<&str>>,
        chosen: Option<u32>,
    ) -> Vec<u8> {
        let mut batch = Batch::new();
        let mut image = |row: Option<Option<&str>>| {
            let Some(tenant) = row else { return Image::NONE };
            let cell = match tenant {
                Some("?") => Cell::UNCHANGED,
                Some("-") => Cell::ABSENT,
                Some(tenant) => batch.text(tenant.as_bytes()),
                None => Cell::NULL,
            };
            let begin = batch.begin_image();
            batch.push_cell(Cell::integer(7));
            batch.push_cell(cell);
            batch.end_image(begin)
        };
        let (before, after) = (image(before), image(after));
        batch.rows.push(Row { lsn: Lsn(1), ..Row::new(operation, before, after) });
        if let Some(chosen) = chosen {
            batch.set_partition(0, chosen);
        }
        let mut encoded = Vec::new();
        batch.encode(&batch.rows[0], 5000, 1, 1, &mut encoded);
        encoded
    }

    fn by(columns: &[&str]) -> PartitionBy {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        PartitionBy::new(&schema(), &columns).unwrap().unwrap()
    }

    fn placed(encoded: &[u8], by: Option<&PartitionBy>, old: bool) -> Result<i32, KafkaError> {
        let change = ChangeView::parse(encoded).unwrap();
        let key_change = old.then_some((NEW_KEY_HEADER, &b""[..]));
        let message = Message { key: Some(b"key"), value: None, key_change, attributes: &[] };
        partition(&change, &message, 12, by, &mut Vec::new())
    }

    #[test]
    fn a_plugin_comes_before_columns_and_these_before_the_key() {
        let (by, create) = (by(&["tenant"]), Operation::Create);
        let plain = change(create, None, Some(Some("acme")), None);
        assert_eq!(placed(&plain, None, false).unwrap(), partition_of(b"key", 12));
        assert_eq!(placed(&plain, Some(&by), false).unwrap(), partition_of(b"acme", 12));
        let chosen = change(create, None, Some(Some("acme")), Some(12 * 9 + 5));
        assert_eq!(placed(&chosen, Some(&by), false).unwrap(), 5);
    }

    #[test]
    fn several_columns_are_told_apart_and_null_is_nothing() {
        let by = by(&["tenant", "id"]);
        let some = change(Operation::Create, None, Some(Some("acme")), None);
        assert_eq!(placed(&some, Some(&by), false).unwrap(), partition_of(b"acme\x007", 12));
        let null = change(Operation::Create, None, Some(None), None);
        assert_eq!(placed(&null, Some(&by), false).unwrap(), partition_of(b"\x007", 12));
    }

    #[test]
    fn a_delete_and_the_first_half_of_a_moved_key_lie_with_the_row_that_was() {
        let by = by(&["tenant"]);
        let (old, new) = (partition_of(b"old", 12), partition_of(b"new", 12));
        assert_ne!(old, new);
        let deleted = change(Operation::Delete, Some(Some("old")), None, None);
        assert_eq!(placed(&deleted, Some(&by), false).unwrap(), old);
        let moved = change(Operation::Update, Some(Some("old")), Some(Some("new")), None);
        assert_eq!(placed(&moved, Some(&by), true).unwrap(), old);
        assert_eq!(placed(&moved, Some(&by), false).unwrap(), new);
        let kept = change(Operation::Update, Some(Some("old")), Some(Some("?")), None);
        assert_eq!(placed(&kept, Some(&by), false).unwrap(), old);
    }

    #[test]
    fn a_column_that_a_change_does_not_hold_is_told_and_never_guessed() {
        let by = by(&["tenant"]);
        let deleted = change(Operation::Delete, Some(Some("-")), None, None);
        let error = placed(&deleted, Some(&by), false).unwrap_err();
        assert_eq!(error.code(), "KAFKA_PARTITION_UNKNOWN");
        assert!(
            error.to_string().contains("public.orders") && error.to_string().contains("tenant")
        );
        let wrong = PartitionBy::new(&schema(), &["tenat".to_owned()]).unwrap_err();
        assert_eq!(wrong.code(), "KAFKA_PARTITION_COLUMN");
    }
}
