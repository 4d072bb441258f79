//! `offtake slot drop`: gives back what the database keeps for a pipeline that will not run again.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use offtake_source_postgres::SourceError;

use super::{ConfigArgs, Exit, ExitCode, confirm};
use crate::pipeline::{Halt, chain_text, source_halt, source_options};

/// How long a gateway that was just stopped may hold the slot: its walsender ends after it.
const LEAVING: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(100);
/// PostgreSQL's code for a slot that somebody reads from.
const OBJECT_IN_USE: &str = "55006";

/// Subcommands of `slot`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  offtake slot drop -c offtake.toml      ask, then drop it")]
pub enum SlotCommand {
    /// Drop the replication slot. What was not read yet is lost to this pipeline.
    Drop(DropArgs),
}

/// Arguments of `slot drop`.
#[derive(Debug, Args)]
#[command(after_help = "\
For a pipeline that will not run again: a slot that nobody reads fills the database's disk. The
gateway must not be running. The log and the publication stay; a later `offtake run` on that log
halts with PG_SLOT_MISSING until `offtake resync`.

Examples:
  offtake slot drop           ask, then drop it
  offtake slot drop --yes     without a terminal

Exit status: 0 dropped or not there, 1 not confirmed or failed, 2 wrong configuration.")]
pub struct DropArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Runs a subcommand of `slot`.
pub fn execute(command: &SlotCommand) -> Exit {
    let SlotCommand::Drop(args) = command;
    let config = match super::run::load(&args.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let options = match source_options(&config) {
        Ok(options) => options,
        Err(halt) => return Exit::failed(&halt),
    };
    let what = format!(
        "Drops replication slot {} on database {}. The server then forgets what this pipeline has \
         not read;\na later `offtake run` on the same log halts until `offtake resync`.",
        options.slot, options.connect.database,
    );
    if !confirm::confirmed(args.yes, &what, &options.slot) {
        return Exit::code(ExitCode::Failed);
    }
    match drop_slot(&options) {
        Ok(true) => say!("slot {} is dropped", options.slot),
        Ok(false) => say!("there is no slot {}", options.slot),
        Err(halt) => return Exit::failed(&halt),
    }
    Exit::done()
}

/// Drops the slot; false: there is none.
///
/// # Errors
/// The database cannot be reached, or somebody reads from the slot.
pub fn drop_slot(options: &offtake_source_postgres::SourceOptions) -> Result<bool, Halt> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Halt::new("RUNTIME", format!("cannot start the runtime: {error}"), "try again")
    })?;
    runtime.block_on(async {
        let deadline = Instant::now() + LEAVING;
        loop {
            match offtake_source_postgres::drop_slot(&options.connect, &options.slot).await {
                Err(error) if is_in_use(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) if is_in_use(&error) => {
                    let active = SourceError::SlotActive { slot: options.slot.clone(), pid: 0 };
                    return Err(Halt::new(active.code(), chain_text(&error), active.next_step()));
                }
                outcome => return outcome.map_err(|error| source_halt(&error)),
            }
        }
    })
}

fn is_in_use(error: &SourceError) -> bool {
    matches!(error, SourceError::Server { error, .. } if error.sqlstate == OBJECT_IN_USE)
}
