//! `offtake check`: one line an item, exit status by the worst of them, and nothing is created.

use std::path::PathBuf;

use offtake_tests::fixture::{Ended, Fixture};
use offtake_tests::postgres::{Postgres, Version};

use crate::TABLE;

const MASKED: &str = "[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"email\"] }

[[route]]
tables = [\"public.*\"]
plugins = [\"hide\"]";

fn files(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(fixture.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every line is an item with its level, or the summary at the end.
fn expect_lines(ended: &Ended) {
    let (items, summary) = ended.out.trim_end().split_once("\n\n").unwrap();
    for line in items.lines() {
        let level = line.split(' ').next().unwrap();
        assert!(["ok", "warning", "error"].contains(&level), "{line:?}");
        assert!(level == "ok" || line.contains("; next: "), "what to do is missing: {line}");
        assert!(level == "ok" || line.contains('['), "the code is missing: {line}");
    }
    assert!(summary.contains(" ok, ") && summary.lines().count() == 1, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_an_item_the_worst_decides_the_exit_status_and_nothing_is_created() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text)";
    let fixture = Fixture::new(postgres, "check", sql, "", MASKED).await.unwrap();
    let before = files(&fixture);
    let check = || {
        let ended = fixture.command(&["check"]).unwrap();
        expect_lines(&ended);
        ended
    };
    // The server of all tests sets no limit on what a slot holds back, and is told so at most.
    let ended = check().expect(0, &["0 warnings, 0 errors"]);
    let items = [
        "configuration",
        "log ",
        "wal_level",
        "walsenders",
        "replica",
        "slot",
        "publication",
        "disk",
        "plugin hide",
        "people",
    ];
    for item in items {
        assert!(ended.out.contains(item), "there is no {item:?} in {}", ended.out);
    }
    assert!(!ended.out.contains('\x1b'), "colours without a terminal");

    let keyless = "CREATE TABLE keyless (id int); ALTER TABLE keyless REPLICA IDENTITY FULL";
    fixture.client.batch_execute(keyless).await.unwrap();
    check().expect(1, &["PG_NO_KEY", "public.keyless", "1 warning, 0 errors"]);
    fixture.client.batch_execute("CREATE TABLE broken (id int)").await.unwrap();
    let texts = ["PG_TABLE", "public.broken", "1 warning, 1 error"];
    check().expect(2, &texts);

    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    assert_eq!(files(&fixture), before, "check made a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_looks_at_a_running_pipeline_without_disturbing_it() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "check_live", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let ended = fixture.command(&["check"]).unwrap();
    expect_lines(&ended);
    // What it must not overlook is that the slot is taken; that it is ours, it cannot know.
    ended.expect(1, &["holds a log up to sequence", "PG_SLOT_ACTIVE", "1 warning, 0 errors"]);
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    fixture.stop().unwrap();
}
