//! A fault: what a plugin did wrong while it ran, and where.
//!
//! A fault belongs to a call, and by its position to a change. It never repeats a row's value: the
//! text is the host's own, or the plugin's where the plugin keeps no secret.

use std::fmt;
use std::sync::Arc;

use offtake_change::Lsn;

/// Longest text taken over from a plugin, in bytes.
const GUEST_TEXT_BYTES: usize = 500;

/// What kind of fault it is. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// The plugin trapped: a panic, an `unreachable`, an access out of bounds, a spent stack.
    Trap,
    /// A call took more CPU time than it may, or far more wall time.
    Deadline,
    /// The plugin asked for more memory than it may have.
    Memory,
    /// The plugin handed over more bytes than it may.
    Output,
    /// The plugin emitted more rows for one change than it may.
    FanOut,
    /// The plugin called the host more often than it may.
    HostCalls,
    /// The plugin's state would be larger than was granted.
    StateQuota,
    /// The plugin asked its state for what no call may have: too long a key, too much at once.
    StateLimit,
    /// The verdict, or the answer to a schema, makes no sense: nothing of it was applied.
    MalformedVerdict,
    /// The plugin declared one change failed.
    RowFailure,
    /// The plugin declared the whole call failed.
    Refused,
    /// The plugin refused a table's definition: no row is wrong. The code is that of `Refused`.
    RefusedTable,
    /// The plugin uses a part of the contract that this release does not offer.
    FeatureUnsupported,
    /// A plugin that protects does not cover a column that it promised to cover.
    Unprotected,
    /// Finding the changes that a plugin fails at took longer than it may.
    Isolation,
    /// More changes failed in a plugin than may.
    Breaker,
    /// The instance had a fault before and cannot be used again.
    Poisoned,
    /// The host could not do its part, for example start an instance.
    Host,
}

impl FaultCode {
    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultCode::Trap => "PLUGIN_TRAP",
            FaultCode::Deadline => "PLUGIN_DEADLINE",
            FaultCode::Memory => "PLUGIN_MEMORY",
            FaultCode::Output => "PLUGIN_OUTPUT",
            FaultCode::FanOut => "PLUGIN_FAN_OUT",
            FaultCode::HostCalls => "PLUGIN_HOST_CALLS",
            FaultCode::StateQuota => "PLUGIN_STATE_QUOTA",
            FaultCode::StateLimit => "PLUGIN_STATE_LIMIT",
            FaultCode::MalformedVerdict => "PLUGIN_MALFORMED_VERDICT",
            FaultCode::RowFailure => "PLUGIN_ROW_FAILURE",
            FaultCode::Refused | FaultCode::RefusedTable => "PLUGIN_REFUSED",
            FaultCode::FeatureUnsupported => "PLUGIN_FEATURE_UNSUPPORTED",
            FaultCode::Unprotected => "PLUGIN_UNPROTECTED",
            FaultCode::Isolation => "PLUGIN_ISOLATION",
            FaultCode::Breaker => "PLUGIN_BREAKER",
            FaultCode::Poisoned => "PLUGIN_POISONED",
            FaultCode::Host => "PLUGIN_HOST",
        }
    }

    /// Whether it may be one change's doing, so that the others of the call can go on without it.
    pub(crate) fn is_isolable(self) -> bool {
        match self {
            FaultCode::Trap
            | FaultCode::Deadline
            | FaultCode::Memory
            | FaultCode::Output
            | FaultCode::FanOut
            | FaultCode::HostCalls
            | FaultCode::StateQuota
            | FaultCode::StateLimit
            | FaultCode::MalformedVerdict
            | FaultCode::RowFailure
            | FaultCode::Refused => true,
            FaultCode::RefusedTable
            | FaultCode::FeatureUnsupported
            | FaultCode::Unprotected
            | FaultCode::Isolation
            | FaultCode::Breaker
            | FaultCode::Poisoned
            | FaultCode::Host => false,
        }
    }

    fn next_step(self) -> &'static str {
        match self {
            FaultCode::Trap => {
                "correct the plugin (its log lines appear at the debug level), or take it off the route"
            }
            FaultCode::Deadline => "make the plugin faster, or raise its `deadline`",
            FaultCode::Memory => "make the plugin need less memory, or raise its `memory`",
            FaultCode::Output => "make the plugin's answers smaller",
            FaultCode::FanOut => "make the plugin emit fewer rows a change, or raise its `fan_out`",
            FaultCode::HostCalls => "make the plugin log and count less often",
            FaultCode::StateQuota => {
                "have the plugin keep less or for a shorter time, or raise the `quota` of its `state`"
            }
            FaultCode::StateLimit => {
                "have the plugin use shorter keys and values, or fewer of them at once"
            }
            FaultCode::MalformedVerdict => {
                "correct the plugin: the message says which part of its answer is wrong"
            }
            FaultCode::RowFailure | FaultCode::Refused => {
                "correct the row, the table, or the plugin and its `config`; the message is the \
                 plugin's own"
            }
            FaultCode::RefusedTable => {
                "correct the plugin's `config`, or the table; the message is the plugin's own"
            }
            FaultCode::FeatureUnsupported => {
                "use a plugin without this feature, or a later release"
            }
            FaultCode::Unprotected => {
                "compare the table's columns with the plugin's configuration and bring them in line"
            }
            FaultCode::Isolation => {
                "correct the plugin, which fails at many changes, or raise its `isolation`"
            }
            FaultCode::Breaker => "correct the plugin, or raise its `breaker`",
            FaultCode::Poisoned => "start a new instance of the plugin",
            FaultCode::Host => "see the message; if the machine is out of memory, give it more",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A plugin failed while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault.
    pub code: FaultCode,
    /// The plugin's name in the configuration.
    pub plugin: Arc<str>,
    /// The table whose changes the call was about.
    pub table: Option<String>,
    /// Where the change stands that failed, or the first change of the call.
    pub lsn: Option<Lsn>,
    /// Index in the batch's rows of the change that failed, where the plugin named one.
    pub row: Option<u32>,
    /// Whether another attempt on a fresh instance is known to be useless.
    pub permanent: bool,
    /// What happened, without any value of a row.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, plugin: &Arc<str>, message: impl Into<String>) -> Fault {
        Fault {
            code,
            plugin: Arc::clone(plugin),
            table: None,
            lsn: None,
            row: None,
            permanent: matches!(code, FaultCode::FeatureUnsupported | FaultCode::Unprotected),
            message: message.into(),
        }
    }

    /// The stable code, for example `PLUGIN_TRAP`.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// What an operator can do about it.
    pub fn next_step(&self) -> &'static str {
        self.code.next_step()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "plugin {}", self.plugin)?;
        if let Some(table) = &self.table {
            write!(out, ", table {table}")?;
        }
        if let Some(lsn) = self.lsn {
            write!(out, ", at {lsn}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for Fault {}

/// Makes a plugin's text fit to be shown: one line, no control characters, not too long.
pub(crate) fn guest_text(text: &str) -> String {
    let mut clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(GUEST_TEXT_BYTES).collect();
    if clean.len() > GUEST_TEXT_BYTES {
        let cut = (0..=GUEST_TEXT_BYTES).rev().find(|&at| clean.is_char_boundary(at)).unwrap_or(0);
        clean.truncate(cut);
    }
    if clean.len() < text.len() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_text_is_one_short_line() {
        assert_eq!(guest_text("a\nb\u{1b}[1m"), "a b [1m");
        let long = guest_text(&"é".repeat(1000));
        assert!(long.len() <= GUEST_TEXT_BYTES + '…'.len_utf8());
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_fault_says_plugin_table_and_position() {
        let mut fault = Fault::new(FaultCode::Trap, &Arc::from("mask"), "it trapped");
        fault.table = Some("public.orders".to_owned());
        fault.lsn = Some(Lsn(0x10));
        assert_eq!(fault.to_string(), "plugin mask, table public.orders, at 0/10: it trapped");
        assert_eq!(fault.code(), "PLUGIN_TRAP");
    }
}
