//! At least once or exactly once: what is asked for, and what the brokers allow.
//!
//! Exactly once needs brokers that check whether a partition belongs to the open transaction
//! (Kafka 3.6, `transaction.partition.verification.enable`). Without that check a commit request
//! that comes late can end the next transaction in the middle, and half of it is lost. The client
//! library does not speak the protocol of Kafka 4.0 that rules this out for good (KIP-890, transaction
//! version 2), so the best that can be had is [`TransactionLevel::Guarded`]: the check of the
//! brokers, and a new producer after every commit whose request may have been sent twice.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::admin::REQUEST_TIMEOUT;
use crate::topics::passes;
use crate::{KafkaError, KafkaOptions, client};

/// What says that a broker checks transactions; brokers before 3.6 do not know it.
const VERIFICATION: &str = "transaction.partition.verification.enable";

/// Exactly once was not asked for and is not to be had.
pub(crate) const AT_LEAST_ONCE: &str = "KAFKA_AT_LEAST_ONCE";
/// Exactly once was asked for, and nobody knows whether the brokers do their part.
pub(crate) const UNVERIFIED: &str = "KAFKA_TRANSACTIONS_UNVERIFIED";

/// How often a change may be in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once, for consumers that read committed records only.
    ExactlyOnce,
    /// Once, and after a crash perhaps again, equal to the byte and in order.
    AtLeastOnce,
}

impl Delivery {
    /// As the configuration and the status name it.
    pub fn name(self) -> &'static str {
        match self {
            Delivery::ExactlyOnce => "exactly_once",
            Delivery::AtLeastOnce => "at_least_once",
        }
    }
}

/// How far exactly once can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionLevel {
    /// The brokers verify partitions, and a commit in doubt replaces the producer.
    Guarded,
    /// Asked for, but this user may not see whether the brokers verify partitions.
    Unverified,
    /// No transactions.
    Off,
}

impl TransactionLevel {
    /// As the status names it.
    pub fn name(self) -> &'static str {
        match self {
            TransactionLevel::Guarded => "guarded",
            TransactionLevel::Unverified => "unverified",
            TransactionLevel::Off => "off",
        }
    }
}

/// How changes are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// What is asked for; `None`: exactly once where the brokers allow it.
    pub delivery: Option<Delivery>,
    /// How long a Kafka transaction collects before it is committed. A change that comes after a
    /// pause of that length is committed at once.
    pub transaction_interval: Duration,
    /// The topic that keeps the cursors, for any number of pipelines.
    pub cursor_topic: String,
    /// What stands before the pipeline's name in the transactional id.
    pub transactional_id_prefix: String,
}

impl Default for DeliveryOptions {
    fn default() -> DeliveryOptions {
        DeliveryOptions {
            delivery: None,
            transaction_interval: Duration::from_millis(100),
            cursor_topic: "__offtake_cursors".to_owned(),
            transactional_id_prefix: "offtake.".to_owned(),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) delivery: Delivery,
    pub(crate) level: TransactionLevel,
}

impl Mode {
    pub(crate) const AT_LEAST_ONCE: Mode =
        Mode { delivery: Delivery::AtLeastOnce, level: TransactionLevel::Off };

    pub(crate) fn is_exactly_once(self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }
}

/// What is done, and why it is less than what was asked for or than what is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) mode: Mode,
    pub(crate) weaker: Option<String>,
}

impl From<Mode> for Decision {
    fn from(mode: Mode) -> Decision {
        Decision { mode, weaker: None }
    }
}

/// What a look at the brokers' configuration found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verified {
    Yes,
    /// Why not.
    No(String),
    /// This user may not see it.
    Denied,
}

/// Decides how to deliver: asks the brokers where that is needed. The inner error says why there is
/// no answer yet; it is asked again.
///
/// # Errors
/// Exactly once is asked for and the brokers do not allow it; the client cannot be set up.
pub(crate) fn decide(options: &KafkaOptions) -> Result<Result<Decision, String>, KafkaError> {
    if options.delivery.delivery == Some(Delivery::AtLeastOnce) {
        return Ok(Ok(Mode::AT_LEAST_ONCE.into()));
    }
    let verified = match verified(options)? {
        Ok(verified) => verified,
        Err(reason) => return Ok(Err(reason)),
    };
    choose(options.delivery.delivery, verified).map(Ok)
}

fn choose(asked: Option<Delivery>, verified: Verified) -> Result<Decision, KafkaError> {
    let is_asked = asked == Some(Delivery::ExactlyOnce);
    let exactly_once = |level| Mode { delivery: Delivery::ExactlyOnce, level };
    let instead = |reason| Ok(Decision { mode: Mode::AT_LEAST_ONCE, weaker: Some(reason) });
    match verified {
        Verified::Yes => Ok(exactly_once(TransactionLevel::Guarded).into()),
        Verified::No(reason) if is_asked => Err(KafkaError::TransactionsUnsupported { reason }),
        Verified::Denied if is_asked => Ok(Decision {
            mode: exactly_once(TransactionLevel::Unverified),
            weaker: Some("not allowed to see whether the brokers verify transactions".to_owned()),
        }),
        Verified::No(reason) => instead(reason),
        Verified::Denied => instead(
            "this user may not see the brokers' configuration (DESCRIBE_CONFIGS on the cluster)"
                .to_owned(),
        ),
    }
}

/// At least once, said aloud: nobody asked for it.
pub(crate) fn fall_back(reason: &str) -> Mode {
    tracing::warn!(
        code = AT_LEAST_ONCE,
        reason,
        "exactly once is not to be had, delivering at least once"
    );
    Mode::AT_LEAST_ONCE
}

/// Whether every broker verifies transactions.
fn verified(options: &KafkaOptions) -> Result<Result<Verified, String>, KafkaError> {
    let inspector = client::inspector(options)?;
    let metadata = match inspector.fetch_metadata(Some("offtake"), REQUEST_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(error) => return Ok(Err(client::no_answer(&inspector, &error))),
    };
    let admin = client::admin(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(KafkaError::Thread)?;
    let brokers: Vec<ResourceSpecifier<'_>> =
        metadata.brokers().iter().map(|broker| ResourceSpecifier::Broker(broker.id())).collect();
    if brokers.is_empty() {
        return Ok(Err("no broker answers".to_owned()));
    }
    let admin_options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    // A request a broker: each answers for itself alone.
    for broker in &brokers {
        let answer = runtime.block_on(admin.describe_configs([broker], &admin_options));
        let code = match answer {
            Ok(found) => match found.into_iter().next() {
                Some(Ok(resource)) => match verifies(&resource) {
                    Verified::Yes => continue,
                    found => return Ok(Ok(found)),
                },
                Some(Err(code)) => code,
                None => RDKafkaErrorCode::Unknown,
            },
            Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
        };
        return Ok(match code {
            RDKafkaErrorCode::ClusterAuthorizationFailed => Ok(Verified::Denied),
            RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => {
                Ok(Verified::No("the brokers are older than Kafka 3.6".to_owned()))
            }
            code if passes(code) => Err(code.to_string()),
            code => Err(format!("the brokers' configuration cannot be read: {code}")),
        });
    }
    Ok(Ok(Verified::Yes))
}

/// Whether a broker with this configuration does.
fn verifies(resource: &ConfigResource) -> Verified {
    if resource.entries.is_empty() {
        // That it may not be seen is in the broker's answer; the client gives an empty one instead.
        return Verified::Denied;
    }
    let entry = resource.entries.iter().find(|entry| entry.name == VERIFICATION);
    match entry.map(|entry| entry.value.as_deref()) {
        Some(Some("true")) => Verified::Yes,
        Some(_) => Verified::No(format!("{VERIFICATION} is not true on every broker")),
        None => Verified::No("the brokers are older than Kafka 3.6".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_once_is_the_default_where_brokers_verify_and_a_halt_where_it_was_asked_for() {
        let no = || Verified::No("the brokers are older than Kafka 3.6".to_owned());
        let asked = Some(Delivery::ExactlyOnce);
        let chosen = |asked, verified| choose(asked, verified).unwrap();
        let guarded = chosen(None, Verified::Yes);
        let mode = guarded.mode;
        assert_eq!((mode.delivery.name(), mode.level.name()), ("exactly_once", "guarded"));
        assert_eq!(guarded.weaker, None);
        assert_eq!(chosen(asked, Verified::Yes), guarded);
        for verified in [no(), Verified::Denied] {
            let weaker = chosen(None, verified);
            assert_eq!((weaker.mode, weaker.weaker.is_some()), (Mode::AT_LEAST_ONCE, true));
        }
        let unverified = chosen(asked, Verified::Denied);
        assert_eq!(unverified.mode.level, TransactionLevel::Unverified);
        assert!(unverified.weaker.is_some());
        let error = choose(asked, no()).unwrap_err();
        assert_eq!(error.code(), "KAFKA_TRANSACTIONS_UNSUPPORTED");
        assert!(error.to_string().contains("older than Kafka 3.6"), "{error}");
    }

    #[test]
    fn a_broker_that_does_not_know_the_check_has_it_off_or_does_not_show_it_does_not_do() {
        let resource = |entries: &[(&str, &str)]| {
            let entry = |(name, value): &(&str, &str)| rdkafka::admin::ConfigEntry {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
                source: rdkafka::admin::ConfigSource::Default,
                is_read_only: false,
                is_default: true,
                is_sensitive: false,
            };
            ConfigResource {
                specifier: rdkafka::admin::OwnedResourceSpecifier::Broker(1),
                entries: entries.iter().map(entry).collect(),
            }
        };
        let no = |entries, words: &str| match verifies(&resource(entries)) {
            Verified::No(reason) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(verifies(&resource(&[(VERIFICATION, "true")])), Verified::Yes);
        no(&[(VERIFICATION, "false")], "not true");
        no(&[("broker.id", "1")], "older than");
        assert_eq!(verifies(&resource(&[])), Verified::Denied);
    }
}
