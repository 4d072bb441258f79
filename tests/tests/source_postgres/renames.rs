//! Tables that change their names: nothing passes under a name that nobody decided about, and every
//! way out that the halt names works.

use offtake_proto::v1::SnapshotState;
use offtake_source_postgres::{SnapshotMode, SourceOptions};
use offtake_tests::postgres::{Postgres, Version};

use crate::recorder::{Log, each, free, options, start};
use crate::tables::{TWO_TABLES, database, has, ids_of, run_until};
use crate::versions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_renamed_halts_until_it_is_taken_in_under_its_new_name() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "renamed", TWO_TABLES).await;
        client.batch_execute("INSERT INTO a VALUES (1, 0)").await.unwrap();
        let mut chosen = options(server, &name, &["public.*"]);
        let log = run_until(&chosen, Log::default(), |log| {
            log.is_done("public.a") && log.is_done("public.b")
        })
        .await;
        each(
            &client,
            &[
                "INSERT INTO a VALUES (2, 0)",
                "ALTER TABLE a RENAME TO other",
                "INSERT INTO other VALUES (3, 0)",
            ],
        )
        .await;
        let error = start(chosen.clone(), log.clone()).halted().await;
        assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
        assert_eq!(error.to_string(), "table public.a is now public.other");
        // Its name in the configuration is not enough.
        let mut named = chosen.clone();
        named.tables = vec!["other".to_owned(), "b".to_owned()];
        let error = start(named, log.clone()).halted().await;
        assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
        chosen.exclude = vec!["other".to_owned()];
        client.batch_execute("INSERT INTO b VALUES (1, 0)").await.unwrap();
        let mut log = log;
        log.is_wide = true;
        let log = run_until(&chosen, log, |log| has(log, "c public.b 1|0")).await;
        assert_eq!(log.briefs(), ["r public.a 1|0", "c public.a 2|0", "c public.b 1|0"]);
        assert_eq!(log.snapshots["public.a"].state(), SnapshotState::Removed);
        chosen.exclude.clear();
        let log = run_until(&chosen, log, |log| log.is_done("public.other")).await;
        assert_eq!(ids_of(&log, "public.other"), [1, 2, 3]);
        assert!(log.rows_of("public.other").iter().all(|row| row.operation == 'r'));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_renamed_under_the_source_halts_before_a_row_of_it() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "underway", TWO_TABLES).await;
        client.batch_execute("CREATE SCHEMA far").await.unwrap();
        let chosen = options(server, &name, &["public.*"]);
        for (change, row, now) in [
            ("ALTER TABLE a RENAME TO other", "INSERT INTO other VALUES (1, 0)", "public.other"),
            ("ALTER TABLE b SET SCHEMA far", "INSERT INTO far.b VALUES (1, 0)", "far.b"),
        ] {
            let mut source = start(chosen.clone(), Log::default());
            source
                .until("the copies", |log| {
                    log.snapshots.len() == 2 && log.snapshots.keys().all(|table| log.is_done(table))
                })
                .await;
            each(&client, &[change, row]).await;
            let (error, halted) = source.halted_with_log().await;
            assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
            assert!(error.to_string().ends_with(now), "{error}");
            assert!(halted.rows.iter().all(|row| row.operation == 'r'), "{:?}", halted.briefs());
            assert!(error.next_step().contains("offtake resync"));
            let slot = &chosen.slot;
            free(&client, slot).await;
            client.execute("SELECT pg_drop_replication_slot($1)", &[slot]).await.unwrap();
        }
    }
}

/// Halts with the table's two names, however it is tried.
async fn expect_renamed(options: &SourceOptions, log: &Log, was: &str, now: &str) {
    let error = start(options.clone(), log.clone()).halted().await;
    assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
    assert_eq!(error.to_string(), format!("table {was} is now {now}"));
    let step = error.next_step();
    assert!(step.contains(&format!("back to {was}")), "{step}");
    assert!(step.contains(&format!("'{now}' into `tables` and '{was}' into `exclude`")), "{step}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_gets_its_name_back_goes_on_by_itself_with_the_rows_of_the_time_between() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (name, client) = database(server, "nameback", TWO_TABLES).await;
        client.batch_execute("INSERT INTO a VALUES (1, 0)").await.unwrap();
        let chosen = options(server, &name, &["public.*"]);
        let mut source = start(chosen.clone(), Log::default());
        source.until("the copies", |log| log.is_done("public.a") && log.is_done("public.b")).await;
        each(&client, &["ALTER TABLE a RENAME TO other", "INSERT INTO other VALUES (2, 0)"]).await;
        let (error, log) = source.halted_with_log().await;
        assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
        expect_renamed(&chosen, &log, "public.a", "public.other").await;
        each(&client, &["ALTER TABLE other RENAME TO a", "INSERT INTO a VALUES (3, 0)"]).await;
        let mut source = start(chosen, log);
        source.until("the row after it", |log| has(log, "c public.a 3|0")).await;
        // And while the source runs, a name of the meantime is none that halts.
        let swap = "BEGIN; ALTER TABLE a RENAME TO c; INSERT INTO c VALUES (4, 0); \
                    ALTER TABLE c RENAME TO a; COMMIT";
        client.batch_execute(swap).await.unwrap();
        let log = source.until("the row within", |log| has(log, "c public.a 4|0")).await;
        assert_eq!(ids_of(&log, "public.a"), [1, 2, 3, 4]);
        assert_eq!(log.rows.len(), 4, "{:?}", log.briefs());
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_table_renamed_out_of_the_globs_is_named_and_not_said_to_be_missing() {
    let server = Postgres::shared(Version::System);
    let (name, client) = database(server, "only", TWO_TABLES).await;
    client.batch_execute("INSERT INTO a VALUES (1, 0)").await.unwrap();
    let mut chosen = options(server, &name, &["a"]);
    let log = run_until(&chosen, Log::default(), |log| log.is_done("public.a")).await;
    each(&client, &["ALTER TABLE a RENAME TO other", "INSERT INTO other VALUES (2, 0)"]).await;
    expect_renamed(&chosen, &log, "public.a", "public.other").await;
    // With other tables captured as well it is no silent gap either.
    chosen.tables = vec!["a".to_owned(), "b".to_owned()];
    expect_renamed(&chosen, &log, "public.a", "public.other").await;
    // The new name alone, deployed with the rename, is not enough.
    chosen.tables = vec!["other".to_owned()];
    expect_renamed(&chosen, &log, "public.a", "public.other").await;
    // As the halt says, in one step.
    chosen.exclude = vec!["public.a".to_owned()];
    let log = run_until(&chosen, log, |log| log.is_done("public.other")).await;
    let copied: Vec<String> =
        log.briefs().into_iter().filter(|brief| brief.starts_with('r')).collect();
    assert_eq!(copied, ["r public.a 1|0", "r public.other 1|0", "r public.other 2|0"]);
    assert_eq!(log.snapshots["public.a"].state(), SnapshotState::Removed);
    // What was written for that start may stay or go.
    chosen.exclude.clear();
    client.batch_execute("INSERT INTO other VALUES (3, 0)").await.unwrap();
    run_until(&chosen, log, |log| has(log, "c public.other 3|0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_copy_that_is_renamed_halts_as_well() {
    let server = Postgres::shared(Version::System);
    let (name, client) = database(server, "uncopied", TWO_TABLES).await;
    let mut chosen = options(server, &name, &["public.*"]);
    chosen.snapshot = SnapshotMode::Never;
    let mut source = start(chosen.clone(), Log::default());
    let known = |log: &Log| log.snapshots.values().all(|one| one.consistent_point.is_some());
    source.until("the slot", |log| log.snapshots.len() == 2 && known(log)).await;
    each(&client, &["ALTER TABLE a RENAME TO other", "INSERT INTO other VALUES (1, 0)"]).await;
    let (error, log) = source.halted_with_log().await;
    assert_eq!(error.code(), "PG_TABLE_RENAMED", "{error}");
    client.batch_execute("ALTER TABLE other RENAME TO a").await.unwrap();
    run_until(&chosen, log, |log| has(log, "c public.a 1|0")).await;
}
