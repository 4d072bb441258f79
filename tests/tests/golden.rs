//! Plugins that were built for version 1.0 of the contract run on today's host to the outcome that
//! they had then: components of the Rust SDK and core modules, as files that are never built again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use offtake_tests::gateway::binary;

#[track_caller]
fn runs_as_it_did(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let output = Command::new(binary())
        .args(["plugin", "test"])
        .arg(folder.join("plugin.wasm"))
        .arg("--fixtures")
        .arg(folder.join("fixtures"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains(" 0 ok") && text.contains(" ok"), "{text}");
}

#[test]
fn a_component_of_1_0_that_emits_rows() {
    runs_as_it_did("audit");
}

#[test]
fn a_component_of_1_0_that_chooses_key_and_partition() {
    runs_as_it_did("rekey");
}

#[test]
fn a_core_module_of_abi_1() {
    runs_as_it_did("conformance");
}

#[test]
fn a_component_of_1_0_that_keeps_state() {
    runs_as_it_did("counter");
}

#[test]
fn a_core_module_of_abi_1_that_keeps_state_forgets_and_outlives_some() {
    runs_as_it_did("core-counter");
}

#[test]
fn a_core_module_of_abi_1_that_needs_every_stand_in_for_wasi() {
    runs_as_it_did("wasi");
}
