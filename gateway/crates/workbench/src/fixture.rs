//! A fixture: a folder with a configuration, tables, changes, and what is expected of them.
//!
//! `sdk/fixtures.md` specifies the files. Here they are found, read and written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use offtake_change::TableSchema;
use serde_json::Value;

use crate::changes::{self, Changes};
use crate::mistake::{Mistake, Place};
use crate::run::{Outcome, Refusal};
use crate::tables;

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const TABLES: &str = "tables.json";
pub(crate) const CHANGES: &str = "changes.jsonl";
pub(crate) const EXPECT: &str = "expect.jsonl";
const EXPECT_TABLES: &str = "expect-tables.json";
const EXPECT_ERROR: &str = "expect-error.txt";
const FILES: [&str; 6] = [CONFIG, TABLES, CHANGES, EXPECT, EXPECT_TABLES, EXPECT_ERROR];

/// A file larger than this is no fixture.
const FILE_BYTES: u64 = 16 << 20;

/// A fixture that was read.
#[derive(Debug)]
pub struct Fixture {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The plugin's configuration. May hold a secret.
    pub config_json: String,
    /// The tables.
    pub tables: Vec<Arc<TableSchema>>,
    /// The changes.
    pub changes: Changes,
    /// What is expected.
    pub expected: Expected,
}

/// What a fixture expects.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// It does not say.
    Nothing,
    /// What leaves.
    Outcome {
        /// Lines of `expect.jsonl`.
        lines: Vec<Value>,
        /// Definitions that the plugin makes.
        definitions: Vec<Value>,
    },
    /// The plugin refuses the configuration or a table, with these words among its own; none: which
    /// ones an update is to write.
    Refusal(String),
}

/// The fixtures of a folder, in the order of their names; or the folder itself where it is one.
///
/// # Errors
/// The folder cannot be read, or has none.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let place = Place { file: folder, line: None };
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let help = "make it, with a folder for each fixture, or name another with --fixtures";
        place.mistake("FIXTURE_UNREADABLE", format!("cannot be read: {error}"), help)
    })?;
    if is_fixture(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| path.is_dir() && !is_hidden(path)).collect();
    found.sort();
    if found.is_empty() {
        let message = "there is no fixture in it";
        let help = "make a folder in it with tables.json and changes.jsonl (sdk/fixtures.md)";
        return Err(place.mistake("FIXTURE_UNREADABLE", message, help));
    }
    Ok(found)
}

fn is_fixture(folder: &Path) -> bool {
    [TABLES, CHANGES, EXPECT_ERROR].iter().any(|file| folder.join(file).is_file())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

impl Fixture {
    /// Reads a fixture.
    ///
    /// # Errors
    /// Every mistake that could be found.
    pub fn load(folder: &Path) -> Result<Fixture, Vec<Mistake>> {
        check_expected(folder).map_err(|mistake| vec![mistake])?;
        Fixture::load_for_update(folder)
    }

    /// Reads a fixture whose expectation is to be written anew. A person who wants a refusal to be
    /// expected makes an empty `expect-error.txt`, which may stand beside an `expect.jsonl`.
    ///
    /// # Errors
    /// As [`Fixture::load`].
    pub fn load_for_update(folder: &Path) -> Result<Fixture, Vec<Mistake>> {
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let one = |mistake| vec![mistake];
        check_files(folder).map_err(one)?;
        let expected = expected(folder).map_err(one)?;
        let is_refusal = matches!(expected, Expected::Refusal(_));
        let config_json = config(folder)?;
        let needed = |file: &str, help: &str| match read(folder, file)? {
            None if !is_refusal => {
                let file = folder.join(file);
                let place = Place { file: &file, line: None };
                Err(place.mistake("FIXTURE_INCOMPLETE", "the fixture lacks it", help))
            }
            text => Ok(text.unwrap_or_default()),
        };
        let help = "write the tables that the changes are of";
        let tables = match needed(TABLES, help).map_err(one)? {
            text if text.is_empty() => Vec::new(),
            text => tables::parse(&folder.join(TABLES), &text).map_err(one)?,
        };
        let help = "write one change a line, for example {\"table\": \"public.people\", \"op\": \
                    \"c\", \"after\": {\"id\": 1}}";
        let text = needed(CHANGES, help).map_err(one)?;
        let changes = changes::parse(&folder.join(CHANGES), &text, &tables)?;
        Ok(Fixture {
            name: name.to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            config_json,
            tables,
            changes,
            expected,
        })
    }

    /// Whether an update may write down what left. A refusal only where one was asked for: a file that
    /// is no plugin and a misspelt key are refused too, and nobody means to expect that.
    pub fn takes(&self, left: &Result<Outcome, Refusal>) -> bool {
        match (&self.expected, left) {
            (Expected::Refusal(words), Ok(_)) => !words.is_empty(),
            (Expected::Refusal(_), Err(_)) => true,
            (Expected::Nothing | Expected::Outcome { .. }, left) => left.is_ok(),
        }
    }

    /// Writes what left as what is expected.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn expect(&self, left: &Result<Outcome, Refusal>) -> Result<(), Mistake> {
        let lines = |lines: &[Value]| -> String {
            let lines = lines.iter().map(|line| format!("{line}\n"));
            lines.collect()
        };
        let (mut outcome, mut definitions, mut error) = (None, None, None);
        match left {
            Ok(left) => {
                outcome = Some(self.comments() + &lines(&left.lines));
                if !left.definitions.is_empty() {
                    definitions = Some(pretty(&left.definitions));
                }
            }
            Err(refusal) => error = Some(format!("{}: {}\n", refusal.code, refusal.message)),
        }
        self.put(EXPECT, outcome)?;
        self.put(EXPECT_TABLES, definitions)?;
        self.put(EXPECT_ERROR, error)
    }

    /// The comments above the first expectation, which an update keeps.
    fn comments(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join(EXPECT)).unwrap_or_default();
        let comments = text.lines().take_while(|line| line.trim_start().starts_with('#'));
        comments.map(|line| format!("{line}\n")).collect()
    }

    fn put(&self, file: &str, text: Option<String>) -> Result<(), Mistake> {
        let path = self.folder.join(file);
        let done = match text {
            Some(text) => std::fs::write(&path, text),
            None if path.exists() => std::fs::remove_file(&path),
            None => Ok(()),
        };
        done.map_err(|error| {
            let place = Place { file: &path, line: None };
            let message = format!("cannot be written: {error}");
            place.mistake("FIXTURE_UNWRITABLE", message, "check the folder's permissions")
        })
    }
}

/// One definition a line, so that a difference is seen where it is.
fn pretty(definitions: &[Value]) -> String {
    let lines: Vec<String> = definitions.iter().map(|line| format!("  {line}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// A misspelt file would be a fixture without what it says.
fn check_files(folder: &Path) -> Result<(), Mistake> {
    let place = Place { file: folder, line: None };
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let message = format!("cannot be read: {error}");
        place.mistake("FIXTURE_UNREADABLE", message, "check the folder's permissions")
    })?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = [".toml", ".json", ".jsonl", ".txt"].iter().any(|end| name.ends_with(end));
        if is_ours && !FILES.contains(&name.as_str()) && !name.starts_with('.') {
            let message = format!("it has the file {name}, which means nothing here");
            let help = match offtake_config::nearest(&name, FILES.into_iter()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are {}", FILES.join(", ")),
            };
            return Err(place.mistake("FIXTURE_UNKNOWN_NAME", message, help));
        }
    }
    Ok(())
}

/// What is expected has to be said, and one thing only.
fn check_expected(folder: &Path) -> Result<(), Mistake> {
    let file = folder.join(EXPECT_ERROR);
    if file.is_file() && folder.join(EXPECT).is_file() {
        let place = Place { file: folder, line: None };
        let message = format!("it has both {EXPECT} and {EXPECT_ERROR}");
        let help = "keep the one that is meant; --update keeps the right one by itself";
        return Err(place.mistake("FIXTURE_CONTRADICTION", message, help));
    }
    if read(folder, EXPECT_ERROR)?.is_some_and(|text| text.trim().is_empty()) {
        let place = Place { file: &file, line: None };
        let help = "write the words of the refusal, or run with --update, or remove the file";
        return Err(place.mistake("FIXTURE_INCOMPLETE", "it is empty", help));
    }
    Ok(())
}

/// A file's text; `None`: there is no such file.
fn read(folder: &Path, name: &str) -> Result<Option<String>, Mistake> {
    let file = folder.join(name);
    let place = Place { file: &file, line: None };
    match std::fs::metadata(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES => {
            let help = "divide it into several fixtures";
            return Err(place.mistake("FIXTURE_UNREADABLE", "it is larger than 16 MiB", help));
        }
        _ => {}
    }
    std::fs::read_to_string(&file).map(Some).map_err(|error| {
        let help = "it has to be a readable file of UTF-8 text";
        place.mistake("FIXTURE_UNREADABLE", format!("cannot be read: {error}"), help)
    })
}

fn config(folder: &Path) -> Result<String, Vec<Mistake>> {
    let Some(text) = read(folder, CONFIG).map_err(|mistake| vec![mistake])? else {
        return Ok("{}".to_owned());
    };
    let file = folder.join(CONFIG);
    offtake_config::plugin_config(&text, &file, &|name| std::env::var(name).ok()).map_err(
        |diagnostics| {
            let mistakes = diagnostics.items().iter().map(|item| {
                let start = item.span.as_ref().map(|span| span.start);
                let before = start.map(|start| text.get(..start).unwrap_or_default());
                let line = before.map(|before| before.matches('\n').count() + 1);
                let column = before
                    .map(|before| before.chars().rev().take_while(|c| *c != '\n').count() + 1);
                let help = item.help.clone().unwrap_or_else(|| "correct it here".to_owned());
                let place = Place { file: &file, line };
                Mistake { column, ..place.mistake(item.code, item.message.clone(), help) }
            });
            mistakes.collect()
        },
    )
}

fn expected(folder: &Path) -> Result<Expected, Mistake> {
    if let Some(text) = read(folder, EXPECT_ERROR)? {
        return Ok(Expected::Refusal(text.trim().to_owned()));
    }
    let Some(text) = read(folder, EXPECT)? else { return Ok(Expected::Nothing) };
    let file = folder.join(EXPECT);
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            lines.push(Place { file: &file, line: Some(at + 1) }.json(line)?);
        }
    }
    let file = folder.join(EXPECT_TABLES);
    let definitions = match read(folder, EXPECT_TABLES)? {
        None => Vec::new(),
        Some(text) => match (Place { file: &file, line: None }).json(&text)? {
            Value::Array(definitions) => definitions,
            _ => {
                let place = Place { file: &file, line: None };
                let help = "remove it and run with --update";
                return Err(place.mistake("FIXTURE_TYPE", "it is not a list of tables", help));
            }
        },
    };
    Ok(Expected::Outcome { lines, definitions })
}
