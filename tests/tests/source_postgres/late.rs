//! Tables that are made while the source runs: somebody is told.

use offtake_tests::postgres::{Postgres, Version};

use crate::recorder::{Log, each, options, start};
use crate::tables::{TWO_TABLES, database, has, publish};

async fn until_told(source: &crate::recorder::Running, tables: &[&str]) {
    let deadline = tokio::time::Instant::now() + crate::recorder::DEADLINE;
    while source.status.report().late_tables != tables {
        let told = source.status.report().late_tables;
        assert!(tokio::time::Instant::now() < deadline, "told of {told:?}, not of {tables:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_later_is_told_of_whether_it_is_published_or_not() {
    let server = Postgres::shared(Version::System);
    let (name, client) = database(server, "late", TWO_TABLES).await;
    let mut chosen = options(server, &name, &["public.*"]);
    chosen.exclude = vec!["public.out*".to_owned()];
    let mut source = start(chosen.clone(), Log::default());
    source.until("the copies", |log| log.is_done("public.a") && log.is_done("public.b")).await;
    each(
        &client,
        &[
            "CREATE TABLE later (id int PRIMARY KEY)",
            "CREATE TABLE out_of_it (id int PRIMARY KEY)",
            "CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)",
            "INSERT INTO later VALUES (1)",
        ],
    )
    .await;
    until_told(&source, &["public.later"]).await;
    let log = source.stop().await;
    assert!(log.rows.is_empty(), "{:?}", log.briefs());
    let mut source = start(chosen, log);
    source.until("its copy", |log| has(log, "r public.later 1")).await;
    until_told(&source, &[]).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_a_wide_publication_tells_at_once() {
    let server = Postgres::shared(Version::System);
    let (name, client) = database(server, "wide", TWO_TABLES).await;
    let mut chosen = options(server, &name, &["public.*"]);
    let log = publish(&client, &chosen, "ALL TABLES").await;
    // The clock brings no second look.
    chosen.idle_interval = std::time::Duration::from_secs(3_600);
    let mut source = start(chosen, log);
    source.until("the copies", |log| log.is_done("public.a") && log.is_done("public.b")).await;
    until_told(&source, &[]).await;
    each(&client, &["CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)"])
        .await;
    until_told(&source, &["public.later"]).await;
    source.stop().await;
}
