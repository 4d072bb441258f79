//! Connections that break, processes that end, servers that stop: nothing is lost, nothing comes
//! twice, and the server is told nothing too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use offtake_change::Lsn;
use offtake_source_postgres::{SnapshotMode, SourceState};
use offtake_tests::postgres::{Postgres, Version};
use tokio_postgres::Client;

use crate::recorder::{DEADLINE, Log, each, free, options, start, start_with};
use crate::tables::{knows_the_slot, run_until};
use crate::versions;

async fn table(server: &Postgres, hint: &str) -> (String, Client) {
    let database = server.create_database(hint).await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE hidden (v text)")
        .await
        .unwrap();
    (database, client)
}

async fn confirmed(client: &Client, slot: &str) -> Lsn {
    let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
    client.query_one(sql, &[&slot]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

fn ids(log: &Log) -> Vec<i64> {
    log.rows.iter().map(|row| row.after.as_ref().unwrap()[0].parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_cut_in_the_middle_goes_on_at_the_very_row() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = table(server, "cut").await;
        let mut chosen = options(server, &database, &["t"]);
        chosen.snapshot = SnapshotMode::Never;
        chosen.batch_bytes = 4_096;
        let mut log = run_until(&chosen, Log::default(), knows_the_slot).await;
        each(
            &client,
            &[
                "INSERT INTO t VALUES (0, 'x')",
                "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i",
                "INSERT INTO t VALUES (3001, 'y')",
            ],
        )
        .await;
        // Crash again and again in the middle, each time some rows further.
        for stop_at in [500, 501, 1_200, 2_800] {
            let take = Box::new(move |log: &Log| log.rows.len() < stop_at);
            let mut source = start_with(chosen.clone(), log, 1, take);
            source.until("some rows", move |log| log.rows.len() >= stop_at).await;
            log = source.crash().await;
            assert!(log.position.as_ref().unwrap().partial.is_some(), "in the middle");
        }
        let mut source = start(chosen, log);
        source.rows(3_002).await;
        let log = source.stop().await;
        assert_eq!(ids(&log), (0..=3_001).collect::<Vec<i64>>());
        let orders: Vec<u64> = log.rows[1..3_001].iter().map(|row| row.order_in_table).collect();
        assert_eq!(orders, (1..=3_000).collect::<Vec<u64>>());
        assert_eq!(log.transactions, 3);
        let (before, last) = (&log.rows[3_000], &log.rows[3_001]);
        assert!(before.commit < last.previous_commit && last.previous_commit <= last.begin);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_says_the_same_of_the_one_before_it_after_a_crash_in_its_middle() {
    let server = Postgres::shared(Version::System);
    let (database, client) = table(server, "before").await;
    let mut chosen = options(server, &database, &["t"]);
    chosen.snapshot = SnapshotMode::Never;
    chosen.batch_bytes = 4_096;
    let log = run_until(&chosen, Log::default(), knows_the_slot).await;
    each(
        &client,
        &[
            "INSERT INTO t VALUES (0, 'x')",
            "SELECT pg_logical_emit_message(false, 'm', '')",
            "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i",
        ],
    )
    .await;
    let take = Box::new(move |log: &Log| log.rows.len() < 500);
    let mut source = start_with(chosen.clone(), log, 1, take);
    source.until("some rows", |log| log.rows.len() >= 500).await;
    let log = source.crash().await;
    let mut source = start(chosen, log);
    let rows = source.rows(3_002).await;
    let (message, rows) = (&rows[1], &rows[2..]);
    assert!(rows.iter().all(|row| row.previous_commit == message.lsn), "{message:?}");
    source.stop().await;
}

/// The end of a message's record is where the next one begins, here that of the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_right_behind_a_message_outside_of_its_transaction_comes_after_a_crash_between() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = table(server, "behind").await;
        let mut chosen = options(server, &database, &["t"]);
        chosen.snapshot = SnapshotMode::Never;
        // Each change goes by itself.
        chosen.batch_bytes = 1;
        let mut log = run_until(&chosen, Log::default(), knows_the_slot).await;
        for id in 1..=20 {
            let sql = format!(
                "BEGIN;
                 INSERT INTO t VALUES ({id}, 'x');
                 SELECT pg_logical_emit_message(false, '{id}', '');
                 COMMIT"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        // Each time it crashes after a few events, which are changes and the places between them.
        for events in [2, 3, 4].into_iter().cycle() {
            let taken = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&taken);
            let take = Box::new(move |_: &Log| {
                let before = count.load(Ordering::SeqCst);
                count.store(events.min(before + 1), Ordering::SeqCst);
                before < events
            });
            let mut source = start_with(chosen.clone(), log, 1, take);
            let is_done =
                |log: &Log| log.rows.len() >= 40 || taken.load(Ordering::SeqCst) == events;
            source.until("some events", is_done).await;
            log = source.crash().await;
            free(&client, &chosen.slot).await;
            if log.rows.len() >= 40 {
                break;
            }
        }
        let mut source = start(chosen, log);
        source.rows(40).await;
        let log = source.stop().await;
        let expected: Vec<String> =
            (1..=20).flat_map(|id| [id, id]).map(|id| id.to_string()).collect();
        let found: Vec<&str> =
            log.rows.iter().map(|row| row.after.as_ref().unwrap()[0].as_str()).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_backends_and_a_restarted_server_are_survived() {
    for version in [Version::System, Version::V18] {
        let server = Postgres::start(version).unwrap();
        let (database, client) = table(&server, "survive").await;
        let chosen = options(&server, &database, &["t"]);
        let mut source = start(chosen.clone(), Log::default());
        source.until("the snapshot", |log| log.is_done("public.t")).await;
        let mut next = 0_i64;
        for round in 0..6 {
            let values: Vec<String> =
                (0..50).map(|i| format!("INSERT INTO t VALUES ({}, 'v');", next + i)).collect();
            let client = server.connect(&database).await.unwrap();
            client.batch_execute(&values.concat()).await.unwrap();
            next += 50;
            let status = std::sync::Arc::clone(&source.status);
            source.until("a connection", |_| status.report().state == SourceState::Streaming).await;
            let reconnects = source.status.report().reconnects;
            match round {
                1 | 2 => {
                    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'offtake' AND datname = current_database()";
                    client.batch_execute(sql).await.unwrap();
                }
                3 => server.restart().unwrap(),
                4 => {
                    server.crash().unwrap();
                    server.launch().unwrap();
                }
                _ => {}
            }
            if (1..=4).contains(&round) {
                source.until("a new connection", |_| status.report().reconnects > reconnects).await;
            }
            source.until("all rows", |log| log.rows.len() as i64 >= next).await;
        }
        let log = source.stop().await;
        assert_eq!(ids(&log), (0..next).collect::<Vec<i64>>());
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_advances_with_traffic_that_is_not_ours() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = table(server, "idle").await;
        let chosen = options(server, &database, &["t"]);
        let slot = chosen.slot.clone();
        let mut source = start(chosen, Log::default());
        source.until("the snapshot", |log| log.is_done("public.t")).await;
        for elsewhere in ["postgres", &database] {
            let other = server.connect(elsewhere).await.unwrap();
            other
                .batch_execute("CREATE TABLE IF NOT EXISTS hidden (v text); INSERT INTO hidden SELECT repeat('x', 500) FROM generate_series(1, 2000)")
                .await
                .unwrap();
            let text: String =
                other.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
            let place: Lsn = text.parse().unwrap();
            let deadline = tokio::time::Instant::now() + DEADLINE;
            while confirmed(&client, &slot).await < place {
                assert!(tokio::time::Instant::now() < deadline, "the slot stays behind");
                // Idle positions come with the server's keepalives.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let log = source.stop().await;
        assert!(log.rows.is_empty());
        assert!(confirmed(&client, &slot).await <= log.idle(), "never ahead of what is durable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_takes_nothing_costs_no_connection_and_acknowledges_nothing() {
    let server = Postgres::shared(Version::System);
    let (database, client) = table(server, "stuck").await;
    client
        .batch_execute(&format!("ALTER DATABASE {database} SET wal_sender_timeout = '2s'"))
        .await
        .unwrap();
    let chosen = options(server, &database, &["t"]);
    let slot = chosen.slot.clone();
    let mut source = start(chosen.clone(), Log::default());
    source.until("the snapshot", |log| log.is_done("public.t")).await;
    let log = source.stop().await;
    let durable = log.end().max(log.idle());
    let source = start_with(chosen.clone(), log, 1, Box::new(|_| false));
    client
        .batch_execute("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
        .await
        .unwrap();
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
    let mut walsender: Option<i32> = None;
    let end = tokio::time::Instant::now() + Duration::from_secs(7);
    while tokio::time::Instant::now() < end {
        let pid: Option<i32> = client.query_one(sql, &[&slot]).await.unwrap().get(0);
        assert!(walsender.is_none() || walsender == pid, "the connection was lost");
        walsender = walsender.or(pid);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(walsender.is_some());
    assert!(confirmed(&client, &slot).await <= durable, "nothing was taken");
    let log = source.crash().await;
    let mut source = start(chosen, log);
    source.rows(20_000).await;
    source.stop().await;
}
