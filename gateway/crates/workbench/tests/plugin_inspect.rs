//! What is shown of a plugin's file, and what it costs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use offtake_transform::Limits;
use offtake_workbench::bench;
use offtake_workbench::check::Subject;
use offtake_workbench::fixture::Fixture;
use offtake_workbench::inspect::{self, Contents};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins")
}

fn subject(wasm: Vec<u8>) -> Subject {
    Subject::new("plugin", wasm, Limits::default()).unwrap()
}

fn mask() -> Vec<u8> {
    fs::read(plugins().join("dist/mask.wasm")).unwrap()
}

#[test]
fn a_plugin_is_shown_with_world_imports_digest_and_what_it_says_of_itself() {
    let subject = subject(mask());
    let contents = Contents::read(&subject.wasm);
    let started = inspect::start(&subject, r#"{"columns":["email"]}"#);
    let shown = inspect::json(&subject, &contents, &started);
    assert_eq!(shown["kind"], "component");
    assert_eq!(shown["world"], "offtake:transform/transform@1.0.0");
    assert!(shown["imports"].to_string().contains("offtake:transform/host@1.0.0"), "{shown}");
    assert_eq!(shown["exports"][0], "offtake:transform/plugin@1.0.0");
    assert_eq!(shown["bytes"], subject.wasm.len());
    assert!(shown["code_bytes"].as_u64().unwrap() > 10_000, "{shown}");
    assert_eq!((&shown["name"], &shown["protects"]), (&"mask".into(), &true.into()));
    assert_eq!((&shown["runs"], &shown["stateful"]), (&true.into(), &false.into()));
    let sums = fs::read_to_string(plugins().join("dist/SHA256SUMS")).unwrap();
    let digest = sums.lines().find(|line| line.ends_with(" mask.wasm")).unwrap();
    assert!(digest.starts_with(shown["sha256"].as_str().unwrap()), "{shown}");
    let text = inspect::text(&subject, &contents, &started);
    assert!(text.contains("runs      yes\n") && text.contains("protects  yes"), "{text}");
}

#[test]
fn a_plugin_that_needs_a_configuration_runs_and_says_why_it_was_not_started() {
    let subject = subject(mask());
    let started = inspect::start(&subject, "{}");
    let text = inspect::text(&subject, &Contents::read(&subject.wasm), &started);
    assert!(text.contains("runs      yes, with another configuration: "), "{text}");
    assert!(text.contains("`columns` must name"), "{text}");
}

#[test]
fn a_file_that_cannot_run_has_the_code_of_the_run() {
    let mut cut = mask();
    cut.truncate(5000);
    for (wasm, kind, code) in [
        (b"#!/bin/sh".to_vec(), "no WebAssembly", "PLUGIN_NOT_A_COMPONENT"),
        (Vec::new(), "no WebAssembly", "PLUGIN_NOT_A_COMPONENT"),
        (cut, "component", "PLUGIN_INVALID"),
        (wasi(), "component", "PLUGIN_IMPORT_REFUSED"),
    ] {
        let subject = subject(wasm);
        let contents = Contents::read(&subject.wasm);
        let started = inspect::start(&subject, "{}");
        let shown = inspect::json(&subject, &contents, &started);
        assert_eq!((&shown["kind"], &shown["error"]["code"]), (&kind.into(), &code.into()));
        assert_eq!(shown["runs"], false);
        let text = inspect::text(&subject, &contents, &started);
        assert!(text.contains(&format!("error[{code}]")) && text.contains("  next: "), "{text}");
    }
}

/// A component that wants the machine's environment.
fn wasi() -> Vec<u8> {
    wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.3" (instance)))"#).unwrap()
}

#[test]
fn a_configuration_schema_is_shown_wherever_in_the_file_it_stands() {
    let section = r#"(@custom "offtake:config-schema" "{\"type\":\"object\"}")"#;
    for text in [format!("(module {section})"), format!("(component (core module {section}))")] {
        let subject = subject(wat::parse_str(&text).unwrap());
        let contents = Contents::read(&subject.wasm);
        let shown = inspect::json(&subject, &contents, &inspect::start(&subject, "{}"));
        assert_eq!(shown["config_schema"]["type"], "object", "{text}");
    }
}

#[test]
fn an_import_is_shown_once_however_often_it_is_declared() {
    let import = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#;
    let other = r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#;
    let module = format!("(module {import} {other} {import})");
    let contents = Contents::read(&wat::parse_str(&module).unwrap());
    let names = ["proc_exit", "fd_write"].map(|name| format!("wasi_snapshot_preview1.{name}"));
    assert_eq!(contents.imports, names);
}

#[test]
fn a_fixture_at_whose_changes_a_plugin_fails_tells_how_many_and_no_cost_where_it_is_all() {
    let wasm = fs::read(plugins().join("dist/tokenise.wasm")).unwrap();
    let subject = subject(wasm);
    let folder = plugins().join("tokenise/fixtures/unfit-values-fail");
    let some = bench::measure(&subject, &Fixture::load(&folder).unwrap()).unwrap().unwrap();
    assert_eq!((some.failed, some.changes, some.costs.len()), (2, 4, bench::SIZES.len()));
    assert!(bench::line(&some).contains("(2 of 4 failed)"), "{}", bench::line(&some));

    let copy = tempfile::tempdir().unwrap();
    for name in ["tables.json", "config.toml"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let changes = fs::read_to_string(folder.join("changes.jsonl")).unwrap();
    let unfit: Vec<&str> = changes.lines().skip(2).collect();
    fs::write(copy.path().join("changes.jsonl"), unfit.join("\n")).unwrap();
    let all = bench::measure(&subject, &Fixture::load(copy.path()).unwrap()).unwrap().unwrap();
    assert_eq!((all.failed, all.changes, &all.costs[..]), (2, 2, &[][..]));
    assert!(bench::line(&all).contains("2 of 2 failed; "), "{}", bench::line(&all));
    let shown = bench::json(&[all], &[]);
    assert_eq!(
        (&shown["fixtures"][0]["failed"], &shown["fixtures"][0]["a_change"]),
        (&2.into(), &serde_json::json!([]))
    );
}

#[test]
fn fuel_is_the_same_each_time_and_a_fixture_without_changes_is_not_measured() {
    let subject = subject(mask());
    let fixture = |name: &str| Fixture::load(&plugins().join("mask/fixtures").join(name)).unwrap();
    assert_eq!(bench::measure(&subject, &fixture("type-refused")).unwrap(), None);
    let both = fixture("both-images");
    let fuel = || {
        let measured = bench::measure(&subject, &both).unwrap().unwrap();
        assert_eq!(measured.costs.iter().map(|cost| cost.size).collect::<Vec<_>>(), bench::SIZES);
        assert!(measured.memory_bytes > 0 && measured.instance_us > 0.0);
        assert!(measured.costs.iter().all(|cost| cost.nanoseconds > 0.0));
        measured.costs.iter().map(|cost| cost.fuel).collect::<Vec<_>>()
    };
    let first = fuel();
    assert_eq!(first, fuel());
    // A call's own cost is shared by its changes.
    assert!(first[0] > first[1] && first[1] > first[2] && first[2] > 0.0, "{first:?}");
}
