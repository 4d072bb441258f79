//! `offtake slot drop`: gives back what the database keeps for a pipeline that will not run again.

use clap::{Args, Subcommand};

use super::{ConfigArgs, Exit, ExitCode, confirm};
use crate::pipeline::{Halt, source_halt, source_options};

/// Subcommands of `slot`.
#[derive(Debug, Subcommand)]
pub enum SlotCommand {
    /// Drop the replication slot. What was not read yet is lost to this pipeline.
    Drop(DropArgs),
}

/// Arguments of `slot drop`.
#[derive(Debug, Args)]
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
        options.slot,
        options.connect.database,
    );
    if !confirm::confirmed(args.yes, &what, &options.slot) {
        return Exit::code(ExitCode::Failed);
    }
    match drop_slot(&options) {
        Ok(true) => println!("slot {} is dropped", options.slot),
        Ok(false) => println!("there is no slot {}", options.slot),
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
    runtime
        .block_on(offtake_source_postgres::drop_slot(&options.connect, &options.slot))
        .map_err(|error| source_halt(&error))
}
