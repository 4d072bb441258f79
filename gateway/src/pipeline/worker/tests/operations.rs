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

#[test]
fn what_a_definition_brings_does_not_come_before_it_where_a_route_leaves_changes_out() {
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path())).unwrap();
    let policy = FailurePolicy::default();
    let route = Route {
        operations: Operations::of(&[RouteOperation::Create]),
        ..route_to("people", vec![1])
    };
    let (mut worker, log) = worker_routed(opened, &configured(policy), vec![route]);
    let (older, today) = (table(&["id"]), table(&["id", "email"]));
    worker.take_event(started(&[Arc::clone(&today)])).unwrap();
    let mut batch = Batch::new();
    // A whole transaction from before the column, then one that begins before it.
    for (id, commit) in [("7", Lsn(9)), ("8", Lsn(19))] {
        batch.push_transaction(Transaction { id: id.into(), commit, ..Default::default() });
    }
    add_rows(&mut batch, &older, 2, "x");
    add_rows(&mut batch, &today, 1, "x");
    for row in &mut batch.rows[..2] {
        (row.operation, row.before) = (Operation::Update, row.after);
    }
    batch.rows[1].transaction = 1;
    batch.rows[2].transaction = 1;
    batch.boundaries.push(Boundary { rows_end: 1, transaction: 0, end: Lsn(10), source_rows: 1 });
    worker.take_event(SourceEvent::Batch(batch)).unwrap();
    worker.submit().unwrap();
    worker.writer.flush().unwrap();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    let mut groups = Vec::new();
    while let Some(group) = reader.next_group().unwrap() {
        let covers = |control: &Control| {
            matches!(control, Control::PluginActivation(record)
                if record.protects.iter().any(|column| !column.catalogue_only))
        };
        groups.push((group.runs.len(), group.controls.iter().any(covers)));
    }
    groups.retain(|(runs, covers)| *runs > 0 || *covers);
    assert_eq!(groups, [(1, true)], "with the first row that has the column");
}
