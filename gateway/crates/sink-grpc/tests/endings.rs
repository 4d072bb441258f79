//! How a subscription ends: typed, with a place to go on from where there is one, never silently.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use offtake_proto::v1;
use support::{Rig, Subscriber, after, from_earliest, until};
use tonic::{Code, Status};

async fn refused(rig: &Rig, request: v1::SubscribeRequest) -> (v1::Ended, Status) {
    match Subscriber::try_open(rig.client().await, request).await {
        Err((Some(ended), status)) => (ended, status),
        Err((None, status)) => panic!("refused without an Ended frame: {status:?}"),
        Ok(_) => panic!("a cursor that cannot be served was accepted"),
    }
}

fn assert_ended(end: &(v1::Ended, Status), code: &str, status: Code) {
    assert_eq!((end.0.code.as_str(), end.1.code()), (code, status), "{end:?}");
    assert!(end.1.message().starts_with(code), "{:?}", end.1.message());
}

async fn rig() -> Rig {
    let mut rig = Rig::start().await;
    for _ in 0..5 {
        rig.push("orders", 10);
        rig.push("lines", 10);
        rig.flush();
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_or_altered_token_is_refused_and_names_the_earliest_cursor() {
    let rig = rig().await;
    let good = rig.subscribe(from_earliest(&[])).await.cursor(3);
    let mut altered = good.token.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    for token in [Vec::new(), b"x".to_vec(), good.token[1..].to_vec(), altered, vec![0xff; 10_000]]
    {
        let cursor = v1::Cursor { token: token.into(), sequence: 3 };
        let end = refused(&rig, after(&[], cursor)).await;
        assert_ended(&end, "CURSOR_MALFORMED", Code::InvalidArgument);
        // The earliest cursor of the refusal works.
        let mut again = rig.subscribe(after(&[], end.0.earliest.unwrap())).await;
        assert_eq!(again.changes_through(rig.last()).await.len(), 10);
    }
    assert_eq!(rig.status.refused(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_log_is_told_as_such() {
    let (one, other) = (rig().await, rig().await);
    let cursor = one.subscribe(from_earliest(&[])).await.cursor(3);
    let end = refused(&other, after(&[], cursor)).await;
    assert_ended(&end, "CURSOR_FROM_ANOTHER_LOG", Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_streams_only() {
    let rig = rig().await;
    let cursor = rig.subscribe(from_earliest(&["*.orders", "*.lines"])).await.cursor(3);
    for streams in [&[][..], &["*.orders"], &["*.orders", "*.lines", "*.x"]] {
        let end = refused(&rig, after(streams, cursor.clone())).await;
        assert_ended(&end, "CURSOR_OTHER_SELECTION", Code::FailedPrecondition);
    }
    // Their order does not matter.
    rig.subscribe(after(&["*.lines", "*.orders", "*.lines"], cursor)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_past_the_end_is_refused() {
    let rig = rig().await;
    let subscriber = rig.subscribe(from_earliest(&[])).await;
    rig.subscribe(after(&[], subscriber.cursor(10))).await;
    for sequence in [11, u64::MAX - 1, u64::MAX] {
        let end = refused(&rig, after(&[], subscriber.cursor(sequence))).await;
        assert_ended(&end, "CURSOR_AHEAD", Code::OutOfRange);
    }
}

async fn short_log() -> Rig {
    Rig::start_with(
        |options| {
            options.segment_bytes = 32 << 10;
            options.retain_bytes = 256 << 10;
        },
        |_| {},
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_older_than_the_log_is_refused_with_the_earliest() {
    let mut rig = short_log().await;
    rig.push("orders", 10);
    rig.flush();
    let subscriber = rig.subscribe(from_earliest(&[])).await;
    while rig.log.earliest_sequence() < 10 {
        assert!(rig.last() < 10_000, "retention does not delete");
        rig.push("orders", 4 << 10);
        rig.flush();
    }
    let end = refused(&rig, after(&[], subscriber.cursor(1))).await;
    assert_ended(&end, "CURSOR_TOO_OLD", Code::OutOfRange);
    let earliest = end.0.earliest.unwrap();
    assert_eq!(earliest.sequence, rig.log.earliest_sequence() - 1);
    let mut again = rig.subscribe(after(&[], earliest.clone())).await;
    let expected = rig.expected(earliest.sequence, |_| true);
    assert_eq!(again.changes_through(rig.last()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_overtakes_a_slow_subscriber_ends_it_and_skips_nothing() {
    let mut rig = short_log().await;
    rig.push("orders", 10);
    rig.flush();
    let mut slow = rig.subscribe(from_earliest(&[])).await;
    // Far more than any window: the subscriber is behind and retention passes it.
    while rig.log.earliest_sequence() < 3000 {
        for _ in 0..6 {
            rig.push("orders", 4 << 10);
        }
        rig.flush();
    }
    let mut next = 1;
    let end = loop {
        match slow.next().await.unwrap() {
            support::Event::Changes(changes) => {
                for change in changes {
                    assert_eq!(change.sequence, next, "a change was skipped");
                    next += 1;
                }
            }
            support::Event::Ended(ended) => break (ended, slow.next().await.unwrap_err()),
            _ => {}
        }
    };
    assert!(next < 3000, "the subscriber was not slow");
    assert_ended(&end, "CURSOR_TOO_OLD", Code::OutOfRange);
    assert!(end.0.earliest.unwrap().sequence >= next);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_with_a_cursor_that_goes_on_without_loss() {
    let mut rig = rig().await;
    let mut subscriber = rig.subscribe(from_earliest(&[])).await;
    assert_eq!(subscriber.changes_through(rig.last()).await.len(), 10);
    let server = rig.stop();
    let end = subscriber.ended().await;
    assert_ended(&end, "SHUTTING_DOWN", Code::Unavailable);
    assert_eq!(end.0.resume.unwrap(), subscriber.cursor(10));
    drop(subscriber);
    tokio::time::timeout(Duration::from_secs(1), server).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_a_subscriber_that_never_reads() {
    let mut rig =
        Rig::start_with(|_| {}, |options| options.drain_timeout = Duration::from_millis(200)).await;
    for _ in 0..40 {
        rig.push("orders", 200 << 10);
    }
    rig.flush();
    let stalled = rig.subscribe(from_earliest(&[])).await;
    until("the stall", || rig.status.subscribers()[0].bytes > 100_000).await;
    let server = rig.stop();
    tokio::time::timeout(Duration::from_secs(2), server).await.unwrap().unwrap();
    until("the subscriber's end", || rig.status.subscriber_count() == 0).await;
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_forgotten() {
    let rig = rig().await;
    let mut staying = rig.subscribe(from_earliest(&["*.lines"])).await;
    let leaving = rig.subscribe(from_earliest(&[])).await;
    until("both subscribers", || rig.status.subscriber_count() == 2).await;
    drop(leaving);
    until("the end of one", || rig.status.subscriber_count() == 1).await;
    staying.changes_through(rig.last()).await;
    until("all is sent", || rig.status.subscribers()[0].waiting).await;
    let listed = rig.status.subscribers().remove(0);
    assert_eq!(listed.streams, ["*.lines"]);
    assert_eq!((listed.sequence, listed.changes), (10, 5));
    assert!(listed.peer.unwrap().ip().is_loopback());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_ends_the_subscription_after_the_last_good_change_and_skips_nothing() {
    // Without a cache, so that what was written is read again from the file.
    let mut rig = Rig::start_with(|options| options.cache_bytes = 0, |_| {}).await;
    for _ in 0..10 {
        rig.push("orders", 10_000);
        rig.flush();
    }
    let segment = std::fs::read_dir(rig.folder.path().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let mut subscriber = rig.subscribe(from_earliest(&[])).await;
    let mut changes = Vec::new();
    let end = loop {
        match subscriber.next().await.unwrap() {
            support::Event::Changes(more) => changes.extend(more),
            support::Event::Ended(ended) => break (ended, subscriber.next().await.unwrap_err()),
            _ => {}
        }
    };
    assert_ended(&end, "LOG_DAMAGED", Code::DataLoss);
    assert!((3..8).contains(&changes.len()), "{} changes", changes.len());
    assert_eq!(changes, rig.written[..changes.len()]);
}
