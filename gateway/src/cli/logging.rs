//! Logs: readable on a terminal, JSON elsewhere, both on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `OFFTAKE_LOG` chooses what is shown (default `info`), in `tracing`'s syntax:
/// `offtake_source_postgres=debug,info`.
pub fn start() {
    let filter = EnvFilter::try_from_env("OFFTAKE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,tonic=warn,h2=warn,hyper=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    };
    if started.is_err() {
        // A demo runs the gateway inside a process that logs already.
        tracing::debug!("logging was already started");
    }
}
