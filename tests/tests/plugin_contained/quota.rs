//! A plugin that would keep more than it was granted.

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};
use serde_json::Value;

use crate::{changes, said, told, wait_for_halt, wait_for_sequence};

const TABLE: &str = "CREATE TABLE events (id serial PRIMARY KEY, event int);";
/// Keys of 96 bytes that the least quota has room for.
const ROOM: u64 = (64 << 10) / 96;

fn sections(on_error: &str) -> String {
    format!(
        "[plugin.once]
wasm = \"builtin:dedupe\"
config = {{ by = [\"event\"] }}
state = {{ quota = \"64KiB\" }}
on_error = \"{on_error}\"

[[route]]
tables = [\"public.*\"]
plugins = [\"once\"]"
    )
}

/// A gateway whose plugin has room for two more events.
async fn nearly_full(hint: &str, on_error: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, hint, TABLE, "", &sections(on_error)).await.unwrap();
    fixture.start().unwrap();
    let fill = format!("INSERT INTO events (event) SELECT generate_series(1, {})", ROOM - 2);
    fixture.client.batch_execute(&fill).await.unwrap();
    assert_eq!(kept(&wait_for_sequence(&fixture, ROOM - 2)), ROOM - 2);
    fixture
}

fn kept(status: &Value) -> u64 {
    status["plugins"][0]["state"]["keys"].as_u64().unwrap_or_else(|| panic!("{status:#}"))
}

/// Five new events, one of them twice, and one that is known, in one transaction.
async fn write(fixture: &Fixture) {
    let insert =
        "INSERT INTO events (event) SELECT unnest(ARRAY[1001, 1002, 1003, 1, 1001, 1004, 1005])";
    fixture.client.batch_execute(insert).await.unwrap();
}

/// Rows by the numbers that they have in the table.
fn rows(ids: impl Iterator<Item = u64>) -> Vec<String> {
    ids.map(|id| format!("events {id}")).collect()
}

async fn raise_the_quota(fixture: &mut Fixture) {
    fixture.stop().unwrap();
    fixture.gateway.edit("64KiB", "128KiB").unwrap();
    fixture.start().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_state_halts_with_nothing_of_it_kept_and_goes_on_with_a_larger_quota() {
    let mut fixture = nearly_full("quota_halt", "halt").await;
    write(&fixture).await;
    let status = wait_for_halt(&fixture, "PLUGIN_STATE_QUOTA", ROOM - 2);
    let cause = said(&status, "cause");
    assert!(cause.contains("once") && cause.contains("public.events"), "{status:#}");
    assert!(said(&status, "next_step").contains("quota"), "{status:#}");
    fixture.stop().unwrap();
    fixture.gateway.start("").unwrap();
    let again = wait_for_halt(&fixture, "PLUGIN_STATE_QUOTA", ROOM - 2);
    assert_eq!(again["cause"], status["cause"]);
    raise_the_quota(&mut fixture).await;
    let status = wait_for_sequence(&fixture, ROOM + 3);
    assert_eq!(kept(&status), ROOM + 3);
    let new = [ROOM - 1, ROOM, ROOM + 1, ROOM + 4, ROOM + 5];
    let all = changes(&fixture, &[], ROOM as usize + 3).await;
    assert_eq!(told(&all), rows((1..=ROOM - 2).chain(new)));
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_full_state_each_change_beyond_it_is_a_dead_letter_and_what_is_known_is_still_known() {
    let mut fixture = nearly_full("quota_letters", "dead_letter").await;
    write(&fixture).await;
    let status = wait_for_sequence(&fixture, ROOM + 3);
    assert_eq!((kept(&status), &status["state"]), (ROOM, &Value::from("RUNNING")));
    let full = || std::iter::repeat_n("PLUGIN_STATE_QUOTA".to_owned(), 3);
    let all = changes(&fixture, &[], ROOM as usize + 3).await;
    let expected: Vec<String> = rows(1..=ROOM).into_iter().chain(full()).collect();
    assert_eq!(told(&all), expected);
    // A letter is no event that was seen: with room for it, it comes.
    raise_the_quota(&mut fixture).await;
    write(&fixture).await;
    let status = wait_for_sequence(&fixture, ROOM + 6);
    assert_eq!(kept(&status), ROOM + 3);
    let new = rows([ROOM + 8, ROOM + 11, ROOM + 12].into_iter());
    let all = changes(&fixture, &[], ROOM as usize + 6).await;
    assert_eq!(told(&all), [expected, new].concat());
    fixture.stop().unwrap();
}
