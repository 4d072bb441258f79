//! `[kafka]`: brokers, topics and the properties that are passed to librdkafka.
//!
//! Which properties may be passed is said by `kafka_properties`; their values are librdkafka's to
//! judge.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::kafka_oauth::oauth;
use crate::kafka_properties;
use crate::model::{Kafka, Topics};
use crate::reader::{At, Section, kind_of};
use crate::redact;
use crate::secret::Secret;
use crate::sections::age;

/// `[kafka]`, when it is there.
pub(crate) fn kafka(top: &Section<'_, '_>) -> Option<Kafka> {
    let section = top.section("kafka", "kafka");
    let topics = topics(&section);
    let brokers = brokers(&section);
    let properties = properties(&section);
    let oauth = oauth(&section, &properties);
    top.get("kafka")?;
    section.require("brokers");
    Some(Kafka { brokers, properties, topics, oauth })
}

fn brokers(section: &Section<'_, '_>) -> Vec<String> {
    let Some(list) = section.texts("brokers") else { return Vec::new() };
    if list.value.is_empty() {
        let help = Some("leave [kafka] out if no Kafka is wanted".to_owned());
        section.context.error("CONFIG_BAD_VALUE", &list.span, "`brokers` is empty", help);
    }
    for broker in &list.value {
        let text = broker.value.as_str();
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let sound = !host.is_empty()
            && (bracketed || !host.contains([':', '/', ',', ' ', '@']))
            && port.parse::<u16>().is_ok_and(|port| port > 0);
        if sound {
            continue;
        }
        let help = if text.contains(',') {
            "write one text for each broker".to_owned()
        } else if text.contains("://") {
            "leave out the scheme; TLS is `properties = { \"security.protocol\" = \"SSL\" }`"
                .to_owned()
        } else if !text.contains(':') && !text.is_empty() {
            format!("did you mean \"{text}:9092\"?")
        } else {
            "for example \"localhost:9092\"".to_owned()
        };
        let message = "a broker is `host:port`";
        section.context.error("CONFIG_BAD_ADDRESS", &broker.span, message, Some(help));
    }
    list.value.into_iter().map(|broker| broker.value).collect()
}

fn properties(section: &Section<'_, '_>) -> BTreeMap<String, Secret> {
    let mut properties = BTreeMap::new();
    for (name, value, span) in flat(section, "properties") {
        if let Some((message, help)) = kafka_properties::wrong(&name.value, &value) {
            section.context.error("CONFIG_KAFKA_PROPERTY", &name.span, message, Some(help));
            continue;
        }
        let raw = At { value, span };
        if redact::is_secret_key(&name.value) && !redact::is_reference(&raw.value) {
            section.context.hide(&raw.span);
        }
        if let Some(value) = section.context.resolve(&raw, false) {
            properties.insert(name.value, value);
        }
    }
    properties
}

fn topics(section: &Section<'_, '_>) -> Topics {
    let topics = section.section("topics", "kafka.topics");
    let mut config = BTreeMap::new();
    for (name, value, _) in flat(&topics, "config") {
        if name.value == "retention.ms" && topics.get("retention").is_some() {
            topics.context.error(
                "CONFIG_BAD_VALUE",
                &name.span,
                "`retention.ms` is given, and `retention` too",
                Some("keep one of them".to_owned()),
            );
        }
        config.insert(name.value, value);
    }
    if let Some(retention) = age(&topics, "retention") {
        let ms =
            retention.map_or_else(|| "-1".to_owned(), |age: Duration| age.as_millis().to_string());
        config.insert("retention.ms".to_owned(), ms);
    }
    Topics {
        create: topics.flag("create").unwrap_or(true),
        partitions: topics.number("partitions", 1..=10_000).or(Some(1)),
        replication: topics.number("replication", 1..=100),
        config,
    }
}

/// A table of properties as texts. `a.b = 1` in TOML is a table in a table; both are one property.
fn flat(
    section: &Section<'_, '_>,
    name: &'static str,
) -> Vec<(At<String>, String, std::ops::Range<usize>)> {
    let mut open: Vec<(At<String>, &Spanned<DeValue<'_>>)> = section.free(name);
    open.reverse();
    let mut flat = Vec::new();
    while let Some((key, value)) = open.pop() {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Table(table) => {
                let mut inner = crate::reader::in_order(table);
                inner.reverse();
                for (below, value) in inner {
                    let joined = format!("{}.{}", key.value, below.value);
                    open.push((At { value: joined, span: below.span }, value));
                }
                continue;
            }
            other => {
                section.context.error(
                    "CONFIG_WRONG_TYPE",
                    &value.span(),
                    format!(
                        "a property is a text, a number or a flag, and this is {}",
                        kind_of(other)
                    ),
                    None,
                );
                continue;
            }
        };
        flat.push((key, text, value.span()));
    }
    flat
}
