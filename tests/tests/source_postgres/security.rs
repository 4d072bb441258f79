//! Logins and TLS, on SQL and replication connections alike.

use offtake_source_postgres::{ConnectOptions, Session, SourceError, SourceOptions};
use offtake_tests::postgres::{Postgres, Setup, Version};

use crate::recorder::{Log, start};

fn secured(version: Version) -> Postgres {
    let setup = Setup {
        tls: true,
        hba: vec![
            "hostssl all tls_role 127.0.0.1/32 scram-sha-256".to_owned(),
            "host all tls_role 127.0.0.1/32 reject".to_owned(),
            "host all scram_role 127.0.0.1/32 scram-sha-256".to_owned(),
            "host all md5_role 127.0.0.1/32 md5".to_owned(),
            "host all clear_role 127.0.0.1/32 password".to_owned(),
        ],
        ..Setup::default()
    };
    Postgres::start_with(version, &setup).unwrap()
}

async fn encrypted(url: &str) -> Result<bool, SourceError> {
    let options: ConnectOptions = url.parse().unwrap();
    let mut session = Session::connect(&options).await?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(session.query_one("look", sql).await?.is_true(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scram_and_tls_are_done_as_sslmode_says() {
    for version in [Version::System, Version::V18] {
        let server = secured(version);
        let client = server.connect("postgres").await.unwrap();
        client
            .batch_execute(
                "CREATE ROLE scram_role LOGIN REPLICATION SUPERUSER PASSWORD 'p:w é';
                 CREATE ROLE tls_role LOGIN PASSWORD 'secret'; CREATE ROLE clear_role LOGIN PASSWORD 'secret';
                 SET password_encryption = 'md5'; CREATE ROLE md5_role LOGIN PASSWORD 'secret';
                 CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
            )
            .await
            .unwrap();
        let port = server.port();
        let ca = server.data().unwrap().join("ca.crt");
        let ca = ca.display();
        let place = |user: &str, host: &str| format!("postgres://{user}@{host}:{port}/postgres");
        let scram = place("scram_role:p%3Aw%20%C3%A9", "localhost");
        let tls = place("tls_role:secret", "localhost");
        for (url, expected) in [
            (format!("{scram}?sslmode=disable"), false),
            (format!("{scram}?sslmode=allow"), false),
            (scram.clone(), true),
            (format!("{scram}?sslmode=require"), true),
            (format!("{scram}?sslmode=verify-ca&sslrootcert={ca}"), true),
            (format!("{scram}?sslmode=verify-full&sslrootcert={ca}"), true),
            (format!("{tls}?sslmode=allow"), true),
            (tls.clone(), true),
            (
                format!(
                    "{}?sslmode=verify-ca&sslrootcert={ca}",
                    place("tls_role:secret", "127.0.0.1")
                ),
                true,
            ),
            (format!("{}?sslmode=require", place("clear_role:secret", "localhost")), true),
        ] {
            assert_eq!(encrypted(&url).await.unwrap(), expected, "{url}");
        }
        for (url, code, text) in [
            (place("scram_role:wrong", "localhost"), "PG_LOGIN", "authentication failed"),
            (place("scram_role", "localhost"), "PG_LOGIN", "wants a password"),
            (format!("{tls}?sslmode=disable"), "PG_LOGIN", "pg_hba.conf"),
            (
                format!("{}?sslmode=disable", place("clear_role:secret", "localhost")),
                "PG_LOGIN",
                "clear text",
            ),
            (place("md5_role:secret", "localhost"), "PG_LOGIN", "MD5"),
            (
                format!(
                    "{}?sslmode=verify-full&sslrootcert={ca}",
                    place("tls_role:secret", "127.0.0.1")
                ),
                "PG_TLS",
                "certificate",
            ),
            (format!("{scram}?sslmode=verify-full"), "PG_TLS", "certificate"),
            (
                format!("{scram}?sslmode=verify-ca&sslrootcert=/no/such/file"),
                "PG_TLS",
                "sslrootcert",
            ),
        ] {
            let error = encrypted(&url).await.unwrap_err();
            assert_eq!(error.code(), code, "{url}: {error}");
            assert!(error.to_string().contains(text), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!error.is_transient(), "{error}");
        }
        let connect: ConnectOptions =
            format!("{scram}?sslmode=verify-full&sslrootcert={ca}").parse().unwrap();
        let mut options = SourceOptions::new(connect, "tls");
        options.tables = vec!["t".to_owned()];
        let mut source = start(options, Log::default());
        source.rows(1).await;
        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        source.rows(2).await;
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_tried_again() {
    let server = Postgres::start(Version::System).unwrap();
    let client = server.connect("postgres").await.unwrap();
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    server.stop().unwrap();
    let options = crate::recorder::options(&server, "postgres", &["t"]);
    let mut source = start(options, Log::default());
    let deadline = tokio::time::Instant::now() + crate::recorder::DEADLINE;
    while source.status.report().reconnects < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(source.status.report().last_error.starts_with("PG_UNREACHABLE"));
    server.launch().unwrap();
    source.rows(1).await;
    source.stop().await;
}
