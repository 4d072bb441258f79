//! What a core module does wrong is a fault, and the batch is as it was.

use std::time::{Duration, Instant};

use offtake_change::Operation;
use offtake_transform::{Fault, FaultCode, Instance, Isolated, PluginError, Processed};

use crate::batches::{
    EMAIL, TestRow, Value, all, batch, customer, customers, encoded, schema, text,
};
use crate::module_zoo::{self as frame, Module};
use crate::zoo::words;

/// Runs a module that must fail over three rows; checks that nothing changed and the instance is
/// spent.
fn fault(module: &Module) -> (Fault, Instance) {
    let mut plugin = module.instance();
    let mut batch = batch(&schema(), &customers(3));
    let before = encoded(&batch);
    let rows = all(&batch);
    let fault = plugin.process(&mut batch, &rows).unwrap_err();
    assert_eq!(encoded(&batch), before, "the batch is as it was");
    assert_eq!(fault.table.as_deref(), Some("public.customers"));
    assert!(plugin.is_poisoned());
    let again = plugin.process(&mut batch, &rows).unwrap_err();
    assert_eq!(again.code, FaultCode::Poisoned, "it is never called again");
    (fault, plugin)
}

fn code(module: &Module) -> &'static str {
    fault(module).0.code()
}

/// The fault of a module that answers these sections.
fn answering(sections: &[(u32, Vec<u8>)]) -> Fault {
    fault(&Module::answering(&frame::verdict(sections))).0
}

#[test]
fn a_trap_spends_the_instance_though_the_module_could_be_called() {
    let mut module = Module::doing(
        "(if (i32.eqz (global.get $calls)) (then (global.set $calls (i32.const 1)) (unreachable)))",
    );
    module.fields = "(global $calls (mut i32) (i32.const 0))".to_owned();
    let (first, _) = fault(&module);
    assert_eq!(first.code, FaultCode::Trap);
    assert!(first.message.contains("unreachable") && first.message.contains("process"), "{first}");
}

#[test]
fn time_memory_and_stack_are_limited_as_a_components() {
    let begin = Instant::now();
    assert_eq!(code(&Module::doing("(loop $l (br $l))")), "PLUGIN_DEADLINE");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let bomb = "(loop $l (drop (memory.grow (i32.const 16))) (br $l))";
    assert_eq!(code(&Module::doing(bomb)), "PLUGIN_MEMORY");
    let recursion = "(drop (call $process (i32.const 0) (i32.const 0)))";
    assert_eq!(code(&Module::doing(recursion)), "PLUGIN_TRAP");
    let mut slow = Module::pass(&[0], &[]);
    slow.on_alloc =
        "(if (i32.gt_u (local.get $len) (i32.const 60)) (then (loop $l (br $l))))".into();
    slow.interest = slow.interest.replace("[0]", "[0, 1]");
    assert_eq!(slow.load().map(|_| ()).map_err(|error| error.code()), Ok(()));
    let mut plugin = slow.instance();
    let mut batch = batch(&schema(), &customers(3));
    assert_eq!(plugin.process(&mut batch, &[0, 1, 2]).unwrap_err().code, FaultCode::Deadline);
    let table = Module { fields: "(table 300000 funcref)".into(), ..Module::default() };
    assert_eq!(table.load().unwrap_err().code(), "PLUGIN_MEMORY");
    let bomb = Module {
        fields:
            r#"(func (export "_initialize") (loop $l (drop (memory.grow (i32.const 16))) (br $l)))"#
                .into(),
        ..Module::default()
    };
    assert_eq!(bomb.load().unwrap_err().code(), "PLUGIN_MEMORY");
}

#[test]
fn an_answer_outside_the_memory_is_malformed() {
    for (at, length) in [
        (1 << 21, 1),
        (u64::from(u32::MAX), 1),
        (u64::from(u32::MAX), u64::from(u32::MAX)),
        (0, (1 << 21) + 1),
    ] {
        let packed = at << 32 | length;
        let module = Module { process: format!("(i64.const {packed})"), ..Module::pass(&[], &[]) };
        let (fault, _) = fault(&module);
        assert_eq!(fault.code, FaultCode::MalformedVerdict, "{at} {length}");
        assert!(fault.message.contains("not in its memory"), "{fault}");
    }
}

#[test]
fn too_large_an_answer_is_a_fault_before_it_is_read() {
    let process = format!("(call $room (i32.const 6000000)) (i64.const {})", 5 << 20);
    let module = Module { process, ..Module::pass(&[], &[]) };
    assert_eq!(code(&module), "PLUGIN_OUTPUT");
    // Small in the frame, large in the host: so many headers without name and value.
    let mut route = words(&[0, 0, 0, 100_000]);
    route.resize(route.len() + 8 * 100_000, 0);
    route.extend(words(&[0]));
    assert_eq!(answering(&[(4, route)]).code(), "PLUGIN_OUTPUT");
}

#[test]
fn room_that_is_not_there_is_a_fault() {
    for (instructions, code) in [
        (
            "(if (i32.gt_u (local.get $len) (i32.const 60)) (then (return (i32.const 0))))",
            "PLUGIN_MEMORY",
        ),
        (
            "(if (i32.gt_u (local.get $len) (i32.const 60)) (then (return (i32.const 12))))",
            "PLUGIN_MALFORMED_VERDICT",
        ),
        (
            "(if (i32.gt_u (local.get $len) (i32.const 60)) (then (return (i32.const -8))))",
            "PLUGIN_MALFORMED_VERDICT",
        ),
    ] {
        let mut module = Module::pass(&[], &["positions"]);
        module.on_alloc = instructions.to_owned();
        let error = module.instance().on_schema(&schema()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn a_frame_that_is_none_is_malformed() {
    let whole = frame::verdict(&[
        (1, words(&[0])),
        (2, frame::set(1, &[], &frame::integers(3, &[None; 3]))),
    ]);
    assert!(
        Module::answering(&whole)
            .instance()
            .process(&mut batch(&schema(), &customers(3)), &[0, 1, 2])
            .is_ok()
    );
    for end in 1..whole.len() {
        assert_eq!(code(&Module::answering(&whole[..end])), "PLUGIN_MALFORMED_VERDICT", "{end}");
    }
    let longer = [&whole[..], &[0; 8]].concat();
    for bytes in
        [&longer[..], b"OTV2\0\0\0\0", b"OTF1\0\0\0\0", b"OTF1\x02\0\0\0\0\0\0\0", b"{}", &[0; 64]]
    {
        assert_eq!(code(&Module::answering(bytes)), "PLUGIN_MALFORMED_VERDICT", "{bytes:?}");
    }
}

#[test]
fn sections_that_make_no_sense_are_malformed() {
    let set = |column: Vec<u8>| vec![(2, frame::set(1, &[], &column))];
    let text = |offsets: &[u32], data: &[u8]| {
        set(frame::column(EMAIL, 4, &[], &[&words(offsets)[..], data].concat()))
    };
    type Sections = Vec<(u32, Vec<u8>)>;
    let cases: Vec<(&str, Sections)> = vec![
        ("no such kind", vec![(7, Vec::new())]),
        ("no such kind", vec![(0, Vec::new())]),
        ("multiple of 4", vec![(1, vec![0; 6])]),
        ("row 3 of 3", vec![(1, words(&[3]))]),
        ("names row 4294967295", vec![(6, [words(&[u32::MAX, 0]), frame::text("x")].concat())]),
        ("multiple of 8", vec![(3, words(&[0, 100, 1]))]),
        ("operation 356", vec![(3, words(&[0, 356]))]),
        ("0 or 1", vec![(2, frame::set(2, &[], &frame::integers(3, &[None; 3])))]),
        ("column 9 of 9", set(frame::integers(9, &[None; 3]))),
        ("too many", set(frame::integers(3, &[None; 8]))),
        ("announced", set(frame::integers(3, &[Some(1); 2]))),
        ("row 3 of 3", vec![(2, frame::set(1, &[3], &frame::integers(3, &[None])))]),
        ("row 1 after row 2", vec![(2, frame::set(1, &[2, 1], &frame::integers(3, &[None; 2])))]),
        ("kind 6", set(frame::column(3, 6, &[], &[0; 24]))),
        ("reserved", set([&words(&[3])[..], &[1, 0, 1, 0], &[0; 24]].concat())),
        ("0 or 1", set([&words(&[3])[..], &[1, 2, 0, 0], &[0; 24]].concat())),
        ("presence code 4", set(frame::column(3, 1, &[4, 0, 0], &[0; 24]))),
        ("int64 values", set(frame::column(EMAIL, 1, &[], &[0; 24]))),
        ("go back", text(&[0, 2, 1, 2], b"abcd")),
        ("announced", text(&[0, 1, 2, 400], b"abcd")),
        ("announced", text(&[0, 1, 2, u32::MAX], b"abcd")),
        ("UTF-8", text(&[0, 1, 2, 3], b"a\xffb")),
        ("inside a character", text(&[0, 1, 2, 3], "aé".as_bytes())),
        ("partitions", vec![(4, words(&[0, 0, 2, 1, 2, 0, 0]))]),
        ("UTF-8", vec![(4, words(&[0, 1, 1, 0xff, 0, 0, 0]))]),
        ("output 0 of 0", vec![(5, words(&[0; 8]))]),
        ("twice", vec![(6, [words(&[1, 0]), frame::text("x")].concat().repeat(2))]),
    ];
    for (words, sections) in cases {
        let fault = answering(&sections);
        assert_eq!(fault.code, FaultCode::MalformedVerdict, "{words}: {fault}");
        assert!(fault.message.contains(words), "{words}: {fault}");
    }
}

#[test]
fn answers_in_json_that_make_no_sense_are_refused() {
    for info in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"ok": {}}"#,
        r#"{"ok": {"name": "x", "version": "1", "colour": 1}}"#,
        r#"{"ok": {"name": "x", "version": "1"}, "error": {"message": "y"}}"#,
        "\u{0}",
    ] {
        let module = Module { info: info.to_owned(), ..Module::default() };
        let error = module.load().unwrap_err();
        assert_eq!(error.code(), "PLUGIN_MALFORMED_VERDICT", "{info}: {error}");
    }
    let refusing = r#"{"error": {"message": "`columns` is empty", "permanent": true}}"#;
    let module = Module { info: refusing.to_owned(), ..Module::default() };
    let error = module.load().unwrap_err();
    assert_eq!(error.code(), "PLUGIN_CONFIG_REFUSED");
    assert!(error.to_string().contains("`columns` is empty"), "{error}");
    let stateful = Module {
        info: module
            .info
            .replace(refusing, r#"{"ok": {"name": "x", "version": "1", "stateful": true}}"#),
        ..Module::default()
    };
    assert_eq!(stateful.load().unwrap_err().code(), "PLUGIN_STATE_NOT_GRANTED");
    for (interest, code) in [
        (r#"{"ok": {"subscribes": true}}"#, "PLUGIN_MALFORMED_VERDICT"),
        (r#"{"ok": {"subscribe": true, "columns": [-1]}}"#, "PLUGIN_MALFORMED_VERDICT"),
        (r#"{"ok": {"subscribe": true, "columns": [9]}}"#, "PLUGIN_MALFORMED_VERDICT"),
        (r#"{"ok": {"subscribe": true, "wants": ["everything"]}}"#, "PLUGIN_MALFORMED_VERDICT"),
        (r#"{"ok": {"extra": [{"name": "a", "value": "b"}]}}"#, "PLUGIN_FEATURE_UNSUPPORTED"),
        (r#"{"error": {"message": "not this table"}}"#, "PLUGIN_REFUSED"),
    ] {
        let module = Module { interest: interest.to_owned(), ..Module::default() };
        let fault = module.instance().on_schema(&schema()).unwrap_err();
        assert_eq!(fault.code(), code, "{interest}: {fault}");
        // No row is there yet that could be corrected.
        assert!(!fault.next_step().contains("row"), "{}", fault.next_step());
        let names_table = fault.next_step().contains("correct the plugin's `config`, or the table");
        assert_eq!(names_table, code == "PLUGIN_REFUSED", "{}", fault.next_step());
    }
}

#[test]
fn what_a_module_must_export_is_asked_for_by_name() {
    let text = Module::default().text();
    for (there, instead, named) in [
        (r#"(export "memory")"#, r#"(export "mem")"#, "memory"),
        (r#"(export "offtake_alloc")"#, r#"(export "malloc")"#, "offtake_alloc"),
        (r#"(export "offtake_process")"#, r#"(export "offtake_proces")"#, "offtake_process"),
        (
            r#"(func (export "offtake_on_schema") (param i32 i32)"#,
            r#"(func (export "offtake_on_schema") (param i32)"#,
            "offtake_on_schema",
        ),
        (
            r#"(func (export "offtake_abi_version") (result i32)"#,
            r#"(func (export "_initialize") (result i32) (i32.const 1)) (func (export "offtake_abi_version") (result i32)"#,
            "_initialize",
        ),
    ] {
        let text = text.replace(there, instead);
        let spec = crate::zoo::spec(wat::parse_str(text).unwrap());
        let error = offtake_transform::Plugin::load(crate::zoo::engine(), spec).unwrap_err();
        assert_eq!(error.code(), "PLUGIN_EXPORT_MISSING", "{error}");
        assert!(
            error.to_string().contains(named) && error.next_step().contains("sdk/abi.md"),
            "{error}"
        );
    }
    let error = Module { version: 2, ..Module::default() }.load().unwrap_err();
    assert_eq!(error.code(), "PLUGIN_ABI_VERSION");
    assert!(error.to_string().contains("version 2"), "{error}");
    let two = Module { fields: "(memory 1)".into(), ..Module::default() }.load().unwrap_err();
    assert_eq!(two.code(), "PLUGIN_INVALID");
    assert!(two.to_string().contains("more than one memory"), "{two}");
}

fn importing(import: &str) -> Result<(), PluginError> {
    Module { imports: import.to_owned(), ..Module::default() }.load().map(|_| ())
}

#[test]
fn imports_beyond_the_list_are_refused_by_name() {
    for (import, code, named) in [
        (
            r#"(import "env" "abort" (func (param i32 i32 i32 i32)))"#,
            "PLUGIN_IMPORT_REFUSED",
            "env::abort",
        ),
        (
            r#"(import "wasi_snapshot_preview1" "proc_raise" (func))"#,
            "PLUGIN_IMPORT_REFUSED",
            "proc_raise",
        ),
        (
            r#"(import "offtake" "now" (func (result i64)))"#,
            "PLUGIN_IMPORT_REFUSED",
            "offtake::now",
        ),
        (r#"(import "offtake" "log" (func (param i64)))"#, "PLUGIN_INVALID", "offtake::log"),
        (
            r#"(import "offtake" "state_read" (func (param i32)))"#,
            "PLUGIN_STATE_NOT_GRANTED",
            "state",
        ),
        (
            r#"(import "offtake" "state_now" (func (result i64)))"#,
            "PLUGIN_IMPORT_REFUSED",
            "offtake::state_now",
        ),
    ] {
        let error = importing(import).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(named) && !error.next_step().is_empty(), "{error}");
    }
}

#[test]
fn the_guilty_change_is_found_and_the_others_go_on() {
    // Traps where any text of the batch begins with `!`: packed texts lie side by side.
    let rows: Vec<TestRow> = (0..40)
        .map(|at| {
            let mark = if at == 23 { "!" } else { "" };
            let email = Value::Text(format!("{mark}{at}@example.com"));
            TestRow { operation: Operation::Create, before: None, after: Some(customer(at, email)) }
        })
        .collect();
    let mut module = Module::stars(&[EMAIL], &[]);
    module.process = format!(
        "(local.set $i (local.get $b))
         (block $done (loop $next
           (br_if $done (i32.ge_u (local.get $i) (i32.add (local.get $b) (local.get $len))))
           (if (i32.eq (i32.const 33) (i32.load8_u (local.get $i))) (then (unreachable)))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br $next)))
         {}",
        module.process
    );
    // An offset of 33 would look like a mark, so each is a multiple of 16.
    let rows: Vec<TestRow> = rows
        .into_iter()
        .map(|mut row| {
            if let Some(Value::Text(email)) = row.after.as_mut().and_then(|after| after.get_mut(1))
            {
                while email.len() < 16 {
                    email.push('x');
                }
            }
            row
        })
        .collect();
    let mut batch = batch(&schema(), &rows);
    let list = all(&batch);
    let mut isolated = Isolated::new(&module.load().unwrap()).unwrap();
    let mut done = Processed::default();
    isolated.process(&mut batch, &list, &mut done).unwrap();
    let failed: Vec<u32> = done.failed.iter().map(|failed| failed.row).collect();
    assert_eq!(failed, [23]);
    assert!(isolated.restarts() > 0);
    for (at, row) in batch.rows.iter().enumerate() {
        let expected = if at == 23 { "!23@example.comx".to_owned() } else { "*".repeat(16) };
        assert_eq!(text(&batch, row.after, EMAIL), expected, "{at}");
    }
}

#[test]
fn columns_that_must_be_covered_are_at_most_as_many_as_a_table_can_have() {
    let promising = |columns: usize| {
        let names = vec!["email"; columns];
        let info = format!(
            r#"{{"ok": {{"name": "zoo", "version": "1", "protects": true, "required-columns": {names:?}}}}}"#
        );
        Module { info, ..Module::pass(&[EMAIL], &[]) }.load()
    };
    assert_eq!(promising(3200).unwrap().info().required_columns.len(), 3200);
    let error = promising(3201).unwrap_err();
    assert_eq!(error.code(), "PLUGIN_CONFIG_REFUSED");
    assert!(error.to_string().contains("3201 columns that it must cover"), "{error}");
}
