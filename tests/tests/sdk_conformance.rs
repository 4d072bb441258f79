//! The SDKs for Rust and for languages that make core modules. The conformance plugin, built by each
//! language's own tools, gives the same outcome byte for byte on the production host, and so do the
//! templates that authors begin with; the SDKs' own tests run too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use offtake_tests::gateway;

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk").canonicalize().unwrap()
}

/// Runs a command to its end, which must be a good one.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds a plugin by an SDK's `build.sh`.
fn build(language: &str, sources: &[&str], module: &Path) {
    let sources = sources.iter().map(|source| sdk().join(source));
    run(Command::new(sdk().join(language).join("build.sh")).arg(module).args(sources));
}

/// The outcome of every fixture in a folder is the one that stands there, at all batch sizes.
fn passes(module: &Path, fixtures: &str) {
    let fixtures = sdk().join(fixtures);
    assert!(fixtures.is_dir(), "{} is missing", fixtures.display());
    run(Command::new(gateway::binary())
        .args(["plugin", "test"])
        .arg(module)
        .arg("--fixtures")
        .arg(fixtures));
}

/// What the module says and answers, byte by byte, to a host that is not ours.
fn speaks_the_abi(module: &Path) {
    let test = sdk().join("conformance/conformance.test.mjs");
    run(Command::new("node").arg("--test").arg(test).env("MODULE", module));
}

fn conforms(language: &str, sources: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("conformance.wasm");
    build(language, sources, &module);
    speaks_the_abi(&module);
    passes(&module, "conformance/fixtures");
}

/// What a counter keeps is what `plugins/counter` keeps, and it forgets what it should.
fn counts(language: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("counter.wasm");
    build(language, &[source], &module);
    passes(&module, "../plugins/counter/fixtures");
    passes(&module, "conformance/counter/fixtures");
}

/// A plugin over the row cursor covers both images, and says what is of a change once.
fn goes_row_by_row(language: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("rows.wasm");
    build(language, &[source], &module);
    passes(&module, "conformance/rows/fixtures");
}

fn template_works(language: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("template.wasm");
    build(language, &[source], &module);
    passes(&module, &format!("{language}/template/fixtures"));
}

#[test]
fn the_conformance_plugin_in_c_does_what_every_language_must() {
    conforms("c", &["conformance/c/conformance.c", "conformance/c/rows.c"]);
}

#[test]
fn the_conformance_plugin_in_assemblyscript_does_what_every_language_must() {
    conforms("assemblyscript", &["conformance/assemblyscript/index.ts"]);
}

#[test]
fn the_conformance_plugin_in_go_does_what_every_language_must() {
    conforms("go", &["conformance/go"]);
}

#[test]
fn the_conformance_plugin_in_rust_does_what_every_language_must() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("conformance.wasm");
    let plugin = sdk().join("conformance/rust");
    run(Command::new(sdk().join("rust/build.sh")).arg(&component).arg(plugin));
    passes(&component, "conformance/fixtures");
}

#[test]
fn a_counter_in_c_keeps_what_the_counter_in_rust_keeps() {
    counts("c", "conformance/counter/c/counter.c");
}

#[test]
fn a_counter_in_assemblyscript_keeps_what_the_counter_in_rust_keeps() {
    counts("assemblyscript", "conformance/counter/assemblyscript/index.ts");
}

#[test]
fn a_counter_in_go_keeps_what_the_counter_in_rust_keeps() {
    counts("go", "conformance/counter/go");
}

#[test]
fn a_plugin_row_by_row_in_c_covers_both_images_and_emits_once() {
    goes_row_by_row("c", "conformance/rows/c/rows.c");
}

#[test]
fn a_plugin_row_by_row_in_assemblyscript_covers_both_images_and_emits_once() {
    goes_row_by_row("assemblyscript", "conformance/rows/assemblyscript/index.ts");
}

#[test]
fn a_plugin_row_by_row_in_go_covers_both_images_and_emits_once() {
    goes_row_by_row("go", "conformance/rows/go");
}

#[test]
fn the_template_in_c_covers_what_it_promises() {
    template_works("c", "c/template/mask.c");
}

#[test]
fn the_template_in_assemblyscript_covers_what_it_promises() {
    template_works("assemblyscript", "assemblyscript/template/assembly/index.ts");
}

#[test]
fn the_template_in_go_covers_what_it_promises() {
    template_works("go", "go/template");
}

#[test]
fn the_sdk_for_c_reads_and_writes_frames_without_touching_what_is_not_its_own() {
    run(&mut Command::new(sdk().join("c/tests/run.sh")));
}

#[test]
fn the_sdk_for_assemblyscript_reads_and_writes_frames() {
    run(&mut Command::new(sdk().join("assemblyscript/tests/run.sh")));
}

#[test]
fn the_sdk_for_go_reads_and_writes_frames_and_tells_no_values() {
    run(&mut Command::new(sdk().join("go/tests/run.sh")));
}
