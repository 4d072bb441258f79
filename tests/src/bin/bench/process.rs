//! What processes cost: CPU seconds and peak memory out of `/proc`, sampled while a system works,
//! and child processes that say on standard output where they are.
//!
//! A process that ends takes its figures with it, so a thread reads them every few milliseconds and
//! keeps the last. Server processes are found as the children of the server's first one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// Between two readings of the processes that are known.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Between two looks for server processes that are new.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// This program, also where a build has replaced its file meanwhile.
pub const OWN_BINARY: &str = "/proc/self/exe";

/// Now, in nanoseconds since the Unix epoch: what processes of one machine compare.
pub fn now_unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory, in bytes.
    pub peak_bytes: u64,
}

/// Reads a process' figures; `None` once it is gone.
pub fn usage(pid: u32) -> Option<Usage> {
    let cpu_seconds = cpu_of(&format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = peak.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Some(Usage { cpu_seconds, peak_bytes: kib.unwrap_or(0) << 10 })
}

/// CPU seconds of a process' threads by their name, threads of the same name together.
pub fn threads(pid: u32) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return sums };
    for task in tasks.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let stat = task.path().join("stat");
        if let Some(seconds) = cpu_of(&stat.to_string_lossy()) {
            *sums.entry(name.trim().to_owned()).or_insert(0.0) += seconds;
        }
    }
    sums.retain(|_, seconds| *seconds >= 0.02);
    sums
}

fn cpu_of(stat: &str) -> Option<f64> {
    let stat = fs::read_to_string(stat).ok()?;
    // The name in parentheses may hold blanks; fields are counted after it.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.ok().and_then(|text| text.parse().ok()).unwrap_or(100.0)
    })
}

/// Bytes that a process has written, to files and devices alike.
pub fn bytes_written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

/// Whether a process has ended, reaped or not.
pub fn ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rfind(')').and_then(|end| stat.get(end + 2..end + 3));
    state.is_none_or(|state| state == "Z")
}

/// Direct children of this process whose command line holds the text.
pub fn child_with(text: &str) -> Option<u32> {
    processes().find(|pid| is_child(*pid, std::process::id()) && title(*pid).contains(text))
}

fn is_child(pid: u32, of: u32) -> bool {
    let parent = format!("PPid:\t{of}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line == parent)
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// One process while it is watched.
#[derive(Clone, Copy, Debug)]
struct Watched {
    before: f64,
    last: Usage,
}

#[derive(Debug)]
struct Seen {
    /// By the name that it is reported under, then by process id.
    processes: BTreeMap<String, BTreeMap<u32, Watched>>,
}

/// Watches processes until it is asked for their sums.
#[derive(Debug)]
pub struct Sampler {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Watches the processes of the database server with this first process, under the names
    /// `walsender` and `server` (all others). What they used before does not count.
    pub fn start(server: u32) -> Sampler {
        let seen = Arc::new(Mutex::new(Seen { processes: BTreeMap::new() }));
        let stop = Arc::new(AtomicBool::new(false));
        look(&mut seen.lock().expect("no holder panics"), server, false);
        let (kept, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut looked = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(SAMPLE_EVERY);
                let mut seen = kept.lock().expect("no holder panics");
                if looked.elapsed() >= LOOK_EVERY {
                    look(&mut seen, server, true);
                    looked = Instant::now();
                }
                read(&mut seen);
            }
        });
        Sampler { seen, stop, thread: Some(thread) }
    }

    /// Watches a process as well; what it used before does not count.
    pub fn watch(&self, name: &str, pid: u32) {
        let before = usage(pid).unwrap_or_default();
        self.add(name, pid, Watched { before: before.cpu_seconds, last: before });
    }

    /// Watches a process from its very start.
    pub fn watch_new(&self, name: &str, pid: u32) {
        self.add(name, pid, Watched { before: 0.0, last: usage(pid).unwrap_or_default() });
    }

    fn add(&self, name: &str, pid: u32, watched: Watched) {
        let mut seen = self.seen.lock().expect("no holder panics");
        seen.processes.entry(name.to_owned()).or_default().insert(pid, watched);
    }

    /// Reads once more and gives each name's CPU seconds and peak memory.
    pub fn finish(mut self) -> BTreeMap<String, Usage> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let mut seen = self.seen.lock().expect("no holder panics");
        read(&mut seen);
        let sum = |processes: &BTreeMap<u32, Watched>| {
            processes.values().fold(Usage::default(), |sum, process| Usage {
                cpu_seconds: sum.cpu_seconds + process.last.cpu_seconds - process.before,
                peak_bytes: sum.peak_bytes.max(process.last.peak_bytes),
            })
        };
        seen.processes.iter().map(|(name, processes)| (name.clone(), sum(processes))).collect()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read(seen: &mut Seen) {
    for processes in seen.processes.values_mut() {
        for (pid, process) in processes.iter_mut() {
            // The id of an ended process is not used again this soon; its last figures stay. An
            // ended process that nobody has waited for has lost its memory, not its time.
            if let Some(usage) = usage(*pid) {
                process.last.cpu_seconds = usage.cpu_seconds;
                process.last.peak_bytes = process.last.peak_bytes.max(usage.peak_bytes);
            }
        }
    }
}

fn look(seen: &mut Seen, server: u32, started_since: bool) {
    for pid in processes().filter(|pid| is_child(*pid, server)) {
        let name = if title(pid).contains("walsender") { "walsender" } else { "server" };
        if !seen.processes.values().any(|known| known.contains_key(&pid)) {
            let last = usage(pid).unwrap_or_default();
            let before = if started_since { 0.0 } else { last.cpu_seconds };
            let watched = Watched { before, last };
            seen.processes.entry(name.to_owned()).or_default().insert(pid, watched);
        }
    }
}

/// A child process that reports by lines `word rest…` and ends when its standard input does.
#[derive(Debug)]
pub struct Talker {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Talker {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(mut command: Command) -> Result<Talker> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let output = child.stdout.take().context("standard output is piped")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Talker { child, lines })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that begins with `word` and gives the words after it.
    ///
    /// # Errors
    /// The process ended or the time passed before.
    pub fn wait_for(&self, word: &str, timeout: Duration) -> Result<Vec<String>> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(error) => bail!("process {} did not say {word:?}: {error}", self.pid()),
            };
            let mut words = line.split_whitespace();
            if words.next() == Some(word) {
                return Ok(words.map(str::to_owned).collect());
            }
            if line.starts_with("failed") {
                bail!("process {}: {line}", self.pid());
            }
        }
    }

    /// As [`Talker::wait_for`], for a line whose first word is a number.
    ///
    /// # Errors
    /// As there, or there is no number.
    pub fn wait_for_number(&self, word: &str, timeout: Duration) -> Result<u64> {
        let words = self.wait_for(word, timeout)?;
        words.first().and_then(|word| word.parse().ok()).context("a number was expected")
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
