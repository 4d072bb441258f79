//! The key that a plugin chooses: part of the definition that its rows leave with.

use std::sync::Arc;

use offtake_change::{Image, Operation, TableSchema, ValueRef};

use crate::answers::Shape;
use crate::batches::{EMAIL, TestRow, Value, all, batch, customer, customers, encoded, schema};
use crate::zoo::{Guest, Layout, instance, words};

const VISITS: u32 = 3;
const NONE: [u8; 8] = [0; 8];

#[test]
fn a_chosen_key_is_the_outputs_and_names_the_plugin() {
    let input = schema();
    let mut plugin = instance(&Guest::keying(&[EMAIL, 0]));
    let output = plugin.output_schema(&input).unwrap();
    assert_eq!(output.key, [EMAIL, 0]);
    let expected = TableSchema {
        key: vec![EMAIL, 0],
        changed_by: vec!["zoo".to_owned()],
        ..TableSchema::clone(&input)
    };
    assert_eq!(*output, expected, "nothing else differs");
    assert!(Arc::ptr_eq(&output, &plugin.output_schema(&schema()).unwrap()), "made once");
    assert!(instance(&Guest::keying(&[])).output_schema(&input).unwrap().key.is_empty());
}

#[test]
fn without_a_choice_or_with_the_tables_own_key_the_definition_stays_the_very_same() {
    for guest in [Guest::pass(&[0], 0), Guest::keying(&[0])] {
        let (input, mut plugin) = (schema(), instance(&guest));
        assert!(Arc::ptr_eq(&plugin.output_schema(&input).unwrap(), &input));
        let anew = schema();
        assert!(Arc::ptr_eq(&plugin.output_schema(&anew).unwrap(), &anew));
        let mut batch = batch(&anew, &customers(2));
        plugin.process(&mut batch, &[0, 1]).unwrap();
        assert_eq!(batch.schemas.len(), 1);
    }
}

#[test]
fn rows_leave_with_the_chosen_key_also_where_the_plugin_is_not_called() {
    for subscribe in [true, false] {
        let mut plugin = instance(&Guest { subscribe, ..Guest::keying(&[EMAIL]) });
        let mut batch = batch(&schema(), &customers(3));
        let before = encoded(&batch);
        batch.rows[1].dropped = true;
        plugin.process(&mut batch, &[0, 1]).unwrap();
        assert_eq!(plugin.counters().calls, u64::from(subscribe));
        let key = |row: usize| batch.schemas[batch.rows[row].schema as usize].key.clone();
        assert_eq!([key(0), key(1)], [[EMAIL], [EMAIL]]);
        assert_eq!(key(2), [0], "it was not among those that the plugin is to see");
        batch.rows[1].dropped = false;
        assert_eq!(encoded(&batch), before, "no value changed");
    }
}

#[test]
fn the_next_plugin_takes_in_what_the_one_before_put_out() {
    let mut first = instance(&Guest::keying(&[EMAIL]));
    let mut second = instance(&Guest::keying(&[VISITS, EMAIL]));
    let mut batch = batch(&schema(), &customers(4));
    let rows = all(&batch);
    first.process(&mut batch, &rows).unwrap();
    second.process(&mut batch, &rows).unwrap();
    let output = &batch.schemas[batch.rows[3].schema as usize];
    assert_eq!(output.key, [VISITS, EMAIL]);
    assert_eq!(output.changed_by, ["zoo", "zoo"]);
}

#[test]
fn a_key_of_columns_that_there_are_not_is_a_fault() {
    for (key, text) in [(&[9][..], "column 9 of 9"), (&[1, 0, 1], "column 1 twice")] {
        let fault = instance(&Guest::keying(key)).output_schema(&schema()).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
    }
}

/// A plugin that keys by the address and answers always the same.
fn answering(build: impl FnOnce(&mut Layout) -> [[u8; 8]; 7]) -> Guest {
    Guest { shape: Some(Shape::key(&[EMAIL])), ..Guest::answering(build) }
}

#[test]
fn a_row_that_becomes_a_delete_is_known_by_the_chosen_key() {
    let guest = answering(|layout| {
        let operations = layout.list(&words(&[0, b'd'.into()]), 1);
        [NONE, NONE, operations, NONE, NONE, NONE, NONE]
    });
    let row = TestRow {
        operation: Operation::Update,
        before: None,
        after: Some(customer(7, Value::Text("ada@x".to_owned()))),
    };
    // A table without a key of its own cannot lose a row otherwise.
    let keyless = Arc::new(TableSchema { key: Vec::new(), ..TableSchema::clone(&schema()) });
    for input in [schema(), keyless] {
        let mut batch = batch(&input, std::slice::from_ref(&row));
        instance(&guest).process(&mut batch, &[0]).unwrap();
        let head = batch.rows[0];
        assert_eq!((head.operation, head.after), (Operation::Delete, Image::NONE));
        assert_eq!(batch.column(head.before, EMAIL as usize), ValueRef::Text(b"ada@x"));
        assert_eq!(batch.column(head.before, 0), ValueRef::Absent, "the table's own is no key");
    }
}

#[test]
fn the_chosen_key_is_never_made_null_or_left_out() {
    for (presence, text) in [(1_u8, "NULL in a column of the key"), (3, "is left out")] {
        let guest = answering(|layout| {
            let codes = layout.list(&[presence], 1);
            let texts = layout.list(&NONE, 1);
            let data = [&words(&[4])[..], &texts, &NONE].concat();
            let patch = [&words(&[1, EMAIL])[..], &codes, &data, &NONE].concat();
            let set = layout.list(&patch, 1);
            [NONE, set, NONE, NONE, NONE, NONE, NONE]
        });
        let mut batch = batch(&schema(), &customers(1));
        let before = encoded(&batch);
        let fault = instance(&guest).process(&mut batch, &[0]).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
        assert_eq!(encoded(&batch), before);
        // Where it is no key the same is allowed.
        instance(&Guest { shape: None, ..guest }).process(&mut batch, &[0]).unwrap();
    }
}
