//! The routes of a verdict: streams, partitions and headers of rows.
//!
//! They are counted before anything is done: how often a row is named, how many headers it is given and
//! how many it loses. Then each row's headers are made once, however many routes are about it, so that
//! what they take in the batch is what they are.

use std::collections::HashSet;

use offtake_change::Batch;

use crate::bindings as wit;
use crate::column::target_count;
use crate::defined::check_stream;
use crate::namings::{NAMINGS, Namings};
use crate::verdict::{CallLimits, Rejected, malformed};
use crate::{CALL_ROWS, FaultCode};

/// Headers that a row can have, and that can be taken from one.
const ROW_HEADERS: usize = 64;
/// Longest name of a header, in bytes.
const HEADER_NAME_BYTES: usize = 255;

/// Checks routes. One header may be meant for every row, so the total over rows is bounded apart from
/// the size of the verdict.
pub(crate) fn check(
    routes: &[wit::Route],
    rows: usize,
    limits: &CallLimits,
) -> Result<(), Rejected> {
    if routes.is_empty() {
        return Ok(());
    }
    let mut counted = Counted::new();
    let mut total = 0_usize;
    for route in routes {
        let count = target_count(&route.rows, rows).map_err(malformed)?;
        let partitions = route.partitions.len();
        if partitions > 1 && partitions != count {
            return Err(malformed(format!("it gives {partitions} partitions for {count} rows")));
        }
        if let Some(stream) = &route.stream {
            check_stream(stream, &limits.reserved_streams).map_err(malformed)?;
        }
        let bytes = check_headers(&route.add_headers)?;
        total = total.saturating_add(bytes.saturating_mul(count));
        counted.count(route, rows).map_err(malformed)?;
        // Only now: a list that is not too long.
        route.remove_headers.iter().try_for_each(|name| check_name(name))?;
    }
    if total > limits.output_bytes {
        let message = format!("its headers take {total} bytes over all rows, more than it may");
        return Err(Rejected(FaultCode::Output, message));
    }
    Ok(())
}

/// What routes say of each row of a call.
struct Counted {
    named: Namings,
    sent: Namings,
    added: [usize; CALL_ROWS],
    removed: [usize; CALL_ROWS],
}

impl Counted {
    fn new() -> Counted {
        Counted {
            named: Namings::new(),
            sent: Namings::new(),
            added: [0; CALL_ROWS],
            removed: [0; CALL_ROWS],
        }
    }

    fn count(&mut self, route: &wit::Route, rows: usize) -> Result<(), String> {
        let (added, removed) = (route.add_headers.len(), route.remove_headers.len());
        for row in targets(route, rows) {
            if self.named.name(row).is_none() {
                return Err(format!("its routes name row {row} more often than {NAMINGS} times"));
            }
            if route.stream.is_some() && self.sent.name(row) != Some(0) {
                return Err(format!("it sends row {row} to two streams"));
            }
            more(&mut self.added, row, added)
                .ok_or_else(|| format!("it adds more than {ROW_HEADERS} headers to row {row}"))?;
            more(&mut self.removed, row, removed).ok_or_else(|| {
                format!("it removes more than {ROW_HEADERS} headers of row {row}")
            })?;
        }
        Ok(())
    }
}

/// Counts headers of a row; `None`: too many.
fn more(counts: &mut [usize; CALL_ROWS], row: usize, headers: usize) -> Option<()> {
    let count = counts.get_mut(row)?;
    *count += headers;
    (*count <= ROW_HEADERS).then_some(())
}

/// Checks the headers that a row is given, and gives their size in bytes.
pub(crate) fn check_headers(headers: &[wit::Header]) -> Result<usize, Rejected> {
    if headers.len() > ROW_HEADERS {
        return Err(malformed(format!("it adds more than {ROW_HEADERS} headers to a row")));
    }
    let mut bytes = 0;
    for header in headers {
        check_name(&header.name)?;
        bytes += header.name.len() + header.value.len();
    }
    Ok(bytes)
}

fn check_name(name: &str) -> Result<(), Rejected> {
    if name.is_empty() || name.len() > HEADER_NAME_BYTES {
        return Err(malformed(format!(
            "a header's name is empty or longer than {HEADER_NAME_BYTES} bytes"
        )));
    }
    Ok(())
}

/// The rows of the call that a route is about.
fn targets(route: &wit::Route, rows: usize) -> impl Iterator<Item = usize> + use<'_> {
    let all = if route.rows.is_empty() { rows } else { 0 };
    (0..all).chain(route.rows.iter().map(|&row| row as usize))
}

/// Applies routes that were checked, but for the rows that failed. `rows` and `failed`: indices into
/// the batch's rows.
pub(crate) fn apply(batch: &mut Batch, rows: &[u32], failed: &[u32], routes: &[wit::Route]) {
    if routes.is_empty() {
        return;
    }
    let open: Vec<Option<usize>> =
        rows.iter().map(|row| (!failed.contains(row)).then_some(*row as usize)).collect();
    apply_headers(batch, &open, routes);
    for route in routes {
        let stream = route.stream.as_deref().map(|name| batch.stream_index(name));
        for (at, target) in targets(route, rows.len()).enumerate() {
            let Some(index) = open.get(target).copied().flatten() else { continue };
            let chosen = route.partitions.get(at).or(route.partitions.first());
            if let Some(&partition) = chosen {
                batch.set_partition(index, partition);
            }
            if let Some(row) = batch.rows.get_mut(index).filter(|_| stream.is_some()) {
                row.stream = stream;
            }
        }
    }
}

/// Gives every row that a route adds headers to, or removes some of, its new ones.
fn apply_headers(batch: &mut Batch, open: &[Option<usize>], routes: &[wit::Route]) {
    let mut edits: Vec<(usize, &wit::Route)> = Vec::new();
    for route in routes {
        if !route.add_headers.is_empty() || !route.remove_headers.is_empty() {
            let rows =
                targets(route, open.len()).filter_map(|row| open.get(row).copied().flatten());
            edits.extend(rows.map(|index| (index, route)));
        }
    }
    // Stable: a row's routes stay in their order.
    edits.sort_by_key(|&(index, _)| index);
    let mut made = RowHeaders::default();
    for edits in edits.chunk_by(|a, b| a.0 == b.0) {
        if let Some(&(index, _)) = edits.first() {
            made.make(edits.iter().map(|&(_, route)| route).rev());
            made.put(batch, index);
        }
    }
}

/// What routes make of one row's headers; kept from row to row.
#[derive(Default)]
struct RowHeaders<'v> {
    /// The added ones that stay, newest first.
    added: Vec<&'v wit::Header>,
    /// Names that the row's own headers may no longer have.
    gone: HashSet<&'v [u8]>,
}

impl<'v> RowHeaders<'v> {
    /// Takes in a row's routes, newest first. An added header takes the place of older ones of its
    /// name.
    fn make(&mut self, routes: impl Iterator<Item = &'v wit::Route>) {
        self.added.clear();
        self.gone.clear();
        for route in routes {
            let added = route.add_headers.iter();
            let stays = |header: &&wit::Header| !self.gone.contains(header.name.as_bytes());
            self.added.extend(added.clone().rev().filter(stays));
            self.gone.extend(added.map(|header| header.name.as_bytes()));
            self.gone.extend(route.remove_headers.iter().map(|name| name.as_bytes()));
        }
    }

    /// Beyond [`ROW_HEADERS`] the oldest of a row give way.
    fn put(&self, batch: &mut Batch, index: usize) {
        let Some(row) = batch.rows.get(index) else { return };
        let own: Vec<(String, Vec<u8>)> = batch
            .headers(row.headers)
            .filter(|(name, _)| !self.gone.contains(*name))
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
            .collect();
        let beyond = (own.len() + self.added.len()).saturating_sub(ROW_HEADERS);
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let added = self.added.iter().rev();
        let added = added.map(|header| (header.name.as_str(), header.value.as_slice()));
        batch.set_headers(index, own.chain(added).skip(beyond));
    }
}
