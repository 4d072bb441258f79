//! The log's folder: a disk that is full, bytes that are damaged.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::ports::free_address;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1)";
/// Far more than the room that is left to the log.
const MUCH: &str =
    "INSERT INTO t SELECT i, repeat(md5(i::text), 60) FROM generate_series(2, 6000) i";

/// A small file system of its own, as a folder; unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Panics where this account may not mount: a test that did something else instead would say
    /// that it had seen a full disk.
    fn mount(folder: PathBuf) -> SmallDisk {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&folder);
        let said = match mount.output() {
            Ok(output) if output.status.success() => return SmallDisk(folder),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "no small disk could be mounted ({said}): this test needs the right to mount a tmpfs \
             (root, or CAP_SYS_ADMIN); SKIP_DISK_FULL=1 leaves it out"
        );
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn give_back(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing more can be done about a mount that stays.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The log takes nothing: said everywhere, and nothing further is acknowledged.
async fn expect_blocked(fixture: &Fixture, reason: &str, code: &str) {
    let blocked = |status: &serde_json::Value| !status["log"]["blocked"].is_null();
    let status = fixture.gateway.wait_for_status("BLOCKED", PATIENCE, blocked).unwrap();
    let text = status["log"]["blocked"].as_str().unwrap();
    assert!(text.contains(reason) && text.contains("goes on by itself"), "{text}");
    assert_eq!(status["state"], "RUNNING", "blocked is not halted");
    let (code_of_page, page) = fixture.gateway.get("/readyz").unwrap();
    assert!(code_of_page == 503 && page.contains("BLOCKED") && page.contains(reason), "{page}");
    assert_eq!(fixture.gateway.get("/livez").unwrap().0, 200);
    fixture.command(&["status"]).unwrap().expect(1, &["BLOCKED", reason]);
    assert!(fixture.gateway.get("/metrics").unwrap().1.contains("\nofftake_log_blocked 1\n"));
    assert!(fixture.gateway.output().contains(code), "{}", fixture.gateway.output());

    // What the server was told first, what is durable second: it can only be behind.
    let confirmed = fixture.confirmed().await.unwrap().unwrap();
    let durable = fixture.gateway.status().unwrap()["source"]["durable_lsn"].clone();
    let sql = "SELECT ($1::text::pg_lsn - '0/0')::int8";
    let durable: i64 = fixture.client.query_one(sql, &[&durable.as_str()]).await.unwrap().get(0);
    assert!(confirmed <= durable, "confirmed {confirmed}, durable {durable}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_blocks_and_the_log_goes_on_by_itself_when_space_returns() {
    if std::env::var("SKIP_DISK_FULL").is_ok_and(|value| value == "1") {
        println!("SKIP_DISK_FULL=1: the test with a full disk did not run");
        return;
    }
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "full_disk", TABLE, "", "").await.unwrap();
    let disk = SmallDisk::mount(fixture.folder().join("disk"));
    fixture.gateway.edit("dir = \"data\"", "dir = \"disk/data\"").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    disk.fill();
    let before = fixture.confirmed().await.unwrap();
    fixture.client.batch_execute(MUCH).await.unwrap();
    expect_blocked(&fixture, "the disk is full", "LOG_BLOCKED_DISK_FULL").await;
    // A restart changes nothing about it: the log opens without space and waits again.
    fixture.gateway.kill().unwrap();
    assert!(fixture.confirmed().await.unwrap() <= before.map(|lsn| lsn + (1 << 20)));
    fixture.gateway.start("").unwrap();
    expect_blocked(&fixture, "the disk is full", "LOG_BLOCKED_DISK_FULL").await;

    disk.give_back();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    fixture.expect_ids(&subscriber, 1..=6000).await.unwrap();
    fixture.stop().unwrap();
    assert!(fixture.gateway.output().contains("the log has space again and goes on"));
}

/// Kafka has not been given what would have to be deleted. Without Kafka the log goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_at_its_limit_blocks_while_kafka_needs_it() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "full_log", TABLE, "", "").await.unwrap();
    let broker = free_address();
    let kafka = format!("[kafka]\nbrokers = [\"{broker}\"]\n\n[grpc]");
    fixture.gateway.edit("[grpc]", &kafka).unwrap();
    fixture.gateway.edit("size = \"64MiB\"", "size = \"4MiB\"").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    fixture.client.batch_execute(MUCH).await.unwrap();
    expect_blocked(&fixture, "full size", "LOG_BLOCKED_RETAIN_BYTES").await;
    fixture.stop().unwrap();
    assert!(fixture.unacknowledged_rows().await.unwrap() > 0);

    fixture.gateway.edit("size = \"4MiB\"", "size = \"64MiB\"").unwrap();
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=6000).await.unwrap();
}

/// The log's segments, oldest first.
fn segments(fixture: &Fixture) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = fs::read_dir(fixture.folder().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    segments.sort();
    segments
}

/// Inverts some bytes; a second time makes them what they were.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, at).unwrap();
    file.write_all_at(&bytes.map(|byte| !byte), at).unwrap();
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_damaged_in_the_middle_does_not_start_and_names_file_and_offset() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "damaged", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    for id in 2..=50 {
        let insert = format!("INSERT INTO t VALUES ({id}, repeat('x', 200))");
        fixture.client.batch_execute(&insert).await.unwrap();
    }
    fixture.expect_ids(&subscriber, 1..=50).await.unwrap();
    fixture.stop().unwrap();
    let before = fixture.confirmed().await.unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (51)").await.unwrap();

    let segment = segments(&fixture).pop().unwrap();
    let middle = fs::metadata(&segment).unwrap().len() / 2;
    flip(&segment, middle);
    let texts = [name(&segment), "is damaged at byte", "offtake resync"];
    let message = fixture.run_to_its_end().unwrap().expect_error(1, "LOG_DAMAGED", &texts);
    let place = message.split("at byte ").nth(1).unwrap().split(':').next().unwrap();
    let place: u64 = place.parse().unwrap();
    assert!(place <= middle && middle - place < 2048, "byte {place} for {middle}");
    fixture.command(&["check"]).unwrap().expect(2, &texts).expect(2, &["LOG_DAMAGED"]);
    assert_eq!(fixture.confirmed().await.unwrap(), before, "nothing was acknowledged");
    assert_eq!(fixture.unacknowledged_rows().await.unwrap(), 1);

    // The copy is restored.
    flip(&segment, middle);
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=51).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_closed_segment_ends_who_reads_it_and_stops_nobody_else() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "damaged_old", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    for id in 2..=40 {
        let insert = format!("INSERT INTO t VALUES ({id}, repeat('x', 100000))");
        fixture.client.batch_execute(&insert).await.unwrap();
    }
    fixture.expect_ids(&subscriber, 1..=40).await.unwrap();
    fixture.stop().unwrap();
    let found = segments(&fixture);
    assert!(found.len() >= 3, "{found:?}");
    flip(&found[1], 500_000);

    fixture.start().unwrap();
    let ended = fixture.command(&["tail", "--from", "earliest"]).unwrap();
    ended.expect_error(1, "LOG_DAMAGED", &["damaged"]);
    let output = fixture.gateway.output();
    let line = output.lines().find(|line| line.contains("LOG_DAMAGED")).unwrap();
    assert!(line.contains(name(&found[1])) && line.contains("at byte"), "{line}");
    // Who is past it goes on.
    fixture.client.batch_execute("INSERT INTO t VALUES (41)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=41).await.unwrap();
}
