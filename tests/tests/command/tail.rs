//! `offtake tail`: what it prints, where it begins, and how it says that a place is none.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::gateway::binary;
use offtake_tests::postgres::{Postgres, Version};
use serde_json::Value;

use crate::TABLE;

async fn fixture_with_ten_rows(hint: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, hint, TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    for id in 2..=10 {
        let sql = format!("INSERT INTO t VALUES ({id})");
        fixture.client.batch_execute(&sql).await.unwrap();
    }
    let there = |status: &Value| status["log"]["last_sequence"] == 10;
    fixture.gateway.wait_for_status("ten rows", PATIENCE, there).unwrap();
    fixture
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(out: &str) -> Vec<i64> {
    lines(out).iter().map(|line| line["after"]["id"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_was_printed_resumes_exactly() {
    let fixture = fixture_with_ten_rows("tail").await;
    let mut seen = Vec::new();
    let mut from = "earliest".to_owned();
    for count in ["3", "1", "6"] {
        let arguments =
            ["tail", "--from", &from, "--count", count, "--format", "json", "--cursors"];
        let ended = fixture.command(&arguments).unwrap().expect(0, &["cursor: "]);
        assert_eq!(lines(&ended.out).len().to_string(), count, "{ended:?}");
        seen.extend(ids(&ended.out));
        from = ended.errors.trim().strip_prefix("cursor: ").unwrap().to_owned();
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());

    // Without a terminal it is JSON by itself; every line has the same, documented keys.
    let ended = fixture.command(&["tail", "--from", "earliest", "-n", "10"]).unwrap();
    for (line, id) in lines(&ended.expect(0, &[]).out).iter().zip(1..) {
        let keys: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = ["sequence", "stream", "op", "table", "before", "after", "position"];
        assert!(wanted.iter().all(|key| keys.contains(key)), "{line}");
        assert_eq!(line["sequence"], id);
        assert_eq!(line["op"], if id == 1 { "r" } else { "c" }, "{line}");
        assert_eq!(line["table"], "public.t");
    }
    let readable = ["tail", "--from", "earliest", "-n", "2", "--format", "text"];
    fixture.command(&readable).unwrap().expect(0, &["read", "insert", "id=2"]);
    let stream = format!("{}.public.*", fixture.database);
    let chosen = ["tail", "--from", "earliest", "-n", "1", "--stream", &stream];
    assert_eq!(ids(&fixture.command(&chosen).unwrap().expect(0, &[]).out), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_none_is_refused_with_its_code() {
    let fixture = fixture_with_ten_rows("tail_wrong").await;
    let tail = |from: &str, more: &[&str]| {
        fixture.command(&[&["tail", "--count", "1", "--from", from], more].concat()).unwrap()
    };
    for from in ["yesterday", "xyz:3", "00ff:", "00ff:minus"] {
        tail(from, &[]).expect_error(2, "TAIL_FROM", &[from, "latest, earliest"]);
    }
    let given = tail("earliest", &["--cursors"]).expect(0, &[]);
    let cursor = given.errors.trim().strip_prefix("cursor: ").unwrap().to_owned();
    let (token, _) = cursor.split_once(':').unwrap();
    let last = if token.ends_with('0') { "1" } else { "0" };
    let altered = format!("{}{last}:1", &token[..token.len() - 1]);
    tail(&altered, &[]).expect_error(1, "CURSOR_MALFORMED", &["--from earliest"]);
    tail("00ff:1", &[]).expect_error(1, "CURSOR_MALFORMED", &["altered"]);
    tail(&format!("{token}:999"), &[]).expect_error(1, "CURSOR_AHEAD", &["sequence 10"]);
    tail(&cursor, &["--stream", "*.public.t"]).expect_error(
        1,
        "CURSOR_OTHER_SELECTION",
        &["--stream"],
    );
    tail("earliest", &["--address", "127.0.0.1:1"]).expect_error(
        1,
        "TAIL_UNREACHABLE",
        &["127.0.0.1:1", "offtake run"],
    );
}

/// `offtake tail` at work, with what it prints; it follows until it is told to stop.
fn spawn(fixture: &Fixture, arguments: &[&str]) -> Child {
    Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(binary())
        .arg("tail")
        .args(arguments)
        .arg("-c")
        .arg(fixture.gateway.config())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_leaves_the_command_with_which_to_go_on() {
    let mut fixture = fixture_with_ten_rows("tail_killed").await;
    let stream = format!("{}.public.t", fixture.database);
    let mut tail = spawn(&fixture, &["--from", "earliest", "--stream", &stream]);
    let mut printed = BufReader::new(tail.stdout.take().unwrap()).lines();
    for _ in 0..10 {
        printed.next().unwrap().unwrap();
    }
    fixture.gateway.kill().unwrap();
    let ended = tail.wait_with_output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(errors.contains("error[TAIL_ENDED]: the connection to the gateway broke"), "{errors}");
    assert!(errors.contains("sequence 10") && !errors.contains("h2"), "{errors}");
    let command = errors.split("offtake tail ").nth(1).unwrap().trim().replace('\'', "");

    fixture.start().unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (11)").await.unwrap();
    let mut arguments = vec!["tail", "-n", "1"];
    arguments.extend(command.split(' '));
    assert_eq!(ids(&fixture.command(&arguments).unwrap().expect(0, &[]).out), [11]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_stream_is_told_with_those_that_there_are_and_waited_for() {
    let mut fixture = fixture_with_ten_rows("tail_typo").await;
    let (wrong, right) =
        (format!("{}.public.tt", fixture.database), format!("{}.public.t", fixture.database));
    let mut tail = spawn(&fixture, &["--stream", &wrong, "--cursors", "-n", "1"]);
    let mut errors = BufReader::new(tail.stderr.take().unwrap()).lines();
    let hint = errors.next().unwrap().unwrap();
    assert!(hint.contains(&format!("no stream matches '{wrong}'")), "{hint}");
    assert!(hint.ends_with(&format!("there are: {right}")), "{hint}");
    // It waits, and a stream that begins later is shown.
    fixture.client.batch_execute("CREATE TABLE tt (id int PRIMARY KEY)").await.unwrap();
    fixture.stop().unwrap();
    let ended = tail.wait().unwrap();
    assert_eq!(ended.code(), Some(1), "the gateway was stopped");
    let rest: Vec<String> = errors.map(Result::unwrap).collect();
    let rest = rest.join("\n");
    assert!(rest.contains("SHUTTING_DOWN") && rest.contains("--from "), "{rest}");
    assert!(rest.contains("cursor: "), "{rest}");

    fixture.start().unwrap();
    let cursor = rest.split("cursor: ").nth(1).unwrap().lines().next().unwrap();
    fixture.client.batch_execute("INSERT INTO tt VALUES (7)").await.unwrap();
    let ended =
        fixture.command(&["tail", "--stream", &wrong, "--from", cursor, "-n", "1"]).unwrap();
    assert_eq!(ids(&ended.expect(0, &[]).out), [7]);
}
