//! The columns that a verdict sets, all of them: where it sets one value several times, the last one
//! counts.
//!
//! Only that one is staged, so what is staged takes no more room than the columns of the rows do. Most
//! verdicts set a column once and pay nothing for the others.

use std::cmp::Reverse;

use offtake_change::Batch;

use crate::CALL_ROWS;
use crate::bindings as wit;
use crate::column::{self, Staged};
use crate::shape::Shaped;

/// How many values of a row may be given that do not count.
const SET_AGAIN: u16 = 1024;

/// Checks what a verdict sets and stages it.
pub(crate) fn stage(
    batch: &mut Batch,
    rows: &[u32],
    shaped: &Shaped,
    set: &[wit::Patch],
    staged: &mut Vec<Staged>,
) -> Result<(), String> {
    if !is_any_again(set, shaped.wide.columns.len()) {
        for patch in set {
            column::stage(batch, rows, shaped, patch, staged, |_| Ok(true))?;
        }
        return Ok(());
    }
    // Those of one column and image together, the last one first.
    let mut order: Vec<(usize, usize)> =
        set.iter().enumerate().map(|(at, patch)| (place(patch), at)).collect();
    order.sort_unstable_by_key(|&(place, at)| (place, Reverse(at)));
    let mut again = [0_u16; CALL_ROWS];
    for same in order.chunk_by(|a, b| a.0 == b.0) {
        let mut seen = [false; CALL_ROWS];
        for patch in same.iter().filter_map(|&(_, at)| set.get(at)) {
            column::stage(batch, rows, shaped, patch, staged, |row| {
                count(row, &mut seen, &mut again)
            })?;
        }
    }
    Ok(())
}

/// Whether a value is the last one for its row and place. What does not count is the host's time all
/// the same, so that it is limited; for each row on its own, however changes are cut into calls.
fn count(
    row: usize,
    seen: &mut [bool; CALL_ROWS],
    again: &mut [u16; CALL_ROWS],
) -> Result<bool, String> {
    let (Some(seen), Some(again)) = (seen.get_mut(row), again.get_mut(row)) else {
        return Err("a row out of range".to_owned());
    };
    if !std::mem::replace(seen, true) {
        return Ok(true);
    }
    *again += 1;
    if *again > SET_AGAIN {
        return Err(format!("row {row} is given more than {SET_AGAIN} values that do not count"));
    }
    Ok(false)
}

/// A number for column and image.
fn place(patch: &wit::Patch) -> usize {
    2 * patch.column.ordinal as usize + usize::from(patch.image == wit::Image::Before)
}

/// Whether a column of an image is set again. One that there is not is refused where it is looked at.
fn is_any_again(set: &[wit::Patch], columns: usize) -> bool {
    if set.len() < 2 {
        return false;
    }
    let mut seen = vec![false; 2 * columns];
    set.iter()
        .any(|patch| seen.get_mut(place(patch)).is_some_and(|slot| std::mem::replace(slot, true)))
}
