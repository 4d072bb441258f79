//! What chosen columns, keys and compaction mean for the tables of a stream.
//!
//! Judged without a broker, so that every verdict has a test: before the start by `offtake check`,
//! and by the sink itself where a definition comes with the changes.

use std::sync::Arc;

use offtake_change::{Kind, ReplicaIdentity, Subject, TableSchema};

use crate::KafkaError;
use crate::probe::failed;
use crate::topic_rules::TopicRule;
use offtake_registry::{ProbeItem, ProbeOutcome};

/// A schema with the key that a rule chooses.
///
/// # Errors
/// The table has no such column.
pub(crate) fn keyed(schema: TableSchema, rule: &TopicRule) -> Result<TableSchema, KafkaError> {
    if rule.key.is_empty() || schema.subject != Subject::Table {
        return Ok(schema);
    }
    let ordinal = |column: &String| match schema.ordinal(column) {
        Some(ordinal) => Ok(u32::try_from(ordinal).unwrap_or(u32::MAX)),
        None => {
            let (table, column) = (schema.qualified_name(), column.clone());
            Err(KafkaError::KeyColumn { table, column })
        }
    };
    let key = rule.key.iter().map(ordinal).collect::<Result<Vec<u32>, _>>()?;
    Ok(TableSchema { key, ..schema })
}

/// Judges a stream's tables. `compacted`: whether its topic is.
pub(crate) fn judge(
    stream: &str,
    tables: &[Arc<TableSchema>],
    rule: &TopicRule,
    compacted: bool,
) -> Vec<ProbeItem> {
    let mut items = Vec::new();
    let tables: Vec<&TableSchema> =
        tables.iter().map(Arc::as_ref).filter(|table| table.subject == Subject::Table).collect();
    for table in &tables {
        judge_key(table, rule, &mut items);
        judge_partition(table, rule, &mut items);
        if compacted && table.key.is_empty() && rule.key.is_empty() {
            items.push(item(
                table,
                ProbeOutcome::Error,
                "KAFKA_COMPACT_NO_KEY",
                format!(
                    "topic {stream} is compacted, and the table has no key: the broker refuses its \
                     messages"
                ),
                "give the table a primary key, choose columns by `key` under [[kafka.topic]], or \
                 set cleanup.policy to delete",
            ));
        }
    }
    judge_together(stream, &tables, rule, compacted, &mut items);
    items
}

fn judge_key(table: &TableSchema, rule: &TopicRule, items: &mut Vec<ProbeItem>) {
    for name in &rule.key {
        let Some(column) = table.ordinal(name).and_then(|ordinal| table.columns.get(ordinal))
        else {
            let error =
                KafkaError::KeyColumn { table: table.qualified_name(), column: name.clone() };
            items.push(failed(format!("table {}", table.qualified_name()), &error));
            continue;
        };
        if column.nullable {
            items.push(item(
                table,
                ProbeOutcome::Warning,
                "KAFKA_KEY_NULLABLE",
                format!("column {name} of the key may be NULL: such rows share a key"),
                "set the column NOT NULL, or choose another under [[kafka.topic]] `key`",
            ));
        }
        if !is_in_identity(table, name) {
            items.push(item(
                table,
                ProbeOutcome::Warning,
                "KAFKA_KEY_IDENTITY",
                format!("column {name} of the key is not in the replica identity: a delete's key lacks it"),
                "set REPLICA IDENTITY FULL, or an index that has the column",
            ));
        }
    }
}

fn judge_partition(table: &TableSchema, rule: &TopicRule, items: &mut Vec<ProbeItem>) {
    for name in &rule.partition_by {
        let Some(column) = table.ordinal(name).and_then(|ordinal| table.columns.get(ordinal))
        else {
            let error =
                KafkaError::PartitionColumn { table: table.qualified_name(), column: name.clone() };
            items.push(failed(format!("table {}", table.qualified_name()), &error));
            continue;
        };
        if column.kind == Kind::List {
            items.push(item(
                table,
                ProbeOutcome::Warning,
                "KAFKA_PARTITION_LIST",
                format!("column {name}, which decides the partition, is a list: no other client places it so"),
                "choose a column of a simple type under [[kafka.topic]] `partition_by`",
            ));
        }
        if !is_in_identity(table, name) {
            items.push(item(
                table,
                ProbeOutcome::Error,
                "KAFKA_PARTITION_IDENTITY",
                format!(
                    "column {name}, which decides the partition, is not in the replica identity: \
                     Kafka would halt at the first delete"
                ),
                "set REPLICA IDENTITY FULL, or an index that has the column",
            ));
        }
    }
}

/// Several tables on one topic.
fn judge_together(
    stream: &str,
    tables: &[&TableSchema],
    rule: &TopicRule,
    compacted: bool,
    items: &mut Vec<ProbeItem>,
) {
    let Some((first, others)) = tables.split_first() else { return };
    for table in others {
        let (one, other) = (first.qualified_name(), table.qualified_name());
        if key_columns(first, rule) != key_columns(table, rule) {
            items.push(item(
                table,
                ProbeOutcome::Error,
                "KAFKA_TOPIC_KEYS",
                format!("topic {stream} gets {one} and {other}, whose keys have other columns"),
                "give each table a stream of its own, or both the same `key` under [[kafka.topic]]",
            ));
        } else if compacted {
            items.push(item(
                table,
                ProbeOutcome::Error,
                "KAFKA_COMPACT_COLLISION",
                format!(
                    "topic {stream} is compacted and gets {one} and {other}: a row of one replaces \
                     the row of the other that has the same key"
                ),
                "give each table a stream of its own, or add a column that tells them apart to \
                 `key` under [[kafka.topic]]",
            ));
        }
    }
}

/// Names and types of the key's columns.
fn key_columns<'t>(table: &'t TableSchema, rule: &'t TopicRule) -> Vec<(&'t str, &'t str)> {
    let ordinals: Vec<usize> = match rule.key.is_empty() {
        true => table.key.iter().map(|&ordinal| ordinal as usize).collect(),
        false => rule.key.iter().filter_map(|column| table.ordinal(column)).collect(),
    };
    let columns = ordinals.into_iter().filter_map(|ordinal| table.columns.get(ordinal));
    columns.map(|column| (column.name.as_str(), column.logical.as_str())).collect()
}

/// Whether the source sends the column with a delete, as far as it is known.
fn is_in_identity(table: &TableSchema, column: &str) -> bool {
    match table.replica_identity {
        ReplicaIdentity::Full | ReplicaIdentity::Unknown => true,
        ReplicaIdentity::Nothing => false,
        ReplicaIdentity::Key | ReplicaIdentity::Index => {
            let ordinal = table.ordinal(column);
            table.key.iter().any(|&key| Some(key as usize) == ordinal)
        }
    }
}

fn item(
    table: &TableSchema,
    outcome: ProbeOutcome,
    code: &'static str,
    text: String,
    next_step: &str,
) -> ProbeItem {
    let name = format!("table {}", table.qualified_name());
    ProbeItem { name, outcome, code, text, next_step: next_step.to_owned() }
}

#[cfg(test)]
mod tests {
    use offtake_change::{Column, Form};

    use super::*;
    use crate::TopicOptions;

    fn table(name: &str, key: &[u32]) -> TableSchema {
        let column = |name: &str, kind, logical: &str, nullable| Column {
            nullable,
            ..Column::new(name, kind, logical)
        };
        TableSchema {
            database: "shop".to_owned(),
            namespace: "public".to_owned(),
            table: name.to_owned(),
            version: 1,
            columns: vec![
                column("id", Kind::Integer, "int8", false),
                column("tenant", Kind::Text, "text", true),
                column("tags", Kind::List, "list<text>", true),
            ],
            key: key.to_vec(),
            replica_identity: ReplicaIdentity::Key,
            form: Form::Envelope,
            changed_by: Vec::new(),
            content_type: String::new(),
            subject: Subject::Table,
        }
    }

    fn rule(key: &[&str], partition_by: &[&str]) -> TopicRule {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        TopicRule {
            key: texts(key),
            partition_by: texts(partition_by),
            ..TopicOptions::default().rule("t")
        }
    }

    fn judged(tables: Vec<TableSchema>, rule: &TopicRule, compacted: bool) -> Vec<ProbeItem> {
        let tables: Vec<Arc<TableSchema>> = tables.into_iter().map(Arc::new).collect();
        judge("shop.public.orders", &tables, rule, compacted)
    }

    fn codes(items: &[ProbeItem]) -> Vec<&'static str> {
        items.iter().map(|item| item.code).collect()
    }

    #[test]
    fn a_plain_table_has_nothing_to_say() {
        assert!(judged(vec![table("orders", &[0])], &rule(&[], &[]), true).is_empty());
        assert!(judged(vec![table("orders", &[])], &rule(&[], &[]), false).is_empty());
    }

    #[test]
    fn a_compacted_topic_needs_a_key_and_the_table_is_named() {
        let items = judged(vec![table("notes", &[])], &rule(&[], &[]), true);
        assert_eq!(codes(&items), ["KAFKA_COMPACT_NO_KEY"]);
        assert_eq!(items[0].name, "table public.notes");
        assert!(items[0].text.contains("shop.public.orders"), "{}", items[0].text);
        assert!(items[0].next_step.contains("primary key"), "{}", items[0].next_step);
        let mut chosen = table("notes", &[]);
        chosen.replica_identity = ReplicaIdentity::Full;
        assert!(judged(vec![chosen], &rule(&["id"], &[]), true).is_empty());
    }

    #[test]
    fn columns_of_the_key_are_looked_for_by_table_and_name() {
        let items = judged(vec![table("orders", &[0])], &rule(&["tenat", "tenant"], &[]), false);
        assert_eq!(codes(&items), ["KAFKA_KEY_COLUMN", "KAFKA_KEY_NULLABLE", "KAFKA_KEY_IDENTITY"]);
        assert!(items[0].text.contains("public.orders") && items[0].text.contains("tenat"));
        assert_eq!(items[0].outcome, ProbeOutcome::Error);
        assert_eq!(items[1].outcome, ProbeOutcome::Warning);
        assert!(items[1].text.contains("tenant"), "{}", items[1].text);
    }

    #[test]
    fn columns_of_the_partition_are_in_every_delete() {
        let orders = vec![table("orders", &[0])];
        let items = judged(orders, &rule(&[], &["tenat", "tenant", "tags", "id"]), false);
        assert_eq!(
            codes(&items),
            [
                "KAFKA_PARTITION_COLUMN",
                "KAFKA_PARTITION_IDENTITY",
                "KAFKA_PARTITION_LIST",
                "KAFKA_PARTITION_IDENTITY"
            ]
        );
        assert_eq!(items[1].outcome, ProbeOutcome::Error);
        let full = TableSchema { replica_identity: ReplicaIdentity::Full, ..table("orders", &[0]) };
        assert!(judged(vec![full], &rule(&[], &["tenant"]), false).is_empty());
    }

    #[test]
    fn two_tables_on_one_topic_have_one_key_and_do_not_replace_each_other() {
        let two = || vec![table("orders", &[0]), table("returns", &[0])];
        assert!(judged(two(), &rule(&[], &[]), false).is_empty());
        let items = judged(two(), &rule(&[], &[]), true);
        assert_eq!(codes(&items), ["KAFKA_COMPACT_COLLISION"]);
        assert!(items[0].text.contains("public.orders and public.returns"), "{}", items[0].text);
        let other = vec![table("orders", &[0]), table("returns", &[1])];
        let items = judged(other, &rule(&[], &[]), false);
        assert_eq!(codes(&items), ["KAFKA_TOPIC_KEYS"]);
        assert!(items[0].text.contains("public.orders and public.returns"), "{}", items[0].text);
    }

    #[test]
    fn a_chosen_key_takes_the_place_of_the_tables_own() {
        let keyed = |key: &[&str]| super::keyed(table("orders", &[0]), &rule(key, &[]));
        assert_eq!(keyed(&[]).unwrap().key, [0]);
        assert_eq!(keyed(&["tenant", "id"]).unwrap().key, [1, 0]);
        let error = keyed(&["tenat"]).unwrap_err();
        assert_eq!(error.code(), "KAFKA_KEY_COLUMN");
        let messages = TableSchema { subject: Subject::Message, ..table("", &[]) };
        assert!(super::keyed(messages, &rule(&["tenant"], &[])).is_ok());
    }
}
