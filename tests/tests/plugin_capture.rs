//! The capture, with a real database: what came in before a restart is there for trials after it, and
//! none of it can be read on the disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use offtake_tests::fixture::{Fixture, files_with};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const SQL: &str = "create table people (id int primary key, email text)";
const SECTIONS: &str = "[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.*\"]
plugins = [\"hide\"]

[capture]
size = \"1MiB\"
secret = \"${env:CAPTURE_SECRET}\"
";
const FIVE_ROWS: &str =
    "insert into people select i, 'ada@example.com' from generate_series(1, 5) i";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_after_a_restart_runs_over_what_was_captured_before_it_and_nobody_else_reads_it() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "capture", SQL, "", SECTIONS).await.unwrap();
    let secret = |value: &str| ("CAPTURE_SECRET".to_owned(), value.repeat(8));
    fixture.gateway.environment.push(secret("abcd"));
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();
    fixture.stop().unwrap();
    fixture.start().unwrap();
    let mask = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/mask.wasm");
    std::fs::copy(mask, fixture.folder().join("new.wasm")).unwrap();
    fixture.gateway.edit("keep_last = 0", "keep_last = 3").unwrap();
    let tried = fixture.command(&["plugin", "try", "hide", "--new", "new.wasm"]).unwrap();
    let tried = tried.expect(1, &["5 recent changes: 5 come out otherwise", "com"]);
    assert!(!tried.out.contains("ada@"), "{}", tried.out);
    let record = ["plugin", "test", "builtin:mask", "--record", "9", "--fixtures", "kept"];
    let protected = fixture.command(&record).unwrap();
    protected.expect_error(1, "RECORD_PROTECTED", &["public.people"]);
    let record = [&record[..], &["--include-protected-values"]].concat();
    fixture.command(&record).unwrap().expect(0, &["recorded 5 changes of public.people"]);
    fixture.stop().unwrap();
    let data = fixture.folder().join("data");
    assert!(data.join("capture").read_dir().unwrap().count() > 0);
    assert_eq!(files_with(&data, "ada@example.com"), Vec::<std::path::PathBuf>::new());
    fixture.gateway.environment.retain(|(name, _)| name != "CAPTURE_SECRET");
    fixture.gateway.environment.push(secret("dcba"));
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(1, "CAPTURE_SECRET", &["another secret", "data/capture"]);
    std::fs::remove_dir_all(data.join("capture")).unwrap();
    fixture.start().unwrap();
    fixture.stop().unwrap();
}
