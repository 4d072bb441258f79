//! `Describe`: the streams with their schemas, and what part of the log is there.
//!
//! The log knows which schemas a stream's changes have. Of a stream of which it holds no change,
//! the schemas are told by its name, where that is the table's as the default stream name is.
//! Schemas can also be asked for by their ids.

use std::sync::Arc;

use offtake_log::StreamStats;
use offtake_proto::v1;
use tonic::Status;

use crate::open::{Streams, earliest, names_table};
use crate::service::Shared;

/// Schemas that one request gets by their ids.
const MAX_SCHEMA_IDS: usize = 1_000;

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
    let wanted = request.schema_ids.iter().take(MAX_SCHEMA_IDS);
    let wanted = wanted.filter_map(|&id| shared.log.schema(id)).map(|it| (*it).clone()).collect();
    Ok(v1::DescribeReply {
        streams,
        earliest: Some(earliest(shared, token.clone())),
        latest: Some(v1::Cursor { token, sequence: latest }),
        log_id: shared.log.id().iter().map(|byte| format!("{byte:02x}")).collect(),
        state: shared.state.borrow().clone(),
        schemas: wanted,
    })
}

fn stream_info(
    shared: &Shared,
    stream: StreamStats,
    schemas: &[Arc<v1::Schema>],
) -> v1::StreamInfo {
    let mut carried = shared.log.schemas_of(stream.stream);
    if carried.is_empty() {
        let named =
            |schema: &&Arc<v1::Schema>| names_table(&stream.name, &schema.namespace, &schema.table);
        carried = schemas.iter().filter(named).cloned().collect();
    }
    let schemas = carried.iter().map(|schema| (**schema).clone()).collect();
    v1::StreamInfo { name: stream.name, schemas, changes: stream.changes, bytes: stream.bytes }
}
