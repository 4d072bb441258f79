//! Other versions take over: where that is in the log, and who may call it off.

use super::*;

/// The plugins that tests choose from, the mask in another version.
fn other_version() -> [Configured; 5] {
    version_for("email")
}

/// The same, where the mask covers this column.
fn version_for(column: &str) -> [Configured; 5] {
    let mut plugins = configured(FailurePolicy::default());
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let mut component = offtake_transform::builtin("mask").unwrap().to_vec();
    component.extend([0, 3, 1, b'v', 1]);
    let spec = PluginSpec {
        name: "mask".into(),
        component,
        config_json: format!(r#"{{"columns":["{column}"],"keep_last":2}}"#),
        limits: Limits::default(),
        state: None,
    };
    let plugin = Plugin::load(&engine, spec).unwrap();
    plugins[1] = Configured { plugin, ..plugins[1].clone() };
    plugins
}

fn digest_of(plugins: &[Configured; 5]) -> String {
    super::super::super::chain::hexadecimal(&plugins[1].plugin.digest())
}

/// A row of a transaction, and perhaps its end.
fn part(people: &Arc<TableSchema>, id: u64, order: u64, ends: bool) -> SourceEvent {
    let mut batch = Batch::new();
    let commit = Lsn(id * 100);
    batch.push_transaction(Transaction { id: id.to_string(), commit, ..Default::default() });
    add_rows(&mut batch, people, 1, "secret");
    batch.rows[0].order = order;
    if ends {
        let end = Lsn(id * 100 + 1);
        batch.boundaries.push(Boundary { rows_end: 1, transaction: 0, end, source_rows: order });
    }
    SourceEvent::Batch(batch)
}

/// A worker on a log, which was told its table.
fn started_worker(folder: &tempfile::TempDir) -> (Worker, Log, Arc<TableSchema>) {
    let (mut worker, log) = worker(LogOptions::new(folder.path()), false);
    let people = table(&["id", "email"]);
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    (worker, log, people)
}

fn switch_to(plugins: &[Configured; 5], asked: Option<Asked>) -> Switch {
    Switch { plugins: plugins.to_vec(), digest: vec![2], beside: None, asked }
}

fn live_digest(worker: &Worker) -> Option<String> {
    let live = worker.live.get();
    live.get(1).map(|mask| super::super::super::chain::hexadecimal(&mask.plugin.digest()))
}

/// The groups of the log, in order: the mask's digest where it is recorded, and how many rows.
fn groups(log: &Log) -> Vec<(Vec<String>, u32)> {
    let mut groups = Vec::new();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    while let Some(group) = reader.next_group().unwrap() {
        let records = group.controls.iter().filter_map(|control| match control {
            Control::PluginActivation(record) if record.name == "mask" => {
                Some(record.digest.clone())
            }
            _ => None,
        });
        groups.push((records.collect(), group.runs.iter().map(|run| run.count).sum()));
    }
    groups
}

#[test]
fn a_switch_is_in_the_log_between_what_those_before_made_and_what_the_new_ones_make() {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, log, people) = started_worker(&folder);
    worker.take_event(part(&people, 1, 1, false)).unwrap();
    let (before, after) = (configured(FailurePolicy::default()), other_version());
    let (asked, asking) = Asked::pair();
    worker.take_switch(switch_to(&after, Some(asked))).unwrap();
    assert!(asking.told(Duration::ZERO).is_err(), "a transaction is open");
    worker.take_event(part(&people, 1, 2, true)).unwrap();
    assert!(matches!(asking.told(Duration::ZERO), Ok(Told::TookOver(3))));
    assert!(matches!(asking.told(Duration::ZERO), Ok(Told::Durable)));
    assert_eq!(live_digest(&worker), Some(digest_of(&after)));
    worker.take_event(part(&people, 2, 1, true)).unwrap();
    worker.writer.wait_durable().unwrap();
    let (groups, new) = (groups(&log), digest_of(&after));
    let at = groups.iter().position(|(records, _)| records.contains(&new)).expect("the switch");
    assert_eq!(groups[at], (vec![new.clone()], 0), "it is in a group of its own");
    let rows = |groups: &[(Vec<String>, u32)]| groups.iter().map(|group| group.1).sum::<u32>();
    assert_eq!((rows(&groups[..at]), rows(&groups[at..])), (2, 1));
    let of = |groups: &[(Vec<String>, u32)], digest: &String| {
        groups.iter().flat_map(|group| &group.0).all(|record| record == digest)
    };
    assert!(of(&groups[..at], &digest_of(&before)) && of(&groups[at..], &new), "{groups:?}");
    let kept = log.plugins();
    let last = kept.iter().rev().find(|record| record.name == "mask").unwrap();
    assert_eq!(last.digest, digest_of(&after));
}

#[test]
fn the_pipelines_own_switch_is_not_given_up_for_one_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, _log, people) = started_worker(&folder);
    worker.take_event(part(&people, 1, 1, false)).unwrap();
    let own = other_version();
    worker.switching = Some(switch_to(&own, None));
    let (asked, asking) = Asked::pair();
    let before = configured(FailurePolicy::default());
    worker.take_switch(switch_to(&before, Some(asked))).unwrap();
    match asking.told(Duration::ZERO) {
        Ok(Told::Refused(halt)) => assert_eq!(halt.code, "RELOAD_FINISHING"),
        other => panic!("{other:?}"),
    }
    drop(asking);
    worker.take_event(part(&people, 1, 2, true)).unwrap();
    assert_eq!(live_digest(&worker), Some(digest_of(&own)));
}

/// What is behind the switch keeps the order of definitions of the whole batch, in which a later one may
/// come first now.
#[test]
fn no_row_before_a_definition_that_the_new_version_refuses_is_taken_for_done() {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, log) = worker(LogOptions::new(folder.path()), false);
    let with_phone = |name: &str, phone: Column| {
        let people = table(&["id", "email"]);
        let columns = [&people.columns[..], &[phone]].concat();
        Arc::new(TableSchema { table: name.into(), columns, ..TableSchema::clone(&people) })
    };
    let people = with_phone("people", Column::new("phone", Kind::Integer, "int8"));
    let others = with_phone("others", Column::new("phone", Kind::Text, "text"));
    worker.take_event(started(&[Arc::clone(&people), Arc::clone(&others)])).unwrap();
    let mut batch = Batch::new();
    for id in [1_u32, 2] {
        let (id, commit) = (id.to_string(), Lsn(u64::from(id) * 100));
        batch.push_transaction(Transaction { id, commit, ..Default::default() });
    }
    for table in [&people, &others, &others, &people] {
        add_rows(&mut batch, table, 1, "secret");
    }
    for (index, order) in [(2, 1), (3, 2)] {
        batch.rows[index].transaction = 1;
        batch.rows[index].order = order;
    }
    batch.boundaries.push(Boundary { rows_end: 2, transaction: 0, end: Lsn(101), source_rows: 2 });
    // It covers texts, and in one of the tables that is none.
    worker.switching = Some(switch_to(&version_for("phone"), None));
    let halt = worker.take_event(SourceEvent::Batch(batch)).unwrap_err();
    assert_eq!(halt.code, "PLUGIN_REFUSED", "{halt:?}");
    worker.submit().unwrap();
    worker.writer.wait_durable().unwrap();
    let rows: u32 = groups(&log).iter().map(|group| group.1).sum();
    assert_eq!((rows, &worker.position.partial), (2, &None), "the second transaction is untouched");
}

#[test]
fn a_switch_that_was_called_off_does_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, _log, people) = started_worker(&folder);
    worker.take_event(part(&people, 1, 1, false)).unwrap();
    let (asked, asking) = Asked::pair();
    worker.take_switch(switch_to(&other_version(), Some(asked))).unwrap();
    assert!(asking.call_off());
    worker.take_event(part(&people, 1, 2, true)).unwrap();
    assert_eq!(live_digest(&worker), None, "nothing took over");
    // The next one is not held up by it.
    let (asked, asking) = Asked::pair();
    worker.take_switch(switch_to(&other_version(), Some(asked))).unwrap();
    assert!(matches!(asking.told(Duration::ZERO), Ok(Told::TookOver(_))));
}

#[test]
fn a_switch_that_was_prepared_beside_other_plugins_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, _log, _people) = started_worker(&folder);
    let mut ask = |beside: &[u8]| {
        let (asked, asking) = Asked::pair();
        let switch = switch_to(&other_version(), Some(asked));
        worker.take_switch(Switch { beside: Some(beside.to_vec()), ..switch }).unwrap();
        asking.told(Duration::ZERO)
    };
    match ask(&[9]) {
        Ok(Told::Refused(halt)) => assert_eq!(halt.code, "RELOAD_OVERTAKEN"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(ask(&[1]), Ok(Told::TookOver(_))));
}
