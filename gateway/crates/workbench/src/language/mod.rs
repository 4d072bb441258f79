//! The languages in which a plugin can be begun and built: `offtake plugin new` and `build`.
//!
//! One file a language. A language says which files a new plugin has, by which files it is known, and
//! how its own tools are called; that a tool is missing or too old is said with the command that
//! installs it. What a new plugin has in every language is in `begin`. No tool of a system is installed
//! here; what a language keeps in the plugin's own folder (`node_modules`, `.venv`) is.

mod assemblyscript;
mod begin;
mod c;
mod go;
mod node;
mod python;
mod rust;
mod schema;
mod stale;
mod tool;
mod typescript;

use std::fmt;
use std::path::{Path, PathBuf};

use offtake_config::nearest;

use crate::inspect::Contents;

pub use begin::begin;
pub use stale::newer_source;

/// Every language, in the order in which they are listed, and in which a folder's files are asked for.
pub const LANGUAGES: &[&dyn Language] = &[
    &rust::Rust,
    &go::Go,
    &python::Python,
    &typescript::TypeScript,
    &c::C,
    &assemblyscript::AssemblyScript,
];

/// Where a plugin has the SDK: a folder with those parts of `sdk/` that its language needs, or a link
/// to the whole of it.
const SDK: &str = "offtake-sdk";

/// The SDKs' sources: paths below `sdk/` with their texts.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// A language.
pub trait Language: Sync {
    /// As `--lang` names it.
    fn name(&self) -> &'static str;

    /// What the author of a new plugin is told about it.
    fn guide(&self) -> Guide;

    /// The files of a new plugin of that name, by their paths below its folder, without the SDK.
    fn files(&self, name: &str) -> Vec<(PathBuf, String)>;

    /// Folders of `sdk/` that a plugin needs.
    fn sdk(&self) -> &'static [&'static str];

    /// Whether a folder has a plugin in this language.
    fn is_in(&self, folder: &Path) -> bool;

    /// Builds the plugin of a folder, whose path is absolute.
    ///
    /// # Errors
    /// What is missing, or what the language's tools refused.
    fn build(&self, folder: &Path) -> Result<Built, Obstacle>;
}

/// What the author of a new plugin is told about a language and its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    /// The language's own name.
    pub title: &'static str,
    /// What the tools are.
    pub tools: &'static str,
    /// The file with the plugin.
    pub source: &'static str,
    /// The command that runs the plugin's tests without WebAssembly; empty: there are none.
    pub tests: &'static str,
    /// What the template does to a column.
    pub does: &'static str,
    /// The template's `config` table.
    pub config: &'static str,
    /// The deadline that plugins in this language do with.
    pub deadline: &'static str,
    /// The memory that they do with.
    pub memory: &'static str,
    /// What of the folder is made by tools, as `.gitignore` has it, beside the module itself.
    pub ignored: &'static str,
}

/// A plugin that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its name, as a file's.
    pub name: String,
    /// The component, or the core module.
    pub wasm: Vec<u8>,
}

/// Why a plugin cannot be begun or built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A stable code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do; of a missing tool the command that installs it.
    pub next_step: String,
}

impl Obstacle {
    fn new(
        code: &'static str,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Obstacle {
        Obstacle { code, message: message.into(), next_step: next_step.into() }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error[{}]: {}\n  next: {}", self.code, self.message, self.next_step)
    }
}

impl std::error::Error for Obstacle {}

/// The language of that name, as `--lang` has it or in full.
///
/// # Errors
/// There is none.
pub fn of_name(name: &str) -> Result<&'static dyn Language, Obstacle> {
    let is_named = |language: &dyn Language| {
        language.name() == name || language.guide().title.eq_ignore_ascii_case(name)
    };
    let found = LANGUAGES.iter().find(|language| is_named(**language));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = LANGUAGES.iter().map(|language| language.name()).collect();
        let message = format!("there is no template in {name:?}");
        let other = OTHER_NAMES.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        let meant = other.map(|(_, meant)| *meant).or_else(|| nearest(name, names.iter().copied()));
        let meant = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        let next = format!(
            "{meant}there are {}; sdk/README.md has what other languages can do",
            names.join(", ")
        );
        Obstacle::new("PLUGIN_LANGUAGE", message, next)
    })
}

/// What else languages are called.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("asc", "as"),
    ("c99", "c"),
    ("golang", "go"),
    ("javascript", "ts"),
    ("js", "ts"),
    ("py", "python"),
    ("python3", "python"),
    ("rs", "rust"),
];

/// The languages of which a folder has a plugin's files, in the order in which they are taken.
pub fn found_in(folder: &Path) -> Vec<&'static dyn Language> {
    LANGUAGES.iter().copied().filter(|language| language.is_in(folder)).collect()
}

/// Builds the plugin of a folder, in the language that is named or else the first that its files tell,
/// and writes it beside them. Gives its path and what is in it.
///
/// # Errors
/// What stands in the way.
pub fn build(
    folder: &Path,
    named: Option<&'static dyn Language>,
) -> Result<(PathBuf, Vec<u8>), Obstacle> {
    let next = "name the folder with the plugin; or begin one: offtake plugin new --lang rust NAME";
    let no_plugin =
        |what: &str| Obstacle::new("PLUGIN_FOLDER", format!("{} {what}", folder.display()), next);
    let absolute = folder.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_plugin("does not exist"),
        _ => no_plugin(&format!("cannot be opened: {error}")),
    })?;
    if !absolute.is_dir() {
        return Err(no_plugin("is a file, not a plugin's folder"));
    }
    let language = match (named, found_in(&absolute).first()) {
        (Some(named), _) if named.is_in(&absolute) => named,
        (Some(named), _) => {
            return Err(no_plugin(&format!("has no plugin in {}", named.guide().title)));
        }
        (None, Some(first)) => *first,
        (None, None) => return Err(no_plugin("has no plugin that can be built")),
    };
    schema::check(folder)?;
    let mut built = language.build(&absolute)?;
    schema::add(&absolute, &mut built.wasm)?;
    if Contents::read(&built.wasm).world().is_none() {
        let message = "what was built exports no plugin";
        let next =
            format!("begin with what `offtake plugin new --lang {}` writes", language.name());
        return Err(Obstacle::new("BUILD_NOT_A_PLUGIN", message, next));
    }
    let path = folder.join(format!("{}.wasm", built.name));
    write_whole(&path, &built.wasm).map_err(|error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Obstacle::new("PLUGIN_FOLDER", message, "check the folder's permissions")
    })?;
    Ok((path, built.wasm))
}

/// Puts a file in place whole or not at all: a gateway may be watching it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("wasm.unfinished");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}

/// Texts of the SDKs below a folder of `sdk/`, with their paths below it.
fn embedded(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let below = format!("{folder}/");
    EMBEDDED.iter().filter_map(move |(path, text)| Some((path.strip_prefix(&below)?, *text)))
}

/// A language's template as it stands.
fn template(folder: &str) -> Vec<(PathBuf, String)> {
    let files = embedded(folder).filter_map(|(path, text)| {
        Some((PathBuf::from(path.strip_prefix("template/")?), text.to_owned()))
    });
    files.collect()
}

/// The module that is built of a folder, as a new plugin is named.
pub fn module_of(folder: &Path) -> PathBuf {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.join(format!("{}.wasm", file_name(&absolute)))
}

/// The name of what is built of a folder, as a file's: the folder's own.
fn file_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.replace('-', "_")
}

/// The part of the SDK for a language, in a plugin's folder.
///
/// # Errors
/// It is not there.
fn sdk_in(folder: &Path, part: &str) -> Result<PathBuf, Obstacle> {
    let path = folder.join(SDK).join(part);
    if path.is_dir() {
        return Ok(path);
    }
    let message = format!("the SDK is not in {}", path.display());
    let next = format!(
        "begin with `offtake plugin new`, which writes it there; or link the folder `sdk` of \
         Offtake's repository: ln -s …/sdk {}",
        folder.join(SDK).display()
    );
    Err(Obstacle::new("BUILD_NO_SDK", message, next))
}

/// Reads what a tool has written.
fn read_built(path: &Path) -> Result<Vec<u8>, Obstacle> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Obstacle::new("BUILD_FAILED", message, "build again")
    })
}

/// A folder for what tools write, gone when it is dropped.
fn scratch() -> Result<tempfile::TempDir, Obstacle> {
    tempfile::tempdir().map_err(|error| {
        let message = format!("there is no folder for what tools write: {error}");
        let next = "make room in the folder for temporary files, or set TMPDIR";
        Obstacle::new("BUILD_FAILED", message, next)
    })
}
