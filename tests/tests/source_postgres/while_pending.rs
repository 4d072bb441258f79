//! Tables that change while they wait to be copied: the snapshot copies what is there, says what is
//! not, and is never tried for ever.

use offtake_proto::v1::SnapshotState;
use offtake_source_postgres::{SourceError, SourceOptions, SourceState};
use offtake_tests::postgres::Postgres;
use tokio_postgres::Client;

use crate::recorder::{DEADLINE, Log, Running, each, options, start};
use crate::tables::{database, has, ids_of, run_until};
use crate::versions;

const THREE_TABLES: &str = "CREATE TABLE a (id int PRIMARY KEY, v int); \
     CREATE TABLE b (id int PRIMARY KEY, v int); CREATE TABLE c (id int PRIMARY KEY, v int); \
     INSERT INTO a VALUES (1, 0); INSERT INTO b VALUES (1, 0); INSERT INTO c VALUES (1, 0)";

/// Starts the source, and holds the creation of its slot by an open transaction until the
/// statements have run: by then every table is announced and none is copied.
async fn start_and_run_before_the_copy(
    server: &Postgres,
    client: &Client,
    chosen: &SourceOptions,
    statements: &[&str],
) -> Running {
    let holder = server.connect(&chosen.connect.database).await.unwrap();
    holder.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
    let mut source = start(chosen.clone(), Log::default());
    let announced = |log: &Log| !log.snapshots.is_empty() && log.idles == 1;
    source.until("the announcement", announced).await;
    let creating = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1";
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while client.query_one(creating, &[&chosen.slot]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the slot's creation does not begin");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    each(client, statements).await;
    holder.batch_execute("COMMIT").await.unwrap();
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_dropped_before_its_copy_is_settled_and_one_made_anew_is_taken_at_the_next_start() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "gone", THREE_TABLES).await;
        let chosen = options(server, &name, &["public.*"]);
        let statements = [
            "DROP TABLE b",
            "DROP TABLE c",
            "CREATE TABLE c (id int PRIMARY KEY, v int, w int)",
            "INSERT INTO c VALUES (7, 0, 0)",
        ];
        let mut source = start_and_run_before_the_copy(server, &client, &chosen, &statements).await;
        let settled = |log: &Log| {
            let state = |table: &str| log.snapshots[table].state();
            log.is_done("public.a")
                && state("public.b") == SnapshotState::Removed
                && state("public.c") == SnapshotState::Removed
        };
        source.until("the copy and what is gone", settled).await;
        client.batch_execute("INSERT INTO a VALUES (2, 0)").await.unwrap();
        source.until("the stream", |log| has(log, "c public.a 2|0")).await;
        let log = source.stop().await;
        assert_eq!(log.briefs(), ["r public.a 1|0", "c public.a 2|0"]);
        // The new c is another table, taken by the next run with all its columns.
        let log = run_until(&chosen, log, |log| log.is_done("public.c")).await;
        assert!(has(&log, "r public.c 7|0|0"), "{:?}", log.briefs());
        assert_eq!(ids_of(&log, "public.c"), [7]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_table_left_the_snapshot_is_settled_and_the_stream_goes_on() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "none_left", THREE_TABLES).await;
        let chosen = options(server, &name, &["a"]);
        let mut source =
            start_and_run_before_the_copy(server, &client, &chosen, &["DROP TABLE a"]).await;
        let removed = |log: &Log| log.snapshots["public.a"].state() == SnapshotState::Removed;
        source.until("that it is gone", removed).await;
        client
            .batch_execute("SELECT pg_logical_emit_message(true, 'p', 'still there')")
            .await
            .unwrap();
        source.until("a message", |log| log.rows.len() == 1).await;
        assert_eq!(source.status.report().state, SourceState::Streaming);
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_renamed_before_its_copy_halts_and_is_copied_once_it_has_its_name_back() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "pending", THREE_TABLES).await;
        let chosen = options(server, &name, &["a", "b"]);
        for rename in
            [&["ALTER TABLE b RENAME TO d"][..], &["CREATE SCHEMA s", "ALTER TABLE b SET SCHEMA s"]]
        {
            let source = start_and_run_before_the_copy(server, &client, &chosen, rename).await;
            let (error, log) = source.halted_with_log().await;
            assert!(matches!(error, SourceError::Renamed { .. }), "{error}");
            assert!(error.to_string().starts_with("table public.b is now "), "{error}");
            let back = if rename.len() == 1 {
                "ALTER TABLE d RENAME TO b"
            } else {
                "ALTER TABLE s.b SET SCHEMA public"
            };
            client.batch_execute(back).await.unwrap();
            let log =
                run_until(&chosen, log, |log| log.is_done("public.a") && log.is_done("public.b"))
                    .await;
            assert_eq!(log.briefs(), ["r public.a 1|0", "r public.b 1|0"]);
            crate::recorder::free(&client, &chosen.slot).await;
            let drop_slot = "SELECT pg_drop_replication_slot($1)";
            client.execute(drop_slot, &[&chosen.slot]).await.unwrap();
        }
    }
}
