//! The workbench as a plugin's author meets it: a new plugin, built, tested, looked at and measured by
//! the `offtake` command, and what it says where something is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use offtake_tests::gateway::binary;

mod languages;
mod record;
mod stumbles;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where plugins are built, so that another run finds what was built before.
fn target() -> PathBuf {
    repository().join("target/wasm-new")
}

/// Runs `offtake plugin …` in a folder with a search path.
fn plugin(folder: &Path, path: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(binary())
        .arg("plugin")
        .args(arguments)
        .current_dir(folder)
        // Where cargo runs the test it names its own compiler's libraries, and another compiler's are
        // to be found.
        .env_remove("LD_LIBRARY_PATH")
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The search path with the toolchain by which `plugins/build.sh` builds.
fn toolchain() -> String {
    let folder = repository().join("target/wasm-toolchain/toolchain/bin");
    assert!(folder.is_dir(), "plugins/build.sh makes {}", folder.display());
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_new_plugin_is_built_and_does_what_its_first_fixture_says() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| plugin(folder.path(), &toolchain(), arguments);
    let (code, text) = run(&["new", "--lang", "rust", "trim-names"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("next: offtake plugin build trim-names"), "{text}");
    assert!(text.contains("[plugin.trim_names]\nwasm = \"trim-names/trim_names.wasm\""), "{text}");
    let readme = fs::read_to_string(folder.path().join("trim-names/README.md")).unwrap();
    let (_, lines) = text.split_once("\n\n").unwrap();
    assert!(
        readme.contains(lines),
        "what the README has for offtake.toml is not: {text}\n{readme}"
    );
    let (code, text) = run(&["build", "trim-names"]);
    assert_eq!(code, Some(0), "{text}");
    let wasm = "trim-names/trim_names.wasm";
    let (code, text) = run(&["test", wasm]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 fixture: 1 ok"), "{text}");

    // A change of the code is seen.
    let source = folder.path().join("trim-names/src/lib.rs");
    let code = fs::read_to_string(&source).unwrap();
    fs::write(&source, code.replace("text.trim()", "text.trim_start()")).unwrap();
    let (code, text) = run(&["build", "trim-names"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["test", wasm]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("\"Ada \"") && text.contains("--update"), "{text}");
    let (code, text) = run(&["test", wasm, "--update"]);
    assert_eq!((code, text.contains("1 updated")), (Some(0), true), "{text}");

    let (code, text) = run(&["inspect", wasm]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("offtake:transform/transform@1.0.0"), "{text}");
    let (code, text) =
        run(&["inspect", wasm, "--config", "trim-names/fixtures/trims-names/config.toml"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("plugin    trim 0.1.0"), "{text}");
    let (code, text) = run(&["bench", wasm, "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let measured: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(measured["fixtures"][0]["a_change"][2]["batch"], 256, "{text}");
}

#[test]
fn what_cannot_be_done_is_said_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, words, next) in [
        (
            vec!["new", "--lang", "cobol", "a"],
            2,
            "no template in \"cobol\"",
            "next: there are rust",
        ),
        (vec!["new", "--lang", "py", "a"], 2, "no template in \"py\"", "did you mean python? "),
        (vec!["new", "--lang", "JS", "a"], 2, "no template in \"JS\"", "did you mean ts? "),
        (vec!["new", "--lang", "pyton", "a"], 2, "\"pyton\"", "did you mean python? "),
        (vec!["new", "--lang", "rust", "A b"], 2, "cannot be a plugin's name", "mean a-b? take"),
        (vec!["new", "--lang", "rust", "foo_bar"], 2, "\"foo_bar\"", "did you mean foo-bar? "),
        (vec!["new", "--lang", "rust", "7?"], 2, "\"7?\"", "next: take lower case letters"),
        (vec!["build"], 1, "no plugin that can be built", "offtake plugin new"),
        (vec!["build", "nonexist"], 1, "nonexist does not exist", "offtake plugin new"),
        (vec!["build", "--lang", "c"], 1, ". has no plugin in C", "offtake plugin new"),
        (vec!["build", "--lang", "py"], 2, "no template in \"py\"", "did you mean python? "),
        (vec!["test", "builtin:mask", "--deadline", "1us"], 2, "'1us'", "from 1ms to 1m"),
        (vec!["test", "builtin:mask", "--deadline", "2m"], 2, "'2m'", "from 1ms to 1m"),
        (vec!["bench", "builtin:mask", "--memory", "64KiB"], 2, "'64KiB'", "from 1MiB to 4GiB"),
        (vec!["test", "builtin:maks"], 2, "no builtin:maks", "mask"),
        (vec!["test", "none.wasm"], 2, "cannot read none.wasm", "builtin:NAME"),
        (vec!["test", "builtin:mask"], 2, "fixtures: cannot be read", "--fixtures"),
        (vec!["inspect", "builtin:mask", "--config", "none.toml"], 2, "none.toml", "path"),
    ] {
        let (found, text) = plugin(folder.path(), "", &arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words) && text.contains(next), "{arguments:?}: {text}");
    }
    let new = ["new", "--lang", "rust", "twice"];
    assert_eq!(plugin(folder.path(), "", &new).0, Some(0));
    let (code, text) = plugin(folder.path(), "", &new);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("twice is there already"), "{text}");
}

#[test]
fn a_fixture_with_a_mistake_ends_with_its_place_and_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = folder.path().join("fixtures/one");
    fs::create_dir_all(&fixture).unwrap();
    let table = r#"[{"table": "t", "columns": [{"name": "id", "type": "int8"}]}]"#;
    fs::write(fixture.join("tables.json"), table).unwrap();
    let change = "# a comment\n{\"table\": \"public.t\", \"op\": \"c\", \"after\": {\"di\": 1}}\n";
    fs::write(fixture.join("changes.jsonl"), change).unwrap();
    let (code, text) = plugin(folder.path(), "", &["test", "builtin:mask"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("error[FIXTURE_UNKNOWN_NAME]: fixtures/one/changes.jsonl:2: "), "{text}");
    assert!(text.contains("did you mean \"id\"?"), "{text}");
}
