//! Tables that cannot be captured as configured: said before publication and slot are touched.

use std::time::{Duration, Instant};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_captured_table_that_no_route_takes_is_an_error() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE lost (id int PRIMARY KEY);
               INSERT INTO t VALUES (1)";
    let route = "[[route]]\ntables = [\"public.t\"]";
    let mut fixture = Fixture::new(postgres, "route", sql, "", route).await.unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["ROUTE_MISSING", "public.lost", "[[route]]"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "ROUTE_MISSING", &["public.lost", "[[route]]", "exclude"]);
    assert_eq!(fixture.created().await.unwrap().0, 0, "no slot holds the server's log for nothing");

    fixture.gateway.edit("tables = [\"public.t\"]", "tables = [\"public.?*\"]").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &["*.public.t"]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_appears_without_a_route_halts_and_is_not_acknowledged() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let route = "[[route]]\ntables = [\"public.t\"]";
    let mut fixture = Fixture::new(postgres, "late_route", sql, "", route).await.unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    fixture.stop().unwrap();
    let later = "INSERT INTO t VALUES (2); CREATE TABLE later (id int PRIMARY KEY)";
    fixture.client.batch_execute(later).await.unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "ROUTE_MISSING", &["public.later"]);
    assert_eq!(fixture.unacknowledged_rows().await.unwrap(), 1);

    let tables = "tables = [\"public.*\"]";
    let without = format!("{tables}\nexclude = [\"public.later\"]");
    fixture.gateway.edit(tables, &without).unwrap();
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_replica_identity_is_refused_before_the_publication_is_touched() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE keyless (id int); INSERT INTO keyless VALUES (1)";
    let mut fixture = Fixture::new(postgres, "keyless", sql, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_TABLE", "public.keyless"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(
        3,
        "PG_TABLE",
        &["public.keyless", "primary key", "REPLICA IDENTITY FULL", "exclude"],
    );
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    // The application's own statements go on working.
    fixture.client.batch_execute("UPDATE keyless SET id = 1").await.unwrap();

    fixture.client.batch_execute("ALTER TABLE keyless ADD PRIMARY KEY (id)").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO keyless VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_later_is_named_once_with_the_statement_that_publishes_it() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let source = "create_publication = false\nidle_interval = \"100ms\"";
    let mut fixture = Fixture::new(postgres, "later", sql, source, "").await.unwrap();
    let publication = format!("CREATE PUBLICATION \"{}\" FOR TABLE t", fixture.slot);
    fixture.client.batch_execute(&publication).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    let later = "CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (2)";
    fixture.client.batch_execute(later).await.unwrap();
    let statement =
        format!("ALTER PUBLICATION \"{}\" ADD TABLE \"public\".\"later\";", fixture.slot);
    // As it stands in a line of JSON.
    let quoted = statement.replace('"', "\\\"");
    let deadline = Instant::now() + PATIENCE;
    while !fixture.gateway.output().contains(&quoted) {
        assert!(Instant::now() < deadline, "{}", fixture.gateway.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fixture.client.batch_execute(&statement).await.unwrap();
    fixture.stop().unwrap();
    assert_eq!(fixture.gateway.output().matches("a new table matches").count(), 1);
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_later_that_must_not_be_published_yet_is_named_with_what_it_needs_first() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let source = "idle_interval = \"100ms\"";
    let mut fixture = Fixture::new(postgres, "keyless_later", sql, source, "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    fixture.client.batch_execute("CREATE TABLE later (id int)").await.unwrap();
    let first = "give it a primary key or REPLICA IDENTITY FULL first, or exclude it";
    let deadline = Instant::now() + PATIENCE;
    while !fixture.gateway.output().contains(first) {
        assert!(Instant::now() < deadline, "{}", fixture.gateway.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = fixture.gateway.output();
    assert!(output.contains("it has no primary key"), "{output}");
    fixture
        .client
        .batch_execute("INSERT INTO later VALUES (2); UPDATE later SET id = 3")
        .await
        .unwrap();
    fixture.stop().unwrap();
}
