//! Tells what went wrong in a call from the error that wasmtime gives.

use std::sync::Arc;

use offtake_state::StateError;
use wasmtime::{Trap, WasmBacktrace};

use crate::abi::{Exited, NoRoom, Unreadable};
use crate::clock::DeadlineSpent;
use crate::fault::{Fault, FaultCode, guest_text};
use crate::host::{HostCallsExceeded, Phase};
use crate::limits::MemoryExceeded;

/// What wasmtime says, in a type that it keeps to itself, when a guest hands over too many bytes.
const OUTPUT_EXCEEDED: &str = "fuel allocated for hostcalls has been exhausted";

/// What is known of the call beside its error.
pub(crate) struct CallContext {
    pub(crate) phase: Phase,
    /// The last line that the plugin logged as an error; `None` where it keeps secrets.
    pub(crate) last_error: Option<String>,
}

/// The fault that an error of a call is.
pub(crate) fn fault(plugin: &Arc<str>, error: &wasmtime::Error, context: &CallContext) -> Fault {
    let during = match context.phase {
        Phase::Configure => "while it was configured",
        Phase::Schema => "while it was told a schema",
        Phase::Process => "while it handled changes",
    };
    if let Some(spent) = error.downcast_ref::<DeadlineSpent>() {
        return Fault::new(FaultCode::Deadline, plugin, format!("{spent} {during}"));
    }
    if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
        return Fault::new(FaultCode::Memory, plugin, format!("{exceeded}, {during}"));
    }
    if let Some(full) = error.downcast_ref::<NoRoom>() {
        return Fault::new(FaultCode::Memory, plugin, format!("{full}, {during}"));
    }
    if let Some(exceeded) = error.downcast_ref::<HostCallsExceeded>() {
        return Fault::new(FaultCode::HostCalls, plugin, format!("{exceeded}, {during}"));
    }
    if let Some(refused) = error.downcast_ref::<StateError>() {
        let code = match refused {
            StateError::Quota { .. } => FaultCode::StateQuota,
            StateError::TooMuch { .. } | StateError::OutsideCall => FaultCode::StateLimit,
        };
        return Fault::new(code, plugin, format!("{refused}, {during}"));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(plugin, *trap, error, context, during);
    }
    if let Some(exited) = error.downcast_ref::<Exited>() {
        let mut message = format!("{exited}, {during}");
        add_last_words(&mut message, context);
        return Fault::new(FaultCode::Trap, plugin, message);
    }
    let text = error.root_cause().to_string();
    let too_large = matches!(error.downcast_ref(), Some(Unreadable::TooLarge));
    if too_large || text.contains(OUTPUT_EXCEEDED) {
        let message = format!("it handed over more bytes than `output_bytes` allows, {during}");
        return Fault::new(FaultCode::Output, plugin, message);
    }
    // What is left is raised where values cross the border: text that is no UTF-8, a pointer that
    // is not aligned, an unknown discriminant. The texts tell of positions, not of contents.
    let message = format!("what it handed over cannot be read, {during}: {text}");
    Fault::new(FaultCode::MalformedVerdict, plugin, message)
}

fn trapped(
    plugin: &Arc<str>,
    trap: Trap,
    error: &wasmtime::Error,
    context: &CallContext,
    during: &str,
) -> Fault {
    let malformed = matches!(
        trap,
        Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::InvalidChar
            | Trap::UnalignedPointer
    );
    if malformed {
        let message = format!("what it handed over cannot be read, {during}: {trap}");
        return Fault::new(FaultCode::MalformedVerdict, plugin, message);
    }
    let mut message = format!("it trapped {during}: {trap}");
    let place = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    if let Some(function) = place {
        message.push_str(&format!(" in {}", guest_text(function)));
    }
    add_last_words(&mut message, context);
    Fault::new(FaultCode::Trap, plugin, message)
}

fn add_last_words(message: &mut String, context: &CallContext) {
    if let Some(text) = &context.last_error {
        message.push_str(&format!(" (it said: {text})"));
    }
}
