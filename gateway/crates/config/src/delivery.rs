//! `[kafka] delivery` and what belongs to it, and `[source] ack`, which depends on it.

use std::time::Duration;

use crate::model::{Ack, KafkaDelivery};
use crate::reader::Section;

/// Longest time that a transaction collects: readers of its topics wait as long.
const MOST_INTERVAL: Duration = Duration::from_secs(10);

/// How changes are delivered to Kafka.
pub(crate) fn delivery(section: &Section<'_, '_>) -> KafkaDelivery {
    let interval = Duration::from_millis(1)..=MOST_INTERVAL;
    let name = |key, default: &str| {
        section.text(key).map_or_else(|| default.to_owned(), |text| text.value)
    };
    KafkaDelivery {
        exactly_once: section.choice("delivery").map(|word| word.value == "exactly_once"),
        transaction_interval: section
            .duration("transaction_interval", interval)
            .unwrap_or(Duration::from_millis(100)),
        cursor_topic: name("cursor_topic", "__offtake_cursors"),
        transactional_id_prefix: name("transactional_id_prefix", "offtake."),
    }
}

/// `[source] ack`. `top` tells whether there is a Kafka to wait for.
pub(crate) fn ack(top: &Section<'_, '_>, section: &Section<'_, '_>) -> Ack {
    match section.choice("ack") {
        Some(word) if word.value == "sinks" => {
            if top.get("kafka").is_none() {
                section.context.error(
                    "CONFIG_BAD_VALUE",
                    &word.span,
                    "`ack` is \"sinks\", and there is no [kafka]",
                    Some("add [kafka], or leave `ack` out".to_owned()),
                );
            }
            Ack::Sinks
        }
        _ => Ack::Log,
    }
}
