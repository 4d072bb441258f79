//! What plugins keep, as the log tells it: at every position that of exactly the rows before it,
//! however the source cut its batches.

use std::collections::HashSet;

use offtake_state::{Keyspace, States};

use super::*;

/// The example plugin that numbers changes.
const COUNTER: &[u8] = include_bytes!("../../../../../plugins/dist/counter.wasm");

/// A row: which of two tables, and its address.
type Written = (usize, String);

/// A worker whose plugins let each address pass once and number what passes, on a log of its own.
fn keeping(folder: &std::path::Path) -> (Worker, Log) {
    let opened = offtake_log::open(LogOptions::new(folder)).unwrap();
    let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
    let dedupe = offtake_transform::builtin("dedupe").unwrap();
    let plugins = [
        ("once", dedupe, r#"{"by":["email"],"across_tables":true}"#),
        ("nth", COUNTER, r#"{"by":"kind","into":"nth"}"#),
    ];
    let plugins = plugins.map(|(name, component, config)| {
        let spec = PluginSpec {
            name: name.into(),
            component: component.to_vec(),
            config_json: config.into(),
            limits: Limits::default(),
            state: Some(Keyspace::new(1 << 30)),
        };
        let plugin = Plugin::load(&engine, spec).unwrap();
        Configured {
            plugin,
            counters: Arc::default(),
            policy: FailurePolicy::default(),
            columns: Arc::default(),
        }
    });
    worker_on(opened, &plugins, vec![0, 1])
}

/// The transactions as batches of so many rows each, again and again.
fn batches(transactions: &[Vec<Written>], cut: &[usize]) -> Vec<Batch> {
    let people = table(&["email", "kind", "note"]);
    let staff = Arc::new(TableSchema { table: "staff".to_owned(), ..TableSchema::clone(&people) });
    let tables = [people, staff];
    let (mut all, mut sizes) = (Vec::new(), cut.iter().cycle());
    let (mut batch, mut left) = (Batch::new(), sizes.next().copied().unwrap());
    for (number, rows) in (1_u64..).zip(transactions) {
        let transaction = Transaction {
            id: number.to_string(),
            commit: Lsn(number * 1000),
            // Now and then a commit has an earlier time than the one before it.
            commit_unix_us: (1_700_000_000 + (number * 7 % 5 + number / 3) as i64) * 1_000_000,
            ..Transaction::default()
        };
        let mut index = batch.push_transaction(transaction.clone());
        for (order, (which, email)) in (1_u64..).zip(rows) {
            if left == 0 {
                all.push(std::mem::replace(&mut batch, Batch::new()));
                left = sizes.next().copied().unwrap();
                index = batch.push_transaction(transaction.clone());
            }
            left -= 1;
            let schema = batch.schema_index(&tables[*which]);
            let note = "x".repeat(3000);
            let cells =
                [email.as_str(), &email[..1], &note].map(|text| batch.text(text.as_bytes()));
            let begin = batch.begin_image();
            cells.into_iter().for_each(|cell| batch.push_cell(cell));
            batch.rows.push(Row {
                schema,
                transaction: index,
                lsn: Lsn(number * 1000 + order),
                order,
                order_in_table: order,
                ..Row::new(Operation::Create, Image::NONE, batch.end_image(begin))
            });
        }
        let rows_end = batch.rows.len() as u32;
        let (end, source_rows) = (Lsn(number * 1000 + 999), rows.len() as u64);
        batch.boundaries.push(Boundary { rows_end, transaction: index, end, source_rows });
    }
    all.push(batch);
    all
}

/// Runs a worker over the batches. Gives the states at the end, after those at every position were
/// compared with what the rows before it ask for.
fn states(transactions: &[Vec<Written>], cut: &[usize]) -> (States, u64) {
    let folder = tempfile::tempdir().unwrap();
    let (worker, log) = keeping(folder.path());
    let begin = log.end();
    let (events, received) = flume::unbounded();
    let people = table(&["email", "kind", "note"]);
    events.send(started(&[people])).unwrap();
    for batch in batches(transactions, cut) {
        events.send(SourceEvent::Batch(batch)).unwrap();
    }
    drop(events);
    worker.run(&received, Requests { letters: None, switches: None }).unwrap();
    let (mut states, mut places) = (States::default(), 0);
    let mut walk = log.walk(begin).unwrap();
    while let Some(controls) = walk.next_controls().unwrap() {
        for control in &controls {
            match control {
                Control::StateDelta(delta) => states.apply(delta),
                Control::SourcePosition(position) => {
                    let whole = (lsn_of(position.end.as_ref()).0 / 1000) as usize;
                    let part = position.partial.as_ref().map_or(0, |partial| partial.next_row);
                    let rows = transactions[..whole].iter().flatten();
                    let rest = transactions.get(whole).into_iter().flatten().take(part as usize);
                    let addresses: HashSet<&String> = rows.chain(rest).map(|row| &row.1).collect();
                    let kept = states.clone().take("once").len();
                    assert_eq!(kept, addresses.len(), "{cut:?}, at {whole} and {part} rows");
                    places += 1;
                }
                _ => {}
            }
        }
    }
    assert!(places > 1, "{cut:?}: {places}");
    let logged = log.durable().borrow().sequence;
    (states, logged)
}

#[test]
fn at_every_position_the_state_is_that_of_the_rows_before_it_however_batches_are_cut() {
    let row = |number: usize| (number % 3 / 2, format!("{}{}@x", number % 3, number * 7 % 500));
    // Small ones, and one of several pieces.
    let sizes = [1, 3, 2, 5, 1, 1, 4, 900, 2, 3, 1, 40];
    let mut number = 0..;
    let transactions: Vec<Vec<Written>> =
        sizes.iter().map(|size| number.by_ref().take(*size).map(row).collect()).collect();
    let all: HashSet<&String> = transactions.iter().flatten().map(|row| &row.1).collect();
    let whole = states(&transactions, &[10_000]);
    assert_eq!(whole.1, all.len() as u64, "each address passed once");
    for cut in [&[1][..], &[3], &[7, 2], &[100, 1, 33], &[400]] {
        assert!(states(&transactions, cut) == whole, "{cut:?}");
    }
}
