//! `builtin:logical-table` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Kind, Operation, ReplicaIdentity, TableSchema};

use Operation::{Create, Delete, Read, Truncate, Update};

use support::{Change, Left, Outcome, V, change, column, load, refused, run, table, untouched};

const SHARDS: &str =
    r#""regex":"(\\w+)\\.orders_\\d+","stream":"shop.$1.orders","table":"$1.orders""#;

fn shard(name: &str) -> Arc<TableSchema> {
    table(name, vec![column("id", Kind::Integer, "int8"), column("note", Kind::Text, "text")])
}

fn config(more: &str) -> String {
    format!("{{{SHARDS}{more}}}")
}

fn outcomes(more: &str, schema: &Arc<TableSchema>, changes: &[Change]) -> Vec<Outcome> {
    run(&load("logical-table", &config(more)).unwrap(), schema, changes)
}

fn row(id: i64) -> Option<Vec<V>> {
    Some(vec![V::Integer(id), V::Text("n")])
}

#[test]
fn shards_have_one_stream_one_name_and_keys_of_their_own() {
    for name in ["orders_1", "orders_17"] {
        let mut instance = load("logical-table", &config("")).unwrap().instance().unwrap();
        let output = instance.output_schema(&shard(name)).unwrap();
        assert_eq!((output.namespace.as_str(), output.table.as_str()), ("public", "orders"));
        assert_eq!(output.columns[2].name, "__dbz__physicalTableIdentifier");
        assert!(!output.columns[2].nullable);
        assert_eq!(output.key, [0, 2]);
        let interest = instance.on_schema(&shard(name)).unwrap();
        assert_eq!(interest.shape.stream.as_deref(), Some("shop.public.orders"));
    }
}

#[test]
fn every_image_says_its_table_and_a_missing_one_stays_missing() {
    let changes = [
        change(Create, None, row(1)),
        change(Read, None, row(2)),
        change(Update, None, row(3)),
        change(Update, Some(vec![V::Integer(3), V::Absent]), row(4)),
        change(Update, row(4), row(4)),
        change(Delete, Some(vec![V::Integer(4), V::Absent]), None),
        change(Delete, row(5), None),
    ];
    let schema = shard("orders_3");
    let outcomes = outcomes("", &schema, &changes);
    for (outcome, change) in outcomes.into_iter().zip(&changes) {
        let (left, given) = (outcome.left(), untouched(&schema, change).left());
        let with = |image: Option<Vec<String>>| {
            image.map(|mut image| {
                image.push("public.orders_3".to_owned());
                image
            })
        };
        assert_eq!(left.before, with(given.before), "{change:?}");
        assert_eq!(left.after, with(given.after), "{change:?}");
        assert_eq!(left.stream.as_deref(), Some("shop.public.orders"));
    }
}

#[test]
fn a_before_image_is_found_also_where_nothing_is_known_of_the_replica_identity() {
    let changes = [
        change(Update, None, row(3)),
        change(Update, Some(vec![V::Integer(3), V::Absent]), row(4)),
        change(Delete, Some(vec![V::Integer(4), V::Absent]), None),
    ];
    for identity in [ReplicaIdentity::Key, ReplicaIdentity::Full] {
        for changed_by in [vec![], vec!["another".to_owned()]] {
            let schema = TableSchema {
                replica_identity: identity,
                changed_by,
                ..TableSchema::clone(&shard("orders_3"))
            };
            let outcomes = outcomes("", &Arc::new(schema), &changes);
            let before = |at: usize| outcomes[at].clone().left().before;
            assert_eq!(before(0), None, "{identity:?}");
            assert_eq!(before(1).unwrap(), ["3", "absent", "public.orders_3"], "{identity:?}");
            assert_eq!(before(2).unwrap(), ["4", "absent", "public.orders_3"], "{identity:?}");
        }
    }
}

#[test]
fn the_identifier_is_what_is_made_of_the_tables_name_under_the_chosen_column() {
    let more = r#","key_column":"shard","key_regex":".*_(\\d+)","key_replacement":"s$1""#;
    let left = outcomes(more, &shard("orders_3"), &[change(Create, None, row(1))]).remove(0).left();
    assert_eq!(left.after.unwrap(), ["1", "n", "s3"]);
    let message = refused("logical-table", &config(r#","key_column":"note""#), &shard("orders_3"));
    assert!(message.starts_with("public.orders_3.note has type text: `key_column`"), "{message}");
}

#[test]
fn keys_that_are_unique_already_and_tables_without_one_stay_as_they_are() {
    let given = change(Update, row(1), row(2));
    let schema = shard("orders_3");
    let elsewhere = |schema: &Arc<TableSchema>| {
        let left = untouched(schema, &given).left();
        Outcome::Left(Left { stream: Some("shop.public.orders".to_owned()), ..left })
    };
    let result = outcomes(r#","unique_key":false"#, &schema, std::slice::from_ref(&given));
    assert_eq!(result, [elsewhere(&schema)]);
    let keyless = Arc::new(TableSchema { key: Vec::new(), ..TableSchema::clone(&schema) });
    let result = outcomes("", &keyless, std::slice::from_ref(&given));
    assert_eq!(result, [elsewhere(&keyless)]);
    let mut instance = load("logical-table", &config("")).unwrap().instance().unwrap();
    let interest = instance.on_schema(&keyless).unwrap();
    assert_eq!(interest.shape.stream.as_deref(), Some("shop.public.orders"));
}

#[test]
fn a_truncate_of_one_shard_is_not_one_of_all() {
    let changes = [change(Create, None, row(1)), change(Truncate, None, None)];
    for unique in ["", r#","unique_key":false"#] {
        let of = |policy: &str| {
            let more = format!(r#"{unique},"truncates":"{policy}""#);
            outcomes(&more, &shard("orders_3"), &changes).remove(1)
        };
        assert!(matches!(of("fail"), Outcome::Failed("PLUGIN_ROW_FAILURE", _)));
        assert_eq!(of("drop"), Outcome::Dropped);
        assert_eq!(of("pass").left().operation, Truncate);
        let default = outcomes(unique, &shard("orders_3"), &changes).remove(1);
        assert!(matches!(default, Outcome::Failed("PLUGIN_ROW_FAILURE", _)));
    }
}

#[test]
fn other_tables_are_left_alone() {
    let mut instance = load("logical-table", &config("")).unwrap().instance().unwrap();
    let other = shard("orders_archive");
    assert!(!instance.on_schema(&other).unwrap().subscribe);
    assert!(Arc::ptr_eq(&instance.output_schema(&other).unwrap(), &other));
}
