//! `make demo` as a user sees it, ended by itself.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use offtake_tests::gateway::binary;

#[test]
fn the_demo_ends_by_itself_shows_only_masked_values_and_removes_its_folder() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("target/demo-test");
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
    assert!(!folder.exists(), "the demo left its folder");

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
    for hint in ["offtake tail", "psql ", "edit "] {
        assert!(text.contains(hint), "the introduction does not name {hint:?}\n{text}");
    }
}
