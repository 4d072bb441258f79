//! A fixture that is recorded from a running gateway: the plugin at work passes it, another does not,
//! and what a plugin protects is in no file unless it was asked for.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use offtake_tests::fixture::{Fixture, PATIENCE, files_with};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const SQL: &str = "create table people (id int primary key, email text, note text, at timestamptz);
    create table orders (id bigint primary key, total numeric(12,2), doc jsonb, raw bytea);
    alter table orders replica identity full";

/// A gateway with a plugin that covers addresses and one that trims nothing of orders.
async fn started(hint: &str) -> (Fixture, Subscriber) {
    let rest = "[plugin.hide]\nwasm = \"builtin:mask\"\nconfig = { columns = [\"email\"] }\n\n\
                [plugin.shape]\nwasm = \"builtin:project\"\n\
                config = { rename = { total = \"sum\" } }\n\n\
                [[route]]\ntables = [\"public.people\"]\nplugins = [\"hide\"]\n\n\
                [[route]]\ntables = [\"public.*\"]\nplugins = [\"shape\"]\n";
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, hint, SQL, "", rest).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    (fixture, subscriber)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_fixture_is_passed_by_the_plugin_that_was_at_work() {
    let (fixture, subscriber) = started("record").await;
    let record =
        ["plugin", "test", "builtin:project", "--record", "50", "--fixtures", "kept/orders"];
    // Nothing came yet.
    let nothing = fixture.command(&record).unwrap();
    nothing.expect_error(1, "RECORD_NOTHING", &["plugin \"shape\" works on", "write some rows"]);
    assert!(!fixture.folder().join("kept").exists());

    let rows = "begin; insert into orders values
        (1, 12.50, '{\"a\": [1, null]}', '\\x00ff'), (9223372036854775807, 'NaN', null, null);
        update orders set total = 0.10 where id = 1; delete from orders where id = 1; commit";
    fixture.client.batch_execute(rows).await.unwrap();
    subscriber.wait_for("the rows", PATIENCE, |it| it.changes.len() >= 4).await.unwrap();
    let recorded = fixture.command(&record).unwrap();
    recorded.expect(
        0,
        &[
            "recorded 4 changes of public.orders, with the configuration of plugin \"shape\"",
            "updated  orders",
        ],
    );
    let folder = fixture.folder().join("kept/orders");
    let left = std::fs::read_to_string(folder.join("expect.jsonl")).unwrap();
    assert!(left.contains("\"sum\":\"12.50\"") && left.contains("\"sum\":\"NaN\""), "{left}");
    assert!(left.contains("9223372036854775807") && left.contains("AP8="), "{left}");
    for name in ["tables.json", "changes.jsonl", "config.toml", "expect.jsonl"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&folder), 0o700);

    // Without the gateway it is a fixture as any other: passed by the same plugin, not by another.
    let test = ["plugin", "test", "builtin:project", "--fixtures", "kept"];
    fixture.command(&test).unwrap().expect(0, &["ok       orders", "4 changes"]);
    let config = folder.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"sum\"", "\"amount\"")).unwrap();
    fixture.command(&test).unwrap().expect(1, &["differs  orders", "amount"]);

    // A fixture is never written over.
    let again = fixture.command(&record).unwrap();
    again.expect_error(2, "FIXTURE_EXISTS", &["--fixtures FOLDER/NAME"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_protects_is_recorded_only_where_it_is_asked_for_by_name() {
    let (fixture, subscriber) = started("record_protected").await;
    let rows = "insert into people values (1, 'ada@example.org', 'x', '2026-01-02 03:04:05+00')";
    fixture.client.batch_execute(rows).await.unwrap();
    fixture.expect_ids(&subscriber, [1]).await.unwrap();
    let mut record = vec!["plugin", "test", "builtin:mask", "--record", "5", "--fixtures", "kept"];
    let refused = fixture.command(&record).unwrap();
    let words = ["public.people", "\"hide\"", "--table", "--include-protected-values"];
    refused.expect_error(1, "RECORD_PROTECTED", &words);
    // Nor for a plugin that the gateway does not have.
    let other = ["plugin", "test", "builtin:filter", "--record", "5", "--fixtures", "kept"];
    fixture.command(&other).unwrap().expect_error(1, "RECORD_PROTECTED", &["public.people"]);
    assert_eq!(files_with(fixture.folder(), "ada@example.org"), Vec::<std::path::PathBuf>::new());

    record.push("--include-protected-values");
    let recorded = fixture.command(&record).unwrap();
    recorded.expect(0, &["recorded 1 changes of public.people", "updated  kept"]);
    let changes = fixture.folder().join("kept/changes.jsonl");
    assert_eq!(files_with(fixture.folder(), "ada@example.org"), std::slice::from_ref(&changes));
    assert_eq!(mode(&changes), 0o600);

    for (more, code, status, words) in [
        (vec!["--of", "hyde"], "PLUGIN_UNKNOWN", 2, "hyde"),
        (vec!["--table", "public.orders"], "RECORD_NOTHING", 1, "public.people"),
    ] {
        let mut arguments =
            vec!["plugin", "test", "builtin:mask", "--record", "5", "--fixtures", "other"];
        arguments.extend(more);
        fixture.command(&arguments).unwrap().expect_error(status, code, &[words]);
    }
    let without_a_place = ["plugin", "test", "builtin:mask", "--record", "5"];
    fixture.command(&without_a_place).unwrap().expect(2, &["--fixtures"]);
}
