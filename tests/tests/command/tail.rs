//! `offtake tail`: what it prints, where it begins, and how it says that a place is none.

use std::collections::BTreeSet;

use offtake_tests::fixture::{Fixture, PATIENCE};
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
