//! What a plugin can ask of the host: log lines and metrics of its own, all within limits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_state::{Keyspace, StateError};

use crate::abi::WasiState;
use crate::bindings::offtake::transform::{host, state, types};
use crate::clock::CallClock;
use crate::fault::guest_text;
use crate::limits::{Limits, MemoryLimiter};

/// Longest log line, in bytes.
pub(crate) const LINE_BYTES: usize = 4096;
/// Metrics that a plugin may register.
const METRICS: usize = 64;
/// Longest name of a metric.
const METRIC_NAME_BYTES: usize = 64;
/// The id given for a metric that is not kept.
const NO_METRIC: u32 = u32::MAX;

/// What a plugin counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// Observed values, kept as their number and sum.
    Histogram,
}

/// A metric that a plugin registered, with its present value.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomMetric {
    /// Name: lower-case ASCII letters, digits and `_`.
    pub name: String,
    /// Counter or histogram.
    pub kind: MetricKind,
    /// Additions or observations so far.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// Everything that belongs to one instance, in the store beside it.
pub(crate) struct HostState {
    pub(crate) memory: MemoryLimiter,
    pub(crate) clock: CallClock,
    pub(crate) phase: Phase,
    /// The last line at the error level during this call: a panic's message, mostly.
    pub(crate) last_error: Option<String>,
    pub(crate) metrics: Vec<CustomMetric>,
    /// What stands in for WASI, of a core module.
    pub(crate) wasi: WasiState,
    /// What its state answered to a core module, which has not read it yet.
    pub(crate) state_answer: Option<Vec<u8>>,
    /// What may be made of what a core module hands over at once, in bytes of the host's memory.
    pub(crate) output_bytes: usize,
    plugin: Arc<str>,
    /// What the plugin keeps, where it may.
    state: Option<Keyspace>,
    protects: bool,
    host_calls_left: u32,
    lines: LineLimiter,
}

/// What the instance is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Start and configuration.
    Configure,
    /// A schema.
    Schema,
    /// Changes.
    Process,
}

/// The plugin called the host too often.
#[derive(Debug)]
pub(crate) struct HostCallsExceeded;

impl fmt::Display for HostCallsExceeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("it called the host too often during one call")
    }
}

impl std::error::Error for HostCallsExceeded {}

impl HostState {
    pub(crate) fn new(plugin: &Arc<str>, limits: &Limits, state: Option<Keyspace>) -> HostState {
        HostState {
            memory: MemoryLimiter::new(limits),
            clock: CallClock::start(limits.setup_deadline),
            phase: Phase::Configure,
            last_error: None,
            metrics: Vec::new(),
            wasi: WasiState::default(),
            state_answer: None,
            output_bytes: limits.output_bytes,
            plugin: Arc::clone(plugin),
            state,
            protects: false,
            host_calls_left: limits.host_calls,
            lines: LineLimiter::new(limits.log_lines_per_second),
        }
    }

    /// Makes ready for a call.
    pub(crate) fn begin(&mut self, phase: Phase, clock: CallClock, limits: &Limits) {
        self.phase = phase;
        self.clock = clock;
        self.last_error = None;
        self.state_answer = None;
        self.host_calls_left = limits.host_calls;
    }

    /// From here on the plugin's texts are not repeated while it handles changes.
    pub(crate) fn keep_secret(&mut self) {
        self.protects = true;
    }

    /// Counts a call of the host that costs something, if there is time for it.
    pub(crate) fn count_call(&mut self) -> wasmtime::Result<()> {
        self.clock.check()?;
        match self.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.host_calls_left = left;
                Ok(())
            }
            None => Err(HostCallsExceeded.into()),
        }
    }

    /// Writes a log line, if the rate allows it.
    pub(crate) fn write_line(&mut self, level: host::Level, message: String) {
        let Some(left_out) = self.lines.admit(Instant::now()) else { return };
        let level = match level {
            host::Level::Trace => "trace",
            host::Level::Debug => "debug",
            host::Level::Info => "info",
            host::Level::Warn => "warn",
            host::Level::Error => "error",
        };
        let plugin = &*self.plugin;
        if self.protects && self.phase == Phase::Process {
            // The line might repeat what the plugin is there to hide.
            tracing::debug!(
                plugin,
                level,
                bytes = message.len(),
                left_out,
                "plugin log line withheld"
            );
        } else {
            let line = one_line(message);
            tracing::debug!(plugin, level, line, left_out, "plugin log line");
        }
    }

    /// Registers a metric. After the configuration, or beyond the limit, or with a bad name, it is
    /// not kept: a metric is no reason to stop changes.
    fn register(&mut self, name: &str, kind: MetricKind) -> u32 {
        let known = self.metrics.iter().position(|metric| metric.name == name);
        if let Some(at) = known {
            let same = self.metrics[at].kind == kind;
            return if same { at as u32 } else { NO_METRIC };
        }
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let good = !name.is_empty() && name.len() <= METRIC_NAME_BYTES && name.bytes().all(word);
        if self.phase != Phase::Configure || !good || self.metrics.len() >= METRICS {
            return NO_METRIC;
        }
        self.metrics.push(CustomMetric { name: name.to_owned(), kind, count: 0, sum: 0.0 });
        (self.metrics.len() - 1) as u32
    }

    fn record(&mut self, id: u32, kind: MetricKind, count: u64, value: f64) {
        if let Some(metric) = self.metrics.get_mut(id as usize)
            && metric.kind == kind
        {
            metric.count = metric.count.saturating_add(count);
            metric.sum += value;
        }
    }
}

impl types::Host for HostState {}

impl host::Host for HostState {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.count_call()?;
        if level == host::Level::Error {
            self.last_error = Some(guest_text(&message));
        }
        self.write_line(level, message);
        Ok(())
    }

    fn counter(&mut self, name: String) -> wasmtime::Result<u32> {
        self.count_call()?;
        Ok(self.register(&name, MetricKind::Counter))
    }

    fn histogram(&mut self, name: String) -> wasmtime::Result<u32> {
        self.count_call()?;
        Ok(self.register(&name, MetricKind::Histogram))
    }

    fn add(&mut self, id: u32, delta: u32) -> wasmtime::Result<()> {
        self.count_call()?;
        self.record(id, MetricKind::Counter, 1, delta.into());
        Ok(())
    }

    fn observe(&mut self, id: u32, value: f64) -> wasmtime::Result<()> {
        self.count_call()?;
        if value.is_finite() {
            self.record(id, MetricKind::Histogram, 1, value);
        }
        Ok(())
    }
}

impl HostState {
    /// What the plugin keeps. There is none for one that may not have it, whatever it imports.
    fn kept(&mut self) -> wasmtime::Result<&Keyspace> {
        self.count_call()?;
        Ok(self.state.as_ref().ok_or(StateError::OutsideCall)?)
    }
}

impl state::Host for HostState {
    fn get_many(&mut self, keys: Vec<Vec<u8>>) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        Ok(self.kept()?.get(&keys)?)
    }

    fn put_many(
        &mut self,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<()> {
        Ok(self.kept()?.put(&entries, ttl_seconds)?)
    }

    fn delete_many(&mut self, keys: Vec<Vec<u8>>) -> wasmtime::Result<()> {
        Ok(self.kept()?.delete(&keys)?)
    }
}

/// A guest's line must not look like several of ours, nor steer a terminal.
fn one_line(mut message: String) -> String {
    let cut = (0..=message.len().min(LINE_BYTES)).rev().find(|&at| message.is_char_boundary(at));
    message.truncate(cut.unwrap_or(0));
    if message.chars().any(char::is_control) {
        message = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    message
}

/// So many lines in each second.
struct LineLimiter {
    per_second: u32,
    second_began: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl LineLimiter {
    fn new(per_second: u32) -> LineLimiter {
        LineLimiter { per_second, second_began: None, written: 0, left_out: 0 }
    }

    /// Whether a line may be written, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let fresh = self
            .second_began
            .is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1));
        if fresh {
            self.second_began = Some(now);
            self.written = 0;
        }
        if self.written >= self.per_second {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_rate_are_counted_not_written() {
        let mut lines = LineLimiter::new(2);
        let now = Instant::now();
        assert_eq!(lines.admit(now), Some(0));
        assert_eq!(lines.admit(now), Some(0));
        assert_eq!(lines.admit(now), None);
        assert_eq!(lines.admit(now), None);
        assert_eq!(lines.admit(now + Duration::from_secs(1)), Some(2));
        assert_eq!(lines.admit(now + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn metrics_are_registered_while_configuring_and_bounded() {
        let mut state = HostState::new(&Arc::from("p"), &Limits::default(), None);
        assert_eq!(state.register("rows_masked", MetricKind::Counter), 0);
        assert_eq!(state.register("rows_masked", MetricKind::Counter), 0);
        assert_eq!(state.register("rows_masked", MetricKind::Histogram), NO_METRIC);
        assert_eq!(state.register("bad name", MetricKind::Counter), NO_METRIC);
        for at in 1..METRICS {
            assert_eq!(state.register(&format!("m{at}"), MetricKind::Histogram), at as u32);
        }
        assert_eq!(state.register("one_more", MetricKind::Counter), NO_METRIC);
        state.record(0, MetricKind::Counter, 1, 5.0);
        state.record(NO_METRIC, MetricKind::Counter, 1, 5.0);
        assert_eq!(state.metrics[0].sum, 5.0);
    }

    #[test]
    fn a_line_is_cut_at_a_character_and_has_no_control_characters() {
        let line = one_line("é".repeat(LINE_BYTES));
        assert_eq!(line.len(), LINE_BYTES);
        assert_eq!(one_line("a\r\nb".to_owned()), "a  b");
    }
}
