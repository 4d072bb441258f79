//! The plugins that come with the gateway, on the host that runs them in production.
//!
//! The committed components are loaded as a pipeline loads them, so these tests cover the Rust
//! source, the SDK and the host at once. Every case runs at batch sizes 1, 2, 7 and 256 and must
//! give the same result: a plugin may not depend on how changes are cut into calls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Column, Kind, Operation, Subject, TableSchema};
use offtake_transform::{Fault, Instance};

use Operation::{Create, Delete, Message, Read, Truncate, Update};
use V::{Absent, Boolean, Integer, Null, Number, Text, Unchanged};

use support::{Change, Outcome, V, change, load, load_component, refusal, run, table, untouched};

fn text(value: &'static str) -> V {
    Text(value)
}

fn schema(columns: &[(&str, Kind, &str)]) -> Arc<TableSchema> {
    let columns = columns.iter().map(|&(name, kind, ty)| Column::new(name, kind, ty));
    table("customers", columns.collect())
}

fn instance(name: &str, config: &str) -> Instance {
    load(name, config).unwrap().instance().unwrap()
}

/// Runs 600 changes, each in turn with the others around it, and compares with what each is to
/// become; `None`: it is dropped.
fn expect<E: Clone + Into<Option<Change>>>(
    name: &str,
    config: &str,
    schema: &Arc<TableSchema>,
    cases: &[(Change, E)],
) {
    let plugin = load(name, config).unwrap();
    let repeated = || cases.iter().cycle().take(600.max(cases.len()));
    let changes: Vec<Change> = repeated().map(|(given, _)| given.clone()).collect();
    let result = run(&plugin, schema, &changes);
    assert_eq!(result.len(), changes.len());
    for (index, (result, (_, expected))) in result.iter().zip(repeated()).enumerate() {
        let expected: Option<Change> = expected.clone().into();
        let expected = expected.map_or(Outcome::Dropped, |expected| untouched(schema, &expected));
        assert_eq!(*result, expected, "change {index}: {:?}", changes[index]);
    }
}

const MASK: &str = r#"{"columns":["email","note"],"keep_last":4}"#;

fn people() -> Arc<TableSchema> {
    schema(&[
        ("email", Kind::Text, "text"),
        ("id", Kind::Integer, "int8"),
        ("note", Kind::Text, "varchar(80)"),
        ("name", Kind::Text, "text"),
    ])
}

#[test]
fn mask_covers_both_images_of_every_operation() {
    let plain =
        |id| Some(vec![text("ada@example.com"), Integer(id), text("ring twice"), text("Ada")]);
    let masked =
        |id| Some(vec![text("***********.com"), Integer(id), text("******wice"), text("Ada")]);
    let cases = [
        (change(Create, None, plain(1)), change(Create, None, masked(1))),
        (change(Read, None, plain(2)), change(Read, None, masked(2))),
        (change(Update, plain(3), plain(4)), change(Update, masked(3), masked(4))),
        (change(Delete, plain(5), None), change(Delete, masked(5), None)),
        (change(Truncate, None, None), change(Truncate, None, None)),
    ];
    expect("mask", MASK, &people(), &cases);
}

#[test]
fn mask_counts_characters_and_covers_short_values_whole() {
    let case = |given: &'static str, expected: &'static str| {
        let row = |email: &'static str| Some(vec![text(email), Integer(1), Null, Null]);
        (change(Create, None, row(given)), change(Create, None, row(expected)))
    };
    let cases = [
        case("", ""),
        case("ab", "**"),
        case("abcd", "****"),
        case("abcde", "*bcde"),
        case("Zo\u{eb}\u{1f600}", "****"),
        case("Gr\u{fc}\u{df}e an Zo\u{eb}", "******** Zo\u{eb}"),
        case("\u{65e5}\u{672c}\u{8a9e}\u{30c6}\u{30ad}", "*\u{672c}\u{8a9e}\u{30c6}\u{30ad}"),
        // An accent of its own is a character of its own.
        case("ne\u{301}e", "****"),
        case("ne\u{301}es", "*e\u{301}es"),
    ];
    expect("mask", MASK, &people(), &cases);
}

#[test]
fn mask_leaves_null_unchanged_and_absent_as_they_are() {
    let cases = [
        (
            change(
                Update,
                Some(vec![text("ada@example.com"), Integer(1), Absent, Absent]),
                Some(vec![Null, Integer(1), Unchanged, Unchanged]),
            ),
            change(
                Update,
                Some(vec![text("***********.com"), Integer(1), Absent, Absent]),
                Some(vec![Null, Integer(1), Unchanged, Unchanged]),
            ),
        ),
        (
            change(Delete, Some(vec![Absent, Integer(1), Null, Absent]), None),
            change(Delete, Some(vec![Absent, Integer(1), Null, Absent]), None),
        ),
        (
            change(Create, None, Some(vec![text("secret text"), Integer(1), Null, Null])),
            change(Create, None, Some(vec![text("*******text"), Integer(1), Null, Null])),
        ),
    ];
    expect("mask", MASK, &people(), &cases);
}

#[test]
fn mask_promises_its_columns_and_is_not_called_for_tables_without_them() {
    let plugin = load("mask", MASK).unwrap();
    assert!(plugin.info().protects);
    assert_eq!(plugin.info().required_columns, ["email", "note"]);
    let mut mask = plugin.instance().unwrap();
    let interest = mask.on_schema(&people()).unwrap();
    assert!(interest.subscribe && interest.before_image && interest.packed_text);
    assert_eq!(interest.columns, [0, 2]);
    let orders = TableSchema { table: "orders".to_owned(), ..TableSchema::clone(&orders()) };
    assert!(!mask.on_schema(&Arc::new(orders)).unwrap().subscribe);
}

#[test]
fn mask_stops_when_a_table_loses_or_retypes_a_column_that_it_covers() {
    let varchar = ("note", Kind::Text, "varchar(80)");
    for later in [&[varchar][..], &[varchar, ("email", Kind::Text, "uuid")]] {
        let mut mask = instance("mask", MASK);
        mask.on_schema(&people()).unwrap();
        assert_eq!(mask.on_schema(&schema(later)).unwrap_err().code(), "PLUGIN_UNPROTECTED");
    }
}

#[test]
fn mask_takes_another_character_and_keeps_nothing_by_default() {
    let row = |email: &'static str| Some(vec![text(email), Integer(1), Null, Null]);
    let cases = [(change(Create, None, row("ada")), change(Create, None, row("•••")))];
    expect("mask", r#"{"columns":["email"],"with":"•"}"#, &people(), &cases);
}

#[test]
fn mask_refuses_columns_that_are_no_free_text() {
    let types = [
        (Kind::Integer, "int8"),
        (Kind::Bytes, "bytea"),
        (Kind::Boolean, "bool"),
        (Kind::Number, "float8"),
        (Kind::Text, "decimal(12,2)"),
        (Kind::Text, "uuid"),
        (Kind::Text, "json"),
        (Kind::Text, "enum"),
        (Kind::List, "list<text>"),
    ];
    for (kind, logical) in types {
        let table = schema(&[("id", Kind::Integer, "int8"), ("email", kind, logical)]);
        let fault: Fault = instance("mask", MASK).on_schema(&table).expect_err(logical);
        assert_eq!(fault.code(), "PLUGIN_REFUSED", "{logical}");
        assert_eq!(fault.table.as_deref(), Some("public.customers"));
    }
}

#[test]
fn mask_refuses_a_wrong_configuration_by_key() {
    let refused = |config: &str| refusal("mask", config);
    assert!(refused("{}").contains("`columns` must name at least one column"));
    assert!(refused(r#"{"columns":["a"],"keeplast":2}"#).contains("unknown key `keeplast`"));
    assert!(refused(r#"{"columns":"a"}"#).contains("`columns` must be a list, and this is a text"));
    assert!(refused(r#"{"columns":["a"],"keep_last":-1}"#).contains("`keep_last` must be"));
}

/// Columns: id, status, is_test, score.
fn orders() -> Arc<TableSchema> {
    schema(&[
        ("id", Kind::Integer, "int8"),
        ("status", Kind::Text, "text"),
        ("is_test", Kind::Boolean, "bool"),
        ("score", Kind::Number, "float8"),
    ])
}

fn order(status: &'static str) -> Option<Vec<V>> {
    Some(vec![Integer(1), text(status), Boolean(false), Null])
}

const CANCELLED: &str = r#"{"drop":[{"column":"status","equals":"cancelled"}]}"#;

#[test]
fn filter_turns_updates_across_the_line_into_deletes_and_creates() {
    let (seen, unseen) = (|| order("paid"), || order("cancelled"));
    let key_only = || Some(vec![Integer(1), Absent, Absent, Absent]);
    let same = |given: Change| (given.clone(), Some(given));
    let cases = [
        same(change(Create, None, seen())),
        (change(Create, None, unseen()), None),
        same(change(Read, None, seen())),
        (change(Read, None, unseen()), None),
        same(change(Delete, seen(), None)),
        (change(Delete, unseen(), None), None),
        same(change(Delete, key_only(), None)),
        same(change(Update, seen(), seen())),
        (change(Update, unseen(), unseen()), None),
        (change(Update, seen(), unseen()), Some(change(Delete, seen(), None))),
        (change(Update, unseen(), seen()), Some(change(Create, None, seen()))),
        same(change(Update, None, seen())),
        (change(Update, None, unseen()), None),
        (change(Update, key_only(), unseen()), None),
        same(change(Truncate, None, None)),
    ];
    expect("filter", CANCELLED, &orders(), &cases);
}

#[test]
fn filter_takes_an_unchanged_value_from_the_before_image_and_else_passes() {
    let same = |given: Change| (given.clone(), Some(given));
    let unchanged = || Some(vec![Integer(1), Unchanged, Boolean(false), Null]);
    let cases = [
        (change(Update, order("cancelled"), unchanged()), None),
        same(change(Update, order("paid"), unchanged())),
        same(change(Update, None, unchanged())),
    ];
    expect("filter", CANCELLED, &orders(), &cases);
}

#[test]
fn filter_combines_conditions_of_every_kind() {
    let row = |status: V, is_test: V, score: V| {
        change(Create, None, Some(vec![Integer(1), status, is_test, score]))
    };
    let rows = [
        row(text("a"), Boolean(true), Number(2.5)),
        row(text("a"), Boolean(false), Number(2.5)),
        row(Null, Boolean(true), Number(0.0)),
        row(text(""), Null, Null),
    ];
    let passes = |config: &str| -> Vec<bool> {
        let plugin = load("filter", config).unwrap();
        run(&plugin, &orders(), &rows).iter().map(|change| *change != Outcome::Dropped).collect()
    };
    let both = r#"[{"column":"status","equals":"a"},{"column":"is_test","equals":true}]"#;
    assert_eq!(passes(&format!(r#"{{"drop":{both}}}"#)), [false, true, true, true]);
    assert_eq!(passes(&format!(r#"{{"keep":{both}}}"#)), [true, false, false, false]);
    let any = format!(r#"{{"keep":{both},"match":"any"}}"#);
    assert_eq!(passes(&any), [true, true, true, false]);
    let score = r#"{"drop":[{"column":"score","equals":2.5}]}"#;
    assert_eq!(passes(score), [false, false, true, true]);
    let null = r#"{"drop":[{"column":"status","is_null":true}]}"#;
    assert_eq!(passes(null), [true, true, false, true]);
    let value = r#"{"drop":[{"column":"score","is_null":false}]}"#;
    assert_eq!(passes(value), [false, false, false, true]);
    let empty = r#"{"drop":[{"column":"status","equals":""}]}"#;
    assert_eq!(passes(empty), [true, true, true, false]);
    let id = r#"{"keep":[{"column":"id","equals":1}]}"#;
    assert_eq!(passes(id), [true, true, true, true]);
    let missing = r#"{"keep":[{"column":"no_such_column","equals":1}]}"#;
    assert_eq!(passes(missing), [true, true, true, true]);
}

#[test]
fn filter_refuses_a_literal_that_the_column_cannot_equal() {
    let refused = |condition: &str| {
        let config = format!(r#"{{"drop":[{condition}]}}"#);
        instance("filter", &config).on_schema(&orders()).expect_err(condition).message
    };
    let message = refused(r#"{"column":"id","equals":"1"}"#);
    assert!(message.contains("public.customers.id has type int8"), "{message}");
    refused(r#"{"column":"id","equals":1.5}"#);
    refused(r#"{"column":"is_test","equals":1}"#);
    let message = refused(r#"{"column":"status","equals":1}"#);
    assert!(message.contains("in quotes"), "{message}");
}

/// Logical messages as the source defines them.
fn messages() -> Arc<TableSchema> {
    let mut columns = [("prefix", Kind::Text, "text"), ("content", Kind::Bytes, "bytes")]
        .map(|(name, kind, ty)| Column::new(name, kind, ty));
    columns.iter_mut().for_each(|column| column.nullable = false);
    Arc::new(TableSchema {
        subject: Subject::Message,
        ..TableSchema::new("shop", "", "", columns.to_vec(), &[])
    })
}

fn message(prefix: &'static str, content: &'static [u8]) -> Change {
    change(Message, None, Some(vec![text(prefix), V::Bytes(content)]))
}

#[test]
fn filter_leaves_out_logical_messages_by_what_they_have() {
    let (audit, debug) = (message("audit", b"x"), message("debug", b"y"));
    let dropped = [(audit.clone(), None), (debug.clone(), Some(debug.clone()))];
    for config in [
        r#"{"where":"prefix = 'debug'"}"#,
        r#"{"where":"content = x'79'"}"#,
        r#"{"where":"$op = 'm' and after.prefix <> 'audit'"}"#,
        r#"{"drop":[{"column":"prefix","equals":"audit"}]}"#,
    ] {
        expect("filter", config, &messages(), &dropped);
    }
    let passes = [(audit.clone(), audit)];
    expect(
        "filter",
        r#"{"where":"status = 'x'","missing_columns":"unknown"}"#,
        &messages(),
        &passes,
    );
    let strict = instance("filter", r#"{"where":"status = 'x'"}"#).on_schema(&messages());
    assert!(strict.unwrap_err().message.contains("no column status"));
}

#[test]
fn mask_and_hash_cover_what_a_logical_message_says() {
    let fixed = r#"{"columns":["content"],"strategy":"fixed"}"#;
    expect("mask", fixed, &messages(), &[(message("a", b"secret"), message("a", b""))]);
    let constant = r#"{"columns":["content"],"strategy":"constant","value":"\\x2a"}"#;
    expect("mask", constant, &messages(), &[(message("a", b"secret"), message("a", b"*"))]);
    let prefix = r#"{"columns":["prefix"],"keep_last":1}"#;
    expect("mask", prefix, &messages(), &[(message("abc", b"x"), message("**c", b"x"))]);
    // A message has no other column, and none that may be NULL or is a text beside its prefix.
    assert!(
        !instance("mask", r#"{"columns":["email"]}"#).on_schema(&messages()).unwrap().subscribe
    );
    for strategy in ["cover", "null"] {
        let config = format!(r#"{{"columns":["content"],"strategy":"{strategy}"}}"#);
        let fault = instance("mask", &config).on_schema(&messages()).unwrap_err();
        assert!(fault.message.contains("content has type"), "{fault}");
    }
    let hash = r#"{"columns":["content"],"secret_key":"000102030405060708090a0b0c0d0e0f"}"#;
    let plugin = load("hash", hash).unwrap();
    let hashed = run(&plugin, &messages(), &[message("a", b"secret")]);
    assert_ne!(hashed, [untouched(&messages(), &message("a", b"secret"))]);
}

#[test]
fn a_plugin_that_promised_a_column_and_does_not_look_at_messages_is_refused_there() {
    let key = "000102030405060708090a0b0c0d0e0f";
    let config = format!(r#"{{"columns":["prefix"],"alphabet":"digits","secret_key":"{key}"}}"#);
    let fault = instance("tokenise", &config).on_schema(&messages()).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_UNPROTECTED", "{fault}");
    assert!(fault.to_string().contains("logical messages"), "{fault}");
}

#[test]
fn the_template_of_the_sdk_trims_its_column() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/wasm/rebuilt/template.wasm");
    let component = std::fs::read(path).expect("plugins/build.sh --check builds it");
    let plugin = load_component(&component, r#"{"column":"name"}"#).unwrap();
    assert_eq!(plugin.info().name, "trim");
    let row = |name: V| Some(vec![text("e"), Integer(1), Null, name]);
    let given = [
        change(Create, None, row(text("  Ada \t"))),
        change(Update, row(text(" Zoë")), row(Null)),
        change(Delete, row(text("Bob")), None),
    ];
    let expected = [
        change(Create, None, row(text("Ada"))),
        change(Update, row(text("Zoë")), row(Null)),
        change(Delete, row(text("Bob")), None),
    ];
    let expected = expected.map(|expected| untouched(&people(), &expected));
    assert_eq!(run(&plugin, &people(), &given), expected);
}
