//! A plugin's verdict: checked as a whole, then applied as a whole.
//!
//! Checking copies the new values into the batch's arena and stages cells that point there; only
//! when nothing is left to object to do rows change. What a rejected verdict staged is rewound, so the
//! batch is then as it was.

use std::sync::Arc;

use offtake_change::Batch;

use crate::bindings as wit;
use crate::column::{self, Staged, target_count};
use crate::complete;
use crate::defined::check_stream;
use crate::emit::{self, Emission, StagedRow};
use crate::operation;
use crate::shape::Shaped;
use crate::{CALL_ROWS, FaultCode};

/// Headers that a row can have.
const ROW_HEADERS: usize = 64;
/// Longest name of a header, in bytes.
const HEADER_NAME_BYTES: usize = 255;

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

/// Applies verdicts; keeps its buffers from one to the next.
#[derive(Default)]
pub(crate) struct Applier {
    staged: Vec<Staged>,
    emitted: Vec<StagedRow>,
    /// Rows that the verdict declares failed, as indices into the batch's rows.
    failed: Vec<u32>,
}

impl Applier {
    /// Applies a verdict on `rows` (indices into the batch's rows) and gives the number of rows
    /// dropped. Rows that it declares failed are left as they are. Rows that it emits are added to
    /// the batch's, and to `emissions`.
    pub(crate) fn apply(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        shaped: &Shaped,
        verdict: &wit::Verdict,
        limits: &CallLimits,
        emissions: &mut Vec<Emission>,
    ) -> Result<u64, Rejected> {
        if !verdict.extra.is_empty() {
            let message = "it says more than this version of the contract has (`extra`)";
            return Err(Rejected(FaultCode::FeatureUnsupported, message.to_owned()));
        }
        let mark = batch.mark();
        match self.try_apply(batch, rows, shaped, verdict, limits) {
            Ok(dropped) => {
                emit::commit(batch, verdict, &self.failed, &mut self.emitted, emissions);
                Ok(dropped)
            }
            Err(rejected) => {
                // Nothing refers to what was staged.
                batch.rewind(mark);
                Err(rejected)
            }
        }
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
            rows.get(row as usize)
                .copied()
                .ok_or_else(|| malformed(format!("it names row {row} of {}", rows.len())))
        };
        self.failed.clear();
        for failure in &verdict.failures {
            let row = target(failure.row)?;
            if self.failed.contains(&row) {
                return Err(malformed(format!("it declares row {} failed twice", failure.row)));
            }
            self.failed.push(row);
        }
        for &row in &verdict.drop {
            target(row)?;
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
        check_routes(&verdict.routes, rows.len(), limits)?;
        self.staged.clear();
        for patch in &verdict.set {
            column::stage(batch, rows, shaped, patch, &mut self.staged).map_err(malformed)?;
        }
        complete::check(batch, rows, shaped, verdict, &self.staged, &self.failed)
            .map_err(malformed)?;
        self.emitted.clear();
        emit::stage(batch, rows, shaped, &verdict.emit, limits, &mut self.emitted)?;
        Ok(self.commit(batch, rows, shaped, verdict))
    }

    /// Applies a verdict that was checked.
    fn commit(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        shaped: &Shaped,
        verdict: &wit::Verdict,
    ) -> u64 {
        let mut dropped = 0;
        let failed = &self.failed;
        let target = |row: u32| rows.get(row as usize).copied().filter(|row| !failed.contains(row));
        for row in verdict.drop.iter().filter_map(|&row| target(row)) {
            if let Some(head) = batch.rows.get_mut(row as usize)
                && !head.dropped
            {
                head.dropped = true;
                dropped += 1;
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
        for route in &verdict.routes {
            apply_headers(batch, rows, failed, route);
            apply_partitions(batch, rows, failed, route);
            apply_stream(batch, rows, failed, route);
        }
        dropped
    }
}

/// Checks that there are as many partitions as rows, or one for all, and the headers that are
/// added: one header may be meant for every row, so their total is bounded apart from the size of
/// the verdict.
fn check_routes(routes: &[wit::Route], rows: usize, limits: &CallLimits) -> Result<(), Rejected> {
    let output_bytes = limits.output_bytes;
    let (mut total, mut named, mut sent) = (0_usize, 0_usize, 0_usize);
    for route in routes {
        let count = target_count(&route.rows, rows).map_err(malformed)?;
        // What is done to a row is the host's time, which no deadline of the plugin bounds.
        named += count.max(1);
        if named > ROW_HEADERS * rows {
            return Err(malformed(format!(
                "its routes name rows more often than {ROW_HEADERS} times each"
            )));
        }
        let partitions = route.partitions.len();
        if partitions > 1 && partitions != count {
            return Err(malformed(format!("it gives {partitions} partitions for {count} rows")));
        }
        if let Some(stream) = &route.stream {
            check_stream(stream, &limits.reserved_streams).map_err(malformed)?;
            sent += count;
            if sent > rows {
                return Err(malformed("it sends a row to two streams"));
            }
        }
        let bytes = check_headers(&route.add_headers)?;
        total = total.saturating_add(bytes.saturating_mul(count));
    }
    if total > output_bytes {
        let message = format!("its headers take {total} bytes over all rows, more than it may");
        return Err(Rejected(FaultCode::Output, message));
    }
    Ok(())
}

/// Checks the headers that a row is given, and gives their size in bytes.
pub(crate) fn check_headers(headers: &[wit::Header]) -> Result<usize, Rejected> {
    if headers.len() > ROW_HEADERS {
        return Err(malformed(format!("it adds more than {ROW_HEADERS} headers to a row")));
    }
    let mut bytes = 0;
    for header in headers {
        if header.name.is_empty() || header.name.len() > HEADER_NAME_BYTES {
            return Err(malformed(format!(
                "a header's name is empty or longer than {HEADER_NAME_BYTES} bytes"
            )));
        }
        bytes += header.name.len() + header.value.len();
    }
    Ok(bytes)
}

/// Sets the stream that was chosen.
fn apply_stream(batch: &mut Batch, rows: &[u32], failed: &[u32], route: &wit::Route) {
    let Some(name) = &route.stream else { return };
    let stream = batch.stream_index(name);
    for index in targets(rows, route).filter(|&index| !failed.contains(&(index as u32))) {
        if let Some(row) = batch.rows.get_mut(index) {
            row.stream = Some(stream);
        }
    }
}

/// Sets the partitions that were chosen: one for all rows, or one a row.
fn apply_partitions(batch: &mut Batch, rows: &[u32], failed: &[u32], route: &wit::Route) {
    if route.partitions.is_empty() {
        return;
    }
    for (at, index) in targets(rows, route).enumerate() {
        if failed.contains(&(index as u32)) {
            continue;
        }
        let chosen = route.partitions.get(at).or(route.partitions.first());
        if let Some(&partition) = chosen {
            batch.set_partition(index, partition);
        }
    }
}

/// The batch's rows that a route is about.
fn targets<'r>(rows: &'r [u32], route: &'r wit::Route) -> impl Iterator<Item = usize> + use<'r> {
    let all = if route.rows.is_empty() { rows.len() } else { 0 };
    let named = route.rows.iter().map(|&row| row as usize);
    (0..all).chain(named).filter_map(|at| rows.get(at).map(|&row| row as usize))
}

/// Removes and adds headers. An added header takes the place of one of the same name, and beyond
/// [`ROW_HEADERS`] the oldest of a row give way.
fn apply_headers(batch: &mut Batch, rows: &[u32], failed: &[u32], route: &wit::Route) {
    if route.add_headers.is_empty() && route.remove_headers.is_empty() {
        return;
    }
    for index in targets(rows, route).filter(|&index| !failed.contains(&(index as u32))) {
        let replaced = |name: &[u8]| {
            route.remove_headers.iter().any(|removed| removed.as_bytes() == name)
                || route.add_headers.iter().any(|added| added.name.as_bytes() == name)
        };
        let mut headers: Vec<(String, Vec<u8>)> = batch
            .headers(batch.rows[index].headers)
            .filter(|(name, _)| !replaced(name))
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
            .collect();
        let added = route.add_headers.iter();
        headers.extend(added.map(|header| (header.name.clone(), header.value.clone())));
        headers.drain(..headers.len().saturating_sub(ROW_HEADERS));
        let borrowed = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        batch.set_headers(index, borrowed);
    }
}
