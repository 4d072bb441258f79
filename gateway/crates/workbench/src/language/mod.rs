//! The languages in which a plugin can be begun and built: `offtake plugin new` and `build`.
//!
//! One file a language. A language says which files a new plugin has, by which files it is known, and
//! how its own tools are called; that a tool is missing is said with the command that installs it.

mod rust;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every language, in the order in which they are listed.
pub const LANGUAGES: &[&dyn Language] = &[&rust::Rust];

/// The SDKs' sources: paths below `sdk/` with their texts.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// A language.
pub trait Language: Sync {
    /// As `--lang` names it.
    fn name(&self) -> &'static str;

    /// The files of a new plugin of that name, by their paths below its folder. `sdk`: the SDK's
    /// folder on this machine; `None`: the plugin has a copy of its own.
    fn files(&self, name: &str, sdk: Option<&Path>) -> Vec<(PathBuf, String)>;

    /// Whether a folder has a plugin in this language.
    fn is_in(&self, folder: &Path) -> bool;

    /// Builds the plugin of a folder, and gives what is built and a name for it.
    ///
    /// # Errors
    /// What is missing, or what the language's tools refused.
    fn build(&self, folder: &Path) -> Result<Built, Obstacle>;
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

/// The language of that name.
///
/// # Errors
/// There is none.
pub fn of_name(name: &str) -> Result<&'static dyn Language, Obstacle> {
    let found = LANGUAGES.iter().find(|language| language.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = LANGUAGES.iter().map(|language| language.name()).collect();
        let message = format!("there is no template in {name:?}");
        let next = format!(
            "there are {}; sdk/README.md has what other languages can do",
            names.join(", ")
        );
        Obstacle::new("PLUGIN_LANGUAGE", message, next)
    })
}

/// Writes a new plugin into a folder of its name below `parent`, and gives the folder.
///
/// # Errors
/// The name cannot be one, or the folder is there already or cannot be written.
pub fn begin(
    language: &dyn Language,
    parent: &Path,
    name: &str,
    sdk: Option<&Path>,
) -> Result<PathBuf, Obstacle> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || !name.bytes().all(good) || name.len() > 64 || name.ends_with('-') {
        let message = format!("{name:?} cannot be a plugin's name");
        let next = "take lower case letters, digits and -, at most 64, a letter first: trim-names";
        return Err(Obstacle::new("PLUGIN_NAME", message, next));
    }
    let folder = parent.join(name);
    if folder.exists() {
        let message = format!("{} is there already", folder.display());
        return Err(Obstacle::new("PLUGIN_FOLDER", message, "take another name, or remove it"));
    }
    for (path, text) in language.files(name, sdk) {
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text)).map_err(|error| {
            let message = format!("{} cannot be written: {error}", path.display());
            Obstacle::new("PLUGIN_FOLDER", message, "check the folder's permissions")
        })?;
    }
    Ok(folder)
}

/// Builds the plugin of a folder, in the language that its files tell, and writes it beside them.
///
/// # Errors
/// What stands in the way.
pub fn build(folder: &Path) -> Result<PathBuf, Obstacle> {
    let Some(language) = LANGUAGES.iter().find(|language| language.is_in(folder)) else {
        let message = format!("{} has no plugin that can be built", folder.display());
        let next =
            "name the folder with the plugin; or begin one: offtake plugin new --lang rust NAME";
        return Err(Obstacle::new("PLUGIN_FOLDER", message, next));
    };
    let built = language.build(folder)?;
    let path = folder.join(format!("{}.wasm", built.name));
    std::fs::write(&path, built.wasm).map_err(|error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Obstacle::new("PLUGIN_FOLDER", message, "check the folder's permissions")
    })?;
    Ok(path)
}

/// Texts of the SDKs below a folder of `sdk/`, with their paths below it.
fn embedded(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let below = format!("{folder}/");
    EMBEDDED.iter().filter_map(move |(path, text)| Some((path.strip_prefix(&below)?, *text)))
}

/// Runs a tool in a folder and gives what it printed; what it says goes to the terminal.
fn run(folder: &Path, tool: &str, arguments: &[&str], install: &str) -> Result<String, Obstacle> {
    let mut command = Command::new(tool);
    command.args(arguments).current_dir(folder).stderr(std::process::Stdio::inherit());
    let output = command.output().map_err(|error| {
        Obstacle::new("BUILD_TOOL_MISSING", format!("{tool} cannot be run: {error}"), install)
    })?;
    if !output.status.success() {
        let message = format!("{tool} {} ended with {}", arguments.join(" "), output.status);
        return Err(Obstacle::new("BUILD_FAILED", message, "correct what it says above"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The component of a core module that carries its world.
fn componentize(module: &[u8]) -> Result<Vec<u8>, Obstacle> {
    let refused = |what: &str, error: &dyn fmt::Display| {
        let next = "export a plugin (in Rust offtake_sdk::export!), and build for \
                    wasm32-unknown-unknown: a plugin reaches no file, network or clock";
        Obstacle::new("BUILD_NOT_A_PLUGIN", format!("{what}: {error}"), next)
    };
    let encoder = wit_component::ComponentEncoder::default().module(module);
    let encoder = encoder
        .map_err(|error| refused("its embedded WIT world cannot be read", &format!("{error:#}")))?;
    encoder
        .validate(true)
        .encode()
        .map_err(|error| refused("it cannot be made a component", &format!("{error:#}")))
}
