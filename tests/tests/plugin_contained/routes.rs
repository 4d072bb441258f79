//! Two routes, of which one has a hostile plugin.

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

use crate::{changes, hostile, said, told, wait_for_halt, wait_for_sequence};

/// What a row of `watched` asks the plugin for.
fn asks(id: u64) -> u64 {
    match id {
        _ if id % 40 == 3 => 1,
        _ if id % 70 == 9 => 2,
        _ => 0,
    }
}

/// Transactions of two rows, one on each route.
async fn write(fixture: &Fixture, ids: std::ops::RangeInclusive<u64>, asks: impl Fn(u64) -> u64) {
    let transactions: String = ids
        .map(|id| {
            format!(
                "BEGIN; INSERT INTO watched VALUES ({id}, {}); INSERT INTO other VALUES ({id}, 0); \
                 COMMIT;",
                asks(id)
            )
        })
        .collect();
    fixture.client.batch_execute(&transactions).await.unwrap();
}

async fn fixture(hint: &str, on_error: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let sections = hostile::sections(on_error);
    let mut fixture = Fixture::new(postgres, hint, hostile::TABLES, "", &sections).await.unwrap();
    hostile::write(fixture.folder());
    fixture.start().unwrap();
    fixture
}

fn ids(table: &str, ids: impl Iterator<Item = u64>) -> Vec<String> {
    ids.map(|id| format!("{table} {id}")).collect()
}

async fn contained(hint: &str, workers: u32) {
    let mut fixture = fixture(hint, "dead_letter").await;
    fixture.stop().unwrap();
    fixture.gateway.edit("\n\n[source]", &format!("\nworkers = {workers}\n\n[source]")).unwrap();
    fixture.start().unwrap();
    write(&fixture, 1..=300, asks).await;
    let everything = changes(&fixture, &[], 600).await;
    let watched = |id| match asks(id) {
        0 => format!("watched {id}"),
        1 => "PLUGIN_TRAP".to_owned(),
        _ => "PLUGIN_DEADLINE".to_owned(),
    };
    let expected = (1..=300).flat_map(|id| [watched(id), format!("other {id}")]);
    assert_eq!(told(&everything), expected.collect::<Vec<_>>());
    let other = changes(&fixture, &["public.other"], 300).await;
    assert_eq!(told(&other), ids("other", 1..=300));
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    let guilty = (1..=300).filter(|id| asks(*id) > 0).count();
    assert!(status["plugins"][0]["failed"].as_u64() >= Some(guilty as u64), "{status:#}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_one_route_leave_the_other_whole_and_everything_in_order() {
    contained("contained", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_where_several_threads_run_the_plugin() {
    contained("contained_threads", 3).await;
}

/// A row that halts one route halts the pipeline before it, for there is one log and one order.
async fn halts_and_goes_on(hint: &str, guilty: u64, code: &str) {
    let mut fixture = fixture(hint, "halt").await;
    let name = format!("{}.public.other", fixture.database);
    let other = Subscriber::start(fixture.gateway.grpc, &[&name]);
    write(&fixture, 1..=50, |_| 0).await;
    wait_for_sequence(&fixture, 100);
    write(&fixture, 51..=100, |id| if id == 51 { guilty } else { 0 }).await;
    // Twice, for a restart changes nothing.
    for _ in 0..2 {
        let status = wait_for_halt(&fixture, code, 100);
        let cause = said(&status, "cause");
        assert!(cause.contains("hostile") && cause.contains("public.watched"), "{status:#}");
        // What is in the log is served on.
        let served = changes(&fixture, &["public.other"], 50).await;
        assert_eq!(told(&served), ids("other", 1..=50));
        fixture.stop().unwrap();
        fixture.gateway.start("").unwrap();
    }
    wait_for_halt(&fixture, code, 100);
    fixture.stop().unwrap();
    fixture.gateway.edit("\"halt\"", "\"dead_letter\"").unwrap();
    fixture.start().unwrap();
    // The subscriber was there all the time, and got each once.
    let all = |store: &offtake_tests::subscriber::Store| store.changes.len() >= 100;
    other.wait_for("the other route", crate::PATIENCE, all).await.unwrap();
    assert_eq!(told(&other.changes()), ids("other", 1..=100));
    let watched = |id| if id == 51 { code.to_owned() } else { format!("watched {id}") };
    let expected = (1..=100).flat_map(|id| [watched(id), format!("other {id}")]);
    assert_eq!(told(&changes(&fixture, &[], 200).await), expected.collect::<Vec<_>>());
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_that_halts_one_route_holds_the_other_back_at_its_place_and_loses_nothing() {
    halts_and_goes_on("held_by_trap", 1, "PLUGIN_TRAP").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_that_halts_one_route_holds_the_other_back_and_loses_nothing() {
    halts_and_goes_on("held_by_loop", 2, "PLUGIN_DEADLINE").await;
}
