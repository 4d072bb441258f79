//! The report of a test, for a person.

use std::fmt::Write as _;

use crate::check::{Tested, Verdict};

/// Writes a fixture's part of the report.
pub fn fixture(tested: &Tested) -> String {
    let word = match &tested.verdict {
        Verdict::Passed => "ok",
        Verdict::Updated => "updated",
        Verdict::Differs(_) => "differs",
        Verdict::Mistaken(_) => "mistake",
    };
    let mut out = format!("{word:<8} {:<32} {}\n", tested.name, counts(tested));
    // Writing into a String cannot fail.
    match &tested.verdict {
        Verdict::Passed | Verdict::Updated => {}
        Verdict::Differs(differences) => {
            for difference in differences {
                let _ = writeln!(out, "    {}", difference.what);
                for line in &difference.lines {
                    let _ = writeln!(out, "      {line}");
                }
            }
        }
        Verdict::Mistaken(mistakes) => {
            for mistake in mistakes {
                let _ = writeln!(out, "    {}", mistake.to_string().replace('\n', "\n    "));
            }
        }
    }
    out
}

fn counts(tested: &Tested) -> String {
    let Some(outcome) = &tested.outcome else {
        return match tested.verdict {
            Verdict::Mistaken(_) => String::new(),
            _ => "refused".to_owned(),
        };
    };
    let changes = if tested.changes == 1 { "change" } else { "changes" };
    let mut out = format!("{} {changes}: {} left", tested.changes, outcome.left);
    let counts =
        [(outcome.emitted, "emitted"), (outcome.dropped, "dropped"), (outcome.failed, "failed")];
    for (count, what) in counts {
        if count > 0 {
            let _ = match what {
                "emitted" => write!(out, " ({count} {what})"),
                _ => write!(out, ", {count} {what}"),
            };
        }
    }
    out
}

/// Writes the last lines of the report.
pub fn summary(tested: &[Tested]) -> String {
    let count =
        |is: fn(&Verdict) -> bool| tested.iter().filter(|tested| is(&tested.verdict)).count();
    let parts = [
        (count(|verdict| matches!(verdict, Verdict::Passed)), "ok"),
        (count(|verdict| matches!(verdict, Verdict::Updated)), "updated"),
        (count(|verdict| matches!(verdict, Verdict::Differs(_))), "differing"),
        (count(|verdict| matches!(verdict, Verdict::Mistaken(_))), "with mistakes"),
    ];
    let parts: Vec<String> = (parts.iter().filter(|(count, _)| *count > 0))
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let fixtures = if tested.len() == 1 { "fixture" } else { "fixtures" };
    let mut out = format!("{} {fixtures}: {}\n", tested.len(), parts.join(", "));
    // Of one that was refused its own lines say how that is accepted, where it is meant.
    let differs = |tested: &Tested| matches!(tested.verdict, Verdict::Differs(_));
    if tested.iter().any(|tested| differs(tested) && tested.outcome.is_some()) {
        out.push_str("  next: correct the plugin; or accept what leaves with --update\n");
    }
    out
}
