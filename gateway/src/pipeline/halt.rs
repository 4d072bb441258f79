//! Why a pipeline cannot go on, in the words that a person reads.
//!
//! Every part has its own error type with a stable code; here they meet in one shape, so that the
//! log line, `/status` and the exit code say the same. Nothing is decided here.

use std::borrow::Cow;

use serde::Serialize;

/// A state that a person must decide about. The position is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {cause}")]
pub struct Halt {
    /// Stable code, for alarms and for the documentation.
    pub code: Cow<'static, str>,
    /// What is wrong and where.
    pub cause: String,
    /// What to do next; a command or a setting that exists.
    pub next_step: String,
}

impl Halt {
    /// A halt with its code, cause and next step.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        cause: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Halt {
        Halt { code: code.into(), cause: cause.into(), next_step: next_step.into() }
    }
}

/// The text of an error with every error under it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
