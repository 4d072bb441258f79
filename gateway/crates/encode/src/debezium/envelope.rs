//! The envelope around the rows: source block, operation and times, in the peer's order.

use offtake_change::wire::{ChangeView, RowRef, WireError};
use offtake_change::{Operation, Snapshot, ValueRef};

use super::plan::Plan;
use super::value::put_row;
use crate::json;

/// What an envelope says beside the change itself. An update that moved the key becomes a delete
/// and a create, so the operation and the images are not always the change's own.
pub(super) struct Envelope<'a> {
    pub(super) operation: Operation,
    pub(super) before: Option<RowRef<'a>>,
    pub(super) after: Option<RowRef<'a>>,
}

/// Appends `before, after, source, transaction, op, ts_ms, ts_us, ts_ns`.
pub(super) fn put_envelope(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
    envelope: &Envelope<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), WireError> {
    out.extend_from_slice(b"{\"before\":");
    put_image(out, plan, envelope.before, scratch)?;
    out.extend_from_slice(b",\"after\":");
    put_image(out, plan, envelope.after, scratch)?;
    out.push(b',');
    put_source(out, plan, change);
    out.extend_from_slice(b",\"transaction\":null,\"op\":\"");
    out.push(envelope.operation.letter());
    out.extend_from_slice(b"\",\"ts_ms\":");
    let processed = change.processed_unix_ns;
    json::put_integer(out, processed.div_euclid(1_000_000));
    out.extend_from_slice(b",\"ts_us\":");
    json::put_integer(out, processed.div_euclid(1000));
    out.extend_from_slice(b",\"ts_ns\":");
    json::put_integer(out, processed);
    out.push(b'}');
    Ok(())
}

/// Appends a logical message: another order and fewer fields than a row's envelope.
pub(super) fn put_message(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
) -> Result<(), WireError> {
    out.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
    json::put_integer(out, change.processed_unix_ns.div_euclid(1_000_000));
    out.push(b',');
    put_source(out, plan, change);
    out.extend_from_slice(b",\"transaction\":null,\"message\":{\"prefix\":");
    let (prefix, content) = message(change)?;
    put_text_or_null(out, prefix);
    out.extend_from_slice(b",\"content\":");
    match content {
        ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => json::put_base64(out, bytes),
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Appends a logical message's key.
pub(super) fn put_message_key(out: &mut Vec<u8>, change: &ChangeView<'_>) -> Result<(), WireError> {
    out.extend_from_slice(b"{\"prefix\":");
    put_text_or_null(out, message(change)?.0);
    out.push(b'}');
    Ok(())
}

fn message<'a>(change: &ChangeView<'a>) -> Result<(ValueRef<'a>, ValueRef<'a>), WireError> {
    let Some(row) = change.after else { return Ok((ValueRef::Absent, ValueRef::Absent)) };
    let mut values = row.values();
    let prefix = values.next().transpose()?.unwrap_or(ValueRef::Absent);
    let content = values.next().transpose()?.unwrap_or(ValueRef::Absent);
    Ok((prefix, content))
}

fn put_text_or_null(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Text(text) => json::put_string(out, text),
        _ => out.extend_from_slice(b"null"),
    }
}

fn put_image(
    out: &mut Vec<u8>,
    plan: &Plan,
    row: Option<RowRef<'_>>,
    scratch: &mut Vec<u8>,
) -> Result<(), WireError> {
    match row {
        Some(row) => put_row(out, plan, row, scratch),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

fn put_source(out: &mut Vec<u8>, plan: &Plan, change: &ChangeView<'_>) {
    let transaction = change.transaction.unwrap_or_default();
    // A snapshot row has no transaction; its time is when it was read.
    let micros = match change.transaction {
        Some(transaction) => transaction.commit_unix_us,
        None => change.processed_unix_ns.div_euclid(1000),
    };
    out.extend_from_slice(&plan.source_head);
    json::put_integer(out, micros.div_euclid(1000));
    out.extend_from_slice(b",\"snapshot\":\"");
    out.extend_from_slice(snapshot(change.snapshot));
    out.push(b'"');
    out.extend_from_slice(&plan.source_database);
    // JSON text within JSON: last commit and this change's own place.
    out.extend_from_slice(b"\"[");
    put_sequence_element(out, transaction.previous_commit.0);
    out.push(b',');
    put_sequence_element(out, change.lsn.0);
    out.extend_from_slice(b"]\",\"ts_us\":");
    json::put_integer(out, micros);
    out.extend_from_slice(b",\"ts_ns\":");
    json::put_integer(out, i128::from(micros) * 1000);
    out.extend_from_slice(&plan.source_table);
    if !transaction.id.is_empty() && transaction.id.iter().all(u8::is_ascii_digit) {
        out.extend_from_slice(transaction.id);
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"lsn\":");
    put_number_or_null(out, change.lsn.0);
    out.extend_from_slice(b",\"xmin\":null,\"origin\":");
    if transaction.origin.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        json::put_string(out, transaction.origin);
    }
    out.extend_from_slice(b",\"origin_lsn\":null}");
}

fn put_sequence_element(out: &mut Vec<u8>, lsn: u64) {
    if lsn == 0 {
        out.extend_from_slice(b"null");
    } else {
        out.extend_from_slice(b"\\\"");
        json::put_integer(out, lsn);
        out.extend_from_slice(b"\\\"");
    }
}

fn put_number_or_null(out: &mut Vec<u8>, value: u64) {
    if value == 0 {
        out.extend_from_slice(b"null");
    } else {
        json::put_integer(out, value);
    }
}

fn snapshot(marker: Snapshot) -> &'static [u8] {
    match marker {
        Snapshot::None => b"false",
        Snapshot::First => b"first",
        Snapshot::Row => b"true",
        Snapshot::LastInTable => b"last_in_data_collection",
        Snapshot::Last => b"last",
        Snapshot::FirstInTable => b"first_in_data_collection",
    }
}
