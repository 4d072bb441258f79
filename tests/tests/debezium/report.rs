//! What the comparison came to: the differences by place, those that are meant, and a page of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::allowed::ALLOWED;
use crate::compare::{Difference, differences};
use crate::run::Outcome;

/// Characters of a text that a report shows.
const SHOWN: usize = 200;
/// Where the reasons are.
const DOCUMENT: &str = include_str!("../../../gateway/crates/encode/DEBEZIUM.md");

/// One comparison over several runs.
#[derive(Debug)]
pub(crate) struct Report {
    /// Records of each run and how many of them differ.
    counts: Vec<(String, usize, usize)>,
    /// What is not meant: run, topic and path with the differences there.
    places: BTreeMap<(String, String, String), Vec<Difference>>,
    /// Entries of the list of meant differences that did not occur.
    unused: Vec<String>,
    /// Meant differences of which the document does not speak.
    undocumented: Vec<&'static str>,
}

impl Report {
    /// Compares. `complete`: all sets ran, so that every meant difference must occur.
    pub(crate) fn new(outcomes: &[Outcome], complete: bool) -> Report {
        let mut report = Report {
            counts: Vec::new(),
            places: BTreeMap::new(),
            unused: Vec::new(),
            undocumented: Vec::new(),
        };
        let mut used = vec![false; ALLOWED.len()];
        for outcome in outcomes {
            let name = outcome.run.name();
            let records = outcome.debezium.values().map(Vec::len).sum();
            let mut unexpected = 0;
            for difference in differences(&outcome.debezium, &outcome.offtake) {
                let mut meant = false;
                for (place, allowed) in ALLOWED.iter().enumerate() {
                    if allowed.covers(&name, &difference) {
                        (meant, used[place]) = (true, true);
                    }
                }
                if !meant {
                    unexpected += 1;
                    let place = (name.clone(), difference.topic.clone(), difference.path.clone());
                    report.places.entry(place).or_default().push(difference);
                }
            }
            report.counts.push((name, records, unexpected));
        }
        let ran = |runs: &[&str]| {
            runs.is_empty() || report.counts.iter().any(|(name, ..)| runs.contains(&name.as_str()))
        };
        for (allowed, used) in ALLOWED.iter().zip(used) {
            if !used && complete && ran(allowed.runs) {
                report.unused.push(format!("{} {}", allowed.topic, allowed.path));
            }
            if !DOCUMENT.contains(allowed.documented) {
                report.undocumented.push(allowed.documented);
            }
        }
        report
    }

    /// Whether all is as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.places.is_empty()
            && self.unused.is_empty()
            && self.undocumented.is_empty()
            && self.counts.iter().all(|(_, records, _)| *records > 0)
    }

    /// A line a run.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (name, records, unexpected) in &self.counts {
            let _ =
                writeln!(text, "{name}: {records} records of Debezium's, {unexpected} differences");
        }
        text
    }

    /// The first difference of each place, and what is wrong with the list.
    pub(crate) fn problems(&self) -> String {
        let mut text = self.summary();
        for ((run, topic, path), found) in &self.places {
            let first = &found[0];
            let _ = writeln!(
                text,
                "{run} {topic} {path} ({} times, first {}):\n  Debezium: {}\n  Offtake:  {}",
                found.len(),
                first.record,
                shown(&first.debezium),
                shown(&first.offtake)
            );
        }
        for allowed in &self.unused {
            let _ = writeln!(text, "a difference that is allowed does not occur: {allowed}");
        }
        for words in &self.undocumented {
            let _ = writeln!(text, "DEBEZIUM.md does not say {words:?}");
        }
        text
    }

    /// Writes the page `target/tests/debezium-NAME.md`.
    pub(crate) fn write(&self, name: &str) -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(format!("debezium-{name}.md")), self.problems())?)
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
