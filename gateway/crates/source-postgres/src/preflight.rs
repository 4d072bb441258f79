//! What `offtake check` says about the live database, before anything is created.
//!
//! The facts are read first (`preflight/facts.rs`) and judged without a connection
//! (`preflight/judge.rs`), so that every verdict has a test that needs no server. Rights are found
//! out by trying, not by role flags, for managed databases give them otherwise. Nothing here
//! creates, alters or drops anything.

mod absent;
mod facts;
mod judge;
mod judge_tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use offtake_change::TableSchema;

use crate::SourceError;
use crate::catalog::Table;
use crate::progress::Resume;
use crate::run::SourceOptions;
use crate::session::Session;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// The pipeline would halt or not start.
    Error,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, such as `slot`.
    pub item: String,
    /// How bad it is.
    pub level: Level,
    /// A stable code, such as `PG_SLOT_MISSING`; empty for what is as it should be.
    pub code: &'static str,
    /// What was found. Holds no row value and no secret.
    pub text: String,
    /// What to do; empty for what is as it should be.
    pub next_step: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn ok(item: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding {
            item: item.into(),
            level: Level::Ok,
            code: "",
            text: text.into(),
            next_step: String::new(),
        }
    }

    /// Something that works and should be known.
    pub fn warning(
        item: impl Into<String>,
        code: &'static str,
        text: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Finding {
        Finding {
            item: item.into(),
            level: Level::Warning,
            code,
            text: text.into(),
            next_step: next_step.into(),
        }
    }

    /// Something that has to be put right.
    pub fn error(
        item: impl Into<String>,
        code: &'static str,
        text: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Error, ..Finding::warning(item, code, text, next_step) }
    }

    /// The error that the source itself would end with.
    pub(crate) fn from_error(item: impl Into<String>, error: &SourceError) -> Finding {
        Finding::error(item, error.code(), error.to_string(), error.next_step())
    }
}

/// What was found about the database.
#[derive(Clone, Debug, Default)]
pub struct Preflight {
    /// The report, in the order in which it is read.
    pub findings: Vec<Finding>,
    /// The tables that would be captured; empty when the server could not be asked.
    pub tables: Vec<Table>,
    /// What the source would hand over of these tables at its start, in the same order.
    pub definitions: Vec<Arc<TableSchema>>,
    /// Bytes that the initial snapshot would read; 0 when there is nothing to read.
    pub snapshot_bytes: u64,
    /// What `tables` names and the database has not.
    absent: absent::Absent,
}

impl Preflight {
    /// Whether every captured table goes somewhere, and no two into one stream. `streams` gives the
    /// names of the streams that a table's changes go to.
    pub fn judge_routes(&self, streams: impl Fn(&str, &str) -> Vec<String>) -> Vec<Finding> {
        judge_tables::routes(&self.tables, streams)
    }

    /// A warning for each table that is named without a wildcard and is not there. `nearest` gives
    /// the nearest of the names to a name, when one is near enough to be meant.
    pub fn judge_absent(&self, nearest: impl Fn(&str, &[&str]) -> Option<String>) -> Vec<Finding> {
        absent::judge(&self.absent, nearest)
    }
}

/// Looks at the database that the options name. `create_publication`: whether the gateway may
/// create the publication and add tables to it.
pub async fn check(
    options: &SourceOptions,
    resume: &Resume,
    create_publication: bool,
) -> Preflight {
    let mut preflight = Preflight::default();
    let mut session = match Session::connect(&options.connect).await {
        Ok(session) => session,
        Err(error) => {
            preflight.findings.push(Finding::from_error("connection", &error));
            return preflight;
        }
    };
    let facts = facts::read(&mut session, options, resume).await;
    session.close().await;
    match facts {
        Ok(facts) => {
            preflight.findings = judge::judge(&facts, options, resume, create_publication);
            preflight.snapshot_bytes = judge_tables::snapshot_bytes(&facts, options, resume);
            preflight.absent = judge_tables::not_renamed(&facts, resume);
            preflight.tables = facts.tables;
            preflight.definitions = facts.definitions;
        }
        Err(stopped) => {
            preflight.findings.extend(stopped.before);
            preflight.findings.push(Finding::from_error(stopped.item, &stopped.error));
        }
    }
    preflight
}
