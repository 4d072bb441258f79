//! The source's task: what it resumes from, and the one place that acknowledges it.
//!
//! The acknowledged position is derived from the log's durable position, and with `ack = "sinks"`
//! from what the sinks have made durable of it, and from nothing else; it only moves forward.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use offtake_change::{Histogram, Lsn, TableSchema};
use offtake_log::{Log, Recovered};
use offtake_proto::v1;
use offtake_source_postgres::{Resume, lsn_of};
use tokio::sync::watch;

/// What the source resumes from.
pub fn resume(recovered: &Recovered) -> Resume {
    Resume {
        position: recovered.position.clone(),
        snapshots: recovered.snapshots.clone(),
        schemas: newest_schemas(&recovered.schemas),
        log_is_empty: recovered.is_empty,
    }
}

/// Of each table the schema with the highest version, so that versions go on from it. Those that
/// plugins changed have versions of their own.
fn newest_schemas(schemas: &[v1::Schema]) -> Vec<Arc<TableSchema>> {
    let mut newest: BTreeMap<(&str, &str), &v1::Schema> = BTreeMap::new();
    for schema in schemas.iter().filter(|schema| schema.changed_by.is_empty()) {
        let entry = newest.entry((&schema.namespace, &schema.table)).or_insert(schema);
        if schema.version > entry.version {
            *entry = schema;
        }
    }
    // A schema of a later version of this program was refused when the log was opened.
    newest.into_values().filter_map(|s| TableSchema::from_proto(s).ok()).map(Arc::new).collect()
}

/// What may be confirmed to the source: the end of the last whole transaction that is durable, or
/// the idle position beyond it.
fn acknowledgeable(position: &v1::SourcePosition) -> Lsn {
    lsn_of(position.end.as_ref()).max(lsn_of(position.idle.as_ref()))
}

/// Follows the log's durable position and tells the source what it may confirm, until the log's
/// writer is gone. `published` is what the sinks have made durable, where the source waits for that
/// too; nothing is confirmed before they have said it. `early` is what a mutation of the tests acknowledges too soon.
pub async fn acknowledge(
    log: Log,
    mut published: Option<watch::Receiver<Option<v1::SourcePosition>>>,
    acknowledged: watch::Sender<Lsn>,
    mut early: watch::Receiver<u64>,
    commit_to_log: Arc<Histogram>,
) {
    let mut durable = log.durable();
    let mut last_commit_unix_us = 0;
    loop {
        let position = durable.borrow_and_update().position.clone();
        let mut safe = position.as_deref().map_or(Lsn::ZERO, acknowledgeable);
        if let Some(position) = position.as_deref()
            && position.last_commit_unix_us > last_commit_unix_us
        {
            if last_commit_unix_us != 0 {
                commit_to_log.observe_commit(position.last_commit_unix_us, SystemTime::now());
            }
            last_commit_unix_us = position.last_commit_unix_us;
        }
        if let Some(published) = &mut published {
            let position = published.borrow_and_update();
            safe = safe.min(position.as_ref().map_or(Lsn::ZERO, acknowledgeable));
        }
        safe = safe.max(Lsn(*early.borrow_and_update()));
        acknowledged.send_if_modified(|current| {
            let moves = safe > *current;
            if moves {
                *current = safe;
            }
            moves
        });
        tokio::select! {
            changed = durable.changed() => if changed.is_err() { return },
            changed = early.changed() => if changed.is_err() { return },
            changed = sinks(&mut published) => if changed.is_err() { return },
        }
    }
}

/// Waits until the sinks have made more durable, which they no longer do when they have ended; for ever where the source does not wait for them.
async fn sinks(
    published: &mut Option<watch::Receiver<Option<v1::SourcePosition>>>,
) -> Result<(), watch::error::RecvError> {
    match published {
        Some(published) => published.changed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_source_postgres::position_of;

    #[test]
    fn a_partial_transaction_never_moves_what_is_acknowledged() {
        let position = v1::SourcePosition {
            end: Some(position_of(Lsn(100))),
            partial: Some(v1::Partial {
                commit: Some(position_of(Lsn(900))),
                next_row: 5,
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(acknowledgeable(&position), Lsn(100));
        let idle = v1::SourcePosition { idle: Some(position_of(Lsn(300))), ..position };
        assert_eq!(acknowledgeable(&idle), Lsn(300));
    }
}
