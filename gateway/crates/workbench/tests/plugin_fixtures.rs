//! The plugins of this repository against their fixtures, and what a test finds that is not so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use offtake_transform::Limits;
use offtake_workbench::check::{Options, Subject, Tested, Verdict, test};
use offtake_workbench::{fixture, report};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins")
}

fn subject(name: &str, limits: Limits) -> Subject {
    let wasm = plugins().join("dist").join(format!("{name}.wasm"));
    Subject::new(name, fs::read(wasm).unwrap(), limits).unwrap()
}

/// The plugins that `plugins/build.sh` builds.
fn built() -> Vec<String> {
    let script = fs::read_to_string(plugins().join("build.sh")).unwrap();
    let list = script.lines().find_map(|line| line.strip_prefix("readonly PLUGINS=(")).unwrap();
    list.trim_end_matches(')').split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_plugin_that_is_built_has_fixtures_and_does_what_they_say() {
    let names = built();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let subject = subject(&name, Limits::default());
        for folder in fixture::find(&plugins().join(&name).join("fixtures")).unwrap() {
            let tested = test(&subject, &folder, &Options::default());
            assert_eq!(tested.verdict, Verdict::Passed, "{name}\n{}", report::fixture(&tested));
        }
    }
}

/// A copy of a fixture, to be changed.
fn copy(plugin: &str, name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(plugins().join(plugin).join("fixtures").join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn mask(folder: &Path, update: bool) -> Tested {
    let options = Options { update, ..Options::default() };
    test(&subject("mask", Limits::default()), folder, &options)
}

fn differences(tested: &Tested) -> String {
    assert!(matches!(tested.verdict, Verdict::Differs(_)), "{:?}", tested.verdict);
    report::fixture(tested)
}

#[test]
fn what_leaves_otherwise_than_expected_is_shown_line_by_line_and_accepted_by_an_update() {
    let folder = copy("mask", "strategies");
    let file = folder.path().join("expect.jsonl");
    let right = fs::read_to_string(&file).unwrap();
    let wrong = format!("# kept\n{}", right.replacen("\"xxx\"", "\"Ada\"", 1));
    fs::write(&file, &wrong).unwrap();
    let shown = differences(&mask(folder.path(), false));
    let signs: Vec<&str> = shown.lines().filter_map(|line| line.trim().get(..2)).collect();
    assert_eq!(signs.iter().filter(|sign| **sign == "- ").count(), 1, "{shown}");
    assert_eq!(signs.iter().filter(|sign| **sign == "+ ").count(), 1, "{shown}");
    assert_eq!(mask(folder.path(), true).verdict, Verdict::Updated);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("# kept\n{right}"));
    assert_eq!(mask(folder.path(), false).verdict, Verdict::Passed);
}

#[test]
fn a_fixture_that_expects_nothing_yet_is_no_success() {
    let folder = copy("mask", "strategies");
    fs::remove_file(folder.path().join("expect.jsonl")).unwrap();
    assert!(differences(&mask(folder.path(), false)).contains("--update"));
}

#[test]
fn a_refusal_that_does_not_come_or_is_another_differs() {
    let folder = copy("mask", "configuration-refused");
    fs::write(folder.path().join("expect-error.txt"), "another reason").unwrap();
    let shown = differences(&mask(folder.path(), false));
    assert!(
        shown.contains("- another reason") && shown.contains("PLUGIN_CONFIG_INVALID"),
        "{shown}"
    );
    fs::write(folder.path().join("config.toml"), "columns = [\"name\"]\n").unwrap();
    assert!(differences(&mask(folder.path(), false)).contains("was to be refused, and is not"));

    let folder = copy("mask", "strategies");
    fs::write(folder.path().join("config.toml"), "colums = []\n").unwrap();
    let shown = differences(&mask(folder.path(), false));
    assert!(shown.contains("it is refused") && shown.contains("next: "), "{shown}");
}

/// A folder's files with their texts.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn an_update_expects_a_refusal_only_where_one_was_asked_for() {
    let folder = copy("mask", "strategies");
    let options = Options { update: true, ..Options::default() };
    let whole = files(folder.path());
    let garbage = Subject::new("mask", b"#!/bin/sh".to_vec(), Limits::default()).unwrap();
    let refused = test(&garbage, folder.path(), &options);
    assert!(differences(&refused).contains("PLUGIN_NOT_A_COMPONENT"));
    assert_eq!(files(folder.path()), whole, "nothing is written");

    fs::write(folder.path().join("config.toml"), "colums = []\n").unwrap();
    let misspelt = files(folder.path());
    let refused = mask(folder.path(), true);
    let shown = differences(&refused);
    assert!(shown.contains("unknown key `colums`"), "{shown}");
    assert!(shown.contains("make an empty expect-error.txt"), "{shown}");
    let summary = report::summary(&[refused]);
    assert!(!summary.contains("--update"), "what leaves cannot be accepted: {summary}");
    assert_eq!(files(folder.path()), misspelt, "nothing is written");

    // Asked for, what is expected is the refusal and nothing else.
    let file = folder.path().join("expect-error.txt");
    fs::write(&file, "").unwrap();
    assert_eq!(mask(folder.path(), true).verdict, Verdict::Updated);
    assert!(fs::read_to_string(&file).unwrap().contains("unknown key `colums`"));
    assert!(!folder.path().join("expect.jsonl").exists());
    assert_eq!(mask(folder.path(), false).verdict, Verdict::Passed);
    // One that is there is replaced by another.
    fs::write(folder.path().join("config.toml"), "column = []\n").unwrap();
    assert!(differences(&mask(folder.path(), false)).contains("accept it with --update"));
    assert_eq!(mask(folder.path(), true).verdict, Verdict::Updated);
    assert!(fs::read_to_string(&file).unwrap().contains("unknown key `column`"));
}

#[test]
fn a_refusal_that_was_asked_for_and_does_not_come_is_no_success() {
    let folder = copy("mask", "strategies");
    fs::write(folder.path().join("expect-error.txt"), "\n").unwrap();
    let asked = files(folder.path());
    let shown = differences(&mask(folder.path(), true));
    assert!(shown.contains("asks for a refusal, and there is none"), "{shown}");
    assert_eq!(files(folder.path()), asked, "nothing is written");
    // One that says what was refused gives way to what leaves now.
    fs::write(folder.path().join("expect-error.txt"), "unknown key").unwrap();
    assert_eq!(mask(folder.path(), true).verdict, Verdict::Updated);
    assert!(!folder.path().join("expect-error.txt").exists());
}

#[test]
fn a_plugin_that_protects_is_heard_over_fixtures() {
    let folder = copy("tokenise", "unfit-values-fail");
    let subject = subject("tokenise", Limits::default());
    let tested = test(&subject, folder.path(), &Options::default());
    assert_eq!(tested.verdict, Verdict::Passed, "{}", report::fixture(&tested));
    let lines = tested.outcome.unwrap().lines;
    let said: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(said.len(), 2, "{lines:?}");
    for words in said {
        assert!(words.contains("card") && !words.contains("withheld"), "{words}");
    }
}

#[test]
fn definitions_that_a_plugin_makes_are_expected_too() {
    let folder = copy("project", "keep");
    let subject = subject("project", Limits::default());
    let run = || test(&subject, folder.path(), &Options::default());
    assert_eq!(run().verdict, Verdict::Passed);
    let file = folder.path().join("expect-tables.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"type\":\"text\"", "\"type\":\"json\"")).unwrap();
    assert!(differences(&run()).contains("expect-tables.json"));
    fs::remove_file(&file).unwrap();
    assert!(differences(&run()).contains("expect-tables.json"));
}

#[test]
fn a_fault_over_a_value_that_production_has_is_found_and_no_update_accepts_it() {
    let folder = copy("mask", "strategies");
    let limits = Limits { output_bytes: 64 << 10, ..Limits::default() };
    let options = Options { update: true, ..Options::default() };
    let shown = differences(&test(&subject("mask", limits), folder.path(), &options));
    assert!(shown.contains("with texts of 1 MiB it fails"), "{shown}");
    assert!(shown.contains("PLUGIN_OUTPUT"), "{shown}");
}
