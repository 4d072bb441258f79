//! `offtake plugin new` and `offtake plugin build`.

use std::path::{Path, PathBuf};

use clap::Args;
use offtake_workbench::inspect;
use offtake_workbench::language::{self, Obstacle};

use crate::cli::exit::{Exit, ExitCode};

#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
pub struct NewArgs {
    /// The plugin's name, and that of its folder: lower case letters, digits and -.
    name: String,
    /// The language: rust, go, python, ts, c or as (AssemblyScript).
    #[arg(long, value_name = "LANGUAGE")]
    lang: String,
    /// The folder `sdk` of Offtake's repository, linked in place of a copy of the SDK.
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

const NEW_EXAMPLES: &str = "\
Examples:
  offtake plugin new --lang rust my-plugin
  offtake plugin new --lang python my-plugin";

#[derive(Debug, Args)]
#[command(after_help = BUILD_EXIT)]
pub struct BuildArgs {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The language, where the folder has files of several: rust, go, python, ts, c or as.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<String>,
}

const BUILD_EXIT: &str = "\
Exit status:
  0  built
  1  a tool is missing, or refused the plugin";

/// Writes a new plugin.
pub fn begin(args: &NewArgs) -> Exit {
    // The link lies elsewhere than where the path was given.
    let sdk = args.sdk.as_deref().map(|path| path.canonicalize().unwrap_or_else(|_| path.into()));
    let begun = language::of_name(&args.lang)
        .and_then(|language| language::begin(language, Path::new("."), &args.name, sdk.as_deref()));
    match begun {
        Ok(on_stream) => {
            let (name, file) = (&args.name, args.name.replace('-', "_"));
            say!("{name}: a plugin with its first fixture");
            say!("  next: offtake plugin build {name} && offtake plugin test {name}/{file}.wasm");
            say!("  then, on your stream:\n");
            on_stream.lines().for_each(|line| say!("{line}"));
            Exit::done()
        }
        Err(obstacle) => Exit::configuration(obstacle.to_string()),
    }
}

/// Builds a plugin.
pub fn build(args: &BuildArgs) -> Exit {
    let named = match args.lang.as_deref().map(language::of_name).transpose() {
        Ok(named) => named,
        Err(obstacle) => return Exit::configuration(obstacle.to_string()),
    };
    let found: Vec<&str> =
        language::found_in(&args.folder).iter().map(|language| language.name()).collect();
    if let ([first, others @ ..], None) = (&found[..], named)
        && !others.is_empty()
    {
        let (folder, others) = (args.folder.display(), others.join(", --lang "));
        eprintln!(
            "note: {folder} has files of several languages ({}); it is built as {first}: choose \
             another with --lang {others}",
            found.join(", ")
        );
    }
    match language::build(&args.folder, named) {
        Ok((path, wasm)) => {
            say!("{}: {}", path.display(), inspect::line(&wasm));
            Exit::done()
        }
        Err(obstacle) => failed(&obstacle),
    }
}

fn failed(obstacle: &Obstacle) -> Exit {
    Exit::with(ExitCode::Failed, obstacle.to_string())
}
