//! Whether every row that leaves has what its columns ask for, where a plugin defines these anew.
//!
//! A column that the plugin adds or retypes, and a payload, may need a value that only the plugin can
//! give. What it set is known before anything is applied, so a row that would lack one is found while
//! the verdict can still be refused as a whole.

use std::collections::HashSet;

use offtake_change::{Batch, Operation, Row};

use crate::bindings as wit;
use crate::column::Staged;
use crate::shape::Shaped;

/// Checks the rows of a call that leave. `stays`: whether one is neither dropped nor failed, by its
/// index in the call and in the batch.
pub(crate) fn check(
    batch: &Batch,
    rows: &[u32],
    shaped: &Shaped,
    ops: &[wit::OpChange],
    staged: &[Staged],
    stays: impl Fn(usize, u32) -> bool,
) -> Result<(), String> {
    if shaped.checked.is_empty() && shaped.payload.is_none() {
        return Ok(());
    }
    let set = staged.iter().map(|it| (it.row, it.before, it.ordinal)).collect();
    let call = Call { batch, shaped, set };
    for (at, &row) in (0_u32..).zip(rows) {
        let Some(head) = batch.rows.get(row as usize) else { continue };
        if !stays(at as usize, row) {
            continue;
        }
        let change = ops.iter().find(|change| change.row == at);
        let becomes = change.and_then(|change| Operation::from_letter(change.op));
        let leaving = Leaving { at, row, head, becomes };
        call.check_payload(&leaving)?;
        call.check_image(&leaving, true)?;
        call.check_image(&leaving, false)?;
    }
    Ok(())
}

struct Call<'a> {
    batch: &'a Batch,
    shaped: &'a Shaped,
    /// What the verdict sets: row, whether of the before image, column.
    set: HashSet<(u32, bool, u32)>,
}

/// A row that leaves.
struct Leaving<'a> {
    /// Index in the call.
    at: u32,
    /// Index in the batch.
    row: u32,
    head: &'a Row,
    /// The operation that the verdict makes of it.
    becomes: Option<Operation>,
}

impl Leaving<'_> {
    /// Whether the changed operation leaves an image behind.
    fn loses(&self, before: bool) -> bool {
        match self.becomes {
            Some(Operation::Delete) => !before && self.head.before.is_some(),
            Some(Operation::Create) => before,
            _ => false,
        }
    }
}

impl Call<'_> {
    fn check_payload(&self, leaving: &Leaving<'_>) -> Result<(), String> {
        let Some(payload) = self.shaped.payload else { return Ok(()) };
        let Leaving { at, row, head, becomes } = leaving;
        let has_payload = self.set.contains(&(*row, false, payload))
            || !self.batch.column(head.after, payload as usize).is_missing();
        let is_deleted = becomes.unwrap_or(head.operation) == Operation::Delete;
        if is_deleted || (head.after.is_some() && !has_payload) {
            return Err(format!("row {at} has no payload, and leaves as one"));
        }
        Ok(())
    }

    fn check_image(&self, leaving: &Leaving<'_>, before: bool) -> Result<(), String> {
        let image = if before { leaving.head.before } else { leaving.head.after };
        if !image.is_some() || leaving.loses(before) {
            return Ok(());
        }
        let lacks = |ordinal: u32| {
            let value = self.batch.column(image, ordinal as usize);
            !self.set.contains(&(leaving.row, before, ordinal))
                && !self.shaped.fits_unset(ordinal, !before, value)
        };
        let Some(ordinal) = self.shaped.checked.iter().copied().find(|&it| lacks(it)) else {
            return Ok(());
        };
        let column = self.shaped.wide.columns.get(ordinal as usize);
        Err(format!(
            "row {} has no value that fits in the column {:?}, which it defines",
            leaving.at,
            column.map_or("", |column| &column.name)
        ))
    }
}
