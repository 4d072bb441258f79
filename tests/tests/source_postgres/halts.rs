//! What a person must decide: each mismatch halts with its code and leaves the slot alone.

use offtake_change::Lsn;
use offtake_source_postgres::{SnapshotMode, SourceError};
use offtake_tests::postgres::{Postgres, Setup, Version};
use tokio_postgres::Client;

use crate::recorder::{Log, free, options, start};
use crate::versions;

async fn shop(server: &Postgres, hint: &str) -> (String, Client) {
    let database = server.create_database(hint).await.unwrap();
    let client = server.connect(&database).await.unwrap();
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    (database, client)
}

/// A log with one snapshot row and one streamed row.
async fn log_of(server: &Postgres, database: &str, client: &Client) -> Log {
    let mut source = start(options(server, database, &["t"]), Log::default());
    source.rows(1).await;
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    source.rows(2).await;
    source.stop().await
}

async fn halt(server: &Postgres, database: &str, log: Log) -> SourceError {
    start(options(server, database, &["t"]), log).halted().await
}

async fn confirmed(client: &Client, slot: &str) -> Option<String> {
    let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
    client.query_opt(sql, &[&slot]).await.unwrap().map(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_does_not_fit_the_log_halts() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = shop(server, "fit").await;
        let slot = options(server, &database, &["t"]).slot;
        let log = log_of(server, &database, &client).await;

        let error = halt(server, &database, Log::default()).await;
        assert_eq!(error.code(), "PG_SLOT_EXISTS", "{error}");
        assert!(error.next_step().contains("offtake resync"));
        assert!(confirmed(&client, &slot).await.is_some(), "the slot is left alone");

        let mut behind = log.clone();
        let position = behind.position.as_mut().unwrap();
        let one = |lsn| {
            Some(offtake_proto::v1::Position {
                at: Some(offtake_proto::v1::position::At::Lsn(lsn)),
            })
        };
        (position.end, position.idle) = (one(1), None);
        let error = halt(server, &database, behind).await;
        assert_eq!(error.code(), "PG_SLOT_AHEAD", "{error}");

        for (code, change) in [
            ("PG_SYSTEM_MISMATCH", "system"),
            ("PG_TIMELINE_MISMATCH", "timeline"),
            ("PG_IDENTITY_MISMATCH", "publication"),
        ] {
            let mut other = log.clone();
            let source = other.position.as_mut().unwrap().source.as_mut().unwrap();
            match change {
                "system" => source.system_id = "1".to_owned(),
                "timeline" => source.timeline = 7,
                _ => source.publication = "other".to_owned(),
            }
            assert_eq!(halt(server, &database, other).await.code(), code);
        }

        free(&client, &slot).await;
        client.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await.unwrap();
        let error = halt(server, &database, log.clone()).await;
        assert_eq!(error.code(), "PG_SLOT_MISSING", "{error}");
        assert_eq!(confirmed(&client, &slot).await, None, "no slot is made in its place");

        client
            .execute("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", &[&slot])
            .await
            .unwrap();
        let mut far = log;
        far.position.as_mut().unwrap().idle = Some(offtake_proto::v1::Position {
            at: Some(offtake_proto::v1::position::At::Lsn(u64::MAX >> 1)),
        });
        let error = halt(server, &database, far).await;
        assert_eq!(error.code(), "PG_SLOT_UNUSABLE", "{error}");
        client.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_transaction_that_is_not_the_next_one_halts() {
    let server = Postgres::shared(Version::System);
    let (database, client) = shop(server, "partial").await;
    let mut log = log_of(server, &database, &client).await;
    log.position.as_mut().unwrap().partial = Some(offtake_proto::v1::Partial {
        transaction_id: "1".to_owned(),
        commit: None,
        next_row: 1,
        ..Default::default()
    });
    let source = start(options(server, &database, &["t"]), log);
    client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let error = source.halted().await;
    assert_eq!(error.code(), "PG_PARTIAL_MISMATCH", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_halts() {
    let setup = Setup {
        settings: vec![
            ("max_slot_wal_keep_size".to_owned(), "1MB".to_owned()),
            ("max_wal_size".to_owned(), "32MB".to_owned()),
            ("min_wal_size".to_owned(), "32MB".to_owned()),
        ],
        ..Setup::default()
    };
    let server = Postgres::start_with(Version::System, &setup).unwrap();
    let (database, client) = shop(&server, "lost").await;
    let log = log_of(&server, &database, &client).await;
    let slot = options(&server, &database, &["t"]).slot;
    for _ in 0..20 {
        client.batch_execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)").await.unwrap();
        client.batch_execute("SELECT pg_switch_wal(); CHECKPOINT").await.unwrap();
        let sql = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1";
        let status: Option<String> = client.query_one(sql, &[&slot]).await.unwrap().get(0);
        if status.as_deref() == Some("lost") {
            let error = halt(&server, &database, log).await;
            assert_eq!(error.code(), "PG_SLOT_LOST", "{error}");
            return;
        }
    }
    panic!("the server never gave the slot up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_captured_is_said_before_anything_is_created() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = shop(server, "refuse").await;
        client.batch_execute("CREATE TABLE keyless (v int)").await.unwrap();
        let error = start(options(server, &database, &["public.*"]), Log::default()).halted().await;
        assert_eq!(error.code(), "PG_TABLE", "{error}");
        assert!(error.to_string().contains("public.keyless"), "{error}");
        let error = start(options(server, &database, &["none.*"]), Log::default()).halted().await;
        assert_eq!(error.code(), "PG_NO_TABLES", "{error}");
        let error = start(options(server, "no_such_db", &["t"]), Log::default()).halted().await;
        assert_eq!(error.code(), "PG_DATABASE_MISSING", "{error}");
        let sql = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
        let created: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(created, 0);

        client
            .batch_execute(
                "CREATE ROLE weak_role LOGIN REPLICATION; GRANT SELECT ON t TO weak_role",
            )
            .await
            .unwrap();
        let mut weak = options(server, &database, &["t"]);
        weak.connect.user = "weak_role".to_owned();
        let error = start(weak.clone(), Log::default()).halted().await;
        assert_eq!(error.code(), "PG_PUBLICATION", "{error}");
        // With the publication made by somebody else, the role needs no more than it has.
        client
            .batch_execute(&format!("CREATE PUBLICATION \"{}\" FOR TABLE t", weak.publication))
            .await
            .unwrap();
        let mut source = start(weak.clone(), Log::default());
        source.rows(1).await;
        let log = source.stop().await;
        client
            .batch_execute(
                "CREATE TABLE later (id int PRIMARY KEY); GRANT SELECT ON later TO weak_role",
            )
            .await
            .unwrap();
        weak.tables.push("later".to_owned());
        let error = start(weak.clone(), log.clone()).halted().await;
        assert_eq!(error.code(), "PG_PUBLICATION", "{error}");
        assert!(error.to_string().contains("public.later"), "{error}");
        let step = error.next_step().into_owned();
        let statement = step.split_once("owner: ").unwrap().1;
        assert!(statement.starts_with("ALTER PUBLICATION"), "{step}");
        client.batch_execute(statement).await.unwrap();
        let mut source = start(weak, log);
        source.until("its copy", |log| log.is_done("public.later")).await;
        source.stop().await;
        client.batch_execute("DROP OWNED BY weak_role; DROP ROLE weak_role").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_text_halts_and_nothing_past_it_is_acknowledged() {
    let server = Postgres::shared(Version::System);
    let (database, client) = shop(server, "unused").await;
    drop(client);
    let ascii = format!("{database}_ascii");
    let client = server.connect("postgres").await.unwrap();
    client
        .batch_execute(&format!("CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"))
        .await
        .unwrap();
    let client = server.connect(&ascii).await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    let mut chosen = options(server, &ascii, &["t"]);
    chosen.snapshot = SnapshotMode::Never;
    let slot = chosen.slot.clone();
    let mut source = start(chosen, Log::default());
    source
        .until("the slot", |log| log.snapshots.values().any(|one| one.consistent_point.is_some()))
        .await;
    client.batch_execute("INSERT INTO t VALUES (1, 'good')").await.unwrap();
    source.rows(1).await;
    let now: String =
        client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let bad: Lsn = now.parse().unwrap();
    client
        .batch_execute("SET client_encoding = 'SQL_ASCII'; INSERT INTO t VALUES (2, convert_from('\\xff41', 'SQL_ASCII'))")
        .await
        .unwrap();
    let error = source.halted().await;
    assert_eq!(error.code(), "PG_INVALID_TEXT", "{error}");
    let text = error.to_string();
    assert!(text.contains("column \"v\" of table public.t"), "{text}");
    assert!(!text.contains("ff41") && !text.contains("0xff"), "the bytes are shown: {text}");
    let place: Lsn = confirmed(&client, &slot).await.unwrap().parse().unwrap();
    assert!(place <= bad, "nothing past the fault is confirmed");
    free(&client, &slot).await;
    let sql = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)";
    let left: i64 = client.query_one(sql, &[&slot, &format!("\"{slot}\"")]).await.unwrap().get(0);
    assert!(left >= 3, "the server still has the transaction: {left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_text_in_the_snapshot_halts_with_its_table_and_column() {
    let server = Postgres::shared(Version::System);
    let (database, client) = shop(server, "unused").await;
    let ascii = format!("{database}_ascii_copy");
    let create = format!(
        "CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    client.batch_execute(&create).await.unwrap();
    let client = server.connect(&ascii).await.unwrap();
    let bad = "CREATE TABLE t (id int PRIMARY KEY, v text); SET client_encoding = 'SQL_ASCII'; \
               INSERT INTO t VALUES (1, convert_from('\\xff41', 'SQL_ASCII'))";
    client.batch_execute(bad).await.unwrap();
    let (error, log) =
        start(options(server, &ascii, &["t"]), Log::default()).halted_with_log().await;
    assert_eq!(error.code(), "PG_INVALID_TEXT", "{error}");
    assert!(error.to_string().contains("column \"v\" of table public.t"), "{error}");
    assert!(log.rows.is_empty() && !log.is_done("public.t"));
    // A text that is UTF-8 passes as it is.
    client.batch_execute("UPDATE t SET v = 'größe'").await.unwrap();
    let mut source = start(options(server, &ascii, &["t"]), log);
    let log = source.until("the copy", |log| log.is_done("public.t")).await;
    assert_eq!(log.briefs().last().unwrap(), "r public.t 1|größe");
    client.batch_execute("UPDATE t SET v = 'maß'").await.unwrap();
    let changed = |log: &Log| log.briefs().last().unwrap() == "u public.t 1|maß";
    source.until("the change", changed).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_read_are_said_before_anything_is_created() {
    for version in versions() {
        let server = Postgres::shared(version);
        let (database, client) = shop(server, "unreadable").await;
        let role = format!("{database}_reader");
        client
            .batch_execute(&format!(
                "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {database} TO {role};
                 ALTER TABLE t OWNER TO {role}; REVOKE ALL ON t FROM {role}"
            ))
            .await
            .unwrap();
        let mut weak = options(server, &database, &["t"]);
        weak.connect.user.clone_from(&role);
        let created = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) \
             FROM pg_replication_slots WHERE database = current_database())";
        let error = start(weak.clone(), Log::default()).halted().await;
        assert_eq!(error.code(), "PG_RIGHTS", "no REPLICATION: {error}");
        assert_eq!(client.query_one(created, &[]).await.unwrap().get::<_, i64>(0), 0);
        client.batch_execute(&format!("ALTER ROLE {role} REPLICATION")).await.unwrap();
        for (code, repair) in [
            ("PG_RIGHTS", ""),
            (
                "PG_ROW_SECURITY",
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY",
            ),
        ] {
            client.batch_execute(repair).await.unwrap();
            let error = start(weak.clone(), Log::default()).halted().await;
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains("public.t"), "{error}");
            assert_eq!(client.query_one(created, &[]).await.unwrap().get::<_, i64>(0), 0);
            // What it says to run is what is missing.
            let step = error.next_step().into_owned();
            client.batch_execute(step.split_once("owner: ").unwrap().1).await.unwrap();
        }
        let mut source = start(weak, Log::default());
        source.rows(1).await;
        source.stop().await;
        client
            .batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"))
            .await
            .unwrap();
    }
}
