//! The structure of the workspace: which crate may depend on which, and who alone may name a
//! library. ARCHITECTURE.md draws it; this keeps it so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The path of an event. A crate depends only on crates before it.
const ORDER: [&str; 16] = [
    "offtake-proto",
    "offtake-failpoint",
    "offtake-change",
    "offtake-pgoutput",
    "offtake-config",
    "offtake-state",
    "offtake-transform",
    "offtake-workbench",
    "offtake-log",
    "offtake-encode",
    "offtake-source-postgres",
    "offtake-registry",
    "offtake-sink-kafka",
    "offtake-sink-grpc",
    "offtake",
    "offtake-tests",
];

/// Libraries that one crate alone names, so that all else neither compiles nor knows them.
const ALONE: [(&str, &str); 3] = [
    ("wasmtime", "offtake-transform"),
    ("rdkafka", "offtake-sink-kafka"),
    ("toml", "offtake-config"),
];

fn packages() -> BTreeMap<String, Value> {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone()))
        .collect()
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().unwrap().iter()
}

fn is_normal(dependency: &Value) -> bool {
    dependency["kind"].is_null()
}

#[test]
fn dependencies_point_down_the_path_of_an_event_only() {
    let packages = packages();
    for (name, package) in &packages {
        let place = ORDER.iter().position(|crate_name| crate_name == name);
        let place = place.unwrap_or_else(|| panic!("{name} has no place in the order"));
        for dependency in dependencies(package).filter(|dependency| is_normal(dependency)) {
            let on = dependency["name"].as_str().unwrap();
            if packages.contains_key(on) {
                let earlier = ORDER.iter().position(|crate_name| *crate_name == on).unwrap();
                assert!(earlier < place, "{name} depends on {on}");
            }
        }
    }
    assert_eq!(packages.len(), ORDER.len());
}

#[test]
fn sources_sinks_and_decoders_do_not_know_each_other() {
    let packages = packages();
    let knows = |name: &str, on: &str| {
        dependencies(&packages[name])
            .any(|dependency| is_normal(dependency) && dependency["name"].as_str() == Some(on))
    };
    for sink in ["offtake-sink-kafka", "offtake-sink-grpc"] {
        for other in
            ["offtake-source-postgres", "offtake-pgoutput", "offtake-transform", "offtake-config"]
        {
            assert!(!knows(sink, other), "{sink} knows {other}");
        }
    }
    for other in
        ["offtake-proto", "offtake-change", "offtake-encode", "offtake-log", "offtake-config"]
    {
        assert!(!knows("offtake-registry", other), "offtake-registry knows {other}");
    }
    for pure in ["offtake-change", "offtake-pgoutput", "offtake-encode"] {
        for io in ["tokio", "tokio-postgres", "rustix"] {
            assert!(!knows(pure, io), "{pure} knows {io}");
        }
    }
    assert!(!knows("offtake-source-postgres", "offtake-log"));
}

#[test]
fn wasmtime_rdkafka_toml_and_tonics_server_are_each_named_by_one_crate() {
    let packages = packages();
    for (library, owner) in ALONE {
        for (name, package) in &packages {
            // The harness reads topics as a consumer would; it is no part of the gateway.
            if name == owner || name == "offtake-tests" {
                continue;
            }
            let names = dependencies(package)
                .filter(|dependency| is_normal(dependency))
                .any(|dependency| dependency["name"].as_str() == Some(library));
            assert!(!names, "{name} names {library}, which is {owner}'s alone");
        }
    }
    for (name, package) in &packages {
        let server = dependencies(package).any(|dependency| {
            dependency["name"].as_str() == Some("tonic")
                && is_normal(dependency)
                && dependency["features"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|feature| feature == "server" || feature == "router")
        });
        assert_eq!(server, name == "offtake-sink-grpc", "{name} and tonic's server");
    }
}

#[test]
fn one_lock_file_and_the_stated_compiler() {
    for (name, package) in packages() {
        assert_eq!(package["rust_version"].as_str(), Some("1.95"), "{name}");
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(root.join("Cargo.lock").is_file());
}
