//! What a subscriber gets: every change of its streams once, in order, from the place asked for.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use offtake_log::Control as Record;
use offtake_proto::v1;
use offtake_proto::v1::subscribe_request::Start;
use support::{Event, Rig, after, from_earliest};

/// Three tables, alternating, in several groups; some runs are long, some are single changes.
async fn shop() -> Rig {
    let mut rig = Rig::start().await;
    for group in 0..4 {
        for change in 0..3 {
            rig.push("orders", 50 + 40 * change);
        }
        rig.push("lines", 30);
        rig.push("orders", 10);
        if group % 2 == 0 {
            rig.push("payments", 20);
        }
        rig.push("lines", 5000);
        rig.push("lines", 3000);
        rig.flush();
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_come_in_commit_order_and_byte_for_byte() {
    let rig = shop().await;
    for max_frame_bytes in [0, 4096, 6000] {
        let request = v1::SubscribeRequest { max_frame_bytes, ..from_earliest(&[]) };
        let mut subscriber = rig.subscribe(request).await;
        assert_eq!(subscriber.opened.first_sequence, 1);
        assert_eq!(subscriber.changes_through(rig.last()).await, rig.expected(0, |_| true));
        assert_eq!(subscriber.streams.len(), 3);
        assert_eq!(subscriber.schemas.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_gathered_into_few_frames() {
    let mut rig = Rig::start().await;
    for _ in 0..50 {
        rig.push("orders", 20);
        rig.push("lines", 20);
        rig.flush();
    }
    let mut subscriber = rig.subscribe(from_earliest(&[])).await;
    subscriber.changes_through(rig.last()).await;
    assert!(subscriber.change_frames <= 8, "{} frames", subscriber.change_frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_globs_choose_streams_and_those_that_begin_later() {
    let mut rig = shop().await;
    let mut lines = rig.subscribe(from_earliest(&["shop.public.lines"])).await;
    let mut ers = rig.subscribe(from_earliest(&["*ers", "shop.publi?.pay*"])).await;
    assert_eq!(
        lines.changes_through(rig.last()).await,
        rig.expected(0, |stream| stream == "shop.public.lines")
    );
    let chosen = |stream: &str| stream.ends_with("ers") || stream.ends_with("payments");
    assert_eq!(ers.changes_through(rig.last()).await, rig.expected(0, chosen));
    let before = rig.last();
    rig.push("customers", 10);
    rig.push("lines", 10);
    rig.flush();
    assert_eq!(ers.changes_through(rig.last()).await, rig.expected(before, chosen));
    assert_eq!(lines.changes_through(rig.last()).await.len(), 1);
    assert_eq!(lines.streams.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_at_every_sequence_gives_exactly_the_rest() {
    let rig = shop().await;
    for streams in [&[][..], &["*.lines", "*.payments"]] {
        let opened = rig.subscribe(from_earliest(streams)).await;
        for sequence in 0..=rig.last() {
            let request = v1::SubscribeRequest {
                max_frame_bytes: 4096,
                ..after(streams, opened.cursor(sequence))
            };
            let mut subscriber = rig.subscribe(request).await;
            assert_eq!(subscriber.opened.first_sequence, sequence + 1);
            let selected = |stream: &str| streams.is_empty() || !stream.ends_with("orders");
            let changes = subscriber.changes_through(rig.last()).await;
            assert_eq!(changes, rig.expected(sequence, selected), "after {sequence}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_is_the_default_and_sends_only_what_is_committed_from_now_on() {
    let mut rig = shop().await;
    let before = rig.last();
    let mut default = rig.subscribe(v1::SubscribeRequest::default()).await;
    let latest = v1::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() };
    let mut latest = rig.subscribe(latest).await;
    rig.push("orders", 1);
    rig.flush();
    let expected = rig.expected(before, |_| true);
    assert_eq!(default.changes_through(rig.last()).await, expected);
    assert_eq!(latest.changes_through(rig.last()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_moves_past_what_other_streams_produced() {
    let mut rig = Rig::start().await;
    let mut subscriber = rig.subscribe(from_earliest(&["*.payments"])).await;
    for _ in 0..20 {
        rig.push("orders", 100);
        rig.flush();
    }
    rig.writer.control(Record::SourcePosition(v1::SourcePosition {
        last_commit_unix_us: 77,
        ..Default::default()
    }));
    rig.flush();
    loop {
        match subscriber.next().await.unwrap() {
            Event::Progress(progress) if progress.source_unix_us == 77 => {
                assert_eq!((progress.sequence, progress.caught_up), (20, true));
                break;
            }
            Event::Progress(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    // Such a place is a cursor like any other.
    let resumed = rig.subscribe(after(&["*.payments"], subscriber.cursor(20))).await;
    assert_eq!(resumed.opened.first_sequence, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_subscription_hears_from_the_server_and_keeps_the_interval() {
    let mut rig = Rig::start().await;
    rig.push("orders", 1);
    rig.flush();
    let mut subscriber = rig.subscribe(from_earliest(&[])).await;
    subscriber.changes_through(1).await;
    let begin = tokio::time::Instant::now();
    let Event::Progress(first) = subscriber.next().await.unwrap() else { panic!("no progress") };
    let Event::Progress(second) = subscriber.next().await.unwrap() else { panic!("no progress") };
    assert_eq!((first.sequence, second.sequence), (1, 1));
    let elapsed = begin.elapsed().as_secs_f64();
    assert!((4.0..7.0).contains(&elapsed), "the heartbeat came after {elapsed} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_change_travels_in_parts_and_arrives_whole() {
    let mut rig = Rig::start().await;
    rig.push("orders", 100);
    rig.push("orders", 3 << 20);
    rig.push("orders", 600 << 10);
    rig.push("lines", (1 << 20) + 1);
    rig.push("orders", 100);
    rig.flush();
    let mut subscriber = rig.subscribe(from_earliest(&[])).await;
    assert_eq!(subscriber.changes_through(rig.last()).await, rig.expected(0, |_| true));
    assert_eq!(subscriber.part_frames, 13 + 5);
    let mut resumed = rig.subscribe(after(&[], subscriber.cursor(1))).await;
    assert_eq!(resumed.changes_through(rig.last()).await, rig.expected(1, |_| true));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_any_name_are_described_and_marked_by_what_they_carry() {
    let mut rig = Rig::start().await;
    // As `stream = "x.{table}.y"` names them; the last one ends like a table that it has not.
    for (stream, table) in
        [("x.orders.y", "orders"), ("x.lines.y", "lines"), ("old.public.orders", "lines")]
    {
        rig.push_to(stream, table, 10);
    }
    rig.push_to("x.lines.y", "orders", 10);
    rig.writer.control(Record::SnapshotProgress(v1::SnapshotProgress {
        namespace: "public".to_owned(),
        table: "orders".to_owned(),
        state: v1::SnapshotState::Done.into(),
        rows: 2,
        ..Default::default()
    }));
    rig.push_to("x.orders.y", "orders", 10);
    rig.flush();
    let reply = rig.client().await.describe(v1::DescribeRequest::default()).await.unwrap();
    let described: Vec<(String, Vec<String>)> = reply
        .into_inner()
        .streams
        .into_iter()
        .map(|it| (it.name, it.schemas.into_iter().map(|schema| schema.table).collect()))
        .collect();
    let expected = [
        ("x.orders.y", &["orders"][..]),
        ("x.lines.y", &["orders", "lines"]),
        ("old.public.orders", &["lines"]),
    ];
    for ((name, tables), (expected_name, expected_tables)) in described.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(tables, expected_tables, "{name}");
    }
    for (stream, is_marked) in
        [("x.orders.*", true), ("x.lines.*", true), ("old.*", false), ("none", false)]
    {
        let mut subscriber = rig.subscribe(from_earliest(&[stream])).await;
        let mut marks = 0;
        loop {
            match subscriber.next().await.unwrap() {
                Event::Snapshot(mark) => {
                    assert_eq!(mark.table, "public.orders");
                    marks += 1;
                }
                Event::Progress(progress) if progress.sequence == rig.last() => break,
                Event::Changes(_) | Event::Progress(_) => {}
                Event::Ended(ended) => panic!("ended: {ended:?}"),
            }
        }
        assert_eq!(marks > 0, is_marked, "{stream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_marked_around_its_rows() {
    let mut rig = Rig::start().await;
    let mark = |table: &str, state: v1::SnapshotState, rows| {
        Record::SnapshotProgress(v1::SnapshotProgress {
            namespace: "public".to_owned(),
            table: table.to_owned(),
            state: state.into(),
            rows,
            ..Default::default()
        })
    };
    rig.writer.control(mark("orders", v1::SnapshotState::Copying, 0));
    rig.push("orders", 10);
    rig.push("lines", 10);
    rig.writer.control(mark("lines", v1::SnapshotState::Done, 1));
    rig.writer.control(mark("orders", v1::SnapshotState::Done, 1));
    rig.flush();
    let mut subscriber = rig.subscribe(from_earliest(&["*.orders"])).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match subscriber.next().await.unwrap() {
            Event::Changes(changes) => seen.push(format!("{} changes", changes.len())),
            Event::Snapshot(mark) => seen.push(format!("{} {:?}", mark.table, mark.phase())),
            Event::Progress(_) => {}
            Event::Ended(ended) => panic!("ended: {ended:?}"),
        }
    }
    assert_eq!(seen, ["public.orders Begin", "1 changes", "public.orders End"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_names_streams_schemas_and_cursors_that_work() {
    let rig = shop().await;
    let request = v1::DescribeRequest { streams: vec!["*.l*".to_owned()], ..Default::default() };
    let reply = rig.client().await.describe(request).await.unwrap().into_inner();
    let names: Vec<&str> = reply.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["shop.public.lines"]);
    assert_eq!(reply.streams[0].schemas[0].table, "lines");
    assert_eq!(reply.streams[0].changes, 12);
    assert!(reply.streams[0].bytes > 4 * 8000);
    assert_eq!(reply.state, "RUNNING");
    assert_eq!(reply.log_id.len(), 32);
    assert_eq!(reply.latest.clone().unwrap().sequence, rig.last());
    let mut subscriber = rig.subscribe(after(&["*.l*"], reply.earliest.unwrap())).await;
    let expected = rig.expected(0, |stream| stream.ends_with("lines"));
    assert_eq!(subscriber.changes_through(rig.last()).await, expected);
    rig.subscribe(after(&["*.l*"], reply.latest.unwrap())).await;
}
