//! `offtake plugin bench`.

use clap::Args;
use offtake_workbench::bench;
use offtake_workbench::check::Subject;
use offtake_workbench::fixture::{self, Fixture};

use super::{FixturesArgs, PluginArgs, usage};
use crate::cli::exit::{Exit, ExitCode};
use crate::pipeline::Halt;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(flatten)]
    plugin: PluginArgs,
    #[command(flatten)]
    fixtures: FixturesArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  offtake plugin bench my-plugin/my_plugin.wasm
  offtake plugin bench builtin:mask --fixtures plugins/mask/fixtures --json";

/// Measures a plugin with its fixtures.
pub fn execute(args: &BenchArgs) -> Exit {
    let wasm = match args.plugin.read() {
        Ok(wasm) => wasm,
        Err(exit) => return exit,
    };
    let folders = match fixture::find(&args.fixtures.folder(&wasm)) {
        Ok(folders) => folders,
        Err(mistake) => return Exit::configuration(mistake.to_string()),
    };
    let subject = match Subject::new(&wasm.name, wasm.bytes, args.plugin.limits()) {
        Ok(subject) => subject,
        Err(refusal) => return usage(refusal.code, refusal.message, refusal.next_step),
    };
    let mut measured = Vec::new();
    for folder in &folders {
        let fixture = match Fixture::load(folder) {
            Ok(fixture) => fixture,
            Err(mistakes) => {
                let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                return Exit::configuration(texts.join("\n"));
            }
        };
        match bench::measure(&subject, &fixture) {
            Ok(one) => measured.extend(one),
            Err(refusal) => {
                let cause = format!("{}: {}", fixture.name, refusal.message);
                let halt = Halt::new(refusal.code, cause, refusal.next_step);
                return Exit::with(ExitCode::Failed, crate::cli::exit::message(&halt));
            }
        }
    }
    if args.json {
        say!("{:#}", bench::json(&measured));
    } else {
        say!("{}", bench::text(&measured).trim_end());
    }
    Exit::done()
}
