//! What a verdict costs the host, in time and memory, is bounded by the rows, their columns and what
//! the plugin may put out, however it is put together.

use offtake_change::{Batch, ValueRef};
use offtake_transform::{Fault, Limits, Plugin, PluginSpec};

use crate::answers::{self, Emitted, Output, Shape, Values, integer_column};
use crate::batches::{EMAIL, all, batch, customers, encoded, schema, text};
use crate::zoo::{Guest, Layout, engine, instance, spec, words};

const NONE: [u8; 8] = [0; 8];

/// Runs a plugin over so many rows.
fn run(guest: &Guest, rows: usize) -> Result<Batch, Fault> {
    let mut batch = batch(&schema(), &customers(rows));
    let (before, rows) = (encoded(&batch), all(&batch));
    match instance(guest).process(&mut batch, &rows) {
        Ok(_) => Ok(batch),
        Err(fault) => {
            assert_eq!(encoded(&batch), before, "the batch is as it was");
            Err(fault)
        }
    }
}

/// Runs a plugin over three rows, which must refuse its verdict and say so.
#[track_caller]
fn refused(guest: &Guest, text: &str) {
    let fault = run(guest, 3).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
    assert!(fault.message.contains(text), "{fault}");
}

fn dropping(rows: &[u32]) -> Guest {
    Guest::answering(|layout| [layout.u32s(rows), NONE, NONE, NONE, NONE, NONE, NONE])
}

#[test]
fn a_row_may_be_dropped_again_but_not_without_end() {
    let batch = run(&dropping(&[2, 0, 2]), 3).unwrap();
    assert_eq!(batch.rows.iter().map(|row| row.dropped).collect::<Vec<_>>(), [true, false, true]);
    run(&dropping(&[1; 64]), 3).unwrap();
    refused(&dropping(&[1; 65]), "drops row 1 more than 64 times");
}

/// A route, of the rows that it names (none: of every row).
#[derive(Clone, Default)]
struct Route {
    rows: Vec<u32>,
    stream: Option<&'static str>,
    add: Vec<(String, Vec<u8>)>,
    remove: Vec<String>,
}

fn adding(rows: &[u32], names: std::ops::Range<usize>) -> Route {
    let add = names.map(|at| (format!("h{at}"), at.to_string().into_bytes())).collect();
    Route { rows: rows.to_vec(), add, ..Route::default() }
}

fn removing(rows: &[u32], names: std::ops::Range<usize>) -> Route {
    let remove = names.map(|at| format!("h{at}")).collect();
    Route { rows: rows.to_vec(), remove, ..Route::default() }
}

fn routing(routes: &[Route]) -> Guest {
    let route = |layout: &mut Layout, route: &Route| {
        let rows = layout.u32s(&route.rows);
        let stream = layout.string(route.stream.unwrap_or_default().as_bytes());
        let add: Vec<u8> = (route.add.iter())
            .flat_map(|(name, value)| {
                [layout.string(name.as_bytes()), layout.string(value)].concat()
            })
            .collect();
        let remove: Vec<u8> =
            route.remove.iter().flat_map(|name| layout.string(name.as_bytes())).collect();
        let add = layout.list(&add, route.add.len());
        let remove = layout.list(&remove, route.remove.len());
        let has_stream = words(&[route.stream.is_some().into()]);
        [&rows[..], &has_stream, &stream, &NONE, &add, &remove].concat()
    };
    Guest::answering(|layout| {
        let all: Vec<u8> = routes.iter().flat_map(|it| route(layout, it)).collect();
        let routes = layout.list(&all, routes.len());
        [NONE, NONE, NONE, routes, NONE, NONE, NONE]
    })
}

fn names(batch: &Batch, row: usize) -> Vec<String> {
    let name = |(name, _): (&[u8], &[u8])| String::from_utf8(name.to_vec()).unwrap();
    batch.headers(batch.rows[row].headers).map(name).collect()
}

#[test]
fn headers_that_are_taken_from_a_row_are_as_many_as_it_can_have() {
    let both = [adding(&[], 0..64), removing(&[0, 2], 1..65)];
    let batch = run(&routing(&both), 3).unwrap();
    assert_eq!(names(&batch, 0), ["h0"]);
    assert_eq!(names(&batch, 1).len(), 64);
    refused(&routing(&[removing(&[], 0..65)]), "removes more than 64 headers of row 0");
    let halves = [removing(&[1, 2], 0..33), removing(&[0, 2], 33..65)];
    refused(&routing(&halves), "removes more than 64 headers of row 2");
    let halves = [adding(&[1, 2], 0..33), adding(&[0, 2], 33..65)];
    refused(&routing(&halves), "adds more than 64 headers to row 2");
    let long = Route { remove: vec!["h".repeat(256)], ..Route::default() };
    refused(&routing(&[long]), "longer than 255 bytes");
}

#[test]
fn of_several_routes_the_later_ones_count() {
    let value = |text: &str| text.as_bytes().to_vec();
    let add = |rows: &[u32], name: &str, text: &str| Route {
        rows: rows.to_vec(),
        add: vec![(name.to_owned(), value(text))],
        ..Route::default()
    };
    let remove = |rows: &[u32], name: &str| Route {
        rows: rows.to_vec(),
        remove: vec![name.to_owned()],
        ..Route::default()
    };
    let routes = [
        add(&[], "a", "1"),
        add(&[], "b", "2"),
        add(&[1, 2], "a", "3"),
        remove(&[1], "b"),
        remove(&[2], "a"),
        add(&[1], "b", "4"),
        remove(&[], "own"),
    ];
    let mut batch = batch(&schema(), &customers(3));
    let own = [("own", &b"x"[..]), ("kept", b"y"), ("a", b"z")];
    (0..3).for_each(|row| batch.set_headers(row, own.into_iter()));
    let rows = all(&batch);
    instance(&routing(&routes)).process(&mut batch, &rows).unwrap();
    let headers = |row: usize| -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all = batch.headers(batch.rows[row].headers);
        all.map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
    };
    assert_eq!(headers(0), ["kept=y", "a=1", "b=2"]);
    assert_eq!(headers(1), ["kept=y", "a=3", "b=4"]);
    assert_eq!(headers(2), ["kept=y", "b=2"]);
}

#[test]
fn a_rows_oldest_headers_give_way_to_more_than_it_can_have() {
    let mut batch = batch(&schema(), &customers(1));
    batch.set_headers(0, [("first", &b""[..]), ("second", b"")].into_iter());
    instance(&routing(&[adding(&[], 0..63)])).process(&mut batch, &[0]).unwrap();
    let names = names(&batch, 0);
    assert_eq!((names.len(), &*names[0], &*names[63]), (64, "second", "h62"));
}

#[test]
fn many_routes_do_not_make_a_rows_headers_many_times_over() {
    let large = Route { add: vec![("large".to_owned(), vec![b'x'; 10_000])], ..Route::default() };
    let small = (0..60).map(|at| adding(&[], at..at + 1));
    let batch = run(&routing(&std::iter::once(large).chain(small).collect::<Vec<_>>()), 256);
    let batch = batch.unwrap();
    assert_eq!(names(&batch, 255).len(), 61);
    assert!(batch.size_bytes() < 256 * 12_000, "{} bytes", batch.size_bytes());
}

#[test]
fn how_often_a_row_is_named_does_not_depend_on_the_rows_beside_it() {
    let named = |times| routing(&vec![removing(&[1], 0..1); times]);
    run(&named(64), 3).unwrap();
    refused(&named(65), "name row 1 more often than 64 times");
    let sent = |row| Route { rows: vec![row], stream: Some("a"), ..Route::default() };
    run(&routing(&[sent(0), sent(1)]), 3).unwrap();
    refused(&routing(&[sent(1), sent(1)]), "sends row 1 to two streams");
}

#[test]
fn a_row_that_is_declared_failed_twice_is_refused_whether_or_not_state_is_kept() {
    let twice = Guest::answering(|layout| {
        let message = layout.string(b"no");
        let failure = [&words(&[1])[..], &message, &words(&[1])].concat();
        [NONE, NONE, NONE, NONE, NONE, layout.list(&failure.repeat(2), 2), NONE]
    });
    refused(&twice, "declares row 1 failed twice");
    let state = offtake_state::Keyspace::new(1 << 20);
    let component = Guest { stateful: true, ..twice }.build();
    let granted = PluginSpec { state: Some(state.clone()), ..spec(component) };
    let plugin = Plugin::load(engine(), granted).unwrap();
    let mut batch = batch(&schema(), &customers(2));
    // Two rows of one second: one call.
    batch.rows.iter_mut().for_each(|row| row.transaction = 0);
    let fault = plugin.instance().unwrap().process(&mut batch, &[0, 1]).unwrap_err();
    assert!(fault.message.contains("declares row 1 failed twice"), "{fault}");
}

/// Sets the addresses of three rows: `given` times to other ones, and then to the last.
fn setting(given: usize, last: [Option<&'static str>; 3]) -> Guest {
    Guest::answering(|layout| {
        let mut patch = |values: [Option<&'static str>; 3]| {
            let column = answers::values(layout, EMAIL, &Values::Texts(values.to_vec()));
            [&words(&[1])[..], &column, &NONE].concat()
        };
        let patches = [patch([Some("other"); 3]).repeat(given), patch(last)].concat();
        let set = layout.list(&patches, given + 1);
        [NONE, set, NONE, NONE, NONE, NONE, NONE]
    })
}

#[test]
fn of_several_values_for_one_place_the_last_counts_though_it_is_what_was_there() {
    let was = run(&Guest::pass(&[], 0), 3).unwrap();
    let address = |batch: &Batch, row: usize| text(batch, batch.rows[row].after, EMAIL);
    let own = address(&was, 1).leak();
    let batch = run(&setting(3, [Some("last"), Some(own), None]), 3).unwrap();
    assert_eq!([address(&batch, 0), address(&batch, 1)], ["last", own]);
    assert_eq!(batch.column(batch.rows[2].after, EMAIL as usize), ValueRef::Null);
    // No value of a place that does not count is kept.
    assert!(batch.size_bytes() <= was.size_bytes() + "last".len());
}

#[test]
fn values_that_do_not_count_are_not_without_end() {
    let last = [Some("last"); 3];
    run(&setting(1024, last), 3).unwrap();
    refused(&setting(1025, last), "\"email\": row 0 is given more than 1024 values");
}

#[test]
fn patches_of_one_column_may_share_its_rows() {
    let guest = Guest::answering(|layout| {
        let mut patches = Vec::new();
        for row in [2, 0] {
            let column = answers::values(layout, EMAIL, &Values::Texts(vec![Some("one")]));
            patches.extend([words(&[1]), column, layout.u32s(&[row]).to_vec()]);
        }
        let set = layout.list(&patches.concat(), 2);
        [NONE, set, NONE, NONE, NONE, NONE, NONE]
    });
    let batch = run(&guest, 3).unwrap();
    let given = |row: usize| text(&batch, batch.rows[row].after, EMAIL) == "one";
    assert_eq!([given(0), given(1), given(2)], [true, false, true]);
}

#[test]
fn an_added_column_that_is_set_over_and_over_is_refused() {
    let guest = Guest::answering(|layout| {
        let values = answers::values(layout, 9, &Values::Integers(vec![Some(7); 3]));
        let patch = [&words(&[1])[..], &values, &NONE].concat();
        let set = layout.list(&patch.repeat(1100), 1100);
        [NONE, set, NONE, NONE, NONE, NONE, NONE]
    });
    let shape = Shape { add: vec![integer_column("flag")], ..Shape::default() };
    refused(&Guest { shape: Some(shape), ..guest }, "\"flag\": row 0 is given more than 1024");
}

#[test]
fn emitted_rows_without_columns_take_room_too() {
    let rows = 100_000;
    let output = Output {
        name: "lines",
        columns: Vec::new(),
        key: Vec::new(),
        form: answers::Form::Envelope,
        stream: None,
    };
    let guest = Guest::answering(|layout| {
        let one = Emitted { parents: vec![0], operations: "c", ..Emitted::default() };
        [NONE, NONE, NONE, NONE, answers::emitted(layout, &[one]), NONE, NONE]
    });
    // The lists of the one emission, made longer: parents are zeroes of a grown memory.
    let verdict: u32 = guest.process["(i32.const ".len()..guest.process.len() - 1].parse().unwrap();
    let emission = format!("(i32.load (i32.const {}))", verdict + 4 + 4 * 8);
    let process = format!(
        "(drop (memory.grow (i32.const 16)))
         (i32.store offset=4 {emission} (i32.const 262144))
         (i32.store offset=8 {emission} (i32.const {rows}))
         (i32.store offset=12 {emission} (i32.const 786432))
         (i32.store offset=16 {emission} (i32.const {rows}))
         (memory.fill (i32.const 786432) (i32.const 99) (i32.const {rows}))
         (i32.const {verdict})"
    );
    let guest = Guest { outputs: vec![output], process, ..guest };
    let limits = Limits { fan_out: 1_000_000, ..spec(Vec::new()).limits };
    let plugin = Plugin::load(engine(), PluginSpec { limits, ..spec(guest.build()) }).unwrap();
    let mut batch = batch(&schema(), &customers(1));
    let fault = plugin.instance().unwrap().process(&mut batch, &[0]).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_OUTPUT", "{fault}");
    assert_eq!(batch.rows.len(), 1);
}
