//! What `offtake check` says of formats: whether each can hold the tables as they are now, and whether
//! the schema registry answers, knows the languages and would take the schemas.
//!
//! Nothing is registered. A plugin may give a table another schema, which nobody knows before it
//! runs: of such a stream the subject is looked at, and no schema is judged.

use offtake_change::TableSchema;
use offtake_encode::debezium::Plan;
use offtake_registry::{Part, ProbeItem, ProbeOutcome, Registry, SchemaType, Wanted};

use crate::probe::{ProbeStream, failed};
use crate::publications::schema_type;
use crate::topic_names::topic_of;
use crate::topic_rules::TopicRule;
use crate::{KafkaError, KafkaOptions, Subjects, table_rules};

/// A subject, and the schema that would be registered under it where that is known.
struct Subject {
    name: String,
    schema_type: SchemaType,
    text: Option<String>,
}

/// Judges every stream's format, then the registry with all that is wanted of it. Blocks as long as
/// the registry takes to answer.
pub(crate) fn judge(options: &KafkaOptions, streams: &[ProbeStream]) -> Vec<ProbeItem> {
    let mut items = Vec::new();
    let mut subjects = Vec::new();
    for stream in streams {
        let rule = options.topics.rule(&stream.stream);
        judge_stream(options, stream, &rule, &mut subjects, &mut items);
    }
    let Some(registry) = &options.registry else { return items };
    match Registry::new(registry) {
        Ok(registry) => {
            let wanted: Vec<Wanted<'_>> = subjects.iter().map(wanted).collect();
            items.extend(registry.probe(&wanted));
        }
        Err(error) => items.push(failed("schema registry", &error.into())),
    }
    items
}

fn judge_stream(
    options: &KafkaOptions,
    stream: &ProbeStream,
    rule: &TopicRule,
    subjects: &mut Vec<Subject>,
    items: &mut Vec<ProbeItem>,
) {
    let topic = topic_of(&stream.stream);
    if stream.is_unknown {
        let by_topic = options.subjects == Subjects::TopicName;
        if let Some(schema_type) = schema_type(rule.format).filter(|_| by_topic) {
            let name = options.subjects.subject(&topic, "", Part::Value);
            subjects.push(Subject { name, schema_type, text: None });
        }
        return;
    }
    for table in stream.tables.iter().map(|table| &table.output) {
        match of_table(options, &topic, rule, table) {
            Ok(found) => {
                subjects.extend(found.subjects);
                items.extend(found.warning);
            }
            // Said already, where keys are judged.
            Err(KafkaError::KeyColumn { .. }) => {}
            Err(error) => {
                let name = format!("table {}", table.qualified_name());
                items.push(failed(name, &error));
            }
        }
    }
}

/// What would be registered for a table, and what is odd about it.
#[derive(Default)]
struct Found {
    subjects: Vec<Subject>,
    warning: Option<ProbeItem>,
}

/// What would be registered for a table; nothing where the format has no registry.
fn of_table(
    options: &KafkaOptions,
    topic: &str,
    rule: &TopicRule,
    table: &TableSchema,
) -> Result<Found, KafkaError> {
    let keyed = table_rules::keyed(table.clone(), rule)?;
    let plan = Plan::new(&options.plan_options(rule.format), &keyed)?;
    let Some(schema_type) = schema_type(rule.format) else { return Ok(Found::default()) };
    let (key, value) = plan.schemas();
    let parts = key.map(|key| (Part::Key, key)).into_iter().chain([(Part::Value, value)]);
    let mut found = Found::default();
    for (part, schema) in parts {
        let (name, text) = options.registered(topic, part, schema_type, &schema)?;
        found.subjects.push(Subject { name, schema_type, text: Some(text) });
        let odd = odd_part(schema_type, schema.name.as_deref().unwrap_or_default());
        found.warning = odd.map(|odd| warning(table, schema_type, odd));
    }
    Ok(found)
}

/// A part of the namespace or package that is no name in the language. It is written as it is, as the
/// converters do; not every registry and reader takes it.
fn odd_part(schema_type: SchemaType, full_name: &str) -> Option<&str> {
    if schema_type == SchemaType::Json {
        return None;
    }
    let (namespace, _) = full_name.rsplit_once('.')?;
    let is_name = |part: &&str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    };
    namespace.split('.').find(|part| !is_name(part))
}

fn warning(table: &TableSchema, schema_type: SchemaType, odd: &str) -> ProbeItem {
    let place = match schema_type {
        SchemaType::Protobuf => "package of its Protobuf",
        SchemaType::Avro | SchemaType::Json => "namespace of its Avro",
    };
    ProbeItem {
        name: format!("table {}", table.qualified_name()),
        outcome: ProbeOutcome::Warning,
        code: "KAFKA_SCHEMA_NAMESPACE",
        text: format!(
            "{odd:?} in the {place} schema is no name there; many registries and readers refuse it"
        ),
        next_step: "set schema_names = \"avro\" in [kafka.debezium], or choose another \
                    topic_prefix there if that is where it comes from"
            .to_owned(),
    }
}

fn wanted(subject: &Subject) -> Wanted<'_> {
    let Subject { name, schema_type, text } = subject;
    Wanted { subject: name, schema_type: *schema_type, schema: text.as_deref(), references: &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_namespace_that_is_no_name_is_found() {
        for (schema_type, name, expected) in [
            (SchemaType::Avro, "shop.public.orders.Envelope", None),
            (SchemaType::Avro, "my-shop.public.orders.Envelope", Some("my-shop")),
            (SchemaType::Protobuf, "shop.public.order-items.Key", Some("order-items")),
            (SchemaType::Protobuf, "shop.public.1st.Key", Some("1st")),
            (SchemaType::Json, "my-shop.public.orders.Envelope", None),
            (SchemaType::Avro, "Envelope", None),
        ] {
            assert_eq!(odd_part(schema_type, name), expected, "{name}");
        }
    }
}
