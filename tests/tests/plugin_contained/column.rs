//! A table loses a column that a plugin needs. No single change is at fault, so no policy for changes
//! applies: the pipeline halts, and goes on at the same place.

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};

use crate::{changes, said, told, wait_for_halt, wait_for_sequence};

const TABLES: &str = "CREATE TABLE events (id int PRIMARY KEY, kind text);
    CREATE TABLE other (id int PRIMARY KEY);";

/// Leaves out rows by a column that it needs.
fn sections(on_error: &str) -> String {
    format!(
        "[plugin.needs_kind]
wasm = \"builtin:filter\"
config = {{ where = \"kind != 'noise'\" }}
on_error = \"{on_error}\"

[[route]]
tables = [\"public.events\"]
plugins = [\"needs_kind\"]

[[route]]
tables = [\"public.*\"]"
    )
}

async fn fixture(hint: &str, on_error: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, hint, TABLES, "", &sections(on_error)).await.unwrap();
    fixture.start().unwrap();
    fixture
}

/// Rows before, without and again with the column, and rows of another route among them.
async fn the_column_goes_and_comes_back(on_error: &str) {
    let mut fixture = fixture(&format!("column_{on_error}"), on_error).await;
    let run = async |fixture: &Fixture, sql: &str| {
        fixture.client.batch_execute(sql).await.unwrap();
    };
    run(&fixture, "INSERT INTO events VALUES (1, 'a'), (2, 'noise'); INSERT INTO other VALUES (3)")
        .await;
    wait_for_sequence(&fixture, 2);
    // No row has the table without it: nobody notices.
    let unnoticed = "ALTER TABLE events DROP COLUMN kind; ALTER TABLE events ADD COLUMN kind text;
                     INSERT INTO events VALUES (4, 'a'), (5, 'noise')";
    run(&fixture, unnoticed).await;
    wait_for_sequence(&fixture, 3);

    run(&fixture, "ALTER TABLE events DROP COLUMN kind; INSERT INTO events VALUES (6)").await;
    let status = wait_for_halt(&fixture, "PLUGIN_REFUSED", 3);
    let cause = said(&status, "cause");
    for word in ["needs_kind", "public.events", "kind", "its first row in this form is at "] {
        assert!(cause.contains(word), "no {word:?}: {status:#}");
    }
    assert!(said(&status, "next_step").contains("table"), "{status:#}");
    // It comes back, but the row from before that is still to be taken in, and so is what is behind it.
    run(
        &fixture,
        "INSERT INTO other VALUES (7);
         ALTER TABLE events ADD COLUMN kind text DEFAULT 'a';
         INSERT INTO events VALUES (8, 'b'), (9, 'noise')",
    )
    .await;
    fixture.stop().unwrap();
    fixture.gateway.start("").unwrap();
    let again = wait_for_halt(&fixture, "PLUGIN_REFUSED", 3);
    assert_eq!(again["cause"], status["cause"]);
    assert_eq!(told(&changes(&fixture, &[], 3).await), ["events 1", "other 3", "events 4"]);
    fixture.stop().unwrap();

    // What is to become of such rows is said, and everything comes, in order.
    fixture.gateway.edit("'noise'\"", "'noise'\", missing_columns = \"unknown\"").unwrap();
    fixture.start().unwrap();
    wait_for_sequence(&fixture, EXPECTED.len() as u64);
    assert_eq!(told(&changes(&fixture, &[], EXPECTED.len()).await), EXPECTED);
    fixture.stop().unwrap();
}

/// Of a row without the column nothing is known, so it passes: that is what the setting says.
const EXPECTED: [&str; 6] = ["events 1", "other 3", "events 4", "events 6", "other 7", "events 8"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_plugin_needs_and_that_is_dropped_halts() {
    the_column_goes_and_comes_back("halt").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_plugin_needs_and_that_is_dropped_halts_also_where_rows_become_dead_letters()
 {
    the_column_goes_and_comes_back("dead_letter").await;
}
