//! A gateway on a database: stopped longer than a transaction may last, switched between the two
//! ways of delivering and killed at each step, left without its log, also inside a source transaction
//! or the copy of a table, and given a transaction larger than Kafka's.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::kafka::{Kafka, Record, skipped};
use offtake_tests::postgres::{Postgres, Version};

use crate::bench::json;
use crate::headers::{Gathered, gather};

const TABLE: &str = "create table t (id bigint primary key, note text)";

/// A gateway that publishes the table `t`.
pub(crate) struct Pipeline {
    pub(crate) fixture: Fixture,
    pub(crate) kafka: &'static Kafka,
    pub(crate) topic: String,
    /// The next row's id.
    pub(crate) next: i64,
}

impl Pipeline {
    pub(crate) async fn new(hint: &str, source: &str, kafka_lines: &str) -> Pipeline {
        let kafka = Kafka::shared();
        let rest = format!("[kafka]\nbrokers = [\"{}\"]\n{kafka_lines}", kafka.brokers());
        let postgres = Postgres::shared(Version::System);
        let fixture = Fixture::new(postgres, hint, TABLE, source, &rest).await.unwrap();
        let topic = format!("{}.public.t", fixture.database);
        Pipeline { fixture, kafka, topic, next: 0 }
    }

    pub(crate) async fn insert(&mut self, rows: i64) {
        let (from, to) = (self.next, self.next + rows - 1);
        let sql = format!("insert into t select g, 'n' || g from generate_series({from}, {to}) g");
        self.fixture.client.batch_execute(&sql).await.unwrap();
        self.next += rows;
    }

    /// One transaction of more bytes than one of Kafka's may have. Gives its rows.
    async fn insert_more_than_a_transaction_takes(&mut self) -> i64 {
        let rows = 75_000;
        let (from, to) = (self.next, self.next + rows - 1);
        let sql =
            format!("insert into t select g, repeat('x', 900) from generate_series({from},{to}) g");
        self.fixture.client.batch_execute(&sql).await.unwrap();
        self.next += rows;
        rows
    }

    /// Waits until Kafka has everything that the log has, and the log every row.
    pub(crate) fn caught_up(&self) -> serde_json::Value {
        let rows = self.next as u64;
        let until = |status: &serde_json::Value| {
            status["changes"]["logged"].as_u64().is_some()
                && status["log"]["last_sequence"].as_u64() >= Some(rows)
                && status["kafka"]["sequence"] == status["log"]["last_sequence"]
        };
        self.fixture.gateway.wait_for_status("Kafka to catch up", PATIENCE, until).unwrap()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.kafka.read_committed(&self.topic).unwrap()
    }

    /// Every row is there once.
    #[track_caller]
    pub(crate) fn assert_each_once(&self) {
        let mut ids: Vec<i64> = self
            .records()
            .iter()
            .map(|record| json(record)["after"]["id"].as_i64().unwrap())
            .collect();
        ids.sort_unstable();
        let missing = (0..self.next).find(|id| ids.binary_search(id).is_err());
        assert_eq!(missing, None, "lost; {} of {}", ids.len(), self.next);
        let doubled = ids.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(doubled, None, "doubled; {} of {}", ids.len(), self.next);
        assert_eq!(ids.len() as i64, self.next);
    }

    fn delivery(&self, from: &str, to: &str) {
        let line = |word: &str| format!("delivery = \"{word}\"");
        self.fixture.gateway.edit(&line(from), &line(to)).unwrap();
    }

    fn signal(&self, signal: &str) {
        let pid = self.fixture.gateway.pid().unwrap().to_string();
        assert!(Command::new("kill").arg(signal).arg(pid).status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_hung_longer_than_its_transaction_may_last_goes_on_by_itself() {
    if skipped("a_gateway_that_hung_longer_than_its_transaction_may_last_goes_on_by_itself") {
        return;
    }
    let lines = "delivery = \"exactly_once\"\ntransaction_interval = \"1s\"\n\
                 properties = { \"transaction.timeout.ms\" = 5000 }";
    let mut pipeline = Pipeline::new("hung", "", lines).await;
    pipeline.fixture.start().unwrap();
    pipeline.insert(100).await;
    pipeline.caught_up();
    // A second transaction waits for the end of its interval; its rows are sent when it hangs.
    let sent = |status: &serde_json::Value| status["kafka"]["acknowledged"].as_u64();
    let before = sent(&pipeline.fixture.gateway.status().unwrap());
    let mut hung = false;
    let deadline = Instant::now() + PATIENCE;
    while !hung && Instant::now() < deadline {
        pipeline.insert(50).await;
        let status = pipeline.fixture.gateway.status().unwrap();
        let open = status["kafka"]["sequence"] != status["log"]["last_sequence"];
        if open && sent(&status) > before {
            pipeline.signal("-STOP");
            hung = true;
        }
    }
    assert!(hung, "no transaction was open at any look");
    // What is waited for is the brokers' own clock.
    std::thread::sleep(Duration::from_secs(8));
    pipeline.signal("-CONT");
    pipeline.insert(100).await;
    let status = pipeline.caught_up();
    assert_eq!(status["kafka"]["state"], "RUNNING", "{status}");
    pipeline.assert_each_once();
    pipeline.fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_under_kills_at_each_step_loses_and_doubles_nothing() {
    if skipped("switching_under_kills_at_each_step_loses_and_doubles_nothing") {
        return;
    }
    let (exactly, least) = ("exactly_once", "at_least_once");
    let mut pipeline = Pipeline::new("switch", "", "delivery = \"at_least_once\"").await;
    let mut delivery = least;
    for (next, point) in [
        (exactly, "kafka.before_init"),
        (least, "kafka.after_take_over"),
        (exactly, "kafka.after_init"),
        (least, "cursor.before_write"),
        (exactly, "kafka.after_recovery"),
        (least, "cursor.after_write"),
        (exactly, "kafka.before_commit"),
        (least, "kafka.after_take_over"),
        (exactly, "kafka.during_commit"),
        (least, "kafka.after_take_over"),
        (exactly, "kafka.after_commit"),
    ] {
        // In order first, so that at-least-once delivery leaves nothing to be sent again.
        pipeline.fixture.start().unwrap();
        pipeline.insert(200).await;
        pipeline.caught_up();
        pipeline.fixture.stop().unwrap();
        pipeline.assert_each_once();
        pipeline.insert(200).await;
        pipeline.delivery(delivery, next);
        delivery = next;
        // Killed at the step that takes the other's cursor over, before anything is sent.
        pipeline.fixture.gateway.start(&format!("{point}=1")).unwrap();
        pipeline.fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    }
    pipeline.fixture.start().unwrap();
    let status = pipeline.caught_up();
    assert_eq!(status["kafka"]["delivery"], exactly);
    pipeline.fixture.stop().unwrap();
    pipeline.assert_each_once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_gone_on_from_the_cursor_that_kafka_holds() {
    if skipped("a_lost_log_is_gone_on_from_the_cursor_that_kafka_holds") {
        return;
    }
    let source = "ack = \"sinks\"\nidle_interval = \"100ms\"";
    let mut pipeline = Pipeline::new("lost", source, "delivery = \"exactly_once\"").await;
    pipeline.insert(50).await;
    pipeline.fixture.start().unwrap();
    pipeline.caught_up();
    // A cursor behind the end of the copy, not in it.
    pipeline.insert(1).await;
    pipeline.caught_up();
    let mut ids = Vec::new();
    for round in 0..3 {
        // Killed in the middle: the log is ahead of Kafka.
        for _ in 0..20 {
            pipeline.insert(20).await;
        }
        pipeline.fixture.gateway.kill().unwrap();
        pipeline.insert(30).await;
        let data = pipeline.fixture.folder().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        pipeline.fixture.start().unwrap();
        let status = pipeline.caught_up();
        ids.push(status["log"]["id"].as_str().unwrap().to_owned());
        assert_eq!(status["kafka"]["state"], "RUNNING", "round {round}: {status}");
        pipeline.assert_each_once();
        assert!(pipeline.fixture.gateway.output().contains("going on from the cursor"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each log has an id of its own");
    pipeline.fixture.stop().unwrap();
    // Started over on purpose, nothing is gone on from.
    pipeline.fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["removed the cursor"]);
    pipeline.fixture.start().unwrap();
    let copied = |status: &serde_json::Value| {
        status["kafka"]["sequence"].as_u64() == Some(pipeline.next as u64)
    };
    pipeline.fixture.gateway.wait_for_status("the table is copied", PATIENCE, copied).unwrap();
    let reads = pipeline.records().iter().filter(|record| json(record)["op"] == "r").count();
    assert_eq!(reads as i64, pipeline.next + 50, "the first copy had 50 rows");
    pipeline.fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_waits_for_the_sinks_forgets_nothing_that_kafka_has_not() {
    if skipped("a_source_that_waits_for_the_sinks_forgets_nothing_that_kafka_has_not") {
        return;
    }
    let source = "ack = \"sinks\"\nidle_interval = \"100ms\"";
    let lines = "delivery = \"exactly_once\"\ntransaction_interval = \"10s\"";
    let mut pipeline = Pipeline::new("sinks", source, lines).await;
    pipeline.fixture.start().unwrap();
    pipeline.insert(10).await;
    pipeline.caught_up();
    // The next transaction of Kafka is open for ten seconds.
    let before = pipeline.fixture.confirmed().await.unwrap();
    pipeline.insert(10).await;
    let logged = |status: &serde_json::Value| status["log"]["last_sequence"] == 20;
    pipeline.fixture.gateway.wait_for_status("the log has them", PATIENCE, logged).unwrap();
    let committed: i64 = {
        let sql = "select (pg_current_wal_lsn() - '0/0')::int8";
        pipeline.fixture.client.query_one(sql, &[]).await.unwrap().get(0)
    };
    let status = pipeline.fixture.gateway.status().unwrap();
    let confirmed = pipeline.fixture.confirmed().await.unwrap();
    assert_eq!(status["kafka"]["sequence"], 10, "{status}");
    assert!(confirmed < Some(committed), "{before:?} {confirmed:?} {committed}");
    // Nor by a start, which finds more in the log than Kafka has.
    pipeline.fixture.gateway.kill().unwrap();
    pipeline.fixture.start().unwrap();
    pipeline.insert(1).await;
    let logged = |status: &serde_json::Value| status["log"]["last_sequence"] == 21;
    let status = pipeline.fixture.gateway.wait_for_status("one more", PATIENCE, logged).unwrap();
    let confirmed = pipeline.fixture.confirmed().await.unwrap();
    let status = pipeline.fixture.gateway.status().unwrap_or(status);
    assert!(status["kafka"]["sequence"].as_u64() < Some(20), "{status}");
    assert!(confirmed < Some(committed), "{confirmed:?} {committed} {status}");
    pipeline.caught_up();
    let deadline = Instant::now() + PATIENCE;
    while pipeline.fixture.confirmed().await.unwrap() < Some(committed) {
        assert!(Instant::now() < deadline, "it is confirmed once Kafka has it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pipeline.fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_larger_than_kafkas_is_cut_and_says_so_and_its_headers_put_it_together() {
    let name =
        "a_transaction_larger_than_kafkas_is_cut_and_says_so_and_its_headers_put_it_together";
    if skipped(name) {
        return;
    }
    let lines = "delivery = \"exactly_once\"\nheaders = [\"transaction\"]\n\
                 topics = { partitions = 3 }";
    let mut pipeline = Pipeline::new("cut", "", lines).await;
    pipeline.fixture.start().unwrap();
    pipeline.insert(3).await;
    let rows = pipeline.insert_more_than_a_transaction_takes().await;
    let status = pipeline.caught_up();
    assert!(status["kafka"]["transactions"]["cut"].as_u64() >= Some(1), "{status}");
    let output = pipeline.fixture.gateway.output();
    assert_eq!(output.matches("is committed in parts").count(), 1, "{output}");
    pipeline.assert_each_once();
    let gathered = gather(&pipeline.records());
    let mut sizes: Vec<u64> = gathered.values().filter_map(Gathered::whole).collect();
    sizes.sort_unstable();
    assert_eq!((gathered.len(), &sizes[..]), (2, &[3, rows as u64][..]));
    pipeline.fixture.stop().unwrap();
}

/// The log is lost while Kafka has the first part of a source transaction, and lost again before Kafka
/// has more of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_lost_inside_a_source_transaction_is_gone_on_from_without_loss_or_repetition()
{
    let name =
        "a_log_that_is_lost_inside_a_source_transaction_is_gone_on_from_without_loss_or_repetition";
    if skipped(name) {
        return;
    }
    let source = "ack = \"sinks\"\nidle_interval = \"100ms\"";
    let lines = "delivery = \"exactly_once\"\nheaders = [\"transaction\"]\n\
                 topics = { partitions = 3 }\ndebezium = { transactions = true }";
    let mut pipeline = Pipeline::new("lost_cut", source, lines).await;
    pipeline.fixture.start().unwrap();
    pipeline.insert(3).await;
    pipeline.caught_up();
    pipeline.fixture.stop().unwrap();
    let rows = pipeline.insert_more_than_a_transaction_takes().await;
    // Killed after its first commit of something (the one before claims the cursor), until that was one
    // inside the transaction.
    let deadline = Instant::now() + PATIENCE;
    while !pipeline.fixture.gateway.output().contains("is committed in parts") {
        assert!(Instant::now() < deadline, "{}", pipeline.fixture.gateway.output());
        pipeline.fixture.gateway.start("kafka.after_commit=2").unwrap();
        pipeline.fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    }
    let published = pipeline.records().len() as i64;
    assert!((4..3 + rows).contains(&published), "{published} rows are not a part");
    for point in ["kafka.before_commit=2", "kafka.after_cursor_record=2", ""] {
        std::fs::remove_dir_all(pipeline.fixture.folder().join("data")).unwrap();
        pipeline.fixture.gateway.start(point).unwrap();
        if !point.is_empty() {
            pipeline.fixture.gateway.wait_for_exit(PATIENCE).unwrap();
        }
    }
    pipeline.insert(5).await;
    let status = pipeline.caught_up();
    assert_eq!(status["kafka"]["state"], "RUNNING", "{status}");
    assert!(pipeline.fixture.gateway.output().contains("going on from the cursor"));
    pipeline.assert_each_once();
    let gathered = gather(&pipeline.records());
    let mut sizes: Vec<u64> = gathered.values().filter_map(Gathered::whole).collect();
    sizes.sort_unstable();
    assert_eq!((gathered.len(), &sizes[..]), (3, &[3, 5, rows as u64][..]));
    // Whoever takes the cursor over inside the transaction does not begin it anew.
    let topic = format!("{}.transaction", pipeline.fixture.database);
    let told: Vec<(String, Option<i64>)> = pipeline
        .kafka
        .read_committed(&topic)
        .unwrap()
        .iter()
        .map(json)
        .map(|told| (told["status"].to_string(), told["event_count"].as_i64()))
        .collect();
    let (begin, end) = ("\"BEGIN\"".to_owned(), "\"END\"".to_owned());
    let expected =
        [3, rows, 5].map(|events| [(begin.clone(), None), (end.clone(), Some(events))]).concat();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(expected.iter().all(|record| told.contains(record)), "{told:?}");
    pipeline.fixture.stop().unwrap();
}

/// The cursor's place tells nothing of the rows of a copy that are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_lost_inside_the_copy_of_a_table_halts_and_goes_on_once_it_is_given_back() {
    let name =
        "a_log_that_is_lost_inside_the_copy_of_a_table_halts_and_goes_on_once_it_is_given_back";
    if skipped(name) {
        return;
    }
    let cursors = Kafka::shared().prefix("lost_copy");
    let lines = format!(
        "delivery = \"exactly_once\"\ntransaction_interval = \"10ms\"\n\
         cursor_topic = \"{cursors}\""
    );
    let mut pipeline = Pipeline::new("lost_copy", "", &lines).await;
    pipeline.insert(100_000).await;
    // The first commit claims the cursor, the next one is of the copy.
    pipeline.fixture.gateway.start("kafka.after_commit=2").unwrap();
    pipeline.fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    let written = pipeline.kafka.read(&cursors).unwrap();
    let is_inside = written.last().unwrap().headers.iter().any(|it| it.0 == "offtake.snapshot");
    assert!(is_inside, "killed after the copy: {written:?}");
    let published = pipeline.records().len();
    assert!(published < pipeline.next as usize, "{published} rows are not a part");
    let data = pipeline.fixture.folder().join("data");
    let aside = pipeline.fixture.folder().join("aside");
    std::fs::rename(&data, &aside).unwrap();
    for _ in 0..2 {
        let ended = pipeline.fixture.run_to_its_end().unwrap();
        let texts = ["the copy of a table", "give back the log folder", "offtake resync"];
        ended.expect_error(1, "LOG_LOST_IN_SNAPSHOT", &texts);
        assert!(!data.exists(), "no log is begun");
    }
    assert_eq!(pipeline.kafka.read(&cursors).unwrap(), written, "the cursor is as it was");
    assert_eq!(pipeline.records().len(), published);
    std::fs::rename(&aside, &data).unwrap();
    pipeline.fixture.start().unwrap();
    pipeline.insert(10).await;
    pipeline.caught_up();
    let ids: BTreeSet<i64> = pipeline
        .records()
        .iter()
        .map(|record| json(record)["after"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len() as i64, pipeline.next, "a copy begins anew, and nothing is missing");
    pipeline.fixture.stop().unwrap();
}
