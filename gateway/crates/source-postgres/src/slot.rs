//! The replication slot: what the server says of it, its creation, and the temporary slot that
//! exports a snapshot.
//!
//! Whether a slot fits the log is judged in `start_checks`; nothing here drops a slot that is not
//! temporary.

use offtake_change::Lsn;

use crate::SourceError;
use crate::connect::ConnectOptions;
use crate::session::{Session, SqlRow, quote_identifier, quote_literal};

/// First version with the parenthesised options of `CREATE_REPLICATION_SLOT`.
const PARENTHESISED_OPTIONS: u32 = 15_0000;
/// First version that says why a slot was invalidated.
const INVALIDATION_REASON: u32 = 17_0000;

/// What `pg_replication_slots` says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlotFacts {
    /// `pgoutput` is ours.
    pub plugin: String,
    /// `logical` or `physical`.
    pub slot_type: String,
    /// The slot's database; empty: physical.
    pub database: String,
    /// Whether it ends with its session.
    pub temporary: bool,
    /// Process id of the walsender that reads from it.
    pub active_pid: Option<i32>,
    /// Log before this place may be removed.
    pub restart: Lsn,
    /// Changes before this place are never sent again.
    pub confirmed_flush: Lsn,
    /// `reserved`, `extended`, `unreserved` or `lost`; empty: not known.
    pub wal_status: String,
    /// Bytes until the slot may be lost; `None`: no limit is set.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of log that the server keeps for the slot.
    pub retained_bytes: u64,
    /// Why the server gave it up (17 and later); empty: it did not.
    pub invalidation_reason: String,
    /// The server's current end of its log.
    pub server_end: Lsn,
}

/// Reads what the server says of a slot.
///
/// # Errors
/// The server's error, or a broken connection.
pub async fn slot_facts(
    session: &mut Session,
    server_version: u32,
    slot: &str,
) -> Result<Option<SlotFacts>, SourceError> {
    let reason = if server_version >= INVALIDATION_REASON { "invalidation_reason" } else { "NULL" };
    let sql = format!(
        "SELECT plugin, slot_type, database, temporary, active_pid, restart_lsn, \
         confirmed_flush_lsn, wal_status, safe_wal_size, {reason}, \
         pg_wal_lsn_diff(now_at, restart_lsn)::bigint, now_at \
         FROM pg_replication_slots, (SELECT CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS now_at) AS place \
         WHERE slot_name = {}",
        quote_literal(slot)
    );
    let rows = session.query("read the state of the slot", &sql).await?;
    Ok(rows.first().map(|row| SlotFacts {
        plugin: row.text(0).to_owned(),
        slot_type: row.text(1).to_owned(),
        database: row.text(2).to_owned(),
        temporary: row.is_true(3),
        active_pid: row.number(4),
        restart: lsn(row, 5),
        confirmed_flush: lsn(row, 6),
        wal_status: row.text(7).to_owned(),
        safe_wal_bytes: row.number(8),
        invalidation_reason: row.text(9).to_owned(),
        retained_bytes: row.number::<i64>(10).map_or(0, |bytes| bytes.max(0).cast_unsigned()),
        server_end: lsn(row, 11),
    }))
}

pub(crate) fn lsn(row: &SqlRow, column: usize) -> Lsn {
    row.number(column).unwrap_or(Lsn::ZERO)
}

/// Drops a slot; false: there is none of that name.
///
/// # Errors
/// The server cannot be reached, or refuses: somebody reads from the slot, or the role may not.
pub async fn drop_slot(connect: &ConnectOptions, slot: &str) -> Result<bool, SourceError> {
    let mut session = Session::connect(connect).await?;
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {}",
        quote_literal(slot)
    );
    Ok(!session.query("drop the slot", &sql).await?.is_empty())
}

/// Whether a slot is to stay and whether its snapshot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Stays; its snapshot is exported.
    Lasting,
    /// Stays; no snapshot.
    LastingWithoutSnapshot,
    /// Ends with its session; its snapshot is exported.
    Temporary,
}

/// A slot that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatedSlot {
    /// The slot sends what commits at or after this place; its snapshot shows what was before.
    pub(crate) consistent_point: Lsn,
    /// Name of the exported snapshot, valid until the session's next command.
    pub(crate) snapshot: Option<String>,
}

/// Creates a slot on a replication session. Waits for the transactions that are open.
pub(crate) async fn create_slot(
    replication: &mut Session,
    server_version: u32,
    slot: &str,
    kind: SlotKind,
) -> Result<CreatedSlot, SourceError> {
    let temporary = if kind == SlotKind::Temporary { " TEMPORARY" } else { "" };
    let export = kind != SlotKind::LastingWithoutSnapshot;
    let options = match (server_version >= PARENTHESISED_OPTIONS, export) {
        (true, true) => "(SNAPSHOT 'export')",
        (true, false) => "(SNAPSHOT 'nothing')",
        (false, true) => "EXPORT_SNAPSHOT",
        (false, false) => "NOEXPORT_SNAPSHOT",
    };
    let sql = format!(
        "CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput {options}",
        quote_identifier(slot)
    );
    let row = replication.query_one("create the slot", &sql).await?;
    let consistent_point = lsn(&row, 1);
    if consistent_point == Lsn::ZERO {
        return Err(SourceError::Protocol("a new slot without a consistent point".to_owned()));
    }
    Ok(CreatedSlot { consistent_point, snapshot: row.get(2).map(str::to_owned) })
}

/// The server as `IDENTIFY_SYSTEM` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Made once by initdb; the same on standbys.
    pub system_id: String,
    /// Counts promotions and restores.
    pub timeline: u32,
    /// The server's current end of its log.
    pub end: Lsn,
}

/// Asks a replication session whose server it is.
pub(crate) async fn identify_system(
    replication: &mut Session,
) -> Result<SystemIdentity, SourceError> {
    let row = replication.query_one("identify the server", "IDENTIFY_SYSTEM").await?;
    let timeline = row
        .number(1)
        .ok_or_else(|| SourceError::Protocol("IDENTIFY_SYSTEM without a timeline".to_owned()))?;
    Ok(SystemIdentity { system_id: row.text(0).to_owned(), timeline, end: lsn(&row, 2) })
}
