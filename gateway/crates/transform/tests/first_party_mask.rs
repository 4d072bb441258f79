//! The plugins that hide values (`mask`, `hash`, `tokenise`) on the host that runs them in
//! production.
//!
//! The components are those that `plugins/build.sh --check` builds. Every case runs at batch sizes
//! 1, 2, 7 and 256 and must give the same result. What a strategy does with a text is tested in
//! the plugins; here it is that the host takes what they say, for columns of every kind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Batch, Column, Kind, Operation, TableSchema};
use offtake_transform::{Isolated, Processed};

use Operation::{Create, Delete, Truncate, Update};
use V::{Absent, Boolean, Bytes, Integer, List, Null, Number, Single, Text, Unchanged};

use support::{V, column, load, refused};

/// A change of a test: operation, before image, after image.
type Change = (Operation, Option<Vec<V>>, Option<Vec<V>>);

/// What became of a change, with values as text; or the code of its failure. The plugin's own words
/// are withheld, for it protects.
type Outcome = Result<(Option<Vec<String>>, Option<Vec<String>>), &'static str>;

/// A table whose key is its first column.
fn table(columns: Vec<Column>) -> Arc<TableSchema> {
    support::table("people", columns)
}

fn changes(given: &[Change]) -> Vec<support::Change> {
    let change = |(operation, before, after): &Change| {
        support::change(*operation, before.clone(), after.clone())
    };
    given.iter().map(change).collect()
}

fn filled(schema: &Arc<TableSchema>, given: &[Change]) -> Batch {
    support::filled(schema, &changes(given))
}

fn outcome(outcome: support::Outcome) -> Outcome {
    match outcome {
        support::Outcome::Failed(code, _) => Err(code),
        other => {
            let left = other.left();
            Ok((left.before, left.after))
        }
    }
}

/// Runs changes through a plugin at every batch size; all must end alike.
fn run(name: &str, config: &str, schema: &Arc<TableSchema>, given: &[Change]) -> Vec<Outcome> {
    let plugin = load(name, config).unwrap();
    support::run(&plugin, schema, &changes(given)).into_iter().map(outcome).collect()
}

/// What a create of one row becomes.
fn created(name: &str, config: &str, schema: &Arc<TableSchema>, row: &[V]) -> Vec<String> {
    let changes = [(Create, None, Some(row.to_vec()))];
    let outcome = run(name, config, schema, &changes).remove(0);
    outcome.expect("it failed").1.expect("there is an after image")
}

/// Every kind of column and the grammars that travel as text.
fn every_type() -> (Arc<TableSchema>, Vec<V>) {
    let columns = [
        ("id", Kind::Integer, "int8", Integer(7)),
        ("flag", Kind::Boolean, "bool", Boolean(true)),
        ("small", Kind::Integer, "int2", Integer(-3)),
        ("single", Kind::Single, "float4", Single(2.5)),
        ("double", Kind::Number, "float8", Number(-0.5)),
        ("price", Kind::Text, "decimal(12,2)", Text("12.50")),
        ("born", Kind::Text, "date", Text("1815-12-10")),
        ("seen", Kind::Text, "timestamptz", Text("2024-02-29 12:00:00.5+00")),
        ("token", Kind::Text, "uuid", Text("6f9619ff-8b86-d011-b42d-00c04fc964ff")),
        ("document", Kind::Text, "jsonb", Text("{\"a\": 1}")),
        ("picture", Kind::Bytes, "bytes", Bytes(&[1, 2, 3])),
        ("name", Kind::Text, "varchar(80)", Text("Ada Löw-2")),
        ("tags", Kind::List, "list<text>", List(&["a", "b"])),
        ("address", Kind::Text, "inet", Text("192.0.2.1")),
    ];
    let row = columns.iter().map(|&(.., value)| value).collect();
    let columns = columns.iter().map(|&(name, kind, logical, _)| column(name, kind, logical));
    (table(columns.collect()), row)
}

const ALL: &str = r#""flag","small","single","double","price","born","seen","token","document",
    "picture","name","tags","address""#;

#[test]
fn mask_gives_every_type_its_fixed_value() {
    let (schema, row) = every_type();
    let config = format!(r#"{{"rules":[{{"columns":[{ALL}],"strategy":"fixed"}}]}}"#);
    let nil = "00000000-0000-0000-0000-000000000000";
    let fixed = [
        "7",
        "false",
        "0",
        "0",
        "0",
        "0.00",
        "1970-01-01",
        "1970-01-01 00:00:00+00",
        nil,
        "{}",
        "",
        "",
        "0 elements",
        "0.0.0.0",
    ];
    assert_eq!(created("mask", &config, &schema, &row), fixed);
    let changes = [
        (Update, Some(row.clone()), Some(row.clone())),
        (Delete, Some(row), None),
        (Truncate, None, None),
    ];
    let fixed: Vec<String> = fixed.map(str::to_owned).to_vec();
    let expected =
        [Ok((Some(fixed.clone()), Some(fixed.clone()))), Ok((Some(fixed), None)), Ok((None, None))];
    assert_eq!(run("mask", &config, &schema, &changes), expected);
}

#[test]
fn mask_gives_null_and_constants() {
    let (schema, row) = every_type();
    let config = format!(r#"{{"columns":[{ALL}],"strategy":"null"}}"#);
    let mut nulls = vec!["NULL"; row.len()];
    nulls[0] = "7";
    assert_eq!(created("mask", &config, &schema, &row), nulls);
    let config = r#"{"rules":[
        {"columns":["flag"],"strategy":"constant","value":false},
        {"columns":["small"],"strategy":"constant","value":-32768},
        {"columns":["single","double"],"strategy":"constant","value":1.5},
        {"columns":["price"],"strategy":"constant","value":"-1.00"},
        {"columns":["picture"],"strategy":"constant","value":"\\x00ff"},
        {"columns":["name","tags"],"strategy":"constant","value":"{x,\"y z\"}"}]}"#;
    let masked = created("mask", config, &schema, &row);
    assert_eq!(masked[1..6], ["false", "-32768", "1.5", "1.5", "-1.00"]);
    assert_eq!(masked[10..13], ["00ff", "{x,\"y z\"}", "2 elements"]);
}

#[test]
fn mask_keeps_characters_and_forms() {
    let (schema, mut row) = every_type();
    let of = |config: &str, row: &[V]| created("mask", config, &schema, row)[11].clone();
    let cover = r#"{"columns":["name"],"keep_first":1,"keep_last":2,"with":"•"}"#;
    assert_eq!(of(cover, &row), "A••••••-2");
    let characters = r#"{"columns":["name"],"strategy":"characters"}"#;
    assert_eq!(of(characters, &row), "xxx xxx-0");
    let kept = r#"{"columns":["name"],"strategy":"characters","keep_last":4,"digit":"9"}"#;
    row[11] = Text("4111-1111-1111-1234");
    assert_eq!(of(kept, &row), "9999-9999-9999-1234");
}

#[test]
fn null_unchanged_and_absent_stay_as_they_are() {
    let schema = table(vec![
        Column { nullable: false, ..column("id", Kind::Integer, "int8") },
        column("a", Kind::Text, "text"),
        column("b", Kind::Text, "text"),
    ]);
    let key = r#""secret_key":"000102030405060708090a0b0c0d0e0f""#;
    let columns = r#""columns":["a","b"]"#;
    let configs = [
        ("mask", format!("{{{columns}}}")),
        ("mask", format!(r#"{{{columns},"strategy":"constant","value":"x"}}"#)),
        ("mask", format!(r#"{{{columns},"strategy":"null"}}"#)),
        ("hash", format!("{{{columns},{key}}}")),
        ("tokenise", format!(r#"{{{columns},{key},"alphabet":"digits","tweak_column":"id"}}"#)),
    ];
    let changes = [
        (Update, Some(vec![Integer(1), Null, Absent]), Some(vec![Integer(1), Unchanged, Null])),
        (Delete, Some(vec![Integer(1), Absent, Absent]), None),
        (Truncate, None, None),
    ];
    let untouched = |given| outcome(support::untouched(&schema, given));
    let same: Vec<Outcome> = self::changes(&changes).iter().map(untouched).collect();
    for (name, config) in configs {
        assert_eq!(run(name, &config, &schema, &changes), same, "{name} {config}");
    }
}

#[test]
fn each_promises_its_columns() {
    let key = r#""secret_key":"000102030405060708090a0b0c0d0e0f""#;
    for (name, config) in [
        ("mask", r#"{"rules":[{"columns":["a","b"],"strategy":"fixed"}]}"#.to_owned()),
        ("hash", format!(r#"{{"columns":["a","b"],{key}}}"#)),
        ("tokenise", format!(r#"{{"columns":["a","b"],{key},"alphabet":"lower"}}"#)),
    ] {
        let plugin = load(name, &config).unwrap();
        assert!(plugin.info().protects, "{name}");
        assert_eq!(plugin.info().required_columns, ["a", "b"], "{name}");
        let text = |name: &str| column(name, Kind::Text, "text");
        let mut instance = plugin.instance().unwrap();
        instance.on_schema(&table(vec![text("id"), text("a"), text("b")])).unwrap();
        let fault = instance.on_schema(&table(vec![text("id"), text("a")])).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_UNPROTECTED", "{name}");
        let elsewhere = plugin.instance().unwrap().on_schema(&table(vec![text("id")])).unwrap();
        assert!(!elsewhere.subscribe, "{name}");
    }
}

#[test]
fn mask_refuses_with_table_column_type_and_what_fits() {
    let mut name = column("name", Kind::Text, "text");
    name.nullable = false;
    let schema = table(vec![column("id", Kind::Integer, "int8"), name]);
    assert_eq!(
        refused("mask", r#"{"columns":["id"]}"#, &schema),
        "public.people.id has type int8: `cover` covers text columns only; no strategy fits: see \
         the plugins hash and tokenise"
    );
    assert_eq!(
        refused("mask", r#"{"columns":["name"],"strategy":"null"}"#, &schema),
        "public.people.name has type text: `null` needs a column that may be NULL, and this one \
         is NOT NULL; what fits: cover, characters, fixed, constant with a value of the type"
    );
}

/// `openssl dgst -sha256 -mac HMAC -macopt hexkey:000102030405060708090a0b0c0d0e0f` of the texts.
#[test]
fn hash_writes_digests_that_others_can_compute() {
    let columns = [
        column("id", Kind::Text, "uuid"),
        column("email", Kind::Text, "text"),
        column("other", Kind::Text, "varchar(80)"),
        column("picture", Kind::Bytes, "bytes"),
    ];
    let schema = table(columns.to_vec());
    let uuid = Text("6f9619ff-8b86-d011-b42d-00c04fc964ff");
    let mail = Text("ada@example.com");
    let row = [uuid, mail, mail, Bytes(b"ada@example.com")];
    let config = |more: &str| {
        format!(
            r#"{{"columns":["id","email","other","picture"],
                "secret_key":"000102030405060708090a0b0c0d0e0f"{more}}}"#
        )
    };
    let global = created("hash", &config(r#","scope":"global""#), &schema, &row);
    assert_eq!(global[1], EMAIL_DIGEST);
    assert_eq!((&global[2], &global[3]), (&global[1], &global[1]));
    assert_eq!(global[0], UUID_DIGEST);
    let own = created("hash", &config(""), &schema, &row);
    assert_eq!(own[1], EMAIL_COLUMN_DIGEST);
    assert_ne!(own[1], own[2]);
    let cut = created("hash", &config(r#","scope":"global","length":12"#), &schema, &row);
    assert_eq!(cut[1], EMAIL_DIGEST[..12]);
    assert_eq!(cut[3], EMAIL_DIGEST[..24], "bytes are counted in bytea");
}

const EMAIL_DIGEST: &str = "7902c00cd0941827c91e6de851e2f8b8a62e6df96402b1f2b1dc83de086c05db";
/// Of `public NUL people NUL email NUL ada@example.com`.
const EMAIL_COLUMN_DIGEST: &str =
    "aacf01fee51ddc9a130cefa68b7103f5f1d7b8de5264262ea621d2fe08a3210c";
/// The beginning of the digest of the UUID's text, as a UUID of version 8.
const UUID_DIGEST: &str = "5cbffffe-d3f9-8435-beb5-37384a34cca9";

#[test]
fn hash_gives_both_images_of_a_row_one_key() {
    let schema = table(vec![column("id", Kind::Text, "text"), column("n", Kind::Integer, "int4")]);
    let config = r#"{"columns":["id"],"secret_key":"000102030405060708090a0b0c0d0e0f"}"#;
    let row = |id, n| Some(vec![Text(id), Integer(n)]);
    let changes = [(Create, None, row("a", 1)), (Update, row("a", 1), row("a", 2))];
    let outcomes = run("hash", config, &schema, &changes);
    let id = |image: &Option<Vec<String>>| image.as_ref().unwrap()[0].clone();
    let (created, updated) = (outcomes[0].as_ref().unwrap(), outcomes[1].as_ref().unwrap());
    assert_eq!(id(&created.1), id(&updated.0));
    assert_eq!(id(&created.1), id(&updated.1));
}

#[test]
fn hash_refuses_columns_that_hold_no_digest() {
    let config = r#"{"columns":["a"],"secret_key":"000102030405060708090a0b0c0d0e0f"}"#;
    let of = |kind, logical| {
        let columns = vec![column("id", Kind::Integer, "int8"), column("a", kind, logical)];
        refused("hash", config, &table(columns))
    };
    let message = of(Kind::Integer, "int4");
    assert!(message.starts_with("public.people.a has type int4: hash writes text"), "{message}");
    let message = of(Kind::Text, "varchar(40)");
    assert!(message.ends_with("set `length` to 40 or less"), "{message}");
    let error = load("hash", r#"{"columns":["a"],"secret_key":"hunter2"}"#).unwrap_err();
    assert_eq!(error.code(), "PLUGIN_CONFIG_REFUSED");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

fn cards() -> Arc<TableSchema> {
    let tenant = Column { nullable: false, ..column("tenant", Kind::Integer, "int4") };
    table(vec![column("id", Kind::Integer, "int8"), column("card", Kind::Text, "text"), tenant])
}

fn tokenise(more: &str) -> String {
    let key = "2b7e151628aed2a6abf7158809cf4f3c";
    format!(r#"{{"columns":["card"],"secret_key":"{key}","alphabet":"digits"{more}}}"#)
}

#[test]
fn tokenise_keeps_the_form_and_nist_s_samples_hold() {
    let card = |config: &str, text| {
        created("tokenise", config, &cards(), &[Integer(1), Text(text), Integer(1)])[1].clone()
    };
    assert_eq!(card(&tokenise(r#","tweak":"""#), "0123456789"), "2433477484");
    assert_eq!(card(&tokenise(r#","tweak":"9876543210""#), "(012) 345-6789"), "(612) 420-0773");
    let token = card(&tokenise(""), "4111-1111-1111-1111");
    let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(form(&token), "0000-0000-0000-0000");
    assert_eq!(token.replace('-', ""), card(&tokenise(""), "4111111111111111"));
}

#[test]
fn tokenise_fails_a_change_that_has_no_token_or_writes_the_constant() {
    let row = |card| Some(vec![Integer(1), card, Integer(1)]);
    let changes = [
        (Create, None, row(Text("0123456789"))),
        (Create, None, row(Text("12345"))),
        (Update, row(Text("1234A6")), row(Text("123"))),
        (Create, None, row(Text(""))),
        (Create, None, row(Null)),
    ];
    let outcomes = run("tokenise", &tokenise(""), &cards(), &changes);
    let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, true, false, false]);
    assert_eq!(outcomes[1], Err("PLUGIN_ROW_FAILURE"));
    let config = tokenise(r#","unfit_value":"none""#);
    let outcomes = run("tokenise", &config, &cards(), &changes);
    let card = |image: &Option<Vec<String>>| image.as_ref().map(|image| image[1].clone());
    let cards: Vec<_> =
        outcomes[1..].iter().map(|outcome| card(&outcome.as_ref().unwrap().1).unwrap()).collect();
    assert_eq!(cards, ["none", "none", "", "NULL"]);
    assert_eq!(card(&outcomes[2].as_ref().unwrap().0).as_deref(), Some("none"));
}

/// The time grows with the square of the length: a whole call of the longest has to fit.
#[test]
fn tokenise_takes_a_call_of_the_longest_values() {
    const LONGEST: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01\
                           0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01";
    let config = tokenise("").replace("digits", "alphanumeric");
    let row = || Some(vec![Integer(1), Text(LONGEST), Integer(1)]);
    let changes = vec![(Update, row(), row()); 256];
    let plugin = load("tokenise", &config).unwrap();
    let mut isolated = Isolated::new(&plugin).unwrap();
    let mut batch = filled(&cards(), &changes);
    let rows: Vec<u32> = (0..256).collect();
    let mut done = Processed::default();
    isolated.process(&mut batch, &rows, &mut done).unwrap();
    assert_eq!((done.failed.len(), isolated.restarts()), (0, 0));
    let longer = [(Create, None, Some(vec![Integer(1), Text(TOO_LONG), Integer(1)]))];
    assert_eq!(run("tokenise", &config, &cards(), &longer), [Err("PLUGIN_ROW_FAILURE")]);
}

const TOO_LONG: &str = concat!(
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123",
    "45678901234567890123456789012345678",
);

#[test]
fn tokenise_by_another_column_needs_its_value() {
    let row = |tenant| Some(vec![Integer(1), Text("0123456789"), tenant]);
    let changes = [
        (Create, None, row(Integer(1))),
        (Create, None, row(Integer(2))),
        (Delete, row(Integer(2)), None),
        (Delete, row(Absent), None),
    ];
    let outcomes = run("tokenise", &tokenise(r#","tweak_column":"tenant""#), &cards(), &changes);
    let card = |image: &Option<Vec<String>>| image.as_ref().unwrap()[1].clone();
    let (one, two) = (outcomes[0].as_ref().unwrap(), outcomes[1].as_ref().unwrap());
    assert_ne!(card(&one.1), card(&two.1));
    assert_eq!(card(&outcomes[2].as_ref().unwrap().0), card(&two.1));
    assert_eq!(outcomes[3], Err("PLUGIN_ROW_FAILURE"));
}
