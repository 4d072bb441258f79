//! `offtake plugin test`.

use clap::Args;
use offtake_workbench::check::{self, Options, Subject, Verdict};
use offtake_workbench::{fixture, report};

use super::record::{self, RecordArgs};
use super::{FixturesArgs, PluginArgs, usage};
use crate::cli::exit::{Exit, ExitCode};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TestArgs {
    #[command(flatten)]
    plugin: PluginArgs,
    #[command(flatten)]
    fixtures: FixturesArgs,
    /// Write what leaves as what is expected.
    #[arg(long)]
    update: bool,
    /// Only batches of this many changes, in place of 256, 1, 2 and 7.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    batch_size: Option<u16>,
    #[command(flatten)]
    record: RecordArgs,
}

const EXIT_CODES: &str = "\
Exit status:
  0  everything is as expected
  1  something is not
  2  a fixture, or the command, cannot be used as it is written";

/// Tests a plugin against its fixtures.
pub fn execute(args: &TestArgs) -> Exit {
    let wasm = match args.plugin.read() {
        Ok(wasm) => wasm,
        Err(exit) => return exit,
    };
    let folder = args.fixtures.folder(&wasm);
    match record::execute(&args.record, &args.plugin, &folder) {
        Ok(Some(recorded)) => say!("{recorded}"),
        Ok(None) => {}
        Err(exit) => return exit,
    }
    let folders = match fixture::find(&folder) {
        Ok(folders) => folders,
        Err(mistake) => return Exit::configuration(mistake.to_string()),
    };
    let subject = match Subject::new(&wasm.name, wasm.bytes, args.plugin.limits()) {
        Ok(subject) => subject,
        Err(refusal) => return usage(refusal.code, refusal.message, refusal.next_step),
    };
    let options = Options {
        batch_size: args.batch_size.map(usize::from),
        update: args.update || args.record.is_asked(),
    };
    let mut tested = Vec::with_capacity(folders.len());
    for folder in &folders {
        let one = check::test(&subject, folder, &options);
        say!("{}", report::fixture(&one).trim_end());
        tested.push(one);
    }
    say!("{}", report::summary(&tested).trim_end());
    let any = |is: fn(&Verdict) -> bool| tested.iter().any(|tested| is(&tested.verdict));
    if any(|verdict| matches!(verdict, Verdict::Mistaken(_))) {
        Exit::code(ExitCode::Configuration)
    } else if any(|verdict| matches!(verdict, Verdict::Differs(_))) {
        Exit::code(ExitCode::Failed)
    } else {
        Exit::done()
    }
}
