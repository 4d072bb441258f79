//! Batches for a plugin, made of a fixture's changes: a stretch of them, as a source would send it,
//! and variants of the changes that production has and fixtures forget.

use std::ops::Range;
use std::sync::Arc;

use offtake_change::{Batch, Cell, Column, Image, Kind, Operation, Row, TableSchema, ValueRef};
use offtake_transform::cell_of_text;

use crate::changes::{Changes, is_message};

/// Bytes of a large text.
const LARGE_TEXT_BYTES: usize = 1 << 20;
/// Changes with a large text, at most: each takes a megabyte.
const LARGE_TEXTS: usize = 16;

/// A stretch of changes as a batch of its own.
pub(crate) fn stretch(changes: &Changes, rows: Range<usize>) -> Batch {
    let mut batch = Batch::new();
    for row in changes.batch.rows.get(rows).unwrap_or_default() {
        push(&changes.batch, row, &mut batch, &mut |_, _, _| None);
    }
    batch
}

/// Changes that a repetition has, at most.
const REPEATED: usize = 16 << 10;

/// The changes over and over, until they fill whole batches of this size.
pub(crate) fn repeated(changes: &Changes, size: usize) -> Changes {
    let times = (1..=size).find(|times| (changes.len() * times).is_multiple_of(size));
    let times = times.unwrap_or(size).min(REPEATED.div_ceil(changes.len().max(1)));
    let mut made = Changes::default();
    for _ in 0..times {
        for (row, line) in changes.batch.rows.iter().zip(&changes.lines) {
            push(&changes.batch, row, &mut made.batch, &mut |_, _, _| None);
            made.lines.push(*line);
        }
    }
    made
}

/// A value that stands in place of another.
enum Instead {
    Null,
    Unchanged,
    Text(&'static str),
    Large,
}

/// Which image a value stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Copies a row, with other values where `edit` gives some.
fn push(
    from: &Batch,
    row: &Row,
    into: &mut Batch,
    edit: &mut dyn FnMut(Side, usize, ValueRef<'_>) -> Option<Instead>,
) {
    let Some(schema) = from.schemas.get(row.schema as usize) else { return };
    if into.transactions.is_empty() {
        into.transactions.clone_from(&from.transactions);
    }
    let mut image = |side, image: Image, into: &mut Batch| {
        if !image.is_some() {
            return Image::NONE;
        }
        let cells: Vec<Cell> = (from.values(image).enumerate())
            .map(|(ordinal, value)| match edit(side, ordinal, value) {
                None => into.store_value(value),
                Some(Instead::Null) => Cell::NULL,
                Some(Instead::Unchanged) => Cell::UNCHANGED,
                Some(Instead::Text(text)) => into.text(text.as_bytes()),
                Some(Instead::Large) => into.text(&vec![b'x'; LARGE_TEXT_BYTES]),
            })
            .collect();
        let begin = into.begin_image();
        cells.into_iter().for_each(|cell| into.push_cell(cell));
        into.end_image(begin)
    };
    let (before, after) =
        (image(Side::Before, row.before, into), image(Side::After, row.after, into));
    let schema = into.schema_index(schema);
    into.rows.push(Row { schema, before, after, headers: Default::default(), ..*row });
    let headers: Vec<(&str, &[u8])> = from
        .headers(row.headers)
        .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
        .collect();
    let at = into.rows.len() - 1;
    if !headers.is_empty() {
        into.set_headers(at, headers.into_iter());
    }
}

/// The changes with values that production has: each variant with what it is called. One that
/// changes nothing is left out.
pub(crate) fn variants(changes: &Changes) -> Vec<(&'static str, Changes)> {
    let all = [
        ("NULL in every column that may be NULL", every(changes, nulls)),
        ("unchanged large values in every update", every(changes, unchanged)),
        ("empty texts", every(changes, empty)),
        ("texts of 1 MiB", large(changes)),
    ];
    all.into_iter().filter(|(_, changes)| !changes.is_empty()).collect()
}

/// What stands in place of a value: by the row, its definition, the image, and the column.
type Edit = fn(&Row, &TableSchema, Side, usize, &Column) -> Option<Instead>;

/// Every change to which the edit does something, with everything that it does.
fn every(changes: &Changes, edit: Edit) -> Changes {
    let mut made = Changes::default();
    for (row, line) in changes.batch.rows.iter().zip(&changes.lines) {
        let Some(schema) = editable(changes, row) else { continue };
        let mut edited = false;
        push(&changes.batch, row, &mut made.batch, &mut |side, ordinal, value| {
            let column = schema.columns.get(ordinal)?;
            // What an image lacks it goes on to lack.
            let instead = (!matches!(value, ValueRef::Absent))
                .then(|| edit(row, schema, side, ordinal, column))
                .flatten();
            edited |= instead.is_some();
            instead
        });
        if edited {
            made.lines.push(*line);
        } else {
            made.batch.rows.pop();
        }
    }
    made
}

fn editable<'c>(changes: &'c Changes, row: &Row) -> Option<&'c Arc<TableSchema>> {
    let schema = changes.batch.schemas.get(row.schema as usize)?;
    (!is_message(schema)).then_some(schema)
}

fn is_key(schema: &TableSchema, ordinal: usize) -> bool {
    schema.key.iter().any(|&key| key as usize == ordinal)
}

fn nulls(
    _: &Row,
    schema: &TableSchema,
    _: Side,
    ordinal: usize,
    column: &Column,
) -> Option<Instead> {
    (column.nullable && !is_key(schema, ordinal)).then_some(Instead::Null)
}

fn unchanged(
    row: &Row,
    schema: &TableSchema,
    side: Side,
    ordinal: usize,
    column: &Column,
) -> Option<Instead> {
    let is_update = row.operation == Operation::Update && side == Side::After;
    let is_large = match column.kind {
        Kind::Bytes | Kind::List => true,
        Kind::Text => takes_any_text(column) || column.logical.starts_with("json"),
        _ => false,
    };
    (is_update && is_large && !is_key(schema, ordinal)).then_some(Instead::Unchanged)
}

fn empty(_: &Row, _: &TableSchema, _: Side, _: usize, column: &Column) -> Option<Instead> {
    takes_any_text(column).then_some(Instead::Text(""))
}

/// Whether a column takes every text: a length is a limit, and other types have a grammar.
fn takes_any_text(column: &Column) -> bool {
    let base = column.logical.split('(').next().unwrap_or_default();
    matches!(base, "text" | "varchar" | "char" | "citext")
        && cell_of_text(&mut Batch::new(), column, "").is_ok()
}

/// Of each kind of change of each table one with a large text, column by column.
fn large(changes: &Changes) -> Changes {
    let mut made = Changes::default();
    let mut done: Vec<(u32, Operation, usize)> = Vec::new();
    for (row, line) in changes.batch.rows.iter().zip(&changes.lines) {
        let Some(schema) = editable(changes, row) else { continue };
        for (ordinal, column) in schema.columns.iter().enumerate() {
            let kind = (row.schema, row.operation, ordinal);
            let takes = matches!(column.logical.as_str(), "text" | "varchar" | "citext");
            let full = made.lines.len() == LARGE_TEXTS;
            if !takes || is_key(schema, ordinal) || done.contains(&kind) || full {
                continue;
            }
            let mut edited = false;
            push(&changes.batch, row, &mut made.batch, &mut |_, at, value| {
                let is_it = at == ordinal && matches!(value, ValueRef::Text(_));
                edited |= is_it;
                is_it.then_some(Instead::Large)
            });
            if edited {
                done.push(kind);
                made.lines.push(*line);
            } else {
                made.batch.rows.pop();
            }
        }
    }
    made
}
