//! The log's ids of the streams and definitions that a batch's rows leave with.
//!
//! A row that no plugin sent elsewhere leaves on its route's stream. The ids of a batch are looked up
//! once each, not once a change.

use std::sync::Arc;

use offtake_change::{Batch, Row, TableSchema};

use super::super::halt::Halt;
use super::Worker;
use super::plans::TargetPlan;

/// Ids by the batch's own indices.
pub(super) struct BatchNames {
    schemas: Vec<Option<u32>>,
    /// For routes that protect nothing, and for those that protect something.
    streams: Vec<[Option<u32>; 2]>,
}

/// Definitions that are known by their address, at most.
const DEFINITIONS: usize = 8192;

impl BatchNames {
    pub(super) fn new(batch: &Batch) -> BatchNames {
        BatchNames {
            schemas: vec![None; batch.schemas.len()],
            streams: vec![[None; 2]; batch.streams.len()],
        }
    }
}

impl Worker {
    /// The id of a definition that rows leave with. `source`: the one that it was made of.
    pub(super) fn schema_id(&mut self, schema: &Arc<TableSchema>, source: &TableSchema) -> u32 {
        let address = Arc::as_ptr(schema).addr();
        if let Some((_, id)) = self.schema_ids.get(&address) {
            return *id;
        }
        if self.schema_ids.len() >= DEFINITIONS {
            // A fresh instance of a plugin makes its definitions anew.
            self.schema_ids.clear();
        }
        let versioned = self.versions.versioned(Arc::clone(schema), source);
        let id = self.writer.register_schema(&versioned);
        self.schema_ids.insert(address, (Arc::clone(schema), id));
        id
    }

    /// The id of a row's definition. `source`: the index of the one that it came with.
    pub(super) fn schema_of(
        &mut self,
        batch: &Batch,
        row: &Row,
        source: u32,
        names: &mut BatchNames,
    ) -> u32 {
        let at = row.schema as usize;
        if let Some(Some(id)) = names.schemas.get(at) {
            return *id;
        }
        let Some(schema) = batch.schemas.get(at) else { return 0 };
        let id = self.schema_id(schema, batch.schemas.get(source as usize).unwrap_or(schema));
        if let Some(slot) = names.schemas.get_mut(at) {
            *slot = Some(id);
        }
        id
    }

    /// The id of a row's stream.
    ///
    /// # Errors
    /// A plugin named one that only the gateway writes.
    pub(super) fn stream_of(
        &mut self,
        batch: &Batch,
        row: &Row,
        target: &TargetPlan,
        names: &mut BatchNames,
    ) -> Result<u32, Halt> {
        let Some(at) = row.stream.map(|stream| stream as usize) else { return Ok(target.stream) };
        let protects = usize::from(target.protects);
        if let Some(Some(id)) = names.streams.get(at).map(|ids| ids[protects]) {
            return Ok(id);
        }
        let Some(name) = batch.streams.get(at) else { return Ok(target.stream) };
        if self.router.is_own_stream(name) {
            return Err(Halt::new(
                "PLUGIN_STREAM_RESERVED",
                format!(
                    "a plugin of stream {} sends a row to {name}, the gateway's own",
                    target.name
                ),
                "have the plugin choose another stream",
            ));
        }
        let id = self.writer.register_stream(name);
        self.letters.tell(name, target.protects);
        if let Some(ids) = names.streams.get_mut(at) {
            ids[protects] = Some(id);
        }
        Ok(id)
    }
}
