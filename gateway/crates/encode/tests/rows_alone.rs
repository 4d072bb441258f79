//! Streams of rows alone: what `ExtractNewRecordState` leaves of Debezium's messages, through the
//! same converters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{Form, Kind, Operation, TableSchema};
use offtake_encode::EncodeError;
use offtake_encode::debezium::{
    Encoder, MessageFormat, Options, Plan, PlanOptions, SkippedOperations,
};

/// `public.cash_table` with the key `id`, or without.
fn flat(key: &[u32]) -> TableSchema {
    let columns = vec![
        column("id", Kind::Integer, "int8", 20, -1),
        column("name", Kind::Text, "text", 25, -1),
    ];
    TableSchema { form: Form::Flat, ..schema(columns, key) }
}

fn options(format: MessageFormat) -> PlanOptions {
    let debezium = Options { schemas: false, tombstones: false, ..Options::default() };
    PlanOptions { format, prefix: "shop".to_owned(), debezium, ..PlanOptions::default() }
}

type Texts = (Option<String>, Option<String>);

/// Keys and values of the messages that a change becomes, as text.
fn messages(plan: &Plan, encoded: &[u8]) -> Result<Vec<Texts>, EncodeError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut messages = Vec::new();
    Encoder::default().messages(plan, &ChangeView::parse(encoded)?, |message| {
        messages.push((message.key.map(text), message.value.map(text)));
        Ok::<(), EncodeError>(())
    })?;
    Ok(messages)
}

fn row(id: i64, name: Value) -> Vec<Value> {
    vec![Value::Integer(id), name]
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_value_is_the_row_and_of_a_delete_a_tombstone_whatever_the_envelopes_options() {
    let plan = Plan::new(&options(MessageFormat::DebeziumJson), &flat(&[0])).unwrap();
    for operation in [Operation::Create, Operation::Read, Operation::Update] {
        let encoded = change(operation, None, Some(&row(7, text("ada"))));
        let expected = [(some(r#"{"id":7}"#), some(r#"{"id":7,"name":"ada"}"#))];
        assert_eq!(messages(&plan, &encoded).unwrap(), expected);
    }
    let encoded = change(Operation::Delete, Some(&row(7, Value::Null)), None);
    assert_eq!(messages(&plan, &encoded).unwrap(), [(some(r#"{"id":7}"#), None)]);
}

#[test]
fn a_moved_key_is_a_tombstone_and_the_row_under_its_new_key() {
    let plan = Plan::new(&options(MessageFormat::DebeziumJson), &flat(&[0])).unwrap();
    let (before, after) = (row(7, Value::Absent), row(8, text("ada")));
    let encoded = change(Operation::Update, Some(&before), Some(&after));
    let expected =
        [(some(r#"{"id":7}"#), None), (some(r#"{"id":8}"#), some(r#"{"id":8,"name":"ada"}"#))];
    assert_eq!(messages(&plan, &encoded).unwrap(), expected);
}

#[test]
fn an_unchanged_value_is_that_of_the_row_before_or_the_placeholder() {
    let plan = Plan::new(&options(MessageFormat::DebeziumJson), &flat(&[0])).unwrap();
    let after = row(7, Value::Unchanged);
    for (before, expected) in [
        (row(7, text("long")), r#"{"id":7,"name":"long"}"#),
        (row(7, Value::Absent), r#"{"id":7,"name":"__debezium_unavailable_value"}"#),
    ] {
        let encoded = change(Operation::Update, Some(&before), Some(&after));
        assert_eq!(messages(&plan, &encoded).unwrap()[0].1, some(expected));
    }
}

#[test]
fn a_registry_is_given_the_row_and_not_an_envelope() {
    for format in [
        MessageFormat::DebeziumJson,
        MessageFormat::Avro,
        MessageFormat::Protobuf,
        MessageFormat::JsonSchema,
    ] {
        let plan = Plan::new(&options(format), &flat(&[0])).unwrap();
        let (key, value) = plan.schemas();
        assert_eq!(value.name.as_deref(), Some("shop.public.cash_table.Value"), "{format:?}");
        assert!(!value.optional && key.is_some(), "{format:?}");
        let encoded = change(Operation::Create, None, Some(&row(7, text("ada"))));
        let value = messages(&plan, &encoded).unwrap().remove(0).1.unwrap();
        assert!(value.contains("ada") && !value.contains("after"), "{format:?} {value}");
    }
    let avro = Plan::new(&options(MessageFormat::Avro), &flat(&[0])).unwrap();
    let encoded = change(Operation::Create, None, Some(&row(7, text("ada"))));
    // The second branch of a union and 7; the second branch again, and three letters.
    assert_eq!(messages(&avro, &encoded).unwrap()[0].1, some("\u{2}\u{e}\u{2}\u{6}ada"));
}

#[test]
fn flat_json_keeps_its_fields_and_a_delete_is_a_tombstone() {
    let plan = Plan::new(&options(MessageFormat::Json), &flat(&[0])).unwrap();
    let encoded = change(Operation::Delete, Some(&row(7, Value::Null)), None);
    assert_eq!(messages(&plan, &encoded).unwrap().len(), 1);
    assert_eq!(messages(&plan, &encoded).unwrap()[0].1, None);
    let encoded = change(Operation::Create, None, Some(&row(7, text("ada"))));
    let value = messages(&plan, &encoded).unwrap().remove(0).1.unwrap();
    assert!(value.contains(r#""name":"ada","_op":"c""#), "{value}");
}

#[test]
fn what_a_row_alone_cannot_say_is_an_error_and_never_left_out() {
    let keyless = Plan::new(&options(MessageFormat::DebeziumJson), &flat(&[])).unwrap();
    let encoded = change(Operation::Delete, Some(&row(7, Value::Null)), None);
    let error = messages(&keyless, &encoded).unwrap_err();
    assert!(error.to_string().contains("told by its key alone"), "{error}");
    let truncate = change(Operation::Truncate, None, None);
    let plan = Plan::new(&options(MessageFormat::DebeziumJson), &flat(&[0])).unwrap();
    assert!(messages(&plan, &truncate).unwrap().is_empty(), "truncates are left out by default");
    let mut all = options(MessageFormat::Avro);
    all.debezium.skipped_operations = SkippedOperations::NONE;
    let error = messages(&Plan::new(&all, &flat(&[0])).unwrap(), &truncate).unwrap_err();
    assert!(error.to_string().contains("a table was emptied"), "{error}");
    for format in [MessageFormat::CloudEvents, MessageFormat::CloudEventsBinary] {
        let error = Plan::new(&options(format), &flat(&[0])).unwrap_err();
        assert!(error.to_string().contains("public.cash_table are rows alone"), "{error}");
    }
    assert!(Plan::new(&options(MessageFormat::Payload), &flat(&[0])).is_err());
}
