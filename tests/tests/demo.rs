//! `make demo` as a user sees it, ended by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offtake_tests::gateway::binary;

#[test]
fn the_demo_ends_by_itself_shows_only_masked_values_and_removes_its_folder() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let parent = root.join("target/demo-test-parent");
    let folder = parent.join("demo");
    let begin = Instant::now();
    let output = Command::new(binary())
        .args(["demo", "--changes", "50", "--dir"])
        .arg(&folder)
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(begin.elapsed() < Duration::from_secs(90), "the demo took {:?}", begin.elapsed());
    assert!(!parent.exists(), "the demo left its folder, or one that it made for it");

    let changes: Vec<&str> = text.lines().filter(|line| line.contains("  shop.public.")).collect();
    assert_eq!(changes.len(), 50, "{text}");
    for stream in ["customers", "orders", "order_lines", "payments"] {
        let name = format!("shop.public.{stream}");
        assert!(changes.iter().any(|line| line.contains(&name)), "no change of {name}\n{text}");
    }
    for line in &changes {
        assert!(!line.contains("@"), "an e-mail address is readable: {line}");
        assert!(!line.contains("4000000"), "a card number is readable: {line}");
        assert!(!line.contains("is_test=true"), "a test order was not filtered: {line}");
    }
    // The program as it can be called from there.
    let program = binary();
    let program = program.strip_prefix(root).unwrap_or(&program).display().to_string();
    let calls = [format!("1. {program} tail "), format!("then: {program} check ")];
    for hint in [calls[0].as_str(), calls[1].as_str(), "offtake tail", "psql ", "edit "] {
        assert!(text.contains(hint), "the introduction does not name {hint:?}\n{text}");
    }
}

#[test]
fn demos_that_start_at_once_each_follow_their_own_gateway() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let demos = [1, 2, 3].map(|number| {
        let folder = root.join(format!("target/demo-test-{number}"));
        let mut demo = Command::new(binary());
        demo.args(["demo", "--changes", "8", "--dir"]).arg(folder).current_dir(root);
        demo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for demo in demos {
        let output = demo.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            text.lines().filter(|line| line.contains("  shop.public.")).count(),
            8,
            "{text}"
        );
    }
}

/// Processes whose command line names the folder, other than the demo itself.
fn children_with(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(folder) && !line.contains(" demo ") {
            found.push(line);
        }
    }
    found
}

/// Sends the signal, waits for the end, and asserts that nothing of the demo is left.
fn ends_and_leaves_nothing(mut demo: Child, signal: &str, folder: &std::path::Path) {
    let pid = demo.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the demo does not end on {signal}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{signal}: {status}");
    assert!(!folder.exists(), "{signal}: the demo left its folder");
    assert_eq!(children_with(folder), Vec::<String>::new(), "{signal}: the demo left processes");
}

#[test]
fn sigterm_ends_the_demo_as_ctrl_c_does_also_while_it_starts() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (signal, sign) in [
        ("-TERM", "  shop.public."),
        ("-INT", "  shop.public."),
        ("-TERM", "Starting a throw-away"),
    ] {
        // Where the server's user can reach it, so that the demo does not go elsewhere.
        let name = format!("offtake-demo-signal-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut demo = Command::new(binary())
            .args(["demo", "--dir"])
            .arg(&folder)
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let seen = lines.by_ref().any(|line| line.unwrap().contains(sign));
        assert!(seen, "the demo ended before it said {sign:?}");
        ends_and_leaves_nothing(demo, signal, &folder);
    }
}
