//! How often a verdict names rows.
//!
//! What is done to a row is the host's time, which no deadline of the plugin bounds, and a verdict has
//! room for millions of names. So each row may be named so many times by what says one thing of it,
//! and no oftener. It is counted for each row on its own: changes that are cut into other calls are
//! judged the same.

use crate::CALL_ROWS;

/// How often one row may be named by what says the same thing of it.
pub(crate) const NAMINGS: u8 = 64;

/// How often each row of a call was named.
pub(crate) struct Namings([u8; CALL_ROWS]);

impl Namings {
    pub(crate) fn new() -> Namings {
        Namings([0; CALL_ROWS])
    }

    /// Counts, and gives how often the row was named before; `None`: too often, or there is no such
    /// row in any call.
    pub(crate) fn name(&mut self, row: usize) -> Option<u8> {
        let count = self.0.get_mut(row).filter(|count| **count < NAMINGS)?;
        *count += 1;
        Some(*count - 1)
    }

    pub(crate) fn has(&self, row: usize) -> bool {
        self.0.get(row).is_some_and(|&count| count > 0)
    }
}
