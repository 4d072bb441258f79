//! The client library's settings: what order, completeness and bounded memory rest on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseProducer, Producer};

use crate::context::{QuietContext, SinkContext};
use crate::{KafkaError, KafkaOptions};

/// Memory for messages that are not acknowledged yet, in KiB: two hand-overs with their overhead.
const QUEUE_KBYTES: &str = "32768";
/// Messages that are not acknowledged yet: two hand-overs.
const QUEUE_MESSAGES: &str = "20000";
/// What makes a request ready to be sent, and its largest size: a little less than a hand-over's
/// share of a partition.
const BATCH_BYTES: &str = "900000";
/// Long, for [`flush`] says when a smaller request is to be sent. While a partition has messages
/// past this time that it may not send yet, the library's thread does not sleep.
const LINGER_MS: &str = "100";
/// How long a flush lasts; the library's unit is a millisecond.
const FLUSH_MS: i32 = 1;
/// The client's own limit of a message lies above any broker's: the broker decides.
const MESSAGE_MAX_BYTES: &str = "104857600";

/// Least time after which the library repeats a request of a transactional producer, its jitter of a
/// fifth left out of account. A commit that took clearly less was not repeated, see
/// [`crate::transaction`].
const TRANSACTIONAL_RETRY_MS: &str = "500";
/// The most, after several times.
const TRANSACTIONAL_RETRY_MAX_MS: &str = "1000";

/// How long a transactional producer waits for an answer, where nothing is said: a broker that hangs
/// is given up well before the transaction is.
const TRANSACTIONAL_SOCKET: Duration = Duration::from_secs(10);

/// The settings of every client of these options.
pub(crate) fn base(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("offtake-{}", options.pipeline))
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true");
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", options.brokers.join(","));
    config
}

/// What a producer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// A message a batch, for a topic whose limit is smaller than a batch.
    pub(crate) one_by_one: bool,
    pub(crate) transactional: bool,
}

/// A producer that keeps order a partition and refuses to go on past a message that failed. Without
/// transactions it never gives a message up by time; with them, the brokers give up the transaction
/// by time, so a message is given up a little earlier.
pub(crate) fn producer(
    options: &KafkaOptions,
    context: SinkContext,
    kind: Kind,
) -> Result<BaseProducer<SinkContext>, KafkaError> {
    let mut config = base(options);
    let mut default = |name: &str, value: &str| {
        if !options.properties.contains_key(name) {
            config.set(name, value);
        }
    };
    default("compression.codec", "lz4");
    default("linger.ms", LINGER_MS);
    default("queue.buffering.max.kbytes", QUEUE_KBYTES);
    default("queue.buffering.max.messages", QUEUE_MESSAGES);
    default("message.max.bytes", MESSAGE_MAX_BYTES);
    default("batch.size", BATCH_BYTES);
    config.set("enable.idempotence", "true").set("acks", "all");
    if kind.transactional {
        let timeout = options.transaction_timeout();
        config
            .set("transactional.id", options.transactional_id())
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            .set("socket.timeout.ms", socket_timeout_ms(options))
            // Not the user's: by them a commit that was asked for once is told from others.
            .set("retry.backoff.ms", TRANSACTIONAL_RETRY_MS)
            .set("retry.backoff.max.ms", TRANSACTIONAL_RETRY_MAX_MS)
            .set("message.timeout.ms", (timeout * 3 / 4).as_millis().to_string())
            // Lost connections and requests without an answer are told in the log, at that level.
            .set_log_level(RDKafkaLogLevel::Info);
    } else {
        config.set("enable.gapless.guarantee", "true").set("message.timeout.ms", "0");
    }
    if kind.one_by_one {
        config.set("batch.num.messages", "1");
    }
    BaseProducer::from_config_and_context(&config, context).map_err(|error| refused(&error))
}

/// How long a transactional producer waits for an answer: the library wants it to be no longer than
/// a transaction may last.
fn socket_timeout_ms(options: &KafkaOptions) -> String {
    match options.properties.get("socket.timeout.ms") {
        Some(asked) => asked.clone(),
        None => TRANSACTIONAL_SOCKET.min(options.transaction_timeout()).as_millis().to_string(),
    }
}

/// Has the library send what it holds, however little, during the next millisecond, and waits for
/// its end. The producer's own flush tells the library so for no longer than the call takes, which
/// its threads rarely notice.
#[allow(unsafe_code, reason = "the library's flush is not offered otherwise; see SAFETY")]
pub(crate) fn flush(producer: &BaseProducer<SinkContext>) {
    // SAFETY: the pointer is valid while the producer is borrowed, and the function may be called
    // from any thread at any time. It takes nothing that belongs to the producer's other calls: with
    // delivery reports as events, as here, it only waits. Its answer, whether nothing is on its way
    // any more, is known from the reports.
    let _ = unsafe { rdkafka::bindings::rd_kafka_flush(producer.client().native_ptr(), FLUSH_MS) };
}

/// A client that asks about topics. A consumer, because a producer's question may create the topic
/// with the broker's defaults.
pub(crate) fn inspector(options: &KafkaOptions) -> Result<BaseConsumer<QuietContext>, KafkaError> {
    let mut config = base(options);
    config.set("allow.auto.create.topics", "false");
    BaseConsumer::from_config_and_context(&config, QuietContext).map_err(|error| refused(&error))
}

pub(crate) fn refused(error: &ClientError) -> KafkaError {
    match error {
        ClientError::ClientConfig(_, reason, property, _) => KafkaError::Property {
            property: property.clone(),
            // The library's text quotes the value of some properties; the name is enough.
            reason: if reason.contains(' ') {
                "the client library refuses its value".to_owned()
            } else {
                reason.clone()
            },
        },
        other => KafkaError::Client(other.to_string()),
    }
}
