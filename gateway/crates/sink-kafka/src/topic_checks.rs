//! What a topic's configuration and replicas mean for what is wanted of it, and whether the brokers
//! are new enough. Judged from what was read, so that every verdict has a test without a broker.

use crate::KafkaError;
use crate::admin::Config;
use crate::probe::failed;
use crate::topic_rules::{TopicRule, is_compacting};
use crate::topics::Found;
use offtake_registry::{ProbeItem, ProbeOutcome};

/// The oldest brokers that do: idempotent producers and records with headers are settled there.
const LEAST_VERSION: (u32, u32) = (2, 1);
const LEAST_VERSION_NAME: &str = "2.1";
/// Configuration that says the version; brokers from 4.0 on have it no more.
const VERSION_ENTRY: &str = "inter.broker.protocol.version";
/// Replicas from which on one acknowledgement is too few to rely on.
const MANY_REPLICAS: usize = 3;

/// Whether the brokers are new enough; nothing where they are, or where they do not say.
pub(crate) fn version(broker: &Config) -> Option<ProbeItem> {
    let version = broker.get(VERSION_ENTRY)?;
    let mut numbers = version.split(['.', '-', 'I']).map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next()?, numbers.next().unwrap_or(0));
    (found < LEAST_VERSION).then(|| {
        let version = version.clone();
        let error = KafkaError::BrokerTooOld { version, least: LEAST_VERSION_NAME };
        failed("brokers", &error)
    })
}

/// What is known of a topic.
pub(crate) struct Facts<'f> {
    pub(crate) topic: &'f str,
    pub(crate) rule: &'f TopicRule,
    /// Of a topic that exists; `None`: it does not, or its configuration cannot be read.
    pub(crate) config: Option<&'f Config>,
    /// A broker's own configuration; empty where it cannot be read.
    pub(crate) broker: &'f Config,
}

impl Facts<'_> {
    /// An entry as it is, or as it would be.
    fn entry(&self, name: &str, of_broker: &str) -> Option<&str> {
        let entry = match self.config {
            Some(config) => config.get(name),
            None => self.rule.config.get(name).or_else(|| self.broker.get(of_broker)),
        };
        entry.map(String::as_str)
    }

    /// Whether the topic forgets what a later message of the same key replaces.
    pub(crate) fn is_compacted(&self) -> bool {
        self.entry("cleanup.policy", "log.cleanup.policy").is_some_and(is_compacting)
    }

    fn least_in_sync(&self) -> Option<usize> {
        self.entry("min.insync.replicas", "min.insync.replicas")?.parse().ok()
    }

    /// Judges a topic that exists.
    pub(crate) fn existing(&self, found: Found) -> Vec<ProbeItem> {
        let text = format!("exists with {} partition(s)", found.partitions);
        let mut items = vec![ProbeItem::ok(format!("topic {}", self.topic), text)];
        let differences = self.differences(found);
        if !differences.is_empty() {
            items.push(self.warning(
                "KAFKA_TOPIC_DIFFERS",
                format!("it exists and is not as configured: {}", differences.join(", ")),
                "change the topic, or the configuration; an existing topic is never altered",
            ));
        }
        items.extend(self.judge_replicas(Some(found.replicas)));
        if self.least_in_sync().is_some_and(|least| found.in_sync < least) {
            items.push(self.warning(
                "KAFKA_NOT_IN_SYNC",
                format!(
                    "a partition has {} replica(s) in sync and needs {}: it takes nothing for now",
                    found.in_sync,
                    self.least_in_sync().unwrap_or_default()
                ),
                "bring the brokers back that are down; the pipeline itself would wait",
            ));
        }
        items
    }

    /// Judges a topic that would be created.
    pub(crate) fn created(&self) -> Vec<ProbeItem> {
        let text = match self.rule.partitions {
            -1 => "will be created".to_owned(),
            partitions => format!("will be created with {partitions} partition(s)"),
        };
        let mut items = vec![ProbeItem::ok(format!("topic {}", self.topic), text)];
        let replicas = match self.rule.replication {
            -1 => self.broker.get("default.replication.factor").and_then(|it| it.parse().ok()),
            replication => usize::try_from(replication).ok(),
        };
        items.extend(self.judge_replicas(replicas));
        items
    }

    /// How the topic differs from what is configured for it.
    fn differences(&self, found: Found) -> Vec<String> {
        let mut differences = Vec::new();
        // One is what nobody asked for.
        if self.rule.partitions > 1 && self.rule.partitions != found.partitions {
            let (is, wanted) = (found.partitions, self.rule.partitions);
            differences.push(format!("{is} partition(s) instead of {wanted}"));
        }
        if usize::try_from(self.rule.replication).is_ok_and(|wanted| wanted != found.replicas) {
            let (is, wanted) = (found.replicas, self.rule.replication);
            differences.push(format!("{is} replica(s) instead of {wanted}"));
        }
        let Some(config) = self.config else { return differences };
        for (name, wanted) in &self.rule.config {
            match config.get(name) {
                Some(is) if same(is, wanted) => {}
                Some(is) => differences.push(format!("{name} is {is} instead of {wanted}")),
                None => differences.push(format!("{name} is not set, instead of {wanted}")),
            }
        }
        differences
    }

    fn judge_replicas(&self, replicas: Option<usize>) -> Option<ProbeItem> {
        let (replicas, least) = (replicas?, self.least_in_sync()?);
        if least > replicas {
            return Some(ProbeItem {
                outcome: ProbeOutcome::Error,
                ..self.warning(
                    "KAFKA_TOO_FEW_REPLICAS",
                    format!("min.insync.replicas is {least} and there are {replicas} replica(s): nothing can be written"),
                    "raise `replication`, or lower min.insync.replicas",
                )
            });
        }
        (replicas >= MANY_REPLICAS && least == 1).then(|| {
            self.warning(
                "KAFKA_MIN_INSYNC",
                format!(
                    "{replicas} replicas and min.insync.replicas 1: a change counts as delivered \
                     when one broker has it, and is lost with that broker"
                ),
                "set min.insync.replicas to 2, in the topic or under `config`",
            )
        })
    }

    fn warning(&self, code: &'static str, text: String, next_step: &str) -> ProbeItem {
        ProbeItem {
            name: format!("topic {}", self.topic),
            outcome: ProbeOutcome::Warning,
            code,
            text,
            next_step: next_step.to_owned(),
        }
    }
}

/// Whether two values say the same: a list has no order.
fn same(one: &str, other: &str) -> bool {
    let words = |value: &str| {
        let mut words: Vec<String> = value.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort();
        words
    };
    words(one) == words(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicOptions;

    fn config(entries: &[(&str, &str)]) -> Config {
        let entries = entries.iter();
        entries.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn rule(partitions: i32, replication: i32, entries: &[(&str, &str)]) -> TopicRule {
        let config = config(entries);
        TopicOptions { partitions, replication, config, ..TopicOptions::default() }.rule("t")
    }

    fn existing(rule: &TopicRule, entries: &[(&str, &str)], found: Found) -> Vec<ProbeItem> {
        let (config, broker) = (config(entries), Config::new());
        Facts { topic: "t", rule, config: Some(&config), broker: &broker }.existing(found)
    }

    const THREE: Found = Found { partitions: 3, replicas: 3, in_sync: 3 };

    #[test]
    fn brokers_that_are_too_old_are_told_by_their_version() {
        let judged = |version: &str| super::version(&config(&[(VERSION_ENTRY, version)]));
        for old in ["0.10.2-IV0", "1.1-IV0", "2.0-IV1"] {
            let item = judged(old).unwrap();
            assert_eq!((item.code, item.outcome), ("KAFKA_BROKER_TOO_OLD", ProbeOutcome::Error));
            assert!(item.text.contains(old) && item.text.contains("2.1"), "{}", item.text);
        }
        for new in ["2.1-IV2", "2.8-IV1", "3.9-IV0", "10.0"] {
            assert_eq!(judged(new), None, "{new}");
        }
        assert_eq!(super::version(&Config::new()), None, "from 4.0 on nothing is said");
    }

    #[test]
    fn an_existing_topic_that_differs_is_told_with_every_difference() {
        let wanted = rule(6, 2, &[("retention.ms", "7"), ("cleanup.policy", "compact, delete")]);
        let items = existing(
            &wanted,
            &[("retention.ms", "5"), ("cleanup.policy", "delete,compact")],
            THREE,
        );
        assert_eq!(items[0].outcome, ProbeOutcome::Ok);
        assert_eq!(items[1].code, "KAFKA_TOPIC_DIFFERS");
        assert!(
            items[1].text.ends_with(
                "3 partition(s) instead of 6, 3 replica(s) instead of 2, retention.ms is 5 instead \
                 of 7"
            ),
            "{}",
            items[1].text
        );
        assert!(items[1].next_step.contains("never altered"));
        assert_eq!(existing(&rule(1, -1, &[]), &[("retention.ms", "5")], THREE).len(), 1);
    }

    #[test]
    fn too_few_replicas_in_sync_are_an_error_or_a_warning() {
        let plain = rule(3, -1, &[]);
        let codes = |least: &str, found| -> Vec<&'static str> {
            let items = existing(&plain, &[("min.insync.replicas", least)], found);
            items[1..].iter().map(|item| item.code).collect()
        };
        assert_eq!(codes("1", THREE), ["KAFKA_MIN_INSYNC"]);
        assert!(codes("2", THREE).is_empty());
        assert!(codes("1", Found { replicas: 2, in_sync: 2, ..THREE }).is_empty());
        assert_eq!(codes("2", Found { in_sync: 1, ..THREE }), ["KAFKA_NOT_IN_SYNC"]);
        let lonely = Found { replicas: 1, in_sync: 1, ..THREE };
        assert_eq!(codes("2", lonely), ["KAFKA_TOO_FEW_REPLICAS", "KAFKA_NOT_IN_SYNC"]);
    }

    #[test]
    fn a_topic_to_be_created_is_judged_by_what_it_would_get() {
        let broker = config(&[
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "1"),
            ("log.cleanup.policy", "delete"),
        ]);
        let facts = |rule: &TopicRule| {
            let facts = Facts { topic: "t", rule, config: None, broker: &broker };
            (facts.created(), facts.is_compacted())
        };
        let (items, compacted) = facts(&rule(3, -1, &[]));
        assert_eq!(items[0].text, "will be created with 3 partition(s)");
        assert_eq!(items[1].code, "KAFKA_MIN_INSYNC");
        assert!(!compacted);
        let (items, compacted) =
            facts(&rule(3, 1, &[("min.insync.replicas", "2"), ("cleanup.policy", "compact")]));
        assert_eq!(
            (items[1].code, items[1].outcome),
            ("KAFKA_TOO_FEW_REPLICAS", ProbeOutcome::Error)
        );
        assert!(compacted);
    }
}
