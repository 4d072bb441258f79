//! The JSON against values that Debezium 3.6.3 itself gave: whole envelopes byte for byte, and one
//! value of each type.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, change_with, column, list, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{
    Column, Kind, Lsn, NO_TRANSACTION, Operation, Snapshot, Subject, TableSchema,
};
use offtake_encode::EncodeError;
use offtake_encode::debezium::{
    Encoder, Options, Plan, PlanOptions, SOURCE_VERSION, SkippedOperations,
};

/// A message with its bytes as text.
#[derive(Debug, PartialEq)]
struct Sent {
    key: Option<String>,
    value: Option<String>,
    header: Option<(String, String)>,
}

fn messages(encoder: &mut Encoder, plan: &Plan, encoded: &[u8]) -> Vec<Sent> {
    let change = ChangeView::parse(encoded).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut sent = Vec::new();
    encoder
        .messages(plan, &change, |message| {
            sent.push(Sent {
                key: message.key.map(text),
                value: message.value.map(text),
                header: message.key_change.map(|(name, key)| (name.to_owned(), text(key))),
            });
            Ok::<(), EncodeError>(())
        })
        .unwrap();
    sent
}

/// A plan of the prefix `srv` with what is said of Debezium's options.
fn plan_with(schema: &TableSchema, debezium: Options) -> Plan {
    let options = PlanOptions { prefix: "srv".to_owned(), debezium, ..PlanOptions::default() };
    Plan::new(&options, schema).unwrap()
}

fn plan(schema: &TableSchema) -> Plan {
    plan_with(schema, Options::default())
}

fn cash_table() -> Plan {
    plan(&cash_schema())
}

fn cash_schema() -> TableSchema {
    let columns = vec![
        column("pk", Kind::Integer, "int4", 23, -1),
        column("csh", Kind::Text, "money", 790, -1),
    ];
    schema(columns, &[0])
}

fn source(snapshot: &str, lsn: &str) -> String {
    format!(
        "\"source\":{{\"version\":\"{SOURCE_VERSION}\",\"connector\":\"postgresql\",\"name\":\"srv\",\
         \"ts_ms\":1795217028924,\"snapshot\":\"{snapshot}\",\"db\":\"postgres\",\
         \"sequence\":\"[null,\\\"{lsn}\\\"]\",\"ts_us\":1795217028924622,\
         \"ts_ns\":1795217028924622000,\"schema\":\"public\",\"table\":\"cash_table\",\
         \"txId\":758,\"lsn\":{lsn},\"xmin\":null,\"origin\":null,\"origin_lsn\":null}}"
    )
}

const TIMES: &str =
    "\"ts_ms\":1795217029351,\"ts_us\":1795217029351282,\"ts_ns\":1795217029351282175";

fn envelope(before: &str, after: &str, operation: &str) -> String {
    format!(
        "{{\"before\":{before},\"after\":{after},{},\"transaction\":null,\"op\":\"{operation}\",{TIMES}}}",
        source("false", "24962808")
    )
}

fn sent(key: &str, value: Option<String>) -> Sent {
    Sent { key: Some(key.to_owned()), value, header: None }
}

#[test]
fn an_insert_is_the_peers_envelope_byte_for_byte() {
    let encoded = change(Operation::Create, None, Some(&[Value::Integer(1), text("$1,234.11")]));
    assert_eq!(
        messages(&mut Encoder::default(), &cash_table(), &encoded),
        [sent(r#"{"pk":1}"#, Some(envelope("null", r#"{"pk":1,"csh":"AeIT"}"#, "c")))]
    );
}

#[test]
fn an_update_writes_the_images_that_there_are() {
    let after = [Value::Integer(1), Value::Unchanged];
    let encoded = change(Operation::Update, None, Some(&after));
    assert_eq!(
        messages(&mut Encoder::default(), &cash_table(), &encoded),
        [sent(r#"{"pk":1}"#, Some(envelope("null", r#"{"pk":1,"csh":null}"#, "u")))]
    );
    // Replica identity full: the same key before and after is no moved key, and what the update left
    // alone is what it was.
    let before = [Value::Integer(1), text("$0.01")];
    let encoded = change(Operation::Update, Some(&before), Some(&after));
    let all = messages(&mut Encoder::default(), &cash_table(), &encoded);
    assert_eq!(all.len(), 1);
    let images = r#"{"before":{"pk":1,"csh":"AQ=="},"after":{"pk":1,"csh":"AQ=="},"#;
    assert!(all[0].value.as_ref().unwrap().starts_with(images));
}

#[test]
fn a_delete_is_followed_by_a_tombstone() {
    let encoded = change(Operation::Delete, Some(&[Value::Integer(1), Value::Absent]), None);
    let delete = envelope(r#"{"pk":1,"csh":null}"#, "null", "d");
    assert_eq!(
        messages(&mut Encoder::default(), &cash_table(), &encoded),
        [sent(r#"{"pk":1}"#, Some(delete.clone())), sent(r#"{"pk":1}"#, None)]
    );
    let without = Options { tombstones: false, ..Options::default() };
    assert_eq!(
        messages(&mut Encoder::default(), &plan_with(&cash_schema(), without), &encoded),
        [sent(r#"{"pk":1}"#, Some(delete))]
    );
}

#[test]
fn a_moved_key_is_a_delete_a_tombstone_and_a_create() {
    let before = [Value::Integer(1), Value::Absent];
    let after = [Value::Integer(2), text("$1,234.11")];
    let encoded = change(Operation::Update, Some(&before), Some(&after));
    let (old, new) = (r#"{"pk":1}"#, r#"{"pk":2}"#);
    let newkey = Some(("__debezium.newkey".to_owned(), new.to_owned()));
    let oldkey = Some(("__debezium.oldkey".to_owned(), old.to_owned()));
    assert_eq!(
        messages(&mut Encoder::default(), &cash_table(), &encoded),
        [
            Sent {
                key: Some(old.to_owned()),
                value: Some(envelope(r#"{"pk":1,"csh":null}"#, "null", "d")),
                header: newkey.clone(),
            },
            Sent { key: Some(old.to_owned()), value: None, header: newkey },
            Sent {
                key: Some(new.to_owned()),
                value: Some(envelope("null", r#"{"pk":2,"csh":"AeIT"}"#, "c")),
                header: oldkey,
            },
        ]
    );
}

#[test]
fn a_snapshot_row_says_which() {
    for (marker, name) in [
        (Snapshot::First, "first"),
        (Snapshot::FirstInTable, "first_in_data_collection"),
        (Snapshot::Row, "true"),
        (Snapshot::LastInTable, "last_in_data_collection"),
        (Snapshot::Last, "last"),
    ] {
        let row = [Value::Integer(1), Value::Null];
        let encoded = change_with(Operation::Read, None, Some(&row), |row, _| {
            row.snapshot = marker;
            row.transaction = NO_TRANSACTION;
            row.lsn = Lsn::ZERO;
        });
        let all = messages(&mut Encoder::default(), &cash_table(), &encoded);
        let value: serde_json::Value =
            serde_json::from_str(all[0].value.as_ref().unwrap()).unwrap();
        assert_eq!(value["op"], "r");
        assert_eq!(value["source"]["snapshot"], name);
        assert_eq!(value["source"]["txId"], serde_json::Value::Null);
        assert_eq!(value["source"]["lsn"], serde_json::Value::Null);
        assert_eq!(value["source"]["sequence"], "[null,null]");
        assert_eq!(value["source"]["ts_us"], 1_795_217_029_351_282_i64);
    }
}

#[test]
fn the_source_names_commit_and_origin_where_they_are_known() {
    let row = [Value::Integer(1), Value::Null];
    let encoded = change_with(Operation::Create, None, Some(&row), |_, transaction| {
        transaction.previous_commit = Lsn(7);
        transaction.origin = "ea\"st".to_owned();
    });
    let all = messages(&mut Encoder::default(), &cash_table(), &encoded);
    let value: serde_json::Value = serde_json::from_str(all[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(value["source"]["sequence"], r#"["7","24962808"]"#);
    assert_eq!(value["source"]["origin"], "ea\"st");
}

#[test]
fn truncates_are_left_out_unless_they_are_wanted() {
    let encoded = change(Operation::Truncate, None, None);
    assert_eq!(messages(&mut Encoder::default(), &cash_table(), &encoded), []);
    let skipped_operations = SkippedOperations::NONE;
    let wanted = Options { skipped_operations, ..Options::default() };
    assert_eq!(
        messages(&mut Encoder::default(), &plan_with(&cash_schema(), wanted), &encoded),
        [Sent { key: None, value: Some(envelope("null", "null", "t")), header: None }]
    );
}

#[test]
fn a_table_without_a_key_has_null_keys() {
    let plan = plan(&schema(vec![column("a", Kind::Integer, "int4", 23, -1)], &[]));
    let encoded = change(Operation::Delete, Some(&[Value::Integer(1)]), None);
    let all = messages(&mut Encoder::default(), &plan, &encoded);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|sent| sent.key.is_none()));
    assert_eq!(all[1].value, None);
}

#[test]
fn a_composite_key_is_in_key_order() {
    let columns = vec![
        column("a", Kind::Text, "text", 25, -1),
        column("b", Kind::Integer, "int8", 20, -1),
        column("c", Kind::Text, "uuid", 2950, -1),
    ];
    let plan = plan(&schema(columns, &[2, 0]));
    let row = [text("x"), Value::Integer(1), text("u")];
    let encoded = change(Operation::Create, None, Some(&row));
    let all = messages(&mut Encoder::default(), &plan, &encoded);
    assert_eq!(all[0].key.as_deref(), Some(r#"{"c":"u","a":"x"}"#));
}

#[test]
fn a_logical_message_has_an_order_of_its_own() {
    let mut message = schema(
        vec![
            Column::new("prefix", Kind::Text, "text"),
            Column::new("content", Kind::Bytes, "bytes"),
        ],
        &[],
    );
    message.subject = Subject::Message;
    message.namespace.clear();
    message.table.clear();
    let plan = plan(&message);
    let row = [text("foo"), Value::Bytes(b"bar".to_vec())];
    let encoded = change(Operation::Message, None, Some(&row));
    let source = source("false", "24962808").replace(
        "\"schema\":\"public\",\"table\":\"cash_table\"",
        "\"schema\":\"\",\"table\":\"\"",
    );
    let value = format!(
        "{{\"op\":\"m\",\"ts_ms\":1795217029351,{source},\"transaction\":null,\
         \"message\":{{\"prefix\":\"foo\",\"content\":\"YmFy\"}}}}"
    );
    assert_eq!(
        messages(&mut Encoder::default(), &plan, &encoded),
        [sent(r#"{"prefix":"foo"}"#, Some(value))]
    );
}

/// The JSON of one value of one column.
fn written(column: Column, value: Value) -> String {
    let plan = plan(&schema(vec![column], &[]));
    let encoded = change(Operation::Create, None, Some(&[value]));
    let change = ChangeView::parse(&encoded).unwrap();
    let mut out = Vec::new();
    Encoder::default().value(&plan, &change, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let (_, rest) = out.split_once("\"after\":{\"c\":").unwrap();
    rest.split_once("},\"source\":").unwrap().0.to_owned()
}

#[test]
fn every_type_has_the_peers_value() {
    let typed =
        |native: &str, oid: u32, modifier: i32| column("c", Kind::Text, native, oid, modifier);
    let decimal = |precision: i32, scale: i32| ((precision << 16) | scale) + 4;
    for (column, input, expected) in [
        (typed("money", 790, -1), "$1,234.11", r#""AeIT""#),
        (typed("money", 790, -1), "-$1,234.11", r#""/h3t""#),
        (typed("numeric", 1700, decimal(3, 2)), "1.10", r#""bg==""#),
        (typed("numeric", 1700, -1), "10.1111", r#"{"scale":4,"value":"AYr3"}"#),
        (typed("numeric", 1700, -1), "100", r#"{"scale":0,"value":"ZA=="}"#),
        (typed("numeric", 1700, -1), "NaN", r#""NaN""#),
        (typed("timestamp", 1114, -1), "2016-11-04 13:51:30.123456", "1478267490123456"),
        (typed("timestamp", 1114, 3), "2016-11-04 13:51:30.123", "1478267490123"),
        (typed("timestamp", 1114, -1), "infinity", "9223372036825200000"),
        (typed("timestamp", 1114, -1), "-infinity", "-9223372036832400000"),
        (
            typed("timestamptz", 1184, -1),
            "294247-01-01 23:59:59.999999+00",
            r#""+294247-01-01T23:59:59.999999Z""#,
        ),
        (
            typed("timestamptz", 1184, -1),
            "4714-12-31 23:59:59.999999+00 BC",
            r#""-4713-12-31T23:59:59.999999Z""#,
        ),
        (typed("timestamptz", 1184, -1), "infinity", r#""infinity""#),
        (typed("date", 1082, -1), "2016-11-04", "17109"),
        (typed("date", 1082, -1), "infinity", "-2147472692"),
        (typed("date", 1082, -1), "-infinity", "-2147472691"),
        (typed("time", 1083, -1), "24:00:00", "86400000000"),
        (typed("time", 1083, 2), "13:51:30.12", "49890120"),
        (typed("timetz", 1266, -1), "13:51:30.123789+02", r#""11:51:30.123789Z""#),
        (typed("interval", 1186, -1), "1 year 2 mons 3 days 04:05:06.78", "37091106780000"),
        (typed("bit", 1560, 2), "11", r#""Aw==""#),
        (typed("bit", 1560, 1), "1", "true"),
        (typed("varbit", 1562, -1), "0", r#""""#),
        (
            typed("point", 600, -1),
            "(1,1)",
            r#"{"x":1.0,"y":1.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAPA/","srid":null}"#,
        ),
        (
            typed("hstore", 16_385, -1),
            r#""key4"=>"val4", "key5"=>NULL"#,
            r#""{\"key5\":null,\"key4\":\"val4\"}""#,
        ),
        (typed("jsonb", 3802, -1), r#"{"bar": "baz"}"#, r#""{\"bar\": \"baz\"}""#),
        (typed("bpchar", 1042, 14), "cone      ", r#""cone      ""#),
        (typed("inet", 869, -1), "192.168.2.0/12", r#""192.168.2.0/12""#),
        (typed("tsquery", 3615, -1), "'fat' & 'rat'", r#""'fat' & 'rat'""#),
    ] {
        assert_eq!(written(column, text(input)), expected, "{input}");
    }
}

#[test]
fn values_of_other_kinds_say_by_their_kind_how() {
    let double = || column("c", Kind::Number, "float8", 701, -1);
    for (value, expected) in [
        (Value::Number(f64::NAN), r#""NaN""#),
        (Value::Number(f64::INFINITY), r#""Infinity""#),
        (Value::Number(f64::NEG_INFINITY), r#""-Infinity""#),
        (Value::Number(3.33), "3.33"),
        (Value::Null, "null"),
    ] {
        assert_eq!(written(double(), value), expected);
    }
    let real = column("c", Kind::Single, "float4", 700, -1);
    assert_eq!(written(real, Value::Single(3.33)), "3.33");
    let bytes = column("c", Kind::Bytes, "bytea", 17, -1);
    assert_eq!(written(bytes, Value::Bytes(vec![0, 255])), r#""AP8=""#);
    let dates = list("c", column("", Kind::Text, "date", 1082, -1));
    assert_eq!(written(dates, Value::List(vec![text("2016-11-04"), Value::Null])), "[17109,null]");
    let matrix = list("c", column("", Kind::Integer, "int4", 23, -1));
    let row = |values: &[i64]| Value::List(values.iter().map(|&v| Value::Integer(v)).collect());
    assert_eq!(written(matrix, Value::List(vec![row(&[1, 2]), row(&[3, 4])])), "[[1,2],[3,4]]");
}

#[test]
fn an_unchanged_large_value_has_a_stand_in_of_its_type() {
    let placeholder = "__debezium_unavailable_value";
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    let stands = |column: Column| written(column, Value::Unchanged);
    assert_eq!(stands(column("c", Kind::Text, "text", 25, -1)), format!("\"{placeholder}\""));
    assert_eq!(stands(column("c", Kind::Bytes, "bytea", 17, -1)), format!("\"{base64}\""));
    let texts = list("c", column("", Kind::Text, "text", 25, -1));
    assert_eq!(stands(texts), format!("[\"{placeholder}\"]"));
    let blobs = list("c", column("", Kind::Bytes, "bytea", 17, -1));
    assert_eq!(stands(blobs), format!("[\"{base64}\"]"));
    let uuids = list("c", column("", Kind::Text, "uuid", 2950, -1));
    assert_eq!(stands(uuids), "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]");
    let numbers = list("c", column("", Kind::Integer, "int4", 23, -1));
    assert!(stands(numbers).starts_with("[95,95,100,101,98,101,122,105,117,109,"));
}

#[test]
fn what_is_not_of_its_types_grammar_is_kept_as_text() {
    // A plugin may have masked it; a value is never lost for its shape.
    for (native, oid) in
        [("numeric", 1700), ("date", 1082), ("timestamptz", 1184), ("point", 600), ("varbit", 1562)]
    {
        assert_eq!(written(column("c", Kind::Text, native, oid, -1), text("****")), "\"****\"");
    }
}
