//! Tables that come, go and are made anew, while the source runs and while it does not: no row is lost without a word, none comes twice.

use std::time::Duration;

use offtake_proto::v1::SnapshotState;
use offtake_source_postgres::{SnapshotMode, SourceOptions};
use offtake_tests::postgres::Postgres;
use tokio_postgres::Client;

use crate::recorder::{Log, each, options, start, start_with};
use crate::versions;

pub(crate) async fn database(server: &Postgres, hint: &str, tables: &str) -> (String, Client) {
    let database = server.create_database(hint).await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client.batch_execute(tables).await.unwrap();
    (database, client)
}

/// A publication that somebody else made, wider than what is captured.
pub(crate) async fn publish(client: &Client, options: &SourceOptions, what: &str) -> Log {
    let sql = format!("CREATE PUBLICATION \"{}\" FOR {what}", options.publication);
    client.batch_execute(&sql).await.unwrap();
    Log { is_wide: true, ..Log::default() }
}

pub(crate) fn ids_of(log: &Log, table: &str) -> Vec<i64> {
    let rows = log.rows_of(table);
    rows.iter().map(|row| row.after.as_ref().unwrap()[0].parse().unwrap()).collect()
}

pub(crate) fn has(log: &Log, brief: &str) -> bool {
    log.rows.iter().any(|row| row.brief() == brief)
}

/// Runs until the log is as wanted, and stops in good order.
pub(crate) async fn run_until(
    options: &SourceOptions,
    log: Log,
    wanted: impl FnMut(&Log) -> bool,
) -> Log {
    let mut source = start(options.clone(), log);
    source.until("the log as wanted", wanted).await;
    source.stop().await
}

/// Runs until the log has so many rows, and takes no more: a crash inside a transaction.
async fn cut_at(options: &SourceOptions, log: Log, rows: usize) -> Log {
    let take = Box::new(move |log: &Log| log.rows.len() < rows);
    let mut source = start_with(options.clone(), log, 1, take);
    source.until("some rows", move |log| log.rows.len() >= rows).await;
    let log = source.crash().await;
    assert!(log.position.as_ref().unwrap().partial.is_some(), "in the middle");
    log
}

pub(crate) fn knows_the_slot(log: &Log) -> bool {
    log.snapshots.values().any(|one| one.consistent_point.is_some())
}

/// One transaction with 1500 rows for each of `a` and `b`, in turns.
const IN_TURNS: &str = "DO $$ BEGIN FOR i IN 1..1500 LOOP INSERT INTO a VALUES (i, 0); \
     INSERT INTO b VALUES (i, 0); END LOOP; END $$";
pub(crate) const TWO_TABLES: &str =
    "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_without_our_rows_before_one_in_part_is_passed() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "empty", TWO_TABLES).await;
        let mut chosen = options(server, &name, &["a"]);
        chosen.snapshot = SnapshotMode::Never;
        chosen.batch_bytes = 4_096;
        // No idle position comes to help.
        chosen.idle_interval = Duration::MAX;
        chosen.idle_bytes = u64::MAX;
        let log = publish(&client, &chosen, "TABLE a, b").await;
        let log = run_until(&chosen, log, knows_the_slot).await;
        client.batch_execute("INSERT INTO a VALUES (0, 0)").await.unwrap();
        let log = run_until(&chosen, log, |log| log.transactions == 1).await;
        each(
            &client,
            &[
                "INSERT INTO b VALUES (0, 0)",
                "INSERT INTO a SELECT i, 0 FROM generate_series(1, 3000) i",
            ],
        )
        .await;
        let log = cut_at(&chosen, log, 500).await;
        let log = run_until(&chosen, log, |log| log.transactions == 2).await;
        assert_eq!(ids_of(&log, "public.a"), (0..=3_000).collect::<Vec<i64>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_transaction_goes_on_at_the_row_when_a_table_is_captured_no_more() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "fewer", TWO_TABLES).await;
        let mut chosen = options(server, &name, &["a", "b"]);
        chosen.snapshot = SnapshotMode::Never;
        chosen.batch_bytes = 4_096;
        let log = run_until(&chosen, Log::default(), knows_the_slot).await;
        client.batch_execute(IN_TURNS).await.unwrap();
        let mut log = cut_at(&chosen, log, 1_000).await;
        chosen.exclude = vec!["a".to_owned()];
        log.is_wide = true;
        let log = run_until(&chosen, log, |log| log.transactions == 1).await;
        assert_eq!(ids_of(&log, "public.b"), (1..=1_500).collect::<Vec<i64>>());
        // Without any of its tables the transaction still ends.
        client.batch_execute("UPDATE a SET v = 1; INSERT INTO b VALUES (2000, 0)").await.unwrap();
        chosen.exclude.clear();
        let mut log = log;
        log.rows.clear();
        let log = cut_at(&chosen, log, 500).await;
        client.batch_execute("CREATE TABLE c (id int PRIMARY KEY)").await.unwrap();
        chosen.tables = vec!["c".to_owned()];
        let log = run_until(&chosen, log, |log| log.transactions == 2).await;
        assert!(log.position.unwrap().partial.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_transaction_goes_on_at_the_row_when_a_table_is_added_and_it_is_cut_again() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "more", TWO_TABLES).await;
        let mut chosen = options(server, &name, &["a"]);
        chosen.batch_bytes = 4_096;
        let log = publish(&client, &chosen, "TABLE a, b").await;
        let log = run_until(&chosen, log, |log| log.is_done("public.a")).await;
        client.batch_execute(IN_TURNS).await.unwrap();
        let log = cut_at(&chosen, log, 500).await;
        chosen.tables.push("b".to_owned());
        let log = cut_at(&chosen, log, 1_000).await;
        assert_eq!(log.snapshots["public.b"].state(), SnapshotState::Pending);
        let log = run_until(&chosen, log, |log| log.is_done("public.b")).await;
        assert_eq!(ids_of(&log, "public.a"), (1..=1_500).collect::<Vec<i64>>());
        let b = log.rows_of("public.b");
        assert_eq!(b.iter().filter(|row| row.operation == 'r').count(), 1_500, "copied whole");
        let mut streamed: Vec<u64> =
            b.iter().filter(|row| row.operation == 'c').map(|row| row.order).collect();
        streamed.dedup();
        assert_eq!(streamed.len(), b.len() - 1_500, "no change twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_table_that_is_dropped_before_they_are_read_arrive() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "dropped", TWO_TABLES).await;
        client
            .batch_execute("CREATE TYPE mood AS ENUM ('sad'); ALTER TABLE b ADD m mood")
            .await
            .unwrap();
        let chosen = options(server, &name, &["public.*"]);
        let log = run_until(&chosen, Log::default(), |log| {
            log.is_done("public.a") && log.is_done("public.b")
        })
        .await;
        each(
            &client,
            &[
                "INSERT INTO b VALUES (1, 0, 'sad'), (2, 0, NULL)",
                "UPDATE b SET v = 1 WHERE id = 2",
                "DROP TABLE b; DROP TYPE mood",
                "INSERT INTO a VALUES (1, 0)",
            ],
        )
        .await;
        let log = run_until(&chosen, log, |log| has(log, "c public.a 1|0")).await;
        assert_eq!(
            log.briefs(),
            ["c public.b 1|0|sad", "c public.b 2|0|NULL", "u public.b 2|1|NULL", "c public.a 1|0"]
        );
        assert_eq!(log.snapshots["public.b"].state(), SnapshotState::Removed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_anew_is_copied_again() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "anew", TWO_TABLES).await;
        client.batch_execute("INSERT INTO a VALUES (1, 0)").await.unwrap();
        let chosen = options(server, &name, &["a"]);
        let log = run_until(&chosen, Log::default(), |log| log.is_done("public.a")).await;
        let first = log.snapshots["public.a"].relation_id;
        each(
            &client,
            &[
                "INSERT INTO a VALUES (2, 0)",
                "DROP TABLE a",
                "CREATE TABLE a (id int PRIMARY KEY, v int)",
                "INSERT INTO a VALUES (10, 0), (11, 0)",
            ],
        )
        .await;
        let again = move |log: &Log| {
            log.is_done("public.a") && log.snapshots["public.a"].relation_id != first
        };
        let log = run_until(&chosen, log, again).await;
        assert_eq!(
            log.briefs(),
            ["r public.a 1|0", "c public.a 2|0", "r public.a 10|0", "r public.a 11|0"]
        );
        assert!(first != 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_anew_under_the_source_is_taken_and_copied_at_the_next_start() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "under", TWO_TABLES).await;
        let chosen = options(server, &name, &["a"]);
        let log = publish(&client, &chosen, "ALL TABLES").await;
        let mut source = start(chosen.clone(), log);
        source.until("the copy", |log| log.is_done("public.a")).await;
        each(
            &client,
            &[
                "DROP TABLE a",
                "CREATE TABLE a (id int PRIMARY KEY, v int)",
                "INSERT INTO a VALUES (20, 0)",
            ],
        )
        .await;
        source.until("its row", |log| has(log, "c public.a 20|0")).await;
        let log = source.stop().await;
        run_until(&chosen, log, |log| has(log, "r public.a 20|0")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_taken_out_and_comes_back_is_copied_again() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "back", TWO_TABLES).await;
        client.batch_execute("INSERT INTO b VALUES (1, 0), (2, 0)").await.unwrap();
        let both = options(server, &name, &["a", "b"]);
        let log = run_until(&both, Log::default(), |log| log.is_done("public.b")).await;
        let mut log = run_until(&both, log, |log| log.is_done("public.a")).await;
        log.is_wide = true;
        let mut one = both.clone();
        one.tables.truncate(1);
        let mut source = start(one, log);
        source
            .until("b to be taken out", |log| {
                log.snapshots["public.b"].state() == SnapshotState::Removed
            })
            .await;
        client
            .batch_execute("INSERT INTO b VALUES (3, 0); DELETE FROM b WHERE id = 1")
            .await
            .unwrap();
        client.batch_execute("INSERT INTO a VALUES (1, 0)").await.unwrap();
        source.until("the row of a", |log| has(log, "c public.a 1|0")).await;
        let mut log = source.stop().await;
        assert_eq!(ids_of(&log, "public.b"), [1, 2]);
        log.rows.clear();
        let log = run_until(&both, log, |log| log.is_done("public.b")).await;
        assert_eq!(log.briefs(), ["r public.b 2|0", "r public.b 3|0"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_taken_out_of_the_publication_is_not_added_again_without_a_word() {
    for version in versions() {
        let server = Postgres::shared(version);
        let tables = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)";
        let (database, client) = database(server, "unpublished", tables).await;
        let chosen = options(server, &database, &["a", "b"]);
        let is_copied = |log: &Log| log.is_done("public.a") && log.is_done("public.b");
        let log = run_until(&chosen, Log::default(), is_copied).await;
        let publication = &chosen.publication;
        let sql = [
            &format!("ALTER PUBLICATION \"{publication}\" DROP TABLE b"),
            "INSERT INTO b VALUES (1)",
        ];
        each(&client, &sql).await;
        let error = start(chosen.clone(), log.clone()).halted().await;
        assert_eq!(error.code(), "PG_TABLE_UNPUBLISHED");
        assert!(error.to_string().contains("has public.b no more"), "{error}");
        // Left out and taken in again it is copied, with what was missed.
        let mut without = chosen.clone();
        without.exclude = vec!["public.b".to_owned()];
        let is_removed = |log: &Log| log.snapshots["public.b"].state() == SnapshotState::Removed;
        let log = run_until(&without, log, is_removed).await;
        let log = run_until(&chosen, log, |log| log.is_done("public.b")).await;
        assert_eq!(ids_of(&log, "public.b"), [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_dropped_under_the_source_ends_it_with_the_place_kept() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) =
            database(server, "dropped", "CREATE TABLE a (id int PRIMARY KEY)").await;
        let chosen = options(server, &database, &["a"]);
        let mut source = start(chosen.clone(), Log::default());
        source.until("the copy", |log| log.is_done("public.a")).await;
        each(&client, &["INSERT INTO a VALUES (1)"]).await;
        source.rows(1).await;
        let drop = format!("DROP PUBLICATION \"{}\"", chosen.publication);
        each(&client, &[&drop, "INSERT INTO a VALUES (2)"]).await;
        let (error, log) = source.halted_with_log().await;
        assert_eq!(error.code(), "PG_SERVER", "{error}");
        assert!(error.to_string().contains(&chosen.publication), "{error}");
        assert_eq!(ids_of(&log, "public.a"), [1]);
        let error = start(chosen, log).halted().await;
        assert_eq!(error.code(), "PG_TABLE_UNPUBLISHED");
    }
}
