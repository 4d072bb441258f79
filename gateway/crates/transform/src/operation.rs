//! Changed operations: what a row becomes when a plugin says that it is another kind of change.
//!
//! The images follow the operation. A row that leaves a filter (u → d) loses its after image and
//! is known by its old key; one that enters it (u → c) loses its before image.

use offtake_change::{Batch, Cell, Image, Operation, TableSchema};

/// Whether a row of this operation and these images can become `to`. `schema`: its columns as
/// they are while verdicts are applied, with the key that it leaves with.
pub(crate) fn check(
    batch: &Batch,
    row: u32,
    letter: u8,
    schema: &TableSchema,
) -> Result<(), String> {
    let head = batch.rows.get(row as usize).ok_or("a row out of range")?;
    let from = head.operation;
    let Some(to) = Operation::from_letter(letter) else {
        return Err(format!("it names the operation {:?}, which there is not", char::from(letter)));
    };
    if from == to {
        return Ok(());
    }
    let is_row = |operation| {
        matches!(
            operation,
            Operation::Create | Operation::Update | Operation::Delete | Operation::Read
        )
    };
    let possible = is_row(from)
        && match to {
            Operation::Create | Operation::Update => head.after.is_some(),
            Operation::Delete => {
                head.before.is_some() || (head.after.is_some() && !schema.key.is_empty())
            }
            // A snapshot's row is one that a snapshot read.
            _ => false,
        };
    if possible {
        return Ok(());
    }
    Err(format!(
        "it makes {:?} of {:?}, for which the row lacks what is needed",
        char::from(letter),
        char::from(from.letter())
    ))
}

/// Changes a checked row. The patches are applied by now, so a key taken over is the patched one, of
/// the columns that are the key in `schema`.
pub(crate) fn apply(batch: &mut Batch, row: u32, letter: u8, schema: &TableSchema) {
    let Some(to) = Operation::from_letter(letter) else { return };
    let Some(mut head) = batch.rows.get(row as usize).copied() else { return };
    if head.operation == to {
        return;
    }
    head.operation = to;
    match to {
        Operation::Create => head.before = Image::NONE,
        Operation::Delete => {
            if !head.before.is_some() {
                head.before = key_image(batch, head.after, schema);
            }
            head.after = Image::NONE;
        }
        _ => {}
    }
    batch.rows[row as usize] = head;
}

/// An image of the key's columns alone, as a source gives it of a deleted row.
fn key_image(batch: &mut Batch, after: Image, schema: &TableSchema) -> Image {
    let begin = batch.begin_image();
    for ordinal in 0..after.len() {
        let is_key = schema.key.iter().any(|&key| key as usize == ordinal);
        let cell = if is_key { batch.cells(after).get(ordinal).copied() } else { None };
        batch.push_cell(cell.unwrap_or(Cell::ABSENT));
    }
    batch.end_image(begin)
}
