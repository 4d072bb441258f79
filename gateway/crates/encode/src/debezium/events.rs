//! A table's changes as CloudEvents in structured mode, as Debezium's converter writes them: the
//! source and transaction blocks as attributes, the rows before and after as data.

use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_change::wire::{ChangeView, RowRef};

use super::envelope::{BlockPlan, Envelope, source_names};
use super::options::UnfitValues;
use super::plan::{KeyPlan, PlanOptions, Writer};
use super::row::{Choices, RowPlan, put_row};
use super::schemas::TableSchemas;
use super::source::{SourcePlan, number, put_sequence};
use super::value::Scratch;
use crate::EncodeError;
use crate::cloudevents::{self, Attributes, Content, Identity};
use crate::connect::{Format as _, Node};
use crate::json::format::{Json, Prepared};

/// The events of a table, prepared.
#[derive(Clone, Debug)]
pub(super) struct EventTable {
    key: Option<KeyPlan<Json>>,
    event: cloudevents::Plan,
    source: SourcePlan<Attributes>,
    transaction: BlockPlan<Attributes>,
    data: Prepared,
    before: Prepared,
    after: Prepared,
    row: RowPlan<Json>,
}

impl EventTable {
    pub(super) fn new(
        options: &PlanOptions,
        schema: &TableSchema,
        schemas: &TableSchemas,
    ) -> Result<EventTable, EncodeError> {
        let debezium = &options.debezium;
        let choices = Choices {
            loose: true,
            lenient: debezium.unfit_values == UnfitValues::Null,
            format: options.format.name(),
        };
        let misshapen = || EncodeError::Schema {
            format: options.format.name(),
            reason: "an envelope has other fields than it should".to_owned(),
        };
        let attributes = Node::<Attributes>::root(&schemas.value);
        let [_, _, source, transaction, ..] = attributes.children.as_slice() else {
            return Err(misshapen());
        };
        let row = schemas.value.fields().first().map(|field| &field.schema);
        let data = Arc::new(cloudevents::data_schema(row.ok_or_else(misshapen)?));
        let data = Node::<Json>::root(&data);
        let [before, after] = data.children.as_slice() else { return Err(misshapen()) };
        let names = source_names(&options.prefix, schema);
        Ok(EventTable {
            key: schemas.key.as_ref().map(|key| KeyPlan::new(key, schemas, choices)),
            event: cloudevents::Plan::new(&options.prefix, Content::json()),
            source: SourcePlan::new(source, &names).ok_or_else(misshapen)?,
            transaction: BlockPlan::new(transaction, debezium).ok_or_else(misshapen)?,
            row: RowPlan::new(&schemas.columns, &after.children, choices),
            data: data.prepared.clone(),
            before: before.prepared.clone(),
            after: after.prepared.clone(),
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

impl Writer for EventTable {
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let place = super::source::Place::of(change);
        put_sequence(&mut scratch.bytes, place.previous_commit, change.lsn.0);
        let transaction = change.transaction.unwrap_or_default();
        let lsn = change.lsn.0.cast_signed();
        let identity = Identity {
            lsn: (lsn != 0).then_some(lsn),
            transaction: number(transaction.id),
            sequence: &scratch.bytes,
            unix_millis: place.micros.div_euclid(1000),
            operation: envelope.operation,
        };
        self.event.put_begin(out, &identity);
        self.source.put(out, change, &mut scratch.bytes);
        self.transaction.put(out, change, envelope.order, &mut scratch.bytes);
        cloudevents::put_data(out, |out| {
            let mark = Json::begin_struct(out, &self.data);
            self.put_image(out, &self.before, envelope.before, None, scratch)?;
            self.put_image(out, &self.after, envelope.after, envelope.old, scratch)?;
            Json::end_struct(out, &self.data, mark);
            Ok(())
        })
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        _: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<bool, EncodeError> {
        match (&self.key, image) {
            (Some(key), Some(row)) => key.put(out, row, scratch).map(|()| true),
            _ => Ok(false),
        }
    }
}
