//! Routes that take some operations: each change goes the ways of its own, in the order of the
//! source.

use offtake_config::RouteOperation;

use super::*;

#[test]
fn changes_go_the_ways_of_their_operations_and_in_source_order() {
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    let of = |stream, operations: &[_], continues| Route {
        operations: Operations::of(operations),
        continues,
        ..route_to(stream, Vec::new())
    };
    let routes = vec![
        of("deleted", &[RouteOperation::Delete], true),
        of("written", &[RouteOperation::Create, RouteOperation::Delete], false),
        of("truncated", &[RouteOperation::Truncate], false),
    ];
    let (mut worker, log) = worker_routed(opened, &[], routes);
    let people = table(&["id"]);
    worker.take_event(started(&[Arc::clone(&people)])).unwrap();
    let mut batch = Batch::new();
    batch.push_transaction(Transaction { id: "7".into(), commit: Lsn(9), ..Default::default() });
    add_rows(&mut batch, &people, 4, "x");
    for (row, operation) in [(1, Operation::Update), (2, Operation::Delete)] {
        let row = &mut batch.rows[row];
        row.operation = operation;
        row.before = row.after;
    }
    batch.rows[2].after = Image::NONE;
    batch.rows[3] = Row {
        operation: Operation::Truncate,
        before: Image::NONE,
        after: Image::NONE,
        ..batch.rows[3]
    };
    batch.boundaries.push(Boundary { rows_end: 4, transaction: 0, end: Lsn(10), source_rows: 4 });
    worker.take_event(SourceEvent::Batch(batch)).unwrap();
    worker.writer.flush().unwrap();
    let groups = logged(&log);
    let streams: Vec<&str> = groups[0].iter().map(|row| row.0.as_str()).collect();
    assert_eq!(streams, ["written", "deleted", "written", "truncated"], "no route takes updates");
    assert_eq!(worker.position.end, Some(position_of(Lsn(10))), "the position moves past them");
}
