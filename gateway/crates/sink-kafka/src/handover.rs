//! Messages that wait until they are handed to the client library all at once.
//!
//! An idempotent producer may not send to a partition while a request to it is on its way, and the
//! library's thread does not sleep while a partition has messages that it should send and may not.
//! So messages are collected here and go over by partition, a full hand-over while the one before
//! is on its way, a smaller one when nothing is. Encoding goes on meanwhile. What waits here is not
//! sent, so nothing of it survives a producer, and nothing has to.

use std::ops::Range;

use offtake_encode::debezium::Message;
use rdkafka::message::OwnedHeaders;

use crate::lent::LentMessage;

/// Bytes for one partition: enough for one request, and the rest goes with the next.
const PARTITION_BYTES: usize = 1_000_000;
/// Bytes for all partitions. One message may be larger.
const TOTAL_BYTES: usize = 4 << 20;
/// Messages for all partitions.
const MESSAGES: usize = 8192;
/// What a message takes in a request beside its key and value.
const OVERHEAD_BYTES: usize = 64;

/// A message that waits.
pub(crate) struct Waiting {
    /// Index of its topic.
    pub(crate) target: usize,
    /// Where it lies in the hand-over's memory, and what else is said of it.
    pub(crate) message: LentMessage,
    pub(crate) headers: Option<OwnedHeaders>,
}

/// The messages that wait, in the order of the log.
#[derive(Default)]
pub(crate) struct Handover {
    /// Keys and values.
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Waiting>,
    /// The loan that holds the bytes, from the first message that is handed over to the last: what
    /// breaks off between them is gone on with, or never closed.
    pub(crate) loan: Option<usize>,
    /// Messages that were handed over.
    pub(crate) sent: usize,
    /// Bytes that wait for each partition, by topic.
    filled: Vec<Vec<usize>>,
}

impl Handover {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message has to wait until the others are handed over.
    pub(crate) fn is_full(&self, message: &Message<'_>) -> bool {
        !self.is_empty()
            && (self.loan.is_some()
                || self.messages.len() >= MESSAGES
                || self.bytes.len() + size(message) > TOTAL_BYTES)
    }

    /// Whether a message would make more than a request of what waits for its partition.
    pub(crate) fn fills_request(
        &self,
        target: usize,
        partition: i32,
        message: &Message<'_>,
    ) -> bool {
        let filled = self.filled.get(target).and_then(|filled| filled.get(index(partition)));
        !self.is_empty() && filled.copied().unwrap_or_default() + size(message) > PARTITION_BYTES
    }

    /// Adds a message. `timestamp`: milliseconds since the Unix epoch.
    pub(crate) fn push(
        &mut self,
        target: usize,
        partition: i32,
        group: usize,
        timestamp: i64,
        message: &Message<'_>,
        headers: Option<OwnedHeaders>,
    ) {
        let key = message.key.map(|key| self.put(key));
        let value = message.value.map(|value| self.put(value));
        *self.filled_mut(target, index(partition)) += size(message);
        let message = LentMessage { partition, timestamp, key, value, group };
        self.messages.push(Waiting { target, message, headers });
    }

    /// Bytes of all keys and values.
    pub(crate) fn message_bytes(&self) -> u64 {
        let size = |range: &Option<Range<usize>>| range.as_ref().map_or(0, Range::len);
        let messages = self.messages.iter().map(|waiting| &waiting.message);
        messages.map(|it| (size(&it.key) + size(&it.value)) as u64).sum()
    }

    /// One partition after the other, each in the order of the log.
    pub(crate) fn sort(&mut self) {
        self.messages.sort_by_key(|message| (message.target, message.message.partition));
    }

    /// Forgets everything and keeps the memory, but not that of a message beyond the limit.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(TOTAL_BYTES);
        self.messages.clear();
        (self.loan, self.sent) = (None, 0);
        for filled in &mut self.filled {
            filled.fill(0);
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn filled_mut(&mut self, target: usize, partition: usize) -> &mut usize {
        if self.filled.len() <= target {
            self.filled.resize_with(target + 1, Vec::new);
        }
        let filled = &mut self.filled[target];
        if filled.len() <= partition {
            filled.resize(partition + 1, 0);
        }
        &mut filled[partition]
    }
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).unwrap_or_default()
}

/// What a message takes in a request, without its headers.
pub(crate) fn size(message: &Message<'_>) -> usize {
    message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len) + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(handover: &mut Handover, partition: i32, value: &[u8]) -> bool {
        let message =
            Message { key: Some(b"key"), value: Some(value), key_change: None, attributes: &[] };
        if handover.is_full(&message) || handover.fills_request(0, partition, &message) {
            return false;
        }
        handover.push(0, partition, 0, 0, &message, None);
        true
    }

    #[test]
    fn partitions_go_over_one_after_the_other_and_each_keeps_its_order() {
        let mut handover = Handover::default();
        for (partition, value) in [(1, b"a"), (0, b"b"), (1, b"c"), (0, b"d")] {
            assert!(push(&mut handover, partition, value));
        }
        handover.sort();
        let values = |handover: &Handover| -> Vec<(i32, Vec<u8>)> {
            let value =
                |message: &LentMessage| handover.bytes[message.value.clone().unwrap()].to_vec();
            let messages = handover.messages.iter().map(|waiting| &waiting.message);
            messages.map(|message| (message.partition, value(message))).collect()
        };
        let expected = [(0, b"b"), (0, b"d"), (1, b"a"), (1, b"c")];
        assert_eq!(
            values(&handover),
            expected.map(|(partition, value)| (partition, value.to_vec()))
        );
        let key = handover.messages[0].message.key.clone().unwrap();
        assert_eq!(handover.bytes[key], *b"key");
    }

    #[test]
    fn a_partition_takes_no_more_than_a_request_and_all_no_more_than_the_limit() {
        let mut handover = Handover::default();
        let value = vec![0; 100_000];
        let taken = (0..).take_while(|_| push(&mut handover, 0, &value)).count();
        assert_eq!(taken, 9);
        let others = (0..).take_while(|&n| push(&mut handover, 1 + n / 9, &value)).count();
        assert_eq!(taken + others, TOTAL_BYTES / (value.len() + 3));
        handover.clear();
        assert!(handover.is_empty() && push(&mut handover, 0, &value));
    }

    #[test]
    fn a_message_beyond_the_limit_goes_alone() {
        let mut handover = Handover::default();
        assert!(push(&mut handover, 0, &vec![0; TOTAL_BYTES + 1]));
        assert!(!push(&mut handover, 0, b"next"));
    }
}
