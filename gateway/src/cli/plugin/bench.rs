//! `offtake plugin bench`.

use clap::Args;
use offtake_workbench::bench;
use offtake_workbench::check::Subject;
use offtake_workbench::fixture::{self, Fixture};

use super::{FixturesArgs, PluginArgs, usage};
use crate::cli::exit::{Exit, ExitCode};

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
Exit status:
  0  measured
  1  the plugin refused a fixture; the others are measured
  2  a fixture, or the command, cannot be used as it is written

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
    // A mistake in the last one is told before the first is measured.
    let fixtures: Vec<Result<Fixture, _>> =
        folders.iter().map(|path| Fixture::load(path)).collect();
    let mistakes = fixtures.iter().filter_map(|fixture| fixture.as_ref().err()).flatten();
    let mistakes: Vec<String> = mistakes.map(ToString::to_string).collect();
    if !mistakes.is_empty() {
        return Exit::configuration(mistakes.join("\n"));
    }
    let fixtures: Vec<Fixture> = fixtures.into_iter().flatten().collect();
    measure(&subject, &fixtures, args.json)
}

/// Measures fixture by fixture, and tells each as soon as it is done.
fn measure(subject: &Subject, fixtures: &[Fixture], json: bool) -> Exit {
    let (mut measured, mut refused) = (Vec::new(), Vec::new());
    let tell = |line: &str| {
        if !json {
            say!("{line}");
        }
    };
    tell(&bench::heading());
    for fixture in fixtures {
        match bench::measure(subject, fixture) {
            Ok(None) => {}
            Ok(Some(one)) => {
                tell(&bench::line(&one));
                measured.push(one);
            }
            Err(refusal) => {
                tell(&bench::refused(&fixture.name, &refusal));
                refused.push((fixture.name.clone(), refusal));
            }
        }
    }
    tell(bench::LEGEND);
    if json {
        say!("{:#}", bench::json(&measured, &refused));
    }
    if refused.is_empty() {
        return Exit::done();
    }
    let (some, all) = (refused.len(), fixtures.len());
    Exit::with(ExitCode::Failed, format!("{some} of {all} fixtures refused"))
}
