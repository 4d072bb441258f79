//! `--help`: every subcommand explains itself with examples or exit codes, and wrong usage is 2.

use std::process::{Command, Output};

use offtake_tests::gateway::binary;

fn offtake(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

#[test]
fn every_subcommand_explains_itself_with_examples_or_exit_codes() {
    let commands: [&[&str]; 22] = [
        &[],
        &["run"],
        &["check"],
        &["tail"],
        &["dead-letters"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "replay"],
        &["status"],
        &["resync"],
        &["slot"],
        &["slot", "drop"],
        &["plugin"],
        &["plugin", "new"],
        &["plugin", "build"],
        &["plugin", "test"],
        &["plugin", "inspect"],
        &["plugin", "bench"],
        &["plugin", "try"],
        &["plugin", "reload"],
        &["plugin", "rollback"],
        &["demo"],
    ];
    for command in commands {
        let output = offtake(&[command, &["--help"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}");
        assert!(text.contains("Usage: offtake"), "{command:?}\n{text}");
        assert!(text.contains("Examples:") || text.contains("Exit status:"), "{command:?}\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{command:?}\n{text}");
    }
    // A subcommand that is not in this list has no test.
    let text = String::from_utf8(offtake(&["--help"]).stdout).unwrap();
    let listed = text.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        [
            "run",
            "check",
            "tail",
            "status",
            "resync",
            "slot",
            "plugin",
            "dead-letters",
            "demo",
            "help"
        ]
    );
    for status in ["0  ", "1  ", "2  ", "3  "] {
        assert!(text.split("Exit status:").nth(1).unwrap().contains(status), "{text}");
    }
}

#[test]
fn wrong_usage_has_exit_status_two_and_a_hint() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "Usage:"),
        (&["chekc"], "check"),
        (&["tail", "--cuont", "3"], "--count"),
        (&["tail", "--count", "many"], "many"),
        (&["slot"], "drop"),
    ];
    for (arguments, hint) in cases {
        let output = offtake(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(hint), "{arguments:?}\n{text}");
    }
    let output = offtake(&["--version"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("offtake 0."));
}
