//! What trials of a new plugin run over: the tables' definitions, and a few recent batches.
//!
//! The log holds what plugins put out, so what they took in is kept here: in memory, bounded, one
//! batch a second at most, so that it costs the data plane a copy now and then. It is gone with the
//! process, but for what a capture has.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offtake_change::{Batch, TableSchema};
use offtake_source_postgres::Sample;

use super::super::halt::Halt;
use super::capture::Capture;

/// Memory of all batches that are kept.
const BYTES: usize = 4 << 20;
/// Time between two that are kept, in nanoseconds.
const INTERVAL_NS: i64 = 1_000_000_000;

/// Shared by the worker, which fills it, and by trials.
#[derive(Default)]
pub struct RecentInputs {
    kept: Mutex<Kept>,
    captured: Option<(Capture, flume::Sender<Batch>)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The tables as the catalogue had them when the source last started.
    pub catalogue: Vec<Arc<TableSchema>>,
    /// The newest definition of every table that changes came under.
    pub definitions: Vec<Arc<TableSchema>>,
    /// Batches as the source made them, oldest first.
    pub batches: VecDeque<Batch>,
    /// Rows that were read for this trial.
    pub sample: Arc<Sample>,
    pub(super) bytes: usize,
    pub(super) last_unix_ns: i64,
}

impl Kept {
    /// Every table: as changes came under it, and where none came, as the catalogue has it.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        let unseen = self
            .catalogue
            .iter()
            .filter(|table| !self.definitions.iter().any(|seen| is_same_table(seen, table)));
        self.definitions.iter().chain(unseen).cloned().collect()
    }
}

pub(super) fn is_same_table(one: &TableSchema, other: &TableSchema) -> bool {
    one.subject == other.subject && one.namespace == other.namespace && one.table == other.table
}

impl RecentInputs {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None yet; what comes is captured too.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn captured(capture: Capture) -> Result<RecentInputs, Halt> {
        let batches = capture.start()?;
        Ok(RecentInputs { kept: Mutex::default(), captured: Some((capture, batches)) })
    }

    /// A copy of what is kept, behind what a capture has from before.
    ///
    /// # Errors
    /// The capture cannot be read.
    pub fn with_captured(&self) -> Result<Kept, Halt> {
        let mut kept = self.copy();
        let Some((capture, _)) = &self.captured else { return Ok(kept) };
        let in_memory: Vec<i64> = kept.batches.iter().map(|it| it.processed_unix_ns).collect();
        let mut batches: VecDeque<Batch> = capture.batches()?.into();
        batches.retain(|batch| !in_memory.contains(&batch.processed_unix_ns));
        batches.append(&mut kept.batches);
        kept.batches = batches;
        Ok(kept)
    }

    /// The source has started with these tables.
    pub fn started(&self, tables: &[Arc<TableSchema>]) {
        self.kept().catalogue = tables.to_vec();
    }

    /// Changes came under a definition for the first time.
    pub fn defined(&self, schema: &Arc<TableSchema>) {
        let mut kept = self.kept();
        kept.definitions.retain(|known| !is_same_table(known, schema));
        kept.definitions.push(Arc::clone(schema));
    }

    /// The tables that the source started with.
    pub fn catalogue(&self) -> Vec<Arc<TableSchema>> {
        self.kept().catalogue.clone()
    }

    /// A batch as it came from the source; kept where the last one is a while ago.
    pub fn offer(&self, batch: &Batch) {
        let mut kept = self.kept();
        let bytes = batch.size_bytes();
        let is_soon = (0..INTERVAL_NS).contains(&(batch.processed_unix_ns - kept.last_unix_ns));
        if batch.rows.is_empty() || bytes > BYTES || is_soon {
            return;
        }
        kept.last_unix_ns = batch.processed_unix_ns;
        kept.bytes += bytes;
        kept.batches.push_back(batch.clone());
        if let Some((_, batches)) = &self.captured {
            // One that comes while another is written is left out.
            let _ = batches.try_send(batch.clone());
        }
        while kept.bytes > BYTES {
            let Some(oldest) = kept.batches.pop_front() else { break };
            kept.bytes -= oldest.size_bytes();
        }
    }

    /// A copy of what is kept.
    pub fn copy(&self) -> Kept {
        self.kept().clone()
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::{Column, Image, Kind, Operation, Row};

    use super::*;

    fn batch(at_second: i64, bytes: usize) -> Batch {
        let mut batch = Batch::new();
        batch.processed_unix_ns = at_second * INTERVAL_NS;
        let begin = batch.begin_image();
        let cell = batch.text(&vec![b'x'; bytes]);
        batch.push_cell(cell);
        let image = batch.end_image(begin);
        batch.rows.push(Row::new(Operation::Create, Image::NONE, image));
        batch
    }

    #[test]
    fn one_batch_a_second_is_kept_and_the_oldest_go_first() {
        let inputs = RecentInputs::default();
        inputs.offer(&batch(1, 10));
        inputs.offer(&batch(1, 10));
        assert_eq!(inputs.copy().batches.len(), 1);
        for second in 2..12 {
            inputs.offer(&batch(second, 1 << 20));
        }
        let kept = inputs.copy();
        assert_eq!(kept.batches.len(), 3);
        assert_eq!(kept.batches[2].processed_unix_ns, 11 * INTERVAL_NS);
        assert_eq!(kept.bytes, kept.batches.iter().map(Batch::size_bytes).sum::<usize>());
        inputs.offer(&batch(20, BYTES));
        assert_eq!(inputs.copy().batches.len(), 3, "one that is larger than all may be");
        // A clock that was set back keeps nobody out.
        inputs.offer(&batch(5, 10));
        assert_eq!(inputs.copy().batches.len(), 4);
    }

    #[test]
    fn a_table_is_known_by_its_newest_definition_or_else_by_the_catalogue() {
        let table = |name: &str, column: &str| {
            let columns = vec![Column::new(column, Kind::Text, "text")];
            Arc::new(TableSchema::new("shop", "public", name, columns, &[0]))
        };
        let inputs = RecentInputs::default();
        inputs.started(&[table("people", "mail"), table("orders", "id")]);
        inputs.defined(&table("people", "mail"));
        inputs.defined(&table("people", "email"));
        let tables = inputs.copy().tables();
        let columns: Vec<&str> = tables.iter().map(|it| &*it.columns[0].name).collect();
        assert_eq!(columns, ["email", "id"]);
    }
}
