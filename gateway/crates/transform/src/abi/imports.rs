//! What a core module may import: log lines, metrics and kept state, as a component has them.
//!
//! Texts that the module hands over are its own words, shown to people; bytes of them that are no
//! UTF-8 are replaced, for the languages of this door do not all promise UTF-8.

use std::borrow::Cow;

use wasmtime::{Caller, Extern, Linker};

use super::reader::malformed;
use super::{state as kept, wasi};
use crate::bindings::offtake::transform::host::{Host, Level};
use crate::host::{HostState, LINE_BYTES};

/// Module of the host's functions.
pub(super) const HOST: &str = "offtake";

/// The names there, but for those of kept state.
pub(super) const NAMES: [&str; 5] = ["log", "counter", "histogram", "add", "observe"];

/// Offers what there is.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(HOST, "log", log)?;
    linker.func_wrap(
        HOST,
        "counter",
        |mut caller: Caller<'_, HostState>, at: u32, length: u32| {
            let (name, state) = named(&mut caller, at, length)?;
            state.counter(name)
        },
    )?;
    linker.func_wrap(
        HOST,
        "histogram",
        |mut caller: Caller<'_, HostState>, at: u32, length: u32| {
            let (name, state) = named(&mut caller, at, length)?;
            state.histogram(name)
        },
    )?;
    linker.func_wrap(HOST, "add", |mut caller: Caller<'_, HostState>, id: u32, delta: u32| {
        caller.data_mut().add(id, delta)
    })?;
    linker.func_wrap(
        HOST,
        "observe",
        |mut caller: Caller<'_, HostState>, id: u32, value: f64| {
            caller.data_mut().observe(id, value)
        },
    )?;
    kept::offer(&mut linker)?;
    wasi::offer(&mut linker)?;
    Ok(linker)
}

fn log(
    mut caller: Caller<'_, HostState>,
    level: u32,
    at: u32,
    length: u32,
) -> wasmtime::Result<()> {
    let level = match level {
        0 => Level::Trace,
        1 => Level::Debug,
        2 => Level::Info,
        3 => Level::Warn,
        4 => Level::Error,
        other => return Err(malformed(format!("it logs at the level {other} of 0 to 4")).into()),
    };
    let (line, state) = named(&mut caller, at, length)?;
    state.log(level, line)
}

/// A text in the module's memory, cut where nothing would be kept of it.
fn named<'a>(
    caller: &'a mut Caller<'_, HostState>,
    at: u32,
    length: u32,
) -> wasmtime::Result<(String, &'a mut HostState)> {
    let (memory, state) = memory(caller)?;
    let bytes = slice(memory, at, length).ok_or_else(|| {
        malformed(format!("a text of {length} bytes at {at} is not in its memory"))
    })?;
    let kept = &bytes[..bytes.len().min(LINE_BYTES)];
    let text = match String::from_utf8_lossy(kept) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    };
    Ok((text, state))
}

/// The module's memory, and what belongs to its instance, for one call of the host: if there is time
/// for it.
pub(super) fn memory<'a>(
    caller: &'a mut Caller<'_, HostState>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut HostState)> {
    caller.data().clock.check()?;
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory.data_and_store_mut(caller)),
        _ => Err(malformed("it exports no memory").into()),
    }
}

/// So many bytes of a memory, if they lie in it.
pub(super) fn slice(memory: &[u8], at: u32, length: u32) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    memory.get(at..at.checked_add(usize::try_from(length).ok()?)?)
}

/// The same, to be written.
pub(super) fn slice_mut(memory: &mut [u8], at: u32, length: u32) -> Option<&mut [u8]> {
    let at = usize::try_from(at).ok()?;
    memory.get_mut(at..at.checked_add(usize::try_from(length).ok()?)?)
}
