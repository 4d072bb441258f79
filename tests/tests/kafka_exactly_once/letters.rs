//! Rows that are larger than their topic takes, inside a source transaction: one dead letter for each,
//! and the rest of the transaction once and whole, wherever the gateway is killed.

use std::collections::BTreeSet;

use offtake_tests::fixture::PATIENCE;
use offtake_tests::kafka::skipped;

use crate::bench::json;
use crate::gateway::Pipeline;
use crate::headers::gather;

const LINES: &str = "delivery = \"exactly_once\"\noversize = \"dead_letter\"\n\
    headers = [\"transaction\"]\nproperties = { \"compression.codec\" = \"none\" }\n\
    topics = { partitions = 3, config = { \"max.message.bytes\" = \"20000\" } }";
/// Rows of a transaction, of which two are too large.
const ROWS: i64 = 10;

impl Pipeline {
    /// One transaction of [`ROWS`] rows: the fifth and the last are too large.
    async fn insert_with_large_rows(&mut self) {
        let (from, to) = (self.next, self.next + ROWS - 1);
        let sql = format!(
            "insert into t select g, repeat('x', case when g in ({from} + 4, {to}) then 50000 \
             else 10 end) from generate_series({from}, {to}) g"
        );
        self.fixture.client.batch_execute(&sql).await.unwrap();
        self.next += ROWS;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_too_large_are_one_dead_letter_each_and_their_transaction_is_whole_wherever_it_is_killed()
 {
    let name = "rows_too_large_are_one_dead_letter_each_and_their_transaction_is_whole_wherever_it_\
                is_killed";
    if skipped(name) {
        return;
    }
    let mut pipeline = Pipeline::new("large_rows", "", LINES).await;
    // The slot is made, so that what is written while nothing runs comes as changes.
    pipeline.fixture.start().unwrap();
    pipeline.fixture.stop().unwrap();
    // The first commit of a start claims the cursor. Until the third, nothing is past it.
    let points = [
        "kafka.before_dead_letter=1",
        "kafka.after_dead_letter=2",
        "kafka.after_commit=2",
        "kafka.after_cursor_record=2",
    ];
    for point in points {
        pipeline.insert_with_large_rows().await;
        pipeline.fixture.gateway.start(point).unwrap();
        pipeline.fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    }
    pipeline.fixture.start().unwrap();
    pipeline.insert_with_large_rows().await;
    let transactions = points.len() as i64 + 1;
    let everything = |status: &serde_json::Value| {
        status["log"]["last_sequence"].as_i64() == Some(transactions * (ROWS + 2))
            && status["kafka"]["sequence"] == status["log"]["last_sequence"]
    };
    pipeline.fixture.gateway.wait_for_status("Kafka to have it all", PATIENCE, everything).unwrap();
    let records = pipeline.records();
    let mut ids: Vec<i64> =
        records.iter().map(|record| json(record)["after"]["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    let is_small = |id: &i64| ![4, ROWS - 1].contains(&(id % ROWS));
    let expected: Vec<i64> = (0..pipeline.next).filter(is_small).collect();
    assert_eq!(ids, expected);
    let gathered = gather(&records);
    assert_eq!(gathered.len() as i64, transactions);
    for (transaction, gathered) in &gathered {
        assert_eq!(gathered.whole(), Some(ROWS as u64 - 2), "{transaction:?}: {gathered:?}");
    }
    let topic = format!("{}.dead_letters", pipeline.fixture.database);
    let letters = pipeline.kafka.read_committed(&topic).unwrap();
    let of: BTreeSet<&[u8]> = letters.iter().filter_map(|letter| letter.key.as_deref()).collect();
    assert_eq!((letters.len(), of.len()), (points.len() * 2 + 2, points.len() * 2 + 2));
    pipeline.fixture.stop().unwrap();
}
