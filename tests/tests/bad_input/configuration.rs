//! A wrong configuration file: every subcommand shows every mistake at its place, and does nothing.

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};

const WRONG: &str = "name = \"shop\"

[source]
type = \"postgres\"
url = \"postgres://offtake:hunter2@127.0.0.1:1/shop\"
table = [\"public.*\"]
snapshot = \"inital\"

[plugin.mask_people]
wasm = \"builtin:mask\"
memory = \"64mb\"

[plugin.typo]
wasm = \"builtin:msk\"

[[route]]
tables = [\"public.*\"]
plugins = [\"mask_poeple\", \"typo\"]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_shown_at_its_place_by_every_subcommand() {
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, "wrong", "", "", "").await.unwrap();
    let path = fixture.gateway.config();
    std::fs::write(&path, WRONG).unwrap();
    let place = |line: u32, column: u32| format!("--> {}:{line}:{column}", path.display());
    let commands: [&[&str]; 6] = [
        &["run"],
        &["check"],
        &["status"],
        &["tail"],
        &["resync", "--yes"],
        &["slot", "drop", "--yes"],
    ];
    for command in commands {
        let ended = fixture.command(command).unwrap();
        let texts = [
            "error[CONFIG_UNKNOWN_KEY]: unknown key `table` in [source]",
            &place(6, 1),
            " 6 | table = [\"public.*\"]\n   | ^^^^^\n",
            "help: did you mean `tables`?",
            &place(7, 12),
            "\"initial\"",
            "error[CONFIG_BAD_SIZE]",
            &place(11, 10),
            "did you mean \"64MiB\"",
            "error[CONFIG_UNKNOWN_BUILTIN]",
            &place(14, 8),
            "14 | wasm = \"builtin:msk\"\n    |        ^^^^^^^^^^^^^\n",
            "help: did you mean \"builtin:mask\"?",
            &place(18, 12),
            "did you mean \"mask_people\"?",
        ];
        let ended = ended.expect(2, &texts);
        assert!(ended.errors.matches("error[CONFIG_").count() >= 5, "{}", ended.errors);
        assert!(!format!("{ended:?}").contains("hunter2"), "the password is shown");
        assert_eq!(ended.out, "", "a wrong file is told on standard error");
    }
    assert!(!fixture.folder().join("data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_there_is_named() {
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, "nofile", "", "", "").await.unwrap();
    std::fs::remove_file(fixture.gateway.config()).unwrap();
    for command in ["run", "check", "status", "tail"] {
        let ended = fixture.command(&[command]).unwrap();
        ended.expect(2, &["error[CONFIG_", "offtake.toml"]);
    }
}
