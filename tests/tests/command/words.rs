//! What the process writes: JSON where nobody reads it, and never a secret.

use offtake_tests::fixture::{Fixture, PATIENCE, files_with};
use offtake_tests::postgres::{Postgres, Setup, Version};
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::TABLE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_are_json_when_standard_error_is_no_terminal() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "json", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
               WHERE slot_name = $1 AND active";
    fixture.client.execute(end, &[&fixture.slot]).await.unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    fixture.stop().unwrap();
    let output = fixture.gateway.output();
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "there is no {key} in {line}");
        }
    }
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    for message in ["gRPC is open", "admin is open", "slot created", "streaming", "stopping"] {
        assert!(messages.contains(&message), "there is no {message:?} in {messages:?}");
    }
    assert!(lines.iter().any(|line| line["level"] == "WARN"), "the lost connection is a warning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_never_printed_wherever_it_stands_and_whatever_becomes_of_it() {
    let hba = vec!["host all offtake_secret 127.0.0.1/32 scram-sha-256".to_owned()];
    let postgres =
        Postgres::start_with(Version::System, &Setup { hba, ..Setup::default() }).unwrap();
    let mut fixture = Fixture::new(&postgres, "secret", TABLE, "", "").await.unwrap();
    let role = "CREATE ROLE offtake_secret LOGIN SUPERUSER PASSWORD 'Tr0ub4dor'";
    fixture.client.batch_execute(role).await.unwrap();
    let mut printed = String::new();
    let look = |fixture: &Fixture, printed: &mut String| {
        for arguments in [&["check"][..], &["status"], &["status", "--json"], &["slot", "drop"]] {
            let ended = fixture.command(arguments).unwrap();
            printed.push_str(&format!("{ended:?}"));
        }
        for page in ["/status", "/metrics", "/readyz"] {
            printed.push_str(&fixture.gateway.get(page).unwrap().1);
        }
    };
    // Wrong, in the URL, and the server says so.
    fixture.gateway.edit("postgres@", "offtake_secret:Wr0ngdor@").unwrap();
    fixture.gateway.start("").unwrap();
    let halted = |status: &Value| status["code"] == "PG_LOGIN";
    fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    look(&fixture, &mut printed);
    fixture.stop().unwrap();
    // Right, in a key of its own, with everything logged that can be.
    fixture.gateway.edit(":Wr0ngdor@", "@").unwrap();
    fixture.gateway.edit("tables = [", "password = \"Tr0ub4dor\"\ntables = [").unwrap();
    fixture.start().unwrap();
    look(&fixture, &mut printed);
    fixture.stop().unwrap();
    // Beside a mistake, whose line is shown.
    fixture.gateway.edit("password = \"Tr0ub4dor\"", "passwort = \"Tr0ub4dor\"").unwrap();
    let ended = fixture.command(&["run"]).unwrap().expect(2, &["did you mean `password`"]);
    printed.push_str(&format!("{ended:?}"));
    printed.push_str(&fixture.gateway.output());
    for secret in ["Tr0ub4dor", "Wr0ngdor"] {
        if let Some(at) = printed.find(secret) {
            panic!("a password is printed: {}", &printed[at.saturating_sub(300)..at]);
        }
        let mut written = files_with(fixture.folder(), secret);
        written.retain(|path| !path.ends_with("offtake.toml"));
        assert_eq!(written, Vec::<std::path::PathBuf>::new());
    }
    assert!(printed.contains("PG_LOGIN") && printed.contains("offtake_secret"), "{printed}");
}
