//! What can go wrong with the log, with a stable code and a next step for each.
//!
//! Full is not here: a log without space is blocked, which is a state of [`crate::LogStats`] and
//! ends by itself.

use std::io;
use std::sync::Arc;

/// Bytes that are not what the log wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {what}")]
pub struct Damage {
    /// File in the log's folder.
    pub file: String,
    /// Byte offset in it.
    pub offset: u64,
    /// What was found.
    pub what: &'static str,
}

/// Why a log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process writes this log.
    #[error("the log folder {dir} is in use by another process")]
    Locked {
        /// The folder.
        dir: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// File in the log's folder.
        file: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Damage in the middle, a missing segment, or a gap in the sequence.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Written by a later version.
    #[error("{file} has format version {version}, this program reads up to {supported}")]
    Version {
        /// File in the log's folder.
        file: String,
        /// Version found.
        version: u16,
        /// Newest version that can be read.
        supported: u16,
    },
    /// A control record of a later version that must not be skipped.
    #[error(
        "{file} has a control record of unknown kind {kind} at byte {offset}, and it is critical"
    )]
    UnknownRecord {
        /// File in the log's folder.
        file: String,
        /// Byte offset of its group.
        offset: u64,
        /// Kind found.
        kind: u16,
    },
    /// A group is larger than the format allows.
    #[error("a group of {bytes} bytes exceeds the log's limit of {limit}")]
    GroupTooLarge {
        /// Size of the group.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An option has a value that cannot be.
    #[error("log option {option}: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The log was closed while a group waited for space.
    #[error("the log is closed")]
    Closed,
    /// The writer thread stopped earlier; nothing further becomes durable.
    #[error("the log's writer has stopped: {0}")]
    Stopped(Arc<LogError>),
}

impl LogError {
    pub(crate) fn io(
        action: &'static str,
        file: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError::Io { action, file: file.into(), source }
    }

    /// Whether the disk or the quota is full: the log waits then, it does not fail.
    pub fn is_disk_full(&self) -> bool {
        match self {
            LogError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            LogError::Locked { .. } => "LOG_LOCKED",
            LogError::Io { .. } => "LOG_IO",
            LogError::Damaged(_) => "LOG_DAMAGED",
            LogError::Version { .. } => "LOG_VERSION",
            LogError::UnknownRecord { .. } => "LOG_UNKNOWN_RECORD",
            LogError::GroupTooLarge { .. } => "LOG_GROUP_TOO_LARGE",
            LogError::Option { .. } => "LOG_OPTION",
            LogError::Closed => "LOG_CLOSED",
            LogError::Stopped(cause) => cause.code(),
        }
    }

    /// What an operator can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            LogError::Locked { .. } => {
                "stop the other process, or give this one a folder of its own"
            }
            LogError::Io { .. } => "check the folder's file system and rights, then start again",
            LogError::Damaged(_) => {
                "restore the folder from a copy, or start over with `offtake resync`"
            }
            LogError::Version { .. } | LogError::UnknownRecord { .. } => {
                "run the version of offtake that wrote this log, or a later one"
            }
            LogError::GroupTooLarge { .. } => "lower the source's max_row_bytes",
            LogError::Option { .. } => "correct the [log] section of the configuration",
            LogError::Closed => "start the pipeline again",
            LogError::Stopped(cause) => cause.next_step(),
        }
    }
}

/// Why a reader cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What follows the place asked for is no longer held.
    #[error("the log no longer holds what follows that place; it begins at sequence {earliest}")]
    TooOld {
        /// First sequence still held.
        earliest: u64,
    },
    /// The place asked for is past the end.
    #[error("that place is past the log's end at sequence {latest}")]
    Ahead {
        /// Last durable sequence.
        latest: u64,
    },
    /// Bytes that are not what the log wrote.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A control record of a later version that must not be skipped.
    #[error(
        "{file} has a control record of unknown kind {kind} at byte {offset}, and it is critical"
    )]
    UnknownRecord {
        /// File in the log's folder.
        file: String,
        /// Byte offset of its group.
        offset: u64,
        /// Kind found.
        kind: u16,
    },
    /// The operating system refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// File in the log's folder.
        file: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl ReadError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ReadError::TooOld { .. } => "LOG_CURSOR_TOO_OLD",
            ReadError::Ahead { .. } => "LOG_CURSOR_AHEAD",
            ReadError::Damaged(_) => "LOG_DAMAGED",
            ReadError::UnknownRecord { .. } => "LOG_UNKNOWN_RECORD",
            ReadError::Io { .. } => "LOG_IO",
        }
    }

    /// What an operator can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            ReadError::TooOld { .. } => {
                "start from the earliest sequence, or read the tables again"
            }
            ReadError::Ahead { .. } => {
                "the cursor is of another log; start from one that this log gave"
            }
            ReadError::Damaged(_) => {
                "restore the folder from a copy, or start over with `offtake resync`"
            }
            ReadError::UnknownRecord { .. } => {
                "run the version of offtake that wrote this log, or a later one"
            }
            ReadError::Io { .. } => "check the folder's file system and rights, then start again",
        }
    }
}
