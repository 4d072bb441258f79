//! `Describe`: the streams with their schemas, and what part of the log is there.
//!
//! The log knows streams and schemas, but not which schema goes to which stream. Here a pair counts
//! when a subscription saw a change of it, or when the stream is named after the schema's table, as
//! the default stream name is.

use std::collections::HashSet;
use std::sync::Arc;

use offtake_log::StreamStats;
use offtake_proto::v1;
use parking_lot::RwLock;
use tonic::Status;

use crate::open::{Streams, earliest, names_table};
use crate::service::Shared;

/// Most pairs that are remembered; a log has few schemas a stream.
const MAX_SEEN: usize = 65_536;

/// Which stream carries which schema, as subscriptions saw it.
#[derive(Debug, Default)]
pub(crate) struct Seen(RwLock<HashSet<(u32, u32)>>);

impl Seen {
    pub(crate) fn insert(&self, stream: u32, schema: u32) {
        if self.contains(stream, schema) {
            return;
        }
        let mut pairs = self.0.write();
        if pairs.len() < MAX_SEEN {
            pairs.insert((stream, schema));
        }
    }

    fn contains(&self, stream: u32, schema: u32) -> bool {
        self.0.read().contains(&(stream, schema))
    }
}

/// Answers a request.
///
/// # Errors
/// Too many or too long globs.
pub(crate) fn describe(
    shared: &Shared,
    request: &v1::DescribeRequest,
) -> Result<v1::DescribeReply, Status> {
    let selected = Streams::new(&request.streams)?;
    let selection = selected.selection();
    let token = selected.token(shared);
    let schemas = shared.log.schemas();
    let streams = shared
        .log
        .stats()
        .streams
        .into_iter()
        .filter(|stream| selection.matches(&stream.name))
        .map(|stream| stream_info(shared, stream, &schemas))
        .collect();
    let latest = shared.log.durable().borrow().sequence;
    Ok(v1::DescribeReply {
        streams,
        earliest: Some(earliest(shared, token.clone())),
        latest: Some(v1::Cursor { token, sequence: latest }),
        log_id: shared.log.id().iter().map(|byte| format!("{byte:02x}")).collect(),
        state: shared.state.borrow().clone(),
    })
}

fn stream_info(
    shared: &Shared,
    stream: StreamStats,
    schemas: &[Arc<v1::Schema>],
) -> v1::StreamInfo {
    let carried = |schema: &v1::Schema| {
        shared.seen.contains(stream.stream, schema.id)
            || names_table(&stream.name, &format!("{}.{}", schema.namespace, schema.table))
    };
    let schemas =
        schemas.iter().filter(|schema| carried(schema)).map(|schema| (**schema).clone()).collect();
    v1::StreamInfo { name: stream.name, schemas, changes: stream.changes, bytes: stream.bytes }
}
