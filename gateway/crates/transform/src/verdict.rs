//! A plugin's verdict: checked as a whole, then applied as a whole.
//!
//! Checking copies the new values into the batch's arena and stages cells that point there; only
//! when nothing is left to object to do rows change. What a rejected verdict staged is rewound, so the
//! batch is then as it was.

use std::sync::Arc;

use offtake_change::Batch;

use crate::bindings as wit;
use crate::column::Staged;
use crate::emit::{self, Emission, StagedRow};
use crate::namings::{NAMINGS, Namings};
use crate::shape::Shaped;
use crate::{CALL_ROWS, FaultCode, complete, operation, patches, routes};

/// Room that a buffer keeps from one verdict to the next, in bytes.
const KEPT_BYTES: usize = 1 << 20;

/// Why a verdict was not applied: it makes no sense, or asks for what there is not.
#[derive(Debug)]
pub(crate) struct Rejected(pub(crate) FaultCode, pub(crate) String);

pub(crate) fn malformed(message: impl Into<String>) -> Rejected {
    Rejected(FaultCode::MalformedVerdict, message.into())
}

/// What one verdict may hold.
pub(crate) struct CallLimits {
    /// Bytes of headers that routes add, over all rows, and as many again of emitted rows: their
    /// cells and headers.
    pub(crate) output_bytes: usize,
    /// Rows emitted for one change.
    pub(crate) fan_out: u32,
    /// Streams that no row may be sent to.
    pub(crate) reserved_streams: Arc<[String]>,
}

/// Checks what holds of a verdict whatever else becomes of it: that it says nothing which this version
/// does not know, and that each row that it declares failed is there and named once.
pub(crate) fn admit(verdict: &wit::Verdict, rows: usize) -> Result<(), Rejected> {
    if !verdict.extra.is_empty() {
        let message = "it says more than this version of the contract has (`extra`)";
        return Err(Rejected(FaultCode::FeatureUnsupported, message.to_owned()));
    }
    let mut failed = Namings::new();
    for wit::RowFailure { row, .. } in &verdict.failures {
        check_row(*row, rows)?;
        if failed.name(*row as usize) != Some(0) {
            return Err(malformed(format!("it declares row {row} failed twice")));
        }
    }
    Ok(())
}

fn check_row(row: u32, rows: usize) -> Result<(), Rejected> {
    if row as usize >= rows {
        return Err(malformed(format!("it names row {row} of {rows}")));
    }
    Ok(())
}

/// Applies verdicts; keeps its buffers from one to the next.
#[derive(Default)]
pub(crate) struct Applier {
    staged: Vec<Staged>,
    emitted: Vec<StagedRow>,
    /// Rows that the verdict declares failed, as indices into the batch's rows.
    failed: Vec<u32>,
}

impl Applier {
    /// Applies a verdict that was admitted, on `rows` (indices into the batch's rows), and gives the
    /// number of rows dropped. Rows that it declares failed are left as they are. Rows that it emits
    /// are added to the batch's, and to `emissions`.
    pub(crate) fn apply(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        shaped: &Shaped,
        verdict: &wit::Verdict,
        limits: &CallLimits,
        emissions: &mut Vec<Emission>,
    ) -> Result<u64, Rejected> {
        let mark = batch.mark();
        let outcome = self.try_apply(batch, rows, shaped, verdict, limits);
        if outcome.is_ok() {
            emit::commit(batch, verdict, &self.failed, &mut self.emitted, emissions);
        } else {
            // Nothing refers to what was staged.
            batch.rewind(mark);
        }
        trim(&mut self.staged);
        trim(&mut self.emitted);
        outcome
    }

    fn try_apply(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        shaped: &Shaped,
        verdict: &wit::Verdict,
        limits: &CallLimits,
    ) -> Result<u64, Rejected> {
        let target = |row: u32| {
            check_row(row, rows.len())?;
            rows.get(row as usize).copied().ok_or_else(|| malformed("a row out of range"))
        };
        self.failed.clear();
        for failure in &verdict.failures {
            self.failed.push(target(failure.row)?);
        }
        let mut dropped = Namings::new();
        for &row in &verdict.drop {
            target(row)?;
            if dropped.name(row as usize).is_none() {
                return Err(malformed(format!("it drops row {row} more than {NAMINGS} times")));
            }
        }
        let mut changed = [false; CALL_ROWS];
        for change in &verdict.ops {
            operation::check(batch, target(change.row)?, change.op, &shaped.wide)
                .map_err(malformed)?;
            match changed.get_mut(change.row as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(malformed(format!("it changes row {} twice", change.row))),
            }
        }
        routes::check(&verdict.routes, rows.len(), limits)?;
        self.staged.clear();
        patches::stage(batch, rows, shaped, &verdict.set, &mut self.staged).map_err(malformed)?;
        let stays = |at: usize, row: u32| !dropped.has(at) && !self.failed.contains(&row);
        complete::check(batch, rows, shaped, &verdict.ops, &self.staged, stays)
            .map_err(malformed)?;
        self.emitted.clear();
        emit::stage(batch, rows, shaped, &verdict.emit, limits, &mut self.emitted)?;
        Ok(self.commit(batch, rows, shaped, verdict, &dropped))
    }

    /// Applies a verdict that was checked.
    fn commit(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        shaped: &Shaped,
        verdict: &wit::Verdict,
        dropped: &Namings,
    ) -> u64 {
        let mut count = 0;
        let failed = &self.failed;
        let target = |row: u32| rows.get(row as usize).copied().filter(|row| !failed.contains(row));
        let all = if verdict.drop.is_empty() { &[] } else { rows };
        for (_, &row) in all.iter().enumerate().filter(|(at, _)| dropped.has(*at)) {
            if let Some(head) = batch.rows.get_mut(row as usize)
                && !head.dropped
                && !failed.contains(&row)
            {
                head.dropped = true;
                count += 1;
            }
        }
        for &row in rows.iter().filter(|row| !failed.contains(row)) {
            if !batch.rows[row as usize].dropped {
                shaped.widen(batch, row);
            }
        }
        for value in self.staged.drain(..) {
            let head = batch.rows[value.row as usize];
            if !head.dropped && !failed.contains(&value.row) {
                let image = if value.before { head.before } else { head.after };
                batch.set(image, value.ordinal as usize, value.cell);
            }
        }
        for change in &verdict.ops {
            if let Some(row) = target(change.row) {
                operation::apply(batch, row, change.op, &shaped.wide);
            }
        }
        routes::apply(batch, rows, failed, &verdict.routes);
        count
    }
}

/// Gives back the room of an unusually large verdict.
fn trim<T>(buffer: &mut Vec<T>) {
    if buffer.capacity().saturating_mul(size_of::<T>()) > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::{Cell, Column, Kind, Operation, Row, TableSchema};

    use super::*;
    use crate::Shape;

    /// More than a batch needs whose buffers are kept.
    const COLUMNS: u32 = 200;

    /// A whole call of rows whose columns are all false.
    fn falses() -> (Batch, Shaped) {
        let column = |at| Column::new(format!("c{at}"), Kind::Boolean, "bool");
        let columns = (0..COLUMNS).map(column).collect();
        let schema = Arc::new(TableSchema::new("shop", "public", "flags", columns, &[]));
        let mut batch = Batch::new();
        let index = batch.schema_index(&schema);
        for _ in 0..CALL_ROWS {
            let begin = batch.begin_image();
            (0..COLUMNS).for_each(|_| batch.push_cell(Cell::boolean(false)));
            let after = batch.end_image(begin);
            let row = Row::new(Operation::Create, offtake_change::Image::NONE, after);
            batch.rows.push(Row { schema: index, ..row });
        }
        let shaped = Shaped::new("zoo", &schema, &Shape::default(), Vec::new());
        (batch, shaped)
    }

    /// Sets so many columns of every row, the last one to `last`.
    fn setting(columns: u32, last: u8) -> wit::Verdict {
        let patch = |ordinal: u32| {
            let value = if ordinal + 1 == columns { last } else { 1 };
            let data = wit::ColumnData::Boolean(vec![value; CALL_ROWS]);
            let column = wit::Column { ordinal, presence: Vec::new(), data };
            wit::Patch { image: wit::Image::After, column, rows: Vec::new() }
        };
        wit::Verdict {
            drop: Vec::new(),
            set: (0..columns).map(patch).collect(),
            ops: Vec::new(),
            routes: Vec::new(),
            emit: Vec::new(),
            failures: Vec::new(),
            extra: Vec::new(),
        }
    }

    #[test]
    fn the_room_of_an_unusual_verdict_is_given_back_whether_it_is_applied_or_not() {
        let limits =
            CallLimits { output_bytes: 1 << 20, fan_out: 1, reserved_streams: Arc::default() };
        let mut applier = Applier::default();
        for (columns, last, is_sound, is_kept) in
            [(4, 1, true, true), (COLUMNS, 1, true, false), (COLUMNS, 2, false, false)]
        {
            let (mut batch, shaped) = falses();
            let rows: Vec<u32> = (0..CALL_ROWS as u32).collect();
            let verdict = setting(columns, last);
            let outcome =
                applier.apply(&mut batch, &rows, &shaped, &verdict, &limits, &mut Vec::new());
            assert_eq!(outcome.is_ok(), is_sound, "{outcome:?}");
            assert_eq!(applier.staged.capacity() > 0, is_kept, "{columns} columns, {last}");
        }
    }
}
