//! What stands in for WASI gives a core module nothing but log lines.

use offtake_transform::{Fault, FaultCode, Instance};

use crate::batches::{batch, customers, schema};
use crate::module_zoo::Module;
use crate::secrets::captured;

const WASI: &str = "wasi_snapshot_preview1";

/// Every function that is offered, with its parameters; each gives a number but `proc_exit`.
const FUNCTIONS: [(&str, &str); 45] = [
    ("args_get", "i32 i32"),
    ("args_sizes_get", "i32 i32"),
    ("clock_res_get", "i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
    ("environ_get", "i32 i32"),
    ("environ_sizes_get", "i32 i32"),
    ("fd_advise", "i32 i64 i64 i32"),
    ("fd_allocate", "i32 i64 i64"),
    ("fd_close", "i32"),
    ("fd_datasync", "i32"),
    ("fd_fdstat_get", "i32 i32"),
    ("fd_fdstat_set_flags", "i32 i32"),
    ("fd_fdstat_set_rights", "i32 i64 i64"),
    ("fd_filestat_get", "i32 i32"),
    ("fd_filestat_set_size", "i32 i64"),
    ("fd_filestat_set_times", "i32 i64 i64 i32"),
    ("fd_pread", "i32 i32 i32 i64 i32"),
    ("fd_prestat_dir_name", "i32 i32 i32"),
    ("fd_prestat_get", "i32 i32"),
    ("fd_pwrite", "i32 i32 i32 i64 i32"),
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_readdir", "i32 i32 i32 i64 i32"),
    ("fd_renumber", "i32 i32"),
    ("fd_seek", "i32 i64 i32 i32"),
    ("fd_sync", "i32"),
    ("fd_tell", "i32 i32"),
    ("fd_write", "i32 i32 i32 i32"),
    ("path_create_directory", "i32 i32 i32"),
    ("path_filestat_get", "i32 i32 i32 i32 i32"),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("path_readlink", "i32 i32 i32 i32 i32 i32"),
    ("path_remove_directory", "i32 i32 i32"),
    ("path_rename", "i32 i32 i32 i32 i32 i32"),
    ("path_symlink", "i32 i32 i32 i32 i32"),
    ("path_unlink_file", "i32 i32 i32"),
    ("poll_oneoff", "i32 i32 i32 i32"),
    ("proc_exit", "i32"),
    ("random_get", "i32 i32"),
    ("sched_yield", ""),
    ("sock_accept", "i32 i32 i32"),
    ("sock_recv", "i32 i32 i32 i32 i32 i32"),
    ("sock_send", "i32 i32 i32 i32 i32"),
    ("sock_shutdown", "i32 i32"),
];

/// A module that imports all of it, and the host's own functions, and runs instructions.
fn doing(instructions: &str) -> Module {
    let mut imports = r#"
      (import "offtake" "log" (func $log (param i32 i32 i32)))
      (import "offtake" "counter" (func $counter (param i32 i32) (result i32)))
      (import "offtake" "histogram" (func $histogram (param i32 i32) (result i32)))
      (import "offtake" "add" (func $add (param i32 i32)))
      (import "offtake" "observe" (func $observe (param i32 f64)))"#
        .to_owned();
    for (name, parameters) in FUNCTIONS {
        let result = if name == "proc_exit" { "" } else { "(result i32)" };
        imports.push_str(&format!(
            "(import \"{WASI}\" \"{name}\" (func ${name} (param {parameters}) {result}))"
        ));
    }
    // Traps unless the number is the one that is expected.
    let fields = "(func $is (param i32 i32)
        (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))";
    Module { imports, fields: fields.to_owned(), ..Module::doing(instructions) }
}

fn run(plugin: &mut Instance) -> Result<(), Fault> {
    plugin.process(&mut batch(&schema(), &customers(1)), &[0]).map(|_| ())
}

/// Writes `text` to a descriptor, in two buffers.
fn printing(module: &mut Module, descriptor: u32, text: &str) -> String {
    let (first, second) = text.split_at(text.len() / 2);
    let mut buffers = Vec::new();
    for part in [first, second] {
        let packed = module.put(part.as_bytes());
        buffers.extend(((packed >> 32) as u32).to_le_bytes());
        buffers.extend((packed as u32).to_le_bytes());
    }
    let at = module.put(&buffers) >> 32;
    format!(
        "(call $is (call $fd_write (i32.const {descriptor}) (i32.const {at}) (i32.const 2) (i32.const 64)) (i32.const 0))
         (call $is (i32.load (i32.const 64)) (i32.const {}))",
        text.len()
    )
}

#[test]
fn clock_and_randomness_are_the_same_in_every_instance() {
    let time = |seconds_and_more: u64| {
        format!(
            "(call $is (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 64)) (i32.const 0))
             (if (i64.ne (i64.load (i32.const 64)) (i64.const {seconds_and_more})) (then (unreachable)))"
        )
    };
    let random = "(call $is (call $random_get (i32.const 64) (i32.const 12)) (i32.const 0))
                  (call $observe (i32.const 0) (f64.convert_i32_u (i32.load (i32.const 72))))";
    let mut module = doing(&format!(
        "{}{}{random}{random}
         (call $is (call $clock_res_get (i32.const 0) (i32.const 64)) (i32.const 0))
         (call $is (i32.load (i32.const 64)) (i32.const 1000))
         (call $is (call $random_get (i32.const 64) (i32.const 2000000)) (i32.const 28))",
        time(1_000_000_000),
        time(1_000_001_000)
    ));
    let name = module.put(b"drawn");
    module.on_configure =
        format!("(drop (call $histogram (i32.const {}) (i32.const {})))", name >> 32, name as u32);
    let plugin = module.load().unwrap();
    let sums = [(); 2].map(|()| {
        let mut instance = plugin.instance().unwrap();
        run(&mut instance).unwrap();
        let metric = instance.custom_metrics()[0].clone();
        assert_eq!(metric.count, 2);
        assert!(metric.sum > 0.0);
        metric.sum
    });
    assert_eq!(sums[0], sums[1]);
    let drawn = module.instance();
    assert_eq!(drawn.custom_metrics()[0].count, 0);
}

#[test]
fn nothing_is_open_and_there_are_no_arguments() {
    let module = doing(
        "(call $is (call $fd_close (i32.const 1)) (i32.const 8))
         (call $is (call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 8))
         (call $is (call $fd_seek (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 64)) (i32.const 8))
         (call $is (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0)
           (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)) (i32.const 8))
         (call $is (call $fd_prestat_get (i32.const 3) (i32.const 64)) (i32.const 8))
         (call $is (call $fd_prestat_dir_name (i32.const 3) (i32.const 64) (i32.const 1)) (i32.const 8))
         (call $is (call $fd_fdstat_set_flags (i32.const 1) (i32.const 0)) (i32.const 8))
         (call $is (call $fd_fdstat_get (i32.const 3) (i32.const 64)) (i32.const 8))
         (call $is (call $fd_fdstat_get (i32.const 2) (i32.const 64)) (i32.const 0))
         (call $is (i32.load8_u (i32.const 64)) (i32.const 2))
         (i64.store (i32.const 64) (i64.const -1))
         (call $is (call $args_sizes_get (i32.const 64) (i32.const 68)) (i32.const 0))
         (call $is (i32.or (i32.load (i32.const 64)) (i32.load (i32.const 68))) (i32.const 0))
         (i64.store (i32.const 64) (i64.const -1))
         (call $is (call $environ_sizes_get (i32.const 64) (i32.const 68)) (i32.const 0))
         (call $is (i32.or (i32.load (i32.const 64)) (i32.load (i32.const 68))) (i32.const 0))
         (call $is (call $args_get (i32.const 64) (i32.const 64)) (i32.const 0))
         (call $is (call $environ_get (i32.const 64) (i32.const 64)) (i32.const 0))
         (call $is (call $sched_yield) (i32.const 0))",
    );
    run(&mut module.instance()).unwrap();
}

#[test]
fn every_subscription_has_happened_at_once() {
    // Two subscriptions at 128 with the names 7 and 9, kinds 0 and 1; events at 512.
    let module = doing(
        "(i64.store (i32.const 128) (i64.const 7)) (i32.store8 (i32.const 136) (i32.const 0))
         (i64.store (i32.const 176) (i64.const 9)) (i32.store8 (i32.const 184) (i32.const 1))
         (call $is (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 2) (i32.const 64)) (i32.const 0))
         (call $is (i32.load (i32.const 64)) (i32.const 2))
         (call $is (i32.load (i32.const 512)) (i32.const 7))
         (call $is (i32.load (i32.const 520)) (i32.const 0))
         (call $is (i32.load (i32.const 544)) (i32.const 9))
         (call $is (i32.load (i32.const 552)) (i32.const 0x10000))
         (call $is (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 0) (i32.const 64)) (i32.const 28))
         (call $is (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 5000) (i32.const 64)) (i32.const 28))",
    );
    run(&mut module.instance()).unwrap();
}

#[test]
fn pointers_outside_the_memory_are_refused() {
    let outside = "(i32.const 0x7ffffff8)";
    let last = "(i32.const -4)";
    let module = doing(&format!(
        "(call $is (call $clock_time_get (i32.const 0) (i64.const 0) {outside}) (i32.const 21))
         (call $is (call $clock_res_get (i32.const 0) {last}) (i32.const 21))
         (call $is (call $random_get {last} (i32.const 64)) (i32.const 21))
         (call $is (call $args_sizes_get (i32.const 64) {outside}) (i32.const 21))
         (call $is (call $fd_fdstat_get (i32.const 1) {last}) (i32.const 21))
         (call $is (call $poll_oneoff {outside} (i32.const 512) (i32.const 1) (i32.const 64)) (i32.const 21))
         (call $is (call $poll_oneoff (i32.const 512) {last} (i32.const 1) (i32.const 64)) (i32.const 21))
         (call $is (call $fd_write (i32.const 1) {last} (i32.const 2) (i32.const 64)) (i32.const 21))
         (call $is (call $fd_write (i32.const 1) (i32.const 64) (i32.const 5000) (i32.const 64)) (i32.const 28))
         (i64.store (i32.const 128) (i64.const 0x7fffffff_00000000))
         (call $is (call $fd_write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 64)) (i32.const 21))
         (call $is (call $fd_write (i32.const 3) (i32.const 128) (i32.const 1) (i32.const 64)) (i32.const 8))"
    ));
    run(&mut module.instance()).unwrap();
    for call in [
        "(call $log (i32.const 2) (i32.const -4) (i32.const 8))",
        "(call $log (i32.const 5) (i32.const 0) (i32.const 1))",
        "(drop (call $counter (i32.const 0) (i32.const -1)))",
    ] {
        let fault = run(&mut doing(call).instance()).unwrap_err();
        assert_eq!(fault.code, FaultCode::MalformedVerdict, "{call}: {fault}");
    }
}

#[test]
fn what_is_printed_becomes_log_lines() {
    let mut module = doing("");
    let out = printing(&mut module, 1, "rows: 3\nhalf of");
    let rest = printing(&mut module, 1, " a line\n");
    let err = printing(&mut module, 2, "unfinished \u{1b}[1m");
    module.process = format!("{out}{rest}{err}(i64.const 0)");
    let mut plugin = module.instance();
    let text = captured(|| run(&mut plugin).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, level, said) in [
        (lines[0], "level=\"info\"", "\"rows: 3\""),
        (lines[1], "level=\"info\"", "\"half of a line\""),
        (lines[2], "level=\"warn\"", "\"unfinished  [1m\""),
    ] {
        assert!(line.contains(level) && line.contains(said), "{line}");
    }
}

#[test]
fn a_flood_of_lines_is_stopped_by_the_limit_of_host_calls() {
    let mut module = doing("");
    let line = printing(&mut module, 1, "again\n");
    module.process = format!("(loop $l {line} (br $l)) (i64.const 0)");
    assert_eq!(run(&mut module.instance()).unwrap_err().code, FaultCode::HostCalls);
    // Half a megabyte of empty lines in each call.
    module.process = "(memory.fill (i32.const 8192) (i32.const 10) (i32.const 500000))
        (i64.store (i32.const 64) (i64.const 0x0007a120_00002000))
        (loop $l (drop (call $fd_write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 72))) (br $l))
        (i64.const 0)".to_owned();
    let begin = std::time::Instant::now();
    assert!(run(&mut module.instance()).is_err());
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "calls are short");
    module.process = "(loop $l (drop (call $sched_yield)) (br $l)) (i64.const 0)".to_owned();
    assert_eq!(run(&mut module.instance()).unwrap_err().code, FaultCode::Deadline);
    module.process = "(loop $l (drop (call $random_get (i32.const 8192) (i32.const 300000))) (br $l)) (i64.const 0)".to_owned();
    assert_eq!(run(&mut module.instance()).unwrap_err().code, FaultCode::Deadline);
}

#[test]
fn to_exit_is_a_trap_with_the_last_words() {
    let mut module = doing("");
    let words = printing(&mut module, 2, "panic: no such thing\n\ngoroutine 1 [running]:\n");
    module.process = format!("{words} (call $proc_exit (i32.const 2)) (i64.const 0)");
    let mut plugin = module.instance();
    let fault = run(&mut plugin).unwrap_err();
    assert_eq!(fault.code, FaultCode::Trap);
    assert!(fault.message.contains("code 2"), "{fault}");
    assert!(fault.message.contains("it said: panic: no such thing)"), "{fault}");
    assert!(plugin.is_poisoned());
    module.info = r#"{"ok": {"name": "zoo", "version": "1", "protects": true}}"#.to_owned();
    let quiet = run(&mut module.instance()).unwrap_err();
    assert!(!quiet.message.contains("panic"), "{quiet}");
}

#[test]
fn a_start_function_runs_first_and_its_last_words_are_told() {
    let mut module = doing("");
    let words = printing(&mut module, 2, "init failed\n");
    let start = |then: &str| format!(r#"(func (export "_initialize") {then})"#);
    module.fields.push_str(&start(&format!("{words} (unreachable)")));
    let error = module.load().unwrap_err();
    assert_eq!(error.code(), "PLUGIN_TRAP");
    assert!(error.to_string().contains("it said: init failed"), "{error}");
    let mut module = doing("(call $is (global.get $begun) (i32.const 1))");
    module.fields.push_str("(global $begun (mut i32) (i32.const 0))");
    module.fields.push_str(&start("(global.set $begun (i32.const 1))"));
    module.on_configure = "(call $is (global.get $begun) (i32.const 1))".to_owned();
    run(&mut module.instance()).unwrap();
}
