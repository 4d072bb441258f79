//! `offtake plugin`: what the author of a plugin works with, and what whoever runs it does. What is
//! done is the workbench's and the running gateway's; here are the arguments, the way to the plugin's
//! file, and the exit status.

mod bench;
mod inspect;
mod live;
mod new;
mod record;
mod test;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use offtake_transform::{BUILTIN_NAMES, Limits};
use offtake_workbench::language;

use super::exit::{Exit, ExitCode};
use crate::pipeline::Halt;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum PluginCommand {
    /// Write a new plugin, with a first fixture, into a folder of its name.
    New(new::NewArgs),
    /// Build the plugin of a folder with its language's own tools.
    Build(new::BuildArgs),
    /// Run a plugin over its fixtures, and compare what leaves with what is expected.
    Test(test::TestArgs),
    /// Show what a plugin's file is, wants and offers, and whether it runs.
    Inspect(inspect::InspectArgs),
    /// Measure what a change costs in a plugin, with its fixtures.
    Bench(bench::BenchArgs),
    /// Run a new version beside the one at work, over recent changes.
    Try(live::TryArgs),
    /// Put new versions to work in a running gateway, without a stop.
    Reload(live::ReloadArgs),
    /// Put the version before back to work.
    Rollback(live::RollbackArgs),
}

const EXAMPLES: &str = "\
Examples:
  offtake plugin new --lang rust my-plugin     a plugin to begin with, and its first fixture
  offtake plugin build my-plugin               writes my-plugin/my_plugin.wasm
  offtake plugin test my-plugin/my_plugin.wasm
  offtake plugin inspect builtin:mask";

/// Does what was asked.
pub fn execute(command: &PluginCommand) -> Exit {
    match command {
        PluginCommand::New(args) => new::begin(args),
        PluginCommand::Build(args) => new::build(args),
        PluginCommand::Test(args) => test::execute(args),
        PluginCommand::Inspect(args) => inspect::execute(args),
        PluginCommand::Bench(args) => bench::execute(args),
        PluginCommand::Try(args) => live::attempt(args),
        PluginCommand::Reload(args) => live::reload(args),
        PluginCommand::Rollback(args) => live::roll_back(args),
    }
}

/// The plugin, for every subcommand that runs one.
#[derive(Clone, Debug, Args)]
pub struct PluginArgs {
    /// A .wasm file, the folder that it was built in, or builtin:NAME.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Memory that each instance may take.
    #[arg(long, value_name = "SIZE", value_parser = offtake_config::plugin_memory)]
    memory: Option<u64>,
    /// CPU time that one call may take.
    #[arg(long, value_name = "TIME", value_parser = offtake_config::plugin_deadline)]
    deadline: Option<Duration>,
}

/// The folder with the fixtures, for every subcommand that reads some.
#[derive(Clone, Debug, Args)]
pub struct FixturesArgs {
    /// The folder with the fixtures [default: `fixtures` beside the .wasm, or here].
    #[arg(long, value_name = "FOLDER")]
    fixtures: Option<PathBuf>,
}

/// A plugin's file.
pub struct Wasm {
    /// The plugin's name, as a configuration would give it one.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Where it lies; none of one that comes with the gateway.
    pub path: Option<PathBuf>,
}

impl PluginArgs {
    /// Reads the plugin's file.
    fn read(&self) -> Result<Wasm, Exit> {
        if let Some(name) = self.plugin.strip_prefix("builtin:") {
            return match offtake_transform::builtin(name) {
                Some(bytes) => {
                    Ok(Wasm { name: name.to_owned(), bytes: bytes.to_vec(), path: None })
                }
                None => Err(usage(
                    "PLUGIN_UNKNOWN_BUILTIN",
                    format!("there is no builtin:{name}"),
                    format!("there are {}", BUILTIN_NAMES.join(", ")),
                )),
            };
        }
        let path = self.path();
        let bytes = std::fs::read(&path).map_err(|error| {
            let next = match language::found_in(folder_of(&path)).is_empty() {
                true => "name a .wasm file, or builtin:NAME".to_owned(),
                false => format!("build it: offtake plugin build {}", folder_of(&path).display()),
            };
            usage("PLUGIN_UNREADABLE", format!("cannot read {}: {error}", path.display()), next)
        })?;
        if let Some(source) = language::newer_source(&path) {
            let (folder, source) = (folder_of(&path).display(), source.display());
            eprintln!(
                "note: {source} is newer than {}, which is what runs here; to build it anew: offtake \
                 plugin build {folder}",
                path.display()
            );
        }
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Wasm { name, bytes, path: Some(path) })
    }

    /// The plugin's file; of a folder what is built there.
    fn path(&self) -> PathBuf {
        let path = Path::new(&self.plugin);
        if path.is_dir() { language::module_of(path) } else { path.to_owned() }
    }

    /// What each instance may take.
    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            memory_bytes: self.memory.map_or(defaults.memory_bytes, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }),
            deadline: self.deadline.unwrap_or(defaults.deadline),
            ..defaults
        }
    }
}

impl FixturesArgs {
    /// The folder that is meant.
    fn folder(&self, wasm: &Wasm) -> PathBuf {
        if let Some(folder) = &self.fixtures {
            return folder.clone();
        }
        let beside = wasm.path.as_deref().map(|path| folder_of(path).join("fixtures"));
        beside.filter(|folder| folder.is_dir()).unwrap_or_else(|| PathBuf::from("fixtures"))
    }
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A command that cannot be done as it was given.
fn usage(code: impl Into<Cow<'static, str>>, cause: String, next_step: String) -> Exit {
    let halt = Halt::new(code, cause, next_step);
    Exit::with(ExitCode::Configuration, super::exit::message(&halt))
}
