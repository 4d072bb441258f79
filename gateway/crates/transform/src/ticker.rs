//! One thread that moves the epoch of every engine forward, every few milliseconds.
//!
//! The epoch is what makes a running plugin look at its deadline. The thread is shared by all
//! engines, ends when the last of them is dropped, and sleeps while no plugin runs: an idle gateway
//! causes no wake-ups.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::EngineWeak;

use crate::clock::TICK;

/// Ticks without a running plugin until the thread goes to sleep.
const IDLE_TICKS: u32 = 250;
/// How long the thread sleeps at most before it looks whether an engine still lives.
const SLEEP: Duration = Duration::from_secs(5);

static STATE: Mutex<State> = Mutex::new(State { engines: Vec::new(), thread: None });
static RUNNING_CALLS: AtomicUsize = AtomicUsize::new(0);
static ASLEEP: AtomicBool = AtomicBool::new(false);

struct State {
    engines: Vec<EngineWeak>,
    /// The thread, while there is one.
    thread: Option<Thread>,
}

/// Has an engine's epoch moved until the engine is dropped.
pub(crate) fn register(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let mut state = STATE.lock();
    state.engines.push(engine.weak());
    if state.thread.is_none() {
        let handle = std::thread::Builder::new().name("offtake-epoch".to_owned()).spawn(run)?;
        state.thread = Some(handle.thread().clone());
    }
    Ok(())
}

/// Keeps the ticker awake while it lives.
pub(crate) struct CallInProgress;

impl CallInProgress {
    pub(crate) fn begin() -> CallInProgress {
        RUNNING_CALLS.fetch_add(1, Ordering::SeqCst);
        // Only the caller that finds the thread asleep pays for waking it.
        if ASLEEP.load(Ordering::SeqCst)
            && let Some(thread) = &STATE.lock().thread
        {
            thread.unpark();
        }
        CallInProgress
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        RUNNING_CALLS.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run() {
    let mut idle_ticks = 0;
    loop {
        {
            let mut state = STATE.lock();
            state.engines.retain(|engine| match engine.upgrade() {
                Some(engine) => {
                    engine.increment_epoch();
                    true
                }
                None => false,
            });
            if state.engines.is_empty() {
                state.thread = None;
                return;
            }
        }
        idle_ticks = if RUNNING_CALLS.load(Ordering::SeqCst) > 0 { 0 } else { idle_ticks + 1 };
        if idle_ticks < IDLE_TICKS {
            std::thread::sleep(TICK);
            continue;
        }
        ASLEEP.store(true, Ordering::SeqCst);
        // A call that began before the store is seen here; one that begins after it unparks.
        if RUNNING_CALLS.load(Ordering::SeqCst) == 0 {
            std::thread::park_timeout(SLEEP);
        }
        ASLEEP.store(false, Ordering::SeqCst);
        idle_ticks = IDLE_TICKS - 1;
    }
}
