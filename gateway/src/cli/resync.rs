//! `offtake resync`: start over with a new slot, a new snapshot and a new log.
//!
//! The way out of a halt that says that the stream has a gap. The log goes first and the slot
//! after it: cut off in between, the next `resync` finishes, and a `run` halts rather than guess.

use std::time::Duration;

use clap::Args;

use super::{ConfigArgs, Exit, ExitCode, confirm, slot};
use crate::pipeline::{Halt, log_halt, source_options};

/// How long brokers may take to say whether they hold a cursor, and to remove it.
const KAFKA_PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `resync`.
#[derive(Debug, Args)]
#[command(after_help = "\
The way out of a halt whose next step names it. The gateway must not be running, and Kafka must answer where it holds the cursor. Changes that
consumers have not read yet are gone; the next `offtake run` reads every table again, so Kafka gets
every row once more, as a read. Subscribers' cursors are refused with CURSOR_FROM_ANOTHER_LOG: they
begin anew, from earliest. The publication stays.

Examples:
  offtake resync           ask, then start over
  offtake resync --yes     without a terminal

Exit status: 0 done, 1 not confirmed or failed (nothing or a part was done; run it again), 2 wrong
configuration.")]
pub struct ResyncArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Runs `resync`.
pub fn execute(args: &ResyncArgs) -> Exit {
    let config = match super::run::load(&args.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let options = match source_options(&config) {
        Ok(options) => options,
        Err(halt) => return Exit::failed(&halt),
    };
    let what = format!(
        "Removes the log in {} and drops replication slot {}. The next `offtake run` starts over: new \
         slot, new\nsnapshot, new log. What consumers have not read from the log is gone.",
        config.log.dir.display(),
        options.slot,
    );
    if !confirm::confirmed(args.yes, &what, &config.name) {
        return Exit::code(ExitCode::Failed);
    }
    // First: a log that is gone would be gone on from at this cursor.
    if let Some(kafka) = super::kafka_options::kafka_options(&config) {
        match offtake_sink_kafka::forget_cursor(&kafka, KAFKA_PATIENCE) {
            Ok(true) => say!("removed the cursor from topic {}", kafka.delivery.cursor_topic),
            Ok(false) => {}
            Err(error) => {
                return Exit::failed(&Halt::new(
                    error.code(),
                    error.to_string(),
                    error.next_step(),
                ));
            }
        }
    }
    match offtake_log::remove(&config.log.dir) {
        Ok(files) => say!("removed {files} files of the log in {}", config.log.dir.display()),
        Err(error) => return Exit::failed(&log_halt(&error)),
    }
    match slot::drop_slot(&options) {
        Ok(true) => say!("dropped slot {}", options.slot),
        Ok(false) => say!("there was no slot {}", options.slot),
        Err(halt) => return Exit::failed(&halt),
    }
    say!("next: offtake run");
    Exit::done()
}
