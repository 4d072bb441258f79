//! What stands in for WASI, so that runtimes of languages start: no file, no clock, no randomness.
//!
//! Standard Go and others import functions of `wasi_snapshot_preview1` whether a program uses them or
//! not. Each is offered here without what it gives elsewhere: the clock counts calls, the random
//! bytes are always the same, files are not open. What is written to standard output and error
//! becomes log lines. A component is offered none of this.

use std::fmt;

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::imports::{memory, slice, slice_mut};
use crate::bindings::offtake::transform::host::Level;
use crate::fault::guest_text;
use crate::host::{HostState, LINE_BYTES};

/// Module of the functions.
pub(super) const WASI: &str = "wasi_snapshot_preview1";

/// What needs an open descriptor, and fails because nothing is open: the parameters, `i` of 32 bits and
/// `l` of 64.
const NEEDS_OPEN: [(&str, &str); 33] = [
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];
/// The other functions.
const OFFERED: [&str; 12] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_fdstat_get",
    "fd_write",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// Whether there is a function of that name.
pub(super) fn has(name: &str) -> bool {
    OFFERED.contains(&name) || NEEDS_OPEN.iter().any(|(known, _)| *known == name)
}

/// Numbers of WASI: done, bad descriptor, bad address, bad argument.
const DONE: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;

/// Buffers or subscriptions in one call, at most.
const PARTS: u32 = 1024;
/// Printed bytes of one call that are looked at: the host's time is not bounded by the deadline.
const PRINTED_BYTES: usize = 64 << 10;
/// Random bytes in one call, at most.
const RANDOM_BYTES: u32 = 1 << 20;
/// What the clock begins with, and what each reading adds, in nanoseconds.
const CLOCK_BEGIN: u64 = 1_000_000_000;
const CLOCK_STEP: u64 = 1_000;
/// Type of an open descriptor: a character device.
const CHARACTER_DEVICE: u8 = 2;

type Guest<'a> = Caller<'a, HostState>;
type Answer = wasmtime::Result<u32>;

/// What an instance's stand-ins remember.
pub(crate) struct WasiState {
    clock: u64,
    random: u64,
    /// Of standard output and standard error, the line that is not finished.
    lines: [Vec<u8>; 2],
}

impl Default for WasiState {
    fn default() -> WasiState {
        WasiState { clock: CLOCK_BEGIN, random: 0, lines: [Vec::new(), Vec::new()] }
    }
}

/// The module ended itself.
#[derive(Debug)]
pub(crate) struct Exited(u32);

impl fmt::Display for Exited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "it ended itself with the code {}", self.0)
    }
}

impl std::error::Error for Exited {}

/// Offers the functions.
pub(super) fn offer(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(WASI, "args_get", |_: u32, _: u32| DONE)?;
    linker.func_wrap(WASI, "args_sizes_get", nothing)?;
    linker.func_wrap(WASI, "environ_get", |_: u32, _: u32| DONE)?;
    linker.func_wrap(WASI, "environ_sizes_get", nothing)?;
    linker.func_wrap(WASI, "clock_res_get", |mut guest: Guest<'_>, _: u32, to: u32| {
        put(&mut guest, to, &CLOCK_STEP.to_le_bytes())
    })?;
    linker.func_wrap(WASI, "clock_time_get", |mut guest: Guest<'_>, _: u32, _: u64, to: u32| {
        let clock = &mut guest.data_mut().wasi.clock;
        *clock = clock.wrapping_add(CLOCK_STEP);
        let time = clock.wrapping_sub(CLOCK_STEP);
        put(&mut guest, to, &time.to_le_bytes())
    })?;
    linker.func_wrap(WASI, "fd_fdstat_get", descriptor)?;
    linker.func_wrap(WASI, "fd_write", write)?;
    linker.func_wrap(WASI, "poll_oneoff", poll)?;
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(Exited(code).into())
    })?;
    linker.func_wrap(WASI, "random_get", random)?;
    linker.func_wrap(WASI, "sched_yield", || DONE)?;
    for (name, parameters) in NEEDS_OPEN {
        let parameters = parameters
            .bytes()
            .map(|letter| if letter == b'l' { ValType::I64 } else { ValType::I32 });
        let kind = FuncType::new(linker.engine(), parameters, [ValType::I32]);
        linker.func_new(WASI, name, kind, |_, _, results| {
            if let [result] = results {
                *result = Val::I32(BADF as i32);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Puts bytes where the guest wants them.
fn put(guest: &mut Guest<'_>, to: u32, bytes: &[u8]) -> Answer {
    let (memory, _) = memory(guest)?;
    Ok(match slice_mut(memory, to, bytes.len() as u32) {
        Some(place) => {
            place.copy_from_slice(bytes);
            DONE
        }
        None => FAULT,
    })
}

/// No arguments, no environment: their number and the size of their texts.
fn nothing(mut guest: Guest<'_>, count: u32, size: u32) -> Answer {
    match put(&mut guest, count, &[0; 4])? {
        DONE => put(&mut guest, size, &[0; 4]),
        error => Ok(error),
    }
}

fn descriptor(mut guest: Guest<'_>, descriptor: u32, to: u32) -> Answer {
    if descriptor > 2 {
        return Ok(BADF);
    }
    let mut status = [0; 24];
    status[0] = CHARACTER_DEVICE;
    put(&mut guest, to, &status)
}

fn random(mut guest: Guest<'_>, to: u32, length: u32) -> Answer {
    if length > RANDOM_BYTES {
        return Ok(INVAL);
    }
    let (memory, state) = memory(&mut guest)?;
    let Some(place) = slice_mut(memory, to, length) else { return Ok(FAULT) };
    for bytes in place.chunks_mut(8) {
        let next = splitmix(&mut state.wasi.random).to_le_bytes();
        bytes.copy_from_slice(&next[..bytes.len()]);
    }
    Ok(DONE)
}

/// The next number of a fixed sequence (SplitMix64).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Every subscription has happened.
fn poll(mut guest: Guest<'_>, from: u32, to: u32, count: u32, happened: u32) -> Answer {
    const SUBSCRIPTION: u32 = 48;
    const EVENT: u32 = 32;
    if count == 0 || count > PARTS {
        return Ok(INVAL);
    }
    let (memory, _) = memory(&mut guest)?;
    for at in 0..count {
        let place = from.checked_add(at * SUBSCRIPTION);
        let Some(asked) = place.and_then(|place| slice(memory, place, SUBSCRIPTION)) else {
            return Ok(FAULT);
        };
        // What the guest knows it by, no error, and its kind.
        let mut event = [0; EVENT as usize];
        event[..8].copy_from_slice(&asked[..8]);
        event[10] = asked[8];
        let place = to.checked_add(at * EVENT);
        let Some(place) = place.and_then(|place| slice_mut(memory, place, EVENT)) else {
            return Ok(FAULT);
        };
        place.copy_from_slice(&event);
    }
    put(&mut guest, happened, &count.to_le_bytes())
}

/// Standard output and standard error, line by line, into the log.
fn write(mut guest: Guest<'_>, descriptor: u32, from: u32, count: u32, written: u32) -> Answer {
    guest.data_mut().count_call()?;
    let Some(stream) = (1..=2).contains(&descriptor).then(|| descriptor as usize - 1) else {
        return Ok(BADF);
    };
    if count > PARTS {
        return Ok(INVAL);
    }
    let (memory, state) = memory(&mut guest)?;
    let (mut total, mut left) = (0_u32, PRINTED_BYTES);
    for at in 0..count {
        let Some(part) = buffer(memory, from, at) else { return Ok(FAULT) };
        let Some(sum) = total.checked_add(part.len() as u32) else { return Ok(INVAL) };
        total = sum;
        let looked_at = &part[..part.len().min(left)];
        left -= looked_at.len();
        state.print(stream, looked_at);
    }
    put(&mut guest, written, &total.to_le_bytes())
}

/// One of the buffers that a call names.
fn buffer(memory: &[u8], from: u32, at: u32) -> Option<&[u8]> {
    let place = slice(memory, from.checked_add(at * 8)?, 8)?;
    let (pointer, length) = place.split_first_chunk()?;
    slice(memory, u32::from_le_bytes(*pointer), u32::from_le_bytes(length.try_into().ok()?))
}

impl HostState {
    /// Takes what is printed, and writes the lines that it finishes.
    fn print(&mut self, stream: usize, bytes: &[u8]) {
        let mut parts = bytes.split(|&byte| byte == b'\n');
        let unfinished = parts.next_back().unwrap_or_default();
        for part in parts {
            self.print_part(stream, part);
            self.end_line(stream);
        }
        self.print_part(stream, unfinished);
    }

    /// Writes the lines that a call left unfinished.
    pub(crate) fn end_lines(&mut self) {
        for stream in 0..self.wasi.lines.len() {
            if !self.wasi.lines[stream].is_empty() {
                self.end_line(stream);
            }
        }
    }

    /// Beyond the longest line nothing would be shown.
    fn print_part(&mut self, stream: usize, part: &[u8]) {
        let line = &mut self.wasi.lines[stream];
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self, stream: usize) {
        let line = std::mem::take(&mut self.wasi.lines[stream]);
        let text = String::from_utf8_lossy(&line).into_owned();
        let level = if stream == 1 { Level::Warn } else { Level::Info };
        // What a runtime says before it ends itself begins with what happened.
        if stream == 1 && self.last_error.is_none() && !text.is_empty() {
            self.last_error = Some(guest_text(&text));
        }
        self.write_line(level, text);
    }
}
