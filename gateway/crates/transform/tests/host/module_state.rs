//! A core module keeps state as a component does: what counts, what is refused, what is a fault.

use offtake_state::Keyspace;
use offtake_transform::{Fault, Isolated, Limits, Plugin, PluginError, PluginSpec, Processed};

use crate::batches::{EMAIL, batch, customers, encoded, schema};
use crate::module_zoo::{self as frame, Module};
use crate::state::{self, counted, granted, outgrows_its_quota, people, run};
use crate::zoo::{engine, spec, words};

const IMPORTS: &str = r#"
  (import "offtake" "state_get_many" (func $get (param i32 i32) (result i32)))
  (import "offtake" "state_read" (func $read (param i32)))
  (import "offtake" "state_put_many" (func $put (param i32 i32 i64)))
  (import "offtake" "state_delete_many" (func $delete (param i32 i32)))"#;
const STATEFUL: &str = r#"{"ok": {"name": "zoo", "version": "0.0.1", "stateful": true}}"#;

/// The key `n` at 512, the same with four bytes of value from 528, and the beginning of a row of a
/// text column that is the only one.
const FIELDS: &str = r#"
  (data (i32.const 512) "\01\00\00\00\01\00\00\00n\00\00\00")
  (data (i32.const 528) "\01\00\00\00\01\00\00\00n\00\00\00\04\00\00\00")
  (global $failures (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (func $letter (param $b i32) (param $i i32) (result i32)
    (local $rows i32) (local $offsets i32)
    (local.set $rows (i32.load offset=8 (local.get $b)))
    (local.set $offsets (call $values
      (call $even (i32.add (i32.add (local.get $b) (i32.const 24)) (local.get $rows))) (local.get $rows)))
    (i32.load8_u offset=4 (i32.add
      (i32.add (local.get $offsets) (i32.shl (local.get $rows) (i32.const 2)))
      (i32.load (i32.add (local.get $offsets) (i32.shl (local.get $i) (i32.const 2)))))))
  (func $fail (param $row i32) (local $at i32)
    (local.set $at (i32.add (i32.const 65552) (i32.shl (global.get $failures) (i32.const 4))))
    (i32.store (local.get $at) (local.get $row))
    (i32.store offset=4 (local.get $at) (i32.const 1))
    (i32.store offset=8 (local.get $at) (i32.const 1))
    (i32.store offset=12 (local.get $at) (i32.const 110))
    (global.set $failures (i32.add (global.get $failures) (i32.const 1))))"#;

/// Declares the change failed.
const FAILURE: &str = "(call $fail (local.get $i))";

/// Runs instructions in each call.
fn keeping(process: &str) -> Module {
    Module {
        info: STATEFUL.to_owned(),
        imports: IMPORTS.to_owned(),
        fields: FIELDS.to_owned(),
        process: process.to_owned(),
        ..Module::pass(&[EMAIL], &[])
    }
}

/// Counts changes under the key `n`, each kept for so many seconds, and does something else after
/// that for each whose address begins with `!`.
fn counting(then: &str, seconds: i64) -> Module {
    keeping(&format!(
        "(global.set $failures (i32.const 0))
         (block $done (loop $next
           (br_if $done (i32.ge_u (local.get $i) (i32.load offset=8 (local.get $b))))
           (i32.store (i32.const 544) (i32.const 0))
           (if (i32.eq (call $get (i32.const 512) (i32.const 12)) (i32.const 12))
             (then
               (call $read (i32.const 560))
               (i32.store (i32.const 544) (i32.load (i32.const 568)))))
           (i32.store (i32.const 544) (i32.add (i32.const 1) (i32.load (i32.const 544))))
           (call $put (i32.const 528) (i32.const 20) (i64.const {seconds}))
           (if (i32.eq (i32.const 33) (call $letter (local.get $b) (local.get $i))) (then {then}))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br $next)))
         (i64.store (i32.const 65536) (i64.const 0x13156544f))
         (i32.store (i32.const 65544) (i32.const 6))
         (i32.store (i32.const 65548) (i32.shl (global.get $failures) (i32.const 4)))
         (select
           (i64.add (i64.const {answer}) (i64.extend_i32_u (i32.load (i32.const 65548))))
           (i64.const 0)
           (global.get $failures))",
        answer = (65536_i64 << 32) + 16,
    ))
}

/// A key or value with its length.
fn text(bytes: &[u8]) -> Vec<u8> {
    frame::pad([&words(&[bytes.len() as u32])[..], bytes].concat(), 4)
}

/// The fault of a module that runs these instructions; nothing of it is kept.
fn fault(module: &Module) -> Fault {
    let state = Keyspace::new(4 << 20);
    let plugin = granted(module.build(), "{}", &state).unwrap();
    let mut isolated = Isolated::new(&plugin).unwrap();
    let mut batch = batch(&schema(), &customers(1));
    let before = encoded(&batch);
    let mut done = Processed::default();
    isolated.process(&mut batch, &[0], &mut done).unwrap();
    assert_eq!(encoded(&batch), before, "the batch is as it was");
    assert_eq!((state.usage().keys, counted(&state)), (0, 0), "nothing was kept");
    done.failed.pop().unwrap().fault
}

/// The same of one that hands over a frame.
fn handing(function: &str, request: &[u8], more: &str) -> Fault {
    let mut module = keeping("");
    let packed = module.put(request) as u64;
    let (at, length) = (packed >> 32, packed as u32);
    let call = format!("(call ${function} (i32.const {at}) (i32.const {length}) {more})");
    let call = if function == "get" { format!("(drop {call})") } else { call };
    // What was written before the fault must not count.
    let put = "(call $put (i32.const 528) (i32.const 20) (i64.const -1))";
    module.process = format!("{put} {call} (i64.const 0)");
    fault(&module)
}

#[test]
fn a_module_that_counts_gives_what_a_component_gives_however_changes_are_cut_and_fail() {
    let guilty = [0, 5, 6, 140, 270, 299];
    let address = |at| format!("{}{at}@example.com", if guilty.contains(&at) { "!" } else { "" });
    for (of_module, of_component) in
        [("(unreachable)", "(unreachable)"), (FAILURE, state::FAILURE), ("", "")]
    {
        let component = state::counting(of_component).build();
        let of_component = Keyspace::new(1 << 20);
        let plugin = granted(component, "{}", &of_component).unwrap();
        let failed = run(&plugin, &mut people((0..300).map(address)), 256);
        assert_eq!(failed.len(), if of_module.is_empty() { 0 } else { guilty.len() });
        assert_eq!(counted(&of_component), 300 - failed.len() as u32);
        let expected = of_component.take_delta("zoo").unwrap();
        for at_once in [1, 7, 256, 300] {
            let state = Keyspace::new(1 << 20);
            let plugin = granted(counting(of_module, -1).build(), "{}", &state).unwrap();
            let found = run(&plugin, &mut people((0..300).map(address)), at_once);
            assert_eq!(found, failed, "{of_module}, {at_once} at once");
            assert_eq!(
                state.take_delta("zoo").unwrap(),
                expected,
                "{of_module}, {at_once} at once"
            );
        }
    }
}

#[test]
fn values_end_by_commit_times_and_not_after_minus_one() {
    // When all the changes of the test's batches were committed, in seconds.
    let committed = 1_700_000_000;
    for (seconds, then, counted) in [
        (10, committed + 9, 2_u32),
        (10, committed + 10, 0),
        (-1, committed + 1_000_000_000, 2),
        (0, committed, 0),
        (u32::MAX.into(), committed + i64::from(u32::MAX) - 1, 2),
        (u32::MAX.into(), committed + i64::from(u32::MAX), 0),
    ] {
        let state = Keyspace::new(1 << 20);
        let plugin = granted(counting("", seconds).build(), "{}", &state).unwrap();
        assert!(run(&plugin, &mut people(["a".into(), "b".into()].into_iter()), 2).is_empty());
        state.begin(then);
        let found = state.get(&[b"n".to_vec()]).unwrap().pop().unwrap();
        assert_eq!(found, (counted > 0).then(|| words(&[counted])), "{seconds} s, at {then}");
    }
    for seconds in [-2, i64::MIN, i64::from(u32::MAX) + 1] {
        let fault = fault(&counting("", seconds));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{fault}");
        assert!(fault.message.contains(&seconds.to_string()), "{fault}");
    }
}

#[test]
fn what_was_put_is_seen_by_the_same_call_and_what_was_deleted_is_not() {
    // Traps unless the answer is this long, each time.
    let get = |length: u32| {
        format!(
            "(if (i32.ne (call $get (i32.const 512) (i32.const 12)) (i32.const {length}))
               (then (unreachable)))"
        )
    };
    let put = "(call $put (i32.const 528) (i32.const 20) (i64.const -1))";
    let delete = "(call $delete (i32.const 512) (i32.const 12))";
    let process = [&get(4), put, &get(12), delete, &get(4), "(i64.const 0)"].concat();
    let state = Keyspace::new(1 << 20);
    let plugin = granted(keeping(&process).build(), "{}", &state).unwrap();
    assert!(run(&plugin, &mut people(["a".to_owned()].into_iter()), 1).is_empty());
    assert_eq!(state.usage().keys, 0);
}

#[test]
fn a_state_that_would_outgrow_its_quota_is_the_changes_fault() {
    outgrows_its_quota(counting("", -1).build());
}

#[test]
fn state_is_granted_to_a_module_that_keeps_some_and_to_nothing_else() {
    let code = |loaded: Result<Plugin, PluginError>| loaded.err().map(|error| error.code());
    let state = Keyspace::new(1 << 20);
    let keeps = counting("", -1);
    let says_so = Module { info: STATEFUL.to_owned(), ..Module::default() };
    for module in [&keeps, &says_so] {
        assert_eq!(code(module.load()), Some("PLUGIN_STATE_NOT_GRANTED"));
        assert_eq!(code(granted(module.build(), "{}", &state)), None);
    }
    let imports_only = Module { info: Module::default().info, ..counting("", -1) };
    assert_eq!(code(imports_only.load()), Some("PLUGIN_STATE_NOT_GRANTED"));
    for module in [&Module::default(), &imports_only] {
        assert_eq!(code(granted(module.build(), "{}", &state)), Some("PLUGIN_STATE_UNUSED"));
    }
    let other = IMPORTS.replace("(param i32 i32 i64)", "(param i32 i32 i32)");
    let other = Module { imports: other, ..Module { process: "(i64.const 0)".into(), ..keeps } };
    assert_eq!(code(granted(other.build(), "{}", &state)), Some("PLUGIN_INVALID"));
}

#[test]
fn state_is_there_for_changes_alone() {
    let state = Keyspace::new(1 << 20);
    for early in [
        "(drop (call $get (i32.const 512) (i32.const 12)))",
        "(call $put (i32.const 528) (i32.const 20) (i64.const -1))",
        "(call $delete (i32.const 512) (i32.const 12))",
    ] {
        let early = Module { on_configure: early.to_owned(), ..counting("", -1) };
        let error = granted(early.build(), "{}", &state).unwrap_err();
        assert_eq!(error.code(), "PLUGIN_STATE_LIMIT", "{error}");
        assert!(error.to_string().contains("while it was configured"), "{error}");
    }
}

#[test]
fn frames_that_are_none_are_faults_and_nothing_of_the_call_is_kept() {
    let key = [words(&[1]), text(b"n")].concat();
    let requests = [
        Vec::new(),
        words(&[u32::MAX]),
        words(&[1, u32::MAX]),
        words(&[1]),
        words(&[2, 0]),
        [&words(&[1, 1])[..], b"n"].concat(),
        [&key[..], &[0]].concat(),
    ];
    for (function, more) in [("get", ""), ("put", "(i64.const -1)"), ("delete", "")] {
        for request in &requests {
            let fault = handing(function, request, more);
            assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{function} {request:?}: {fault}");
        }
    }
    // Entries where keys are asked for, and the other way round.
    let entry = [&key[..], &text(b"value")].concat();
    assert_eq!(handing("get", &entry, "").code(), "PLUGIN_MALFORMED_VERDICT");
    assert_eq!(handing("put", &key, "(i64.const -1)").code(), "PLUGIN_MALFORMED_VERDICT");
}

#[test]
fn addresses_outside_the_memory_are_faults() {
    let get = "(drop (call $get (i32.const 512) (i32.const 12)))";
    for (instructions, named) in [
        ("(drop (call $get (i32.const -1) (i32.const 2)))", "2 bytes for its state"),
        ("(drop (call $get (i32.const 512) (i32.const -1)))", "4294967295 bytes for its state"),
        ("(call $delete (i32.const 0x7ffffff0) (i32.const 12))", "2147483632"),
        ("(call $put (i32.const -1) (i32.const -1) (i64.const -1))", "4294967295 bytes"),
        (&format!("{get} (call $read (i32.const -4))"), "room for 4 bytes"),
        (&format!("{get} (call $read (i32.const -1))"), "room for 4 bytes"),
        ("(call $read (i32.const 560))", "none is there"),
        (&format!("{get} {0} {0}", "(call $read (i32.const 560))"), "none is there"),
    ] {
        let fault = fault(&keeping(&format!("{instructions} (i64.const 0)")));
        assert_eq!(fault.code(), "PLUGIN_MALFORMED_VERDICT", "{instructions}: {fault}");
        assert!(fault.message.contains(named), "{instructions}: {fault}");
    }
}

#[test]
fn an_answer_that_was_not_read_is_gone_with_its_call() {
    let module = keeping(
        "(if (global.get $calls) (then (call $read (i32.const 560))))
         (global.set $calls (i32.const 1))
         (drop (call $get (i32.const 512) (i32.const 12)))
         (i64.const 0)",
    );
    let plugin = granted(module.build(), "{}", &Keyspace::new(1 << 20)).unwrap();
    let mut instance = plugin.instance().unwrap();
    let mut batch = people(["a".into(), "b".into()].into_iter());
    instance.process(&mut batch, &[0]).unwrap();
    let fault = instance.process(&mut batch, &[1]).unwrap_err();
    assert!(fault.message.contains("none is there"), "{fault}");
}

#[test]
fn what_a_call_may_ask_for_is_bounded_as_a_components_is() {
    let long = [words(&[1]), text(&[b'k'; 4097])].concat();
    assert_eq!(handing("delete", &long, "").code(), "PLUGIN_STATE_LIMIT");
    // Small in the frame, large in the host: so many empty keys.
    let process = "(i32.store (i32.const 65536) (i32.const 200000))
        (drop (call $get (i32.const 65536) (i32.const 800004))) (i64.const 0)";
    assert_eq!(fault(&keeping(process)).code(), "PLUGIN_OUTPUT");
    let calls = "(loop $l (drop (call $get (i32.const 512) (i32.const 12))) (br $l)) (unreachable)";
    assert_eq!(fault(&keeping(calls)).code(), "PLUGIN_HOST_CALLS");
    let limits = Limits { host_calls: 2, ..spec(Vec::new()).limits };
    let state = Some(Keyspace::new(1 << 20));
    let few = PluginSpec { limits, state, ..spec(counting("", -1).build()) };
    let plugin = Plugin::load(engine(), few).unwrap();
    let mut done = Processed::default();
    let mut batch = people((0..2).map(|at| at.to_string()));
    Isolated::new(&plugin).unwrap().process(&mut batch, &[0, 1], &mut done).unwrap();
    // The first change makes two calls, looking and writing; the second reads what it found as well.
    let codes: Vec<_> =
        done.failed.iter().map(|failed| (failed.row, failed.fault.code())).collect();
    assert_eq!(codes, [(1, "PLUGIN_HOST_CALLS")]);
}
