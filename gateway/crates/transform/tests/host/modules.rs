//! Core modules do what components do: the same batch, the same outcome.

use offtake_change::{Batch, Image, Operation, ValueRef};
use offtake_transform::{FaultCode, Isolated, Processed};

use crate::answers::{self, Emitted, Output, Values, integer_column, text_column};
use crate::batches::{
    ALL_COLUMNS, EMAIL, TestRow, Value, all, batch, customer, customers, encoded, schema, text,
};
use crate::module_zoo::{self as frame, Module};
use crate::zoo::{self, ALL_METADATA, BEFORE_IMAGE, Guest, PACKED_TEXT, words};

const EVERYTHING: [&str; 5] =
    ["before-image", "headers", "positions", "commit-times", "transactions"];

/// Changes of every operation, with values of every presence.
fn mixed() -> Vec<TestRow> {
    let email = |value| Some(customer(7, value));
    let row = |operation, before, after| TestRow { operation, before, after };
    vec![
        row(Operation::Create, None, email(Value::Text("né@x".to_owned()))),
        row(Operation::Update, email(Value::Null), email(Value::Unchanged)),
        row(Operation::Update, None, email(Value::Text(String::new()))),
        row(Operation::Delete, email(Value::Absent), None),
        row(Operation::Read, None, email(Value::Null)),
        row(Operation::Truncate, None, None),
    ]
}

fn processed(plugin: &mut offtake_transform::Instance, rows: &[TestRow]) -> Batch {
    let mut batch = batch(&schema(), rows);
    let list = all(&batch);
    plugin.process(&mut batch, &list).unwrap();
    batch
}

#[test]
fn a_module_that_says_nothing_changes_nothing() {
    let mut plugin = Module::pass(&ALL_COLUMNS, &EVERYTHING).instance();
    let untouched = encoded(&batch(&schema(), &customers(10)));
    assert_eq!(encoded(&processed(&mut plugin, &customers(10))), untouched);
    let counters = plugin.counters();
    assert_eq!((counters.calls, counters.rows, counters.faults), (1, 10, 0));
}

#[test]
fn every_column_comes_back_as_it_was_sent() {
    let mut plugin = Module::echo(&ALL_COLUMNS, &EVERYTHING).instance();
    for rows in [mixed(), customers(1), customers(7), customers(256)] {
        let untouched = encoded(&batch(&schema(), &rows));
        assert_eq!(encoded(&processed(&mut plugin, &rows)), untouched);
    }
}

#[test]
fn a_module_and_a_component_that_do_the_same_give_the_same() {
    let wants = BEFORE_IMAGE | PACKED_TEXT | ALL_METADATA;
    let mut component = zoo::instance(&Guest::stars(&ALL_COLUMNS[..8], wants));
    let mut module = Module::stars(&ALL_COLUMNS[..8], &EVERYTHING).instance();
    for rows in [mixed(), customers(3), customers(600)] {
        let expected = encoded(&processed(&mut component, &rows));
        assert_eq!(encoded(&processed(&mut module, &rows)), expected);
        assert_ne!(expected, encoded(&batch(&schema(), &rows)), "there was something to do");
    }
}

#[test]
fn rows_are_dropped_and_their_operations_changed() {
    let answer = frame::verdict(&[
        (1, words(&[1])),
        (3, words(&[0, u32::from(b'u'), 3, u32::from(b'd')])),
        (1, words(&[2])),
    ]);
    let mut plugin = Module::answering(&answer).instance();
    let after = processed(&mut plugin, &customers(4));
    let dropped: Vec<bool> = after.rows.iter().map(|row| row.dropped).collect();
    assert_eq!(dropped, [false, true, true, false]);
    assert_eq!(after.rows[0].operation, Operation::Update);
    assert_eq!(after.rows[3].operation, Operation::Delete);
    assert_eq!(plugin.counters().dropped, 2);
}

#[test]
fn columns_are_set_for_all_rows_or_for_some() {
    let answer = frame::verdict(&[
        (2, frame::set(1, &[0, 2], &frame::texts(EMAIL, &[Some("a@é"), None]))),
        (2, frame::set(1, &[], &frame::integers(3, &[Some(-7), None, Some(9)]))),
    ]);
    let after = processed(&mut Module::answering(&answer).instance(), &customers(3));
    let emails: Vec<String> = after.rows.iter().map(|row| text(&after, row.after, EMAIL)).collect();
    assert_eq!(emails, ["a@é", "é@example.com", "Null"]);
    let visits: Vec<ValueRef<'_>> =
        after.rows.iter().map(|row| after.column(row.after, 3)).collect();
    assert_eq!(visits, [ValueRef::Integer(-7), ValueRef::Null, ValueRef::Integer(9)]);
}

#[test]
fn routes_carry_stream_partitions_and_headers() {
    let route = [
        words(&[2, 0, 2, 1]),
        frame::text("elsewhere"),
        words(&[2, 5, 6, 1]),
        frame::text("origin"),
        frame::text("zoo"),
        words(&[1]),
        frame::text("gone"),
    ];
    let answer = frame::verdict(&[(4, route.concat())]);
    let after = processed(&mut Module::answering(&answer).instance(), &customers(3));
    let streams: Vec<bool> = after.rows.iter().map(|row| row.stream.is_some()).collect();
    assert_eq!(streams, [true, false, true]);
    let headers: Vec<_> = after.headers(after.rows[2].headers).collect();
    assert_eq!(headers, [(&b"origin"[..], &b"zoo"[..])]);
    assert_eq!(after.headers(after.rows[1].headers).count(), 0);

    // A component that says the same.
    let stream = |layout: &mut zoo::Layout| {
        let rows = layout.u32s(&[0, 2]);
        let name = layout.string(b"elsewhere");
        let partitions = layout.u32s(&[5, 6]);
        let header = [layout.string(b"origin"), layout.string(b"zoo")].concat();
        let added = layout.list(&header, 1);
        let gone = layout.string(b"gone");
        let removed = layout.list(&gone, 1);
        let route = [&rows[..], &words(&[1]), &name, &partitions, &added, &removed].concat();
        [[0; 8], [0; 8], [0; 8], layout.list(&route, 1), [0; 8], [0; 8], [0; 8]]
    };
    let expected = processed(&mut zoo::instance(&Guest::answering(stream)), &customers(3));
    assert_eq!(encoded(&after), encoded(&expected));
}

#[test]
fn rows_are_emitted_on_a_declared_output() {
    let columns = r#"[{"name": "number", "kind": "int64", "logical": "int8", "nullable": true},
                      {"name": "note", "kind": "text", "logical": "text", "nullable": true}]"#;
    let body = {
        let headers = [&words(&[1, 2, 1])[..], &frame::text("k"), &frame::text("v")].concat();
        let head = [
            words(&[0, 3, 0, 0, 2]),
            b"ccu\0".to_vec(),
            words(&[0]),
            words(&[1, 4]),
            headers,
            words(&[1, 1]),
        ];
        let after = frame::integers(0, &[Some(10), Some(11), Some(30)]);
        let before = frame::integers(0, &[Some(0), Some(0), Some(30)]);
        [frame::pad(head.concat(), 8), after, before].concat()
    };
    let mut module = Module::answering(&frame::verdict(&[(5, body)]));
    module.interest = format!(
        r#"{{"ok": {{"subscribe": true, "columns": [1],
             "outputs": [{{"name": "lines", "columns": {columns}, "key": [0]}}]}}}}"#
    );
    let emitted = Emitted {
        parents: vec![0, 0, 2],
        operations: "ccu",
        before: vec![(0, Values::Integers(vec![Some(0), Some(0), Some(30)]))],
        after: vec![(0, Values::Integers(vec![Some(10), Some(11), Some(30)]))],
        partitions: vec![4],
        header: Some((2, "k", "v")),
        ..Emitted::default()
    };
    let answer = Guest::answering(|layout| {
        let none = [0; 8];
        [none, none, none, none, answers::emitted(layout, &[emitted]), none, none]
    });
    let lines = Output {
        name: "lines",
        columns: vec![integer_column("number"), text_column("note")],
        key: vec![0],
        form: answers::Form::Envelope,
        stream: None,
    };
    let component = Guest { outputs: vec![lines], ..answer };
    let after = processed(&mut module.instance(), &customers(3));
    assert_eq!(after.rows.len(), 6);
    assert_eq!(encoded(&after), encoded(&processed(&mut zoo::instance(&component), &customers(3))));
}

#[test]
fn a_declared_row_failure_is_of_that_row() {
    let failed = [&words(&[1, 1])[..], &frame::text("no such customer")].concat();
    let plugin = Module::answering(&frame::verdict(&[(6, failed)])).load().unwrap();
    let mut batch = batch(&schema(), &customers(3));
    let mut done = Processed::default();
    Isolated::new(&plugin).unwrap().process(&mut batch, &[0, 1, 2], &mut done).unwrap();
    let [failed] = &done.failed[..] else { panic!("{:?}", done.failed) };
    assert_eq!((failed.row, failed.fault.code), (1, FaultCode::RowFailure));
    assert!(failed.fault.permanent && failed.fault.message.contains("no such customer"));
}

#[test]
fn a_failure_frame_fails_the_call_and_keeps_the_instance() {
    let mut plugin = Module::answering(&frame::failure("try later", false)).instance();
    let mut batch = batch(&schema(), &customers(2));
    let fault = plugin.process(&mut batch, &[0, 1]).unwrap_err();
    assert_eq!((fault.code, fault.permanent), (FaultCode::Refused, false));
    assert!(fault.message.contains("try later") && !plugin.is_poisoned());
}

/// Drops rows unless the frame has this word at this place.
fn expecting(wants: &[&str], at: usize, word: u32) -> Module {
    let mut module = Module::pass(&[], wants);
    let drop = module.put(&frame::verdict(&[(1, words(&[0]))]));
    module.process = format!(
        "(select (i64.const 0) (i64.const {drop})
           (i32.eq (i32.load offset={at} (local.get $b)) (i32.const {word})))"
    );
    module
}

#[test]
fn metadata_lies_where_the_specification_says() {
    // One row, no columns: operation at 24, metadata from 32.
    let wants = ["positions", "commit-times", "transactions"];
    let commit = 1_700_000_000_000_000_u64;
    for (at, word) in [
        (4, 0),
        (8, 1),
        (20, 7),
        (24, u32::from(b'c')),
        (32, 0),
        (36, 6),
        (40, u32::from_le_bytes(*b"0/10")),
        // Snapshot at 48, commit time at 56.
        (48, 0),
        (56, commit as u32),
        (60, (commit >> 32) as u32),
        // Transaction: offsets, text, padding, order.
        (64, 0),
        (68, 3),
        (72, u32::from_le_bytes(*b"771\0")),
        (80, 1),
    ] {
        let after = processed(&mut expecting(&wants, at, word).instance(), &customers(1));
        assert!(!after.rows[0].dropped, "{word} at {at}");
        let after = processed(&mut expecting(&wants, at, word ^ 1).instance(), &customers(1));
        assert!(after.rows[0].dropped, "not {} at {at}", word ^ 1);
    }
}

#[test]
fn headers_of_earlier_plugins_are_sent_of_rows_that_have_some() {
    for (at, word) in [(20, 8), (32, 1), (36, 0), (40, 1), (44, 3), (52, 2)] {
        let mut batch = batch(&schema(), &customers(1));
        batch.set_headers(0, [("abc", &b"de"[..])].into_iter());
        expecting(&["headers"], at, word).instance().process(&mut batch, &[0]).unwrap();
        assert!(!batch.rows[0].dropped, "{word} at {at}");
    }
    let after = processed(&mut expecting(&["headers"], 20, 0).instance(), &customers(1));
    assert!(!after.rows[0].dropped, "no row has headers");
}

#[test]
fn a_shape_is_taken_from_json() {
    let mut module = Module::pass(&[], &[]);
    module.interest = r#"{"ok": {"subscribe": true, "shape": {
        "remove": [7], "retype": [[3, {"name": "calls", "kind": "int64", "logical": "int8"}]],
        "add": [{"name": "note", "kind": "text", "logical": "text", "nullable": true}],
        "key": [0, 3], "stream": "people", "name": ["crm", "people"]}}}"#
        .to_owned();
    let mut plugin = module.instance();
    let output = plugin.output_schema(&schema()).unwrap();
    let names: Vec<&str> = output.columns.iter().map(|column| column.name.as_str()).collect();
    let expected = ["id", "email", "active", "calls", "flags", "rating", "balance", "tags", "note"];
    assert_eq!(names, expected);
    assert_eq!(
        (output.key.as_slice(), output.qualified_name()),
        (&[0, 3][..], "crm.people".into())
    );
    let after = processed(&mut plugin, &customers(2));
    assert_eq!(after.column(after.rows[1].after, 8), ValueRef::Null);
    assert_ne!(after.rows[1].after, Image::NONE);
    assert!(after.rows.iter().all(|row| row.stream.is_some()));
}
