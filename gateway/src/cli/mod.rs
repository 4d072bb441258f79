//! The command line: what a user can ask for. One file a subcommand.

/// Prints a line. Whoever read may be gone, and a full disk behind a pipe is no reason to stop in
/// the middle of what was asked for.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod check;
mod confirm;
mod dead_letters;
mod demo;
mod exit;
mod findings;
mod http;
mod kafka_options;
mod logging;
mod messages;
mod plugin;
mod plugins;
mod progress;
mod render;
mod resync;
mod run;
mod slot;
mod status;
mod tail;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::{Exit, ExitCode};

/// Reads a database's own log, runs your WebAssembly over every change, and hands the result to
/// Kafka and gRPC subscribers: complete, in order.
#[derive(Debug, Parser)]
#[command(name = "offtake", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit status:
  0  done, or stopped as told
  1  failed while running; for `check`: warnings only; for `status`: no progress is made;
     for `plugin test`: something is not as expected
  2  wrong configuration or usage; for `check`: errors
  3  halted, with on_halt = \"exit\"

Examples:
  offtake demo                       see it work, with a throw-away database
  offtake check -c offtake.toml      look at everything, touch nothing
  offtake run -c offtake.toml        run the pipeline
  offtake tail --stream '*.orders'   print changes as they come
  offtake status                     on call: what it does, what is wrong, what to do next";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline until it is told to stop.
    Run(run::RunArgs),
    /// Check the configuration and the live database, before anything is touched.
    Check(check::CheckArgs),
    /// Print changes as a gRPC subscriber receives them.
    Tail(tail::TailArgs),
    /// Show what a running gateway is doing, and whether it makes progress.
    Status(status::StatusArgs),
    /// Start over when a halt says so: new slot, new snapshot, new log.
    Resync(resync::ResyncArgs),
    /// Drop the replication slot of a pipeline that will not run again.
    #[command(subcommand)]
    Slot(slot::SlotCommand),
    /// Write, test and look at plugins; put new versions to work.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// What plugins and Kafka could not take: look at it.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// A throw-away database, an application writing to it, and this gateway at work.
    Demo(demo::DemoArgs),
}

/// The configuration file, for every subcommand that reads it.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "offtake.toml", value_name = "FILE")]
    pub config: PathBuf,
}

impl Cli {
    /// Does what was asked.
    pub fn execute(self) -> Exit {
        match self.command {
            Command::Run(args) => run::execute(&args),
            Command::Check(args) => check::execute(&args),
            Command::Tail(args) => tail::execute(&args),
            Command::Status(args) => status::execute(&args),
            Command::Plugin(command) => plugin::execute(&command),
            Command::Resync(args) => resync::execute(&args),
            Command::Slot(command) => slot::execute(&command),
            Command::DeadLetters(command) => dead_letters::execute(&command),
            Command::Demo(args) => demo::execute(&args),
        }
    }
}
