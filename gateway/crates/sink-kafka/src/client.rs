//! The client library's settings: what order, completeness and bounded memory rest on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaRespErr;

use crate::context::{QuietContext, SinkContext};
use crate::trouble::{NO_ANSWER, WaitReason};
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

/// After which time a request without an answer is given up and sent again: the library's minute
/// would let a paused broker hold up everything for longer than a transaction may take.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic that is not found may be one that was just made; topics are waited for before
/// the first message.
const TOPIC_PROPAGATION_MS: &str = "10000";
/// How often the library gives statistics.
const STATISTICS_MS: &str = "1000";
/// How long a client that only asks takes what the library has to say.
const SERVE: Duration = Duration::from_millis(1);
/// What a client that only asks may have to say about why nobody answers, at most so long.
const HEAR: Duration = Duration::from_millis(20);
/// Least time after which the library repeats a request of a transactional producer, its jitter of a
/// fifth left out of account. A commit that took clearly less was not repeated, see
/// [`crate::transaction`].
const TRANSACTIONAL_RETRY_MS: &str = "500";
/// The most, after several times.
const TRANSACTIONAL_RETRY_MAX_MS: &str = "1000";

/// The settings of every client of these options.
pub(crate) fn base(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("offtake-{}", options.pipeline))
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", SOCKET_TIMEOUT.as_millis().to_string())
        .set("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION_MS);
    if options.oauth.is_some() {
        config.set("security.protocol", "sasl_ssl").set("sasl.mechanisms", "OAUTHBEARER");
    }
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
    config
        .set("statistics.interval.ms", STATISTICS_MS)
        .set("enable.idempotence", "true")
        .set("acks", "all");
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
    let context = context.with_oauth(options.oauth.clone());
    BaseProducer::from_config_and_context(&config, context).map_err(|error| refused(&error))
}

/// How long a transactional producer waits for an answer: the library wants it to be no longer than
/// a transaction may last.
fn socket_timeout_ms(options: &KafkaOptions) -> String {
    match options.properties.get("socket.timeout.ms") {
        Some(asked) => asked.clone(),
        None => SOCKET_TIMEOUT.min(options.transaction_timeout()).as_millis().to_string(),
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
    asking(options, &config)
}

/// A consumer with these settings, with its token.
pub(crate) fn asking(
    options: &KafkaOptions,
    config: &ClientConfig,
) -> Result<BaseConsumer<QuietContext>, KafkaError> {
    let consumer = BaseConsumer::from_config_and_context(config, QuietContext::new(options))
        .map_err(|error| refused(&error))?;
    authorize(options, consumer.client());
    Ok(consumer)
}

/// A client that asks to create and describe.
pub(crate) fn admin(options: &KafkaOptions) -> Result<AdminClient<QuietContext>, KafkaError> {
    let admin = AdminClient::from_config_and_context(&base(options), QuietContext::new(options))
        .map_err(|error| refused(&error))?;
    authorize(options, admin.inner());
    Ok(admin)
}

/// Takes what the library has to say to a client that only asks: its log lines, and that it needs
/// another token.
pub(crate) fn serve(inspector: &BaseConsumer<QuietContext>) {
    // There are no messages.
    let _ = inspector.poll(SERVE);
}

/// Why a client that only asks got no answer, where it heard more than that.
pub(crate) fn heard(inspector: &BaseConsumer<QuietContext>) -> Option<(WaitReason, String)> {
    // What the library has to say waits until it is taken; there are no messages.
    let _ = inspector.poll(HEAR);
    inspector.client().context().heard()
}

/// What to say when a client that only asks got no answer.
pub(crate) fn no_answer(inspector: &BaseConsumer<QuietContext>, error: &ClientError) -> String {
    match heard(inspector) {
        Some((reason, text)) if reason.is_specific() => text,
        Some((_, text)) => format!("{NO_ANSWER}: {text}"),
        None => format!("{NO_ANSWER}: {error}"),
    }
}

/// Gives a client that only asks its token before its first connection: the library asks for one
/// only where it is polled, and for admin clients nobody polls.
fn authorize(options: &KafkaOptions, client: &Client<QuietContext>) {
    let Some(oauth) = &options.oauth else { return };
    let failed = match oauth.token() {
        Ok(token) => set_token(client, token).err(),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = failed {
        client
            .context()
            .hear(WaitReason::Token, format!("there is no OAUTHBEARER token: {reason}"));
    }
}

#[allow(unsafe_code, reason = "the library's function is not offered otherwise; see SAFETY")]
fn set_token<C: ClientContext>(client: &Client<C>, token: OAuthToken) -> Result<(), String> {
    let damaged = |_| "the token or its subject has a zero byte".to_owned();
    let text = std::ffi::CString::new(token.token).map_err(damaged)?;
    let principal = std::ffi::CString::new(token.principal_name).map_err(damaged)?;
    let mut reason = [0_u8; 256];
    // SAFETY: the client's pointer is valid while it is borrowed; both texts end with a zero byte
    // and outlive the call, which copies them; no extensions are passed, so their pointer is not
    // read; the library writes no more than the given size of the reason, its zero byte included.
    let code = unsafe {
        rdkafka::bindings::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            reason.as_mut_ptr().cast(),
            reason.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let end = reason.iter().position(|byte| *byte == 0).unwrap_or(reason.len());
    Err(String::from_utf8_lossy(&reason[..end]).into_owned())
}

pub(crate) fn refused(error: &ClientError) -> KafkaError {
    match error {
        ClientError::ClientConfig(_, reason, property, _) => KafkaError::Property {
            property: property.clone(),
            // The library's text quotes the value of some properties; the name is enough.
            reason: if reason.contains(' ') {
                "the client library refuses its value; librdkafka's CONFIGURATION.md lists what it takes"
                    .to_owned()
            } else {
                reason.clone()
            },
        },
        other => KafkaError::Client(other.to_string()),
    }
}
