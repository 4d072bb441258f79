//! Named crash points and checker mutations, switched on at run time by a test.
//!
//! A test sets `OFFTAKE_FAILPOINTS` for the process that it starts; every hand-over of an event
//! names its crash point, and the process kills itself with SIGKILL when it reaches the one that
//! was asked for the n-th time. Mutations make the gateway wrong on purpose (drop, double or swap
//! a change, acknowledge early), so that a test proves that its checker would notice. This crate
//! only counts and decides; what a mutation does stands where the change is handled.
//!
//! The syntax is `name=n` for a crash at the n-th pass, `name=stop:n` for SIGSTOP there instead, so that
//! a test can change the world around a process that stands still, and `name=every:n` for a
//! mutation, several separated by commas: `log.after_fsync=12,mutate.drop=every:10000`. Without the `test-switches`
//! feature of the `offtake` binary nothing reads the variable and every call is one load of a flag.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
static SWITCHES: OnceLock<HashMap<String, Switch>> = OnceLock::new();

#[derive(Debug)]
struct Switch {
    at: u64,
    when: When,
    passed: AtomicU64,
}

/// What is asked for, and at which passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// A kill at the n-th.
    Kill,
    /// A stop at the n-th.
    Stop,
    /// A mutation at every n-th.
    Every,
}

/// Reads the switches of a test. Call once, before any thread starts.
///
/// # Errors
/// The text of the first switch that cannot be read.
pub fn arm(switches: &str) -> Result<(), String> {
    let mut parsed = HashMap::new();
    for switch in switches.split(',').map(str::trim).filter(|switch| !switch.is_empty()) {
        let (name, when) = switch.split_once('=').ok_or_else(|| switch.to_owned())?;
        let (when, count) = match when.split_once(':') {
            Some(("every", count)) => (When::Every, count),
            Some(("stop", count)) => (When::Stop, count),
            _ => (When::Kill, when),
        };
        let at: u64 = count.parse().map_err(|_| switch.to_owned())?;
        if at == 0 {
            return Err(switch.to_owned());
        }
        parsed.insert(name.to_owned(), Switch { at, when, passed: AtomicU64::new(0) });
    }
    let armed = !parsed.is_empty();
    if SWITCHES.set(parsed).is_ok() {
        ARMED.store(armed, Ordering::Release);
    }
    Ok(())
}

/// Kills this process, as a power cut would, when the test asked for a crash here and this pass is
/// the one it named; or stops it there until somebody lets it go on.
#[inline]
pub fn crash_point(name: &str) {
    if ARMED.load(Ordering::Relaxed)
        && let Some(when) = due(name)
    {
        crash(when);
    }
}

#[cold]
fn crash(when: When) {
    use rustix::process::{Signal, getpid, kill_process};
    if when == When::Stop {
        let _ = kill_process(getpid(), Signal::STOP);
        return;
    }
    // No destructor, no flush, no signal handler: what the kernel has is all that remains.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}

/// Whether the mutation of that name is to happen at this pass.
#[inline]
pub fn mutate(name: &str) -> bool {
    ARMED.load(Ordering::Relaxed) && due(name).is_some()
}

#[cold]
fn due(name: &str) -> Option<When> {
    let switch = SWITCHES.get()?.get(name)?;
    let pass = switch.passed.fetch_add(1, Ordering::Relaxed) + 1;
    let is_due = match switch.when {
        When::Every => pass % switch.at == 0,
        When::Kill | When::Stop => pass == switch.at,
    };
    is_due.then_some(switch.when)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_is_due_at_every_nth_pass_and_an_unnamed_one_never() {
        arm("mutate.drop=every:3, log.after_fsync=1000000").unwrap();
        let due: Vec<bool> = (0..7).map(|_| mutate("mutate.drop")).collect();
        assert_eq!(due, [false, false, true, false, false, true, false]);
        assert!(!mutate("mutate.swap"));
        crash_point("log.after_fsync");
    }

    #[test]
    fn a_switch_that_cannot_be_read_is_named() {
        assert_eq!(arm("a=1,b"), Err("b".to_owned()));
        assert_eq!(arm("a=0"), Err("a=0".to_owned()));
        assert_eq!(arm("a=stop:0"), Err("a=stop:0".to_owned()));
        assert_eq!(arm("a=pause:1"), Err("a=pause:1".to_owned()));
        assert_eq!(arm("a=every:x"), Err("a=every:x".to_owned()));
    }
}
