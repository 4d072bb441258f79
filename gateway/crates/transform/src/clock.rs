//! The deadline of a call, in the calling thread's CPU time.
//!
//! A machine that is busy with other work makes wall time pass while a plugin makes no step; such a
//! plugin is not at fault. So the deadline counts the CPU time of the thread. When the engine's
//! epoch says that the deadline may have passed, the clock is read, and the call goes on with what
//! is left of it. Behind it stands a wall limit that only a plugin can reach that is hardly ever
//! scheduled.
//!
//! Reading the CPU clock is a call of the kernel, as long as a short call of a plugin; the wall clock is
//! not. So where a call begins, a reading that the thread made a moment before is carried on by the
//! wall clock: it can be too late by that moment, in the plugin's favour, and never too early.
//!
//! Compiled code looks at the epoch where it loops, where a function begins and before it fills or
//! copies memory. What the host does for it in between takes time too, and may be asked for without a
//! loop; so the host looks at the deadline whenever it is called. Three things are not cut short: one
//! call of the host, one filling or copying, and the reading of the answer. They are bounded by the
//! memory that the plugin may have and by what it may hand over at once.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// The wall limit is this many deadlines, and at least [`WALL_FLOOR`].
const WALL_FACTOR: u32 = 50;
/// Least wall limit.
const WALL_FLOOR: Duration = Duration::from_secs(5);
/// What one tick of the engine's epoch stands for.
pub(crate) const TICK: Duration = Duration::from_millis(4);

/// How long a reading of the CPU clock is carried on.
const CARRIED: Duration = Duration::from_millis(1);

thread_local! {
    /// When the calling thread's CPU clock was read for a call last, and what it said.
    static READING: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// CPU time that the calling thread has used, or up to [`CARRIED`] more.
fn thread_cpu_about(now: Instant) -> Duration {
    READING.with(|reading| {
        if let Some((at, cpu)) = reading.get()
            && let Some(since) = now.checked_duration_since(at)
            && since < CARRIED
        {
            return cpu + since;
        }
        let cpu = thread_cpu();
        reading.set(Some((now, cpu)));
        cpu
    })
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// The deadline of the call in progress.
#[derive(Debug)]
pub(crate) struct CallClock {
    deadline: Duration,
    cpu_start: Duration,
    wall_start: Instant,
}

/// A call used up its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlineSpent {
    /// CPU time.
    Cpu(Duration),
    /// Wall time, with CPU time to spare.
    Wall(Duration),
}

impl fmt::Display for DeadlineSpent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadlineSpent::Cpu(limit) => {
                write!(out, "a call used more than {} ms of CPU time", limit.as_millis())
            }
            DeadlineSpent::Wall(limit) => {
                write!(out, "a call was not done after {} ms", limit.as_millis())
            }
        }
    }
}

impl std::error::Error for DeadlineSpent {}

impl CallClock {
    /// Starts counting on the calling thread.
    pub(crate) fn start(deadline: Duration) -> CallClock {
        let wall_start = Instant::now();
        CallClock { deadline, cpu_start: thread_cpu_about(wall_start), wall_start }
    }

    /// Ticks until the call is asked for the first time.
    pub(crate) fn ticks(&self) -> u64 {
        ticks(self.deadline)
    }

    /// Whether the call may go on, asked when the plugin calls the host. Compiled code asks by itself.
    pub(crate) fn check(&self) -> Result<(), DeadlineSpent> {
        // The thread cannot use CPU time faster than time passes.
        if self.wall_start.elapsed() < self.deadline { Ok(()) } else { self.extend().map(|_| ()) }
    }

    /// Whether the call may go on, and for how many ticks before it is asked again.
    pub(crate) fn extend(&self) -> Result<u64, DeadlineSpent> {
        let cpu = thread_cpu().saturating_sub(self.cpu_start);
        decide(self.deadline, cpu, self.wall_start.elapsed())
    }
}

/// Ticks in which that much time cannot have passed by much: rather too few of them than too many,
/// for whoever asks too early asks again, and who asks too late lets the call run on.
fn ticks(time: Duration) -> u64 {
    let whole = u64::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX / 2);
    // A tick takes a little longer than it should, which adds up over a long deadline.
    (whole - whole / 8).max(1)
}

/// The decision, apart from the clocks.
fn decide(deadline: Duration, cpu: Duration, wall: Duration) -> Result<u64, DeadlineSpent> {
    if cpu >= deadline {
        return Err(DeadlineSpent::Cpu(deadline));
    }
    let wall_limit = deadline.saturating_mul(WALL_FACTOR).max(WALL_FLOOR);
    if wall >= wall_limit {
        return Err(DeadlineSpent::Wall(wall_limit));
    }
    // The thread cannot use CPU time faster than time passes.
    Ok(ticks((deadline - cpu).min(wall_limit - wall)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    #[test]
    fn a_busy_machine_extends_the_call() {
        // 3 s passed, and the plugin got 40 ms of them.
        let left = decide(DEADLINE, Duration::from_millis(40), Duration::from_secs(3));
        assert_eq!(left, Ok(14));
    }

    #[test]
    fn what_is_left_is_never_overrun_by_more_than_a_tick() {
        // The slowest ticks that are still good: a twelfth longer than they should be.
        let slow = TICK + TICK / 12;
        for left in (1..5_000).map(Duration::from_millis) {
            let asked = slow * u32::try_from(ticks(left)).unwrap();
            assert!(asked < left + slow, "{left:?}: asked after {asked:?}");
        }
    }

    #[test]
    fn spent_cpu_time_ends_the_call() {
        let spent = decide(DEADLINE, DEADLINE, DEADLINE);
        assert_eq!(spent, Err(DeadlineSpent::Cpu(DEADLINE)));
    }

    #[test]
    fn the_wall_limit_has_a_floor_and_ends_a_call_that_never_runs() {
        let cpu = Duration::from_micros(10);
        let short = Duration::from_millis(1);
        assert!(decide(short, cpu, Duration::from_millis(4_999)).is_ok());
        assert_eq!(decide(short, cpu, WALL_FLOOR), Err(DeadlineSpent::Wall(WALL_FLOOR)));
        let long = Duration::from_secs(1);
        assert!(decide(long, cpu, Duration::from_secs(49)).is_ok());
        assert!(decide(long, cpu, Duration::from_secs(50)).is_err());
    }

    #[test]
    fn a_reading_that_is_carried_on_is_never_before_the_clock_and_soon_made_anew() {
        // The two clocks may be steered apart by a little.
        let steered = Duration::from_micros(10);
        let (begin, mut readings, mut last) = (Instant::now(), 0, None);
        while readings < 5 {
            let (before, now) = (thread_cpu(), Instant::now());
            let about = thread_cpu_about(now);
            let after = thread_cpu();
            assert!(about + steered >= before, "{about:?} before {before:?}");
            assert!(about <= after + CARRIED + steered, "{about:?} after {after:?}");
            let made = READING.with(Cell::get);
            readings += u32::from(made != last);
            last = made;
            assert!(begin.elapsed() < Duration::from_secs(30), "only {readings} readings");
        }
        assert!(begin.elapsed() >= 4 * CARRIED, "5 readings in {:?}", begin.elapsed());
    }

    #[test]
    fn a_sleeping_thread_uses_no_cpu_time() {
        let clock = CallClock::start(Duration::from_millis(20));
        // Wall time passes the deadline while the thread waits for a signal that never comes.
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_millis(60));
        assert!(clock.extend().is_ok(), "60 ms of sleep are not 20 ms of work");
    }

    #[test]
    fn a_working_thread_uses_its_cpu_time_up() {
        let clock = CallClock::start(Duration::from_millis(5));
        let begin = Instant::now();
        while clock.extend().is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(30), "the clock stands still");
        }
        assert_eq!(clock.extend(), Err(DeadlineSpent::Cpu(Duration::from_millis(5))));
    }
}
