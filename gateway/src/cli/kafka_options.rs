//! From `[kafka]` to the sink's options.
//!
//! Word for word: what a rule means for a stream, and what is right for a broker, is the sink's.

use offtake_config::{Config, Kafka, KafkaOauth, Oversize, Secret};
use offtake_log::Selection;
use offtake_sink_kafka::{
    Delivery, DeliveryOptions, KafkaOptions, MessageFormat, MessageHeaders, Oauth, OauthOptions,
    RouteFormat, StreamRule, TopicOptions,
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
        ..KafkaOptions::new(&config.name, kafka.brokers.clone(), cursor_path)
    })
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

fn format(format: offtake_config::MessageFormat) -> MessageFormat {
    use offtake_config::MessageFormat as Configured;
    match format {
        Configured::DebeziumJson => MessageFormat::DebeziumJson,
        Configured::Json => MessageFormat::Json,
        Configured::Avro => MessageFormat::Avro,
        Configured::Protobuf => MessageFormat::Protobuf,
        Configured::JsonSchema => MessageFormat::JsonSchema,
        Configured::CloudEvents => MessageFormat::CloudEvents,
        Configured::Payload => MessageFormat::Payload,
    }
}
