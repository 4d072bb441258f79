//! `offtake plugin inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use offtake_workbench::check::Subject;
use offtake_workbench::inspect::{self, Contents};

use super::{PluginArgs, usage};
use crate::cli::exit::{Exit, ExitCode};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct InspectArgs {
    #[command(flatten)]
    plugin: PluginArgs,
    /// The plugin's `config` table as a file of its own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXIT_CODES: &str = "\
Exit status:
  0  the file runs; a configuration that it needs is not asked for
  1  it does not";

/// Shows what a plugin's file is, wants and offers.
pub fn execute(args: &InspectArgs) -> Exit {
    let wasm = match args.plugin.read() {
        Ok(wasm) => wasm,
        Err(exit) => return exit,
    };
    let subject = match Subject::new(&wasm.name, wasm.bytes, args.plugin.limits()) {
        Ok(subject) => subject,
        Err(refusal) => return usage(refusal.code, refusal.message, refusal.next_step),
    };
    let contents = Contents::read(&subject.wasm);
    let config_json = match args.config.as_deref().map_or_else(|| Ok("{}".to_owned()), config) {
        Ok(config_json) => config_json,
        Err(exit) => return exit,
    };
    let started = inspect::start(&subject, &config_json);
    if args.json {
        say!("{:#}", inspect::json(&subject, &contents, &started));
    } else {
        say!("{}", inspect::text(&subject, &contents, &started).trim_end());
    }
    match started {
        Err(refusal) if !inspect::is_configuration(&refusal) => Exit::code(ExitCode::Failed),
        _ => Exit::done(),
    }
}

/// A plugin's configuration as JSON.
fn config(file: &Path) -> Result<String, Exit> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let cause = format!("cannot read {}: {error}", file.display());
        usage("CONFIG_UNREADABLE", cause, "check the path and its permissions".to_owned())
    })?;
    offtake_config::plugin_config(&text, file, &|name| std::env::var(name).ok())
        .map_err(|diagnostics| Exit::configuration(diagnostics.to_string()))
}
