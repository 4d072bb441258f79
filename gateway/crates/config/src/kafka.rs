//! `[kafka]`: brokers, topics and the properties that are passed to librdkafka.
//!
//! Which properties may be passed is said by `kafka_properties`; their values are librdkafka's to
//! judge.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::debezium::debezium;
use crate::delivery;
use crate::kafka_model::{MessageFormat, MessageHeaders, Oversize, RouteFormat};
use crate::kafka_oauth::oauth;
use crate::kafka_properties;
use crate::model::{Kafka, Topics};
use crate::reader::{At, Section, kind_of};
use crate::redact;
use crate::registry;
use crate::routes::RouteStreams;
use crate::secret::Secret;
use crate::sections::age;
use crate::topic_rules;

/// Partitions that a topic can be given.
pub(crate) const PARTITIONS: RangeInclusive<i32> = 1..=10_000;
/// Copies that a topic can be given.
pub(crate) const REPLICATION: RangeInclusive<i32> = 1..=100;

/// `[kafka]`, when it is there. `routes`: the streams of every route, in the order of the file.
pub(crate) fn kafka(
    top: &Section<'_, '_>,
    pipeline: &str,
    routes: &[RouteStreams],
) -> Option<Kafka> {
    let section = top.section("kafka", "kafka");
    let rules = topic_rules::rules(&section, routes);
    let properties = properties(&section);
    let kafka = Kafka {
        oauth: oauth(&section, &properties),
        registry: registry::registry(&section, &rules, routes),
        delivery: delivery::delivery(&section),
        topics: topics(&section),
        brokers: brokers(&section),
        properties,
        rules,
        route_formats: route_formats(routes),
        format: section
            .one_of("format", MessageFormat::WORDS)
            .unwrap_or(MessageFormat::DebeziumJson),
        oversize: section
            .one_of("oversize", &[("halt", Oversize::Halt), ("dead_letter", Oversize::DeadLetter)])
            .unwrap_or(Oversize::Halt),
        headers: headers(&section),
        debezium: debezium(&section, pipeline),
    };
    if top.get("kafka").is_none() {
        for format in routes.iter().filter_map(|route| route.format.as_ref()) {
            top.context.warning(
                "CONFIG_FORMAT_UNUSED",
                &format.span,
                "without [kafka] a `format` has no effect",
                Some("remove it, or add [kafka]".to_owned()),
            );
        }
        return None;
    }
    section.require("brokers");
    Some(kafka)
}

fn headers(section: &Section<'_, '_>) -> MessageHeaders {
    let given = section.choices("headers").map(|list| list.value).unwrap_or_default();
    let has = |word: &str| given.iter().any(|header| header.value == word);
    MessageHeaders {
        position: has("position"),
        transaction: has("transaction"),
        event_id: has("event_id"),
    }
}

/// The formats of routes as the sink reads them; none when no route names one.
fn route_formats(routes: &[RouteStreams]) -> Vec<RouteFormat> {
    if routes.iter().all(|route| route.format.is_none()) {
        return Vec::new();
    }
    let of_route = |route: &RouteStreams| RouteFormat {
        streams: route.streams.iter().map(|glob| glob.text()).collect(),
        exclude: route.exclude.iter().map(|glob| glob.text()).collect(),
        format: route.format.as_ref().map(|format| format.value),
    };
    routes.iter().map(of_route).collect()
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
    Topics {
        config: topic_config(&topics),
        create: topics.flag("create").unwrap_or(true),
        partitions: topics.number("partitions", PARTITIONS).or(Some(1)),
        replication: topics.number("replication", REPLICATION),
    }
}

/// `config`, with `retention` as `retention.ms` in it.
pub(crate) fn topic_config(topics: &Section<'_, '_>) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    for (name, value, _) in flat(topics, "config") {
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
    if let Some(retention) = age(topics, "retention") {
        let ms =
            retention.map_or_else(|| "-1".to_owned(), |age: Duration| age.as_millis().to_string());
        config.insert("retention.ms".to_owned(), ms);
    }
    config
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
