//! What `offtake check` says of formats: whether each can hold the tables as they are now, and whether
//! the schema registry answers, knows the languages and would take the schemas.
//!
//! Nothing is registered. A plugin may give a table another schema, which nobody knows before it
//! runs: of such a stream the subject is looked at, and no schema is judged.

use offtake_change::TableSchema;
use offtake_encode::debezium::Plan;
use offtake_registry::{Part, ProbeItem, Registry, SchemaType, Wanted};

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
            Ok(found) => subjects.extend(found),
            // Said already, where keys are judged.
            Err(KafkaError::KeyColumn { .. }) => {}
            Err(error) => {
                let name = format!("table {}", table.qualified_name());
                items.push(failed(name, &error));
            }
        }
    }
}

/// What would be registered for a table; nothing where the format has no registry.
fn of_table(
    options: &KafkaOptions,
    topic: &str,
    rule: &TopicRule,
    table: &TableSchema,
) -> Result<Vec<Subject>, KafkaError> {
    let keyed = table_rules::keyed(table.clone(), rule)?;
    let plan = Plan::new(&options.plan_options(rule.format), &keyed)?;
    let Some(schema_type) = schema_type(rule.format) else { return Ok(Vec::new()) };
    let (key, value) = plan.schemas();
    let parts = key.map(|key| (Part::Key, key)).into_iter().chain([(Part::Value, value)]);
    let mut subjects = Vec::new();
    for (part, schema) in parts {
        let (name, text) = options.registered(topic, part, schema_type, &schema)?;
        subjects.push(Subject { name, schema_type, text: Some(text) });
    }
    Ok(subjects)
}

fn wanted(subject: &Subject) -> Wanted<'_> {
    let Subject { name, schema_type, text } = subject;
    Wanted { subject: name, schema_type: *schema_type, schema: text.as_deref(), references: &[] }
}
