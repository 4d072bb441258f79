//! The differences that remain, each with the words by which `DEBEZIUM.md` says why.
//!
//! As narrow as can be: runs, topic, place and what both sides have there. One that no longer occurs
//! is an error too, so that the list cannot rot.

use crate::compare::Difference;

/// A difference that is meant.
pub(crate) struct Allowed {
    /// Runs, by name; empty: all.
    pub(crate) runs: &'static [&'static str],
    /// Topic without the prefix.
    pub(crate) topic: &'static str,
    /// Path in the record; `*` stands for any characters.
    pub(crate) path: &'static str,
    /// What both sides have.
    pub(crate) when: fn(&Difference) -> bool,
    /// Words that stand in `DEBEZIUM.md` where the reason is given.
    pub(crate) documented: &'static str,
}

/// The run with Offtake's own defaults, which leave nothing out.
const PLAIN: &[&str] = &["plain"];

/// The runs with a key of other columns than the table's own.
const TRANSACTIONS: &[&str] = &["transactions", "transactions_schemas"];

/// All of them.
pub(crate) const ALLOWED: &[Allowed] = &[
    Allowed {
        runs: &[],
        topic: "message",
        path: "value*.source.ts_*",
        when: |_| true,
        documented: "time of a logical message outside of a transaction",
    },
    Allowed {
        runs: &[],
        topic: "public.extreme_times",
        path: "value*.after.day",
        when: of_snapshot,
        documented: "dates before 1582 and infinite dates in a snapshot",
    },
    Allowed {
        runs: &[],
        topic: "public.floats",
        path: "value*.single*",
        when: same_single,
        documented: "digits of floats",
    },
    Allowed {
        runs: &[],
        topic: "public.floats",
        path: "value*.wide*",
        when: same_double,
        documented: "digits of floats",
    },
    Allowed {
        runs: &[],
        topic: "public.generated",
        path: "value*.twice",
        when: is_missing_here,
        documented: "generated columns",
    },
    Allowed {
        runs: &[],
        topic: "public.generated",
        path: "value*.label",
        when: is_missing_here,
        documented: "generated columns",
    },
    Allowed {
        runs: &[],
        topic: "public.identity_index",
        path: "record",
        when: |difference| {
            // One update there is: that of `part`, which is in the index and not in the key.
            let is_update = |record: &str| record.contains(r#""id":2,"code":"d","part":3"#);
            match difference.record.split(' ').next() {
                Some("u") => difference.debezium == "none" && is_update(&difference.offtake),
                Some("c") => difference.offtake == "none" && is_update(&difference.debezium),
                _ => is_end_of(difference, r#"{"id":0}"#),
            }
        },
        documented: "key that the replica identity does not have",
    },
    Allowed {
        runs: TRANSACTIONS,
        topic: "public.key_order",
        path: "record",
        when: |difference| match difference.record.split(' ').next() {
            // The two updates of columns of the replica identity; updates themselves are skipped.
            Some("c") => {
                let keys = [r#"{"note":"changed"}"#, r#"{"note":"both"}"#];
                let is_update = |key: &str| keys.iter().any(|update| key.contains(update));
                difference.offtake == "none" && is_update(key_of(&difference.debezium))
            }
            _ => is_end_of(difference, r#"{"note":null}"#),
        },
        documented: "key that the replica identity does not have",
    },
    // The same updates, counted: Debezium takes each for a moved key, a delete and a create.
    Allowed {
        runs: TRANSACTIONS,
        topic: "transaction",
        path: "value*.event_count",
        when: |difference| difference.debezium == "2" && difference.offtake == "0",
        documented: "key that the replica identity does not have",
    },
    Allowed {
        runs: TRANSACTIONS,
        topic: "transaction",
        path: "value*.data_collections",
        when: |difference| {
            let tables = ["public.key_order", "public.identity_index"];
            difference.offtake == "[]" && tables.iter().any(|it| difference.debezium.contains(it))
        },
        documented: "key that the replica identity does not have",
    },
    Allowed {
        runs: &[],
        topic: "public.matrices",
        path: "value*.after.*",
        when: |difference| {
            difference.debezium == "[null,null]" || difference.debezium.contains("java.lang")
        },
        documented: "arrays of several dimensions",
    },
    Allowed {
        runs: &[],
        topic: "public.texts",
        path: "value*.called",
        when: is_null_there,
        documented: "values of the type `name`",
    },
    Allowed {
        runs: &[],
        topic: "public.user_types",
        path: "value*.ms",
        when: is_null_there,
        documented: "arrays of enums",
    },
    Allowed {
        runs: PLAIN,
        topic: "public.*",
        path: "value*",
        when: |difference| difference.debezium == "missing" && difference.offtake == "there",
        documented: "type that Debezium does not know",
    },
    Allowed {
        runs: PLAIN,
        topic: "public.arrays_more",
        path: "value*.*",
        when: is_null_there,
        documented: "type that Debezium does not know",
    },
    Allowed {
        runs: &[],
        topic: "public.arrays_more",
        path: "value*.vec",
        when: |difference| matches!(difference.debezium.as_str(), "null" | "[]"),
        documented: "`oidvector`",
    },
    Allowed {
        runs: PLAIN,
        topic: "public.special_decimals",
        path: "value*.after.*",
        when: is_null_there,
        documented: "value that its schema cannot hold",
    },
    Allowed {
        runs: TRANSACTIONS,
        topic: "transaction",
        path: "value*.data_collections",
        when: |difference| difference.debezium.contains("LogicalDecodingMessageId@"),
        documented: "name of logical messages among a transaction's collections",
    },
];

fn of_snapshot(difference: &Difference) -> bool {
    difference.record == "r"
}

/// Whether it is Debezium's delete, or the tombstone after it, of a row with a key that it made up.
fn is_end_of(difference: &Difference, made_up: &str) -> bool {
    let is_end = difference.record == "tombstone" || difference.record.starts_with("d ");
    is_end && difference.offtake == "none" && key_of(&difference.debezium).contains(made_up)
}

/// The key of a record that one side has alone.
fn key_of(record: &str) -> &str {
    record.split_once(" = ").map_or("", |(key, _)| key)
}

fn is_null_there(difference: &Difference) -> bool {
    difference.debezium == "null"
}

fn is_missing_here(difference: &Difference) -> bool {
    difference.debezium == "there" && difference.offtake == "missing"
}

fn same_single(difference: &Difference) -> bool {
    let bits = |text: &str| text.parse().ok().map(f32::to_bits);
    bits(&difference.debezium).is_some_and(|found| Some(found) == bits(&difference.offtake))
}

fn same_double(difference: &Difference) -> bool {
    let bits = |text: &str| text.parse().ok().map(f64::to_bits);
    bits(&difference.debezium).is_some_and(|found| Some(found) == bits(&difference.offtake))
}

impl Allowed {
    /// Whether it is about that difference.
    pub(crate) fn covers(&self, run: &str, difference: &Difference) -> bool {
        (self.runs.is_empty() || self.runs.contains(&run))
            && matches(self.topic, &difference.topic)
            && matches(self.path, &difference.path)
            && (self.when)(difference)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "public.a", true),
            ("public.*", "public.a", true),
            ("value*.amount", "value.after.amount", true),
            ("value*.amount", "value.after.amount.scale", false),
            ("*.scale", "value.after.amount.scale", true),
            ("value", "value.after", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_float_may_differ_in_its_digits_only() {
        let difference = |debezium: &str, offtake: &str| Difference {
            topic: "public.floats".to_owned(),
            path: "value.after.single".to_owned(),
            record: "r".to_owned(),
            debezium: debezium.to_owned(),
            offtake: offtake.to_owned(),
        };
        assert!(same_single(&difference("1.17549435E-38", "1.1754944E-38")));
        assert!(same_double(&difference("9.999999999999999E22", "1.0E23")));
        assert!(!same_single(&difference("1.5", "1.6")));
        assert!(!same_double(&difference("null", "null")));
    }
}
