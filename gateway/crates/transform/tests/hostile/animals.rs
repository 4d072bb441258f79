//! The animals of the zoo: what each of them is made of, and how it must end.

use std::time::Duration;

use offtake_transform::Limits;

use crate::batches::EMAIL;
use crate::module_zoo as frame;
use crate::module_zoo::Module;
use crate::zoo::{Guest, spec, words};

/// What the larger animals may take, so that it is not their memory that is found first.
const ROOM: usize = 256 << 20;

/// A hostile plugin.
pub(crate) struct Animal {
    pub(crate) name: &'static str,
    pub(crate) wasm: Vec<u8>,
    pub(crate) limits: Limits,
    /// Of the plugin, where it is refused at the start; of the call otherwise. None: it is harmless.
    pub(crate) code: Option<&'static str>,
}

fn animal(name: &'static str, wasm: Vec<u8>, code: &'static str) -> Animal {
    let limits = Limits { isolation: Duration::from_millis(150), ..spec(Vec::new()).limits };
    Animal { name, wasm, limits, code: Some(code) }
}

fn large(name: &'static str, wasm: Vec<u8>, code: &'static str) -> Animal {
    let animal = animal(name, wasm, code);
    let limits = Limits { memory_bytes: ROOM, host_calls: 10_000, ..animal.limits };
    Animal { limits, ..animal }
}

fn harmless(name: &'static str, wasm: Vec<u8>) -> Animal {
    Animal { code: None, ..large(name, wasm, "") }
}

/// One that has its fault while it starts, where it may take no longer than a call.
fn at_the_start(name: &'static str, wasm: Vec<u8>, code: &'static str) -> Animal {
    let animal = animal(name, wasm, code);
    let limits = Limits { setup_deadline: animal.limits.deadline, ..animal.limits };
    Animal { limits, ..animal }
}

/// A component that drops rows by a list at an address, with a length.
fn dropping(at: u32, length: u32) -> Vec<u8> {
    let list: [u8; 8] = words(&[at, length]).try_into().unwrap();
    Guest::answering(|_| [list, [0; 8], [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]).build()
}

const LOOP: &str = "(loop $l (br $l))";
const BOMB: &str = "(loop $l (drop (memory.grow (i32.const 16))) (br $l))";
const FLOOD: &str = "(loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 9)) (br $l))";
/// A line that is no UTF-8: the bytes are put there first.
const NO_UTF8: &str = "(i32.store (i32.const 0) (i32.const 0xfffefdfc))
    (call $log (i32.const 1) (i32.const 0) (i32.const 4))";
/// Work for the host.
const LONG_LINE: &str = "(call $log (i32.const 1) (i32.const 1048576) (i32.const 4000000))";
const RANDOM: &str = "(drop (call $random (i32.const 0) (i32.const 1048576)))";
const FILL: &str = "(memory.fill (i32.const 1048576) (i32.const 7) (i32.const 5000000))";
/// A list of texts of one byte from 1 MiB on.
const TEXTS: &str = "(drop (memory.grow (i32.const 100)))
    (loop $l
      (i32.store offset=0x100000 (local.get $i) (i32.const 0))
      (i32.store offset=0x100004 (local.get $i) (i32.const 1))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 4800000))))";
const SEED: &str = r#"(import "wasi_snapshot_preview1" "random_get"
    (func $random (param i32 i32) (result i32)))"#;
const LOG: &str = r#"(import "offtake" "log" (func $log (param i32 i32 i32)))"#;

fn data(bytes: usize) -> String {
    format!(r#"(data (i32.const 0) "{}")"#, "x".repeat(bytes))
}

/// Memory, then the same thing so often, without a loop or a function of its own in which compiled code
/// would look at its deadline.
fn straight(instruction: &str) -> String {
    format!("(drop (memory.grow (i32.const 90))) {}", instruction.repeat(2_000))
}

/// Those that are components.
pub(crate) fn components() -> Vec<Animal> {
    let lines = Guest::doing(&straight(LONG_LINE));
    let fills = Guest::doing(&straight(FILL));
    let recursion = Guest::doing("(drop (call $process (local.get $b)))").build();
    let hundred_megabytes = Guest::doing(
        "(drop (memory.grow (i32.const 1700)))
         (i32.store (i32.const 516) (i32.const 0))
         (i32.store (i32.const 520) (i32.const 25000000))",
    );
    let far = Guest::answering(|layout| {
        [layout.u32s(&[3]), [0; 8], [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]
    });
    let short_column = Guest::answering(|layout| {
        let values = layout.list(&[0; 40], 5);
        let column = [&words(&[3, 0, 0, 1])[..], &values, &[0; 8]].concat();
        let patch = [&words(&[1])[..], &column, &[0; 8]].concat();
        let set = layout.list(&patch, 1);
        [[0; 8], set, [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]
    });
    // 600,000 texts of one byte, for three rows.
    let mut texts = Guest::answering(|layout| {
        let column = [&words(&[EMAIL, 0, 0, 4, 1 << 20, 600_000])[..], &[0; 8]].concat();
        let set = layout.list(&[&words(&[1])[..], &column, &[0; 8]].concat(), 1);
        [[0; 8], set, [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]
    });
    texts.process = format!("{TEXTS} {}", texts.process);
    let mut texts = large("texts without end", texts.build(), "PLUGIN_MALFORMED_VERDICT");
    texts.limits.output_bytes = Limits::default().output_bytes;
    // It calls the gateway while the gateway is calling its allocator.
    let reentrant = Guest {
        on_alloc: "(call $add (i32.const 0) (i32.const 1))".to_owned(),
        ..Guest::default()
    };
    let with = |imports: String| Guest { imports: imports.leak(), ..Guest::default() }.build();
    let starting = Guest { on_configure: LOOP.to_owned(), ..Guest::default() };
    vec![
        animal("endless loop", Guest::doing(LOOP).build(), "PLUGIN_DEADLINE"),
        at_the_start("endless loop at the start", starting.build(), "PLUGIN_DEADLINE"),
        large("host calls without a loop", lines.build(), "PLUGIN_DEADLINE"),
        animal("fills without a loop", fills.build(), "PLUGIN_DEADLINE"),
        animal("allocation bomb", Guest::doing(BOMB).build(), "PLUGIN_MEMORY"),
        animal("deep recursion", recursion, "PLUGIN_TRAP"),
        large("100 MB of output", hundred_megabytes.build(), "PLUGIN_OUTPUT"),
        texts,
        animal("wrong offset", dropping(0xffff_0000, 4), "PLUGIN_MALFORMED_VERDICT"),
        animal("overlong list", dropping(1024, 0x3fff_ffff), "PLUGIN_MALFORMED_VERDICT"),
        animal("invalid UTF-8", Guest::doing(NO_UTF8).build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("row out of range", far.build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("column of five values", short_column.build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("log flood", Guest::doing(FLOOD).build(), "PLUGIN_HOST_CALLS"),
        animal("re-entrance", reentrant.build(), "PLUGIN_TRAP"),
        harmless("100,000 functions", with("(func)".repeat(100_000))),
        large("20 MB of data", with(data(20 << 20)), "PLUGIN_TRAP"),
        animal("lying interest", Guest::pass(&[0, 99], 0).build(), "PLUGIN_MALFORMED_VERDICT"),
    ]
}

/// Those that are core modules.
pub(crate) fn modules() -> Vec<Animal> {
    let module = |process: &str| Module { imports: LOG.to_owned(), ..Module::doing(process) };
    let with = |fields: String| Module { fields, ..Module::default() }.build();
    let answering = |at: u32, length: u32| {
        let packed = i64::from(at) << 32 | i64::from(length);
        Module::doing(&format!(
            "(drop (memory.grow (i32.const 1700))) (return (i64.const {packed}))"
        ))
    };
    let sections =
        |sections: &[(u32, Vec<u8>)]| Module::answering(&frame::verdict(sections)).build();
    let short = frame::set(1, &[], &frame::integers(3, &[Some(1); 5]));
    let reentrant = Module {
        on_alloc: "(drop (call $process (i32.const 0) (i32.const 0)))".to_owned(),
        imports: LOG.to_owned(),
        ..Module::doing("(call $log (i32.const 1) (i32.const 0) (i32.const 9))")
    };
    let text = [&words(&[0, 1, 2, 3])[..], b"a\xffb"].concat();
    let no_utf8 = frame::set(1, &[], &frame::column(EMAIL, 4, &[], &text));
    // A section of almost 4 GiB is announced.
    let overlong = [&b"OTV1"[..], &words(&[1, 1, 0xffff_fff8])].concat();
    let mut lying = Module::pass(&[0, 99], &[]);
    lying.process = "(i64.const 0)".to_owned();
    let starting = Module { on_configure: LOOP.to_owned(), ..Module::default() };
    let seeds = Module { imports: SEED.to_owned(), ..Module::doing(&straight(RANDOM)) };
    vec![
        animal("endless loop", module(LOOP).build(), "PLUGIN_DEADLINE"),
        at_the_start("endless loop at the start", starting.build(), "PLUGIN_DEADLINE"),
        large("host calls without a loop", seeds.build(), "PLUGIN_DEADLINE"),
        animal("fills without a loop", module(&straight(FILL)).build(), "PLUGIN_DEADLINE"),
        animal("allocation bomb", module(BOMB).build(), "PLUGIN_MEMORY"),
        animal(
            "deep recursion",
            module("(drop (call $process (i32.const 0) (i32.const 0)))").build(),
            "PLUGIN_TRAP",
        ),
        large("100 MB of output", answering(65536, 100_000_000).build(), "PLUGIN_OUTPUT"),
        large("wrong offset", answering(0xffff_0000, 64).build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("overlong list", Module::answering(&overlong).build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("row out of range", sections(&[(1, words(&[3]))]), "PLUGIN_MALFORMED_VERDICT"),
        animal("column of five values", sections(&[(2, short)]), "PLUGIN_MALFORMED_VERDICT"),
        animal("invalid UTF-8", sections(&[(2, no_utf8)]), "PLUGIN_MALFORMED_VERDICT"),
        animal("log flood", module(FLOOD).build(), "PLUGIN_HOST_CALLS"),
        harmless("re-entrance", reentrant.build()),
        harmless("100,000 functions", with("(func)".repeat(100_000))),
        large("20 MB of data", with(data(20 << 20)), "PLUGIN_TRAP"),
        animal("lying interest", lying.build(), "PLUGIN_MALFORMED_VERDICT"),
    ]
}
