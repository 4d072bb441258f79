//! What chosen columns, keys and compaction mean for the tables of a stream.
//!
//! Judged without a broker, so that every verdict has a test: before the start by `offtake check`,
//! and by the sink itself where a definition comes with the changes.

use offtake_change::{Kind, Subject, TableSchema};

use crate::KafkaError;
use crate::probe::{ProbeTable, failed};
use crate::topic_rules::TopicRule;
use offtake_registry::{ProbeItem, ProbeOutcome};

/// A schema with the key that a rule chooses: over the table's own, and over a plugin's choice, for
/// the operator has the last word.
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
    tables: &[ProbeTable],
    rule: &TopicRule,
    compacted: bool,
) -> Vec<ProbeItem> {
    let mut items = Vec::new();
    let tables: Vec<&ProbeTable> =
        tables.iter().filter(|table| table.output.subject == Subject::Table).collect();
    for table in &tables {
        judge_key(table, rule, &mut items);
        judge_partition(table, rule, &mut items);
        let table = &table.output;
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
    let outputs: Vec<&TableSchema> = tables.iter().map(|table| table.output.as_ref()).collect();
    judge_together(stream, &outputs, rule, compacted, &mut items);
    items
}

/// A key that a rule or a plugin chose; the table's own needs no judgement.
fn judge_key(
    ProbeTable { source, output }: &ProbeTable,
    rule: &TopicRule,
    items: &mut Vec<ProbeItem>,
) {
    let by_rule = !rule.key.is_empty();
    if !by_rule && output.key == source.key {
        return;
    }
    let plugins_choice = output.key.iter().filter_map(|&at| output.columns.get(at as usize));
    let names: Vec<&String> = match by_rule {
        true => rule.key.iter().collect(),
        false => plugins_choice.map(|column| &column.name).collect(),
    };
    let (of_whom, other) = match by_rule {
        true => ("the key".to_owned(), "choose another under [[kafka.topic]] `key`"),
        false => (
            format!("the key that plugin {} chooses", output.changed_by.join(", ")),
            "have the plugin choose another, or choose one under [[kafka.topic]] `key`",
        ),
    };
    for name in names {
        let Some(column) = output.ordinal(name).and_then(|ordinal| output.columns.get(ordinal))
        else {
            let error =
                KafkaError::KeyColumn { table: output.qualified_name(), column: name.clone() };
            items.push(failed(format!("table {}", output.qualified_name()), &error));
            continue;
        };
        if column.nullable {
            items.push(item(
                output,
                ProbeOutcome::Warning,
                "KAFKA_KEY_NULLABLE",
                format!("column {name} of {of_whom} may be NULL: such rows share a key"),
                &format!("set the column NOT NULL, or {other}"),
            ));
        }
        if !is_in_identity(source, name) {
            items.push(item(
                output,
                ProbeOutcome::Warning,
                "KAFKA_KEY_IDENTITY",
                format!(
                    "column {name} of {of_whom} is not in the replica identity: a delete's key \
                     has NULL or zero for it"
                ),
                "set REPLICA IDENTITY FULL, or an index that has the column",
            ));
        }
    }
}

fn judge_partition(
    ProbeTable { source, output: table }: &ProbeTable,
    rule: &TopicRule,
    items: &mut Vec<ProbeItem>,
) {
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
        if !is_in_identity(source, name) {
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

/// Whether the source sends the column of that name with a delete.
fn is_in_identity(source: &TableSchema, column: &str) -> bool {
    let ordinal = source.ordinal(column).and_then(|ordinal| u32::try_from(ordinal).ok());
    ordinal.is_some_and(|ordinal| source.is_in_identity(ordinal))
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
    use std::sync::Arc;

    use offtake_change::{Column, ReplicaIdentity};

    use super::*;
    use crate::TopicOptions;

    fn table(name: &str, key: &[u32]) -> TableSchema {
        let column = |name: &str, kind, logical: &str, nullable| Column {
            nullable,
            ..Column::new(name, kind, logical)
        };
        TableSchema::new(
            "shop",
            "public",
            name,
            vec![
                column("id", Kind::Integer, "int8", false),
                column("tenant", Kind::Text, "text", true),
                column("tags", Kind::List, "list<text>", true),
            ],
            key,
        )
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
        let tables: Vec<ProbeTable> =
            tables.into_iter().map(|table| Arc::new(table).into()).collect();
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
    fn a_plugins_key_is_judged_by_what_the_source_sends_and_gives_way_to_a_rule() {
        let source = Arc::new(table("orders", &[0]));
        let changed_by = vec!["rekey".to_owned()];
        let output = |key: &[u32]| {
            let changed_by = changed_by.clone();
            let output = Arc::new(TableSchema { changed_by, ..table("orders", key) });
            [ProbeTable { source: Arc::clone(&source), output }]
        };
        let judged = |key: &[u32], rule: &TopicRule, compacted| {
            judge("shop.public.orders", &output(key), rule, compacted)
        };
        let items = judged(&[1], &rule(&[], &[]), false);
        assert_eq!(codes(&items), ["KAFKA_KEY_NULLABLE", "KAFKA_KEY_IDENTITY"]);
        assert!(items.iter().all(|item| item.outcome == ProbeOutcome::Warning));
        assert!(items[0].text.contains("plugin rekey chooses"), "{}", items[0].text);
        assert!(items[0].next_step.contains("plugin"), "{}", items[0].next_step);
        // No key at all: nothing is lacking, but compaction needs one.
        assert!(judged(&[], &rule(&[], &[]), false).is_empty());
        assert_eq!(codes(&judged(&[], &rule(&[], &[]), true)), ["KAFKA_COMPACT_NO_KEY"]);
        // What decides the partition is in the identity that the source has, whatever the key is.
        let partition = judged(&[1], &rule(&["id"], &["tenant"]), false);
        assert_eq!(codes(&partition), ["KAFKA_PARTITION_IDENTITY"]);
        let [plugins] = output(&[1]);
        let keyed = super::keyed(TableSchema::clone(&plugins.output), &rule(&["id"], &[]));
        assert_eq!(keyed.unwrap().key, [0]);
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
