//! A table's changes as CloudEvents: the source and transaction blocks as attributes, the rows
//! before and after as data. In structured mode as Debezium's converter writes them, in binary mode
//! with the attributes as headers.

use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_change::wire::{ChangeView, RowRef};

use super::envelope::{BlockPlan, Envelope, source_names};
use super::options::UnfitValues;
use super::plan::{MessageFormat, PlanOptions, StructPlan, Writer, beside_schema, within};
use super::row::{Choices, RowPlan, put_row};
use super::schemas::TableSchemas;
use super::source::{Place, SourcePlan, number, put_sequence};
use super::value::Scratch;
use crate::EncodeError;
use crate::cloudevents::{self, Attributes, Content, HeaderAttributes, Identity};
use crate::connect::{Format, Node};
use crate::json::format::{Json, Prepared};

/// The events of a table, prepared.
#[derive(Clone, Debug)]
pub(super) struct EventTable {
    key: Option<StructPlan<Json>>,
    key_frame: (Vec<u8>, Vec<u8>),
    event: cloudevents::Plan,
    mode: Mode,
    data_frame: (Vec<u8>, Vec<u8>),
    data: Prepared,
    before: Prepared,
    after: Prepared,
    row: RowPlan<Json>,
}

/// Where the attributes stand.
#[derive(Clone, Debug)]
enum Mode {
    Structured(Box<Blocks<Attributes>>),
    Binary(Box<Blocks<HeaderAttributes>>),
}

/// The blocks of an envelope that become attributes.
#[derive(Clone, Debug)]
struct Blocks<F: Format> {
    source: SourcePlan<F>,
    transaction: BlockPlan<F>,
}

impl<F: Format> Blocks<F> {
    /// `None`: the schema is no envelope's.
    fn new(
        options: &PlanOptions,
        schema: &TableSchema,
        schemas: &TableSchemas,
    ) -> Option<Box<Blocks<F>>> {
        let attributes = Node::<F>::root(&schemas.value);
        let [_, _, source, transaction, ..] = attributes.children.as_slice() else { return None };
        Some(Box::new(Blocks {
            source: SourcePlan::new(source, &source_names(&options.prefix, schema))?,
            transaction: BlockPlan::new(transaction, &options.debezium)?,
        }))
    }

    fn put(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) {
        self.source.put(out, change, &mut scratch.bytes);
        self.transaction.put(out, change, envelope.order, &mut scratch.bytes);
    }
}

impl EventTable {
    pub(super) fn new(
        options: &PlanOptions,
        schema: &TableSchema,
        schemas: &TableSchemas,
    ) -> Result<EventTable, EncodeError> {
        let debezium = &options.debezium;
        let choices = Choices {
            loose: !debezium.schemas,
            lenient: debezium.unfit_values == UnfitValues::Null,
            format: options.format.name(),
        };
        let misshapen = || EncodeError::Schema {
            format: options.format.name(),
            reason: "an envelope has other fields than it should".to_owned(),
        };
        let mode = match options.format {
            MessageFormat::CloudEventsBinary => {
                Blocks::new(options, schema, schemas).map(Mode::Binary)
            }
            _ => Blocks::new(options, schema, schemas).map(Mode::Structured),
        };
        let row = schemas.value.fields().first().map(|field| &field.schema);
        let data_schema = Arc::new(cloudevents::data_schema(row.ok_or_else(misshapen)?));
        let data = Node::<Json>::root(&data_schema);
        let [before, after] = data.children.as_slice() else { return Err(misshapen()) };
        let frame = |schema| if debezium.schemas { beside_schema(schema) } else { <_>::default() };
        Ok(EventTable {
            key: schemas.key.as_ref().map(|key| StructPlan::new(key, schemas, choices)),
            key_frame: schemas.key.as_deref().map(frame).unwrap_or_default(),
            event: cloudevents::Plan::new(&options.prefix, Content::json()),
            mode: mode.ok_or_else(misshapen)?,
            row: RowPlan::new(&schemas.columns, &after.children, choices),
            data_frame: frame(&data_schema),
            data: data.prepared.clone(),
            before: before.prepared.clone(),
            after: after.prepared.clone(),
        })
    }

    fn put_data(
        &self,
        out: &mut Vec<u8>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        within(&self.data_frame, out, |out| {
            let mark = Json::begin_struct(out, &self.data);
            self.put_image(out, &self.before, envelope.before, None, scratch)?;
            self.put_image(out, &self.after, envelope.after, envelope.old, scratch)?;
            Json::end_struct(out, &self.data, mark);
            Ok(())
        })
    }

    fn put_image(
        &self,
        out: &mut Vec<u8>,
        at: &Prepared,
        row: Option<RowRef<'_>>,
        old: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let Some(row) = row else {
            Json::null(out, at);
            return Ok(());
        };
        let mark = Json::begin_struct(out, at);
        put_row(out, &self.row, row, old, scratch)?;
        Json::end_struct(out, at, mark);
        Ok(())
    }
}

/// Calls `write` with what identifies a change.
fn identified<T>(
    change: &ChangeView<'_>,
    envelope: &Envelope<'_>,
    scratch: &mut Scratch,
    write: impl FnOnce(&Identity<'_>) -> T,
) -> T {
    let place = Place::of(change);
    put_sequence(&mut scratch.bytes, place.previous_commit, change.lsn.0);
    let lsn = change.lsn.0.cast_signed();
    write(&Identity {
        lsn: (lsn != 0).then_some(lsn),
        transaction: number(change.transaction.unwrap_or_default().id),
        sequence: &scratch.bytes,
        unix_millis: place.micros.div_euclid(1000),
        operation: envelope.operation,
    })
}

impl Writer for EventTable {
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let Mode::Structured(blocks) = &self.mode else {
            return self.put_data(out, envelope, scratch);
        };
        identified(change, envelope, scratch, |identity| self.event.put_begin(out, identity));
        blocks.put(out, change, envelope, scratch);
        cloudevents::put_data(out, |out| self.put_data(out, envelope, scratch))
    }

    fn put_attributes(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) {
        if let Mode::Binary(blocks) = &self.mode {
            identified(change, envelope, scratch, |identity| self.event.put_headers(out, identity));
            blocks.put(out, change, envelope, scratch);
        }
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        _: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<bool, EncodeError> {
        match (&self.key, image) {
            (Some(key), Some(row)) => {
                within(&self.key_frame, out, |out| key.put(out, row, scratch))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
