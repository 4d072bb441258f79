//! What the gateway offers a plugin besides its changes: log lines and counters.
//!
//! Outside a gateway (in a plugin's own unit tests on the developer's machine) they do nothing, so
//! that code which logs can be tested natively.

#[cfg(target_family = "wasm")]
use crate::bindings::offtake::transform::host;

/// Weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Step by step.
    Trace,
    /// For the plugin's author.
    Debug,
    /// For the operator, normal.
    Info,
    /// For the operator, unexpected.
    Warn,
    /// For the operator, wrong.
    Error,
}

/// Writes a line to the gateway's log. The gateway cuts long lines and limits their rate. Never put
/// a row's value in one.
#[cfg_attr(
    not(target_family = "wasm"),
    allow(unused_variables, reason = "there is no gateway outside WebAssembly")
)]
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    host::log(
        match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        },
        message,
    );
}

/// A counter in the gateway's metrics. Make it in `configure`, add to it once a batch.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    #[cfg(target_family = "wasm")]
    id: u32,
}

impl Counter {
    /// Registers a counter under a name.
    #[cfg_attr(
        not(target_family = "wasm"),
        allow(unused_variables, reason = "there is no gateway outside WebAssembly")
    )]
    pub fn register(name: &str) -> Counter {
        Counter {
            #[cfg(target_family = "wasm")]
            id: host::counter(name),
        }
    }

    /// Adds to it.
    #[cfg_attr(
        not(target_family = "wasm"),
        allow(unused_variables, reason = "there is no gateway outside WebAssembly")
    )]
    pub fn add(self, delta: u32) {
        #[cfg(target_family = "wasm")]
        host::add(self.id, delta);
    }
}

/// Has a panic say where it was, in the gateway's log; without this a trap is all that is seen. The
/// panic's message is left out: it may quote a value.
pub(crate) fn log_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            let line = format!("panicked at {}:{}", place.file(), place.line());
            host::log(host::Level::Error, &line);
        }
    }));
}
