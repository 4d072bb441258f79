//! A zoo of hostile plugins, each by both doors: what they do ends in its fault, within the deadline and
//! 10 ms of CPU time, and leaves the process as it was.
//!
//! A process of its own with one test, for it looks at the whole process's memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the modules are shared with another test, which uses more of them")]

mod animals;
#[path = "../host/answers.rs"]
mod answers;
#[path = "../host/batches.rs"]
mod batches;
#[path = "../host/module_zoo.rs"]
mod module_zoo;
#[path = "../host/zoo.rs"]
mod zoo;

use std::time::{Duration, Instant};

use animals::{Animal, components, modules};
use batches::{all, batch, customers, encoded, schema};
use offtake_transform::{Engine, EngineOptions, Fault, FaultCode, Isolated, Plugin, Processed};
use rustix::time::{ClockId, clock_gettime};
use zoo::{Guest, spec};

/// The gateway's, for what a process gives back is the allocator's doing too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// CPU time that a call may take beyond its deadline.
const BEYOND: Duration = Duration::from_millis(10);
/// What it takes at its best counts: a machine that is busy wakes the thread too late that ends it.
const TRIES: usize = 3;
/// CPU time of the whole process that compiling may take: it is done once a plugin, beside the pipeline.
const COMPILING: Duration = Duration::from_secs(60);
/// How long freed memory may be held.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the process may have in memory at most: what is compiled, and what the largest may have.
const PEAK_BYTES: u64 = 1 << 30;
/// By how much the process may have grown after all visits, beside the animals: what the allocator keeps
/// for itself, and the text that an animal was made of. Compiling the largest takes half a gigabyte.
const GROWTH_BYTES: u64 = 96 << 20;

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Bytes of the process that are in memory and are no file's (`RssAnon`), or all of them at their most
/// (`VmHWM`).
fn resident(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// CPU time of this thread that something took, and what came of it.
fn timed<T>(something: impl FnOnce() -> T) -> (Duration, T) {
    let begin = cpu(ClockId::ThreadCPUTime);
    let outcome = something();
    (cpu(ClockId::ThreadCPUTime) - begin, outcome)
}

/// What came of an animal.
struct Seen {
    /// Of the plugin or of the call; none: it did nothing wrong.
    code: Option<&'static str>,
    /// CPU time of the start, of the call, and of finding the guilty changes of one like it.
    took: [Duration; 3],
    /// What else was wrong.
    wrong: Option<String>,
}

impl Seen {
    /// Whether start, call and isolation each end when they must.
    fn is_in_time(&self, animal: &Animal) -> bool {
        let limits = &animal.limits;
        // The start is judged where it is what fails: compiling is not the plugin's doing.
        let start = if self.code == Some("PLUGIN_DEADLINE") && self.took[1].is_zero() {
            limits.setup_deadline
        } else {
            Duration::MAX
        };
        // A call fails, and the limit is looked at before each further one.
        let isolation = limits.isolation + limits.deadline * 2;
        let bounds = [start, limits.deadline, isolation];
        self.took.iter().zip(bounds).all(|(took, bound)| *took < bound.saturating_add(BEYOND))
    }
}

/// Starts an animal, calls it, and has the changes found that it fails at.
fn look_at(engine: &Engine, animal: &Animal) -> Seen {
    let mut spec = spec(animal.wasm.clone());
    spec.limits = animal.limits.clone();
    let begin = cpu(ClockId::ProcessCPUTime);
    let (start, plugin) = timed(|| Plugin::load(engine, spec));
    let compiling = cpu(ClockId::ProcessCPUTime) - begin;
    let mut seen = Seen { code: None, took: [start, Duration::ZERO, Duration::ZERO], wrong: None };
    if compiling >= COMPILING {
        seen.wrong = Some(format!("it took {compiling:?} until it was started"));
    }
    let plugin = match plugin {
        Ok(plugin) => plugin,
        Err(error) => return Seen { code: Some(error.code()), ..seen },
    };
    let mut instance = plugin.instance().unwrap();
    let mut batch = batch(&schema(), &customers(3));
    let (before, rows) = (encoded(&batch), all(&batch));
    let (took, outcome) = timed(|| instance.process(&mut batch, &rows));
    seen.took[1] = took;
    seen.code = outcome.as_ref().err().map(Fault::code);
    drop(instance);
    let mut isolated = Isolated::new(&plugin).unwrap();
    let mut done = Processed::default();
    let (took, outcome) = timed(|| isolated.process(&mut batch, &rows, &mut done));
    seen.took[2] = took;
    if encoded(&batch) != before {
        seen.wrong = Some("it changed a row".to_owned());
    } else if !follows_policy(animal, &outcome, &done) {
        seen.wrong = Some(format!("isolated: {outcome:?}, {done:?}"));
    }
    seen
}

/// Whether each change failed alone with the animal's code, or the limit of finding them was reached,
/// or it was no change's fault; of one that is harmless, nothing.
fn follows_policy(animal: &Animal, outcome: &Result<(), Fault>, done: &Processed) -> bool {
    match outcome {
        Ok(()) => {
            let codes = done.failed.iter().map(|failed| Some(failed.fault.code()));
            let failures = if animal.code.is_some() { 3 } else { 0 };
            codes.eq(std::iter::repeat_n(animal.code, failures))
        }
        Err(fault) if fault.code == FaultCode::Isolation => {
            fault.message.contains(animal.code.unwrap_or("nothing"))
        }
        Err(fault) => Some(fault.code()) == animal.code && fault.row.is_none(),
    }
}

/// What is not as it should be with an animal.
fn visit(engine: &Engine, door: &str, animal: &Animal) -> Option<String> {
    let name = format!("{door}, {}", animal.name);
    let mut said = String::new();
    for _ in 0..TRIES {
        let seen = look_at(engine, animal);
        let Seen { code, took: [start, call, isolation], wrong } = &seen;
        said = format!("{name}: {code:?}; start {start:?}, call {call:?}, isolation {isolation:?}");
        println!("{said}");
        if let Some(wrong) = wrong {
            return Some(format!("{said}: {wrong}"));
        }
        if *code != animal.code {
            return Some(said);
        }
        if seen.is_in_time(animal) {
            return None;
        }
    }
    Some(format!("{said}: too long"))
}

/// Waits until no more memory is held than that: what is free is given back after some seconds.
fn wait_until_given_back(bytes: u64) {
    let begin = Instant::now();
    loop {
        let held = resident("RssAnon");
        if held <= bytes {
            println!("{} MiB held, after {:?}", held >> 20, begin.elapsed());
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{held} bytes are held, and {bytes} at most should be");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn whatever_an_animal_of_the_zoo_does_ends_in_time_and_leaves_neither_trace_nor_memory() {
    let begun = resident("RssAnon");
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
    for _ in 0..2 {
        let mut wrong = Vec::new();
        for (door, animal) in &animals {
            wrong.extend(visit(&engine, door, animal));
            works(animal.name);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    let themselves: usize = animals.iter().map(|(_, animal)| animal.wasm.len()).sum();
    wait_until_given_back(begun + themselves as u64 + GROWTH_BYTES);
    let peak = resident("VmHWM");
    println!("{} MiB at most, {} MiB before", peak >> 20, begun >> 20);
    assert!(peak < PEAK_BYTES, "the process had {peak} bytes in memory");
}
