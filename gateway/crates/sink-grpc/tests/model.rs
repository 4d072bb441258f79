//! Random logs, selections, cursors and frame sizes against a model: a list, filtered.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use offtake_proto::v1;
use proptest::prelude::*;
use support::{Rig, after, from_earliest};

const TABLES: [&str; 4] = ["orders", "lines", "payments", "customers"];
const GLOBS: [&str; 6] = ["*", "*.orders", "shop.*ers", "shop.public.l?nes", "*pay*", "none"];

/// The model's own matcher, by recursion.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        Some((first, rest)) => {
            !name.is_empty() && (*first == b'?' || *first == name[0]) && matches(rest, &name[1..])
        }
    }
}

#[derive(Debug, Clone)]
struct Reading {
    globs: Vec<usize>,
    /// Share of the log, per mille.
    from: u64,
    max_frame_bytes: u32,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..200, 3 => 200usize..9000, 1 => 9000usize..300_000]
}

fn groups() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    let run = (0..TABLES.len(), prop::collection::vec(sizes(), 1..6));
    let group = prop::collection::vec(run, 1..6).prop_map(|runs| {
        let changes =
            |(table, sizes): (usize, Vec<usize>)| sizes.into_iter().map(move |size| (table, size));
        runs.into_iter().flat_map(changes).collect()
    });
    prop::collection::vec(group, 1..12)
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let globs = prop::collection::vec(0..GLOBS.len(), 0..3);
    let reading = (globs, 0u64..=1000, 4096u32..400_000)
        .prop_map(|(globs, from, max_frame_bytes)| Reading { globs, from, max_frame_bytes });
    prop::collection::vec(reading, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_subscription_is_the_filtered_rest_of_the_log(
        groups in groups(),
        early in 0usize..12,
        readings in readings(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(check(groups, early, readings));
    }
}

/// Subscriptions begin after `early` groups, so that they see old and live changes.
async fn check(groups: Vec<Vec<(usize, usize)>>, early: usize, readings: Vec<Reading>) {
    let mut rig = Rig::start().await;
    let mut subscribers = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        if index == early.min(groups.len() - 1) {
            for reading in &readings {
                let streams: Vec<&str> = reading.globs.iter().map(|glob| GLOBS[*glob]).collect();
                let token = rig.subscribe(from_earliest(&streams)).await;
                let from = rig.last() * reading.from / 1000;
                let request = v1::SubscribeRequest {
                    max_frame_bytes: reading.max_frame_bytes,
                    ..after(&streams, token.cursor(from))
                };
                subscribers.push((streams, from, rig.subscribe(request).await));
            }
        }
        for (table, size) in group {
            rig.push(TABLES[*table], *size);
        }
        rig.flush();
    }
    for (streams, from, mut subscriber) in subscribers {
        let selected = |name: &str| {
            streams.is_empty()
                || streams.iter().any(|glob| matches(glob.as_bytes(), name.as_bytes()))
        };
        let changes = subscriber.changes_through(rig.last()).await;
        assert_eq!(changes, rig.expected(from, selected), "{streams:?} after {from}");
    }
}
