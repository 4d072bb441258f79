//! Several threads run plugins, and what is in the log is the same as with one: rows, groups' ends,
//! dead letters, positions, and the place of a halt.

use super::*;

/// Everything in a log that a reader or a restart goes by, and why the worker halted.
#[derive(Debug)]
struct Outcome {
    rows: Vec<Logged>,
    position: v1::SourcePosition,
    progress: Vec<v1::SnapshotProgress>,
    halt: Option<String>,
}

/// Batches of transactions over two tables: many rows and few, with one that the plugin fails at now
/// and then, and transactions that go over batches.
fn batches(count: u64) -> Vec<SourceEvent> {
    let people = table(&["id", "email"]);
    let staff = Arc::new(TableSchema { table: "staff".to_owned(), ..TableSchema::clone(&people) });
    let mut events = vec![started(&[Arc::clone(&people), Arc::clone(&staff)])];
    for number in 1..=count {
        let mut batch = Batch::new();
        let commit = Lsn(number / 2 * 1000 + 900);
        let id = (number / 2).to_string();
        batch.push_transaction(Transaction { id, commit, ..Default::default() });
        // The first are large, so that those behind them are done before.
        let rows = if number % 4 == 1 { 400 } else { number as usize % 5 + 1 };
        for row in 0..rows {
            let table = if row % 3 == 0 { &staff } else { &people };
            let fails = number > 8 && (row as u64 + number) % 97 == 5;
            let text = if fails { "x".repeat(100 << 10) } else { format!("{number}-{row}") };
            add_rows(&mut batch, table, 1, &text);
            if let Some(row) = batch.rows.last_mut() {
                row.order += (number % 2) * 10_000;
            }
        }
        if number % 2 == 1 {
            let (rows_end, end) = (rows as u32, Lsn(number / 2 * 1000 + 950));
            batch.boundaries.push(Boundary { rows_end, transaction: 0, end, source_rows: 9 });
        }
        events.push(SourceEvent::Batch(batch));
        if number % 7 == 0 {
            let of = v1::SnapshotProgress { rows: number, ..Default::default() };
            events.push(SourceEvent::Snapshot(of));
        }
        if number % 10 == 1 {
            events.push(SourceEvent::Idle(Lsn(number / 2 * 1000 + 960)));
        }
    }
    events
}

fn outcome(workers: usize, policy: FailurePolicy, events: Vec<SourceEvent>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    let plugins = configured(policy);
    // Masked and audited: rows are patched, emitted and failed at.
    let (mut worker, log) = worker_on(opened, &plugins, vec![1, 2]);
    worker.employ(std::num::NonZeroUsize::new(workers).unwrap(), &plugins).unwrap();
    assert_eq!(worker.crew.is_some(), workers > 1);
    let (sender, received) = flume::bounded(4);
    let running = std::thread::spawn(move || {
        worker.run(&received, Requests { letters: None, switches: None })
    });
    for event in events {
        if sender.send(event).is_err() {
            break;
        }
    }
    drop(sender);
    let halt = running.join().unwrap().err().map(|halt| halt.code.into_owned());
    let mut rows: Vec<Logged> = logged(&log).into_iter().flatten().collect();
    for (_, letter) in rows.iter_mut().filter(|row| row.0 == "shop.dead_letters") {
        // It ends with when it was written.
        letter.truncate(letter.len() - 9);
    }
    let mut progress = Vec::new();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    while let Some(group) = reader.next_group().unwrap() {
        progress.extend(group.controls.iter().filter_map(|control| match control {
            Control::SnapshotProgress(progress) => Some(progress.clone()),
            _ => None,
        }));
    }
    drop((reader, log));
    let recovered = offtake_log::open(LogOptions::new(folder.path())).unwrap().recovered;
    Outcome { rows, position: recovered.position.unwrap_or_default(), progress, halt }
}

/// Compares row by row, so that what differs can be read.
fn same(several: &Outcome, alone: &Outcome) {
    for (at, (one, other)) in several.rows.iter().zip(&alone.rows).enumerate() {
        assert_eq!(one, other, "row {at}");
    }
    assert_eq!(several.rows.len(), alone.rows.len());
    assert_eq!(
        (&several.position, &several.progress, &several.halt),
        (&alone.position, &alone.progress, &alone.halt)
    );
}

#[test]
fn with_several_threads_the_log_is_the_same_as_with_one() {
    let policy = FailurePolicy { on_error: OnError::DeadLetter, breaker_percent: None };
    let alone = outcome(1, policy, batches(60));
    assert!(alone.rows.len() > 15 * 400 * 2, "{}", alone.rows.len());
    assert!(alone.rows.iter().any(|row| row.0 == "shop.dead_letters"));
    assert_eq!((&alone.halt, alone.progress.len()), (&None, 8));
    for workers in [2, 5] {
        same(&outcome(workers, policy, batches(60)), &alone);
    }
}

#[test]
fn a_halt_stands_at_the_same_place_however_many_threads_are_ahead_of_it() {
    for policy in [
        FailurePolicy { on_error: OnError::Halt, breaker_percent: None },
        FailurePolicy { on_error: OnError::Drop, breaker_percent: Some(1) },
    ] {
        let events = || failing(batches(40), policy);
        let alone = outcome(1, policy, events());
        assert!(alone.halt.is_some() && !alone.rows.is_empty(), "{:?}", alone.halt);
        same(&outcome(4, policy, events()), &alone);
    }
}

/// Where single failures are left out: behind what is sound, a batch in which everything fails.
fn failing(mut events: Vec<SourceEvent>, policy: FailurePolicy) -> Vec<SourceEvent> {
    if policy.on_error == OnError::Drop {
        let people = table(&["id", "email"]);
        let mut batch = Batch::new();
        batch.push_transaction(Transaction { commit: Lsn(90_900), ..Default::default() });
        add_rows(&mut batch, &people, 800, &"x".repeat(70 << 10));
        events.insert(30, SourceEvent::Batch(batch));
    }
    events
}
