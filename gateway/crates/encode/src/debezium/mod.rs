//! Changes as Debezium's connector for PostgreSQL 3.6 publishes them with its defaults, through
//! Kafka Connect's `JsonConverter` without schemas.
//!
//! A [`Plan`] prepares what is the same for all changes of a table schema, an [`Encoder`] holds the
//! buffers that are used again. JSON is written straight from the encoded change. Consumers can
//! rely on the field order; what differs from the peer on purpose is in `DEBEZIUM.md`.

mod decimal;
mod envelope;
mod plan;
mod structured;
mod temporal;
mod types;
mod value;

pub use plan::Plan;
pub use types::UNAVAILABLE_VALUE;

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Operation, Subject};

use crate::EncodeError;
use envelope::Envelope;

/// What stands in `source.version`: this product's version, where Debezium puts its own. Consumers
/// that branch on it would otherwise be told a release whose quirks they do not get.
pub const SOURCE_VERSION: &str = concat!("offtake-", env!("CARGO_PKG_VERSION"));

/// Header of the delete that a moved key begins with: the new key.
pub const NEW_KEY_HEADER: &str = "__debezium.newkey";
/// Header of the create that a moved key ends with: the old key.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// Choices that Debezium leaves to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A null value after each delete, so that a compacted topic forgets the key
    /// (`tombstones.on.delete`).
    pub tombstones: bool,
    /// Publish truncates too (`skipped.operations` without `t`).
    pub truncates: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { tombstones: true, truncates: false }
    }
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The key; `None`: the table has none.
    pub key: Option<&'a [u8]>,
    /// The value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Name and value of the header that links the two halves of a moved key.
    pub key_change: Option<(&'static str, &'a [u8])>,
}

/// Writes messages. Keeps its buffers, so that a change allocates nothing.
#[derive(Debug, Default)]
pub struct Encoder {
    options: Options,
    key: Vec<u8>,
    new_key: Vec<u8>,
    value: Vec<u8>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// An encoder with the given choices.
    pub fn new(options: Options) -> Encoder {
        Encoder { options, ..Encoder::default() }
    }

    /// Appends a change's envelope under its own operation.
    ///
    /// # Errors
    /// A damaged change.
    pub fn value(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_value(out, plan, change, &own(change), &mut self.scratch)
    }

    /// Appends a change's key; `false`, and nothing appended, where it has none.
    ///
    /// # Errors
    /// A damaged change.
    pub fn key(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        put_key(out, plan, change, change.after.or(change.before), &mut self.scratch)
    }

    /// Gives the messages of one change to `emit`, in order: one; with its tombstone after a
    /// delete; delete, tombstone and create where the key moved; none for a truncate.
    ///
    /// # Errors
    /// A damaged change, or what `emit` answers: then the rest is not emitted.
    pub fn messages<E: From<EncodeError>>(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        mut emit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.key.clear();
        self.value.clear();
        match change.operation {
            Operation::Truncate if !self.options.truncates => return Ok(()),
            // Statements have no counterpart in the peer's data topics.
            Operation::Define => return Ok(()),
            _ => {}
        }
        if change.operation == Operation::Update
            && let (Some(before), Some(after)) = (change.before, change.after)
            && value::key_changed(plan, before, after).map_err(EncodeError::from)?
        {
            return self.moved_key(plan, change, before, after, emit);
        }
        let image = match change.operation {
            Operation::Delete => change.before,
            _ => change.after,
        };
        let has_key = put_key(&mut self.key, plan, change, image, &mut self.scratch)?;
        put_value(&mut self.value, plan, change, &own(change), &mut self.scratch)?;
        let key = has_key.then_some(self.key.as_slice());
        emit(Message { key, value: Some(&self.value), key_change: None })?;
        if change.operation == Operation::Delete && has_key && self.options.tombstones {
            emit(Message { key, value: None, key_change: None })?;
        }
        Ok(())
    }

    fn moved_key<E: From<EncodeError>>(
        &mut self,
        plan: &Plan,
        change: &ChangeView<'_>,
        before: RowRef<'_>,
        after: RowRef<'_>,
        mut emit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.new_key.clear();
        put_key(&mut self.key, plan, change, Some(before), &mut self.scratch)?;
        put_key(&mut self.new_key, plan, change, Some(after), &mut self.scratch)?;
        let delete = Envelope { operation: Operation::Delete, before: Some(before), after: None };
        put_value(&mut self.value, plan, change, &delete, &mut self.scratch)?;
        let key = Some(self.key.as_slice());
        let key_change = Some((NEW_KEY_HEADER, self.new_key.as_slice()));
        emit(Message { key, value: Some(&self.value), key_change })?;
        if self.options.tombstones {
            emit(Message { key, value: None, key_change })?;
        }
        self.value.clear();
        let create = Envelope { operation: Operation::Create, before: None, after: Some(after) };
        put_value(&mut self.value, plan, change, &create, &mut self.scratch)?;
        emit(Message {
            key: Some(&self.new_key),
            value: Some(&self.value),
            key_change: Some((OLD_KEY_HEADER, self.key.as_slice())),
        })
    }
}

fn own<'a>(change: &ChangeView<'a>) -> Envelope<'a> {
    Envelope { operation: change.operation, before: change.before, after: change.after }
}

fn put_value(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
    envelope: &Envelope<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if plan.opaque {
        out.extend_from_slice(change.payload);
    } else if plan.subject == Subject::Message {
        envelope::put_message(out, plan, change)?;
    } else {
        envelope::put_envelope(out, plan, change, envelope, scratch)?;
    }
    Ok(())
}

fn put_key(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
    image: Option<RowRef<'_>>,
    scratch: &mut Vec<u8>,
) -> Result<bool, EncodeError> {
    if plan.subject == Subject::Message {
        envelope::put_message_key(out, change)?;
        return Ok(true);
    }
    match image {
        Some(row) if plan.has_key() => {
            value::put_key(out, plan, row, scratch)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
