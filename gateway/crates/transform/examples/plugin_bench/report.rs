//! The figures as a table and as JSON, and what was expected of them. A target that is missed is
//! shown, and no more: the machine has a say in every figure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::measure::{Measured, SIZES};

/// A mask of one column at 256 a call, in nanoseconds a change.
const MASK: [(&str, f64); 6] = [
    ("rust", 150.0),
    ("go", 400.0),
    ("c", 200.0),
    ("assemblyscript", 300.0),
    ("python", 2_500.0),
    ("typescript", 2_500.0),
];
/// JSON a record costs this many times a mask at 256 a call, at least.
const JSON_TIMES: f64 = 10.0;
/// A chain of three costs this many times one plugin, at most.
const CHAIN_TIMES: f64 = 3.0;
/// A fresh instance in Rust, in microseconds.
const INSTANCE_US: f64 = 50.0;

const NOTES: &str = "\
ns of CPU time a change, host and guest together, with limits | without, by changes a call; the best
of 12 rounds.
Rows have 12 columns, 10 of them texts of 30 bytes, and one image unless it says both.
With limits: as in a pipeline. Without: no deadline is looked at, and memory and output are not bounded.
A chain against one plugin: the median over the rounds, in each of which one is measured after the
other. Each plugin takes all of the batch's 512 rows, in calls of 256, then the next one does.
Nothing: one text column is sent, and the verdict is empty. Native: the mask by the host, no plugin.
JSON a record: one change a call; the host writes it as JSON (serde_json), the plugin reads, masks and
writes it with serde_json, encoding/json, a reader of its own (C), the SDK's (AssemblyScript), json,
JSON; the host reads that again. All of it counts.
Every figure depends on the machine; those of one run compare.
";

/// What was expected, and what came.
struct Target {
    what: String,
    found: f64,
    bound: f64,
    at_most: bool,
    unit: &'static str,
}

impl Target {
    fn is_met(&self) -> bool {
        if self.at_most { self.found <= self.bound } else { self.found >= self.bound }
    }
}

impl Measured {
    fn cost(&self, name: &str, limits: bool, size: usize) -> Option<f64> {
        let found = self
            .costs
            .iter()
            .find(|cost| cost.name == name && cost.limits == limits && cost.size == size)?;
        Some(found.nanoseconds)
    }

    fn targets(&self) -> Option<Vec<Target>> {
        let language = &self.language;
        let mask = self.cost("mask1", true, 256)?;
        let bound = MASK.iter().find(|(of, _)| of == language)?.1;
        let target = |what: &str, found, bound, at_most, unit| Target {
            what: format!("{language}: {what}"),
            found,
            bound,
            at_most,
            unit,
        };
        let json = self.cost("json", true, 1)? / mask;
        let mut targets = vec![
            target("mask 1 of 12 columns, 256 a call", mask, bound, true, "ns"),
            target("JSON a record against that", json, JSON_TIMES, false, "times"),
            target("a chain of 3 against that", self.chain_times, CHAIN_TIMES, true, "times"),
        ];
        if language == "rust" {
            targets.push(target("fresh instance", self.instance_us, INSTANCE_US, true, "us"));
        }
        Some(targets)
    }
}

fn targets(measured: &[Measured]) -> Vec<Target> {
    measured.iter().filter_map(Measured::targets).flatten().collect()
}

/// A language's figures, for a person. Writing into a String cannot fail.
pub(crate) fn table(of: &Measured) -> String {
    let mut out = String::new();
    let _ = write!(out, "\n{:<28}", of.language);
    for size in SIZES {
        let _ = write!(out, "{:>20}", format!("{size} a call"));
    }
    out.push('\n');
    let mut shown: Vec<&str> = Vec::new();
    for cost in &of.costs {
        if shown.contains(&cost.name) {
            continue;
        }
        shown.push(cost.name);
        let _ = write!(out, "  {:<26}", cost.title);
        for size in SIZES {
            let figure = |limits| of.cost(cost.name, limits, size);
            let pair = figure(true).zip(figure(false));
            let pair = pair.map_or(String::new(), |(a, b)| format!("{a:.0} | {b:.0}"));
            let _ = write!(out, "{pair:>20}");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "  {:<26}{:>20.0}", "native mask", of.native);
    let _ = writeln!(out, "  {:<26}{:>20}", "fresh instance", format!("{:.0} us", of.instance_us));
    out
}

/// What the figures mean, and what was expected of them.
pub(crate) fn summary(measured: &[Measured]) -> String {
    let mut out = String::new();
    let _ = write!(out, "\n{NOTES}\n");
    for target in targets(measured) {
        let Target { what, found, bound, at_most, unit } = &target;
        let relation = if *at_most { "at most" } else { "at least" };
        let verdict = if target.is_met() { "ok" } else { "MISSED" };
        let _ = writeln!(out, "{what:<50}{found:>9.2} {unit:<6}{relation:>9} {bound:<7}{verdict}");
    }
    out
}

/// For a program.
pub(crate) fn json(measured: &[Measured]) -> Value {
    let languages = measured.iter().map(|of| {
        let costs = of.costs.iter().map(|cost| {
            json!({
                "shape": cost.name,
                "limits": cost.limits,
                "changes_a_call": cost.size,
                "nanoseconds_a_change": cost.nanoseconds,
            })
        });
        json!({
            "language": of.language,
            "costs": costs.collect::<Vec<_>>(),
            "instance_microseconds": of.instance_us,
            "native_mask_nanoseconds": of.native,
            "chain_times": of.chain_times,
        })
    });
    let targets = targets(measured).into_iter().map(|target| {
        json!({
            "what": target.what,
            "found": target.found,
            "bound": target.bound,
            "at_most": target.at_most,
            "unit": target.unit,
            "met": target.is_met(),
        })
    });
    json!({ "languages": languages.collect::<Vec<_>>(), "targets": targets.collect::<Vec<_>>() })
}
