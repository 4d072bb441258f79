//! What a plugin does wrong while it runs ends as a fault, and the batch is as it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::{Batch, TableSchema};
use offtake_transform::{Fault, FaultCode, Instance, Isolated, Processed};

use crate::batches::{ALL_COLUMNS, EMAIL, all, batch, customers, encoded, schema};
use crate::module_zoo::Module;
use crate::zoo::{Guest, Layout, instance, load, words};

/// Runs a plugin that must fail over three rows; checks that nothing changed and that the fault
/// says where.
fn fault(guest: &Guest) -> (Fault, Instance) {
    let mut plugin = instance(guest);
    let mut batch = batch(&schema(), &customers(3));
    let before = encoded(&batch);
    let rows = all(&batch);
    let fault = plugin.process(&mut batch, &rows).unwrap_err();
    assert_eq!(encoded(&batch), before, "the batch is as it was");
    assert_eq!(&*fault.plugin, "zoo");
    assert_eq!(fault.table.as_deref(), Some("public.customers"));
    assert!(fault.lsn.is_some());
    assert!(!fault.next_step().is_empty());
    assert_eq!(plugin.counters().faults, 1);
    (fault, plugin)
}

#[test]
fn a_trap_is_a_fault_and_spends_the_instance() {
    let (first, mut plugin) = fault(&Guest::doing("(unreachable)"));
    assert_eq!(first.code(), "PLUGIN_TRAP");
    assert!(first.message.contains("unreachable"), "{first}");
    assert!(first.message.contains("process"), "names the function: {first}");
    assert_eq!(first.lsn.unwrap().0, 0x1000, "the first change of the call");
    assert!(plugin.is_poisoned());
    let mut batch: Batch = batch(&schema(), &customers(1));
    let again = plugin.process(&mut batch, &[0]).unwrap_err();
    assert_eq!(again.code, FaultCode::Poisoned);
    let other = Arc::new(TableSchema { table: "other".to_owned(), ..(*schema()).clone() });
    assert_eq!(plugin.on_schema(&other).unwrap_err().code, FaultCode::Poisoned);
}

#[test]
fn another_instance_of_the_same_plugin_is_untouched_by_a_fault() {
    let plugin = crate::zoo::load(&Guest::doing("(unreachable)")).unwrap();
    let mut batch = batch(&schema(), &customers(1));
    for _ in 0..3 {
        let mut instance = plugin.instance().unwrap();
        assert_eq!(instance.process(&mut batch, &[0]).unwrap_err().code, FaultCode::Trap);
    }
}

#[test]
fn what_a_panic_logged_is_told_unless_the_plugin_keeps_secrets() {
    let mut guest = Guest::doing("");
    let at = guest.layout.put(b"panicked at lib.rs:7");
    guest.process =
        format!("(call $log (i32.const 4) (i32.const {at}) (i32.const 20)) (unreachable)");
    assert!(fault(&guest).0.message.contains("panicked at lib.rs:7"));
    guest.protects = true;
    let (quiet, _) = fault(&guest);
    assert!(!quiet.to_string().contains("panicked"), "{quiet}");
    assert_eq!(quiet.code, FaultCode::Trap);
}

#[test]
fn an_endless_loop_is_stopped_by_the_deadline() {
    let begin = Instant::now();
    let (fault, _) = fault(&Guest::doing("(loop $l (br $l))"));
    assert_eq!(fault.code(), "PLUGIN_DEADLINE");
    assert!(fault.message.contains("50 ms of CPU time"), "{fault}");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert!(begin.elapsed() < Duration::from_secs(20), "long before the tests' patience ends");
}

#[test]
fn endless_recursion_is_a_trap() {
    let (fault, _) = fault(&Guest::doing("(drop (call $process (local.get $b)))"));
    assert_eq!(fault.code, FaultCode::Trap);
    assert!(fault.message.contains("stack"), "{fault}");
}

#[test]
fn too_much_memory_is_a_fault() {
    let (fault, _) = fault(&Guest::doing("(loop $l (drop (memory.grow (i32.const 16))) (br $l))"));
    assert_eq!(fault.code(), "PLUGIN_MEMORY");
    assert!(fault.message.contains("may have 8388608"), "{fault}");
}

#[test]
fn too_large_an_answer_is_a_fault() {
    // Drops a million rows by name: 4 MiB are allowed, and memory is.
    let guest = Guest::doing(
        "(drop (memory.grow (i32.const 80)))
         (i32.store (i32.const 516) (i32.const 0))
         (i32.store (i32.const 520) (i32.const 1100000))",
    );
    let (fault, _) = fault(&guest);
    assert_eq!(fault.code(), "PLUGIN_OUTPUT", "{fault}");
}

#[test]
fn too_many_calls_of_the_host_are_a_fault() {
    let guest = Guest::doing("(loop $l (call $add (i32.const 0) (i32.const 1)) (br $l))");
    assert_eq!(fault(&guest).0.code(), "PLUGIN_HOST_CALLS");
}

/// A patch of the after image over all rows: column, presence, discriminant and payload of the
/// data, rows.
fn patch(
    layout: &mut Layout,
    ordinal: u32,
    presence: [u8; 8],
    data: (u8, &[u8]),
    rows: [u8; 8],
) -> [u8; 8] {
    let mut payload = data.1.to_vec();
    payload.resize(16, 0);
    let patch =
        [&words(&[1, ordinal])[..], &presence, &words(&[data.0.into()]), &payload, &rows].concat();
    assert_eq!(patch.len(), 44);
    layout.list(&patch, 1)
}

fn setting(build: impl FnOnce(&mut Layout) -> [u8; 8]) -> Guest {
    Guest::answering(|layout| {
        let set = build(layout);
        [[0; 8], set, [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]
    })
}

fn packed(layout: &mut Layout, offsets: &[u32], data: &[u8]) -> Vec<u8> {
    [layout.u32s(offsets), layout.list(data, data.len())].concat()
}

const NONE: [u8; 8] = [0; 8];

#[test]
fn a_verdict_of_the_right_shape_is_applied() {
    // The counterpart of all the malformed ones below.
    let guest = setting(|layout| {
        let data = packed(layout, &[0, 1, 2, 3], b"abc");
        patch(layout, EMAIL, NONE, (6, &data), NONE)
    });
    let mut plugin = instance(&guest);
    let mut batch = batch(&schema(), &customers(3));
    plugin.process(&mut batch, &[0, 1, 2]).unwrap();
    let emails: Vec<_> =
        batch.rows.iter().map(|row| crate::batches::text(&batch, row.after, EMAIL)).collect();
    assert_eq!(emails, ["a", "b", "c"]);
}

#[test]
fn malformed_patches_are_faults() {
    type Build = fn(&mut Layout) -> [u8; 8];
    let cases: [(&str, Build); 18] = [
        ("column 9 of 9", |l| patch(l, 9, NONE, (6, &[]), NONE)),
        ("0 values for 3 rows", |l| patch(l, EMAIL, NONE, (4, &[]), NONE)),
        ("packed values without offsets", |l| patch(l, EMAIL, NONE, (6, &[]), NONE)),
        ("2 values for 3 rows", |l| {
            let data = packed(l, &[0, 1, 2], b"ab");
            patch(l, EMAIL, NONE, (6, &data), NONE)
        }),
        ("offset 9 of 3 bytes", |l| {
            let data = packed(l, &[0, 1, 2, 9], b"abc");
            patch(l, EMAIL, NONE, (6, &data), NONE)
        }),
        ("offsets that go back", |l| {
            let data = packed(l, &[0, 2, 1, 3], b"abc");
            patch(l, EMAIL, NONE, (6, &data), NONE)
        }),
        ("is no UTF-8", |l| {
            let data = packed(l, &[0, 1, 2, 3], b"a\xffc");
            patch(l, EMAIL, NONE, (6, &data), NONE)
        }),
        ("inside a character", |l| {
            let data = packed(l, &[0, 1, 2, 3], "éx".as_bytes());
            patch(l, EMAIL, NONE, (6, &data), NONE)
        }),
        ("int64 values", |l| {
            let list = l.list(&[0; 24], 3);
            patch(l, EMAIL, NONE, (1, &list), NONE)
        }),
        ("neither 0 nor 1", |l| {
            let list = l.list(&[0, 1, 2], 3);
            patch(l, 2, NONE, (0, &list), NONE)
        }),
        ("out of the type's range", |l| {
            let values: Vec<u8> =
                [1_i64, 2, 1 << 31].iter().flat_map(|v| v.to_le_bytes()).collect();
            let list = l.list(&values, 3);
            patch(l, 3, NONE, (1, &list), NONE)
        }),
        ("out of the type's range", |l| {
            let values: Vec<u8> =
                [1.0, 2.0, 1e300_f64].iter().flat_map(|v| v.to_le_bytes()).collect();
            let list = l.list(&values, 3);
            patch(l, 5, NONE, (3, &list), NONE)
        }),
        ("a list begins with {", |l| {
            let data = packed(l, &[0, 1, 2, 3], b"***");
            patch(l, 8, NONE, (6, &data), NONE)
        }),
        ("presence code 7", |l| {
            let codes = l.list(&[0, 7, 0], 3);
            let data = packed(l, &[0, 1, 2, 3], b"abc");
            patch(l, EMAIL, codes, (6, &data), NONE)
        }),
        ("2 presence codes for 3 rows", |l| {
            let codes = l.list(&[0, 0], 2);
            let data = packed(l, &[0, 1, 2, 3], b"abc");
            patch(l, EMAIL, codes, (6, &data), NONE)
        }),
        ("NULL in a column that is not nullable", |l| {
            let codes = l.list(&[0, 1, 0], 3);
            let list = l.list(&[0; 24], 3);
            patch(l, 0, codes, (1, &list), NONE)
        }),
        ("row 3 of 3", |l| {
            let rows = l.u32s(&[0, 1, 3]);
            let data = packed(l, &[0, 1, 2, 3], b"abc");
            patch(l, EMAIL, NONE, (6, &data), rows)
        }),
        ("row 1 after row 1", |l| {
            let rows = l.u32s(&[0, 1, 1]);
            let data = packed(l, &[0, 1, 2, 3], b"abc");
            patch(l, EMAIL, NONE, (6, &data), rows)
        }),
    ];
    for (expected, build) in cases {
        let (fault, plugin) = fault(&setting(build));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{expected}");
        assert!(fault.message.contains(expected), "{expected}: {fault}");
        assert!(plugin.is_poisoned());
    }
}

#[test]
fn a_value_in_an_image_that_a_row_lacks_is_a_fault() {
    let guest = setting(|layout| {
        let data = packed(layout, &[0, 1, 2, 3], b"abc");
        let list = patch(layout, EMAIL, NONE, (6, &data), NONE);
        let copy = layout.put(&[]);
        assert!(copy > 0);
        list
    });
    // The same patch, on rows whose after image is missing.
    let mut plugin = instance(&guest);
    let mut rows = customers(3);
    rows[1].before = rows[1].after.take();
    rows[1].operation = offtake_change::Operation::Delete;
    let mut batch = batch(&schema(), &rows);
    let fault = plugin.process(&mut batch, &[0, 1, 2]).unwrap_err();
    assert_eq!(fault.code, FaultCode::MalformedVerdict);
    assert!(fault.message.contains("lacks this image"), "{fault}");
}

#[test]
fn rows_out_of_range_and_impossible_operations_are_faults() {
    type Build = fn(&mut Layout) -> [[u8; 8]; 7];
    let cases: [(&str, Build); 5] = [
        ("row 3 of 3", |l| [l.u32s(&[3]), NONE, NONE, NONE, NONE, NONE, NONE]),
        ("'x'", |l| {
            let ops = l.list(&[&words(&[0])[..], b"x\0\0\0"].concat(), 1);
            [NONE, NONE, ops, NONE, NONE, NONE, NONE]
        }),
        ("'t' of 'c'", |l| {
            let ops = l.list(&[&words(&[0])[..], b"t\0\0\0"].concat(), 1);
            [NONE, NONE, ops, NONE, NONE, NONE, NONE]
        }),
        ("twice", |l| {
            let one = [&words(&[0])[..], b"u\0\0\0"].concat();
            let ops = l.list(&[one.clone(), one].concat(), 2);
            [NONE, NONE, ops, NONE, NONE, NONE, NONE]
        }),
        ("row 9 of 3", |l| {
            let message = l.string(b"bad");
            let failures = l.list(&[&words(&[9])[..], &message, &words(&[1])].concat(), 1);
            [NONE, NONE, NONE, NONE, NONE, failures, NONE]
        }),
    ];
    for (expected, build) in cases {
        let (fault, _) = fault(&Guest::answering(build));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{expected}");
        assert!(fault.message.contains(expected), "{expected}: {fault}");
    }
}

#[test]
fn answers_that_cannot_be_read_are_faults() {
    // A list of strings with invalid UTF-8, a list beyond the memory, an unknown discriminant.
    let text = setting(|layout| {
        let strings = [layout.string(b"ok"), layout.string(b"\xff"), layout.string(b"")].concat();
        let list = layout.list(&strings, 3);
        patch(layout, EMAIL, NONE, (4, &list), NONE)
    });
    let beyond = Guest::answering(|_| {
        let list: [u8; 8] = words(&[0xffff_0000, 64]).try_into().unwrap();
        [list, NONE, NONE, NONE, NONE, NONE, NONE]
    });
    let discriminant = setting(|layout| patch(layout, EMAIL, NONE, (99, &[]), NONE));
    for guest in [text, beyond, discriminant] {
        let (fault, _) = fault(&guest);
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
    }
}

#[test]
fn a_declared_failure_names_its_row_and_leaves_the_instance_usable() {
    let guest = |protects| Guest {
        protects,
        ..Guest::answering(|layout| {
            let message = layout.string(b"address of jane@example.com is odd");
            let failures = layout.list(&[&words(&[2])[..], &message, &words(&[1])].concat(), 1);
            [NONE, NONE, NONE, NONE, NONE, failures, NONE]
        })
    };
    let (open, plugin) = fault(&guest(false));
    assert_eq!(open.code(), "PLUGIN_ROW_FAILURE");
    assert_eq!((open.row, open.lsn.unwrap().0), (Some(2), 0x1002));
    assert!(open.permanent && open.message.contains("is odd"), "{open}");
    assert!(!plugin.is_poisoned());
    let (quiet, _) = fault(&guest(true));
    assert_eq!(quiet.code(), "PLUGIN_ROW_FAILURE");
    assert!(!quiet.to_string().contains("jane"), "{quiet}");
    // Over an author's own rows it is heard.
    let fixtures = load(&guest(true)).unwrap().over_fixtures();
    let mut done = Processed::default();
    let mut rows = batch(&schema(), &customers(3));
    Isolated::new(&fixtures).unwrap().process(&mut rows, &[0, 1, 2], &mut done).unwrap();
    let [heard] = &done.failed[..] else { panic!("{:?}", done.failed) };
    assert!(heard.fault.message.contains("address of jane@example.com is odd"), "{heard:?}");
    assert!(heard.fault.next_step().contains("correct the row"), "{heard:?}");
}

#[test]
fn extras_that_this_version_has_no_meaning_for_are_refused() {
    let extra = Guest::answering(|layout| {
        let header = [layout.string(b"x"), layout.string(b"y")].concat();
        [NONE, NONE, NONE, NONE, NONE, NONE, layout.list(&header, 1)]
    });
    let interest = Guest { extra: true, ..Guest::default() };
    for guest in [extra, interest] {
        let (fault, _) = fault(&guest);
        assert_eq!(fault.code(), "PLUGIN_FEATURE_UNSUPPORTED", "{fault}");
    }
    let header = r#""extra": [{"name": "x", "value": "y"}]"#;
    let (info, interest) = (Module::default().info, Module::default().interest);
    let with = |json: &str| json.replace("}}", &format!(", {header}}}}}"));
    let module = Module { interest: with(&interest), ..Module::default() };
    let told = module.instance().on_schema(&schema()).unwrap_err();
    assert_eq!(told.code(), "PLUGIN_FEATURE_UNSUPPORTED", "{told}");
    let component = Guest { extra_info: true, ..Guest::default() };
    let module = Module { info: with(&info), ..Module::default() };
    for loaded in [load(&component), module.load()] {
        let error = loaded.unwrap_err();
        assert_eq!(error.code(), "PLUGIN_FEATURE_UNSUPPORTED", "{error}");
        assert!(error.to_string().contains("says more of itself"), "{error}");
    }
}

#[test]
fn rows_leave_on_the_stream_that_a_verdict_names_and_on_no_forbidden_one() {
    let routing = |name: &'static str| {
        Guest::answering(|layout| {
            let rows = layout.u32s(&[1]);
            let name = layout.string(name.as_bytes());
            let route = [&rows[..], &words(&[1]), &name, &NONE, &NONE, &NONE].concat();
            let routes = layout.list(&route, 1);
            [NONE, NONE, NONE, routes, NONE, NONE, NONE]
        })
    };
    let mut batch = batch(&schema(), &customers(3));
    instance(&routing("elsewhere")).process(&mut batch, &[0, 1, 2]).unwrap();
    let stream = |row: usize| batch.rows[row].stream.map(|at| &*batch.streams[at as usize]);
    assert_eq!([stream(0), stream(1), stream(2)], [None, Some("elsewhere"), None]);
    for name in ["", "__offtake_cursors", "a b"] {
        let (fault, _) = fault(&routing(name));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains("stream"), "{fault}");
    }
}

#[test]
fn an_interest_in_columns_that_there_are_not_is_a_fault() {
    for columns in [vec![9], vec![1, 1], vec![u32::MAX]] {
        let (fault, _) = fault(&Guest::pass(&columns, 0));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
    }
}

fn protecting(columns: &[u32]) -> Guest {
    Guest { protects: true, required: vec!["email"], ..Guest::pass(columns, 0) }
}

#[test]
fn a_plugin_must_ask_for_every_column_that_it_promised_to_cover() {
    assert!(instance(&protecting(&[EMAIL])).on_schema(&schema()).unwrap().before_image);
    for guest in [protecting(&[0]), Guest { subscribe: false, ..protecting(&[EMAIL]) }] {
        let (fault, _) = fault(&guest);
        assert_eq!(fault.code(), "PLUGIN_UNPROTECTED");
        assert!(fault.message.contains("email"), "{fault}");
    }
}

#[test]
fn a_table_that_loses_or_retypes_a_protected_column_is_a_fault() {
    let first = schema();
    let mut renamed = (*first).clone();
    renamed.version = 2;
    renamed.columns[EMAIL as usize].name = "mail".to_owned();
    let mut retyped = (*first).clone();
    retyped.version = 2;
    retyped.columns[EMAIL as usize].logical = "json".to_owned();
    for second in [renamed, retyped] {
        let mut plugin = instance(&protecting(&[EMAIL]));
        plugin.on_schema(&first).unwrap();
        let fault = plugin.on_schema(&Arc::new(second)).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_UNPROTECTED");
        assert!(plugin.is_poisoned());
    }
    let mut other = (*first).clone();
    other.version = 2;
    other.columns[0].logical = "int4".to_owned();
    let mut plugin = instance(&protecting(&[EMAIL]));
    plugin.on_schema(&first).unwrap();
    plugin.on_schema(&Arc::new(other)).unwrap();
}

#[test]
fn an_equal_schema_read_anew_is_not_told_twice() {
    let mut plugin = instance(&Guest::pass(&ALL_COLUMNS, 0));
    let first = plugin.on_schema(&schema()).unwrap();
    for _ in 0..100 {
        assert_eq!(plugin.on_schema(&schema()).unwrap(), first);
    }
}
