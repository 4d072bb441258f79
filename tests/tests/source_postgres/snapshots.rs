//! Snapshots: whole, cut off, and of tables that come later.

use offtake_change::Snapshot;
use offtake_proto::v1::SnapshotState;
use offtake_source_postgres::SnapshotMode;
use offtake_tests::postgres::{Postgres, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::recorder::{Log, free, options, start, start_with};
use crate::versions;

/// The rows of a table as its changes leave them, by key; a change of a row that is not there, or
/// an old value after a newer one, is a panic.
fn replay(log: &Log, table: &str) -> BTreeMap<i64, i64> {
    let mut rows = BTreeMap::new();
    for row in log.rows_of(table) {
        let image = row.after.as_ref().or(row.before.as_ref()).unwrap();
        let id: i64 = image[0].parse().unwrap();
        if row.operation == 'd' {
            rows.remove(&id);
            continue;
        }
        let version: i64 = image[1].parse().unwrap();
        if let Some(known) = rows.insert(id, version) {
            assert!(known <= version, "row {id} of {table} went from {known} back to {version}");
        }
    }
    rows
}

async fn in_server(client: &tokio_postgres::Client, table: &str) -> BTreeMap<i64, i64> {
    let rows =
        client.query(&format!("SELECT id::bigint, v::bigint FROM {table}"), &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_marks_its_first_and_last_rows_and_the_stream_follows_on() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("marks").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE a (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, v int);
                 INSERT INTO a (id, v) SELECT i, 0 FROM generate_series(1, 3) i;
                 CREATE TABLE b_empty (id int PRIMARY KEY, v int);
                 CREATE TABLE c (id int PRIMARY KEY, v int) PARTITION BY HASH (id);
                 CREATE TABLE c1 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                 CREATE TABLE c2 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 1);
                 INSERT INTO c SELECT i, 0 FROM generate_series(1, 2) i;
                 CREATE TABLE d_empty (id int PRIMARY KEY, v int); ANALYZE",
            )
            .await
            .unwrap();
        let mut source = start(options(server, &database, &["*"]), Log::default());
        source.rows(5).await;
        client
            .batch_execute("INSERT INTO a (id, v) VALUES (4, 0); UPDATE c SET v = 1 WHERE id = 1")
            .await
            .unwrap();
        let rows = source.rows(7).await;
        let markers: Vec<Snapshot> = rows.iter().map(|row| row.snapshot).collect();
        assert_eq!(
            markers,
            [
                Snapshot::First,
                Snapshot::Row,
                Snapshot::LastInTable,
                Snapshot::FirstInTable,
                Snapshot::Last,
                Snapshot::None,
                Snapshot::None
            ]
        );
        assert_eq!(rows[2].brief(), "r public.a 3|0");
        assert_eq!((rows[2].order, rows[2].transaction.as_str()), (3, ""));
        assert_eq!(rows[5].brief(), "c public.a 4|0");
        assert_eq!(rows[0].schema, rows[5].schema);
        assert_eq!(rows[3].schema, rows[6].schema);
        let log = source.stop().await;
        assert!(log.snapshots.values().all(|one| one.state() == SnapshotState::Done));
        assert_eq!((log.snapshots["public.a"].rows, log.snapshots["public.a"].estimate), (3, 3));
        assert_eq!(log.snapshots["public.d_empty"].rows, 0);
        let pending =
            log.snapshot_events.iter().take(4).all(|(_, state)| *state == SnapshotState::Pending);
        assert!(
            pending,
            "every table is announced before the first row: {:?}",
            log.snapshot_events
        );
        // A second run copies nothing again.
        let source = start(options(server, &database, &["*"]), log);
        client.batch_execute("INSERT INTO a (id, v) VALUES (5, 0)").await.unwrap();
        let mut source = source;
        source.rows(8).await;
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_cut_off_is_finished_at_a_later_place_without_an_old_row() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("cutoff").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 0 FROM generate_series(1, 200) i;
                 CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, 0 FROM generate_series(1, 5000) i;
                 CREATE TABLE c (id int PRIMARY KEY, v int); INSERT INTO c SELECT i, 0 FROM generate_series(1, 300) i",
            )
            .await
            .unwrap();
        let mut chosen = options(server, &database, &["*"]);
        chosen.batch_bytes = 8_192;
        let take = Box::new(|log: &Log| log.rows.len() < 1_500);
        let mut source = start_with(chosen.clone(), Log::default(), 1, take);
        source.until("half of b", |log| log.rows.len() >= 1_500).await;
        let log = source.crash().await;
        assert!(log.is_done("public.a") && !log.is_done("public.b"));
        // What happens while nobody looks: changes of rows that were copied and that were not.
        client
            .batch_execute(
                "UPDATE a SET v = 1 WHERE id <= 50; UPDATE b SET v = 1 WHERE id % 10 = 0; DELETE FROM b WHERE id % 100 = 7;
                 INSERT INTO c VALUES (1000, 1); DELETE FROM c WHERE id = 1; INSERT INTO b VALUES (9000, 1); DELETE FROM b WHERE id = 9000",
            )
            .await
            .unwrap();
        // And while the second try runs.
        let writer = server.connect(&database).await.unwrap();
        let writing = tokio::spawn(async move {
            for version in 2..60 {
                writer
                    .batch_execute(&format!("UPDATE a SET v = {version} WHERE id = 3; UPDATE b SET v = {version} WHERE id IN (20, 4000); UPDATE c SET v = {version} WHERE id = 9"))
                    .await
                    .unwrap();
            }
        });
        // Cut off once more, in the second try.
        let before = log.rows.len();
        let take = Box::new(move |log: &Log| log.rows.len() < before + 2_500);
        let mut source = start_with(chosen.clone(), log, 1, take);
        source.until("half of b again", move |log| log.rows.len() >= before + 2_500).await;
        let log = source.crash().await;
        let mut source = start(chosen, log);
        source
            .until("the snapshot", |log| log.is_done("public.b") && log.is_done("public.c"))
            .await;
        writing.await.unwrap();
        client.batch_execute("INSERT INTO a VALUES (777777, 1)").await.unwrap();
        source
            .until("the last row", |log| {
                log.rows.iter().any(|row| row.brief() == "c public.a 777777|1")
            })
            .await;
        let log = source.stop().await;
        for table in ["a", "b", "c"] {
            assert_eq!(
                replay(&log, &format!("public.{table}")),
                in_server(&client, table).await,
                "{table}"
            );
        }
        let reads = log.rows_of("public.a").iter().filter(|row| row.operation == 'r').count();
        assert_eq!(reads, 200, "a finished table is not copied again");
        only_the_slot_is_left(&client).await;
    }
}

/// Temporary slots go with their sessions, and the server may notice late that one of a process
/// that was killed is gone.
async fn only_the_slot_is_left(client: &tokio_postgres::Client) {
    let sql = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 1 {
        assert!(std::time::Instant::now() < deadline, "temporary slots are left");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_added_later_is_copied_at_its_place_in_the_stream() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("later").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 0)",
            )
            .await
            .unwrap();
        let mut source = start(options(server, &database, &["a"]), Log::default());
        source.rows(1).await;
        let log = source.stop().await;
        client
            .batch_execute("CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b VALUES (1, 0), (2, 0); UPDATE a SET v = 1; UPDATE b SET v = 1 WHERE id = 2")
            .await
            .unwrap();
        let mut source = start(options(server, &database, &["a", "b"]), log);
        source.until("the copy of b", |log| log.is_done("public.b")).await;
        client.batch_execute("UPDATE b SET v = 2; UPDATE a SET v = 2").await.unwrap();
        source
            .until("the stream", |log| log.rows.iter().any(|row| row.brief() == "u public.a 1|2"))
            .await;
        let log = source.stop().await;
        for table in ["a", "b"] {
            assert_eq!(replay(&log, &format!("public.{table}")), in_server(&client, table).await);
        }
        assert_eq!(log.rows_of("public.a").iter().filter(|row| row.operation == 'r').count(), 1);
        assert_eq!(log.rows_of("public.b").iter().filter(|row| row.operation == 'r').count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copying_session_that_is_terminated_begins_again_by_itself() {
    let server = Postgres::shared(Version::System);
    let database = server.create_database("again").await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client
        .batch_execute("CREATE TABLE a (id int PRIMARY KEY, v int, pad text); INSERT INTO a SELECT i, 0, repeat('x', 500) FROM generate_series(1, 40000) i")
        .await
        .unwrap();
    let mut chosen = options(server, &database, &["a"]);
    chosen.batch_bytes = 8_192;
    let go = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&go);
    let take = Box::new(move |log: &Log| log.rows.len() <= 500 || gate.load(Ordering::Relaxed));
    let mut source = start_with(chosen, Log::default(), 1, take);
    source.until("some rows", |log| log.rows.len() > 500).await;
    let killed = client
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND datname = current_database()", &[])
        .await
        .unwrap();
    assert_eq!(killed, 1);
    client.batch_execute("UPDATE a SET v = 1 WHERE id <= 10").await.unwrap();
    go.store(true, Ordering::Relaxed);
    source.until("the copy", |log| log.is_done("public.a")).await;
    client.batch_execute("UPDATE a SET v = 2 WHERE id = 5").await.unwrap();
    source
        .until("the stream", |log| {
            log.rows
                .last()
                .is_some_and(|row| row.operation == 'u' && row.after.as_ref().unwrap()[1] == "2")
        })
        .await;
    let log = source.stop().await;
    assert_eq!(replay(&log, "public.a"), in_server(&client, "a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_snapshot_only_changes_come_and_the_log_says_so() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("never").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 0)",
            )
            .await
            .unwrap();
        let mut chosen = options(server, &database, &["a"]);
        chosen.snapshot = SnapshotMode::Never;
        let mut source = start(chosen, Log::default());
        source
            .until("the slot", |log| {
                log.snapshots.values().any(|one| one.consistent_point.is_some())
            })
            .await;
        client.batch_execute("UPDATE a SET v = 1").await.unwrap();
        let rows = source.rows(1).await;
        assert_eq!(rows[0].brief(), "u public.a 1|1");
        let log = source.stop().await;
        assert_eq!(log.snapshots["public.a"].state(), SnapshotState::Skipped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_captured_without_its_rows_stays_so_when_the_setting_changes() {
    let server = Postgres::shared(Version::System);
    let database = server.create_database("switched").await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 0);
             CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b VALUES (1, 0)",
        )
        .await
        .unwrap();
    let mut chosen = options(server, &database, &["a"]);
    chosen.snapshot = SnapshotMode::Never;
    let known = |log: &Log| log.snapshots.values().any(|one| one.consistent_point.is_some());
    let mut source = start(chosen.clone(), Log::default());
    source.until("the slot", known).await;
    let mut log = source.stop().await;
    // With and without another table to copy.
    chosen.snapshot = SnapshotMode::Initial;
    for (tables, rows) in [(&["a"][..], 0), (&["a", "b"], 1)] {
        chosen.tables = tables.iter().map(|&table| table.to_owned()).collect();
        log.rows.clear();
        let mut source = start(chosen.clone(), std::mem::take(&mut log));
        client.batch_execute("UPDATE a SET v = v + 1").await.unwrap();
        let copied = |log: &Log| rows == 0 || log.is_done("public.b");
        source
            .until("the stream", |log| {
                copied(log) && log.rows.iter().any(|row| row.operation == 'u')
            })
            .await;
        log = source.stop().await;
        assert_eq!(log.snapshots["public.a"].state(), SnapshotState::Skipped);
        assert!(log.rows_of("public.a").iter().all(|row| row.operation == 'u'));
        assert_eq!(log.rows_of("public.b").len(), rows);
        free(&client, &chosen.slot).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_cut_off_around_the_slots_creation_goes_on_by_itself() {
    let server = Postgres::shared(Version::System);
    let database = server.create_database("birth").await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client
        .batch_execute("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 0)")
        .await
        .unwrap();
    let chosen = options(server, &database, &["a"]);
    // The log has the announcement and nothing after it, as after a crash.
    let take = Box::new(|log: &Log| log.idles == 0);
    let mut source = start_with(chosen.clone(), Log::default(), 1, take);
    source.until("the announcement", |log| log.idles == 1).await;
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1";
    let deadline = tokio::time::Instant::now() + crate::recorder::DEADLINE;
    while client.query_one(slots, &[&chosen.slot]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let log = source.crash().await;
    client
        .batch_execute("INSERT INTO a VALUES (2, 0); UPDATE a SET v = 1 WHERE id = 1")
        .await
        .unwrap();
    let mut source = start(chosen.clone(), log.clone());
    source.until("the copy", |log| log.is_done("public.a")).await;
    let after = source.stop().await;
    assert_eq!(replay(&after, "public.a"), in_server(&client, "a").await);
    // The same with no slot: the process ended before it was created.
    free(&client, &chosen.slot).await;
    client.execute("SELECT pg_drop_replication_slot($1)", &[&chosen.slot]).await.unwrap();
    let mut source = start(chosen, log);
    source.until("the copy", |log| log.is_done("public.a")).await;
    let after = source.stop().await;
    assert_eq!(replay(&after, "public.a"), in_server(&client, "a").await);
}
