//! What every plugin owes, against plugins that do not keep to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use offtake_transform::Limits;
use offtake_workbench::check::{Options, Subject, Verdict, test};
use offtake_workbench::report;
use zoo::Guest;

#[allow(dead_code, reason = "the host's tests use all of it")]
#[path = "../../transform/tests/host/answers.rs"]
mod answers;
#[allow(dead_code, reason = "the host's tests use all of it")]
#[path = "../../transform/tests/host/zoo.rs"]
mod zoo;

const TABLES: &str = r#"[{"table": "t", "key": ["id"], "columns": [
  {"name": "id", "type": "int8"}, {"name": "name", "type": "text"}]}]"#;

/// What an update, and a test behind it, say of a plugin over eight changes.
fn tested(guest: &Guest) -> (Verdict, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tables.json"), TABLES).unwrap();
    let change = |id: usize| {
        format!(
            "{{\"table\":\"public.t\",\"op\":\"c\",\"after\":{{\"id\":{id},\"name\":\"x\"}}}}\n"
        )
    };
    let changes: String = (1..=8).map(change).collect();
    fs::write(folder.path().join("changes.jsonl"), changes).unwrap();
    let subject = Subject::new("zoo", guest.build(), Limits::default()).unwrap();
    test(&subject, folder.path(), &Options { update: true, ..Options::default() });
    let tested = test(&subject, folder.path(), &Options::default());
    let shown = report::fixture(&tested);
    (tested.verdict, shown)
}

#[test]
fn a_plugin_that_lets_everything_pass_owes_nothing() {
    let (verdict, shown) = tested(&Guest::pass(&[1], 0));
    assert_eq!(verdict, Verdict::Passed, "{shown}");
}

#[test]
fn a_plugin_that_goes_by_the_place_in_a_call_is_found() {
    let none = [0; 8];
    let first_of_each_call = Guest::answering(|layout| {
        let dropped = layout.u32s(&[0]);
        [dropped, none, none, none, none, none, none]
    });
    let (_, shown) = tested(&first_of_each_call);
    for size in [1, 2, 7] {
        assert!(shown.contains(&format!("in batches of {size} something else leaves")), "{shown}");
    }
    assert!(!shown.contains("a second run"), "{shown}");
}

#[test]
fn a_plugin_that_traps_is_no_success_whatever_is_expected() {
    let (_, shown) = tested(&Guest::doing("unreachable"));
    assert!(shown.contains("with NULL in every column that may be NULL it fails"), "{shown}");
    assert!(shown.contains("PLUGIN_TRAP"), "{shown}");
}
