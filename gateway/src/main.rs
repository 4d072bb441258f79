//! The `offtake` command.
//!
//! `cli` has one file a subcommand, `pipeline` joins source, plugins, log and sinks, `admin` serves
//! health, metrics and status, `control` answers other commands, `dead_letter` is what they read of a
//! dead letter. This file only sets up the process.

#![allow(unreachable_pub, reason = "`pub` says what a module offers to the other ones")]

mod admin;
mod cli;
mod control;
mod dead_letter;
mod pipeline;

use clap::Parser;

// With a thread of its own that gives memory back: what compiling a plugin took belongs to threads that
// are idle afterwards, which never would.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> cli::Exit {
    let cli = cli::Cli::parse();
    // One TLS provider for the whole process; with two linked in, rustls would refuse to choose.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return cli::Exit::with(cli::ExitCode::Failed, "a TLS provider was already installed");
    }
    #[cfg(feature = "test-switches")]
    if let Ok(switches) = std::env::var("OFFTAKE_FAILPOINTS")
        && let Err(switch) = offtake_failpoint::arm(&switches)
    {
        return cli::Exit::configuration(format!("OFFTAKE_FAILPOINTS: cannot read {switch:?}"));
    }
    cli.execute()
}
