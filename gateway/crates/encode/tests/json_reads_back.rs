//! The hand-written JSON against serde_json: whatever a row holds, the text parses, has the fields
//! of the envelope in order, and the values are those of the row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, list, schema};
use offtake_change::wire::ChangeView;
use offtake_change::{Column, Kind, Operation};
use offtake_encode::debezium::{Encoder, Plan, PlanOptions};
use proptest::prelude::*;
use serde_json::Value as Json;

/// A value, its column, and what JSON is expected; `None`: only that it parses.
fn value() -> impl Strategy<Value = (Column, Value, Option<Json>)> {
    let plain = |kind, native: &str, oid| column("", kind, native, oid, -1);
    prop_oneof![
        Just((plain(Kind::Text, "text", 25), Value::Null, Some(Json::Null))),
        Just((plain(Kind::Text, "text", 25), Value::Absent, Some(Json::Null))),
        Just((
            plain(Kind::Text, "text", 25),
            Value::Unchanged,
            Some("__debezium_unavailable_value".into())
        )),
        any::<bool>().prop_map(move |value| {
            (plain(Kind::Boolean, "bool", 16), Value::Boolean(value), Some(value.into()))
        }),
        any::<i64>().prop_map(move |value| {
            (plain(Kind::Integer, "int8", 20), Value::Integer(value), Some(value.into()))
        }),
        any::<u64>().prop_map(move |value| {
            // Past 64 bits with a sign there is no Connect type: the digits.
            let expected = i64::try_from(value).map_or(value.to_string().into(), Json::from);
            (plain(Kind::Unsigned, "xid8", 5069), Value::Unsigned(value), Some(expected))
        }),
        any::<f64>().prop_map(move |value| {
            // Digits are compared in the writer's own test: serde_json reads approximately.
            let expected = None;
            (plain(Kind::Number, "float8", 701), Value::Number(value), expected)
        }),
        any::<f32>().prop_map(move |value| {
            (plain(Kind::Single, "float4", 700), Value::Single(value), None)
        }),
        "\\PC*|[\\x00-\\x7f]*".prop_map(move |value| {
            (plain(Kind::Text, "text", 25), Value::Text(value.clone()), Some(value.into()))
        }),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(move |value| {
            (plain(Kind::Bytes, "bytea", 17), Value::Bytes(value), None)
        }),
        // Any text in a typed column: it parses, whatever it is.
        (
            "\\PC{0,12}|[-0-9.:+ BC]{0,24}",
            prop::sample::select(vec![
                600u32, 790, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700
            ])
        )
            .prop_map(move |(value, oid)| (
                plain(Kind::Text, "t", oid),
                Value::Text(value),
                None
            )),
        ("\\PC{0,24}").prop_map(move |value| (
            plain(Kind::Text, "hstore", 0),
            Value::Text(value),
            None
        )),
        prop::collection::vec(any::<i64>(), 0..5).prop_map(move |values| {
            let expected = Json::from(values.clone());
            let values = values.into_iter().map(Value::Integer).collect();
            (
                list("", column("", Kind::Integer, "int8", 20, -1)),
                Value::List(values),
                Some(expected),
            )
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_text_parses_to_the_rows_values(
        cells in prop::collection::vec((value(), "\\PC{0,8}|[\\x00-\\x7f]{0,8}"), 0..10),
        with_before in any::<bool>(),
    ) {
        let mut columns = Vec::new();
        let mut values = Vec::new();
        let mut expected = Vec::new();
        for (index, ((mut column, value, json), name)) in cells.into_iter().enumerate() {
            column.name = format!("{name}{index}");
            expected.push((column.name.clone(), json));
            columns.push(column);
            values.push(value);
        }
        let key: Vec<u32> = (0..columns.len() as u32).rev().step_by(2).collect();
        let options = PlanOptions { prefix: "srv".to_owned(), ..PlanOptions::default() };
        let plan = Plan::new(&options, &schema(columns, &key)).unwrap();
        let before = with_before.then_some(values.as_slice());
        let encoded = change(Operation::Update, before, Some(&values));
        let change = ChangeView::parse(&encoded).unwrap();
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        encoder.value(&plan, &change, &mut out).unwrap();
        let parsed: Json = serde_json::from_slice(&out).unwrap();
        for (name, json) in &expected {
            if let Some(json) = json {
                prop_assert_eq!(&parsed["after"][name], json);
            }
            prop_assert!(parsed["after"].get(name).is_some());
        }
        prop_assert_eq!(parsed["before"].is_null(), !with_before);
        out.clear();
        let has_key = encoder.key(&plan, &change, &mut out).unwrap();
        prop_assert_eq!(has_key, !key.is_empty());
        if has_key {
            let parsed: Json = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(parsed.as_object().unwrap().len(), key.len());
        }
        // The same before and after is no moved key, whatever the values are.
        let mut count = 0;
        encoder
            .messages(&plan, &change, |_| {
                count += 1;
                Ok::<(), offtake_encode::EncodeError>(())
            })
            .unwrap();
        prop_assert_eq!(count, 1);
    }
}
