//! A zoo of hostile plugins, each by both doors: what they do ends in its fault, in bounded CPU time,
//! and leaves the process as it was.
//!
//! A process of its own with one test, for it looks at the whole process's memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the modules are shared with another test, which uses more of them")]

#[path = "../host/answers.rs"]
mod answers;
#[path = "../host/batches.rs"]
mod batches;
#[path = "../host/module_zoo.rs"]
mod module_zoo;
#[path = "../host/zoo.rs"]
mod zoo;

use std::time::Duration;

use batches::{EMAIL, all, batch, customers, encoded, schema};
use module_zoo as frame;
use module_zoo::Module;
use offtake_transform::{Engine, EngineOptions, Limits, Plugin};
use rustix::time::{ClockId, clock_gettime};
use zoo::{Guest, spec, words};

/// What a call may take beyond its deadline before the test fails. It is a hundred times what is
/// wanted, for machines differ; what it took is printed.
const PATIENCE: Duration = Duration::from_secs(1);
/// By how much the process may grow over a second visit to the whole zoo.
const GROWTH_BYTES: u64 = 48 << 20;
/// What the larger animals may take, so that it is not their memory that is found first.
const ROOM: usize = 256 << 20;

struct Animal {
    name: &'static str,
    wasm: Vec<u8>,
    memory_bytes: usize,
    /// Of the plugin, where it is refused at the start; of the call otherwise. None: it is harmless.
    code: Option<&'static str>,
}

fn animal(name: &'static str, wasm: Vec<u8>, code: &'static str) -> Animal {
    Animal { name, wasm, memory_bytes: 8 << 20, code: Some(code) }
}

fn large(name: &'static str, wasm: Vec<u8>, code: &'static str) -> Animal {
    Animal { memory_bytes: ROOM, ..animal(name, wasm, code) }
}

fn harmless(name: &'static str, wasm: Vec<u8>) -> Animal {
    Animal { memory_bytes: ROOM, code: None, ..animal(name, wasm, "") }
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
const LOG: &str = r#"(import "offtake" "log" (func $log (param i32 i32 i32)))"#;

fn data(bytes: usize) -> String {
    format!(r#"(data (i32.const 0) "{}")"#, "x".repeat(bytes))
}

fn components() -> Vec<Animal> {
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
        let values = layout.list(&[0; 8], 1);
        let column = [&words(&[3, 0, 0, 1])[..], &values, &[0; 8]].concat();
        let patch = [&words(&[1])[..], &column, &[0; 8]].concat();
        let set = layout.list(&patch, 1);
        [[0; 8], set, [0; 8], [0; 8], [0; 8], [0; 8], [0; 8]]
    });
    // It calls the gateway while the gateway is calling its allocator.
    let reentrant = Guest {
        on_alloc: "(call $add (i32.const 0) (i32.const 1))".to_owned(),
        ..Guest::default()
    };
    let with = |imports: String| Guest { imports: imports.leak(), ..Guest::default() }.build();
    vec![
        animal("endless loop", Guest::doing(LOOP).build(), "PLUGIN_DEADLINE"),
        animal("allocation bomb", Guest::doing(BOMB).build(), "PLUGIN_MEMORY"),
        animal("deep recursion", recursion, "PLUGIN_TRAP"),
        large("100 MB of output", hundred_megabytes.build(), "PLUGIN_OUTPUT"),
        animal("wrong offset", dropping(0xffff_0000, 4), "PLUGIN_MALFORMED_VERDICT"),
        animal("overlong list", dropping(1024, 0x3fff_ffff), "PLUGIN_MALFORMED_VERDICT"),
        animal("invalid UTF-8", Guest::doing(NO_UTF8).build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("row out of range", far.build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("column of one value", short_column.build(), "PLUGIN_MALFORMED_VERDICT"),
        animal("log flood", Guest::doing(FLOOD).build(), "PLUGIN_HOST_CALLS"),
        animal("re-entrance", reentrant.build(), "PLUGIN_TRAP"),
        large("20 MB of data", with(data(20 << 20)), "PLUGIN_TRAP"),
        animal("lying interest", Guest::pass(&[0, 99], 0).build(), "PLUGIN_MALFORMED_VERDICT"),
    ]
}

fn modules() -> Vec<Animal> {
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
    let short = frame::set(1, &[], &frame::integers(3, &[Some(1)]));
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
    vec![
        animal("endless loop", module(LOOP).build(), "PLUGIN_DEADLINE"),
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
        animal("column of one value", sections(&[(2, short)]), "PLUGIN_MALFORMED_VERDICT"),
        animal("invalid UTF-8", sections(&[(2, no_utf8)]), "PLUGIN_MALFORMED_VERDICT"),
        animal("log flood", module(FLOOD).build(), "PLUGIN_HOST_CALLS"),
        harmless("re-entrance", reentrant.build()),
        // Of a module alone: a component's modules go through the same compiler, for seconds.
        harmless("100,000 functions", with("(func)".repeat(100_000))),
        large("20 MB of data", with(data(20 << 20)), "PLUGIN_TRAP"),
        animal("lying interest", lying.build(), "PLUGIN_MALFORMED_VERDICT"),
    ]
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Bytes of the process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// What is not as it should be with an animal.
fn visit(engine: &Engine, door: &str, animal: &Animal) -> Option<String> {
    let mut spec = spec(animal.wasm.clone());
    spec.limits = Limits { memory_bytes: animal.memory_bytes, ..spec.limits };
    let deadline = spec.limits.deadline;
    let name = format!("{door}, {}", animal.name);
    let plugin = match Plugin::load(engine, spec) {
        Ok(plugin) => plugin,
        Err(error) => {
            println!("{name}: refused at the start: {error}");
            return (Some(error.code()) != animal.code).then(|| format!("{name}: {error}"));
        }
    };
    let mut instance = plugin.instance().unwrap();
    let mut batch = batch(&schema(), &customers(3));
    let (before, rows) = (encoded(&batch), all(&batch));
    let begin = cpu();
    let outcome = instance.process(&mut batch, &rows);
    let took = cpu() - begin;
    println!("{name}: {took:?} of CPU, {:?}", outcome.as_ref().err());
    let code = outcome.as_ref().err().map(|fault| fault.code());
    let is_well = code == animal.code && took < deadline + PATIENCE && encoded(&batch) == before;
    (!is_well).then(|| format!("{name}: {took:?}, {outcome:?}"))
}

#[test]
fn whatever_an_animal_of_the_zoo_does_ends_in_time_and_leaves_neither_trace_nor_memory() {
    let animals: Vec<(&str, Animal)> = components()
        .into_iter()
        .map(|animal| ("component", animal))
        .chain(modules().into_iter().map(|animal| ("module", animal)))
        .collect();
    // A well-behaved plugin of another route, which works before, between and after.
    let other = zoo::load(&Guest::stars(&[1], 0)).unwrap();
    let mut neighbour = other.instance().unwrap();
    let mut works = |moment: &str| {
        let mut batch = batch(&schema(), &customers(3));
        let (before, rows) = (encoded(&batch), all(&batch));
        neighbour.process(&mut batch, &rows).unwrap_or_else(|fault| panic!("{moment}: {fault}"));
        assert_ne!(encoded(&batch), before, "{moment}");
    };
    works("before");
    let cache = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineOptions { cache_dir: Some(cache.path().to_owned()) }).unwrap();
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let mut wrong = Vec::new();
        for (door, animal) in &animals {
            wrong.extend(visit(&engine, door, animal));
            works(animal.name);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        sizes.push(resident());
    }
    let grown = sizes[1].saturating_sub(sizes[0]);
    println!(
        "{} MiB after the first visit, {} KiB more after the second",
        sizes[0] >> 20,
        grown >> 10
    );
    assert!(grown < GROWTH_BYTES, "the process grew by {grown} bytes");
}
