//! While the schema registry has no id for a schema: what came before is published and committed,
//! nothing after it is sent, and the registry is asked again until it has one.
//!
//! A registry that is away is waited for. One that refuses halts the sink as far as anybody can see,
//! with its own reason; but what it refuses it may take later (a relaxed compatibility level, a
//! schema registered by hand), so the thread stays and goes on by itself. When the next question is
//! due is `publications`' business.
//!
//! All schemas of a group of the log are asked for before anything of it is sent, so nothing of it is
//! in an open Kafka transaction meanwhile, however long that takes. Earlier source transactions of the
//! same group wait with it: the cursor's source position, by which a lost log is made anew, is that of
//! a group's end.

use std::sync::Arc;

use offtake_registry::RegistryError;

use crate::flight::{Break, Flight};
use crate::publications::{Asked, Publication};
use crate::session::{LOOK_WAIT, Publisher};

impl Publisher<'_> {
    /// What is published of a schema on a stream, waiting until its format is ready.
    pub(crate) fn publication(
        &mut self,
        flight: &mut Flight<'_>,
        stream: u32,
        schema: u32,
    ) -> Result<Arc<Publication>, Break> {
        self.registered(flight, |publisher| {
            publisher.publications.step(publisher.log, stream, schema)
        })
    }

    /// Waits until the registry has what a step asks for. Nothing of the group that needs it may be
    /// sent yet.
    pub(crate) fn registered<T>(
        &mut self,
        flight: &mut Flight<'_>,
        mut step: impl FnMut(&mut Self) -> Asked<T>,
    ) -> Result<T, Break> {
        let mut has_waited = false;
        loop {
            match step(self) {
                Ok(Ok(ready)) => {
                    if has_waited {
                        self.status.goes_on();
                    }
                    return Ok(ready);
                }
                Ok(Err(error)) => self.wait_for_registry(flight, error)?,
                Err(error) => {
                    self.publish_earlier(flight)?;
                    return Err(error.into());
                }
            }
            has_waited = true;
        }
    }

    fn wait_for_registry(
        &mut self,
        flight: &mut Flight<'_>,
        error: RegistryError,
    ) -> Result<(), Break> {
        self.status.held_by_registry(error);
        self.check(flight)?;
        // What came before must not wait for the registry.
        flight.hand_over_rest()?;
        flight.producer.poll(LOOK_WAIT);
        self.settle(flight)?;
        self.commit_meanwhile(flight)
    }

    /// Before a halt: waits until everything before the group is acknowledged and, with transactions,
    /// committed.
    fn publish_earlier(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        if flight.transactions.is_some() {
            return self.finish(flight);
        }
        flight.hand_over()?;
        while !flight.deliveries.is_empty() {
            self.check(flight)?;
            flight.flush();
            self.settle(flight)?;
        }
        Ok(())
    }
}
