//! The source block, which every envelope has: where in the database a change comes from.
//!
//! What is the same for all changes of a table is written once and copied.

use offtake_change::Snapshot;
use offtake_change::wire::ChangeView;

use crate::connect::{Format, Node};
use crate::json;

/// The source block, prepared.
#[derive(Clone, Debug)]
pub(super) struct SourcePlan<F: Format> {
    at: F::Prepared,
    /// Version, connector and name.
    head: Vec<u8>,
    ts_ms: F::Prepared,
    /// The snapshot's marker and the database, by [`Snapshot`]'s code.
    snapshot: [Vec<u8>; 6],
    sequence: F::Prepared,
    ts_us: F::Prepared,
    ts_ns: F::Prepared,
    /// Schema and table.
    table: Vec<u8>,
    transaction: F::Prepared,
    lsn: F::Prepared,
    /// Without an origin: from `xmin` to the end.
    tail: Vec<u8>,
    /// With one: what stands before it, itself, and what follows.
    xmin: Vec<u8>,
    origin: F::Prepared,
    origin_lsn: Vec<u8>,
}

/// The names that a source block tells.
pub(super) struct SourceNames<'a> {
    pub(super) version: &'a str,
    pub(super) prefix: &'a str,
    pub(super) database: &'a str,
    pub(super) namespace: &'a str,
    pub(super) table: &'a str,
}

/// Commit time and place, with what stands for them where a change has no transaction.
pub(super) struct Place {
    pub(super) micros: i64,
    pub(super) previous_commit: u64,
}

impl Place {
    pub(super) fn of(change: &ChangeView<'_>) -> Place {
        match change.transaction {
            Some(transaction) => Place {
                micros: transaction.commit_unix_us,
                previous_commit: transaction.previous_commit.0,
            },
            // A snapshot row has no transaction; its time is when it was read. A message outside of
            // one is its own commit.
            None => {
                let is_row = change.snapshot != Snapshot::None;
                let previous_commit = if is_row { 0 } else { change.lsn.0 };
                Place { micros: change.processed_unix_ns.div_euclid(1000), previous_commit }
            }
        }
    }
}

impl<F: Format> SourcePlan<F> {
    /// Prepares the block at its place. `None`: the schema is not the source block's.
    pub(super) fn new(node: &Node<F>, names: &SourceNames<'_>) -> Option<SourcePlan<F>> {
        let [version, connector, name, ts_ms, snapshot, db, rest @ ..] = node.children.as_slice()
        else {
            return None;
        };
        let [sequence, ts_us, ts_ns, schema, table, transaction, lsn, rest @ ..] = rest else {
            return None;
        };
        let [xmin, origin, origin_lsn] = rest else { return None };
        let written = |parts: &[(&Node<F>, &str)]| {
            let mut out = Vec::new();
            for (node, text) in parts {
                F::text(&mut out, &node.prepared, text.as_bytes());
            }
            out
        };
        let null = |node: &Node<F>| {
            let mut out = Vec::new();
            F::null(&mut out, &node.prepared);
            out
        };
        let marker = |marker: &str| {
            let mut out = match marker {
                // The schema's default.
                "false" => null(snapshot),
                marker => written(&[(snapshot, marker)]),
            };
            out.extend(written(&[(db, names.database)]));
            out
        };
        Some(SourcePlan {
            at: node.prepared.clone(),
            head: written(&[
                (version, names.version),
                (connector, "postgresql"),
                (name, names.prefix),
            ]),
            ts_ms: ts_ms.prepared.clone(),
            snapshot: [
                "false",
                "first",
                "true",
                "last_in_data_collection",
                "last",
                "first_in_data_collection",
            ]
            .map(marker),
            sequence: sequence.prepared.clone(),
            ts_us: ts_us.prepared.clone(),
            ts_ns: ts_ns.prepared.clone(),
            table: written(&[(schema, names.namespace), (table, names.table)]),
            transaction: transaction.prepared.clone(),
            lsn: lsn.prepared.clone(),
            tail: [null(xmin), null(origin), null(origin_lsn)].concat(),
            xmin: null(xmin),
            origin: origin.prepared.clone(),
            origin_lsn: null(origin_lsn),
        })
    }

    /// Appends the block of a change.
    pub(super) fn put(&self, out: &mut Vec<u8>, change: &ChangeView<'_>, scratch: &mut Vec<u8>) {
        let place = Place::of(change);
        let transaction = change.transaction.unwrap_or_default();
        let mark = F::begin_struct(out, &self.at);
        out.extend_from_slice(&self.head);
        F::integer(out, &self.ts_ms, place.micros.div_euclid(1000));
        out.extend_from_slice(self.snapshot_of(change.snapshot));
        put_sequence(scratch, place.previous_commit, change.lsn.0);
        F::text(out, &self.sequence, scratch);
        F::integer(out, &self.ts_us, place.micros);
        F::integer(out, &self.ts_ns, place.micros.saturating_mul(1000));
        out.extend_from_slice(&self.table);
        match number(transaction.id) {
            Some(id) => F::integer(out, &self.transaction, id),
            None => F::null(out, &self.transaction),
        }
        match change.lsn.0 {
            0 => F::null(out, &self.lsn),
            lsn => F::integer(out, &self.lsn, lsn.cast_signed()),
        }
        if transaction.origin.is_empty() {
            out.extend_from_slice(&self.tail);
        } else {
            out.extend_from_slice(&self.xmin);
            F::text(out, &self.origin, transaction.origin);
            out.extend_from_slice(&self.origin_lsn);
        }
        F::end_struct(out, &self.at, mark);
    }

    fn snapshot_of(&self, snapshot: Snapshot) -> &[u8] {
        // The codes are 0 to 5.
        self.snapshot.get(snapshot as usize).map_or(&[][..], Vec::as_slice)
    }
}

/// A transaction's id where it is a number, as PostgreSQL's are.
pub(super) fn number(id: &[u8]) -> Option<i64> {
    let digits = id.len() <= 18 && !id.is_empty() && id.iter().all(u8::is_ascii_digit);
    let fold = |value, &byte: &u8| value * 10 + i64::from(byte - b'0');
    digits.then(|| id.iter().fold(0, fold))
}

/// JSON text: the commit before, and the change's own place.
pub(super) fn put_sequence(out: &mut Vec<u8>, previous_commit: u64, lsn: u64) {
    out.clear();
    out.push(b'[');
    for (index, lsn) in [previous_commit, lsn].into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if lsn == 0 {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'"');
            json::put_int64(out, lsn.cast_signed());
            out.push(b'"');
        }
    }
    out.push(b']');
}
