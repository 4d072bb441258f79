//! Rows that are asked for again: what a dead letter stands for, read anew and put into its place.
//!
//! It is the move of a snapshot, for single rows: a temporary slot exports a snapshot, the stream
//! goes on to the snapshot's place and waits there while the rows are read by their keys and handed
//! over. So a row that was read is behind every change that it shows and before every one that it
//! does not: no consumer sees an older row after a newer one. What is asked for and cannot be had is
//! answered and halts nothing; done twice it does no harm, since each time the row is as it then is.
//!
//! A change can also be sent again as it was, which a person has to want: it comes after changes that
//! were made after it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use offtake_change::wire::{ChangeView, RowRef, WireError};
use offtake_change::{
    Batch, Image, Lsn, Operation, Row, Snapshot as Marker, Subject, TableSchema, ValueRef,
};

use crate::SourceError;
use crate::catalog::{Server, Table};
use crate::definitions::Definitions;
use crate::run::{SourceEvent, SourceOptions, unix_now_ns};
use crate::session::{Session, quote_identifier, quote_literal, quote_table};
use crate::snapshot::{Outcome, Plan, Prepared, prepare_by_temporary_slot};
use crate::source::PreparedFuture;

/// How long a snapshot may wait for transactions that are open elsewhere.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the stream may wait for a snapshot in all.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(15);

/// Rows that are asked for together: they are read from one snapshot.
#[derive(Debug)]
pub struct ReplayRequest {
    /// The rows.
    pub rows: Vec<ReplayRow>,
    /// Gets what became of each, in the same order. Whoever waits no longer is not served.
    pub answer: flume::Sender<Vec<Replayed>>,
}

/// A change that is to come again.
#[derive(Clone, Debug)]
pub struct ReplayRow {
    /// The definition that the change was written under.
    pub schema: Arc<TableSchema>,
    /// The change, encoded as in the log.
    pub change: Bytes,
    /// The stream that it was for: no other one gets it.
    pub stream: Arc<str>,
    /// Send the change itself instead of the row as it is now.
    pub as_it_was: bool,
    /// What plugins emit onto other streams beside it is there already, and is left out.
    pub is_alone: bool,
}

/// What became of a row that was asked for.
#[derive(Debug)]
pub enum Replayed {
    /// Handed over; each part tells what entered the log once it did. It is dropped unheard where the
    /// pipeline halts.
    Sent(Vec<SentPart>),
    /// The table has no row with that key, or the publication's row filter leaves it out.
    Gone,
    /// Not done.
    Refused(Refusal),
}

/// Why a row was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: &'static str,
    /// For a person.
    pub cause: String,
    /// What to do about it.
    pub next_step: String,
}

impl Refusal {
    /// A refusal with its three parts.
    pub fn new(code: &'static str, cause: impl Into<String>, next_step: &str) -> Refusal {
        Refusal { code, cause: cause.into(), next_step: next_step.to_owned() }
    }
}

/// One change that was handed over for a row.
#[derive(Debug)]
pub struct SentPart {
    /// What it was sent as.
    pub operation: Operation,
    /// Tells what entered the log.
    pub entered: flume::Receiver<Entered>,
}

/// What a change that was handed over became in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Sequence of the first change that entered the log for it.
    pub first_sequence: u64,
    /// One more than the sequence of the last; `first_sequence` where none did.
    pub end_sequence: u64,
    /// Whether a route still leads to the stream.
    pub is_routed: bool,
    /// A plugin on the way keeps state and has taken the change in before, so it was not sent.
    pub keeps_state: bool,
}

/// A change on its way to the pipeline.
#[derive(Debug)]
pub struct ReplayedChange {
    /// One row.
    pub batch: Batch,
    /// The only stream that gets it.
    pub stream: Arc<str>,
    /// See [`ReplayRow::is_alone`].
    pub is_alone: bool,
    /// To be told what entered the log, once it is submitted.
    pub entered: flume::Sender<Entered>,
}

impl ReplayRequest {
    /// Those of the captured tables that the rows are of.
    pub(crate) fn tables(&self, captured: Vec<Table>) -> Vec<Table> {
        let mut tables = captured;
        tables.retain(|table| {
            self.rows.iter().any(|row| {
                (&row.schema.namespace, &row.schema.table) == (&table.namespace, &table.name)
            })
        });
        tables
    }

    /// Answers that none of the rows was sent.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        let refused = self.rows.iter().map(|_| Replayed::Refused(refusal.clone())).collect();
        // Whoever asked may be gone.
        let _ = self.answer.try_send(refused);
    }
}

/// Takes the snapshot that rows are to be read from.
pub(crate) fn prepare(
    options: Arc<SourceOptions>,
    server: Server,
    tables: Vec<Table>,
    definitions: Definitions,
) -> PreparedFuture {
    Box::pin(async move {
        let patience = Some(SNAPSHOT_PATIENCE);
        let prepared = prepare_by_temporary_slot(options, server, tables, definitions, patience);
        tokio::time::timeout(SNAPSHOT_DEADLINE, prepared).await.unwrap_or_else(|_| {
            Err(SourceError::SnapshotStale(format!(
                "it was not ready to be read within {} s",
                SNAPSHOT_DEADLINE.as_secs()
            )))
        })
    })
}

/// An error of the server or the connection, which leaves the stream as it is.
pub(crate) fn refusal(error: &SourceError) -> Refusal {
    Refusal::new(
        error.code(),
        error.to_string(),
        "nothing was sent: look at the cause, and run the replay again",
    )
}

/// Reads the rows at the snapshot's place and hands them over.
pub(crate) async fn send(
    prepared: Prepared,
    request: ReplayRequest,
    events: flume::Sender<SourceEvent>,
) -> Outcome {
    let (mut session, plans) = (prepared.session, prepared.plans);
    let mut replay =
        Replay { session: &mut session, plans: &plans, point: prepared.consistent_point, events };
    let mut answers = Vec::with_capacity(request.rows.len());
    let mut result = Ok(());
    let mut broken: Option<Refusal> = None;
    for row in &request.rows {
        if let Some(refusal) = &broken {
            answers.push(Replayed::Refused(refusal.clone()));
            continue;
        }
        match replay.row(row).await {
            Ok(replayed) => answers.push(replayed),
            Err(Failed::Refused(refusal)) => answers.push(Replayed::Refused(refusal)),
            Err(Failed::Source(SourceError::Closed)) => {
                result = Err(SourceError::Closed);
                break;
            }
            Err(Failed::Source(error)) => {
                // An error ends the transaction, and with it the snapshot.
                let refused = refusal(&error);
                answers.push(Replayed::Refused(refused.clone()));
                broken = Some(refused);
            }
        }
    }
    session.close().await;
    let place = prepared.consistent_point;
    tracing::info!(rows = request.rows.len(), %place, "rows of dead letters were read again");
    if result.is_ok() {
        let _ = request.answer.try_send(answers);
    }
    Outcome { done: Vec::new(), result }
}

enum Failed {
    Refused(Refusal),
    Source(SourceError),
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Failed {
        Failed::Source(error)
    }
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Failed {
        refused(
            "DEAD_LETTER_DAMAGED",
            format!("the change cannot be read: {error}"),
            "report this as a defect",
        )
    }
}

fn refused(code: &'static str, cause: impl Into<String>, next_step: &str) -> Failed {
    Failed::Refused(Refusal::new(code, cause, next_step))
}

struct Replay<'r> {
    session: &'r mut Session,
    plans: &'r [Plan],
    point: Lsn,
    events: flume::Sender<SourceEvent>,
}

impl Replay<'_> {
    async fn row(&mut self, row: &ReplayRow) -> Result<Replayed, Failed> {
        let plans = self.plans;
        let schema = &row.schema;
        if schema.subject == Subject::Message {
            return self.message(row).await;
        }
        let plan = plans.iter().find(|plan| {
            (&plan.table.namespace, &plan.table.name) == (&schema.namespace, &schema.table)
        });
        let plan = plan.ok_or_else(|| {
            refused(
                "REPLAY_TABLE_GONE",
                format!("table {} is not captured, or was dropped", schema.qualified_name()),
                "nothing: there is no such row to read",
            )
        })?;
        let change = ChangeView::parse(&row.change)?;
        if row.as_it_was {
            return self.original(plan, row, &change).await;
        }
        let mut sent = Vec::new();
        for (image, deletes) in images(&change, schema)? {
            let key = key_of(&plan.relation.schema, schema, image)?;
            if let Some(batch) = self.read(plan, &key).await? {
                sent.push(self.hand_over(batch, Operation::Read, row).await?);
            } else if deletes {
                // Nobody was told, and nothing has that key now.
                let batch = self.encoded(plan, row, Operation::Delete, (Some(image), None))?;
                sent.push(self.hand_over(batch, Operation::Delete, row).await?);
            }
        }
        Ok(if sent.is_empty() { Replayed::Gone } else { Replayed::Sent(sent) })
    }

    async fn original(
        &mut self,
        plan: &Plan,
        row: &ReplayRow,
        change: &ChangeView<'_>,
    ) -> Result<Replayed, Failed> {
        let images = (change.before, change.after);
        let mut batch = self.encoded(plan, row, change.operation, images)?;
        if let Some(again) = batch.rows.first_mut() {
            again.lsn = change.lsn;
        }
        Ok(Replayed::Sent(vec![self.hand_over(batch, change.operation, row).await?]))
    }

    /// Sends a logical message again as it was: the database keeps none that could be read.
    async fn message(&self, row: &ReplayRow) -> Result<Replayed, Failed> {
        if !row.as_it_was {
            return Err(refused(
                "REPLAY_MESSAGE",
                "the change is a logical message, which no table keeps and nobody can read again",
                "send it again as it was (--as-it-was), after everything that came since; or emit it \
                 anew: pg_logical_emit_message",
            ));
        }
        let change = ChangeView::parse(&row.change)?;
        let mut batch = Batch::new();
        let after = copy_image(&mut batch, change.after)?;
        self.push(&mut batch, &row.schema, Row::new(Operation::Message, Image::NONE, after));
        if let Some(again) = batch.rows.first_mut() {
            again.lsn = change.lsn;
        }
        Ok(Replayed::Sent(vec![self.hand_over(batch, Operation::Message, row).await?]))
    }

    /// A change of images that were written under the letter's definition, which has to be today's.
    fn encoded(
        &self,
        plan: &Plan,
        row: &ReplayRow,
        operation: Operation,
        images: (Option<RowRef<'_>>, Option<RowRef<'_>>),
    ) -> Result<Batch, Failed> {
        let now = &plan.relation.schema;
        if (&now.columns, &now.key) != (&row.schema.columns, &row.schema.key) {
            return Err(refused(
                "REPLAY_DEFINITION_CHANGED",
                format!("table {} has another definition than then", now.qualified_name()),
                "replay it without --as-it-was where the row is still there",
            ));
        }
        let mut batch = Batch::new();
        let before = copy_image(&mut batch, images.0)?;
        let after = copy_image(&mut batch, images.1)?;
        self.push(&mut batch, now, Row::new(operation, before, after));
        Ok(batch)
    }

    fn push(&self, batch: &mut Batch, schema: &Arc<TableSchema>, row: Row) {
        batch.processed_unix_ns = unix_now_ns();
        let schema = batch.schema_index(schema);
        let snapshot = match row.operation {
            Operation::Read => Marker::Row,
            _ => Marker::None,
        };
        batch.rows.push(Row { schema, lsn: self.point, snapshot, ..row });
    }

    /// The row with that key as the snapshot shows it.
    async fn read(
        &mut self,
        plan: &Plan,
        key: &[(String, String)],
    ) -> Result<Option<Batch>, SourceError> {
        const DOING: &str = "read a row again";
        let mut batch = Batch::new();
        let mut found = None;
        self.session.copy_out(DOING, &statement(plan, key)).await?;
        while let Some(frame) = self.session.copy_line(DOING).await? {
            let line = self.session.wire.body(frame);
            let after = plan
                .relation
                .decoder
                .decode_copy_line(line, &mut batch)
                .map_err(|error| SourceError::Value { lsn: self.point, error })?;
            found = Some(after);
        }
        let Some(after) = found else { return Ok(None) };
        self.push(&mut batch, &plan.relation.schema, Row::new(Operation::Read, Image::NONE, after));
        Ok(Some(batch))
    }

    async fn hand_over(
        &self,
        batch: Batch,
        operation: Operation,
        row: &ReplayRow,
    ) -> Result<SentPart, SourceError> {
        let (told, entered) = flume::bounded(1);
        let change = ReplayedChange {
            batch,
            stream: Arc::clone(&row.stream),
            is_alone: row.is_alone,
            entered: told,
        };
        let event = SourceEvent::Replay(Box::new(change));
        self.events.send_async(event).await.map_err(|_| SourceError::Closed)?;
        Ok(SentPart { operation, entered })
    }
}

/// The images whose keys are to be read, and whether the change took the row of that key away.
fn images<'c>(
    change: &ChangeView<'c>,
    schema: &TableSchema,
) -> Result<Vec<(RowRef<'c>, bool)>, Failed> {
    match (change.operation, change.before, change.after) {
        (Operation::Delete, Some(before), _) => Ok(vec![(before, true)]),
        (Operation::Create | Operation::Read, _, Some(after)) => Ok(vec![(after, false)]),
        (Operation::Update, before, Some(after)) => {
            let moved = match before {
                Some(before) if moves_key(before, after, schema)? => Some((before, true)),
                _ => None,
            };
            Ok(moved.into_iter().chain([(after, false)]).collect())
        }
        _ => Err(no_row()),
    }
}

fn no_row() -> Failed {
    refused(
        "REPLAY_NO_ROW",
        "the change is about no single row that could be read again",
        "a truncate can be sent again as it was (--as-it-was), after everything that came since",
    )
}

/// Whether the row has another key than before.
fn moves_key(
    before: RowRef<'_>,
    after: RowRef<'_>,
    schema: &TableSchema,
) -> Result<bool, WireError> {
    for &ordinal in &schema.key {
        let (was, is) = (value(before, ordinal)?, value(after, ordinal)?);
        if !was.is_missing() && was != is {
            return Ok(true);
        }
    }
    Ok(false)
}

fn value(row: RowRef<'_>, ordinal: u32) -> Result<ValueRef<'_>, WireError> {
    row.values().nth(ordinal as usize).unwrap_or(Ok(ValueRef::Absent))
}

/// Names and values of an image's key.
fn key_of(
    now: &TableSchema,
    then: &TableSchema,
    image: RowRef<'_>,
) -> Result<Vec<(String, String)>, Failed> {
    if then.key.is_empty() {
        return Err(refused(
            "REPLAY_NO_KEY",
            format!("table {} has no key to read the row by", then.qualified_name()),
            "send the change again as it was (--as-it-was), or read everything again: offtake resync",
        ));
    }
    let columns = |schema: &TableSchema| -> Vec<(String, String)> {
        let columns = schema.key.iter().filter_map(|&at| schema.columns.get(at as usize));
        columns.map(|column| (column.name.clone(), column.logical.clone())).collect()
    };
    let names = columns(then);
    if names != columns(now) {
        return Err(refused(
            "REPLAY_KEY_CHANGED",
            format!("table {} has another key than then", then.qualified_name()),
            "write the row again in the database, or read everything again: offtake resync",
        ));
    }
    let mut key = Vec::with_capacity(names.len());
    for (&ordinal, (name, _)) in then.key.iter().zip(names) {
        let literal = literal(value(image, ordinal)?).ok_or_else(|| {
            refused(
                "REPLAY_KEY_INCOMPLETE",
                format!("the change does not tell column {name} of its key"),
                "write the row again in the database, or read everything again: offtake resync",
            )
        })?;
        key.push((name, literal));
    }
    Ok(key)
}

/// A key's value as the server reads it; `None`: there is none, or it is a list.
fn literal(value: ValueRef<'_>) -> Option<String> {
    if value.is_missing() {
        return None;
    }
    match value {
        ValueRef::List(_) => None,
        ValueRef::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("'\\x{digits}'"))
        }
        _ => {
            let mut text = Vec::new();
            value.put_text(&mut text);
            String::from_utf8(text).ok().map(|text| quote_literal(&text))
        }
    }
}

/// `COPY` of the one row. A literal without a type takes the column's.
fn statement(plan: &Plan, key: &[(String, String)]) -> String {
    let columns: Vec<String> = plan.columns.iter().map(|name| quote_identifier(name)).collect();
    let only = if plan.table.partitioned { "" } else { "ONLY " };
    let name = quote_table(&plan.table.namespace, &plan.table.name);
    let filter = plan.filter.iter().map(|filter| format!("({filter})"));
    let key = key.iter().map(|(name, literal)| format!("{} = {literal}", quote_identifier(name)));
    let conditions: Vec<String> = filter.chain(key).collect();
    format!(
        "COPY (SELECT {} FROM {only}{name} WHERE {}) TO STDOUT",
        columns.join(", "),
        conditions.join(" AND ")
    )
}

fn copy_image(batch: &mut Batch, row: Option<RowRef<'_>>) -> Result<Image, WireError> {
    row.map_or(Ok(Image::NONE), |row| row.store(batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_value_is_one_literal_whatever_is_in_it() {
        let of = |value: ValueRef<'_>| literal(value).unwrap_or_default();
        assert_eq!(of(ValueRef::Integer(-5)), "'-5'");
        assert_eq!(of(ValueRef::Boolean(true)), "'true'");
        assert_eq!(of(ValueRef::Text(b"it's")), "'it''s'");
        assert_eq!(of(ValueRef::Bytes(&[0, 255])), "'\\x00ff'");
        assert_eq!(literal(ValueRef::Null), None);
        assert_eq!(literal(ValueRef::Unchanged), None);
        assert_eq!(literal(ValueRef::Absent), None);
    }
}
