//! A row that is asked for again: where it goes, and what plugins emit of it.

use super::*;
use offtake_source_postgres::ReplayedChange;

/// The streams that get something where a row is asked for again for the route's own.
fn streams_of_replayed(is_alone: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (mut worker, log) =
        worker_of(LogOptions::new(folder.path()), vec![1, 2], FailurePolicy::default());
    let people = table(&["id", "email"]);
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    let mut batch = Batch::new();
    add_rows(&mut batch, &people, 1, "x");
    batch.rows[0] =
        Row { operation: Operation::Read, transaction: NO_TRANSACTION, ..batch.rows[0] };
    let (told, entered) = flume::bounded(1);
    let stream = Arc::from("shop.public.people");
    worker.take_replayed(ReplayedChange { batch, stream, is_alone, entered: told }).unwrap();
    worker.submit().unwrap();
    worker.writer.flush().unwrap();
    let streams: Vec<String> =
        logged(&log).into_iter().flatten().map(|(stream, _)| stream).collect();
    let entered = entered.recv().unwrap();
    assert_eq!(entered.end_sequence - entered.first_sequence, streams.len() as u64);
    assert!(entered.is_routed);
    streams
}

#[test]
fn what_plugins_emit_elsewhere_is_not_sent_again_for_a_row_that_only_the_sink_refused() {
    assert_eq!(streams_of_replayed(true), ["shop.public.people"]);
    // Whether a plugin that failed before had emitted something is not known.
    assert_eq!(streams_of_replayed(false), ["shop.public.people", "shop.audit"]);
}
