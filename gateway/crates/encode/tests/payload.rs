//! Payloads: bytes in, the same bytes out, with a key and a content type.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, list, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{Column, Form, Kind, Operation, TableSchema};
use offtake_encode::EncodeError;
use offtake_encode::payload::{self, Plan};

/// Field 14 of a change, which the builder of rows does not write.
const PAYLOAD_TAG: u8 = 14 << 3 | 2;

fn opaque(columns: Vec<Column>) -> TableSchema {
    TableSchema {
        form: Form::Opaque,
        content_type: "application/vnd.shop.order+json".to_owned(),
        ..schema(columns, &[])
    }
}

fn key(
    schema: &TableSchema,
    ordinals: &[u32],
    row: &[Value],
) -> Result<Option<Vec<u8>>, EncodeError> {
    let encoded = change(Operation::Create, None, Some(row));
    let row = ChangeView::parse(&encoded).unwrap().after.unwrap();
    let mut out = b"before".to_vec();
    let has_key = Plan::new(schema, ordinals)?.put_key(&mut out, row)?;
    let key = out.split_off(6);
    assert!(has_key || key.is_empty());
    Ok(has_key.then_some(key))
}

#[test]
fn the_payload_is_verbatim_and_its_content_type_is_told() {
    let bytes = b"\x00\xff no text";
    let mut encoded = change(Operation::Create, None, None);
    encoded.extend_from_slice(&[PAYLOAD_TAG, bytes.len() as u8]);
    encoded.extend_from_slice(bytes);
    assert_eq!(payload::value(&ChangeView::parse(&encoded).unwrap()), bytes);
    let plan = Plan::new(&opaque(Vec::new()), &[]).unwrap();
    assert_eq!(plan.content_type(), Some("application/vnd.shop.order+json"));
    let silent = TableSchema { content_type: String::new(), ..opaque(Vec::new()) };
    assert_eq!(Plan::new(&silent, &[]).unwrap().content_type(), None);
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
    assert_eq!(key(&schema, &[], &row).unwrap(), None);
    assert_eq!(key(&schema, &[0], &row).unwrap().unwrap(), b"order-7");
    assert_eq!(key(&schema, &[1], &row).unwrap().unwrap(), [0, 255]);
    assert_eq!(key(&schema, &[2], &row).unwrap().unwrap(), b"-9223372036854775808");
    assert_eq!(key(&schema, &[3], &row).unwrap().unwrap(), b"true");
    assert_eq!(
        key(&schema, &[2, 0], &row).unwrap().unwrap(),
        br#"{"int8":"-9223372036854775808","text":"order-7"}"#
    );
    assert_eq!(key(&schema, &[0], &[Value::Null]).unwrap(), None);
    for ordinal in [4, 5] {
        let error = key(&schema, &[ordinal], &row).unwrap_err();
        assert_eq!(error.code(), "ENCODE_VALUE");
        let expected = "a value cannot be written as payload: a key is text, bytes or a number without fraction";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn rows_have_no_payload() {
    let error = Plan::new(&schema(Vec::new(), &[]), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a schema cannot be written as payload: `public.cash_table` has rows, and payloads come from \
         plugins"
    );
}
