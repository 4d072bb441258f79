//! A consumer knows that it has a source transaction whole, whatever of it Kafka is not given.

use offtake_tests::fixture::PATIENCE;
use offtake_tests::kafka::skipped;

use crate::gateway::Pipeline;
use crate::headers::{Gathered, gather};

/// Rows that are deleted by a transaction whose deletes are not published: several groups of the log.
const DELETED: i64 = 40_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_told_whole_without_the_truncates_and_deletes_that_are_not_published() {
    let name =
        "a_transaction_is_told_whole_without_the_truncates_and_deletes_that_are_not_published";
    if skipped(name) {
        return;
    }
    let lines = "delivery = \"exactly_once\"\nheaders = [\"transaction\"]\n\
                 topics = { partitions = 3 }\n\
                 debezium = { skipped_operations = [\"t\", \"d\"] }";
    let mut pipeline = Pipeline::new("whole", "", lines).await;
    let setup = format!(
        "create table other (id int primary key); create table big (id int primary key, note text);
         alter table big replica identity full;
         insert into big select g, repeat('y', 100) from generate_series(1, {DELETED}) g"
    );
    pipeline.fixture.client.batch_execute(&setup).await.unwrap();
    pipeline.fixture.start().unwrap();
    let caught_up = |pipeline: &Pipeline, changes: i64| {
        let everything = |status: &serde_json::Value| {
            status["log"]["last_sequence"].as_i64() == Some(changes)
                && status["kafka"]["sequence"] == status["log"]["last_sequence"]
        };
        pipeline.fixture.gateway.wait_for_status("everything", PATIENCE, everything).unwrap();
    };
    caught_up(&pipeline, DELETED);
    let transactions = [
        // A truncate first, in the middle, and last.
        "truncate other; insert into t values (1), (2); truncate other; insert into t values (3)",
        "insert into t values (4), (5); truncate other",
        // Nothing of it is published.
        "truncate other",
        // Its published changes are some groups of the log before its end.
        "insert into t values (6); delete from big; truncate other",
        // A moved key whose delete is not published has its create.
        "update t set id = 7 where id = 6; delete from t where id = 1",
        "insert into t values (8)",
    ];
    for transaction in transactions {
        let sql = format!("begin; {transaction}; commit");
        pipeline.fixture.client.batch_execute(&sql).await.unwrap();
    }
    caught_up(&pipeline, DELETED + (5 + 3 + 1 + 2 + DELETED + 2 + 1));
    let gathered = gather(&pipeline.records());
    let sizes: Vec<Option<u64>> = gathered.values().map(Gathered::whole).collect();
    let mut expected = [3, 2, 1, 1, 1].map(Some).to_vec();
    assert_eq!(sizes.len(), expected.len(), "{gathered:?}");
    expected.sort_unstable();
    let mut sizes = sizes;
    sizes.sort_unstable();
    assert_eq!(sizes, expected, "{gathered:?}");
    pipeline.fixture.stop().unwrap();
}
