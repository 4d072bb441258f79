//! The envelope around rows and logical messages, through any format.

use offtake_change::Operation;
use offtake_change::wire::{ChangeView, RowRef, WireError};
use offtake_change::{TableSchema, ValueRef};

use super::options::{BinaryHandling, Options};
use super::row::{Choices, RowPlan, put_row};
use super::schemas::TableSchemas;
use super::source::{SourceNames, SourcePlan, number};
use super::value::{Scratch, binary_text};
use crate::EncodeError;
use crate::connect::{Format, Node};
use crate::json;

/// What an envelope says beside the change itself. An update that moved the key becomes a delete
/// and a create, so the operation and the images are not always the change's own.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) operation: Operation,
    pub(super) before: Option<RowRef<'a>>,
    pub(super) after: Option<RowRef<'a>>,
    /// The row before, whatever `before` is.
    pub(super) old: Option<RowRef<'a>>,
    pub(super) order: Order,
}

/// A change's place in its transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) total: u64,
    pub(super) in_collection: u64,
}

/// The transaction block of an envelope, prepared.
#[derive(Clone, Debug)]
pub(super) struct BlockPlan<F: Format> {
    /// `None`: not wanted.
    fields: Option<BlockFields<F>>,
    null: Vec<u8>,
}

#[derive(Clone, Debug)]
struct BlockFields<F: Format> {
    at: F::Prepared,
    id: F::Prepared,
    total: F::Prepared,
    in_collection: F::Prepared,
}

impl<F: Format> BlockPlan<F> {
    /// Prepares the block at its place. `None`: the schema is not the block's.
    pub(super) fn new(node: &Node<F>, options: &Options) -> Option<BlockPlan<F>> {
        let [id, total, in_collection] = node.children.as_slice() else { return None };
        let mut null = Vec::new();
        F::null(&mut null, &node.prepared);
        let fields = options.transactions.then(|| BlockFields {
            at: node.prepared.clone(),
            id: id.prepared.clone(),
            total: total.prepared.clone(),
            in_collection: in_collection.prepared.clone(),
        });
        Some(BlockPlan { fields, null })
    }

    /// Appends the block of a change, or its null.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        order: Order,
        scratch: &mut Vec<u8>,
    ) {
        let transaction = change.transaction.filter(|transaction| number(transaction.id).is_some());
        let (Some(fields), Some(transaction)) = (&self.fields, transaction) else {
            return out.extend_from_slice(&self.null);
        };
        put_transaction_id(scratch, transaction.id, change.lsn.0);
        let mark = F::begin_struct(out, &fields.at);
        F::text(out, &fields.id, scratch);
        F::integer(out, &fields.total, order.total.cast_signed());
        F::integer(out, &fields.in_collection, order.in_collection.cast_signed());
        F::end_struct(out, &fields.at, mark);
    }
}

/// The envelope of a table's rows, prepared.
#[derive(Clone, Debug)]
pub(super) struct EnvelopePlan<F: Format> {
    at: F::Prepared,
    before: F::Prepared,
    before_null: Vec<u8>,
    after: F::Prepared,
    after_null: Vec<u8>,
    row: RowPlan<F>,
    source: SourcePlan<F>,
    transaction: BlockPlan<F>,
    /// Of each operation, by its code.
    operation: [Vec<u8>; 8],
    ts_ms: F::Prepared,
    ts_us: F::Prepared,
    ts_ns: F::Prepared,
}

/// `758:24962808`: the peer's name of a transaction is another at each of its changes.
pub(super) fn put_transaction_id(out: &mut Vec<u8>, id: &[u8], lsn: u64) {
    out.clear();
    out.extend_from_slice(id);
    out.push(b':');
    json::put_int64(out, lsn.cast_signed());
}

/// The names in the source block of a table's changes.
pub(super) fn source_names<'a>(prefix: &'a str, schema: &'a TableSchema) -> SourceNames<'a> {
    SourceNames {
        version: super::SOURCE_VERSION,
        prefix,
        database: &schema.database,
        namespace: &schema.namespace,
        table: &schema.table,
    }
}

impl<F: Format> EnvelopePlan<F> {
    /// Prepares the envelope. `None`: the schema is not an envelope's.
    pub(super) fn new(
        node: &Node<F>,
        schemas: &TableSchemas,
        names: &SourceNames<'_>,
        options: &Options,
        choices: Choices,
    ) -> Option<EnvelopePlan<F>> {
        let [before, after, source, transaction, op, ts_ms, ts_us, ts_ns] =
            node.children.as_slice()
        else {
            return None;
        };
        let null = |node: &Node<F>| {
            let mut out = Vec::new();
            F::null(&mut out, &node.prepared);
            out
        };
        let operation = |letter: &str| {
            let mut out = Vec::new();
            F::text(&mut out, &op.prepared, letter.as_bytes());
            out
        };
        Some(EnvelopePlan {
            at: node.prepared.clone(),
            before: before.prepared.clone(),
            before_null: null(before),
            after: after.prepared.clone(),
            after_null: null(after),
            row: RowPlan::new(&schemas.columns, &after.children, choices),
            source: SourcePlan::new(source, names)?,
            transaction: BlockPlan::new(transaction, options)?,
            operation: ["", "c", "u", "d", "r", "t", "m", "s"].map(operation),
            ts_ms: ts_ms.prepared.clone(),
            ts_us: ts_us.prepared.clone(),
            ts_ns: ts_ns.prepared.clone(),
        })
    }

    /// Appends an envelope.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let mark = F::begin_struct(out, &self.at);
        match envelope.before {
            Some(row) => {
                let mark = F::begin_struct(out, &self.before);
                put_row(out, &self.row, row, None, scratch)?;
                F::end_struct(out, &self.before, mark);
            }
            None => out.extend_from_slice(&self.before_null),
        }
        match envelope.after {
            Some(row) => {
                let mark = F::begin_struct(out, &self.after);
                put_row(out, &self.row, row, envelope.old, scratch)?;
                F::end_struct(out, &self.after, mark);
            }
            None => out.extend_from_slice(&self.after_null),
        }
        self.source.put(out, change, &mut scratch.bytes);
        self.transaction.put(out, change, envelope.order, &mut scratch.bytes);
        // The codes are 1 to 7.
        let operation = self.operation.get(envelope.operation as usize);
        out.extend_from_slice(operation.map_or(&[][..], Vec::as_slice));
        let processed = change.processed_unix_ns;
        F::integer(out, &self.ts_ms, processed.div_euclid(1_000_000));
        F::integer(out, &self.ts_us, processed.div_euclid(1000));
        F::integer(out, &self.ts_ns, processed);
        F::end_struct(out, &self.at, mark);
        Ok(())
    }
}

/// Logical messages, prepared.
#[derive(Clone, Debug)]
pub(super) struct MessagePlan<F: Format> {
    key: Node<F>,
    at: F::Prepared,
    operation: Vec<u8>,
    ts_ms: F::Prepared,
    source: SourcePlan<F>,
    transaction: BlockPlan<F>,
    message: Node<F>,
    binary: BinaryHandling,
}

impl<F: Format> MessagePlan<F> {
    /// Prepares logical messages. `None`: the schemas are not theirs.
    pub(super) fn new(
        key: Node<F>,
        value: &Node<F>,
        names: &SourceNames<'_>,
        options: &Options,
    ) -> Option<MessagePlan<F>> {
        let [op, ts_ms, source, transaction, message] = value.children.as_slice() else {
            return None;
        };
        let mut operation = Vec::new();
        F::text(&mut operation, &op.prepared, b"m");
        Some(MessagePlan {
            key,
            at: value.prepared.clone(),
            operation,
            ts_ms: ts_ms.prepared.clone(),
            source: SourcePlan::new(source, names)?,
            transaction: BlockPlan::new(transaction, options)?,
            message: message.clone(),
            binary: options.binary,
        })
    }

    /// Appends a message's key.
    pub(super) fn put_key(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
    ) -> Result<(), EncodeError> {
        let (prefix, _) = message(change)?;
        let mark = F::begin_struct(out, &self.key.prepared);
        if let [at] = self.key.children.as_slice() {
            put_text_or_null(out, at, prefix);
        }
        F::end_struct(out, &self.key.prepared, mark);
        Ok(())
    }

    /// Appends a message: another order and fewer fields than a row's envelope.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        order: Order,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let (prefix, content) = message(change)?;
        let mark = F::begin_struct(out, &self.at);
        out.extend_from_slice(&self.operation);
        F::integer(out, &self.ts_ms, change.processed_unix_ns.div_euclid(1_000_000));
        self.source.put(out, change, &mut scratch.bytes);
        self.transaction.put(out, change, order, &mut scratch.bytes);
        let block = F::begin_struct(out, &self.message.prepared);
        if let [prefix_at, content_at] = self.message.children.as_slice() {
            put_text_or_null(out, prefix_at, prefix);
            match content {
                ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => match self.binary {
                    BinaryHandling::Bytes => F::bytes(out, &content_at.prepared, bytes),
                    mode => {
                        binary_text(mode, bytes, &mut scratch.bytes);
                        F::text(out, &content_at.prepared, &scratch.bytes);
                    }
                },
                _ => F::null(out, &content_at.prepared),
            }
        }
        F::end_struct(out, &self.message.prepared, block);
        F::end_struct(out, &self.at, mark);
        Ok(())
    }
}

fn put_text_or_null<F: Format>(out: &mut Vec<u8>, node: &Node<F>, value: ValueRef<'_>) {
    match value {
        ValueRef::Text(text) => F::text(out, &node.prepared, text),
        _ => F::null(out, &node.prepared),
    }
}

fn message<'a>(change: &ChangeView<'a>) -> Result<(ValueRef<'a>, ValueRef<'a>), WireError> {
    let Some(row) = change.after else { return Ok((ValueRef::Absent, ValueRef::Absent)) };
    let mut values = row.values();
    let prefix = values.next().transpose()?.unwrap_or(ValueRef::Absent);
    let content = values.next().transpose()?.unwrap_or(ValueRef::Absent);
    Ok((prefix, content))
}
