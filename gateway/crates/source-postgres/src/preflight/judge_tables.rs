//! The verdict on the tables, and on where their changes go.

use std::collections::BTreeMap;

use super::Finding;
use super::absent::Absent;
use super::facts::{Facts, Unfit};
use super::judge::{list, names, show_bytes};
use crate::SourceError;
use crate::captured::check_names;
use crate::catalog::Table;
use crate::progress::{Resume, SnapshotStates};
use crate::run::{SnapshotMode, SourceOptions};

/// Judges the captured tables.
pub(crate) fn tables(facts: &Facts, options: &SourceOptions, resume: &Resume) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) =
        check_names(&SnapshotStates::new(&resume.snapshots), &facts.selection, &facts.names)
    {
        findings.push(Finding::from_error("tables", &error));
    } else if facts.tables.is_empty() {
        let error = SourceError::NoTables {
            database: facts.server.database.clone(),
            globs: options.tables.join(", "),
        };
        findings.push(Finding::from_error("tables", &error));
    }
    if !facts.tables.is_empty() {
        findings.push(Finding::ok("tables", summary(facts, options, resume)));
    }
    for table in &facts.tables {
        findings.extend(identity(facts, table));
    }
    for (root, leaf) in &facts.weak_leaves {
        findings.push(Finding::error(
            format!("table {root}"),
            "PG_TABLE",
            format!(
                "its partition {leaf} has no replica identity: UPDATE and DELETE would fail there \
                 once the table is published"
            ),
            format!("ALTER TABLE {leaf} REPLICA IDENTITY FULL, or give the table a primary key"),
        ));
    }
    if options.snapshot == SnapshotMode::Initial {
        findings.extend(readable(facts));
    }
    findings.extend(unfit(facts));
    let toast = names(facts, |table| {
        table.replica_identity != 'f'
            && facts.details.get(&table.oid).is_some_and(|details| details.toast)
    });
    if !toast.is_empty() {
        findings.push(Finding::ok(
            "large values",
            format!(
                "in {}, an update that leaves a value stored out of line (TOAST) as it was says \
                 `unchanged` instead of repeating it; REPLICA IDENTITY FULL repeats it",
                list(&toast)
            ),
        ));
    }
    findings
}

/// What `tables` names and the database has not, without what was renamed: that is said already.
pub(crate) fn not_renamed(facts: &Facts, resume: &Resume) -> Absent {
    let mut absent = facts.absent.clone();
    let states = SnapshotStates::new(&resume.snapshots);
    if check_names(&states, &facts.selection, &facts.names).is_err() {
        absent.tables.retain(|table| {
            let known = states.get(&table.namespace, &table.name);
            !known.is_some_and(|known| facts.names.contains_key(&known.relation_id))
        });
    }
    absent
}

/// How many tables there are, and how much a snapshot would read.
fn summary(facts: &Facts, options: &SourceOptions, resume: &Resume) -> String {
    let count = facts.tables.len();
    let count = format!("{count} table{} captured", if count == 1 { "" } else { "s" });
    // The planner says 0 of tables that were never analysed.
    let rows: u64 = unread(facts, options, resume).map(|table| table.estimated_rows).sum();
    let rows = match rows {
        0 => "rows unknown".to_owned(),
        rows => format!("about {rows} rows"),
    };
    match snapshot_bytes(facts, options, resume) {
        0 => format!("{count}, no rows to be read first"),
        bytes => format!("{count}, {rows} ({}) to be read first", show_bytes(bytes)),
    }
}

/// Tables whose rows are still to be read.
fn unread<'f>(
    facts: &'f Facts,
    options: &SourceOptions,
    resume: &Resume,
) -> impl Iterator<Item = &'f Table> {
    let states = SnapshotStates::new(&resume.snapshots);
    let wanted = options.snapshot == SnapshotMode::Initial;
    facts.tables.iter().filter(move |table| wanted && !states.is_settled(table))
}

/// Bytes on disk of the tables whose rows are still to be read.
pub(crate) fn snapshot_bytes(facts: &Facts, options: &SourceOptions, resume: &Resume) -> u64 {
    unread(facts, options, resume)
        .filter_map(|table| facts.details.get(&table.oid))
        .map(|details| details.bytes)
        .sum()
}

/// Whether UPDATE and DELETE stay possible, and rows can be told apart.
fn identity(facts: &Facts, table: &Table) -> Option<Finding> {
    let item = format!("table {}", table.qualified_name());
    if let Some(reason) = table.identity_problem() {
        let published = facts
            .publication
            .as_ref()
            .is_some_and(|found| found.table(&table.namespace, &table.name).is_some());
        let now = if published { " (it is published: they fail already)" } else { "" };
        return Some(Finding::error(
            item,
            "PG_TABLE",
            format!("{reason}{now}"),
            "change the table as said, or name it in `exclude` under [source]",
        ));
    }
    let details = facts.details.get(&table.oid);
    let generated = details.map_or(&[][..], |details| &details.generated_identity);
    if !generated.is_empty() && table.replica_identity != 'f' {
        return Some(Finding::error(
            item,
            "PG_GENERATED_KEY",
            format!(
                "its replica identity has the generated column {}, which the server does not send: \
                 rows could not be told apart",
                list(generated)
            ),
            "ALTER TABLE ... REPLICA IDENTITY USING INDEX with an index on plain columns, or \
             exclude the table",
        ));
    }
    let keyless = table.key.is_empty() && table.replica_identity == 'f';
    keyless.then(|| {
        Finding::warning(
            item,
            "PG_NO_KEY",
            "it has no primary key: its changes have no key on Kafka, and equal rows cannot be told \
             apart",
            "give it a primary key, if rows are to be updated by their key elsewhere",
        )
    })
}

/// Whether a snapshot could read the tables, and all of their rows.
fn readable(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_reason: BTreeMap<String, (Vec<String>, &SourceError)> = BTreeMap::new();
    for (table, error) in &facts.unreadable {
        // The server's message names the table: group by the code instead.
        let group = by_reason.entry(error.code().to_owned()).or_insert((Vec::new(), error));
        group.0.push(table.clone());
    }
    for (tables, error) in by_reason.into_values() {
        let role_step = "as their owner: GRANT SELECT ON ... TO the gateway's role, and GRANT USAGE \
                         on their schemas; or exclude them";
        let step = if error.code() == "PG_RIGHTS" { role_step.into() } else { error.next_step() };
        findings.push(Finding::error(
            "reading",
            error.code(),
            format!("{} cannot be read for the snapshot: {error}", list(&tables)),
            step,
        ));
    }
    let hidden = names(facts, |table| {
        facts.details.get(&table.oid).is_some_and(|details| details.row_security)
    });
    if !hidden.is_empty() {
        findings.push(Finding::error(
            "reading",
            "PG_ROW_SECURITY",
            format!(
                "row-level security hides rows of {} from this role: the snapshot would lack them",
                list(&hidden)
            ),
            "ALTER ROLE ... BYPASSRLS for the gateway's role, or exclude them",
        ));
    }
    if findings.is_empty() && !facts.tables.is_empty() {
        findings.push(Finding::ok("reading", "every captured table can be read"));
    }
    findings
}

/// What matches the globs and is not captured.
fn unfit(facts: &Facts) -> Vec<Finding> {
    let kinds = [
        (
            Unfit::Unlogged,
            "unlogged: their changes are not in the server's log",
            "ALTER TABLE ... SET LOGGED, or exclude them",
        ),
        (
            Unfit::Foreign,
            "foreign: their rows are on another server",
            "capture them there, or exclude them",
        ),
        (
            Unfit::Partition,
            "partitions whose root is not captured: partitions are captured through it",
            "name the partitioned table in `tables`, or exclude them",
        ),
    ];
    let mut findings = Vec::new();
    for (kind, why, step) in kinds {
        let tables: Vec<String> = facts
            .unfit
            .iter()
            .filter(|(of, _)| *of == kind)
            .map(|(_, name)| name.clone())
            .collect();
        if !tables.is_empty() {
            findings.push(Finding::warning(
                "tables",
                "PG_NOT_CAPTURED",
                format!("{} not captured, for being {why}", list(&tables)),
                step,
            ));
        }
    }
    findings
}

/// Whether every captured table goes somewhere, and no two into one stream.
pub(crate) fn routes(
    tables: &[Table],
    streams: impl Fn(&str, &str) -> Vec<String>,
) -> Vec<Finding> {
    let mut lost = Vec::new();
    let mut by_stream: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for table in tables {
        let names = streams(&table.namespace, &table.name);
        if names.is_empty() {
            lost.push(table.qualified_name());
        }
        for stream in names {
            by_stream.entry(stream).or_default().push(table.qualified_name());
        }
    }
    let mut findings = Vec::new();
    if !lost.is_empty() {
        findings.push(Finding::error(
            "routes",
            "ROUTE_MISSING",
            format!("no route takes {}", list(&lost)),
            "add a [[route]] for them, or name them in `exclude` under [source]",
        ));
    }
    for (stream, tables) in by_stream.iter().filter(|(_, tables)| tables.len() > 1) {
        let mut distinct = tables.clone();
        distinct.dedup();
        let text = match distinct.as_slice() {
            [one] => format!("{one} goes into the stream {stream} twice"),
            several => format!("{} share the stream {stream}", list(several)),
        };
        let step = "give each table a `stream` of its own, for example by {schema} and {table}";
        findings.push(Finding::error("routes", "ROUTE_STREAM_SHARED", text, step));
    }
    if findings.is_empty() && !tables.is_empty() {
        let count = by_stream.len();
        let text = format!(
            "every table has its route; {count} stream{}",
            if count == 1 { "" } else { "s" }
        );
        findings.push(Finding::ok("routes", text));
    }
    findings
}
