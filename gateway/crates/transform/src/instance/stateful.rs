//! Calls of a plugin that keeps state: what a call wrote counts if and only if its verdict does.
//!
//! The state has to come out the same however changes are cut into calls, since a restart cuts them
//! differently. So a call holds changes of one moment of the state's time, and where the plugin
//! declares a change failed, the call is taken back, the changes before that one are processed alone,
//! and those after it see a state in which it never was. What traps is taken back whole; `Isolated`
//! then finds the guilty change in the same way.

use offtake_change::{Batch, NO_TRANSACTION};
use offtake_state::Keyspace;

use super::{BrokenCall, Instance};
use crate::clock::thread_cpu;
use crate::{FailedRow, Fault, FaultCode, Processed};

impl Instance {
    /// The rows in `call_rows`, in as many calls as their times and failures ask for.
    pub(super) fn call_with_state(
        &mut self,
        state: &Keyspace,
        batch: &mut Batch,
        table: usize,
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        let rows = std::mem::take(&mut self.call_rows);
        let outcome = self.call_in_parts(state, batch, table, &rows, done);
        self.call_rows = rows;
        outcome
    }

    fn call_in_parts(
        &mut self,
        state: &Keyspace,
        batch: &mut Batch,
        table: usize,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        let (began, mut rest) = (thread_cpu(), rows);
        while !rest.is_empty() {
            let (seconds, part) = of_one_second(batch, rest, state.time());
            let (now, later) = rest.split_at(part);
            let Some(failed) = self.part(state, seconds, batch, table, now, done)? else {
                rest = later;
                continue;
            };
            let at = now.iter().position(|row| *row == failed.row).unwrap_or_default();
            if thread_cpu().saturating_sub(began) >= self.runner.limits().isolation {
                return Err(BrokenCall { fault: self.too_many(&failed.fault), rows: now.to_vec() });
            }
            if at > 0 {
                let (seconds, _) = of_one_second(batch, &now[..at], state.time());
                if self.part(state, seconds, batch, table, &now[..at], done)?.is_some() {
                    let message = "it answers the same changes differently each time";
                    let fault = self.runner.poison(FaultCode::MalformedVerdict, message);
                    return Err(BrokenCall { fault, rows: now[..at].to_vec() });
                }
            }
            done.failed.push(failed);
            rest = &rest[at + 1..];
        }
        Ok(())
    }

    /// One call. Gives the first change that the plugin declared failed; then nothing was applied.
    fn part(
        &mut self,
        state: &Keyspace,
        seconds: i64,
        batch: &mut Batch,
        table: usize,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<Option<FailedRow>, BrokenCall> {
        self.call_rows = rows.to_vec();
        state.begin(seconds);
        let outcome = self.call(batch, table, done);
        match &outcome {
            Ok(None) => state.keep(),
            Ok(Some(_)) | Err(_) => state.discard(),
        }
        outcome
    }

    fn too_many(&self, last: &Fault) -> Fault {
        let message = format!(
            "processing the changes between those that it declares failed took more than {} ms of \
             CPU time; the last one was {}: {}",
            self.runner.limits().isolation.as_millis(),
            last.code,
            last.message
        );
        Fault { code: FaultCode::Isolation, message, permanent: true, ..last.clone() }
    }
}

/// How many rows from the first on are of one second, and which: time does not go back, and a row of
/// no transaction (of a snapshot) has the time that it is.
fn of_one_second(batch: &Batch, rows: &[u32], time: i64) -> (i64, usize) {
    let seconds_of = |row: &u32| {
        let row = batch.rows.get(*row as usize).filter(|row| row.transaction != NO_TRANSACTION);
        let transaction = row.and_then(|row| batch.transactions.get(row.transaction as usize));
        transaction.map_or(0, |transaction| transaction.commit_unix_us.div_euclid(1_000_000))
    };
    let seconds = rows.first().map_or(time, |row| seconds_of(row).max(time));
    let later = rows.iter().position(|row| seconds_of(row) > seconds);
    (seconds, later.unwrap_or(rows.len()))
}
