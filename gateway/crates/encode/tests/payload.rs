//! Payloads: bytes in, the same bytes out, with a key and a content type.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, list, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{Column, Form, Kind, Operation, TableSchema};
use offtake_encode::EncodeError;
use offtake_encode::debezium::{Encoder, MessageFormat, Plan, PlanOptions};

/// Field 14 of a change, which the builder of rows does not write.
const PAYLOAD_TAG: u8 = 14 << 3 | 2;
const PAYLOAD: &[u8] = b"\x00\xff no text";

fn opaque(columns: Vec<Column>) -> TableSchema {
    TableSchema {
        form: Form::Opaque,
        content_type: "application/vnd.shop.order+json".to_owned(),
        ..schema(columns, &[])
    }
}

fn plan(schema: &TableSchema, key: &[&str]) -> Result<Plan, EncodeError> {
    let key = Some(key.iter().map(|&column| column.to_owned()).collect());
    let options = PlanOptions { format: MessageFormat::Payload, key, ..PlanOptions::default() };
    Plan::new(&options, schema)
}

/// Key and value of the one message that a change becomes.
fn message(
    schema: &TableSchema,
    key: &[&str],
    row: &[Value],
) -> Result<(Option<Vec<u8>>, Vec<u8>), EncodeError> {
    let mut encoded = change(Operation::Create, None, Some(row));
    encoded.extend_from_slice(&[PAYLOAD_TAG, PAYLOAD.len() as u8]);
    encoded.extend_from_slice(PAYLOAD);
    let plan = plan(schema, key)?;
    let mut messages = Vec::new();
    Encoder::default().messages(&plan, &ChangeView::parse(&encoded)?, |message| {
        assert!(message.attributes.is_empty() && message.key_change.is_none());
        messages.push((message.key.map(<[u8]>::to_vec), message.value.unwrap().to_vec()));
        Ok::<(), EncodeError>(())
    })?;
    assert_eq!(messages.len(), 1);
    Ok(messages.remove(0))
}

#[test]
fn the_payload_is_verbatim_and_its_content_type_is_told() {
    let schema = opaque(Vec::new());
    assert_eq!(message(&schema, &[], &[]).unwrap(), (None, PAYLOAD.to_vec()));
    let headers = plan(&schema, &[]).unwrap().context_headers().to_vec();
    let expected = b"application/vnd.shop.order+json".as_slice().into();
    assert_eq!(headers, [("content-type", expected)]);
    let silent = TableSchema { content_type: String::new(), ..schema };
    assert!(plan(&silent, &[]).unwrap().context_headers().is_empty());
}

#[test]
fn the_key_is_the_key_columns_own_bytes() {
    let named = |kind, logical: &str| column(logical, kind, logical, 0, -1);
    let columns = vec![
        named(Kind::Text, "text"),
        named(Kind::Bytes, "bytes"),
        named(Kind::Integer, "int8"),
        named(Kind::Boolean, "bool"),
        named(Kind::Number, "float8"),
        list("list", named(Kind::Text, "element")),
    ];
    let schema = opaque(columns);
    let row = [
        text("order-7"),
        Value::Bytes(vec![0, 255]),
        Value::Integer(i64::MIN),
        Value::Boolean(true),
        Value::Number(1.5),
        Value::List(vec![text("a")]),
    ];
    for (columns, expected) in [
        (&[][..], None),
        (&["text"], Some(&b"order-7"[..])),
        (&["bytes"], Some(&[0, 255])),
        (&["int8"], Some(b"-9223372036854775808")),
        (&["bool"], Some(b"true")),
        (&["int8", "text"], Some(br#"{"int8":"-9223372036854775808","text":"order-7"}"#)),
    ] {
        let (key, value) = message(&schema, columns, &row).unwrap();
        assert_eq!((key.as_deref(), value.as_slice()), (expected, PAYLOAD), "{columns:?}");
    }
    assert_eq!(message(&schema, &["text"], &[Value::Null]).unwrap().0, None);
    for column in ["float8", "list"] {
        let error = message(&schema, &[column], &row).unwrap_err();
        assert_eq!(error.code(), "ENCODE_VALUE");
    }
}

#[test]
fn rows_have_no_payload() {
    let error = plan(&schema(Vec::new(), &[]), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a schema cannot be written as payload: changes of public.cash_table are rows, not payloads"
    );
}
