//! Handing messages to the client library without a copy: the library is lent the memory that they
//! were encoded into, until it has reported the last of them.
//!
//! The library's own way is to copy every message and to look its topic up by name each time: 11 of
//! 100 samples of the sink's thread, where encoding is 28. What is lent belongs to the context of the
//! producer, and the wrapper drops that after the library's instance, which then holds no message
//! any more, however the producer came to its end. Messages with headers go the wrapper's way, which
//! copies them.

use std::ffi::{CString, c_void};
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::bindings;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::{RDKafkaRespErr, RDKafkaTopic};

use crate::KafkaError;
use crate::context::SinkContext;

/// Hand-overs that may be on their way at once.
const LOANS: usize = 2;

/// What a message's report carries: the group that counts it, and the loan that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) group: usize,
    pub(crate) loan: usize,
}

impl Tag {
    /// As a number. Group numbers wrap long after any process has ended.
    pub(crate) fn number(self) -> usize {
        (self.group << 1) | (self.loan & 1)
    }

    pub(crate) fn of(number: usize) -> Tag {
        Tag { group: number >> 1, loan: number & 1 }
    }
}

/// Memory that the library may read, and how many of its messages are not reported yet.
#[derive(Debug, Default)]
struct Loan {
    memory: Mutex<Vec<u8>>,
    outstanding: AtomicUsize,
}

impl Loan {
    fn memory(&self) -> MutexGuard<'_, Vec<u8>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }
}

/// What a producer is lent.
#[derive(Debug, Default)]
pub(crate) struct Loans([Loan; LOANS]);

impl Loans {
    /// Puts memory where the library may read it, in exchange for memory that it reads no more.
    /// `None`: messages of every loan are on their way.
    pub(crate) fn exchange(&self, memory: &mut Vec<u8>) -> Option<usize> {
        let free = self.0.iter().position(Loan::is_free)?;
        std::mem::swap(&mut *self.0[free].memory(), memory);
        Some(free)
    }

    /// A message that was lent is reported.
    pub(crate) fn returned(&self, tag: Tag) {
        self.0[tag.loan].outstanding.fetch_sub(1, Ordering::Release);
    }
}

/// A loan whose messages are handed over.
pub(crate) struct Lender<'p> {
    producer: &'p Arc<BaseProducer<SinkContext>>,
    index: usize,
    loan: &'p Loan,
    memory: MutexGuard<'p, Vec<u8>>,
}

/// A message in lent memory.
#[derive(Clone, Debug)]
pub(crate) struct LentMessage {
    pub(crate) partition: i32,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) group: usize,
}

impl<'p> Lender<'p> {
    /// Of a loan that [`Loans::exchange`] gave.
    pub(crate) fn new(producer: &'p Arc<BaseProducer<SinkContext>>, index: usize) -> Lender<'p> {
        let loan = &producer.context().loans.0[index];
        Lender { producer, index, loan, memory: loan.memory() }
    }

    /// Bytes of the loan.
    pub(crate) fn bytes(&self, range: &Option<Range<usize>>) -> Option<&[u8]> {
        self.memory.get(range.clone()?)
    }

    /// What the message's report is to carry; the message counts as lent from here on.
    pub(crate) fn lend(&self, group: usize) -> Tag {
        self.loan.outstanding.fetch_add(1, Ordering::Relaxed);
        Tag { group, loan: self.index }
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// The library does not take it: its queue is full, or it takes none any more.
    #[allow(unsafe_code, reason = "the wrapper copies every message; see SAFETY")]
    pub(crate) fn send(
        &self,
        topic: &TopicHandle,
        message: &LentMessage,
    ) -> Result<(), RDKafkaErrorCode> {
        if !Arc::ptr_eq(&topic.producer, self.producer) {
            return Err(RDKafkaErrorCode::InvalidArgument);
        }
        let part = |range| match self.bytes(range) {
            Some(bytes) => (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()),
            None => (ptr::null_mut(), 0),
        };
        let ((key, key_bytes), (value, value_bytes)) = (part(&message.key), part(&message.value));
        let tag = self.lend(message.group);
        // SAFETY: the instance's pointer is valid while the producer is borrowed, the topic's while
        // its handle is, and both are of one instance. The key is copied by the call. The value is
        // read until the message's report, or until the instance is destroyed: its memory is not
        // changed or exchanged while a message of it is not reported (`Loans::exchange`), and it is
        // freed with the context, which the wrapper, of exactly this version, drops after the
        // instance (`Client { native, context }`, in that order). The
        // library does not write to it, and frees nothing that it was not told to.
        let code = unsafe {
            bindings::rd_kafka_producev(
                self.producer.client().native_ptr(),
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                topic.topic.as_ptr(),
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                message.partition,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value,
                value_bytes,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key,
                key_bytes,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
                tag.number() as *mut c_void,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                message.timestamp,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        self.not_taken(tag);
        Err(code.into())
    }

    /// The library did not take a message.
    pub(crate) fn not_taken(&self, tag: Tag) {
        self.producer.context().loans.returned(tag);
    }
}

/// The library's handle of a topic.
pub(crate) struct TopicHandle {
    topic: NonNull<RDKafkaTopic>,
    /// Lives at least as long.
    producer: Arc<BaseProducer<SinkContext>>,
}

impl TopicHandle {
    /// Asks nobody.
    ///
    /// # Errors
    /// [`KafkaError::TopicInvalid`].
    #[allow(unsafe_code, reason = "the wrapper does not offer it; see SAFETY")]
    pub(crate) fn new(
        producer: &Arc<BaseProducer<SinkContext>>,
        name: &str,
    ) -> Result<TopicHandle, KafkaError> {
        let invalid = || KafkaError::TopicInvalid { topic: name.to_owned() };
        let text = CString::new(name).map_err(|_| invalid())?;
        // SAFETY: the instance's pointer is valid while the producer is borrowed; the name ends with
        // a zero byte, outlives the call and is copied by it; no configuration is passed.
        let topic = unsafe {
            bindings::rd_kafka_topic_new(
                producer.client().native_ptr(),
                text.as_ptr(),
                ptr::null_mut(),
            )
        };
        let topic = NonNull::new(topic).ok_or_else(invalid)?;
        Ok(TopicHandle { topic, producer: Arc::clone(producer) })
    }
}

impl Drop for TopicHandle {
    #[allow(unsafe_code, reason = "the wrapper does not offer it; see SAFETY")]
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own, and its instance lives in `producer`, which is
        // dropped after this. Messages on their way have references of their own.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_finds_its_group_and_its_loan() {
        for group in [0, 1, 77, usize::MAX >> 2] {
            for loan in 0..LOANS {
                let tag = Tag { group, loan };
                assert_eq!(Tag::of(tag.number()), tag);
            }
        }
    }

    #[test]
    fn memory_is_exchanged_only_while_no_message_of_it_is_on_its_way() {
        let loans = Loans::default();
        let (mut first, mut second, mut third) = (vec![1], vec![2], vec![3]);
        let one = loans.exchange(&mut first).unwrap();
        loans.0[one].outstanding.store(2, Ordering::Relaxed);
        let two = loans.exchange(&mut second).unwrap();
        loans.0[two].outstanding.store(1, Ordering::Relaxed);
        assert_ne!(one, two);
        assert_eq!(loans.exchange(&mut third), None);
        assert_eq!(third, [3]);
        for _ in 0..2 {
            assert_eq!(loans.exchange(&mut third), None);
            loans.returned(Tag { group: 0, loan: one });
        }
        assert_eq!(loans.exchange(&mut third), Some(one));
        assert_eq!(third, [1]);
    }
}
