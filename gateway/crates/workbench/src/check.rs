//! `offtake plugin test`: a plugin against its fixtures.
//!
//! Beside what a fixture expects, what every plugin owes is checked: any division of the changes into
//! batches gives the same, so does a second run, and no value that production has breaks it.

use std::path::Path;

use offtake_state::Keyspace;
use offtake_transform::{Engine, EngineOptions, Limits, Plugin, PluginError, PluginSpec};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::batches;
use crate::changes::Changes;
use crate::difference::Difference;
use crate::fixture::{Expected, Fixture};
use crate::mistake::Mistake;
use crate::run::{Outcome, Refusal, run};

/// Batch sizes that must give equal results, the most usual first.
pub const BATCH_SIZES: [usize; 4] = [256, 1, 2, 7];

/// Undeclared failures that are listed one by one.
const LISTED: usize = 5;
/// What a plugin may keep.
const STATE_BYTES: u64 = 64 << 20;

/// A plugin to be tested.
pub struct Subject {
    /// Its name, as a configuration would give it one.
    pub name: String,
    /// The WebAssembly.
    pub wasm: Vec<u8>,
    /// What each instance may take.
    pub limits: Limits,
    engine: Engine,
    /// Compiled code of this run, so that each fixture need not compile anew.
    cache: TempDir,
}

/// How a test is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only batches of this size.
    pub batch_size: Option<usize>,
    /// Write what leaves as what is expected.
    pub update: bool,
}

/// What became of a fixture.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All is as it should be.
    Passed,
    /// What is expected was written.
    Updated,
    /// Something is not as it should be.
    Differs(Vec<Difference>),
    /// The fixture cannot be used as it is written.
    Mistaken(Vec<Mistake>),
}

/// A fixture and what became of it.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The fixture's name.
    pub name: String,
    /// Changes that it has.
    pub changes: usize,
    /// What left; `None`: nothing was run, or the plugin refused.
    pub outcome: Option<Outcome>,
    /// What became of it.
    pub verdict: Verdict,
}

impl Subject {
    /// Sets a plugin up; it is compiled with the first fixture.
    ///
    /// # Errors
    /// The machine cannot run WebAssembly, or has no room for temporary files.
    pub fn new(name: &str, wasm: Vec<u8>, limits: Limits) -> Result<Subject, Refusal> {
        let cache = tempfile::tempdir().map_err(|error| Refusal {
            code: "WORKBENCH_TEMPORARY".to_owned(),
            message: format!("there is no folder for compiled code: {error}"),
            next_step: "make room in the folder for temporary files, or set TMPDIR".to_owned(),
        })?;
        let options = EngineOptions { cache_dir: Some(cache.path().to_owned()) };
        let engine = Engine::new(options).map_err(|error| Refusal::from(&error))?;
        Ok(Subject { name: name.to_owned(), wasm, limits, engine, cache })
    }

    /// Configures the plugin where what it executes is counted.
    pub(crate) fn load_counting(&self, config_json: &str) -> Result<Plugin, Refusal> {
        let options = EngineOptions { cache_dir: Some(self.cache.path().to_owned()) };
        let counting = Engine::counting_fuel(options).map_err(|error| Refusal::from(&error))?;
        self.load_with(&counting, config_json)
    }

    /// Configures the plugin.
    ///
    /// # Errors
    /// What `offtake run` would halt with.
    pub fn load(&self, config_json: &str) -> Result<Plugin, Refusal> {
        self.load_with(&self.engine, config_json)
    }

    /// SHA-256 of the WebAssembly.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.wasm).into()
    }

    fn load_with(&self, engine: &Engine, config_json: &str) -> Result<Plugin, Refusal> {
        let spec = PluginSpec {
            name: self.name.clone(),
            component: self.wasm.clone(),
            config_json: config_json.to_owned(),
            limits: self.limits.clone(),
            state: None,
        };
        // One that keeps state gets what a configuration grants by default.
        let granted = PluginSpec { state: Some(Keyspace::new(STATE_BYTES)), ..spec.clone() };
        match Plugin::load(engine, spec) {
            Err(PluginError::StateNotGranted { .. }) => Plugin::load(engine, granted),
            outcome => outcome,
        }
        // The rows are those of a fixture: the author of a plugin that protects reads its words too.
        .map(|plugin| plugin.over_fixtures())
        .map_err(|error| Refusal::from(&error))
    }
}

/// Tests a plugin against one fixture.
pub fn test(subject: &Subject, folder: &Path, options: &Options) -> Tested {
    let read = if options.update { Fixture::load_for_update } else { Fixture::load };
    let fixture = match read(folder) {
        Ok(fixture) => fixture,
        Err(mistakes) => {
            let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
            let verdict = Verdict::Mistaken(mistakes);
            return Tested { name: name.into_owned(), changes: 0, outcome: None, verdict };
        }
    };
    let sizes = options.batch_size.map_or_else(|| BATCH_SIZES.to_vec(), |size| vec![size]);
    let loaded = subject.load(&fixture.config_json);
    let left = loaded
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|plugin| run(plugin, &fixture.tables, &fixture.changes, sizes[0]));
    let mut differences = Vec::new();
    if let (Ok(plugin), Ok(left)) = (&loaded, &left) {
        differences.extend(owed(plugin, &fixture, left, &sizes));
    }
    let unexpected = unexpected(&fixture.expected, &left);
    let verdict = if options.update && fixture.takes(&left) {
        match fixture.expect(&left) {
            Err(mistake) => Verdict::Mistaken(vec![mistake]),
            // What every plugin owes cannot be accepted as it is.
            Ok(()) if !differences.is_empty() => Verdict::Differs(differences),
            Ok(()) if unexpected.is_empty() => Verdict::Passed,
            Ok(()) => Verdict::Updated,
        }
    } else {
        let all: Vec<Difference> = unexpected.into_iter().chain(differences).collect();
        if all.is_empty() { Verdict::Passed } else { Verdict::Differs(all) }
    };
    Tested { name: fixture.name, changes: fixture.changes.len(), outcome: left.ok(), verdict }
}

/// What is not as the fixture expects it.
fn unexpected(expected: &Expected, left: &Result<Outcome, Refusal>) -> Vec<Difference> {
    let words = |refusal: &Refusal| format!("{}: {}", refusal.code, refusal.message);
    match (expected, left) {
        (Expected::Nothing, Ok(left)) => {
            let what = "it does not say what is expected; accept this with --update";
            vec![Difference::new(what, left.lines.iter().map(|line| format!("+ {line}")).collect())]
        }
        (Expected::Outcome { lines, definitions }, Ok(left)) => {
            let lines = Difference::between("what leaves (expect.jsonl)", lines, &left.lines);
            let what = "definitions that leave (expect-tables.json)";
            lines
                .into_iter()
                .chain(Difference::between(what, definitions, &left.definitions))
                .collect()
        }
        (Expected::Refusal(expected), Err(refusal)) => {
            let found = words(refusal);
            if !expected.is_empty() && found.contains(expected.as_str()) {
                return Vec::new();
            }
            let accept = "  where this one is meant, accept it with --update".to_owned();
            let lines = vec![format!("- {expected}"), format!("+ {found}"), accept];
            vec![Difference::new("the refusal (expect-error.txt)", lines)]
        }
        (Expected::Refusal(expected), Ok(_)) if expected.is_empty() => {
            let what = "expect-error.txt is empty and asks for a refusal, and there is none";
            vec![Difference::new(what, vec!["  remove it to accept what leaves".to_owned()])]
        }
        (Expected::Refusal(expected), Ok(_)) => {
            let lines = vec![format!("- {expected}")];
            vec![Difference::new("it was to be refused, and is not", lines)]
        }
        (Expected::Nothing | Expected::Outcome { .. }, Err(refusal)) => {
            let lines = vec![
                format!("+ {}", words(refusal)),
                format!("  next: {}", refusal.next_step),
                "  where it is meant to be refused, make an empty expect-error.txt in the fixture's \
                 folder and run with --update"
                    .to_owned(),
            ];
            vec![Difference::new("it is refused", lines)]
        }
    }
}

/// What every plugin owes, whatever a fixture expects.
fn owed(plugin: &Plugin, fixture: &Fixture, left: &Outcome, sizes: &[usize]) -> Vec<Difference> {
    let mut found = Vec::new();
    let again = run(plugin, &fixture.tables, &fixture.changes, sizes[0]);
    found.extend(same("a second run", left, &again));
    found.extend(divided(plugin, fixture, &fixture.changes, left, &sizes[1..], ""));
    for (name, changes) in batches::variants(&fixture.changes) {
        match run(plugin, &fixture.tables, &changes, sizes[0]) {
            Err(refusal) => {
                let lines = vec![format!("+ {}: {}", refusal.code, refusal.message)];
                found.push(Difference::new(format!("with {name}"), lines));
            }
            Ok(left) => {
                found.extend(undeclared(name, &left));
                let with = format!(", with {name}");
                found.extend(divided(plugin, fixture, &changes, &left, &sizes[1..], &with));
            }
        }
    }
    found
}

/// Other batch sizes give the same.
fn divided(
    plugin: &Plugin,
    fixture: &Fixture,
    changes: &Changes,
    left: &Outcome,
    sizes: &[usize],
    with: &str,
) -> Vec<Difference> {
    let differs = sizes.iter().filter_map(|&size| {
        let found = run(plugin, &fixture.tables, changes, size);
        same(&format!("in batches of {size}{with}"), left, &found)
    });
    differs.collect()
}

fn same(what: &str, left: &Outcome, found: &Result<Outcome, Refusal>) -> Option<Difference> {
    let found = match found {
        Ok(found) => found,
        Err(refusal) => {
            let lines = vec![format!("+ {}: {}", refusal.code, refusal.message)];
            return Some(Difference::new(what, lines));
        }
    };
    let what = format!("{what} something else leaves (-: in batches of {})", BATCH_SIZES[0]);
    Difference::between(what.clone(), &left.lines, &found.lines)
        .or_else(|| Difference::between(what.clone(), &left.definitions, &found.definitions))
        .or_else(|| {
            let lines = vec!["the same values in other bytes".to_owned()];
            (left.wire != found.wire).then(|| Difference::new(what, lines))
        })
}

/// Failures that the plugin did not declare, over values that production has.
fn undeclared(name: &str, left: &Outcome) -> Option<Difference> {
    let shown = left.undeclared.iter().take(LISTED);
    let mut lines: Vec<String> =
        shown.map(|(line, code, words)| format!("+ change {line}: {code}: {words}")).collect();
    if left.undeclared.len() > LISTED {
        lines.push(format!("… and {} more", left.undeclared.len() - LISTED));
    }
    let what = format!("with {name} it fails, and does not declare that it does");
    (!lines.is_empty()).then(|| Difference::new(what, lines))
}
