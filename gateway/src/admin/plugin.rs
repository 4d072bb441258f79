//! A plugin in the status: which one it is, what it has done, and what it may take.

use std::sync::atomic::{AtomicU64, Ordering};

use offtake_state::Usage;
use serde::Serialize;

use crate::pipeline::{Configured, hexadecimal};

/// A plugin.
#[derive(Clone, Debug, Serialize)]
pub struct PluginView {
    /// Name in the configuration.
    pub name: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// Changes handed to it.
    pub changes: u64,
    /// Time spent in it.
    pub nanoseconds: u64,
    /// Changes that it made of others.
    pub emitted: u64,
    /// Changes that it failed at.
    pub failed: u64,
    /// Instances that were replaced after a fault.
    pub restarts: u64,
    /// What becomes of a change that it fails at.
    pub on_error: &'static str,
    /// What it may take.
    pub limits: LimitsView,
    /// What it keeps; null: it keeps no state.
    pub state: Option<StateView>,
}

/// What a plugin keeps.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StateView {
    /// Entries.
    pub keys: u64,
    /// What they weigh, in bytes: as they count against the quota.
    pub bytes: u64,
    /// What they may weigh.
    pub quota: u64,
}

/// The limits of one instance, by their keys in the configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LimitsView {
    /// CPU time of one call.
    pub deadline_ms: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// Stack of one call, in bytes.
    pub stack: u64,
    /// Elements of the tables.
    pub table: u64,
    /// What one call may put out, in bytes.
    pub output: u64,
    /// Rows emitted for one change.
    pub fan_out: u32,
    /// Calls of the host during one call.
    pub host_calls: u32,
    /// Log lines a second.
    pub log_lines: u32,
    /// CPU time of finding the changes at which one call failed.
    pub isolation_ms: u64,
    /// Per cent of the changes that may fail; null: any number.
    pub breaker_percent: Option<u8>,
}

impl From<&Configured> for PluginView {
    fn from(configured: &Configured) -> PluginView {
        let Configured { plugin, counters, policy, .. } = configured;
        let limits = plugin.limits();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let milliseconds =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        PluginView {
            name: plugin.name().to_owned(),
            digest: hexadecimal(&plugin.digest()),
            changes: count(&counters.changes),
            nanoseconds: count(&counters.nanoseconds),
            emitted: count(&counters.emitted),
            failed: count(&counters.failed),
            restarts: count(&counters.restarts),
            on_error: policy.on_error.word(),
            limits: LimitsView {
                deadline_ms: milliseconds(limits.deadline),
                memory: limits.memory_bytes as u64,
                stack: limits.stack_bytes as u64,
                table: limits.table_elements as u64,
                output: limits.output_bytes as u64,
                fan_out: limits.fan_out,
                host_calls: limits.host_calls,
                log_lines: limits.log_lines_per_second,
                isolation_ms: milliseconds(limits.isolation),
                breaker_percent: policy.breaker_percent,
            },
            state: plugin.state().map(|state| {
                let Usage { keys, bytes, quota } = state.usage();
                StateView { keys, bytes, quota }
            }),
        }
    }
}
