//! What a person stumbles over who begins with plugins: a build that failed and an old module in its
//! place, a schema that no gateway can use, files of two languages, a fixture that is refused.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{plugin, repository};

/// Writes a file with what is above it.
fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Copies the files of a fixture of a plugin of this repository.
fn copy_fixture(of: &str, into: &Path) {
    fs::create_dir_all(into).unwrap();
    for entry in fs::read_dir(repository().join("plugins").join(of)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, into.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_schema_that_no_gateway_can_use_is_refused_at_its_line_before_any_tool_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let new = ["new", "--lang", "c", "a"];
    assert_eq!(plugin(folder.path(), "", &new).0, Some(0));
    let schema = folder.path().join("a/config.schema.json");
    for (text, words) in [
        ("{\n  \"type\": \"object\",\n}\n", "a/config.schema.json:3:1: it is no JSON: "),
        (
            "{\n  \"properties\": {\n    \"a\": {\n      \"type\": \"objekt\" } } }\n",
            "a/config.schema.json:4: /properties/a/type must be one of null, boolean",
        ),
        ("[]", "a/config.schema.json: a schema is an object"),
    ] {
        put(&schema, text);
        let (code, said) = plugin(folder.path(), "", &["build", "a"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("error[PLUGIN_SCHEMA_INVALID]: ") && said.contains(words), "{said}");
    }
    put(&schema, "{\"type\": \"object\"}");
    let (_, said) = plugin(folder.path(), "", &["build", "a"]);
    assert!(said.contains("BUILD_TOOL_MISSING"), "a good one is in nobody's way: {said}");
}

#[test]
fn a_folder_with_files_of_two_languages_is_told_which_one_is_taken_and_how_to_choose() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(plugin(folder.path(), "", &["new", "--lang", "c", "a"]).0, Some(0));
    let (_, said) = plugin(folder.path(), "", &["build", "a"]);
    assert!(!said.contains("note: ") && said.contains("clang cannot be run"), "{said}");
    put(&folder.path().join("a/go.mod"), "module a\n");
    let (code, said) = plugin(folder.path(), "", &["build", "a"]);
    assert_eq!(code, Some(1), "{said}");
    let note = "note: a has files of several languages (go, c); it is built as go: choose another \
                with --lang c\n";
    assert!(said.contains(note) && said.contains("go cannot be run"), "{said}");
    let (_, said) = plugin(folder.path(), "", &["build", "a", "--lang", "c"]);
    assert!(!said.contains("note: ") && said.contains("clang cannot be run"), "{said}");
}

#[test]
fn a_module_that_is_older_than_its_sources_runs_with_a_note_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("mask");
    copy_fixture("mask/fixtures/strategies", &here.join("fixtures/strategies"));
    let (source, module) = (here.join("mask.c"), here.join("mask.wasm"));
    put(&source, "int mask;\n");
    let tested = |of: &str| plugin(folder.path(), "", &["test", of]);
    let (code, said) = tested("mask");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot read mask/mask.wasm"), "{said}");
    assert!(said.contains("next: build it: offtake plugin build mask"), "{said}");

    fs::copy(repository().join("plugins/dist/mask.wasm"), &module).unwrap();
    let now = SystemTime::now();
    let date = |path: &Path, ago: u64| {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(now - Duration::from_secs(ago)).unwrap();
    };
    for (source_ago, is_stale) in [(10, true), (30, false)] {
        date(&source, source_ago);
        date(&module, 20);
        for of in ["mask", "mask/mask.wasm"] {
            let (code, said) = tested(of);
            assert_eq!(code, Some(0), "{said}");
            let note = "note: mask/mask.c is newer than mask/mask.wasm, which is what runs here; to \
                        build it anew: offtake plugin build mask\n";
            assert_eq!(said.contains(note), is_stale, "{said}");
            assert_eq!(said.contains("note: "), is_stale, "{said}");
        }
    }
    // Fixtures are no sources, nor is what lies elsewhere.
    date(&here.join("fixtures/strategies/tables.json"), 0);
    assert!(!tested("mask").1.contains("note: "));
}

#[test]
fn a_fixture_that_is_refused_is_told_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = folder.path().join("fixtures");
    copy_fixture("mask/fixtures/strategies", &fixtures.join("b-refused"));
    put(&fixtures.join("b-refused/config.toml"), "colums = []\n");
    for name in ["a-good", "c-good"] {
        copy_fixture("mask/fixtures/strategies", &fixtures.join(name));
    }
    let (code, said) = plugin(folder.path(), "", &["bench", "builtin:mask"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("b-refused                   refused\n"), "{said}");
    assert!(said.contains("error[PLUGIN_CONFIG_INVALID]: ") && said.contains("colums"), "{said}");
    for name in ["a-good", "c-good"] {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.ends_with(" µs"), "{line}");
    }
    assert!(said.ends_with("1 of 3 fixtures refused\n"), "{said}");

    let (code, said) = plugin(folder.path(), "", &["bench", "builtin:mask", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let (json, _) = said.rsplit_once("1 of 3").unwrap();
    let measured: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(measured["fixtures"].as_array().map(Vec::len), Some(2), "{said}");
    assert_eq!(measured["refused"][0]["code"], "PLUGIN_CONFIG_INVALID", "{said}");
}

#[test]
fn an_update_with_a_file_that_is_no_plugin_fails_and_leaves_the_fixture_alone() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = folder.path().join("fixtures/strategies");
    copy_fixture("mask/fixtures/strategies", &fixture);
    put(&folder.path().join("mask.wasm"), "#!/bin/sh\n");
    let before = fs::read(fixture.join("expect.jsonl")).unwrap();
    let (code, said) = plugin(folder.path(), "", &["test", "mask.wasm", "--update"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("PLUGIN_NOT_A_COMPONENT"), "{said}");
    assert!(!said.contains("accept what leaves with --update"), "{said}");
    assert_eq!(fs::read(fixture.join("expect.jsonl")).unwrap(), before);
    assert!(!fixture.join("expect-error.txt").exists());
}
