//! A database that cannot be used: not there, not this one, not with this login, not with these
//! settings.

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::ports::free_address;
use offtake_tests::postgres::{Postgres, Setup, Version};
use offtake_tests::subscriber::Subscriber;

use crate::proxy::Proxy;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";

/// The pipeline runs and every row is there once.
async fn all_rows_arrive(mut fixture: Fixture) {
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_is_named_and_waited_for() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "unreachable", TABLE, "", "").await.unwrap();
    let address = free_address();
    let own = postgres.url(&fixture.database);
    let there = format!("postgres://postgres@{address}/{}?sslmode=disable", fixture.database);
    fixture.gateway.edit(&own, &there).unwrap();
    let place = address.to_string();
    let next = "check host, port and firewall";
    fixture.command(&["check"]).unwrap().expect(2, &["PG_UNREACHABLE", &place, next]);

    fixture.gateway.start("").unwrap();
    let tried = |status: &serde_json::Value| status["source"]["reconnects"].as_u64() >= Some(1);
    let status = fixture.gateway.wait_for_status("an attempt", PATIENCE, tried).unwrap();
    assert_eq!(status["state"], "STARTING", "{status:#}");
    let error = status["source"]["last_error"].as_str().unwrap();
    assert!(error.contains("PG_UNREACHABLE") && error.contains(&place), "{error}");
    let (code, page) = fixture.gateway.get("/readyz").unwrap();
    assert!(code == 503 && page.contains("PG_UNREACHABLE") && page.contains(&place), "{page}");
    assert_eq!(fixture.gateway.get("/livez").unwrap().0, 200);
    fixture.command(&["status"]).unwrap().expect(1, &["STARTING", "PG_UNREACHABLE", &place]);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));

    let _proxy = Proxy::start(address, postgres.port());
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_exist_halts() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "nowhere", TABLE, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    let (right, wrong) = (format!("/{}\"", fixture.database), "/no_such_shop\"");
    fixture.gateway.edit(&right, wrong).unwrap();
    let texts = ["no_such_shop", "`url` under [source]"];
    fixture.command(&["check"]).unwrap().expect(2, &texts).expect(2, &["PG_DATABASE_MISSING"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_DATABASE_MISSING", &texts);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    fixture.gateway.edit(wrong, &right).unwrap();
    all_rows_arrive(fixture).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_too_few_rights_halt_until_they_are_given() {
    let hba = vec!["host all offtake_reader 127.0.0.1/32 scram-sha-256".to_owned()];
    let postgres =
        Postgres::start_with(Version::System, &Setup { hba, ..Setup::default() }).unwrap();
    let mut fixture = Fixture::new(&postgres, "rights", TABLE, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    let role = "CREATE ROLE offtake_reader LOGIN PASSWORD 'right-horse'";
    fixture.client.batch_execute(role).await.unwrap();
    fixture.gateway.edit("postgres@", "offtake_reader:wrong-horse@").unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_LOGIN", "offtake_reader", "pg_hba.conf"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_LOGIN", &["offtake_reader", "check user, password"]);

    fixture.gateway.edit("wrong-horse", "right-horse").unwrap();
    let checked = fixture.command(&["check"]).unwrap().expect(2, &["PG_RIGHTS", "REPLICATION"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_RIGHTS", &["REPLICATION", "offtake check"]);

    // Replication alone: the table may not be read, and that is said before anything is made.
    fixture.client.batch_execute("ALTER ROLE offtake_reader REPLICATION").await.unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_RIGHTS", "public.t", "SELECT"]);
    let grant = "GRANT SELECT ON \"public\".\"t\" TO \"offtake_reader\";";
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_RIGHTS", &["cannot read public.t", grant]);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    fixture.client.batch_execute(grant).await.unwrap();

    // Nor can the publication be made by this role.
    fixture.command(&["check"]).unwrap().expect(2, &["PG_PUBLICATION", "public.t"]);
    let create = format!("CREATE PUBLICATION \"{}\" FOR TABLE \"public\".\"t\"", fixture.slot);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_PUBLICATION", &["public.t", &create]);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    let output = fixture.gateway.output() + &checked.out + &checked.errors;
    assert!(!output.contains("-horse"), "a password is shown");

    fixture.client.batch_execute(&create).await.unwrap();
    all_rows_arrive(fixture).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_logical_decoding_halts_until_it_has_it() {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let postgres =
        Postgres::start_with(Version::System, &Setup { settings, ..Setup::default() }).unwrap();
    let mut fixture = Fixture::new(&postgres, "level", TABLE, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    let texts = ["wal_level", "logical", "restart the server"];
    fixture.command(&["check"]).unwrap().expect(2, &texts).expect(2, &["PG_WAL_LEVEL"]);
    fixture.run_to_its_end().unwrap().expect_error(3, "PG_WAL_LEVEL", &texts);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));

    fixture.client.batch_execute("ALTER SYSTEM SET wal_level = logical").await.unwrap();
    postgres.restart().unwrap();
    fixture.client = postgres.connect(&fixture.database).await.unwrap();
    all_rows_arrive(fixture).await;
}
