//! A trial: other plugins over the tables and the recent changes, beside those at work.
//!
//! Both chains take copies of the same batches, as they came from the source; what leaves them is
//! compared row by row. Nothing of a trial reaches the log, and the counters of the plugins at work
//! do not move. Plugins that keep state begin with none, since what is kept has seen these very changes.
//! A trial finds what faults and what differs; it cannot know which result is meant.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offtake_change::{Batch, HeaderRange, Image, NO_TRANSACTION, Row, TableSchema, ValueRef};
use offtake_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::chain::{Chain, Configured, Made};
use super::super::failure::{FailurePolicy, OnError};
use super::super::halt::Halt;
use super::super::router::Router;
use super::checks::lost_protection;
use super::inputs::{Kept, is_same_table};

/// Differences that are shown; all are counted.
const SHOWN: usize = 20;

/// What a trial found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Tables whose definitions the plugins were told.
    pub tables: u64,
    /// Changes that both were given.
    pub changes: u64,
    /// Those of them that are rows which were read for it.
    pub rows_read: u64,
    /// There were more of such rows than are read at once.
    pub is_cut: bool,
    /// Changes that came out otherwise.
    pub different: u64,
    /// Changes that the plugins at work fail at.
    pub failed_before: u64,
    /// Changes that the others fail at.
    pub failed_after: u64,
    /// The first change that the others fail at and those at work do not.
    pub first_failure: Option<String>,
    /// Nanoseconds a change in plugins, at work and of the others.
    pub nanoseconds_before: u64,
    /// See `nanoseconds_before`.
    pub nanoseconds_after: u64,
    /// Plugins that keep state: both versions began with none, the real one was not looked at.
    pub without_state: Vec<String>,
    /// The first differences.
    pub differences: Vec<Difference>,
}

/// A change that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The source's table.
    pub table: String,
    /// Where the change stands in the source's log.
    pub position: String,
    /// What the plugins at work make of it, a line a row.
    pub before: Vec<String>,
    /// What the others make of it.
    pub after: Vec<String>,
}

/// How long a trial may take: meanwhile no other reload is taken in.
const BUDGET: Duration = Duration::from_secs(20);

/// What both chains need.
pub struct Setting<'s> {
    /// The routes.
    pub router: &'s Router,
    /// What the log holds of activations.
    pub recorded: &'s [v1::PluginActivation],
    /// Tables and changes.
    pub kept: &'s Kept,
}

impl Setting<'_> {
    /// Tells plugins every table, as the pipeline would, with their own policies.
    ///
    /// # Errors
    /// What the pipeline would halt with.
    pub fn tell(&self, plugins: &[Configured]) -> Result<u64, Halt> {
        let apart = |configured| apart(configured, None);
        let plugins: Vec<Configured> = plugins.iter().map(apart).collect();
        let mut chain = Chain::new(&plugins, self.router, self.recorded)?;
        chain.check_start(self.router, &self.kept.catalogue)?;
        chain.check_columns(self.router, &self.kept.catalogue)?;
        let tables = self.kept.tables();
        for table in &tables {
            for target in self.router.targets(table) {
                chain.check_table(&target.plugins, table, false)?;
            }
        }
        Ok(tables.len() as u64)
    }

    /// Runs both over the recent changes and compares, for [`BUDGET`] at most. Changes under older
    /// definitions of their tables are left out: whether these are taken decides nothing any more.
    /// Where the others do not protect what those at work do, nothing of a row is shown.
    /// `until_failure`: it ends at the first change that the others fail at.
    ///
    /// # Errors
    /// A fault of the others that is no change's.
    pub fn compare(
        &self,
        before: &[Configured],
        after: &[Configured],
        until_failure: bool,
    ) -> Result<TrialReport, Halt> {
        let began = Instant::now();
        let tables = self.tell(after)?;
        let is_hidden = before.iter().zip(after).any(|(old, new)| loses_protection(old, new));
        let mut old = Side::new(self, before, is_hidden)?;
        let mut new = Side::new(self, after, is_hidden)?;
        let keeps = |configured: &&Configured| configured.plugin.state().is_some();
        let names = after.iter().filter(keeps).map(|it| it.plugin.name().to_owned());
        let without_state = names.collect();
        let mut report = TrialReport { tables, without_state, ..TrialReport::default() };
        let sample = &self.kept.sample;
        report.is_cut = sample.is_cut;
        report.rows_read = sample.batches.iter().map(|batch| batch.rows.len() as u64).sum();
        for batch in self.kept.batches.iter().chain(&sample.batches) {
            let was = match old.run(batch) {
                Ok(lines) => lines,
                Err(halt) => {
                    // Those at work fail at it as a whole; that speaks for no change of theirs.
                    old = Side::new(self, before, is_hidden)?;
                    let line = Line { text: format!("failed {}", halt.code), failed: true };
                    vec![vec![line]; batch.rows.len()]
                }
            };
            let lines = was.into_iter().zip(new.run(batch)?);
            for (row, (old, new)) in batch.rows.iter().zip(lines) {
                report.take(batch, row, old, new);
            }
            if until_failure && report.first_failure.is_some() {
                break;
            }
            if began.elapsed() > BUDGET {
                report.is_cut = true;
                break;
            }
        }
        if is_hidden {
            report.hide();
        }
        report.nanoseconds_before = old.nanoseconds(report.changes);
        report.nanoseconds_after = new.nanoseconds(report.changes);
        Ok(report)
    }
}

/// Whether a protected column may be plain in what the new one makes; also by its configuration.
fn loses_protection(old: &Configured, new: &Configured) -> bool {
    lost_protection(old.plugin.info(), new.plugin.info(), true).is_some()
}

impl TrialReport {
    /// Takes out what rows became.
    fn hide(&mut self) {
        let hidden =
            || vec!["withheld: the one at work protects what this one does not".to_owned()];
        for difference in &mut self.differences {
            (difference.before, difference.after) = (hidden(), hidden());
        }
    }

    fn take(&mut self, batch: &Batch, row: &Row, old: Vec<Line>, new: Vec<Line>) {
        self.changes += 1;
        let failures = |lines: &[Line]| lines.iter().filter(|line| line.failed).count() as u64;
        let (before, after) = (failures(&old), failures(&new));
        self.failed_before += before;
        self.failed_after += after;
        if old == new {
            return;
        }
        self.different += 1;
        let schema = batch.schemas.get(row.schema as usize);
        let table = schema.map(|schema| schema.qualified_name()).unwrap_or_default();
        if after > before && self.first_failure.is_none() {
            let failure = new.iter().find(|line| line.failed);
            self.first_failure = failure.map(|line| format!("{table}: {}", line.text));
        }
        if self.differences.len() < SHOWN {
            let texts = |lines: Vec<Line>| lines.into_iter().map(|line| line.text).collect();
            self.differences.push(Difference {
                table,
                position: row.lsn.to_string(),
                before: texts(old),
                after: texts(new),
            });
        }
    }
}

/// A plugin with state and counters of its own, and another policy where one is given.
fn apart(configured: &Configured, policy: Option<FailurePolicy>) -> Configured {
    Configured {
        plugin: configured.plugin.apart(),
        counters: Arc::default(),
        policy: policy.unwrap_or(configured.policy),
        columns: Arc::clone(&configured.columns),
    }
}

/// A row that leaves a chain, or what became of it instead.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    failed: bool,
}

/// One of the two chains.
struct Side<'s> {
    setting: &'s Setting<'s>,
    /// The tables' definitions as they are now.
    current: Vec<Arc<TableSchema>>,
    chain: Chain,
    plugins: Vec<Configured>,
}

impl<'s> Side<'s> {
    /// `is_withheld`: the plugins' own words are not repeated.
    fn new(
        setting: &'s Setting<'s>,
        plugins: &[Configured],
        is_withheld: bool,
    ) -> Result<Side<'s>, Halt> {
        // Every failure is found, and none is counted against the plugins at work.
        let policy = FailurePolicy { on_error: OnError::DeadLetter, breaker_percent: None };
        let tried = |configured| {
            let mut tried = apart(configured, Some(policy));
            if is_withheld {
                tried.plugin = tried.plugin.withheld();
            }
            tried
        };
        let plugins: Vec<Configured> = plugins.iter().map(tried).collect();
        let mut chain = Chain::new(&plugins, setting.router, setting.recorded)?;
        chain.check_start(setting.router, &setting.kept.catalogue)?;
        Ok(Side { setting, current: setting.kept.tables(), chain, plugins })
    }

    fn nanoseconds(&self, changes: u64) -> u64 {
        let spent =
            |configured: &Configured| configured.counters.nanoseconds.load(Ordering::Relaxed);
        self.plugins.iter().map(spent).sum::<u64>() / changes.max(1)
    }

    /// What becomes of every row of a batch, on all of its ways.
    fn run(&mut self, batch: &Batch) -> Result<Vec<Vec<Line>>, Halt> {
        let mut lines = vec![Vec::new(); batch.rows.len()];
        let targets = batch.schemas.iter().map(|schema| match is_current(schema, &self.current) {
            true => self.setting.router.targets(schema),
            false => Vec::new(),
        });
        let targets: Vec<_> = targets.collect();
        for way in 0..targets.iter().map(Vec::len).max().unwrap_or(0) {
            // Each way has its own copy, as forked rows would be.
            let mut copy = batch.clone();
            let mut made = Made::default();
            let of_way = targets.iter().filter_map(|targets| targets.get(way));
            let is_stateful = of_way.clone().any(|target| self.chain.keeps_state(&target.plugins));
            for (schema, rows) in in_turn(batch, is_stateful) {
                let Some(target) = targets[schema].get(way) else { continue };
                let takes =
                    |row: &u32| target.operations.contains(batch.rows[*row as usize].operation);
                let rows: Vec<u32> = rows.into_iter().filter(takes).collect();
                self.chain.process(&target.plugins, &mut copy, &rows, &mut made)?;
                for &row in &rows {
                    let failure = made.dead.iter().find(|dead| dead.row == row);
                    let line = match failure {
                        Some(dead) => Line {
                            text: format!("failed {}: {}", dead.fault.code(), dead.fault),
                            failed: true,
                        },
                        None => rendered(&copy, row, &target.stream),
                    };
                    lines[row as usize].push(line);
                }
                for emission in made.emitted.drain(..) {
                    let line = rendered(&copy, emission.row, &target.stream);
                    if let Some(lines) = lines.get_mut(emission.parent as usize) {
                        lines.push(line);
                    }
                }
                made.clear();
            }
        }
        Ok(lines)
    }
}

/// Whether a table's changes come under this definition now, whichever version it was counted as.
fn is_current(schema: &TableSchema, current: &[Arc<TableSchema>]) -> bool {
    let mut of_table = current.iter().filter(|it| is_same_table(it, schema));
    let is_same =
        |now: &Arc<TableSchema>| TableSchema { version: now.version, ..schema.clone() } == **now;
    // Logical messages have no table.
    of_table.next().is_none_or(is_same)
}

/// The rows by their definitions; where a plugin keeps state in the order of the source, as the
/// pipeline calls it.
fn in_turn(batch: &Batch, is_stateful: bool) -> Vec<(usize, Vec<u32>)> {
    let mut turns: Vec<(usize, Vec<u32>)> = Vec::new();
    for (row, head) in (0_u32..).zip(&batch.rows) {
        let schema = head.schema as usize;
        let turn = match is_stateful {
            true => turns.last_mut().filter(|turn| turn.0 == schema),
            false => turns.iter_mut().find(|turn| turn.0 == schema),
        };
        match turn {
            Some((_, rows)) => rows.push(row),
            None => turns.push((schema, vec![row])),
        }
    }
    turns
}

/// A row as one line of JSON.
fn rendered(batch: &Batch, row: u32, stream: &str) -> Line {
    let Some(row) = batch.rows.get(row as usize) else {
        return Line { text: "nothing".to_owned(), failed: false };
    };
    if row.dropped {
        return Line { text: "dropped".to_owned(), failed: false };
    }
    let chosen = row.stream.and_then(|at| batch.streams.get(at as usize));
    let operation = char::from(row.operation.letter()).to_string();
    let mut line = Map::new();
    line.insert("stream".to_owned(), json!(chosen.map_or(stream, |name| &**name)));
    line.insert("op".to_owned(), json!(operation));
    let schema = batch.schemas.get(row.schema as usize);
    if let Some(schema) = schema {
        let key: Vec<&str> = schema
            .key
            .iter()
            .filter_map(|&at| schema.columns.get(at as usize))
            .map(|column| &*column.name)
            .collect();
        line.insert("table".to_owned(), json!(schema.qualified_name()));
        line.insert("key".to_owned(), json!(key));
        for (name, image) in [("before", row.before), ("after", row.after)] {
            if image.is_some() {
                line.insert(name.to_owned(), image_of(batch, schema, image));
            }
        }
    }
    put_headers(batch, row.headers, &mut line);
    if row.transaction == NO_TRANSACTION {
        line.insert("snapshot".to_owned(), json!(true));
    }
    Line { text: Value::Object(line).to_string(), failed: false }
}

fn put_headers(batch: &Batch, headers: HeaderRange, line: &mut Map<String, Value>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all: Map<String, Value> =
        batch.headers(headers).map(|(name, value)| (text(name), json!(text(value)))).collect();
    if !all.is_empty() {
        line.insert("headers".to_owned(), Value::Object(all));
    }
    if let Some(partition) = headers.partition() {
        line.insert("partition".to_owned(), json!(partition));
    }
}

fn image_of(batch: &Batch, schema: &TableSchema, image: Image) -> Value {
    let columns = schema.columns.iter().zip(batch.values(image));
    let present = columns.filter(|(_, value)| !matches!(value, ValueRef::Absent));
    Value::Object(present.map(|(column, value)| (column.name.clone(), value_of(value))).collect())
}

fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Unchanged => json!({ "unchanged": true }),
        ValueRef::Boolean(value) => Value::Bool(value),
        other => {
            let mut text = Vec::new();
            other.put_text(&mut text);
            Value::String(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::{Column, Kind, Operation, ReplicaIdentity, Transaction};
    use offtake_transform::{Engine, EngineOptions, Limits, Plugin, PluginSpec, builtin};

    use super::super::super::router::{Operations, Route};
    use super::*;

    fn table(columns: &[&str]) -> Arc<TableSchema> {
        let columns = columns.iter().map(|name| Column::new(*name, Kind::Text, "text")).collect();
        Arc::new(TableSchema {
            replica_identity: ReplicaIdentity::Full,
            ..TableSchema::new("shop", "public", "people", columns, &[])
        })
    }

    fn batch(schema: &Arc<TableSchema>, rows: usize, text: &str) -> Batch {
        let mut batch = Batch::new();
        let index = batch.schema_index(schema);
        batch.push_transaction(Transaction::default());
        for _ in 0..rows {
            let begin = batch.begin_image();
            for _ in &schema.columns {
                let cell = batch.text(text.as_bytes());
                batch.push_cell(cell);
            }
            let row = Row::new(Operation::Create, Image::NONE, batch.end_image(begin));
            batch.rows.push(Row { schema: index, transaction: 0, ..row });
        }
        batch
    }

    fn plugin(name: &str, config: &str) -> Configured {
        let spec = PluginSpec {
            name: "it".to_owned(),
            component: builtin(name).unwrap().to_vec(),
            config_json: config.to_owned(),
            limits: Limits::default(),
            state: None,
        };
        let engine = Engine::new(EngineOptions::default()).unwrap();
        Configured {
            plugin: Plugin::load(&engine, spec).unwrap(),
            counters: Arc::default(),
            policy: FailurePolicy::default(),
            columns: Arc::default(),
        }
    }

    fn compared(kept: &Kept, before: &Configured, after: &Configured) -> TrialReport {
        let route = Route {
            tables: offtake_source_postgres::Selection::new(&["public.*"], &[""; 0]).unwrap(),
            messages: None,
            plugins: vec![0],
            stream: "{table}".to_owned(),
            operations: Operations::ALL,
            continues: false,
        };
        let router = Router::new("shop", vec![route]);
        let setting = Setting { router: &router, recorded: &[], kept };
        let slice = std::slice::from_ref;
        setting.compare(slice(before), slice(after), false).unwrap()
    }

    #[test]
    fn changes_under_an_older_definition_decide_nothing() {
        let (older, now) = (table(&["id"]), table(&["id", "total"]));
        // The same definition, counted otherwise since a restart.
        let counted = Arc::new(TableSchema { version: 7, ..TableSchema::clone(&now) });
        let kept = Kept {
            catalogue: vec![Arc::clone(&now)],
            definitions: vec![Arc::clone(&now)],
            batches: [batch(&older, 3, "1"), batch(&now, 2, "x"), batch(&counted, 1, "x")].into(),
            ..Kept::default()
        };
        // Both refuse a table without the column, and fail at a text that is no number.
        let cast = |kind: &str| plugin("cast", &format!(r#"{{"columns":{{"total":"{kind}"}}}}"#));
        let report = compared(&kept, &cast("int4"), &cast("int8"));
        assert_eq!((report.failed_before, report.failed_after), (3, 3), "{report:?}");
    }

    #[test]
    fn where_protection_would_be_lost_no_value_is_shown() {
        let people = table(&["email"]);
        let kept = Kept {
            catalogue: vec![Arc::clone(&people)],
            definitions: vec![Arc::clone(&people)],
            batches: [batch(&people, 3, "ada@example.org")].into(),
            ..Kept::default()
        };
        let mask = plugin("mask", r#"{"columns":["email"]}"#);
        let lets_pass = plugin("filter", r#"{"where":"email is not null"}"#);
        let report = compared(&kept, &mask, &lets_pass);
        assert_eq!(report.different, 3);
        let text = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("ada@") && text.contains("withheld"), "{text}");
        // The other way round nothing is lost.
        let text = serde_json::to_string(&compared(&kept, &lets_pass, &mask)).unwrap();
        assert!(text.contains("ada@"), "{text}");
    }
}
