//! The topic of a stream: its name, with what Kafka does not allow replaced as Debezium does it
//! (`AbstractTopicNamingStrategy`), and no topic for two streams.
//!
//! The stream keeps its name; rules and gRPC go by that. Whether a topic is there is found out
//! elsewhere.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::{KafkaError, KafkaOptions};

/// What stands for a character that a topic's name may not have.
const REPLACEMENT: char = '_';
/// The longest name of a topic.
const MAX_NAME_BYTES: usize = 249;

/// The name of a stream's topic.
pub(crate) fn topic_of(stream: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if stream.chars().all(is_plain) {
        return Cow::Borrowed(stream);
    }
    let mut topic = String::with_capacity(stream.len());
    for c in stream.chars() {
        // Java counts characters in UTF-16.
        let count = if is_plain(c) { 1 } else { c.len_utf16() };
        topic.extend(std::iter::repeat_n(if is_plain(c) { c } else { REPLACEMENT }, count));
    }
    Cow::Owned(topic)
}

/// Kafka's rule for a topic's name.
///
/// # Errors
/// The name breaks it.
pub(crate) fn check(topic: &str) -> Result<(), KafkaError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = (1..=MAX_NAME_BYTES).contains(&topic.len())
        && topic.bytes().all(plain)
        && topic != "."
        && topic != "..";
    if valid { Ok(()) } else { Err(KafkaError::TopicInvalid { topic: topic.to_owned() }) }
}

/// Whose each topic is.
#[derive(Debug, Default)]
pub(crate) struct TopicNames(HashMap<String, String>);

impl TopicNames {
    /// With the topics that are about no row, which no stream can have.
    pub(crate) fn new(options: &KafkaOptions) -> TopicNames {
        let own = [
            (options.transaction_topic(), "the records of transactions"),
            (options.heartbeat_topic(), "the heartbeats"),
        ];
        let owned = own.into_iter().filter_map(|(topic, owner)| Some((topic?, owner.to_owned())));
        TopicNames(owned.map(|(topic, owner)| (topic_of(&topic).into_owned(), owner)).collect())
    }

    /// The topic of a stream, which is then no other's.
    ///
    /// # Errors
    /// Another stream has it, or Kafka cannot have a topic of that name.
    pub(crate) fn claim(&mut self, stream: &str) -> Result<String, KafkaError> {
        let topic = topic_of(stream).into_owned();
        check(&topic)?;
        let owner = format!("stream {stream}");
        match self.0.get(&topic) {
            Some(other) if *other != owner => {
                Err(KafkaError::TopicShared { topic, one: other.clone(), other: owner })
            }
            Some(_) => Ok(topic),
            None => {
                self.0.insert(topic.clone(), owner);
                Ok(topic)
            }
        }
    }
}

impl KafkaOptions {
    /// The topic that tells where transactions begin and end; `None`: not wanted.
    pub(crate) fn transaction_topic(&self) -> Option<String> {
        self.debezium.transactions.then(|| format!("{}.transaction", self.topic_prefix))
    }

    /// The topic of heartbeats; `None`: not wanted.
    pub(crate) fn heartbeat_topic(&self) -> Option<String> {
        let is_wanted = !self.heartbeat_interval.is_zero();
        is_wanted.then(|| format!("__debezium-heartbeat.{}", self.topic_prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_does_not_allow_is_replaced_as_debezium_does_it() {
        for (stream, topic) in [
            ("shop.public.orders", "shop.public.orders"),
            ("s.Odd Schema.Table.with\"quotes\"", "s.Odd_Schema.Table.with_quotes_"),
            ("s.public.Bestellung ä", "s.public.Bestellung__"),
            ("s.public.😀", "s.public.__"),
        ] {
            assert_eq!(topic_of(stream), topic);
        }
    }

    #[test]
    fn names_follow_kafkas_rule() {
        for name in ["shop.public.orders", "a", "A-1_b.c", &"x".repeat(249)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "shop.public.Bestellung ä", "a b", &"x".repeat(250)] {
            assert_eq!(check(name).unwrap_err().code(), "KAFKA_TOPIC_INVALID", "{name}");
        }
    }

    #[test]
    fn two_streams_whose_topics_become_one_are_refused_with_both_names() {
        let mut names = TopicNames::default();
        assert_eq!(names.claim("s.a b").unwrap(), "s.a_b");
        assert_eq!(names.claim("s.a b").unwrap(), "s.a_b");
        let error = names.claim("s.a_b").unwrap_err();
        assert_eq!(error.code(), "KAFKA_TOPIC_SHARED");
        assert!(error.to_string().contains("stream s.a b and of stream s.a_b"), "{error}");
        let long = "x".repeat(250);
        assert_eq!(names.claim(&long).unwrap_err().code(), "KAFKA_TOPIC_INVALID");
    }

    #[test]
    fn a_stream_cannot_have_the_topic_of_transactions() {
        let mut options = KafkaOptions::new("shop", Vec::new(), "kafka.cursor");
        assert!(TopicNames::new(&options).claim("shop.transaction").is_ok());
        options.debezium.transactions = true;
        let error = TopicNames::new(&options).claim("shop.transaction").unwrap_err();
        assert!(error.to_string().contains("records of transactions"), "{error}");
    }
}
