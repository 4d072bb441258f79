//! What is expected beside what is: the lines that differ, each with its sign.

use serde_json::Value;

/// Lines compared pair by pair, at most; beyond that what differs is shown as a whole.
const COMPARED: usize = 2000;
/// Characters of a line that are shown.
const LINE_CHARS: usize = 400;
/// Lines that are shown.
const SHOWN: usize = 40;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs from what.
    pub what: String,
    /// Lines that show it: `-` expected, `+` found.
    pub lines: Vec<String>,
}

impl Difference {
    pub(crate) fn new(what: impl Into<String>, lines: Vec<String>) -> Difference {
        Difference { what: what.into(), lines: shortened(lines) }
    }

    /// The lines that differ; `None`: all are equal.
    pub(crate) fn between(
        what: impl Into<String>,
        expected: &[Value],
        found: &[Value],
    ) -> Option<Difference> {
        (expected != found).then(|| Difference::new(what, compare(expected, found)))
    }
}

fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    for line in &mut lines {
        if let Some((at, _)) = line.char_indices().nth(LINE_CHARS) {
            line.truncate(at);
            line.push('…');
        }
    }
    if more > 0 {
        lines.push(format!("… and {more} more lines"));
    }
    lines
}

/// By the longest common subsequence of what lies between the equal ends.
fn compare(expected: &[Value], found: &[Value]) -> Vec<String> {
    let head = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (expected, found) = (&expected[head..], &found[head..]);
    let tail = expected.iter().rev().zip(found.iter().rev()).take_while(|(a, b)| a == b).count();
    let expected = &expected[..expected.len() - tail];
    let found = &found[..found.len() - tail];
    let mut lines = Vec::new();
    let (mut left, mut right) = (0, 0);
    if expected.len().max(found.len()) <= COMPARED {
        let common = common(expected, found);
        while left < expected.len() && right < found.len() {
            if expected[left] == found[right] {
                (left, right) = (left + 1, right + 1);
            } else if common[left + 1][right] >= common[left][right + 1] {
                lines.push(format!("- {}", expected[left]));
                left += 1;
            } else {
                lines.push(format!("+ {}", found[right]));
                right += 1;
            }
        }
    }
    lines.extend(expected[left..].iter().map(|line| format!("- {line}")));
    lines.extend(found[right..].iter().map(|line| format!("+ {line}")));
    lines
}

/// Of each pair of places the length of what is common behind them.
fn common(expected: &[Value], found: &[Value]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0; found.len() + 1]; expected.len() + 1];
    for left in (0..expected.len()).rev() {
        for right in (0..found.len()).rev() {
            table[left][right] = if expected[left] == found[right] {
                table[left + 1][right + 1] + 1
            } else {
                table[left + 1][right].max(table[left][right + 1])
            };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_lines_that_differ_are_shown_in_their_places() {
        let lines = |numbers: &[i32]| numbers.iter().map(|n| json!(n)).collect::<Vec<_>>();
        let shown = |a: &[i32], b: &[i32]| {
            Difference::between("x", &lines(a), &lines(b)).map(|difference| difference.lines)
        };
        assert_eq!(shown(&[1, 2], &[1, 2]), None);
        assert_eq!(shown(&[1, 2, 3, 4], &[1, 5, 3, 4]).unwrap(), ["- 2", "+ 5"]);
        assert_eq!(shown(&[1, 2, 3, 4, 5], &[1, 3, 5]).unwrap(), ["- 2", "- 4"]);
        assert_eq!(shown(&[], &[7]).unwrap(), ["+ 7"]);
        let many: Vec<i32> = (0..100).collect();
        assert_eq!(shown(&many, &[]).unwrap().last().unwrap(), "… and 60 more lines");
    }

    #[test]
    fn the_order_of_an_objects_names_is_no_difference() {
        let a = serde_json::from_str(r#"{"a":1,"b":2}"#).unwrap();
        let b = serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap();
        assert_eq!(Difference::between("x", &[a], &[b]), None);
    }
}
