//! A sink that is told to stop while it waits in the middle of a hand-over: what was taken and is not
//! sent yet is sent before the cursor says so, or the cursor does not say so.

use std::time::Duration;

use offtake_tests::kafka::{Kafka, skipped};

use crate::bench::*;
use crate::{assert_each_once, exactly_once};

/// Rows of a transaction; several are in a group of the log.
const ROWS: i64 = 40;
const TRANSACTIONS: i64 = 500;
/// What a stop may take: longer than the client's queue takes to empty.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn a_stop_while_the_clients_queue_is_full_loses_and_doubles_nothing() {
    if skipped("a_stop_while_the_clients_queue_is_full_loses_and_doubles_nothing") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-stop");
    bench.options.delivery = exactly_once();
    bench.options.delivery.transaction_interval = Duration::from_millis(1);
    // The smallest that is allowed: nearly every hand-over has to wait for it.
    let queue = ("queue.buffering.max.messages".to_owned(), "100".to_owned());
    bench.options.properties.extend([queue]);
    for transaction in 0..TRANSACTIONS {
        let ids = transaction * ROWS..(transaction + 1) * ROWS;
        let inserts: Vec<Write> = ids.map(|id| Write::Insert(id, "a".repeat(300))).collect();
        let writer = &mut bench.opened.writer;
        commit_without_flush(writer, &bench.schema, &bench.topic, &inserts);
    }
    bench.opened.writer.flush().unwrap();
    let (mut stops, mut cursor) = (0, 0);
    loop {
        let sink = bench.sink();
        let status = wait(&sink, "something is committed", |status| {
            status.cursor > cursor || status.lag == 0
        });
        cursor = status.cursor;
        sink.stop(STOP);
        if status.lag == 0 {
            break;
        }
        stops += 1;
    }
    assert!(stops >= 5, "{stops} stops on the way");
    assert_each_once(kafka, &bench.topic, ROWS * TRANSACTIONS);
}
