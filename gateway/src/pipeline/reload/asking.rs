//! Asking the worker to switch, and waiting for it: bounded, whatever the pipeline waits for.

use std::time::{Duration, Instant};

use flume::RecvTimeoutError;

use super::super::halt::Halt;
use super::super::worker::{Asked, Asking, Switch, Told};

/// How long a switch may wait for a transaction's end before it is called off, and how long for the
/// log once it has begun.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether there still is a worker.
const LOOK: Duration = Duration::from_millis(200);

/// The new versions are at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TookOver {
    /// The sequence from which on.
    pub from_sequence: u64,
    /// Whether the log has it durable.
    pub is_durable: bool,
}

/// Has the worker switch.
///
/// # Errors
/// Nothing changed, and nothing will.
pub fn ask(switches: &flume::Sender<Switch>, switch: Switch) -> Result<TookOver, Halt> {
    ask_for(switches, switch, PATIENCE)
}

fn ask_for(
    switches: &flume::Sender<Switch>,
    switch: Switch,
    patience: Duration,
) -> Result<TookOver, Halt> {
    let deadline = Instant::now() + patience;
    let (asked, asking) = Asked::pair();
    match switches.send_timeout(Switch { asked: Some(asked), ..switch }, patience) {
        Ok(()) => {}
        Err(flume::SendTimeoutError::Timeout(_)) => return Err(timed_out(patience)),
        Err(flume::SendTimeoutError::Disconnected(_)) => return Err(not_running()),
    }
    loop {
        // Once it has begun it takes what instances take to start, and no more.
        match told(switches, &asking, deadline) {
            Ok(Told::TookOver(from_sequence)) => {
                let told = told(switches, &asking, Instant::now() + patience);
                let is_durable = matches!(told, Ok(Told::Durable));
                return Ok(TookOver { from_sequence, is_durable });
            }
            Ok(Told::Refused(halt)) => return Err(halt),
            Ok(Told::Durable) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(not_running()),
            Err(RecvTimeoutError::Timeout) if asking.call_off() => return Err(timed_out(patience)),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The next that the worker tells, or that there is none any more.
fn told(
    switches: &flume::Sender<Switch>,
    asking: &Asking,
    deadline: Instant,
) -> Result<Told, RecvTimeoutError> {
    loop {
        let is_gone = switches.is_disconnected();
        match asking.told(LOOK) {
            Err(RecvTimeoutError::Timeout) if is_gone => {
                return Err(RecvTimeoutError::Disconnected);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}

fn not_running() -> Halt {
    Halt::new(
        "RELOAD_NOT_RUNNING",
        "the pipeline is halted or stopping, so nothing can take over",
        "see `offtake status`; the next start takes the plugins as the configuration has them",
    )
}

fn timed_out(patience: Duration) -> Halt {
    Halt::new(
        "RELOAD_TIMED_OUT",
        format!(
            "plugins change between two transactions, and {} s brought no such moment: one is open, \
             or the log is BLOCKED",
            patience.as_secs()
        ),
        "see `offtake status`, and ask again; the plugins at work go on as they were",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    fn switch() -> Switch {
        Switch { plugins: Vec::new(), digest: Vec::new(), beside: None, asked: None }
    }

    /// Asks, with a worker that does this with the switch.
    fn asked(worker: impl FnOnce(Asked) + Send) -> Result<TookOver, Halt> {
        let (switches, switched) = flume::bounded::<Switch>(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                worker(switched.recv().unwrap().asked.unwrap());
                // It goes on running.
                let _ = switched.recv();
            });
            let outcome = ask_for(&switches, switch(), SHORT);
            drop(switches);
            outcome
        })
    }

    #[test]
    fn a_switch_that_has_begun_is_waited_for_and_one_that_waits_is_called_off() {
        let late = asked(|asked| {
            assert!(asked.begin());
            std::thread::sleep(SHORT * 2);
            asked.tell(Told::TookOver(7));
            asked.tell(Told::Durable);
        });
        assert_eq!(late, Ok(TookOver { from_sequence: 7, is_durable: true }));
        let waiting = asked(|asked| {
            std::thread::sleep(SHORT * 2);
            assert!(!asked.begin(), "nobody waits for it");
        });
        assert_eq!(waiting.unwrap_err().code, "RELOAD_TIMED_OUT");
        let blocked = asked(|asked| {
            assert!(asked.begin());
            asked.tell(Told::TookOver(7));
            std::thread::sleep(SHORT * 2);
        });
        assert_eq!(blocked, Ok(TookOver { from_sequence: 7, is_durable: false }));
    }

    #[test]
    fn a_worker_that_takes_nothing_in_or_is_gone_is_not_waited_for() {
        let (switches, switched) = flume::bounded::<Switch>(1);
        switches.send(switch()).unwrap();
        let full = ask_for(&switches, switch(), SHORT);
        assert_eq!(full.unwrap_err().code, "RELOAD_TIMED_OUT");
        drop(switched);
        let gone = ask_for(&switches, switch(), SHORT);
        assert_eq!(gone.unwrap_err().code, "RELOAD_NOT_RUNNING");
        let (switches, switched) = flume::bounded::<Switch>(1);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(SHORT / 3);
                // With the request still in its queue.
                drop(switched);
            });
            ask_for(&switches, switch(), Duration::from_secs(20))
        });
        assert_eq!(ended.unwrap_err().code, "RELOAD_NOT_RUNNING");
    }
}
