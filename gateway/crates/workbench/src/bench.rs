//! `offtake plugin bench`: what a change costs in a plugin, host and guest together.
//!
//! A fixture's changes are repeated until a batch is full, and batches until the time is up. Time
//! depends on the machine and on what else it does; fuel, which counts instructions, does not.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use offtake_change::Batch;
use offtake_transform::{Isolated, Plugin};
use serde_json::{Value, json};

use crate::batches;
use crate::changes::Changes;
use crate::check::Subject;
use crate::fixture::{Expected, Fixture};
use crate::run::{Refusal, process, run};

/// Changes in a batch.
pub const SIZES: [usize; 3] = [1, 16, 256];
/// How long one size is measured, and how often; the best counts, for all else is the machine's.
const TIME: Duration = Duration::from_millis(60);
const ROUNDS: usize = 5;
/// Instances that are started.
const INSTANCES: usize = 21;

/// What a change costs in batches of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Changes in a batch.
    pub size: usize,
    /// Nanoseconds a change.
    pub nanoseconds: f64,
    /// Fuel a change.
    pub fuel: f64,
}

/// What a fixture costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The fixture's name.
    pub name: String,
    /// What a change costs, by batch size; empty where the plugin fails at every change: that is no
    /// change's cost.
    pub costs: Vec<Cost>,
    /// Changes that it has.
    pub changes: usize,
    /// Those that the plugin fails at.
    pub failed: usize,
    /// Linear memory after all of it, in bytes: it never shrinks.
    pub memory_bytes: usize,
    /// Microseconds that a fresh instance takes to be ready, the median.
    pub instance_us: f64,
}

/// Measures a plugin with a fixture; `None`: the fixture has nothing to measure.
///
/// # Errors
/// What the plugin cannot be measured for.
pub fn measure(subject: &Subject, fixture: &Fixture) -> Result<Option<Measured>, Refusal> {
    if fixture.changes.is_empty() || matches!(fixture.expected, Expected::Refusal(_)) {
        return Ok(None);
    }
    let plugin = subject.load(&fixture.config_json)?;
    let changes = fixture.changes.len();
    let failed = run(&plugin, &fixture.tables, &fixture.changes, SIZES[SIZES.len() - 1])?.failed;
    let mut isolated = Isolated::new(&plugin.apart()).map_err(|error| Refusal::from(&error))?;
    let mut costs = Vec::with_capacity(SIZES.len());
    if failed < changes {
        let counted = subject.load_counting(&fixture.config_json)?;
        for size in SIZES {
            let batches = filled(&fixture.changes, size);
            let nanoseconds = time(&mut isolated, &batches)?;
            costs.push(Cost { size, nanoseconds, fuel: fuel(&counted, &batches)? });
        }
    }
    let memory_bytes = isolated.instance().memory_bytes();
    let instance_us = instance_us(&plugin)?;
    let name = fixture.name.clone();
    Ok(Some(Measured { name, costs, changes, failed, memory_bytes, instance_us }))
}

/// Batches of this size that have every change at least once, as often as the others.
fn filled(changes: &Changes, size: usize) -> Vec<Batch> {
    let repeated = batches::repeated(changes, size);
    let starts = (0..repeated.len()).step_by(size);
    let end = |start: usize| repeated.len().min(start + size);
    starts.map(|start| batches::stretch(&repeated, start..end(start))).collect()
}

/// Nanoseconds a change.
fn time(isolated: &mut Isolated, batches: &[Batch]) -> Result<f64, Refusal> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (mut spent, mut rows) = (Duration::ZERO, 0);
        while spent < TIME {
            for batch in batches {
                // A batch is changed in place; to copy it is no part of what is measured.
                let mut batch = batch.clone();
                let count = batch.rows.len();
                let begin = Instant::now();
                process(isolated, &mut batch).map_err(|fault| Refusal::from(&fault))?;
                spent += begin.elapsed();
                rows += count;
            }
        }
        best = best.min(spent.as_secs_f64() * 1e9 / rows as f64);
    }
    Ok(best)
}

/// Fuel a change, once the tables are known.
fn fuel(plugin: &Plugin, batches: &[Batch]) -> Result<f64, Refusal> {
    let mut isolated = Isolated::new(&plugin.apart()).map_err(|error| Refusal::from(&error))?;
    let once = |isolated: &mut Isolated| -> Result<usize, Refusal> {
        let mut rows = 0;
        for batch in batches {
            let mut batch = batch.clone();
            rows += batch.rows.len();
            process(isolated, &mut batch).map_err(|fault| Refusal::from(&fault))?;
        }
        Ok(rows)
    };
    once(&mut isolated)?;
    let before = isolated.instance().fuel_spent().unwrap_or_default();
    let rows = once(&mut isolated)?;
    let after = isolated.instance().fuel_spent().unwrap_or_default();
    Ok(after.saturating_sub(before) as f64 / rows as f64)
}

fn instance_us(plugin: &Plugin) -> Result<f64, Refusal> {
    let mut times = Vec::with_capacity(INSTANCES);
    for _ in 0..INSTANCES {
        let begin = Instant::now();
        let instance = plugin.instance().map_err(|error| Refusal::from(&error))?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        drop(instance);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The heads of the columns that [`line`] fills.
pub fn heading() -> String {
    let mut out = format!("{:<28}", "fixture");
    // Writing into a String cannot fail.
    for size in SIZES {
        let _ = write!(out, "{:>14}", format!("ns, by {size}"));
    }
    for size in SIZES {
        let _ = write!(out, "{:>14}", format!("fuel, by {size}"));
    }
    let _ = write!(out, "{:>12}{:>14}", "memory", "instance");
    out
}

/// What a fixture costs, as a line for a person.
pub fn line(measured: &Measured) -> String {
    let mut out = format!("{:<28}", measured.name);
    let failed = match measured.failed {
        0 => String::new(),
        failed => format!("{failed} of {} failed", measured.changes),
    };
    if measured.costs.is_empty() {
        let _ = write!(out, "{failed:>14}; `offtake plugin test` shows how");
        return out;
    }
    for cost in &measured.costs {
        let _ = write!(out, "{:>14.0}", cost.nanoseconds);
    }
    for cost in &measured.costs {
        let _ = write!(out, "{:>14.0}", cost.fuel);
    }
    let memory = format!("{} KiB", measured.memory_bytes >> 10);
    let instance = format!("{:.0} µs", measured.instance_us);
    let _ = write!(out, "{memory:>12}{instance:>14}");
    if !failed.is_empty() {
        let _ = write!(out, "  ({failed})");
    }
    out
}

/// That a fixture was refused, for a person.
pub fn refused(name: &str, refusal: &Refusal) -> String {
    let Refusal { code, message, next_step } = refusal;
    format!("{name:<28}refused\n  error[{code}]: {message}\n    next: {next_step}")
}

/// What the columns of [`heading`] mean.
pub const LEGEND: &str =
    "ns, fuel: a change, by changes a call; instance: until a fresh one is ready";

/// The measurements as JSON, and the fixtures that were refused.
pub fn json(measured: &[Measured], refused: &[(String, Refusal)]) -> Value {
    let fixtures = measured.iter().map(|of| {
        let costs = of.costs.iter().map(|cost| {
            json!({ "batch": cost.size, "nanoseconds": cost.nanoseconds, "fuel": cost.fuel })
        });
        json!({
            "fixture": of.name,
            "changes": of.changes,
            "failed": of.failed,
            "a_change": costs.collect::<Vec<_>>(),
            "memory_bytes": of.memory_bytes,
            "instance_microseconds": of.instance_us,
        })
    });
    let refused = refused.iter().map(|(name, refusal)| {
        json!({
            "fixture": name,
            "code": refusal.code,
            "message": refusal.message,
            "next_step": refusal.next_step,
        })
    });
    json!({
        "fixtures": fixtures.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
    })
}
