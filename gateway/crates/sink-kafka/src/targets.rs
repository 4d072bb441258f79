//! The topics that a producer writes, each waited for until it can be written.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use offtake_log::Log;

use crate::flight::{Break, Flight, Target};
use crate::lent::TopicHandle;
use crate::publications::Step;
use crate::session::{LOOK_WAIT, Publisher};
use crate::topic_names::topic_of;
use crate::topics::{Ready, Topics};
use crate::{KafkaError, Oversize};

/// What a topic takes at least where that is not known, in bytes: Kafka's default of
/// `max.message.bytes`, less what a request adds.
const COMMON_MESSAGE_BYTES: usize = 1_000_000;

impl<'o> Publisher<'o> {
    /// Index of a stream's topic, waiting until it can be written.
    pub(crate) fn target(&mut self, flight: &mut Flight<'_>, stream: u32) -> Result<usize, Break> {
        if let Some(index) = flight.indexes.get(&stream) {
            return Ok(*index);
        }
        let name = self
            .log
            .stream_name(stream)
            .ok_or(KafkaError::Unannounced { what: "stream", id: stream })?;
        let index = self.new_target(flight, &name, Topics::step)?;
        flight.indexes.insert(stream, index);
        Ok(index)
    }

    /// Index of a topic that is about no row, waiting until it can be written.
    pub(crate) fn own_target(
        &mut self,
        flight: &mut Flight<'_>,
        name: &Arc<str>,
    ) -> Result<usize, Break> {
        self.new_target(flight, name, Topics::step_own)
    }

    fn new_target(
        &mut self,
        flight: &mut Flight<'_>,
        stream: &Arc<str>,
        step: fn(&mut Topics<'o>, &str, &Log) -> Step<Ready>,
    ) -> Result<usize, Break> {
        loop {
            match step(&mut self.topics, stream, self.log)? {
                Ok(Ready { partitions, message_bytes }) => {
                    let known = (0..partitions).map(|_| AtomicBool::new(false)).collect();
                    let message_bytes = self.message_bytes(message_bytes, flight.one_by_one);
                    let topic: Arc<str> = Arc::from(topic_of(stream));
                    flight.targets.push(Target {
                        handle: TopicHandle::new(&flight.producer, &topic)?,
                        topic,
                        stream: Arc::clone(stream),
                        partitions,
                        known,
                        message_bytes,
                    });
                    return Ok(flight.targets.len() - 1);
                }
                Err(reason) => self.status.waiting(reason),
            }
            self.check(flight)?;
            flight.producer.poll(LOOK_WAIT);
            self.settle(flight)?;
        }
    }

    /// Size beyond which a message is sent alone. `known`: what the topic takes.
    fn message_bytes(&self, known: Option<usize>, one_by_one: bool) -> usize {
        match (&self.options.oversize, known) {
            (Oversize::Halt, _) => usize::MAX,
            (Oversize::DeadLetter(_), Some(bytes)) => bytes.min(self.options.queue_bytes()),
            // Something was refused, and what may be is not known.
            (Oversize::DeadLetter(_), None) if one_by_one => 0,
            (Oversize::DeadLetter(_), None) => COMMON_MESSAGE_BYTES.min(self.options.queue_bytes()),
        }
    }
}
