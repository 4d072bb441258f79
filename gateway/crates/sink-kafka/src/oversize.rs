//! Messages that are larger than their topic takes, where they are to become dead letters.
//!
//! Whether a message fits is the broker's to say, for it judges what is compressed. One that may
//! not fit is sent alone, so that a refusal names it. The refusal costs the producer; the next
//! session leaves the message out once its change is a durable dead letter. Other messages of the
//! same change, such as the tombstone after a delete, are sent all the same.
//!
//! A crash between dead letter and cursor sends the message again, and the dead letter that is
//! found in the log counts: there is one for a change, however often that happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use offtake_change::wire::ChangeView;
use offtake_failpoint::crash_point;
use offtake_log::dead_letter_stream;
use rdkafka::error::RDKafkaErrorCode;

use crate::dead_letters::Wanted;
use crate::flight::{Break, Flight};
use crate::session::{LOOK_WAIT, Publisher};
use crate::{KafkaError, Oversize, publications};

/// Moments of waiting between two questions whether the pipeline runs.
const PIPELINE_PAUSES: u32 = 20;
/// Who could not take the change, in the dead letter.
pub(crate) const ORIGIN: &str = "kafka";

/// A message that is sent alone, for it may be too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alone {
    pub(crate) sequence: u64,
    /// Its place among the messages of the change.
    pub(crate) index: u32,
    /// Before compression.
    pub(crate) bytes: usize,
    pub(crate) topic: Arc<str>,
    pub(crate) stream: Arc<str>,
}

/// What was refused and the cursor has not passed yet.
#[derive(Debug, Default)]
pub(crate) struct Oversized {
    refused: Vec<Alone>,
    /// Sequences whose dead letter is durable.
    buried: Vec<u64>,
    /// The request that is under way.
    asked: Option<(u64, flume::Receiver<u64>)>,
}

impl Oversized {
    /// Whether nothing was refused: then nothing has to be looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    /// Whether a message of a change was refused.
    pub(crate) fn is_refused(&self, sequence: u64, index: u32) -> bool {
        self.refused.iter().any(|it| (it.sequence, it.index) == (sequence, index))
    }

    /// Whether some message of a change was refused.
    pub(crate) fn is_about(&self, sequence: u64) -> bool {
        self.of(sequence).is_some()
    }

    fn of(&self, sequence: u64) -> Option<&Alone> {
        self.refused.iter().find(|refused| refused.sequence == sequence)
    }

    /// A message was refused.
    pub(crate) fn refuse(&mut self, alone: Alone) {
        if !self.is_refused(alone.sequence, alone.index) {
            self.refused.push(alone);
        }
    }

    /// The cursor has passed everything up to here.
    pub(crate) fn forget(&mut self, cursor: u64) {
        self.refused.retain(|refused| refused.sequence > cursor);
        self.buried.retain(|sequence| *sequence > cursor);
    }
}

/// Whether a refusal is one for size.
pub(crate) fn is_too_large(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
}

impl Publisher<'_> {
    /// Whether oversized messages become dead letters, and this one, refused for its size, can.
    pub(crate) fn takes_as_dead_letter(&mut self, alone: Option<Alone>) -> bool {
        let Some(alone) = alone else { return false };
        let is_letter = *alone.stream == *dead_letter_stream(&self.options.pipeline);
        if is_letter || matches!(self.options.oversize, Oversize::Halt) {
            return false;
        }
        self.oversized.forget(self.cursor.sequence());
        self.oversized.refuse(alone);
        // The next producer comes further, so it need not wait the longer the more there were.
        self.fruitless = 0;
        true
    }

    /// Waits until a change of which a message was refused is a durable dead letter.
    pub(crate) fn bury(
        &mut self,
        flight: &mut Flight<'_>,
        change: &ChangeView<'_>,
    ) -> Result<(), Break> {
        let sequence = change.sequence;
        let Some(refused) = self.oversized.of(sequence).cloned() else { return Ok(()) };
        if self.oversized.buried.contains(&sequence) {
            return Ok(());
        }
        if self.write_dead_letter(flight, change, &refused)? {
            tracing::warn!(
                topic = %refused.topic,
                sequence,
                bytes = refused.bytes,
                "a message is larger than its topic takes, its change is a dead letter"
            );
        }
        self.oversized.buried.push(sequence);
        self.status.dead_letters.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Asks for the dead letter and waits until it is durable. `false`: it was there. The log may
    /// pass its limit for that long: this sink holds it at its limit, and goes on only then.
    fn write_dead_letter(
        &mut self,
        flight: &mut Flight<'_>,
        change: &ChangeView<'_>,
        refused: &Alone,
    ) -> Result<bool, Break> {
        let Oversize::DeadLetter(letters) = &self.options.oversize else { return Ok(false) };
        let error = KafkaError::MessageTooLarge {
            topic: refused.topic.to_string(),
            after: change.sequence.saturating_sub(1),
        };
        let wanted = Wanted {
            sequence: change.sequence,
            stream: Arc::clone(&refused.stream),
            schema: publications::schema(self.log, change.schema)?,
            code: error.code(),
            error: format!("{error}: {} bytes before compression", refused.bytes),
            change: change.encoded,
        };
        let _overdraft = self.log.overdraw();
        loop {
            let answer = match self.oversized.asked.take() {
                Some((sequence, answer)) if sequence == change.sequence => answer,
                _ => {
                    // Of an earlier run, or of a pipeline that ended before it answered.
                    if self.is_buried(change.sequence)? {
                        return Ok(false);
                    }
                    crash_point("kafka.before_dead_letter");
                    match letters.ask(&wanted) {
                        Some(answer) => answer,
                        None => {
                            self.wait_for_pipeline(flight, change.sequence)?;
                            continue;
                        }
                    }
                }
            };
            match answer.try_recv() {
                Ok(letter) => {
                    self.wait_until_durable(flight, letter)?;
                    crash_point("kafka.after_dead_letter");
                    return Ok(true);
                }
                Err(flume::TryRecvError::Disconnected) => {}
                Err(flume::TryRecvError::Empty) => {
                    self.oversized.asked = Some((change.sequence, answer));
                    self.idle(flight)?;
                }
            }
        }
    }

    fn is_buried(&self, sequence: u64) -> Result<bool, KafkaError> {
        let letters = dead_letter_stream(&self.options.pipeline);
        let found = self.log.dead_letter_of(&letters, ORIGIN, sequence);
        Ok(found.map_err(KafkaError::Log)?.is_some())
    }

    /// The pipeline does not run, or is about another request.
    fn wait_for_pipeline(&mut self, flight: &mut Flight<'_>, sequence: u64) -> Result<(), Break> {
        self.status.waiting(format!(
            "the pipeline does not run, and has to write the dead letter of sequence {sequence}"
        ));
        for _ in 0..PIPELINE_PAUSES {
            self.idle(flight)?;
        }
        Ok(())
    }

    fn wait_until_durable(&mut self, flight: &mut Flight<'_>, sequence: u64) -> Result<(), Break> {
        let durable = self.log.durable();
        while durable.borrow().sequence < sequence {
            self.idle(flight)?;
        }
        if self.waits_for_brokers() {
            self.status.running();
        }
        Ok(())
    }

    /// A moment of waiting for the pipeline, with what the brokers report meanwhile.
    fn idle(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        self.check(flight)?;
        flight.producer.poll(LOOK_WAIT / 20);
        self.settle(flight)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(sequence: u64, index: u32) -> Alone {
        Alone { sequence, index, bytes: 10, topic: "t".into(), stream: "t".into() }
    }

    #[test]
    fn what_the_cursor_has_passed_is_forgotten() {
        let mut oversized = Oversized::default();
        oversized.refuse(alone(5, 0));
        oversized.refuse(alone(5, 0));
        oversized.refuse(alone(9, 1));
        oversized.buried.push(5);
        assert_eq!(oversized.refused.len(), 2);
        assert!(oversized.is_refused(9, 1) && !oversized.is_refused(9, 0));
        oversized.forget(5);
        assert!(!oversized.is_refused(5, 0) && oversized.buried.is_empty());
        oversized.forget(9);
        assert!(oversized.is_empty());
    }
}
