//! The log's ids of the streams and definitions that a batch's rows leave with.
//!
//! A row that no plugin sent elsewhere leaves on its route's stream. The ids of a batch are looked up
//! once each, not once a change.

use std::sync::Arc;

use offtake_change::{Batch, Row, TableSchema};

use super::Worker;
use super::plans::TargetPlan;

/// Ids by the batch's own indices.
pub(super) struct BatchNames {
    schemas: Vec<Option<u32>>,
    streams: Vec<Option<u32>>,
}

impl BatchNames {
    pub(super) fn new(batch: &Batch) -> BatchNames {
        BatchNames {
            schemas: vec![None; batch.schemas.len()],
            streams: vec![None; batch.streams.len()],
        }
    }
}

impl Worker {
    /// The id of a definition that rows leave with.
    pub(super) fn schema_id(&mut self, schema: &Arc<TableSchema>) -> u32 {
        let address = Arc::as_ptr(schema).addr();
        if let Some((_, id)) = self.schema_ids.get(&address) {
            return *id;
        }
        let versioned = self.versions.versioned(Arc::clone(schema));
        let id = self.writer.register_schema(&versioned);
        self.schema_ids.insert(address, (Arc::clone(schema), id));
        id
    }

    /// The id of a row's definition.
    pub(super) fn schema_of(&mut self, batch: &Batch, row: &Row, names: &mut BatchNames) -> u32 {
        let at = row.schema as usize;
        if let Some(Some(id)) = names.schemas.get(at) {
            return *id;
        }
        let Some(schema) = batch.schemas.get(at) else { return 0 };
        let id = self.schema_id(schema);
        if let Some(slot) = names.schemas.get_mut(at) {
            *slot = Some(id);
        }
        id
    }

    /// The id of a row's stream.
    pub(super) fn stream_of(
        &mut self,
        batch: &Batch,
        row: &Row,
        target: &TargetPlan,
        names: &mut BatchNames,
    ) -> u32 {
        let Some(at) = row.stream.map(|stream| stream as usize) else { return target.stream };
        if let Some(Some(id)) = names.streams.get(at) {
            return *id;
        }
        let Some(name) = batch.streams.get(at) else { return target.stream };
        let id = self.writer.register_stream(name);
        self.letters.tell(name, self.chain.protects(&target.plugins));
        if let Some(slot) = names.streams.get_mut(at) {
            *slot = Some(id);
        }
        id
    }
}
