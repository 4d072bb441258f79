//! The Kafka sink: reads the log on a thread of its own, publishes every change exactly once or at
//! least once and in order a key, and keeps a cursor of what is published.
//!
//! What holds, and where it is kept:
//!
//! - The cursor stands for a contiguous prefix: every message of every change up to it is
//!   acknowledged by all in-sync replicas (`deliveries`).
//! - Exactly once: data and cursor are in one Kafka transaction (`transaction`), one producer alone
//!   may write (`fence`), and whether a commit took place is read, never guessed (`cursor_topic`).
//! - A restart, a rebuilt producer and a crash all go on from the cursor: what is sent again is
//!   the same bytes in the same order on the same partitions (`session`).
//! - A broker that is down, slow or refusing delays this sink and nothing else, without a limit
//!   and within bounded memory (`client`); only what a person must decide halts it (`error`).
//! - The log keeps what is not published yet (a pin), until its own size limit blocks loudly.
//!
//! Nothing outside this crate names rdkafka. What is published is the business of `encode`.

mod admin;
mod adopt;
mod client;
mod committer;
mod context;
mod copies;
mod cursor;
mod cursor_topic;
mod dead_letters;
mod deliveries;
mod delivery;
mod error;
mod fence;
mod flight;
mod format_checks;
mod handover;
mod headers;
mod heartbeat;
mod lent;
mod oauth;
mod options;
mod oversize;
mod partition;
mod probe;
mod publications;
mod registry_wait;
mod session;
mod sink;
mod statistics;
mod status;
mod table_rules;
mod targets;
mod topic_checks;
mod topic_names;
mod topic_rules;
mod topics;
mod transaction;
mod transaction_ends;
mod transaction_topic;
mod transactional;
mod trouble;
mod watch;

pub use adopt::{PublishedCursor, forget_cursor, published_cursor};
pub use dead_letters::{DeadLetterRequest, DeadLetters, dead_letters};
pub use delivery::{Delivery, DeliveryOptions, TransactionLevel};
pub use error::KafkaError;
pub use oauth::{Oauth, OauthOptions};
pub use offtake_encode::debezium;
pub use offtake_encode::debezium::MessageFormat;
pub use offtake_registry::{Authentication, ProbeItem, ProbeOutcome, RegistryOptions, Subjects};
pub use options::{KafkaOptions, MessageHeaders, Oversize};
pub use probe::{ProbeStream, ProbeTable, probe};
pub use sink::KafkaSink;
pub use statistics::{BrokerStatistics, ClientStatistics};
pub use status::{Halted, KafkaState, KafkaStatus, TransactionCounts};
pub use topic_rules::{RouteFormat, StreamRule, TopicOptions, TopicRule};
pub use trouble::WaitReason;
