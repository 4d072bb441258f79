//! How a subcommand ends: an exit code and, on failure, what the user reads.

use std::process::Termination;

use crate::pipeline::{CONFIG_INVALID, Halt};

/// Documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or stopped as told.
    Done = 0,
    /// Failed while running; warnings only, of `check`; changes make no progress, of `status`.
    Failed = 1,
    /// Wrong configuration or usage; errors, of `check`.
    Configuration = 2,
    /// Halted with `on_halt = "exit"`.
    Halted = 3,
}

/// The end of a subcommand.
#[derive(Debug)]
pub struct Exit {
    code: ExitCode,
    message: Option<String>,
}

impl Exit {
    /// Done.
    pub fn done() -> Exit {
        Exit { code: ExitCode::Done, message: None }
    }

    /// Ends with a code and nothing more to say.
    pub fn code(code: ExitCode) -> Exit {
        Exit { code, message: None }
    }

    /// Ends with a message on standard error.
    pub fn with(code: ExitCode, message: impl Into<String>) -> Exit {
        Exit { code, message: Some(message.into()) }
    }

    /// A failure with a stable code, its cause and the next step. Mistakes in the configuration's file
    /// are shown and answered as when it is read.
    pub fn failed(halt: &Halt) -> Exit {
        if halt.code == CONFIG_INVALID {
            return Exit::configuration(halt.cause.clone());
        }
        Exit::with(ExitCode::Failed, message(halt))
    }

    /// A configuration that cannot be used.
    pub fn configuration(text: impl Into<String>) -> Exit {
        Exit::with(ExitCode::Configuration, text)
    }
}

/// A failure as every subcommand prints it.
pub fn message(halt: &Halt) -> String {
    format!("error[{}]: {}\n  next: {}", halt.code, halt.cause, halt.next_step)
}

impl Termination for Exit {
    fn report(self) -> std::process::ExitCode {
        if let Some(message) = self.message {
            eprintln!("{}", message.trim_end());
        }
        std::process::ExitCode::from(self.code as u8)
    }
}
