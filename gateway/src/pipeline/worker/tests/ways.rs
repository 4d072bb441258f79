//! What plugins on one route mean for each other, and rows for their definitions.

use offtake_state::Keyspace;

use super::*;

const COUNTER: &[u8] = include_bytes!("../../../../../plugins/dist/counter.wasm");

/// `cast`, which fails at what is no number and says of which column, then `mask` and `counter`.
fn plugins() -> Vec<Configured> {
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let builtin = |name| offtake_transform::builtin(name).unwrap();
    let keeps = Some(Keyspace::new(1 << 20));
    let plugins = [
        ("cast", builtin("cast"), r#"{"columns":{"id":"int8"}}"#, None),
        ("mask", builtin("mask"), r#"{"columns":["email"]}"#, None),
        ("nth", COUNTER, r#"{"by":"email","into":"nth"}"#, keeps),
    ];
    let configured = plugins.map(|(name, component, config, state)| {
        let spec = PluginSpec {
            name: name.into(),
            component: component.to_vec(),
            config_json: config.into(),
            limits: Limits::default(),
            state,
        };
        let policy = FailurePolicy { on_error: OnError::DeadLetter, breaker_percent: None };
        let plugin = Plugin::load(&engine, spec).unwrap();
        Configured { plugin, counters: Arc::default(), policy, columns: Arc::default() }
    });
    configured.into()
}

#[test]
fn a_plugin_beside_one_that_protects_is_not_quoted() {
    let letter = |chain: Vec<usize>| {
        let folder = tempfile::tempdir().unwrap();
        let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
        let (mut worker, log) = worker_on(opened, &plugins()[..chain.len()], chain);
        let people = table(&["id", "email"]);
        worker.take_event(started(&[Arc::clone(&people)])).unwrap();
        let mut batch = Batch::new();
        batch.push_transaction(Transaction { commit: Lsn(9), ..Default::default() });
        add_rows(&mut batch, &people, 1, "no number");
        let end = Lsn(10);
        batch.boundaries.push(Boundary { rows_end: 1, transaction: 0, end, source_rows: 1 });
        worker.take_event(SourceEvent::Batch(batch)).unwrap();
        worker.writer.flush().unwrap();
        let rows: Vec<Logged> = logged(&log).into_iter().flatten().collect();
        assert_eq!(rows[0].0, "shop.dead_letters");
        String::from_utf8_lossy(&rows[0].1).into_owned()
    };
    let alone = letter(vec![0]);
    assert!(alone.contains("PLUGIN_ROW_FAILURE") && !alone.contains("withheld"), "{alone}");
    for chain in [vec![0, 1], vec![1, 0]] {
        let beside = letter(chain);
        assert!(beside.contains("PLUGIN_ROW_FAILURE") && beside.contains("withheld"), "{beside}");
    }
}

#[test]
fn a_plugin_that_keeps_state_stands_behind_one_that_protects_or_nothing_starts() {
    let start = |chain| {
        let router = Router::new("shop", vec![route_to("{name}.{table}", chain)]);
        Chain::new(&plugins(), &router, &[]).err().map(|halt| halt.code.into_owned())
    };
    assert_eq!(start(vec![2, 1]).as_deref(), Some("PLUGIN_STATE_UNPROTECTED"));
    assert_eq!(start(vec![2, 0, 1]).as_deref(), Some("PLUGIN_STATE_UNPROTECTED"));
    assert_eq!(start(vec![1, 2]), None);
    assert_eq!(start(vec![2, 0]), None);
}

#[test]
fn a_definition_without_a_row_in_the_batch_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    let (mut worker, log) = worker_on(opened, &[], Vec::new());
    let people = table(&["id"]);
    let stray = Arc::new(TableSchema { namespace: "other".into(), ..TableSchema::clone(&people) });
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    let mut batch = Batch::new();
    batch.push_transaction(Transaction { commit: Lsn(9), ..Default::default() });
    // As in the half of a batch that was cut before the definition's first row.
    batch.schema_index(&stray);
    add_rows(&mut batch, &people, 1, "x");
    batch.boundaries.push(Boundary { rows_end: 1, transaction: 0, end: Lsn(10), source_rows: 1 });
    worker.take_event(SourceEvent::Batch(batch)).unwrap();
    worker.writer.flush().unwrap();
    assert_eq!(logged(&log).len(), 1);
}

#[test]
fn a_row_whose_content_names_the_gateways_own_stream_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let spec = PluginSpec {
        name: "by_content".into(),
        component: offtake_transform::builtin("route").unwrap().to_vec(),
        config_json: r#"{"rules":[{"where":"id is not null","stream":"{id}"}]}"#.into(),
        limits: Limits {
            reserved_streams: Router::own_streams("shop").into(),
            ..Limits::default()
        },
        state: None,
    };
    let plugin = Plugin::load(&engine, spec).unwrap();
    let policy = FailurePolicy { on_error: OnError::DeadLetter, breaker_percent: None };
    let plugins =
        [Configured { plugin, counters: Arc::default(), policy, columns: Arc::default() }];
    let (mut worker, log) = worker_on(opened, &plugins, vec![0]);
    let people = table(&["id"]);
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    let mut batch = Batch::new();
    batch.push_transaction(Transaction { commit: Lsn(9), ..Default::default() });
    for stream in ["first", "shop.dead_letters", "shop.message", "last"] {
        add_rows(&mut batch, &people, 1, stream);
    }
    batch.boundaries.push(Boundary { rows_end: 4, transaction: 0, end: Lsn(10), source_rows: 4 });
    worker.take_event(SourceEvent::Batch(batch)).unwrap();
    worker.writer.flush().unwrap();
    let rows: Vec<Logged> = logged(&log).into_iter().flatten().collect();
    let streams: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(streams, ["first", "shop.dead_letters", "shop.dead_letters", "last"]);
    assert!(String::from_utf8_lossy(&rows[1].1).contains("which only the gateway writes"));
}
