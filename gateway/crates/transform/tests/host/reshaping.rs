//! Columns that a plugin removes, defines anew or adds, and what its rows then look like.

use std::sync::Arc;

use offtake_change::{Batch, Form, Kind, Operation, Subject, TableSchema, ValueRef};

use crate::answers::{self, Column, Shape, Values, integer_column, patch, text_column};
use crate::batches::{EMAIL, TestRow, Value, all, batch, customer, customers, schema};
use crate::zoo::{Guest, instance};

const VISITS: u32 = 3;
const NONE: [u8; 8] = [0; 8];
/// Of the first column that is added to [`schema`].
const ADDED: u32 = 9;

fn shaped(shape: Shape) -> Guest {
    Guest { shape: Some(shape), ..Guest::pass(&[], 0) }
}

/// Answers these values for a column in the after image.
fn setting(shape: Shape, ordinal: u32, values: Values) -> Guest {
    let answer = Guest::answering(|layout| {
        [NONE, patch(layout, 1, ordinal, &values), NONE, NONE, NONE, NONE, NONE]
    });
    Guest { shape: Some(shape), ..answer }
}

fn schema_of(batch: &Batch, row: usize) -> &TableSchema {
    &batch.schemas[batch.rows[row].schema as usize]
}

fn names(schema: &TableSchema) -> Vec<&str> {
    schema.columns.iter().map(|column| column.name.as_str()).collect()
}

/// The value of a column by name, in the after image.
fn value<'b>(batch: &'b Batch, row: usize, name: &str) -> ValueRef<'b> {
    let ordinal = schema_of(batch, row).ordinal(name).unwrap();
    batch.column(batch.rows[row].after, ordinal)
}

#[test]
fn removed_columns_leave_neither_definition_nor_rows_nor_a_later_plugins_sight() {
    let shape = Shape { remove: vec![EMAIL, 7], ..Shape::default() };
    let mut first = instance(&shaped(shape));
    let mut batch = batch(&schema(), &customers(3));
    let rows = all(&batch);
    first.process(&mut batch, &rows).unwrap();
    let output = schema_of(&batch, 0);
    assert_eq!(names(output), ["id", "active", "visits", "flags", "rating", "balance", "tags"]);
    assert_eq!((&output.key[..], &output.changed_by[..]), (&[0][..], &["zoo".to_owned()][..]));
    assert_eq!(batch.rows[1].after.len(), 7);
    assert_eq!(value(&batch, 1, "visits"), ValueRef::Integer(1));
    assert_eq!(value(&batch, 2, "balance"), ValueRef::Number(1.25));
    // Every byte of what is encoded comes from what is left.
    let mut encoded = Vec::new();
    batch.encode(&batch.rows[0], 1, 1, 1, &mut encoded);
    assert!(!encoded.windows(7).any(|window| window == b"example"));
    let mut echo = instance(&Guest::echo(&[0, 1, 2, 3, 4, 5, 6], 0));
    echo.process(&mut batch, &rows).unwrap();
    assert_eq!(echo.counters().rows, 3);
}

#[test]
fn an_added_column_is_null_until_it_is_set_and_absent_before() {
    let add = vec![text_column("note"), integer_column("points")];
    let shape = Shape { add, ..Shape::default() };
    let row = TestRow {
        operation: Operation::Update,
        before: Some(customer(1, Value::Null)),
        after: Some(customer(1, Value::Null)),
    };
    let rows = [row.clone(), row];
    for subscribe in [true, false] {
        let mut batch = batch(&schema(), &rows);
        instance(&Guest { subscribe, ..shaped(shape.clone()) })
            .process(&mut batch, &[0, 1])
            .unwrap();
        assert_eq!(value(&batch, 0, "note"), ValueRef::Null);
        let before = batch.rows[0].before;
        assert_eq!((before.len(), batch.column(before, 10)), (11, ValueRef::Absent));
    }
    let values = Values::Integers(vec![Some(i64::MAX), None]);
    let mut batch = batch(&schema(), &rows);
    instance(&setting(shape, ADDED + 1, values)).process(&mut batch, &[0, 1]).unwrap();
    assert_eq!(value(&batch, 0, "points"), ValueRef::Integer(i64::MAX));
    assert_eq!(value(&batch, 1, "points"), ValueRef::Null);
    assert_eq!(value(&batch, 1, "visits"), ValueRef::Integer(1), "the table's own stay");
    assert_eq!(schema_of(&batch, 0).columns[10].kind, Kind::Integer);
}

#[test]
fn an_added_column_that_may_not_be_null_has_to_be_set_in_every_row() {
    let column = Column { nullable: false, ..integer_column("points") };
    let shape = Shape { add: vec![column], ..Shape::default() };
    let good = Values::Integers(vec![Some(1), Some(2)]);
    let mut both = batch(&schema(), &customers(2));
    instance(&setting(shape.clone(), ADDED, good)).process(&mut both, &[0, 1]).unwrap();
    assert_eq!(value(&both, 1, "points"), ValueRef::Integer(2));
    let unset = shaped(shape.clone());
    let null = setting(shape.clone(), ADDED, Values::Integers(vec![Some(1), None]));
    for (guest, text) in [(unset, "row 0 has no value"), (null, "not nullable")] {
        let mut batch = batch(&schema(), &customers(2));
        let fault = instance(&guest).process(&mut batch, &[0, 1]).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
        assert_eq!(batch.rows[0].after.len(), 9, "the batch is as it was");
    }
    // Without a call nobody could set it.
    let silent = Guest { subscribe: false, ..shaped(shape) };
    let fault = instance(&silent).output_schema(&schema()).unwrap_err();
    assert!(fault.message.contains("does not ask to be called"), "{fault}");
}

#[test]
fn a_renamed_column_keeps_its_values_and_what_the_database_says_of_its_type() {
    let renamed = Column { name: "times", kind: 1, logical: "int4", nullable: true };
    let shape = Shape { retype: vec![(VISITS, renamed)], ..Shape::default() };
    for subscribe in [true, false] {
        let mut input = TableSchema::clone(&schema());
        input.columns[VISITS as usize].type_id = 23;
        let mut batch = batch(&Arc::new(input), &customers(2));
        let guest = Guest { subscribe, ..shaped(shape.clone()) };
        instance(&guest).process(&mut batch, &[0, 1]).unwrap();
        assert_eq!(value(&batch, 1, "times"), ValueRef::Integer(1));
        assert_eq!(schema_of(&batch, 1).columns[VISITS as usize].type_id, 23);
    }
    // Also of a type that the host would not make of its logical name.
    let photo = Column { name: "picture", kind: 5, logical: "bytea", nullable: true };
    let shape = Shape { retype: vec![(7, photo)], ..Shape::default() };
    let output = instance(&shaped(shape)).output_schema(&schema()).unwrap();
    assert_eq!((output.columns[7].kind, &*output.columns[7].name), (Kind::Bytes, "picture"));
}

#[test]
fn a_retyped_column_takes_values_of_the_new_type_and_no_old_ones() {
    let shape = |logical| Shape {
        retype: vec![(VISITS, Column { logical, ..text_column("visits") })],
        ..Shape::default()
    };
    let texts = Values::Texts(vec![Some("1.5"), None]);
    let mut both = batch(&schema(), &customers(2));
    instance(&setting(shape("decimal(4,1)"), VISITS, texts)).process(&mut both, &[0, 1]).unwrap();
    assert_eq!(value(&both, 0, "visits"), ValueRef::Text(b"1.5"));
    assert_eq!(value(&both, 1, "visits"), ValueRef::Null);
    let wrong = setting(shape("decimal(4,1)"), VISITS, Values::Texts(vec![Some("x"), None]));
    let unset = shaped(shape("text"));
    for (guest, text) in [(wrong, "not written as the type is"), (unset, "no value that fits")] {
        let mut batch = batch(&schema(), &customers(2));
        let fault = instance(&guest).process(&mut batch, &[0, 1]).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
    }
    // A narrower type of the same kind takes what fits it, whoever made the value.
    let narrow = |logical| Shape {
        retype: vec![(VISITS, Column { logical, ..integer_column("visits") })],
        ..Shape::default()
    };
    let mut small = batch(&schema(), &customers(2));
    instance(&shaped(narrow("int2"))).process(&mut small, &[0, 1]).unwrap();
    let mut large = customers(1);
    large[0].after = Some(customer(999, Value::Null));
    let mut large = batch(&schema(), &large);
    let fault = instance(&shaped(narrow("int1"))).process(&mut large, &[0]).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
}

#[test]
fn a_key_may_be_an_added_column_and_a_delete_of_a_reshaped_row_has_it() {
    let shape = Shape {
        remove: vec![0],
        add: vec![text_column("slug")],
        key: Some(vec![ADDED, EMAIL]),
        ..Shape::default()
    };
    let guest = Guest::answering(|layout| {
        let set = patch(layout, 1, ADDED, &Values::Texts(vec![Some("a-b")]));
        let operations = layout.list(&[0, 0, 0, 0, b'd', 0, 0, 0], 1);
        [NONE, set, operations, NONE, NONE, NONE, NONE]
    });
    let row = TestRow {
        operation: Operation::Update,
        before: None,
        after: Some(customer(7, Value::Text("ada@x".to_owned()))),
    };
    let mut batch = batch(&schema(), &[row]);
    instance(&Guest { shape: Some(shape), ..guest }).process(&mut batch, &[0]).unwrap();
    let output = schema_of(&batch, 0);
    assert_eq!(output.key, [8, 0], "slug and email, where they now stand");
    let head = batch.rows[0];
    assert_eq!(head.operation, Operation::Delete);
    assert_eq!(batch.column(head.before, 8), ValueRef::Text(b"a-b"));
    assert_eq!(batch.column(head.before, 0), ValueRef::Text(b"ada@x"));
    assert_eq!(batch.column(head.before, 1), ValueRef::Absent);
}

#[test]
fn a_table_leaves_under_the_name_and_on_the_stream_that_its_shape_has() {
    let shape = Shape {
        stream: Some("shop.customers"),
        name: Some(("shop", "customers_all")),
        ..Shape::default()
    };
    let mut batch = batch(&schema(), &customers(2));
    batch.rows[1].dropped = true;
    instance(&Guest { subscribe: false, ..shaped(shape) }).process(&mut batch, &[0, 1]).unwrap();
    let output = schema_of(&batch, 0);
    assert_eq!(output.qualified_name(), "shop.customers_all");
    let stream = batch.rows[0].stream.map(|at| &*batch.streams[at as usize]);
    assert_eq!(stream, Some("shop.customers"));
}

#[test]
fn an_opaque_rows_payload_is_encoded_by_itself_and_its_key_stays() {
    let guest = Guest { form: answers::Form::Opaque(EMAIL, "text/plain"), ..Guest::pass(&[], 0) };
    let mut batch = batch(&schema(), &customers(1));
    instance(&guest).process(&mut batch, &[0]).unwrap();
    // Behind it a plugin that chooses no form leaves it a payload, wherever its column then is.
    let shape = Shape { remove: vec![2], ..Shape::default() };
    instance(&shaped(shape)).process(&mut batch, &[0]).unwrap();
    let shape = Shape { key: Some(vec![VISITS]), remove: vec![0], ..Shape::default() };
    instance(&shaped(shape)).process(&mut batch, &[0]).unwrap();
    let output = schema_of(&batch, 0);
    assert_eq!((output.form, output.payload), (Form::Opaque, 0));
    assert_eq!(output.content_type, "text/plain");
    let mut encoded = Vec::new();
    batch.encode(&batch.rows[0], 1, 1, 1, &mut encoded);
    let change = offtake_change::wire::ChangeView::parse(&encoded).unwrap();
    assert_eq!(change.payload, b"@example.com");
    let after: Vec<_> = change.after.unwrap().values().map(Result::unwrap).collect();
    assert_eq!(after[0], ValueRef::Absent);
    assert!(after[1..].iter().all(|value| *value != ValueRef::Absent));
    let envelope = Guest { form: answers::Form::Envelope, ..Guest::pass(&[], 0) };
    instance(&envelope).process(&mut batch, &[0]).unwrap();
    assert_eq!(schema_of(&batch, 0).form, Form::Envelope);
}

#[test]
fn a_row_without_a_payload_does_not_leave_as_one() {
    let guest = Guest { form: answers::Form::Opaque(EMAIL, "text/plain"), ..Guest::pass(&[], 0) };
    let update = |email| TestRow {
        operation: Operation::Update,
        before: None,
        after: Some(customer(1, email)),
    };
    let delete = TestRow {
        operation: Operation::Delete,
        before: Some(customer(1, Value::Text("x".to_owned()))),
        after: None,
    };
    for row in [update(Value::Null), update(Value::Unchanged), delete] {
        let mut batch = batch(&schema(), &[row]);
        let fault = instance(&guest).process(&mut batch, &[0]).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains("has no payload"), "{fault}");
    }
    let flat = Guest { form: answers::Form::Flat, ..Guest::pass(&[], 0) };
    let output = instance(&flat).output_schema(&schema()).unwrap();
    assert_eq!((output.form, output.changed_by.len()), (Form::Flat, 1));
    let key = Shape::key(&[EMAIL]);
    let fault =
        instance(&Guest { shape: Some(key), ..guest }).output_schema(&schema()).unwrap_err();
    assert!(fault.message.contains("part of the key"), "{fault}");
}

#[test]
fn logical_messages_leave_as_they_came_or_not_at_all() {
    let messages = TableSchema { subject: Subject::Message, ..TableSchema::clone(&schema()) };
    let messages = Arc::new(messages);
    let of_form = |form| Guest { form, ..Guest::pass(&[], 0) };
    let renamed = Column { name: "mail", ..text_column("email") };
    for (guest, text) in [
        (of_form(answers::Form::Flat), "asks for rows alone"),
        (of_form(answers::Form::Opaque(EMAIL, "text/plain")), "makes payloads"),
        (shaped(Shape { remove: vec![EMAIL], ..Shape::default() }), "removes columns"),
        (
            shaped(Shape { retype: vec![(EMAIL, renamed)], ..Shape::default() }),
            "renames or retypes",
        ),
        (shaped(Shape { add: vec![text_column("new")], ..Shape::default() }), "adds columns"),
        (shaped(Shape::key(&[EMAIL])), "changes the key"),
    ] {
        let fault = instance(&guest).output_schema(&messages).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
        assert!(fault.message.contains("of logical messages"), "{fault}");
    }
    let elsewhere = shaped(Shape { stream: Some("elsewhere"), ..Shape::default() });
    let output = instance(&elsewhere).output_schema(&messages).unwrap();
    assert_eq!(output.columns, messages.columns, "another stream is no other message");
}

#[test]
fn a_shape_that_makes_no_sense_is_refused_and_says_why() {
    let twice = Shape { add: vec![text_column("email")], ..Shape::default() };
    let unknown = Shape { remove: vec![9], ..Shape::default() };
    let removed_key = Shape { remove: vec![EMAIL], key: Some(vec![EMAIL]), ..Shape::default() };
    let kind = Column { kind: 1, ..text_column("x") };
    let mismatch = Shape { add: vec![kind], ..Shape::default() };
    let stream = Shape { stream: Some("__offtake_cursors"), ..Shape::default() };
    for (shape, text) in [
        (twice, "two columns with the name \"email\""),
        (unknown, "removes column 9 of 9"),
        (removed_key, "column 1, which it removes"),
        (mismatch, "travels as another kind"),
        (stream, "as the gateway's own do"),
    ] {
        let fault = instance(&shaped(shape)).output_schema(&schema()).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
    }
    let payload = Guest { form: answers::Form::Opaque(VISITS, ""), ..Guest::pass(&[], 0) };
    let fault = instance(&payload).output_schema(&schema()).unwrap_err();
    assert!(fault.message.contains("neither text nor bytes"), "{fault}");
}
