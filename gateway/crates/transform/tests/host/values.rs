//! Values reach a plugin and come back: layouts, missing values, calls of every size.

use std::sync::Arc;

use offtake_change::{Operation, TableSchema};
use proptest::prelude::*;

use crate::batches::{
    ALL_COLUMNS, EMAIL, TestRow, Value, all, batch, customer, customers, encoded, schema, text,
};
use crate::zoo::{ALL_METADATA, BEFORE_IMAGE, Guest, PACKED_TEXT, instance};

#[test]
fn a_plugin_that_says_nothing_changes_nothing() {
    let schema = schema();
    let mut plugin =
        instance(&Guest::pass(&ALL_COLUMNS, BEFORE_IMAGE | PACKED_TEXT | ALL_METADATA));
    let mut batch = batch(&schema, &customers(10));
    let before = encoded(&batch);
    let rows = all(&batch);
    plugin.process(&mut batch, &rows).unwrap();
    assert_eq!(encoded(&batch), before);
    let counters = plugin.counters();
    assert_eq!((counters.calls, counters.rows, counters.faults), (1, 10, 0));
    assert!(counters.nanoseconds > 0);
}

#[test]
fn both_layouts_mask_in_both_images_and_leave_other_columns_alone() {
    let schema = schema();
    let row = TestRow {
        operation: Operation::Update,
        before: Some(customer(1, Value::Text("old@x".to_owned()))),
        after: Some(customer(1, Value::Text("né@x".to_owned()))),
    };
    for wants in [BEFORE_IMAGE, BEFORE_IMAGE | PACKED_TEXT] {
        let mut plugin = instance(&Guest::stars(&[EMAIL], wants));
        let mut batch = batch(&schema, std::slice::from_ref(&row));
        plugin.process(&mut batch, &[0]).unwrap();
        let head = batch.rows[0];
        assert_eq!(text(&batch, head.before, EMAIL), "*****");
        assert_eq!(text(&batch, head.after, EMAIL), "*****");
        for ordinal in ALL_COLUMNS.into_iter().filter(|&ordinal| ordinal != EMAIL) {
            let untouched = crate::batches::batch(&schema, std::slice::from_ref(&row));
            assert_eq!(
                batch.column(head.after, ordinal as usize),
                untouched.column(untouched.rows[0].after, ordinal as usize)
            );
        }
    }
}

#[test]
fn a_plugin_that_protects_is_sent_before_images_it_did_not_ask_for() {
    let guest = Guest { protects: true, ..Guest::stars(&[EMAIL], PACKED_TEXT) };
    let mut plugin = instance(&guest);
    let row = TestRow {
        operation: Operation::Delete,
        before: Some(customer(1, Value::Text("secret".to_owned()))),
        after: None,
    };
    let mut batch = batch(&schema(), &[row]);
    plugin.process(&mut batch, &[0]).unwrap();
    assert_eq!(text(&batch, batch.rows[0].before, EMAIL), "******");
}

#[test]
fn missing_values_stay_missing() {
    let schema = schema();
    let rows: Vec<TestRow> =
        [Value::Null, Value::Unchanged, Value::Absent, Value::Text("x".into())]
            .into_iter()
            .map(|email| TestRow {
                operation: Operation::Update,
                before: None,
                after: Some(customer(1, email)),
            })
            .chain([TestRow { operation: Operation::Truncate, before: None, after: None }])
            .collect();
    for wants in [BEFORE_IMAGE, BEFORE_IMAGE | PACKED_TEXT] {
        let mut plugin = instance(&Guest::stars(&[EMAIL], wants));
        let mut batch = batch(&schema, &rows);
        let list = all(&batch);
        plugin.process(&mut batch, &list).unwrap();
        let emails: Vec<String> =
            batch.rows.iter().map(|row| text(&batch, row.after, EMAIL)).collect();
        assert_eq!(emails, ["Null", "Unchanged", "Absent", "*", "Absent"]);
    }
}

#[test]
fn calls_of_every_size_give_the_same_result() {
    let schema = schema();
    let rows = customers(600);
    let whole = masked(&schema, &rows, 600, PACKED_TEXT);
    assert!(whole.iter().flatten().any(|row| row.windows(4).any(|part| part == b"****")));
    for size in [1, 2, 7, 256, 257] {
        for wants in [0, PACKED_TEXT] {
            assert_eq!(masked(&schema, &rows, size, wants), whole, "{size} rows a call");
        }
    }
}

/// The rows after masking, handed to the plugin in pieces.
fn masked(
    schema: &Arc<TableSchema>,
    rows: &[TestRow],
    size: usize,
    wants: u8,
) -> Vec<Option<Vec<u8>>> {
    let mut plugin = instance(&Guest::stars(&[EMAIL], wants));
    let mut batch = batch(schema, rows);
    for piece in all(&batch).chunks(size) {
        plugin.process(&mut batch, piece).unwrap();
    }
    assert_eq!(plugin.counters().rows, rows.len() as u64);
    assert_eq!(
        plugin.counters().calls as usize,
        match size {
            257 => 2 * (rows.len() / 257) + 1,
            size => rows.len().div_ceil(size.min(256)),
        }
    );
    encoded(&batch)
}

#[test]
fn large_rows_are_divided_into_calls_by_size() {
    let rows: Vec<TestRow> = (0..20)
        .map(|id| TestRow {
            operation: Operation::Create,
            before: None,
            after: Some(customer(id, Value::Text("x".repeat(700 << 10)))),
        })
        .collect();
    let mut batch = batch(&schema(), &rows);
    // 14 MB of text; the plugin may have 8 MiB of memory.
    let mut plugin = instance(&Guest::stars(&[EMAIL], PACKED_TEXT));
    let list = all(&batch);
    plugin.process(&mut batch, &list).unwrap();
    assert_eq!(plugin.counters().calls, 20);
    assert!(text(&batch, batch.rows[19].after, EMAIL).bytes().all(|byte| byte == b'*'));
}

#[test]
fn rows_of_several_schemas_and_dropped_rows_are_told_apart() {
    let first = schema();
    let second = Arc::new(TableSchema { table: "other".to_owned(), ..(*first).clone() });
    let mut batch = batch(&first, &customers(6));
    let other = batch.schema_index(&second);
    batch.rows[2].schema = other;
    batch.rows[3].schema = other;
    batch.rows[5].dropped = true;
    let mut plugin = instance(&Guest::stars(&[EMAIL], PACKED_TEXT));
    plugin.process(&mut batch, &[0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(plugin.counters().calls, 3);
    assert_eq!(plugin.counters().rows, 5);
    assert!(text(&batch, batch.rows[3].after, EMAIL).starts_with('*'));
    assert!(!text(&batch, batch.rows[5].after, EMAIL).starts_with('*'));
}

#[test]
fn a_plugin_that_does_not_subscribe_is_never_called() {
    let guest = Guest { subscribe: false, process: "(unreachable)".to_owned(), ..Guest::default() };
    let mut plugin = instance(&guest);
    let mut batch = batch(&schema(), &customers(3));
    plugin.process(&mut batch, &[0, 1, 2]).unwrap();
    assert_eq!(plugin.counters().calls, 0);
}

#[test]
fn a_verdict_drops_rows_changes_operations_adds_headers_and_chooses_partitions() {
    let guest = Guest::answering(|layout| {
        let drop = layout.u32s(&[1]);
        let ops = layout.list(&[&0_u32.to_le_bytes()[..], b"d\0\0\0"].concat(), 1);
        let header = [layout.string(b"tier"), layout.string(b"gold")].concat();
        let add = layout.list(&header, 1);
        // rows, stream: none, partitions, add-headers, remove-headers
        let rows = layout.u32s(&[2]);
        let partitions = layout.u32s(&[7]);
        let route = [&rows[..], &[0; 12], &partitions, &add, &[0; 8]].concat();
        let routes = layout.list(&route, 1);
        [drop, [0; 8], ops, routes, [0; 8], [0; 8], [0; 8]]
    });
    let mut plugin = instance(&guest);
    let mut batch = batch(&schema(), &customers(3));
    plugin.process(&mut batch, &[0, 1, 2]).unwrap();
    assert!(batch.rows[1].dropped);
    assert_eq!(plugin.counters().dropped, 1);
    let deleted = batch.rows[0];
    assert_eq!(deleted.operation, Operation::Delete);
    assert!(!deleted.after.is_some());
    assert_eq!(text(&batch, deleted.before, 0), "Integer(0)");
    assert_eq!(text(&batch, deleted.before, EMAIL), "Absent", "only the key is kept");
    let headers: Vec<_> = batch.headers(batch.rows[2].headers).collect();
    assert_eq!(headers, [(&b"tier"[..], &b"gold"[..])]);
    assert_eq!(batch.headers(batch.rows[0].headers).count(), 0);
    assert_eq!(batch.rows[2].headers.partition(), Some(7));
    assert_eq!(batch.rows[0].headers.partition(), None);
}

/// A guest that gives these partitions to all rows.
fn choosing(partitions: &'static [u32]) -> Guest {
    Guest::answering(|layout| {
        let partitions = layout.u32s(partitions);
        let route = [&[0; 8][..], &[0; 12], &partitions, &[0; 8], &[0; 8]].concat();
        let routes = layout.list(&route, 1);
        [[0; 8], [0; 8], [0; 8], routes, [0; 8], [0; 8], [0; 8]]
    })
}

#[test]
fn partitions_are_one_for_all_rows_or_one_a_row() {
    let chosen = |partitions| {
        let mut batch = batch(&schema(), &customers(3));
        let list = all(&batch);
        instance(&choosing(partitions)).process(&mut batch, &list).map(|_| {
            batch.rows.iter().map(|row| row.headers.partition().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(chosen(&[4]).unwrap(), [4, 4, 4]);
    assert_eq!(chosen(&[4, 0, 9]).unwrap(), [4, 0, 9]);
    let fault = chosen(&[4, 5]).unwrap_err();
    assert!(fault.to_string().contains("2 partitions for 3 rows"), "{fault}");
}

fn missing_or(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![
        6 => value,
        1 => Just(Value::Null),
        1 => Just(Value::Unchanged),
        1 => Just(Value::Absent),
    ]
    .boxed()
}

fn any_image() -> impl Strategy<Value = Vec<Value>> {
    let texts = prop::collection::vec(prop::option::of(any::<String>()), 0..4);
    (
        any::<i64>().prop_map(Value::Integer),
        missing_or(any::<String>().prop_map(Value::Text).boxed()),
        missing_or(any::<bool>().prop_map(Value::Boolean).boxed()),
        missing_or(any::<i32>().prop_map(|value| Value::Integer(value.into())).boxed()),
        missing_or(any::<u64>().prop_map(Value::Unsigned).boxed()),
        missing_or(any::<f32>().prop_map(Value::Single).boxed()),
        missing_or(any::<f64>().prop_map(Value::Number).boxed()),
        missing_or(any::<Vec<u8>>().prop_map(Value::Bytes).boxed()),
        missing_or(texts.prop_map(Value::Texts).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| vec![a, b, c, d, e, f, g, h, i])
}

fn any_row() -> impl Strategy<Value = TestRow> {
    (any::<u8>(), any_image(), any_image()).prop_map(|(pick, old, new)| match pick % 5 {
        0 => TestRow { operation: Operation::Create, before: None, after: Some(new) },
        1 => TestRow { operation: Operation::Update, before: Some(old), after: Some(new) },
        2 => TestRow { operation: Operation::Update, before: None, after: Some(new) },
        3 => TestRow { operation: Operation::Delete, before: Some(old), after: None },
        _ => TestRow { operation: Operation::Truncate, before: None, after: None },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_plugin_gives_back_unchanged_leaves_the_batch_equal(
        rows in prop::collection::vec(any_row(), 1..40),
        layout in prop_oneof![Just(0), Just(PACKED_TEXT)],
    ) {
        let guest = Guest::echo(&ALL_COLUMNS, BEFORE_IMAGE | ALL_METADATA | layout);
        let component = ECHO.get_or_init(Default::default);
        let mut kept = component[usize::from(layout != 0)].lock().unwrap();
        let plugin = kept.get_or_insert_with(|| instance(&guest));
        let mut batch = batch(&schema(), &rows);
        let before = encoded(&batch);
        let list = all(&batch);
        plugin.process(&mut batch, &list).unwrap();
        prop_assert_eq!(encoded(&batch), before);
    }
}

/// The instances of the property test, one a layout, used again from case to case.
static ECHO: std::sync::OnceLock<[std::sync::Mutex<Option<offtake_transform::Instance>>; 2]> =
    std::sync::OnceLock::new();
