//! A snapshot of tables: rows as they were at a place of the log, copied by COPY.
//!
//! One move serves the first snapshot, the one that a crash cut off and a table that is added
//! later: a slot (the lasting one the first time, else a temporary one) exports a snapshot at its
//! consistent point, the copying session takes it over, and the stream, which starts at the old
//! place, waits when it reaches that point while the tables are copied whole. So no row that was
//! read is older than a change before it, and none is missing.
//!
//! The tables are locked against rewrites only after the snapshot is taken (a lock taken before
//! would wait for an ALTER TABLE that waits for us while the slot waits for it), so a table that
//! was emptied or rewritten in between is noticed by its file and the snapshot is taken again. One
//! that was dropped is left out, and one that was renamed halts; a table is the one of its OID, not
//! whichever has its name.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offtake_change::{
    Batch, HeaderRange, Image, Lsn, NO_TRANSACTION, Operation, Row, Snapshot as Marker,
};
use offtake_failpoint::crash_point;
use offtake_proto::v1::{SnapshotProgress, SnapshotState};

use crate::SourceError;
use crate::catalog::{Server, Table, names_of};
use crate::definitions::Definitions;
use crate::progress::position;
use crate::publication::Publication;
use crate::relation::Relation;
use crate::run::{SourceEvent, SourceOptions, unix_now_ns};
use crate::session::{Session, quote_identifier, quote_literal, quote_table};
use crate::slot::{SlotKind, create_slot};
use crate::status::SourceStatus;

/// First version that can publish generated columns.
const PUBLISHED_GENERATED_COLUMNS: u32 = 18_0000;

/// A table to copy, with its definition.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: Table,
    pub(crate) relation: Arc<Relation>,
    /// What is published of it.
    pub(crate) columns: Vec<String>,
    pub(crate) filter: Option<String>,
    sql: String,
}

/// A snapshot that is taken over by the copying session and waits to be read.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) session: Session,
    pub(crate) plans: Vec<Plan>,
    /// Tables that were dropped while they waited to be copied.
    pub(crate) gone: Vec<Table>,
    /// The snapshot shows what commits before this place.
    pub(crate) consistent_point: Lsn,
}

impl Prepared {
    /// Whether no table is left to be copied.
    pub(crate) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// The same, where it is not from before the stream's place: what is between would be in neither.
    /// A standby has received more than it shows, so there that can be.
    pub(crate) fn not_before(self, start: Lsn) -> Result<Prepared, SourceError> {
        if self.consistent_point < start {
            let point = self.consistent_point;
            let reason = format!("it is of {point}, and the stream is at {start}");
            return Err(SourceError::SnapshotStale(reason));
        }
        Ok(self)
    }
}

/// Exports a snapshot by a temporary slot and makes ready to copy the tables. `patience`: how long the
/// slot may wait for transactions that are open; the server then gives it up.
pub(crate) async fn prepare_by_temporary_slot(
    options: Arc<SourceOptions>,
    server: Server,
    tables: Vec<Table>,
    definitions: Definitions,
    patience: Option<Duration>,
) -> Result<Prepared, SourceError> {
    let mut replication =
        Session::connect_for_replication(&options.connect, options.message_limit()).await?;
    let name = temporary_slot_name(&options.slot);
    let canceller = replication.wire.canceller();
    let creating = create_slot(&mut replication, server.version, &name, SlotKind::Temporary);
    let created = match patience {
        None => creating.await?,
        Some(patience) => match tokio::time::timeout(patience, creating).await {
            Ok(created) => created?,
            Err(_) => {
                canceller.cancel(&options.connect).await;
                replication.close().await;
                return Err(SourceError::SnapshotStale(format!(
                    "the server gave none within {} s: a transaction is open that began before",
                    patience.as_secs()
                )));
            }
        },
    };
    let snapshot = created.snapshot.ok_or_else(|| {
        SourceError::Protocol("the temporary slot exported no snapshot".to_owned())
    })?;
    let prepared =
        prepare(&options, &server, tables, &definitions, &snapshot, created.consistent_point)
            .await?;
    // The copying session has the snapshot now; the slot may go.
    replication.close().await;
    Ok(prepared)
}

/// Unique over gateways and attempts, and within the 63 bytes that a slot's name has.
fn temporary_slot_name(slot: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let stem: String = slot.chars().take(30).collect();
    format!("{stem}_snapshot_{:x}", nanos as u64 ^ u64::from(std::process::id()).rotate_left(40))
}

/// Takes over an exported snapshot, whose session must still be as it was.
pub(crate) async fn prepare(
    options: &SourceOptions,
    server: &Server,
    tables: Vec<Table>,
    definitions: &Definitions,
    snapshot: &str,
    consistent_point: Lsn,
) -> Result<Prepared, SourceError> {
    let mut session = Session::connect_for_copy(&options.connect, options.max_row_bytes).await?;
    session.query("begin the snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let import = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(snapshot));
    session.query("take over the snapshot", &import).await?;
    let mut catalogue = Session::connect(&options.connect).await?;
    let (mut tables, gone) = still_there(&mut catalogue, tables).await?;
    lock(&mut session, &tables).await?;
    // From here on the definitions stand still. They are read with a fresh view, as COPY reads them.
    let (locked, lost) = still_there(&mut catalogue, tables).await?;
    if let Some(lost) = lost.first() {
        return Err(SourceError::SnapshotStale(format!(
            "{} was dropped while the snapshot was taken",
            lost.qualified_name()
        )));
    }
    tables = locked;
    crate::catalog::read_columns(&mut catalogue, &mut tables).await?;
    let publication =
        crate::publication::read_publication(&mut catalogue, server.version, &options.publication)
            .await?
            .unwrap_or_default();
    let mut plans = Vec::with_capacity(tables.len());
    for table in tables {
        let columns = published_columns(&table, &publication, server.version);
        let relation = definitions.of_table(&mut catalogue, &table, &columns).await?;
        let sql = copy_statement(&table, &columns, &publication);
        let filter = publication.table(&table.namespace, &table.name);
        let filter = filter.and_then(|published| published.row_filter.clone());
        plans.push(Plan { table, relation, columns, filter, sql });
    }
    catalogue.close().await;
    Ok(Prepared { session, plans, gone, consistent_point })
}

/// Parts the tables into those that are there under their names and those that were dropped; what
/// has a dropped one's name now is another table. A renamed one halts, as it does at a start.
async fn still_there(
    catalogue: &mut Session,
    tables: Vec<Table>,
) -> Result<(Vec<Table>, Vec<Table>), SourceError> {
    let names = names_of(catalogue, tables.iter().map(|table| table.oid)).await?;
    for table in &tables {
        if let Some(now) = names.get(&table.oid)
            && (&now.0, &now.1) != (&table.namespace, &table.name)
        {
            return Err(SourceError::Renamed {
                was: (table.namespace.clone(), table.name.clone()),
                now: now.clone(),
            });
        }
    }
    Ok(tables.into_iter().partition(|table| names.contains_key(&table.oid)))
}

async fn lock(session: &mut Session, tables: &[Table]) -> Result<(), SourceError> {
    if tables.is_empty() {
        return Ok(());
    }
    session.query("limit the wait", "SET LOCAL lock_timeout = '30s'").await?;
    let names: Vec<String> = tables
        .iter()
        .map(|table| {
            let only = if table.partitioned { "" } else { "ONLY " };
            format!("{only}{}", quote_table(&table.namespace, &table.name))
        })
        .collect();
    let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
    session.query("lock the tables", &sql).await.map_err(|error| match error {
        // No such table, no such schema, or no table any more under that name.
        SourceError::Server { error, .. }
            if matches!(error.sqlstate.as_str(), "42P01" | "3F000" | "42809") =>
        {
            SourceError::SnapshotStale(error.message)
        }
        other => other,
    })?;
    // The query sees pg_class as the snapshot has it, the function as it is now.
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    let sql = format!(
        "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r' \
         AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid) \
         AND (c.oid IN ({oids}) OR c.oid IN (SELECT tree.relid FROM \
         unnest(ARRAY[{oids}]::oid[]) AS root, pg_partition_tree(root) AS tree))",
        oids = oids.join(",")
    );
    let rewritten = session.query("look for rewritten tables", &sql).await?;
    match rewritten.first() {
        Some(row) => Err(SourceError::SnapshotStale(format!(
            "{} was emptied or rewritten while the snapshot was taken",
            row.text(0)
        ))),
        None => Ok(()),
    }
}

/// The columns that the stream carries too.
pub(crate) fn published_columns(
    table: &Table,
    publication: &Publication,
    server_version: u32,
) -> Vec<String> {
    let listed = publication
        .table(&table.namespace, &table.name)
        .and_then(|published| published.columns.as_ref());
    // Before 18 the server lists generated columns and does not publish them.
    let is_published = |name: &str, generated: bool| match listed {
        Some(listed) if !generated || server_version >= PUBLISHED_GENERATED_COLUMNS => {
            listed.iter().any(|column| column == name)
        }
        _ => !generated,
    };
    let columns = table.columns.iter();
    columns
        .filter(|column| is_published(&column.name, column.generated))
        .map(|column| column.name.clone())
        .collect()
}

fn copy_statement(table: &Table, columns: &[String], publication: &Publication) -> String {
    let name = quote_table(&table.namespace, &table.name);
    let quoted: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    let list = quoted.join(", ");
    let filter = publication
        .table(&table.namespace, &table.name)
        .and_then(|published| published.row_filter.as_deref());
    let generated =
        table.columns.iter().any(|column| column.generated && columns.contains(&column.name));
    if table.partitioned || filter.is_some() || generated || columns.is_empty() {
        let only = if table.partitioned { "" } else { "ONLY " };
        let filter = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        format!("COPY (SELECT {list} FROM {only}{name}{filter}) TO STDOUT")
    } else {
        // Faster than a query by the executor's part.
        format!("COPY {name} ({list}) TO STDOUT")
    }
}

/// What a copy came to: tables that are done stay done when a later one fails.
pub(crate) struct Outcome {
    pub(crate) done: Vec<SnapshotProgress>,
    pub(crate) result: Result<(), SourceError>,
}

/// Copies the tables and hands their rows over.
pub(crate) async fn copy(
    prepared: Prepared,
    events: flume::Sender<SourceEvent>,
    status: Arc<SourceStatus>,
    batch_bytes: usize,
) -> Outcome {
    let mut copy = Copy {
        events,
        status,
        batch_bytes,
        batch: Batch::new(),
        ended: Vec::new(),
        done: Vec::new(),
        any_row: false,
        point: prepared.consistent_point,
    };
    let result = copy.run(prepared.session, &prepared.plans).await;
    copy.status.snapshot_ended();
    Outcome { done: copy.done, result }
}

struct Copy {
    events: flume::Sender<SourceEvent>,
    status: Arc<SourceStatus>,
    batch_bytes: usize,
    /// Its last row is not sent before the next one is known: it may be the last of all.
    batch: Batch,
    /// Tables at their end whose last row is still in the batch.
    ended: Vec<SnapshotProgress>,
    done: Vec<SnapshotProgress>,
    any_row: bool,
    point: Lsn,
}

impl Copy {
    async fn run(&mut self, mut session: Session, plans: &[Plan]) -> Result<(), SourceError> {
        for (index, plan) in plans.iter().enumerate() {
            let table = plan.table.qualified_name();
            let estimate = plan.table.estimated_rows;
            tracing::info!(table, estimate, done = index, tables = plans.len(), "copying a table");
            self.status.snapshot_table(table.clone(), estimate, index, plans.len());
            session.copy_out("copy a table", &plan.sql).await?;
            let rows = self.table(&mut session, plan).await?;
            tracing::info!(table, rows, "table copied");
            self.ended.push(self.progress(plan, SnapshotState::Done, rows));
        }
        if let Some(last) = self.batch.rows.last_mut() {
            last.snapshot = Marker::Last;
        }
        self.send_batch().await?;
        self.send_ended().await?;
        // The snapshot was read only: nothing to commit.
        session.close().await;
        Ok(())
    }

    async fn table(&mut self, session: &mut Session, plan: &Plan) -> Result<u64, SourceError> {
        let mut rows = 0;
        let mut counted = 0;
        while let Some(frame) = session.copy_line("copy a table").await? {
            if rows == 0 {
                self.begin_table(plan).await?;
            } else if self.batch.size_bytes() >= self.batch_bytes {
                self.status.snapshot_rows(rows - counted);
                counted = rows;
                self.send_batch().await?;
                crash_point("source.snapshot_chunk");
            }
            let line = session.wire.body(frame);
            let decoder = &plan.relation.decoder;
            let after = decoder
                .decode_copy_line(line, &mut self.batch)
                .map_err(|error| SourceError::Value { lsn: self.point, error })?;
            rows += 1;
            let schema = self.batch.schema_index(&plan.relation.schema);
            self.batch.rows.push(Row {
                schema,
                transaction: NO_TRANSACTION,
                operation: Operation::Read,
                snapshot: match (rows, self.any_row) {
                    (1, false) => Marker::First,
                    (1, true) => Marker::FirstInTable,
                    _ => Marker::Row,
                },
                dropped: false,
                before: Image::NONE,
                after,
                lsn: self.point,
                order: rows,
                order_in_table: rows,
                headers: HeaderRange::default(),
                stream: None,
            });
            self.any_row = true;
        }
        self.status.snapshot_rows(rows - counted);
        // A row that is first and last of its table is its last, but the first of all stays that:
        // so it is in Debezium.
        if rows > 0
            && let Some(last) = self.batch.rows.last_mut()
            && last.snapshot != Marker::First
        {
            last.snapshot = Marker::LastInTable;
        }
        Ok(rows)
    }

    /// A row of the table is there, so the last row of the tables before was not the last of all.
    async fn begin_table(&mut self, plan: &Plan) -> Result<(), SourceError> {
        self.send_batch().await?;
        self.send_ended().await?;
        let copying = self.progress(plan, SnapshotState::Copying, 0);
        self.send(SourceEvent::Snapshot(copying)).await
    }

    async fn send_batch(&mut self) -> Result<(), SourceError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.processed_unix_ns = unix_now_ns();
        self.send(SourceEvent::Batch(batch)).await
    }

    async fn send_ended(&mut self) -> Result<(), SourceError> {
        for progress in std::mem::take(&mut self.ended) {
            self.send(SourceEvent::Snapshot(progress.clone())).await?;
            self.done.push(progress);
        }
        Ok(())
    }

    async fn send(&self, event: SourceEvent) -> Result<(), SourceError> {
        self.events.send_async(event).await.map_err(|_| SourceError::Closed)
    }

    fn progress(&self, plan: &Plan, state: SnapshotState, rows: u64) -> SnapshotProgress {
        SnapshotProgress {
            namespace: plan.table.namespace.clone(),
            table: plan.table.name.clone(),
            state: state.into(),
            rows,
            consistent_point: Some(position(self.point)),
            estimate: plan.table.estimated_rows,
            relation_id: plan.table.oid,
        }
    }
}
