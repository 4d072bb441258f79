//! From `[kafka]` to the sink's options.
//!
//! Word for word: what a rule means for a stream, and what is right for a broker, is the sink's.

use std::time::{SystemTime, UNIX_EPOCH};

use offtake_change::Operation;
use offtake_config::{
    Config, Kafka, KafkaOauth, Oversize, RegistryLogin, SchemaRegistry, Secret, SubjectNames,
};
use offtake_log::Selection;
use offtake_sink_kafka::debezium::{
    self, BinaryHandling, DecimalHandling, HstoreHandling, IntervalHandling, NameAdjustment,
    SkippedOperations, TimePrecision, UnfitValues, UnknownTypes,
};
use offtake_sink_kafka::{
    Authentication, Delivery, DeliveryOptions, KafkaOptions, MessageFormat, MessageHeaders, Oauth,
    OauthOptions, RegistryOptions, RouteFormat, StreamRule, Subjects, TopicOptions,
};

/// The Kafka sink's options from the configuration; `None` without `[kafka]`. Dead letters need a
/// pipeline that writes them: see `run`.
pub fn kafka_options(config: &Config) -> Option<KafkaOptions> {
    let kafka = config.kafka.as_ref()?;
    let exposed = |(name, value): (&String, &Secret)| (name.clone(), value.expose().to_owned());
    let cursor_path = config.log.dir.join("kafka.cursor");
    Some(KafkaOptions {
        properties: kafka.properties.iter().map(exposed).collect(),
        oauth: kafka.oauth.as_ref().map(oauth),
        topics: topics(kafka),
        headers: MessageHeaders {
            position: kafka.headers.position,
            transaction: kafka.headers.transaction,
            event_id: kafka.headers.event_id,
        },
        delivery: delivery(kafka),
        topic_prefix: kafka.debezium.topic_prefix.clone(),
        debezium: debezium(&kafka.debezium),
        run_id: run_id(),
        heartbeat_interval: kafka.debezium.heartbeat_interval,
        registry: kafka.registry.as_ref().map(registry),
        subjects: kafka.registry.as_ref().map(subjects).unwrap_or_default(),
        ..KafkaOptions::new(&config.name, kafka.brokers.clone(), cursor_path)
    })
}

/// An id of this start as Debezium has one, a UUID of version 7: the time, then random bits. `None`
/// where the system gives no random bits.
fn run_id() -> Option<String> {
    let random = offtake_log::new_id().ok()?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let [a, b, rest @ ..] = random.map(u64::from);
    let node = rest[2..8].iter().fold(0, |all, byte| all << 8 | byte);
    let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    Some(format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{node:012x}",
        millis >> 16,
        millis & 0xffff,
        (a << 8 | b) & 0xfff,
        // The variant's two bits.
        (rest[0] << 8 | rest[1]) & 0x3fff | 0x8000,
    ))
}

fn oauth(configured: &KafkaOauth) -> Oauth {
    Oauth::new(OauthOptions {
        token_url: configured.token_url.clone(),
        client_id: configured.client_id.clone(),
        client_secret: configured.client_secret.expose().to_owned(),
        scope: configured.scope.clone(),
        ca: configured.ca.clone(),
        token_file: configured.token_file.clone(),
    })
}

/// Whether a message that is larger than its topic takes becomes a dead letter.
pub fn wants_dead_letters(config: &Config) -> bool {
    config.kafka.as_ref().is_some_and(|kafka| kafka.oversize == Oversize::DeadLetter)
}

fn delivery(kafka: &Kafka) -> DeliveryOptions {
    DeliveryOptions {
        delivery: kafka.delivery.exactly_once.map(|exactly_once| match exactly_once {
            true => Delivery::ExactlyOnce,
            false => Delivery::AtLeastOnce,
        }),
        transaction_interval: kafka.delivery.transaction_interval,
        cursor_topic: kafka.delivery.cursor_topic.clone(),
        transactional_id_prefix: kafka.delivery.transactional_id_prefix.clone(),
    }
}

fn topics(kafka: &Kafka) -> TopicOptions {
    let rule = |rule: &offtake_config::TopicRule| StreamRule {
        streams: Selection::globs(&rule.streams),
        create: rule.create,
        partitions: rule.partitions,
        replication: rule.replication,
        config: rule.config.clone(),
        format: rule.format.map(format),
        key: rule.key.clone(),
        partition_by: rule.partition_by.clone(),
    };
    let route = |route: &offtake_config::RouteFormat| RouteFormat {
        streams: Selection::globs(&route.streams),
        exclude: Selection::globs(&route.exclude),
        format: route.format.map(format),
    };
    TopicOptions {
        create: kafka.topics.create,
        partitions: kafka.topics.partitions.unwrap_or(-1),
        replication: kafka.topics.replication.unwrap_or(-1),
        config: kafka.topics.config.clone(),
        format: format(kafka.format),
        rules: kafka.rules.iter().map(rule).collect(),
        route_formats: kafka.route_formats.iter().map(route).collect(),
    }
}

fn registry(registry: &SchemaRegistry) -> RegistryOptions {
    RegistryOptions {
        urls: registry.urls.clone(),
        authentication: match &registry.login {
            RegistryLogin::None => Authentication::None,
            RegistryLogin::Basic { username, password } => Authentication::Basic {
                username: username.expose().to_owned(),
                password: password.expose().to_owned(),
            },
            RegistryLogin::Bearer(token) => {
                Authentication::Bearer { token: token.expose().to_owned() }
            }
        },
        ca: registry.ca.clone(),
        certificate: registry.certificate.clone(),
        key: registry.key.clone(),
        timeout: registry.timeout,
        auto_register: registry.auto_register,
        normalize: registry.normalize,
    }
}

fn subjects(registry: &SchemaRegistry) -> Subjects {
    match registry.subject_names {
        SubjectNames::TopicName => Subjects::TopicName,
        SubjectNames::RecordName => Subjects::RecordName,
        SubjectNames::TopicRecordName => Subjects::TopicRecordName,
    }
}

fn debezium(configured: &offtake_config::Debezium) -> debezium::Options {
    debezium::Options {
        schemas: configured.schemas,
        decimal: match configured.decimal {
            offtake_config::Decimal::Precise => DecimalHandling::Precise,
            offtake_config::Decimal::String => DecimalHandling::String,
            offtake_config::Decimal::Double => DecimalHandling::Double,
        },
        time_precision: time_precision(configured.time_precision),
        binary: match configured.binary {
            offtake_config::Binary::Bytes => BinaryHandling::Bytes,
            offtake_config::Binary::Base64 => BinaryHandling::Base64,
            offtake_config::Binary::Base64UrlSafe => BinaryHandling::Base64UrlSafe,
            offtake_config::Binary::Hex => BinaryHandling::Hex,
        },
        interval: match configured.interval {
            offtake_config::Interval::Numeric => IntervalHandling::Numeric,
            offtake_config::Interval::String => IntervalHandling::String,
        },
        hstore: match configured.hstore {
            offtake_config::Hstore::Json => HstoreHandling::Json,
            offtake_config::Hstore::Map => HstoreHandling::Map,
        },
        money_fraction_digits: configured.money_fraction_digits,
        unavailable_value: configured.unavailable_value.clone(),
        tombstones: configured.tombstones,
        field_names: names(configured.field_names),
        schema_names: names(configured.schema_names),
        skipped_operations: skipped(configured.skipped_operations),
        transactions: configured.transactions,
        context_headers: configured.context_headers,
        unknown_types: match configured.unknown_types {
            offtake_config::UnknownTypes::Text => UnknownTypes::Text,
            offtake_config::UnknownTypes::Omit => UnknownTypes::Omit,
        },
        unfit_values: match configured.unfit_values {
            offtake_config::UnfitValues::Keep => UnfitValues::Keep,
            offtake_config::UnfitValues::Null => UnfitValues::Null,
        },
        replace_null_with_default: configured.replace_null_with_default,
    }
}

fn time_precision(configured: offtake_config::TimePrecision) -> TimePrecision {
    use offtake_config::TimePrecision as Configured;
    match configured {
        Configured::Adaptive => TimePrecision::Adaptive,
        Configured::AdaptiveTimeMicroseconds => TimePrecision::AdaptiveTimeMicroseconds,
        Configured::Connect => TimePrecision::Connect,
        Configured::IsoString => TimePrecision::IsoString,
        Configured::Microseconds => TimePrecision::Microseconds,
        Configured::Nanoseconds => TimePrecision::Nanoseconds,
    }
}

fn names(configured: offtake_config::NameAdjustment) -> NameAdjustment {
    match configured {
        offtake_config::NameAdjustment::None => NameAdjustment::None,
        offtake_config::NameAdjustment::Avro => NameAdjustment::Avro,
        offtake_config::NameAdjustment::AvroUnicode => NameAdjustment::AvroUnicode,
    }
}

fn format(format: offtake_config::MessageFormat) -> MessageFormat {
    use offtake_config::MessageFormat as Configured;
    match format {
        Configured::DebeziumJson => MessageFormat::DebeziumJson,
        Configured::Json => MessageFormat::Json,
        Configured::Avro => MessageFormat::Avro,
        Configured::Protobuf => MessageFormat::Protobuf,
        Configured::JsonSchema => MessageFormat::JsonSchema,
        Configured::CloudEvents => MessageFormat::CloudEvents,
        Configured::CloudEventsBinary => MessageFormat::CloudEventsBinary,
        Configured::Payload => MessageFormat::Payload,
    }
}

fn skipped(configured: offtake_config::SkippedOperations) -> SkippedOperations {
    let offtake_config::SkippedOperations { create, update, delete, truncate } = configured;
    let operations = [
        (create, Operation::Create),
        (update, Operation::Update),
        (delete, Operation::Delete),
        (truncate, Operation::Truncate),
    ];
    let skipped = operations.into_iter().filter(|(is_skipped, _)| *is_skipped);
    skipped.fold(SkippedOperations::NONE, |all, (_, operation)| all.with(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_id_is_a_uuid_of_version_7() {
        let (first, second) = (run_id(), run_id());
        assert_ne!(first, second);
        let id = first.unwrap_or_default();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'7', "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
    }
}
