//! What a plugin may take: the limits of an instance, and the part that wasmtime asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Core instances, tables and memories that one component may be made of.
const CORE_PARTS: usize = 64;

/// Limits of one instance of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of the calling thread that one call with changes may take.
    pub deadline: Duration,
    /// CPU time that starting, configuring and answering one schema may take, each.
    pub setup_deadline: Duration,
    /// Linear memory, all of the instance's memories together.
    pub memory_bytes: usize,
    /// Stack of a call. The calling thread needs as much, and some for the host itself.
    pub stack_bytes: usize,
    /// Elements of all of the instance's tables together: the functions that it calls by number.
    pub table_elements: usize,
    /// What the plugin may hand to the host in one verdict or one host call, in bytes of the host's
    /// representation.
    pub output_bytes: usize,
    /// Calls of the host (log lines, metrics) during one call of the plugin.
    pub host_calls: u32,
    /// Log lines a second; the rest is counted and left out.
    pub log_lines_per_second: u32,
    /// Rows that the plugin may emit for one change.
    pub fan_out: u32,
    /// CPU time of the calling thread that finding the changes may take at which one call failed.
    pub isolation: Duration,
    /// Streams that no row may be sent to: those that only the gateway writes.
    pub reserved_streams: Arc<[String]>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            deadline: Duration::from_millis(100),
            setup_deadline: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            stack_bytes: 512 << 10,
            table_elements: 200_000,
            output_bytes: 16 << 20,
            host_calls: 10_000,
            log_lines_per_second: 100,
            fan_out: 100,
            isolation: Duration::from_secs(5),
            reserved_streams: Arc::default(),
        }
    }
}

/// The plugin wanted more memory, or larger tables, than it may have.
#[derive(Debug)]
pub(crate) struct MemoryExceeded {
    what: &'static str,
    wanted: usize,
    limit: usize,
}

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "it wanted {} {}, and may have {}", self.wanted, self.what, self.limit)
    }
}

impl std::error::Error for MemoryExceeded {}

/// Counts what an instance holds. wasmtime's own limiter bounds each memory alone; a component may
/// have several, so this one bounds their sum.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: usize,
    used: usize,
    table_limit: usize,
    table_elements: usize,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &Limits) -> MemoryLimiter {
        MemoryLimiter {
            limit: limits.memory_bytes,
            used: 0,
            table_limit: limits.table_elements,
            table_elements: 0,
        }
    }

    /// Bytes that are held now.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            let what = "bytes of memory";
            return Err(MemoryExceeded { what, wanted, limit: self.limit }.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.table_elements.saturating_add(desired.saturating_sub(current));
        if wanted > self.table_limit {
            let what = "elements of its tables";
            return Err(MemoryExceeded { what, wanted, limit: self.table_limit }.into());
        }
        self.table_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_PARTS
    }

    fn tables(&self) -> usize {
        CORE_PARTS
    }

    fn memories(&self) -> usize {
        CORE_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_bounded_together() {
        let limits = Limits { memory_bytes: 1 << 20, table_elements: 100, ..Limits::default() };
        let mut limiter = MemoryLimiter::new(&limits);
        assert!(limiter.memory_growing(0, 600 << 10, None).is_ok());
        assert!(limiter.memory_growing(600 << 10, 700 << 10, None).is_ok());
        assert!(limiter.memory_growing(0, 400 << 10, None).is_err(), "a second memory");
        assert!(limiter.memory_growing(0, 300 << 10, None).is_ok());
        assert!(limiter.table_growing(0, 60, None).is_ok());
        let refused = limiter.table_growing(0, 41, None).unwrap_err().to_string();
        assert_eq!(refused, "it wanted 101 elements of its tables, and may have 100");
    }
}
