//! Rows that a plugin emits: where they stand, what they carry, and what is refused.

use offtake_change::{Batch, Operation, ValueRef};
use offtake_transform::{Emission, Isolated, Processed};

use crate::answers::{self, Emitted, Output, Shape, Values, integer_column, text_column};
use crate::batches::{EMAIL, all, batch, customers, encoded, schema};
use crate::zoo::{Guest, instance, load};

const NONE: [u8; 8] = [0; 8];

fn lines() -> Output {
    Output {
        name: "lines",
        columns: vec![integer_column("number"), text_column("note")],
        key: vec![0],
        form: answers::Form::Envelope,
        stream: None,
    }
}

fn emitting(given: &[Emitted]) -> Guest {
    let answer = Guest::answering(|layout| {
        [NONE, NONE, NONE, NONE, answers::emitted(layout, given), NONE, NONE]
    });
    Guest { outputs: vec![lines()], ..answer }
}

/// Two rows of the first change and one of the third.
fn three() -> Emitted {
    Emitted {
        parents: vec![0, 0, 2],
        operations: "ccu",
        before: vec![(0, Values::Integers(vec![Some(0), Some(0), Some(30)]))],
        after: vec![(0, Values::Integers(vec![Some(10), Some(11), Some(30)]))],
        ..Emitted::default()
    }
}

fn number(batch: &Batch, row: u32) -> ValueRef<'_> {
    batch.column(batch.rows[row as usize].after, 0)
}

#[test]
fn emitted_rows_have_their_outputs_definition_and_their_parents_place() {
    let mut batch = batch(&schema(), &customers(3));
    let emitted = instance(&emitting(&[three()])).process(&mut batch, &[0, 1, 2]).unwrap();
    let parents: Vec<u32> = emitted.iter().map(|emission| emission.parent).collect();
    assert_eq!(parents, [0, 0, 2]);
    for (Emission { parent, row }, expected) in emitted.iter().zip([10, 11, 30]) {
        let (row_, parent) = (batch.rows[*row as usize], batch.rows[*parent as usize]);
        assert_eq!(number(&batch, *row), ValueRef::Integer(expected));
        assert_eq!(batch.column(row_.after, 1), ValueRef::Null, "it was not given");
        assert_eq!((row_.lsn, row_.order), (parent.lsn, parent.order));
        assert_eq!(row_.transaction, parent.transaction);
        let schema = &batch.schemas[row_.schema as usize];
        assert_eq!(schema.qualified_name(), "public.lines");
        assert_eq!((&schema.key[..], &schema.changed_by[..]), (&[0][..], &["zoo".to_owned()][..]));
    }
    let last = batch.rows[emitted[2].row as usize];
    assert_eq!(last.operation, Operation::Update);
    assert_eq!(batch.column(last.before, 0), ValueRef::Integer(30));
    assert!(!batch.rows[emitted[0].row as usize].before.is_some(), "created rows have none");
}

#[test]
fn streams_partitions_and_headers_are_one_for_all_or_one_a_row() {
    let all_to = |streams: Vec<&'static str>, partitions: Vec<u32>| Emitted {
        streams,
        partitions,
        header: Some((1, "id", "7")),
        ..three()
    };
    for (streams, partitions, expected) in [
        (vec!["a"], vec![4], [("a", 4), ("a", 4), ("a", 4)]),
        (vec!["a", "", "c"], vec![1, 2, 3], [("a", 1), ("lines.own", 2), ("c", 3)]),
    ] {
        let mut guest = emitting(&[all_to(streams, partitions)]);
        guest.outputs[0].stream = Some("lines.own");
        let mut batch = batch(&schema(), &customers(3));
        let emitted = instance(&guest).process(&mut batch, &[0, 1, 2]).unwrap();
        let rows = emitted.iter().map(|emission| batch.rows[emission.row as usize]);
        let places: Vec<(&str, u32)> = rows
            .map(|row| {
                (&*batch.streams[row.stream.unwrap() as usize], row.headers.partition().unwrap())
            })
            .collect();
        assert_eq!(places, expected);
        let headers = |at: usize| {
            batch.headers(batch.rows[emitted[at].row as usize].headers).collect::<Vec<_>>()
        };
        assert_eq!(headers(1), [(&b"id"[..], &b"7"[..])]);
        assert!(headers(0).is_empty());
    }
}

#[test]
fn without_a_stream_of_their_own_emitted_rows_leave_where_the_tables_do() {
    let shape = Shape { stream: Some("shop.all"), ..Shape::default() };
    let guest = Guest { shape: Some(shape), ..emitting(&[three()]) };
    let mut batch = batch(&schema(), &customers(3));
    let emitted = instance(&guest).process(&mut batch, &[0, 1, 2]).unwrap();
    for row in [0, emitted[0].row as usize] {
        assert_eq!(&*batch.streams[batch.rows[row].stream.unwrap() as usize], "shop.all");
    }
    let emitted = {
        let mut batch = crate::batches::batch(&schema(), &customers(3));
        let emitted = instance(&emitting(&[three()])).process(&mut batch, &[0, 1, 2]).unwrap();
        batch.rows[emitted[0].row as usize].stream
    };
    assert_eq!(emitted, None, "the route's");
}

#[test]
fn a_dropped_parents_rows_stay_and_a_failed_parents_do_not() {
    let guest = Guest::answering(|layout| {
        let drop = layout.u32s(&[0]);
        let message = layout.string(b"no");
        let failure = [&crate::zoo::words(&[2])[..], &message, &crate::zoo::words(&[1])].concat();
        let failures = layout.list(&failure, 1);
        [drop, NONE, NONE, NONE, answers::emitted(layout, &[three()]), failures, NONE]
    });
    let plugin = load(&Guest { outputs: vec![lines()], ..guest }).unwrap();
    let mut batch = batch(&schema(), &customers(3));
    let mut done = Processed::default();
    let mut isolated = Isolated::new(&plugin).unwrap();
    isolated.process(&mut batch, &[0, 1, 2], &mut done).unwrap();
    assert!(batch.rows[0].dropped);
    assert_eq!(done.failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [2]);
    let parents: Vec<u32> = done.emitted.iter().map(|emission| emission.parent).collect();
    assert_eq!(parents, [0, 0]);
    assert_eq!(isolated.counters().emitted, 2);
}

#[test]
fn a_later_plugin_sees_emitted_rows_under_their_own_definition() {
    let mut batch = batch(&schema(), &customers(3));
    let emitted = instance(&emitting(&[three()])).process(&mut batch, &[0, 1, 2]).unwrap();
    let rows: Vec<u32> = emitted.iter().map(|emission| emission.row).collect();
    let mut later = instance(&Guest::echo(&[0, 1], 0));
    later.process(&mut batch, &rows).unwrap();
    assert_eq!((later.counters().calls, later.counters().rows), (1, 3));
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_the_batch_as_it_was() {
    let with = |change: fn(&mut Emitted)| {
        let mut emitted = three();
        change(&mut emitted);
        emitted
    };
    for (emitted, text) in [
        (with(|it| it.output = 1), "output 1 of 1"),
        (with(|it| it.operations = "cc"), "2 operations for 3 rows"),
        (with(|it| it.operations = "cct"), "not c, u, d or r"),
        (with(|it| it.parents = vec![0, 2, 1]), "not ascending"),
        (with(|it| it.parents = vec![0, 0, 3]), "parent 3 of 3"),
        (with(|it| it.streams = vec!["a", "b"]), "2 streams for 3 rows"),
        (with(|it| it.streams = vec!["__x"]), "the gateway's own"),
        (with(|it| it.after[0].0 = 2), "column 2 of 2"),
        (with(|it| it.after = Vec::new()), "NULL in a column of the key"),
        (with(|it| it.before = Vec::new()), ""),
        (with(|it| it.operations = "ccd"), ""),
        (
            with(|it| {
                it.operations = "ccd";
                it.before = Vec::new();
            }),
            "\"number\": it is left out",
        ),
        (with(|it| it.header = Some((3, "a", "b"))), "headers of row 3 of 3"),
        (with(|it| it.after.push((0, Values::Integers(vec![Some(1); 3])))), "it is given twice"),
        (
            with(|it| it.after[0].1 = Values::Texts(vec![Some("1"); 3])),
            "text values, where it holds",
        ),
    ] {
        let mut batch = batch(&schema(), &customers(3));
        let before = encoded(&batch);
        let outcome = instance(&emitting(&[emitted])).process(&mut batch, &[0, 1, 2]);
        if text.is_empty() {
            outcome.unwrap();
            continue;
        }
        let fault = outcome.unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
        assert_eq!(encoded(&batch), before);
    }
}

#[test]
fn more_rows_for_one_change_than_may_be_are_a_fault_of_that_change_alone() {
    let five = Emitted {
        parents: vec![0; 5],
        operations: "ccccc",
        after: vec![(0, Values::Integers(vec![Some(1); 5]))],
        ..Emitted::default()
    };
    let mut batch = batch(&schema(), &customers(1));
    let fault = instance(&emitting(&[five])).process(&mut batch, &[0]).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_FAN_OUT", "{fault}");
    assert!(fault.message.contains("more than 4 rows"), "{fault}");
}

#[test]
fn outputs_that_make_no_sense_are_refused() {
    let same = Guest { outputs: vec![lines(), lines()], ..Guest::pass(&[EMAIL], 0) };
    let key = Output { key: vec![2], ..lines() };
    let key = Guest { outputs: vec![key], ..Guest::pass(&[EMAIL], 0) };
    for (guest, text) in [(same, "two outputs with the name \"lines\""), (key, "column 2 of 2")] {
        let fault = instance(&guest).output_schema(&schema()).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(text), "{fault}");
    }
    let mut batch = batch(&schema(), &customers(2));
    let rows = all(&batch);
    let unused = Guest { outputs: vec![lines()], ..Guest::pass(&[EMAIL], 0) };
    assert!(instance(&unused).process(&mut batch, &rows).unwrap().is_empty());
}

#[test]
fn what_would_cost_the_host_more_than_the_plugin_is_refused() {
    let name = |at: usize| -> &'static str { format!("c{at}").leak() };
    let columns = (0..400).map(|at| integer_column(name(at))).collect();
    let wide = Output { columns, key: Vec::new(), ..lines() };
    let many = Emitted {
        parents: (0..256).flat_map(|parent| [parent; 4]).collect(),
        operations: "c".repeat(1024).leak(),
        ..Emitted::default()
    };
    let guest = Guest { outputs: vec![wide], ..emitting(&[many]) };
    let mut batch = batch(&schema(), &customers(256));
    let rows = all(&batch);
    let fault = instance(&guest).process(&mut batch, &rows).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_OUTPUT", "{fault}");
    let many = vec![lines(); 65];
    let many = Guest { outputs: many, ..Guest::pass(&[EMAIL], 0) };
    let fault = instance(&many).output_schema(&schema()).unwrap_err();
    assert!(fault.message.contains("65 outputs, where 64 are the most"), "{fault}");
    let twice = |stream: u32, times: usize| {
        Guest::answering(|layout| {
            let name = layout.string(b"a");
            let route =
                [&NONE[..], &crate::zoo::words(&[stream]), &name, &NONE, &NONE, &NONE].concat();
            let routes = layout.list(&route.repeat(times), times);
            [NONE, NONE, NONE, routes, NONE, NONE, NONE]
        })
    };
    for (guest, text) in
        [(twice(0, 65), "more often than 64 times"), (twice(1, 2), "sends row 0 to two streams")]
    {
        let mut one = crate::batches::batch(&schema(), &customers(1));
        let fault = instance(&guest).process(&mut one, &[0]).unwrap_err();
        assert!(fault.message.contains(text), "{fault}");
    }
}
