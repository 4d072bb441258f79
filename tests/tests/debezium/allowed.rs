//! The differences that remain, each with the place in `DEBEZIUM.md` that says why.
//!
//! One that no longer occurs is an error too, so that the list cannot rot.

use crate::compare::Difference;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Allowed {
    /// Runs, by name; empty: all.
    pub(crate) runs: &'static [&'static str],
    /// Topic without the prefix; `*` stands for any characters.
    pub(crate) topic: &'static str,
    /// Path in the record; `*` stands for any characters.
    pub(crate) path: &'static str,
    /// What stands in Debezium's text; empty: whatever it is.
    pub(crate) debezium: &'static str,
    /// Words that stand in `DEBEZIUM.md` where the reason is given.
    pub(crate) documented: &'static str,
}

/// All of them.
pub(crate) const ALLOWED: [Allowed; 0] = [];

impl Allowed {
    /// Whether it is about that difference.
    pub(crate) fn covers(&self, run: &str, difference: &Difference) -> bool {
        (self.runs.is_empty() || self.runs.contains(&run))
            && matches(self.topic, &difference.topic)
            && matches(self.path, &difference.path)
            && difference.debezium.contains(self.debezium)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, text, expected) in [
        ("*", "public.a", true),
        ("public.*", "public.a", true),
        ("value.*.amount", "value.after.amount", true),
        ("value.*.amount", "value.after.amount.scale", false),
        ("*.scale", "value.after.amount.scale", true),
        ("value", "value.after", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
