//! What is wanted of a stream's topic and its messages: the first rule that matches the stream,
//! over what holds for all.
//!
//! Decided once a stream, never a message. Whether a topic is as wanted is found out elsewhere.

use std::collections::BTreeMap;

use offtake_encode::debezium::MessageFormat;
use offtake_log::Selection;

use crate::KafkaError;

/// What differs for some streams. The first that matches a stream counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRule {
    /// Which streams.
    pub streams: Selection,
    /// Whether a missing topic is created.
    pub create: Option<bool>,
    /// Partitions of a new topic.
    pub partitions: Option<i32>,
    /// Replicas of a new topic.
    pub replication: Option<i32>,
    /// Configuration of a new topic, each entry over that of all topics.
    pub config: BTreeMap<String, String>,
    /// The format of messages; `None`: that of a later rule, else of the stream's route, else of
    /// all.
    pub format: Option<MessageFormat>,
    /// Columns of the key; empty: the table's own key.
    pub key: Vec<String>,
    /// Columns that decide the partition; empty: the key decides.
    pub partition_by: Vec<String>,
}

/// The format that a route names for its streams. The first that matches a stream counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFormat {
    /// Which streams the route writes.
    pub streams: Selection,
    /// Which of them it leaves to later routes.
    pub exclude: Selection,
    /// `None`: the format of all.
    pub format: Option<MessageFormat>,
}

/// How topics are made that do not exist yet, and what their messages look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// Partitions of a new topic; -1: as the cluster says.
    pub partitions: i32,
    /// Replicas of a new topic; -1: as the cluster says.
    pub replication: i32,
    /// Configuration of a new topic, as the broker names it (`retention.ms`, `cleanup.policy` …).
    pub config: BTreeMap<String, String>,
    /// Create topics that are missing. Without it a missing topic halts the sink.
    pub create: bool,
    /// The format of messages.
    pub format: MessageFormat,
    /// What differs for some streams, in order.
    pub rules: Vec<StreamRule>,
    /// The formats that routes name, in the order of the routes.
    pub route_formats: Vec<RouteFormat>,
}

impl Default for TopicOptions {
    fn default() -> TopicOptions {
        TopicOptions {
            partitions: 1,
            replication: -1,
            config: BTreeMap::new(),
            create: true,
            format: MessageFormat::default(),
            rules: Vec::new(),
            route_formats: Vec::new(),
        }
    }
}

/// What is wanted of one stream's topic and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// Partitions of a new topic; -1: as the cluster says.
    pub partitions: i32,
    /// Replicas of a new topic; -1: as the cluster says.
    pub replication: i32,
    /// Configuration of a new topic.
    pub config: BTreeMap<String, String>,
    /// Whether a missing topic is created.
    pub create: bool,
    /// The format of messages.
    pub format: MessageFormat,
    /// Columns of the key; empty: the table's own key.
    pub key: Vec<String>,
    /// Columns that decide the partition; empty: the key decides.
    pub partition_by: Vec<String>,
}

impl TopicRule {
    /// Whether the topic, made as wanted, forgets what a later message of the same key replaces.
    pub fn is_compacted(&self) -> bool {
        self.config.get("cleanup.policy").is_some_and(|policy| is_compacting(policy))
    }
}

/// Whether a `cleanup.policy` lists compaction.
pub(crate) fn is_compacting(policy: &str) -> bool {
    policy.split(',').any(|word| word.trim() == "compact")
}

impl TopicOptions {
    /// What is wanted of a stream.
    pub fn rule(&self, stream: &str) -> TopicRule {
        let mut matching = self.rules.iter().filter(|rule| rule.streams.matches(stream));
        let format = matching.clone().find_map(|rule| rule.format);
        let first = matching.next();
        let mut config = self.config.clone();
        if let Some(rule) = first {
            config.extend(rule.config.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        TopicRule {
            partitions: first.and_then(|rule| rule.partitions).unwrap_or(self.partitions),
            replication: first.and_then(|rule| rule.replication).unwrap_or(self.replication),
            config,
            create: first.and_then(|rule| rule.create).unwrap_or(self.create),
            format: format.unwrap_or_else(|| self.route_format(stream)),
            key: first.map(|rule| rule.key.clone()).unwrap_or_default(),
            partition_by: first.map(|rule| rule.partition_by.clone()).unwrap_or_default(),
        }
    }

    /// What is wanted of the dead-letter stream: flat JSON where no rule names a format, and its own
    /// key, for columns are chosen for tables.
    pub(crate) fn rule_of_dead_letters(&self, stream: &str) -> TopicRule {
        let mut matching = self.rules.iter().filter(|rule| rule.streams.matches(stream));
        TopicRule {
            format: matching.find_map(|rule| rule.format).unwrap_or(MessageFormat::Json),
            key: Vec::new(),
            partition_by: Vec::new(),
            ..self.rule(stream)
        }
    }

    fn route_format(&self, stream: &str) -> MessageFormat {
        let writes =
            |route: &&RouteFormat| route.streams.matches(stream) && !route.exclude.matches(stream);
        let route = self.route_formats.iter().find(writes);
        route.and_then(|route| route.format).unwrap_or(self.format)
    }

    /// Refuses numbers that no topic can have.
    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        let refuse = |property: &str, reason: &str| {
            Err(KafkaError::Property { property: property.to_owned(), reason: reason.to_owned() })
        };
        let partitions = self.rules.iter().filter_map(|rule| rule.partitions);
        if partitions.chain([self.partitions]).any(|partitions| partitions < 1 && partitions != -1)
        {
            return refuse("topics.partitions", "at least one is needed, or -1 for the cluster's");
        }
        let replication = self.rules.iter().filter_map(|rule| rule.replication);
        if replication.chain([self.replication]).any(|replicas| replicas < 1 && replicas != -1) {
            return refuse("topics.replication", "at least one is needed, or -1 for the cluster's");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(globs: &[&str]) -> Selection {
        Selection::globs(globs.iter().copied())
    }

    #[test]
    fn the_first_rule_that_matches_counts_over_what_holds_for_all() {
        let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = TopicOptions {
            partitions: 3,
            replication: 2,
            config: [entry("retention.ms", "1"), entry("segment.bytes", "5")].into(),
            rules: vec![
                StreamRule {
                    streams: streams(&["shop.public.audit", "*.log"]),
                    partitions: Some(12),
                    config: [entry("retention.ms", "-1"), entry("cleanup.policy", "compact")]
                        .into(),
                    key: vec!["tenant".to_owned()],
                    ..StreamRule::default()
                },
                StreamRule {
                    streams: streams(&["shop.public.*"]),
                    partitions: Some(1),
                    replication: Some(1),
                    create: Some(false),
                    partition_by: vec!["id".to_owned()],
                    ..StreamRule::default()
                },
            ],
            ..TopicOptions::default()
        };
        let audit = options.rule("shop.public.audit");
        assert_eq!((audit.partitions, audit.replication, audit.create), (12, 2, true));
        assert_eq!(audit.config["retention.ms"], "-1");
        assert_eq!(audit.config["segment.bytes"], "5");
        assert!(audit.is_compacted() && audit.partition_by.is_empty());
        assert_eq!(audit.key, ["tenant"]);
        let orders = options.rule("shop.public.orders");
        assert_eq!((orders.partitions, orders.replication, orders.create), (1, 1, false));
        assert_eq!((orders.partition_by.len(), orders.key.len()), (1, 0));
        assert!(!orders.is_compacted());
        let other = options.rule("shop.sales.orders");
        assert_eq!((other.partitions, other.config["retention.ms"].as_str()), (3, "1"));
    }

    #[test]
    fn a_format_comes_from_a_rule_then_from_the_route_then_from_all() {
        let rule = |globs: &[&str], format| StreamRule {
            streams: streams(globs),
            format,
            ..StreamRule::default()
        };
        let route = |globs: &[&str], exclude: &[&str], format| RouteFormat {
            streams: streams(globs),
            exclude: streams(exclude),
            format,
        };
        let options = TopicOptions {
            format: MessageFormat::Json,
            rules: vec![
                rule(&["s.public.*"], None),
                rule(&["s.public.a"], Some(MessageFormat::Protobuf)),
            ],
            route_formats: vec![
                route(&["s.sales.*"], &["s.sales.test"], Some(MessageFormat::Avro)),
                route(&["s.*"], &[], None),
                route(&["s.*"], &[], Some(MessageFormat::CloudEvents)),
            ],
            ..TopicOptions::default()
        };
        assert_eq!(options.rule("s.public.a").format, MessageFormat::Protobuf);
        assert_eq!(options.rule("s.public.b").format, MessageFormat::Json);
        assert_eq!(options.rule("s.sales.b").format, MessageFormat::Avro);
        assert_eq!(options.rule("s.sales.test").format, MessageFormat::Json);
        assert_eq!(options.rule("t").format, MessageFormat::Json);
        let avro = TopicOptions { format: MessageFormat::Avro, ..TopicOptions::default() };
        assert_eq!(avro.rule_of_dead_letters("s.dead_letters").format, MessageFormat::Json);
        let named = options.rule_of_dead_letters("s.public.a");
        assert_eq!(named.format, MessageFormat::Protobuf);
    }

    #[test]
    fn numbers_that_no_topic_can_have_are_refused() {
        assert!(TopicOptions::default().check().is_ok());
        assert!(TopicOptions { partitions: 0, ..TopicOptions::default() }.check().is_err());
        let rule = StreamRule { replication: Some(0), ..StreamRule::default() };
        assert!(TopicOptions { rules: vec![rule], ..TopicOptions::default() }.check().is_err());
    }
}
