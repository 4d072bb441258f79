//! The worker over a real log: what enters it together, and what is told when it is full.

use std::time::{Duration, Instant};

use offtake_change::{Column, Image, Kind, Lsn, ReplicaIdentity, Row};
use offtake_log::{Log, LogOptions, Opened, Selection};
use offtake_transform::{Engine, EngineOptions, Limits, Plugin, PluginSpec};

use super::super::chain::Configured;
use super::super::failure::{FailurePolicy, OnError};
use super::super::router::{Operations, Route};
use super::*;

mod crew;
mod operations;
mod replay;
mod state;
mod switch;
mod ways;

fn table(columns: &[&str]) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        version: columns.len() as u32,
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new(
            "shop",
            "public",
            "people",
            columns.iter().map(|name| Column::new(*name, Kind::Text, "text")).collect(),
            &[],
        )
    })
}

/// The example plugin that chooses a table's key.
const REKEY: &[u8] = include_bytes!("../../../../plugins/dist/rekey.wasm");
/// The example plugin that emits a row beside each.
const AUDIT: &[u8] = include_bytes!("../../../../plugins/dist/audit.wasm");

/// A worker with a plugin that covers `email`, on a log of its own. `rekeyed`: behind one that makes
/// `id` the key.
fn worker(options: LogOptions, rekeyed: bool) -> (Worker, Log) {
    worker_with(options, rekeyed, FailurePolicy::default())
}

fn worker_with(options: LogOptions, rekeyed: bool, policy: FailurePolicy) -> (Worker, Log) {
    worker_of(options, if rekeyed { vec![0, 1] } else { vec![1] }, policy)
}

/// `chain`: of `rekey`, `mask`, `audit` and the two behind them, by number.
fn worker_of(options: LogOptions, chain: Vec<usize>, policy: FailurePolicy) -> (Worker, Log) {
    let opened = offtake_log::open(options).unwrap();
    worker_on(opened, &configured(policy), chain)
}

/// The plugins that tests choose from.
fn configured(policy: FailurePolicy) -> [Configured; 5] {
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let mask = offtake_transform::builtin("mask").unwrap();
    let project = offtake_transform::builtin("project").unwrap();
    let plugins = [
        ("rekey", REKEY, r#"{"key":["id"]}"#),
        ("mask", mask, r#"{"columns":["email"],"keep_last":0}"#),
        ("audit", AUDIT, r#"{"stream":"shop.audit"}"#),
        ("swap", project, r#"{"rename":{"id":"email","email":"id"}}"#),
        ("own", AUDIT, r#"{"stream":"shop.dead_letters"}"#),
    ];
    plugins.map(|(name, component, config)| {
        let spec = PluginSpec {
            name: name.into(),
            component: component.to_vec(),
            config_json: config.into(),
            limits: Limits { output_bytes: 64 << 10, ..Limits::default() },
            state: None,
        };
        let plugin = Plugin::load(&engine, spec).unwrap();
        Configured { plugin, counters: Arc::default(), policy, columns: Arc::default() }
    })
}

/// A worker with these plugins, and a chain of them for every table.
fn worker_on(opened: Opened, plugins: &[Configured], chain: Vec<usize>) -> (Worker, Log) {
    worker_routed(opened, plugins, vec![route_to("{name}.{schema}.{table}", chain)])
}

/// A route that takes everything.
fn route_to(stream: &str, plugins: Vec<usize>) -> Route {
    Route {
        tables: offtake_source_postgres::Selection::new(&["public.*"], &[""; 0]).unwrap(),
        messages: None,
        plugins,
        stream: stream.into(),
        operations: Operations::ALL,
        continues: false,
    }
}

/// A worker with these plugins and routes.
fn worker_routed(opened: Opened, plugins: &[Configured], routes: Vec<Route>) -> (Worker, Log) {
    let router = Router::new("shop", routes);
    let chain = Chain::new(plugins, &router, &[]).unwrap();
    let parts = WorkerParts {
        writer: opened.writer,
        router,
        chain,
        state: StateCell::new(),
        counters: Arc::default(),
        digest: vec![1],
        early: tokio::sync::watch::channel(0).0,
        live: Arc::default(),
        inputs: Arc::default(),
        switching: None,
    };
    let worker = Worker::new(parts, &opened.recovered);
    (worker, opened.log)
}

/// Adds rows of one transaction, each with as large a text in every column.
fn add_rows(batch: &mut Batch, schema: &Arc<TableSchema>, rows: usize, text: &str) {
    let index = batch.schema_index(schema);
    for _ in 0..rows {
        let begin = batch.begin_image();
        for _ in &schema.columns {
            let cell = batch.text(text.as_bytes());
            batch.push_cell(cell);
        }
        let order = batch.rows.len() as u64 + 1;
        batch.rows.push(Row {
            schema: index,
            transaction: 0,
            lsn: Lsn(order),
            order,
            order_in_table: order,
            ..Row::new(Operation::Create, Image::NONE, batch.end_image(begin))
        });
    }
}

fn started(tables: &[Arc<TableSchema>]) -> SourceEvent {
    SourceEvent::Started { identity: v1::SourceIdentity::default(), tables: tables.to_vec() }
}

/// Waits for a condition, at most ten seconds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_halt_is_told_while_a_full_log_still_holds_what_was_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { retain_bytes: 16 << 10, ..LogOptions::new(folder.path()) };
    let (worker, log) = worker(options, false);
    let _pin = log.pin("reader", 0);
    let state = worker.state.clone();
    let (events, received) = flume::bounded(4);
    let running = std::thread::spawn(move || {
        worker.run(&received, Requests { letters: None, switches: None })
    });
    let people = table(&["email"]);
    events.send(started(&[Arc::clone(&people)])).unwrap();
    for end in 1.. {
        if log.stats().blocked.is_some() {
            break;
        }
        let mut batch = Batch::new();
        let commit = Lsn(end);
        batch.push_transaction(Transaction { id: end.to_string(), commit, ..Default::default() });
        add_rows(&mut batch, &people, 1, &"x".repeat(8 << 10));
        let end = Lsn(end + 1);
        batch.boundaries.push(Boundary { rows_end: 1, transaction: 0, end, source_rows: 1 });
        let sequence = log.durable().borrow().sequence;
        events.send(SourceEvent::Batch(batch)).unwrap();
        eventually("taken in or blocked", || {
            log.durable().borrow().sequence > sequence || log.stats().blocked.is_some()
        });
    }
    let stray = Arc::new(TableSchema { namespace: "other".into(), ..TableSchema::clone(&people) });
    let mut batch = Batch::new();
    batch.push_transaction(Transaction::default());
    add_rows(&mut batch, &stray, 1, "x");
    events.send(SourceEvent::Batch(batch)).unwrap();
    eventually("the halt is told", || matches!(state.get(), State::Halted(_)));
    assert!(!running.is_finished(), "the flush waits for the log");
    log.close();
    assert_eq!(running.join().unwrap().unwrap_err().code, "ROUTE_MISSING");
}

#[test]
fn what_a_definition_brings_enters_the_log_with_its_first_row_and_not_before() {
    let log = definitions_in_the_log(false);
    assert!(log.iter().all(|schema| schema.key.is_empty() && schema.changed_by.is_empty()));
}

#[test]
fn a_definition_that_a_plugin_changed_brings_as_much_and_is_the_one_in_the_log() {
    let log = definitions_in_the_log(true);
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|schema| schema.key == [0] && schema.changed_by == ["rekey"]));
    assert_eq!(log.iter().map(|schema| schema.version).collect::<Vec<_>>(), [1, 2]);
}

/// Takes in rows from before and after a protected column was added, and gives the definitions of
/// what came out.
fn definitions_in_the_log(rekeyed: bool) -> Vec<v1::Schema> {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, log) = worker(LogOptions::new(folder.path()), rekeyed);
    let (older, today) = (table(&["id"]), table(&["id", "email"]));
    worker.take_event(started(&[Arc::clone(&today)])).unwrap();
    let mut batch = Batch::new();
    batch.push_transaction(Transaction { id: "7".into(), commit: Lsn(9), ..Default::default() });
    // Several pieces of rows from before the column was added, then one with it.
    let text = "x".repeat(8 << 10);
    add_rows(&mut batch, &older, 400, &text);
    add_rows(&mut batch, &today, 1, &text);
    worker.take_event(SourceEvent::Batch(batch)).unwrap();
    worker.submit().unwrap();
    worker.writer.flush().unwrap();

    let mut reader = log.reader(0, Selection::all()).unwrap();
    let (mut pieces, mut with_coverage, mut definitions) = (0, 0, Vec::new());
    while let Some(group) = reader.next_group().unwrap() {
        pieces += u32::from(!group.runs.is_empty());
        definitions.extend(group.runs.iter().map(|run| run.schema));
        let brings = group.controls.iter().any(|control| {
            matches!(control, Control::PluginActivation(record)
                if record.protects.iter().any(|column| !column.catalogue_only))
        });
        if brings {
            with_coverage += 1;
            assert_eq!(group.last_sequence, 401, "durable before the row that brought it");
            assert!(!group.runs.is_empty());
        }
    }
    assert!(pieces > 1);
    assert_eq!(with_coverage, 1);
    definitions.dedup();
    definitions.iter().map(|&id| v1::Schema::clone(&log.schema(id).unwrap())).collect()
}

/// A row in the log: its stream, and the bytes of its run.
type Logged = (String, Vec<u8>);

/// Takes in a transaction of three rows of which the plugin cannot cover the second, for it is larger
/// than what it may put out, and gives what is in the log: streams and rows of its groups.
fn after_a_failure(on_error: OnError) -> Result<Vec<Vec<Logged>>, Halt> {
    let folder = tempfile::tempdir().unwrap();
    let policy = FailurePolicy { on_error, breaker_percent: None };
    after_a_transaction(worker_with(LogOptions::new(folder.path()), true, policy))
}

fn after_a_transaction((mut worker, log): (Worker, Log)) -> Result<Vec<Vec<Logged>>, Halt> {
    let people = table(&["id", "email"]);
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    let mut batch = Batch::new();
    batch.push_transaction(Transaction { id: "7".into(), commit: Lsn(9), ..Default::default() });
    for text in ["first".to_owned(), "x".repeat(100 << 10), "last".to_owned()] {
        add_rows(&mut batch, &people, 1, &text);
    }
    batch.boundaries.push(Boundary { rows_end: 3, transaction: 0, end: Lsn(10), source_rows: 3 });
    worker.take_event(SourceEvent::Batch(batch))?;
    worker.writer.flush().unwrap();
    Ok(logged(&log))
}

/// The rows of the log's groups, in order.
fn logged(log: &Log) -> Vec<Vec<Logged>> {
    let names = log.streams();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    let mut groups = Vec::new();
    while let Some(group) = reader.next_group().unwrap() {
        let rows = group.runs.iter().flat_map(|run| {
            let stream = names.iter().find(|stream| stream.id == run.stream).unwrap();
            run.changes()
                .map(|change| (stream.name.clone(), change.unwrap().sequence, run.bytes.to_vec()))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(_, sequence, _)| *sequence);
        groups.push(rows.into_iter().map(|(stream, _, bytes)| (stream, bytes)).collect());
    }
    groups.retain(|rows: &Vec<_>| !rows.is_empty());
    groups
}

#[test]
fn a_change_that_a_plugin_fails_at_becomes_what_its_policy_says() {
    let streams = |groups: &[Vec<Logged>]| -> Vec<Vec<String>> {
        let names = |rows: &Vec<Logged>| rows.iter().map(|row| row.0.clone()).collect();
        groups.iter().map(names).collect()
    };
    let halt = after_a_failure(OnError::Halt).unwrap_err();
    assert_eq!(halt.code, "PLUGIN_OUTPUT");
    let (people, letters) = ("shop.public.people", "shop.dead_letters");
    let dropped = after_a_failure(OnError::Drop).unwrap();
    assert_eq!(streams(&dropped), [[people, people]]);
    let dead = after_a_failure(OnError::DeadLetter).unwrap();
    assert_eq!(streams(&dead), [[people, letters, people]], "in its place and in one group");
    let letter = String::from_utf8_lossy(&dead[0][1].1).into_owned();
    for told in ["mask", "PLUGIN_OUTPUT", "0/2"] {
        assert!(letter.contains(told), "{told}");
    }
    assert!(!letter.contains("xxx"), "nothing of a row that a plugin protects");
}

#[test]
fn a_plugin_is_counted_the_changes_that_it_was_handed_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = configured(FailurePolicy { on_error: OnError::Drop, breaker_percent: Some(50) });
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    after_a_transaction(worker_on(opened, &plugins, vec![1, 2])).unwrap();
    let changes = |plugin: &Configured| plugin.counters.changes.load(Ordering::Relaxed);
    assert_eq!(changes(&plugins[1]), 3);
    assert_eq!(changes(&plugins[2]), 2, "the one that `mask` left out did not come");
}

#[test]
fn a_change_that_would_leave_without_its_payload_cannot_pass() {
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let spec = PluginSpec {
        name: "outbox".into(),
        component: offtake_transform::builtin("outbox").unwrap().to_vec(),
        config_json: "{}".into(),
        limits: Limits::default(),
        state: None,
    };
    let plugin = Plugin::load(&engine, spec).unwrap();
    let columns = table(&["id", "aggregatetype", "aggregateid", "type", "payload"]);
    for (on_error, code) in [(OnError::Halt, None), (OnError::Pass, Some("PLUGIN_PASS_REFUSED"))] {
        let policy = FailurePolicy { on_error, breaker_percent: None };
        let plugin = plugin.clone();
        let plugins =
            [Configured { plugin, counters: Arc::default(), policy, columns: Arc::default() }];
        let router = Router::new("shop", vec![route_to("{name}.{schema}.{table}", vec![0])]);
        let mut chain = Chain::new(&plugins, &router, &[]).unwrap();
        let checked = chain.check_table(&[0], &columns, false);
        assert_eq!(checked.err().map(|halt| halt.code.to_string()).as_deref(), code);
    }
}

#[test]
fn emitted_rows_follow_their_row_in_its_group_whatever_plugins_come_behind() {
    let (people, audit, letters) = ("shop.public.people", "shop.audit", "shop.dead_letters");
    let policy = FailurePolicy { on_error: OnError::DeadLetter, breaker_percent: None };
    for (chain, expected) in [
        (vec![2, 1], vec![people, audit, letters, audit, people, audit]),
        // A row that failed before is none for the plugins behind.
        (vec![1, 2], vec![people, audit, letters, people, audit]),
        // The second sees the row that the first emitted, too.
        (
            vec![2, 2, 1],
            [
                [people, audit, audit, audit],
                [letters, audit, audit, audit],
                [people, audit, audit, audit],
            ]
            .concat(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let worker = worker_of(LogOptions::new(folder.path()), chain.clone(), policy);
        let groups = after_a_transaction(worker).unwrap();
        let streams: Vec<&str> = groups[0].iter().map(|row| row.0.as_str()).collect();
        assert_eq!((groups.len(), streams), (1, expected), "{chain:?}");
    }
}

#[test]
fn a_plugin_that_protects_is_told_the_very_column_or_the_pipeline_halts() {
    let policy = FailurePolicy { on_error: OnError::Drop, breaker_percent: None };
    let outcome = |chain| {
        let folder = tempfile::tempdir().unwrap();
        after_a_transaction(worker_of(LogOptions::new(folder.path()), chain, policy))
    };
    // `email` is another column by then, of the same type, and the real one is called `id`.
    assert_eq!(outcome(vec![3, 1]).unwrap_err().code, "PLUGIN_UNPROTECTED");
    // Behind it, a rename is nobody's business.
    assert_eq!(outcome(vec![1, 3]).unwrap()[0].len(), 2);
}

#[test]
fn a_plugin_that_sends_a_row_to_the_gateways_own_stream_halts_with_the_position_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = FailurePolicy { on_error: OnError::Drop, breaker_percent: None };
    let (worker, log) = worker_of(LogOptions::new(folder.path()), vec![1, 4], policy);
    let people = table(&["id", "email"]);
    let (events, received) = flume::unbounded();
    events.send(started(&[Arc::clone(&people)])).unwrap();
    for (end, rows) in [(10, 1), (20, 2)] {
        let mut batch = Batch::new();
        let commit = Lsn(end - 1);
        batch.push_transaction(Transaction { id: end.to_string(), commit, ..Default::default() });
        // Nothing of the first is emitted: it fails before.
        let text = if end == 10 { "x".repeat(100 << 10) } else { "x".to_owned() };
        add_rows(&mut batch, &people, rows, &text);
        let (rows_end, source_rows) = (rows as u32, rows as u64);
        batch.boundaries.push(Boundary { rows_end, transaction: 0, end: Lsn(end), source_rows });
        events.send(SourceEvent::Batch(batch)).unwrap();
    }
    drop(events);
    let halt = worker.run(&received, Requests { letters: None, switches: None }).unwrap_err();
    assert_eq!(halt.code, "PLUGIN_STREAM_RESERVED");
    drop(log);
    let recovered = offtake_log::open(LogOptions::new(folder.path())).unwrap().recovered;
    let position = recovered.position.unwrap_or_default();
    assert_eq!((position.end, position.partial), (Some(position_of(Lsn(10))), None));
}
