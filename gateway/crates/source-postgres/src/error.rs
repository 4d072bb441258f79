//! What can go wrong between the gateway and PostgreSQL, with a code and a next step each.
//!
//! [`SourceError::is_transient`] tells what the source cures by connecting again from what a
//! person must decide. No error carries a row value or a secret: of a server's error only the
//! message is kept, never detail, context or statement.

use std::borrow::Cow;

use offtake_change::Lsn;
use offtake_pgoutput::DecodeError;

use crate::glob::{GlobError, literal_glob};
use crate::value::ValueError;

/// An error that the server reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{severity} {sqlstate}: {message}")]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// Five characters, see appendix A of PostgreSQL's manual.
    pub sqlstate: String,
    /// The server's primary message.
    pub message: String,
}

/// Why the source stopped or must connect again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The connection string is wrong.
    #[error("the connection string is wrong: {0}")]
    Connection(String),
    /// The server cannot be reached, or the connection broke.
    #[error("{address}: {error}")]
    Io {
        /// Host and port, or the socket.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// TLS cannot be had as `sslmode` demands.
    #[error("no TLS connection to {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What failed.
        reason: String,
    },
    /// The login cannot be done.
    #[error("the login failed: {0}")]
    Login(String),
    /// The server reported an error.
    #[error("{doing}: {error}")]
    Server {
        /// What the source was doing.
        doing: &'static str,
        /// The server's words.
        error: ServerError,
    },
    /// The server sent what the protocol does not allow here, or this version does not know.
    #[error("unexpected message from the server: {0}")]
    Protocol(String),
    /// A message over the limit.
    #[error("a message of {bytes} bytes is larger than the limit of {limit} bytes")]
    MessageTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The server is older than 14.
    #[error("PostgreSQL {0} is too old, 14 or later is needed")]
    Version(String),
    /// No logical decoding on this server.
    #[error("wal_level is {0}, logical is needed")]
    WalLevel(String),
    /// The globs match nothing.
    #[error("no table of database {database} matches {globs}")]
    NoTables {
        /// The database.
        database: String,
        /// The configured globs.
        globs: String,
    },
    /// A table of the publication that cannot be captured as it is.
    #[error("table {table}: {reason}")]
    Table {
        /// Qualified name.
        table: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A captured table has another name than before.
    #[error("table {}.{} is now {}.{}", was.0, was.1, now.0, now.1)]
    Renamed {
        /// Schema and name under which the log knows it, or that it had when the run began.
        was: (String, String),
        /// Schema and name that it has, or under which the stream tells of it.
        now: (String, String),
    },
    /// Tables are to be copied, and not all of their rows can be read.
    #[error("the role {user} cannot read {tables}: {reason}")]
    Unreadable {
        /// The connected role.
        user: String,
        /// Qualified names.
        tables: String,
        /// What keeps it from reading.
        reason: &'static str,
        /// Whether it is row-level security, and not a right that is missing.
        row_security: bool,
        /// The statement that puts it right.
        statement: String,
    },
    /// Another server than the one in the log.
    #[error(
        "the log belongs to the server with system identifier {expected}, this one has {found}"
    )]
    SystemMismatch {
        /// In the log.
        expected: String,
        /// Of the server.
        found: String,
    },
    /// Another timeline: the server was promoted or restored.
    #[error("the log was written on timeline {expected}, the server is on timeline {found}")]
    TimelineMismatch {
        /// In the log.
        expected: u32,
        /// Of the server.
        found: u32,
    },
    /// Another database, slot or publication than the one in the log.
    #[error("the log was written with {what} {expected}, the configuration names {found}")]
    IdentityMismatch {
        /// `database`, `slot` or `publication`.
        what: &'static str,
        /// In the log.
        expected: String,
        /// Configured.
        found: String,
    },
    /// There is a log, but no slot.
    #[error("replication slot {slot} does not exist, but the log has changes from it")]
    SlotMissing {
        /// Its name.
        slot: String,
    },
    /// There is a slot, but the log is empty.
    #[error("replication slot {slot} exists, but the log is empty")]
    SlotExists {
        /// Its name.
        slot: String,
    },
    /// The slot is not for pgoutput in this database.
    #[error("replication slot {slot} cannot be used: {reason}")]
    SlotUnusable {
        /// Its name.
        slot: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server gave up the write-ahead log that the slot needs.
    #[error("replication slot {slot} is lost: {reason}")]
    SlotLost {
        /// Its name.
        slot: String,
        /// The server's reason.
        reason: String,
    },
    /// Somebody confirmed more than the log has.
    #[error("replication slot {slot} is confirmed up to {confirmed}, the log ends at {durable}")]
    SlotAhead {
        /// Its name.
        slot: String,
        /// The slot's place.
        confirmed: Lsn,
        /// The log's place.
        durable: Lsn,
    },
    /// Another process reads from the slot.
    #[error("replication slot {slot} is in use by the server process {pid}")]
    SlotActive {
        /// Its name.
        slot: String,
        /// The walsender's process id; 0: not known.
        pid: i32,
    },
    /// The publication lacks tables and may not be changed.
    #[error("publication {publication} does not have {tables}: {reason}")]
    Publication {
        /// Its name.
        publication: String,
        /// Qualified names.
        tables: String,
        /// Why it was not changed.
        reason: String,
        /// The statement that puts it right.
        statement: String,
    },
    /// The publication lacks tables that it had.
    #[error(
        "publication {publication} has {tables} no more: what was written to them since then is not \
         in the stream"
    )]
    Unpublished {
        /// Its name.
        publication: String,
        /// Qualified names.
        tables: String,
    },
    /// The transaction that the log has in part is not the one that comes.
    #[error(
        "the log has the first {rows} rows of transaction {transaction} committed at {commit}, \
         the server sends {found}"
    )]
    PartialMismatch {
        /// The transaction in the log.
        transaction: String,
        /// Its commit.
        commit: Lsn,
        /// How many rows the log has.
        rows: u64,
        /// What came.
        found: String,
    },
    /// A replication message that cannot be decoded.
    #[error("at {lsn}: {error}")]
    Decode {
        /// Where it stands in the write-ahead log.
        lsn: Lsn,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A replication message where none of its kind can be.
    #[error("at {lsn}: {reason}")]
    OutOfPlace {
        /// Where it stands in the write-ahead log.
        lsn: Lsn,
        /// What came.
        reason: &'static str,
    },
    /// A row or value that cannot be decoded.
    #[error("at {lsn}: {error}")]
    Value {
        /// Where the row stands in the write-ahead log.
        lsn: Lsn,
        /// Table, column and what is wrong; never the value.
        error: ValueError,
    },
    /// The configured table globs cannot be read.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// A snapshot that has to begin again: the tables changed under it.
    #[error("the snapshot cannot be used: {0}")]
    SnapshotStale(String),
    /// Nobody takes the changes any more.
    #[error("the pipeline has ended")]
    Closed,
}

impl SourceError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            SourceError::Connection(_) => "PG_CONNECTION_STRING",
            SourceError::Io { .. } => "PG_UNREACHABLE",
            SourceError::Tls { .. } => "PG_TLS",
            SourceError::Login(_) => "PG_LOGIN",
            SourceError::Server { error, .. } => match error.sqlstate.get(..2) {
                Some("28") => "PG_LOGIN",
                Some("3D") => "PG_DATABASE_MISSING",
                _ if error.sqlstate == "42501" => "PG_RIGHTS",
                // Not in the repertoire, not translatable: the database is not in UTF-8.
                _ if matches!(error.sqlstate.as_str(), "22021" | "22P05") => "PG_INVALID_TEXT",
                _ => "PG_SERVER",
            },
            SourceError::Protocol(_) => "PG_PROTOCOL",
            SourceError::MessageTooLarge { .. } => "PG_MESSAGE_TOO_LARGE",
            SourceError::Version(_) => "PG_VERSION",
            SourceError::WalLevel(_) => "PG_WAL_LEVEL",
            SourceError::NoTables { .. } => "PG_NO_TABLES",
            SourceError::Table { .. } => "PG_TABLE",
            SourceError::Renamed { .. } => "PG_TABLE_RENAMED",
            SourceError::Unreadable { row_security: true, .. } => "PG_ROW_SECURITY",
            SourceError::Unreadable { .. } => "PG_RIGHTS",
            SourceError::SystemMismatch { .. } => "PG_SYSTEM_MISMATCH",
            SourceError::TimelineMismatch { .. } => "PG_TIMELINE_MISMATCH",
            SourceError::IdentityMismatch { .. } => "PG_IDENTITY_MISMATCH",
            SourceError::SlotMissing { .. } => "PG_SLOT_MISSING",
            SourceError::SlotExists { .. } => "PG_SLOT_EXISTS",
            SourceError::SlotUnusable { .. } => "PG_SLOT_UNUSABLE",
            SourceError::SlotLost { .. } => "PG_SLOT_LOST",
            SourceError::SlotAhead { .. } => "PG_SLOT_AHEAD",
            SourceError::SlotActive { .. } => "PG_SLOT_ACTIVE",
            SourceError::Publication { .. } => "PG_PUBLICATION",
            SourceError::Unpublished { .. } => "PG_TABLE_UNPUBLISHED",
            SourceError::PartialMismatch { .. } => "PG_PARTIAL_MISMATCH",
            SourceError::Decode { error, .. } => error.code(),
            SourceError::OutOfPlace { .. } => "PG_MESSAGE_OUT_OF_PLACE",
            SourceError::Value { error, .. } => error.code(),
            SourceError::Glob(error) => error.code(),
            SourceError::SnapshotStale(_) => "PG_SNAPSHOT_STALE",
            SourceError::Closed => "PIPELINE_CLOSED",
        }
    }

    /// What an operator does next.
    pub fn next_step(&self) -> Cow<'static, str> {
        match self {
            SourceError::Renamed { was, now } => renamed_step(was, now).into(),
            SourceError::Unreadable { statement, .. } => {
                format!("exclude them, or run as the tables' owner: {statement}").into()
            }
            SourceError::Publication { statement, .. } => {
                format!("exclude the tables, or run as its owner: {statement}").into()
            }
            other => Cow::Borrowed(other.fixed_step()),
        }
    }

    /// The next step where it names nothing of the error's own.
    fn fixed_step(&self) -> &'static str {
        match self {
            SourceError::Connection(_) => "correct `url` under [source]",
            SourceError::Io { .. } => {
                "check host, port and firewall; the source goes on by itself when the server is back"
            }
            SourceError::Tls { .. } => {
                "check sslmode and sslrootcert in `url`, and the server's certificate"
            }
            SourceError::Login(_) => server_step(self.code()),
            SourceError::Server { .. } => server_step(self.code()),
            SourceError::Protocol(_) => {
                "check that `url` names a PostgreSQL server itself, not a pooler; report it otherwise"
            }
            SourceError::MessageTooLarge { .. } => {
                "raise `max_row_bytes` under [source], then restart"
            }
            SourceError::Version(_) => "upgrade the server",
            SourceError::WalLevel(_) => {
                "set wal_level = logical in postgresql.conf and restart the server, then start \
                 Offtake again"
            }
            SourceError::NoTables { .. } => "correct `tables` and `exclude` under [source]",
            SourceError::Table { .. } => {
                "change the table as said, or name it in `exclude` under [source]"
            }
            SourceError::SystemMismatch { .. } | SourceError::TimelineMismatch { .. } => {
                "point `url` back to the server that the log was written from, or start over \
                 with `offtake resync`"
            }
            SourceError::IdentityMismatch { .. } => {
                "change the configuration back, or start over with `offtake resync`"
            }
            SourceError::SlotMissing { .. }
            | SourceError::SlotLost { .. }
            | SourceError::SlotAhead { .. } => {
                "stop the gateway, then start over with `offtake resync`: changes are missing \
                 between the log and the slot"
            }
            SourceError::SlotExists { .. } => {
                "if no other gateway uses it, start over with `offtake resync`, or drop it with \
                 `offtake slot drop`; otherwise restore the log's folder or choose another `slot`"
            }
            SourceError::SlotUnusable { .. } => "choose another `slot` under [source]",
            SourceError::SlotActive { .. } => {
                "stop the other reader (pg_terminate_backend ends it), or choose another `slot`"
            }
            SourceError::Renamed { .. }
            | SourceError::Unreadable { .. }
            | SourceError::Publication { .. } => "see `next_step`",
            SourceError::Unpublished { .. } => {
                "add them to the publication again and start over with `offtake resync`; or exclude \
                 them under [source]: taken in again later, a table is copied anew"
            }
            SourceError::PartialMismatch { .. } => "start over with `offtake resync`",
            SourceError::Decode { error, .. } => error.next_step(),
            SourceError::OutOfPlace { .. } => {
                "restart; if it stays, report it with the server's version: nothing past it was \
                 acknowledged"
            }
            SourceError::Value { error, .. } => error.next_step(),
            SourceError::Glob(error) => error.next_step(),
            SourceError::SnapshotStale(_) => "none: the snapshot is taken again",
            SourceError::Closed => "none: the gateway is stopping",
        }
    }

    /// Whether connecting again may cure it.
    pub fn is_transient(&self) -> bool {
        match self {
            SourceError::Io { .. } | SourceError::SnapshotStale(_) => true,
            SourceError::Server { error, .. } => error.is_transient(),
            _ => false,
        }
    }
}

/// What an operator does next about a table that has another name. Each way works by itself.
fn renamed_step(was: &(String, String), now: &(String, String)) -> String {
    let (was, now) = (literal_glob(&was.0, &was.1), literal_glob(&now.0, &now.1));
    format!(
        "rename it back to {was}, and the next start goes on by itself; or keep the name: write \
         '{now}' into `tables` and '{was}' into `exclude` under [source], and the new name into \
         the routes and plugins that had the old one (a plugin that protects it included), and the \
         next start copies it whole under its new name; or start over with `offtake resync`"
    )
}

/// What an operator does next about an error that the server reported.
fn server_step(code: &str) -> &'static str {
    match code {
        "PG_LOGIN" => "check user, password and pg_hba.conf, then start Offtake again",
        "PG_DATABASE_MISSING" => "correct the database in `url` under [source]",
        "PG_RIGHTS" => {
            "grant the user REPLICATION, SELECT on the tables and CREATE on the database, or \
             create the publication yourself; `offtake check` lists what is missing"
        }
        "PG_INVALID_TEXT" => {
            "correct the text in the database, or leave the table out (exclude) and start over \
             with `offtake resync`; nothing after this row was acknowledged"
        }
        _ => "see the server's log; `offtake check` looks at the common causes",
    }
}

impl ServerError {
    /// Whether the server says that it is the moment, not the request.
    fn is_transient(&self) -> bool {
        // 08 connection, 53 resources, 40 rollback; shutdown, crash, starting up, cancelled;
        // object in use, lock not available, idle session ended by the server.
        self.sqlstate.starts_with("08")
            || self.sqlstate.starts_with("53")
            || self.sqlstate.starts_with("40")
            || matches!(
                self.sqlstate.as_str(),
                "57P01" | "57P02" | "57P03" | "57P05" | "57014" | "55006" | "55P03" | "25P03"
            )
    }

    /// Reads the fields of an `ErrorResponse` (chapter 55.8 of the manual).
    pub(crate) fn parse(body: &[u8]) -> ServerError {
        let mut error = ServerError {
            severity: "ERROR".to_owned(),
            sqlstate: "XX000".to_owned(),
            message: String::new(),
        };
        let mut context = String::new();
        for field in body.split(|&byte| byte == 0) {
            let Some((code, text)) = field.split_first() else { continue };
            let text = || String::from_utf8_lossy(text).into_owned();
            match code {
                b'V' => error.severity = text(),
                b'C' => error.sqlstate = text(),
                b'M' => error.message = text(),
                b'W' => context = text(),
                _ => {}
            }
        }
        // The message of an error about a value (class 22) repeats the value or its bytes. 22023 is
        // about an option of ours.
        if error.sqlstate.starts_with("22") && error.sqlstate != "22023" {
            error.message = match error.sqlstate.as_str() {
                "22021" => "a text has bytes that its encoding does not allow",
                "22P05" => "a text has a character without a counterpart in UTF-8",
                _ => "a value cannot be processed",
            }
            .to_owned();
        }
        // Of the context only the place in the log, which is no value.
        if let Some((_, place)) = context.rsplit_once("associated LSN ") {
            let place: String = place
                .chars()
                .take_while(|character| character.is_ascii_hexdigit() || *character == '/')
                .collect();
            error.message.push_str(&format!(" (at {place})"));
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_about_a_value_are_not_repeated() {
        for (sqlstate, words) in [
            ("22021", "invalid byte sequence for encoding \"UTF8\": 0xff 0x41"),
            ("22P05", "character with byte sequence 0xff 0x41 has no equivalent"),
            ("22P02", "invalid input syntax for type integer: \"0xff\""),
        ] {
            let body = format!(
                "SERROR\0VERROR\0C{sqlstate}\0M{words}\0Wslot \"s\", in the change callback, \
                 associated LSN 0/1A2B3C\0\0"
            );
            let error = ServerError::parse(body.as_bytes());
            assert!(!error.message.contains("0xff"), "{error}");
            assert!(error.message.ends_with("(at 0/1A2B3C)"), "{error}");
            assert_eq!(error.sqlstate, sqlstate);
        }
        let error = ServerError::parse(b"VERROR\0C42P01\0Mrelation \"t\" does not exist\0\0");
        assert!(error.message.contains("\"t\""), "other words are");
    }

    #[test]
    fn a_renamed_table_has_a_step_that_can_be_copied() {
        let name = |name: &str| ("public".to_owned(), name.to_owned());
        let error = SourceError::Renamed { was: name("a"), now: name("b.c") };
        assert_eq!(error.to_string(), "table public.a is now public.b.c");
        let step = error.next_step();
        assert!(
            step.contains("back to public.a") && step.contains(r#"'public."b.c"' into `tables`"#)
        );
    }
}
