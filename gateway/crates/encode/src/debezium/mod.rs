//! Changes as Debezium's connector for PostgreSQL 3.6 publishes them, through any of the converters
//! that its users put behind it.
//!
//! A [`Plan`] prepares what is the same for all changes of a table schema: the Connect schemas of
//! keys and values, and what the chosen [`Format`](crate::connect::Format) has to know of every
//! place in them. An [`Encoder`] holds the buffers that are used again and walks the encoded change
//! once, straight into the message. Consumers can rely on the field order; what differs from the
//! peer on purpose is in `DEBEZIUM.md`.

mod bounded;
mod convert;
mod decimal;
mod default;
mod envelope;
mod events;
mod header;
mod hstore;
mod interval;
mod names;
mod options;
mod order;
mod placeholder;
mod plan;
mod records;
mod row;
mod rowless;
mod schemas;
mod source;
mod structured;
mod temporal;
mod types;
mod value;

pub use options::{
    BinaryHandling, DecimalHandling, HstoreHandling, IntervalHandling, NameAdjustment, Options,
    SkippedOperations, TimePrecision, UNAVAILABLE_VALUE, UnfitValues, UnknownTypes,
};
pub use order::Counts;
pub use plan::{MessageFormat, Plan, PlanOptions};
pub use records::{HeartbeatRecords, TransactionRecords};

use offtake_change::Operation;
use offtake_change::wire::{ChangeView, RowRef};

use crate::EncodeError;
use envelope::{Envelope, Order};
use plan::{Formatted, ROW_ALONE, Writer};
use value::Scratch;

/// What stands in `source.version`: this product's version, where Debezium puts its own. Consumers
/// that branch on it would otherwise be told a release whose quirks they do not get.
pub const SOURCE_VERSION: &str = concat!("offtake-", env!("CARGO_PKG_VERSION"));

/// Header of the delete that a moved key begins with: the new key.
pub const NEW_KEY_HEADER: &str = "__debezium.newkey";
/// Header of the create that a moved key ends with: the old key.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// Why a delete is no message.
const NO_KEY: &str = "a deleted row is told by its key alone, and the table has no key";

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The key; `None`: the table has none.
    pub key: Option<&'a [u8]>,
    /// The value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Name and value of the header that links the two halves of a moved key.
    pub key_change: Option<(&'static str, &'a [u8])>,
    /// Further headers, which [`Headers`](crate::cloudevents::Headers) reads: attributes of an
    /// event in binary mode; mostly none.
    pub attributes: &'a [u8],
}

/// Writes messages. Keeps its buffers, so that a change allocates nothing.
#[derive(Debug, Default)]
pub struct Encoder {
    buffers: Buffers,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Buffers {
    key: Vec<u8>,
    new_key: Vec<u8>,
    value: Vec<u8>,
    header: Vec<u8>,
    attributes: Vec<u8>,
    scratch: Scratch,
}

/// Runs an expression over the plan's table in whatever format it is.
macro_rules! with_table {
    ($plan:expr, $table:ident => $run:expr) => {
        match &$plan.formatted {
            Formatted::Json($table) => $run,
            Formatted::Avro($table) => $run,
            Formatted::Protobuf($table) => $run,
            Formatted::JsonSchema($table) => $run,
            Formatted::Flat($table) => $run,
            Formatted::CloudEvents(boxed) => {
                let $table = &**boxed;
                $run
            }
            Formatted::Payload($table) => $run,
        }
    };
}

impl Encoder {
    /// Appends a change's value under its own operation.
    ///
    /// # Errors
    /// A damaged change, or a value that the format cannot hold.
    pub fn value(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let envelope = Envelope {
            operation: change.operation,
            before: change.before,
            after: change.after,
            old: change.before,
            order: Order { total: change.order, in_collection: change.order_in_table },
        };
        let scratch = &mut self.buffers.scratch;
        with_table!(plan, table => table.put_value(out, change, &envelope, scratch))
    }

    /// Appends a change's key; `false`, and nothing appended, where it has none.
    ///
    /// # Errors
    /// A damaged change, or a value that the format cannot hold.
    pub fn key(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let (image, scratch) = (change.after.or(change.before), &mut self.buffers.scratch);
        with_table!(plan, table => table.put_key(out, change, image, scratch))
    }

    /// The counts of the transaction that is being encoded. They are kept where the plan's options
    /// ask for transactions; a sink that sends a transaction once more clears them first.
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Gives the messages of one change to `emit`, in order: one; with its tombstone after a
    /// delete; delete, tombstone and create where the key moved; none for an operation that is
    /// skipped. Of rows alone a delete is its tombstone and nothing else.
    ///
    /// # Errors
    /// A damaged change, a value that the format cannot hold, or what `emit` answers: then the rest
    /// is not emitted.
    pub fn messages<E: From<EncodeError>>(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        emit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Definitions have no counterpart in the peer's data topics.
        if change.operation == Operation::Define {
            return Ok(());
        }
        with_table!(plan, table => self.table_messages(plan, table, change, emit))
    }

    fn table_messages<W: Writer, E: From<EncodeError>>(
        &mut self,
        plan: &Plan,
        table: &W,
        change: &ChangeView<'_>,
        mut emit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if change.operation == Operation::Update
            && let (Some(before), Some(after)) = (change.before, change.after)
            && let Some(key) = &plan.header
            && row::key_changed(&key.row, before, after).map_err(EncodeError::from)?
        {
            return self.moved_key(plan, table, change, before, after, emit);
        }
        if plan.skipped.contains(change.operation) {
            return Ok(());
        }
        let image = match change.operation {
            Operation::Delete => change.before,
            _ => change.after,
        };
        let order = self.count(plan, change);
        let Buffers { key, value, attributes, scratch, .. } = &mut self.buffers;
        key.clear();
        value.clear();
        attributes.clear();
        let has_key = table.put_key(key, change, image, scratch)?;
        if plan.is_flat && change.operation == Operation::Delete {
            if !has_key {
                return Err(EncodeError::Value { format: ROW_ALONE, reason: NO_KEY }.into());
            }
            return emit(Message { key: Some(key), value: None, key_change: None, attributes });
        }
        let envelope = Envelope {
            operation: change.operation,
            before: change.before,
            after: change.after,
            old: change.before,
            order,
        };
        table.put_value(value, change, &envelope, scratch)?;
        table.put_attributes(attributes, change, &envelope, scratch);
        let key = has_key.then_some(key.as_slice());
        emit(Message { key, value: Some(value), key_change: None, attributes })?;
        if change.operation == Operation::Delete && plan.tombstones {
            emit(Message { key, value: None, key_change: None, attributes: &[] })?;
        }
        Ok(())
    }

    fn moved_key<W: Writer, E: From<EncodeError>>(
        &mut self,
        plan: &Plan,
        table: &W,
        change: &ChangeView<'_>,
        before: RowRef<'_>,
        after: RowRef<'_>,
        mut emit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Buffers { key, new_key, scratch, .. } = &mut self.buffers;
        key.clear();
        new_key.clear();
        table.put_key(key, change, Some(before), scratch)?;
        table.put_key(new_key, change, Some(after), scratch)?;
        if !plan.skipped.contains(Operation::Delete) {
            let order = self.count(plan, change);
            let Buffers { key, value, header, attributes, scratch, .. } = &mut self.buffers;
            put_header(plan, header, after, scratch)?;
            let (key, key_change) = (Some(key.as_slice()), Some((NEW_KEY_HEADER, &header[..])));
            if !plan.is_flat {
                let (operation, before) = (Operation::Delete, Some(before));
                let delete = Envelope { operation, before, after: None, old: None, order };
                value.clear();
                table.put_value(value, change, &delete, scratch)?;
                attributes.clear();
                table.put_attributes(attributes, change, &delete, scratch);
                emit(Message { key, value: Some(value), key_change, attributes })?;
            }
            if plan.tombstones || plan.is_flat {
                emit(Message { key, value: None, key_change, attributes: &[] })?;
            }
        }
        if plan.skipped.contains(Operation::Create) {
            return Ok(());
        }
        let order = self.count(plan, change);
        let Buffers { new_key, value, header, attributes, scratch, .. } = &mut self.buffers;
        put_header(plan, header, before, scratch)?;
        let (operation, after) = (Operation::Create, Some(after));
        let create = Envelope { operation, before: None, after, old: Some(before), order };
        value.clear();
        table.put_value(value, change, &create, scratch)?;
        attributes.clear();
        table.put_attributes(attributes, change, &create, scratch);
        let key_change = Some((OLD_KEY_HEADER, &header[..]));
        emit(Message { key: Some(new_key), value: Some(value), key_change, attributes })
    }

    /// The change's place in its transaction, where that is wanted.
    fn count(&mut self, plan: &Plan, change: &ChangeView<'_>) -> Order {
        match (&plan.collection, change.transaction) {
            (Some(collection), Some(transaction)) => self.counts.next(transaction.id, collection),
            _ => Order::default(),
        }
    }
}

/// The key of a row as it stands in a header.
fn put_header(
    plan: &Plan,
    out: &mut Vec<u8>,
    row: RowRef<'_>,
    scratch: &mut Scratch,
) -> Result<(), EncodeError> {
    out.clear();
    match &plan.header {
        Some(key) => key.put(out, row, scratch),
        None => Ok(()),
    }
}
