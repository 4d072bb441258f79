//! Plugins that cannot be used: refused before the log is begun and the database is touched. And
//! one that fails in the middle of a transaction.

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Seen, Subscriber};

/// A component that wants to read the gateway's environment.
const CURIOUS: &str = r#"(component
  (import "wasi:cli/environment@0.2.3" (instance
    (export "get-arguments" (func (result (list string)))))))"#;

const PLUGIN: &str = "[plugin.mask_people]
wasm = \"guest.wasm\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.*\"]
plugins = [\"mask_people\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_cannot_be_used_ends_the_start_and_touches_nothing() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text);
               INSERT INTO people VALUES (1, 'ada@x')";
    let mut fixture = Fixture::new(postgres, "plugin", sql, "", PLUGIN).await.unwrap();
    let guest = fixture.folder().join("guest.wasm");
    let core_module = wat::parse_str("(module)").unwrap();
    let curious = wat::parse_str(CURIOUS).unwrap();
    let empty = wat::parse_str("(component)").unwrap();
    for command in ["run", "check"] {
        let ended = fixture.command(&[command]).unwrap();
        ended.expect(2, &["error[CONFIG_FILE_MISSING]", "wasm = \"guest.wasm\"", "help: "]);
    }
    let cases: [(&[u8], &str, &[&str]); 4] = [
        (b"no wasm at all", "PLUGIN_NOT_A_COMPONENT", &["not a WebAssembly component"]),
        (&core_module, "PLUGIN_EXPORT_MISSING", &["core module"]),
        (&curious, "PLUGIN_IMPORT_REFUSED", &["wasi:cli/environment@0.2.3", "may not have"]),
        (&empty, "PLUGIN_EXPORT_MISSING", &["offtake:transform"]),
    ];
    for (bytes, code, texts) in cases {
        std::fs::write(&guest, bytes).unwrap();
        let ended = fixture.run_to_its_end().unwrap();
        let message = ended.expect_error(1, code, texts);
        assert!(message.contains("mask_people"), "the plugin is named: {message}");
        let ended = fixture.command(&["check"]).unwrap();
        ended.expect(2, texts).expect(2, &[code, "mask_people"]);
    }
    fixture.gateway.edit("guest.wasm", "builtin:mask").unwrap();
    fixture.gateway.edit("columns = [\"email\"]", "colums = [\"email\"]").unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect(2, &["error[CONFIG_UNKNOWN_KEY]", "mask_people", "`colums`", "^^^^^^"]);
    fixture.command(&["check"]).unwrap().expect(2, &["CONFIG_UNKNOWN_KEY", "`colums`"]);
    // What only the plugin knows is wrong, it says itself.
    fixture.gateway.edit("keep_last = 0 }", "keep_last = 0, strategy = \"null\" }").unwrap();
    fixture.gateway.edit("colums", "columns").unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(1, "PLUGIN_CONFIG_REFUSED", &["mask_people", "`keep_last`", "config"]);
    fixture.command(&["check"]).unwrap().expect(2, &["PLUGIN_CONFIG_REFUSED", "`keep_last`"]);
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    assert!(!fixture.folder().join("data/meta").exists(), "no log was begun");

    fixture.gateway.edit(", strategy = \"null\"", "").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO people VALUES (2, 'bea@x')").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    for change in subscriber.changes() {
        let after = change.after.unwrap();
        assert_eq!(after["email"], Seen::Value("*****".to_owned()), "{after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_fails_in_a_later_piece_of_a_transaction_is_left_without_a_resync() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text)";
    let plugin = PLUGIN.replace("guest.wasm", "builtin:mask");
    let plugin = plugin.replace("keep_last = 0 }", "keep_last = 0 }\noutput = \"1MiB\"");
    let mut fixture = Fixture::new(postgres, "midway", sql, "", &plugin).await.unwrap();
    fixture.start().unwrap();
    fixture
        .client
        .batch_execute(
            "BEGIN;
             INSERT INTO people SELECT i, 'secret-' || i FROM generate_series(1, 40000) i;
             INSERT INTO people VALUES (40001, repeat('secret-', 500000));
             INSERT INTO people SELECT i, 'secret-' || i FROM generate_series(40002, 60000) i;
             COMMIT;",
        )
        .await
        .unwrap();
    let patience = std::time::Duration::from_secs(30);
    let gateway = &mut fixture.gateway;
    let is = |code: &'static str| move |status: &serde_json::Value| status["code"] == code;
    gateway.wait_for_status("the fault", patience, is("PLUGIN_OUTPUT")).unwrap();
    gateway.stop(patience).unwrap();
    // What the plugin does is changed with the limit, so others would finish than began.
    gateway.edit("output = \"1MiB\"", "output = \"64MiB\"").unwrap();
    gateway.edit("keep_last = 0", "keep_last = 1").unwrap();
    gateway.start("").unwrap();
    let status =
        gateway.wait_for_status("the refusal", patience, is("PIPELINE_CHANGED_MIDWAY")).unwrap();
    assert_eq!(gateway.get("/readyz").unwrap().0, 503);
    let next = status["next_step"].as_str().unwrap();
    let transaction = next.split("--accept-plugins-midway ").nth(1).unwrap();
    let transaction: String = transaction.chars().take_while(char::is_ascii_digit).collect();
    gateway.stop(patience).unwrap();
    gateway.start_with("", &["--accept-plugins-midway", &transaction]).unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=60_000).await.unwrap();
    let emails: Vec<String> = subscriber
        .changes()
        .into_iter()
        .map(|change| match change.after.unwrap().remove("email") {
            Some(Seen::Value(email)) => email,
            other => panic!("{other:?}"),
        })
        .collect();
    // The first rows as they were taken, the rest as it was decided.
    assert!(emails[0].chars().all(|letter| letter == '*'), "{}", emails[0]);
    assert_eq!(emails[40_000].len(), 3_500_000);
    assert!(emails[59_999].ends_with("*0"), "{}", emails[59_999]);
}
