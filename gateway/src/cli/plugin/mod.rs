//! `offtake plugin`: plugins of a running gateway.

mod live;

use clap::Subcommand;

use super::Exit;

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Put new versions of plugins to work, without a stop.
    Reload(live::ReloadArgs),
    /// Put the version before back to work.
    Rollback(live::RollbackArgs),
    /// Run a new version beside the one at work, over recent changes.
    Try(live::TryArgs),
}

/// Does it.
pub fn execute(command: &PluginCommand) -> Exit {
    match command {
        PluginCommand::Reload(args) => live::reload(args),
        PluginCommand::Rollback(args) => live::roll_back(args),
        PluginCommand::Try(args) => live::attempt(args),
    }
}
