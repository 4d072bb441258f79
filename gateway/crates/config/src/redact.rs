//! Which parts of a line of the file must not be shown in a diagnostic.
//!
//! A diagnostic prints the line that it is about, and that line may hold a password although it
//! should be a reference. What the parser knows to be secret it marks itself; this looks at the
//! text alone, for a file that does not parse has no structure to ask. It would rather hide too
//! much. A reference (`${env:NAME}`) is no secret and stays readable.

use std::ops::Range;

/// Words that make the value after `=` a secret.
const WORDS: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "salt", "jaas", "pem"];

/// Byte ranges of `line` to hide, in order, not overlapping.
pub(crate) fn hidden(line: &str) -> Vec<Range<usize>> {
    let mut found = in_addresses(line);
    found.extend(after_words(line));
    found.retain(|range| {
        line.get(range.clone()).is_some_and(|text| !text.is_empty() && !is_reference(text))
    });
    merge(found)
}

/// Whether the text is one `${…}` and nothing else.
pub(crate) fn is_reference(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| !name.contains(['{', '}']))
}

/// Whether a value under this key is a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_place = key.ends_with("_file") || key.ends_with(".location") || key.ends_with(".file");
    !is_place && WORDS.iter().any(|word| key.contains(word))
}

/// Sorts ranges and joins those that touch.
pub(crate) fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The password in `scheme://user:password@host`, also where the quote or the `@` is missing.
fn in_addresses(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in line.match_indices("://") {
        let start = at + mark.len();
        let rest = &line[start..];
        let end = rest.find(['"', '\'']).unwrap_or(rest.len());
        let userinfo_end = rest[..end].rfind('@');
        let userinfo = &rest[..userinfo_end.unwrap_or(end)];
        let Some(colon) = userinfo.find(':') else { continue };
        let after = &userinfo[colon + 1..];
        let is_port = userinfo_end.is_none()
            && after.split(['/', '?', ' ']).next().is_some_and(|p| p.parse::<u16>().is_ok());
        if !is_port {
            found.push(start + colon + 1..start + userinfo.len());
        }
    }
    found
}

/// The value in `password = "…"`, `password=…` and `"sasl.password" = "…"`.
fn after_words(line: &str) -> Vec<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    for word in WORDS {
        for (at, _) in lower.match_indices(word) {
            let rest = &lower[at + word.len()..];
            let tail = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-')))
                .unwrap_or(rest.len());
            let key = &lower[at..at + word.len() + tail];
            if !is_secret_key(key) {
                continue;
            }
            let after = &rest[tail..];
            let skipped = after.trim_start_matches(['"', '\'', ' ', '\t']);
            let Some(value) = skipped.strip_prefix('=') else { continue };
            let value = value.trim_start_matches([' ', '\t', '[', '{']);
            let start = lower.len() - value.len();
            found.push(value_range(value, start));
        }
    }
    found
}

/// The range of one value that begins `value`, quoted or not.
fn value_range(value: &str, start: usize) -> Range<usize> {
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(inner) = value.strip_prefix(quote) {
            let from = start + quote.len();
            return from..from + closing(inner, quote).unwrap_or(inner.len());
        }
    }
    let length = value.find([' ', '\t', '"', '\'', '&']).unwrap_or(value.len());
    start..start + length
}

/// Where the quote that ends a value stands: not escaped, and with nothing after it but what may
/// follow a value. A quote inside a value that lacks its escape does not end it.
fn closing(inner: &str, quote: &str) -> Option<usize> {
    inner.match_indices(quote).map(|(at, _)| at).find(|at| {
        let escapes = inner[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        let after = &inner[at + quote.len()..];
        escapes % 2 == 0 && (after.is_empty() || after.starts_with([',', '}', ']', ' ', '\t', '#']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let mut line = line.to_owned();
        for range in hidden(&line).into_iter().rev() {
            line.replace_range(range, "***");
        }
        line
    }

    #[test]
    fn passwords_are_hidden_and_the_rest_stays() {
        for (line, expected) in [
            (r#"url = "postgres://u:s3:c@r@db/x""#, r#"url = "postgres://u:***@db/x""#),
            (r#"url = "postgres://u:s3cr/et"#, r#"url = "postgres://u:***"#),
            (r#"url = "postgres://db:5432/x""#, r#"url = "postgres://db:5432/x""#),
            (
                r#"url = "host=db password=abc dbname=x""#,
                r#"url = "host=db password=*** dbname=x""#,
            ),
            (r#"password = "abc\"d" # note"#, r#"password = "***" # note"#),
            (r#"x = { password = "a", y = "b" }"#, r#"x = { password = "***", y = "b" }"#),
            (r#"password = "a"b", y = 1"#, r#"password = "***", y = 1"#),
            (r#"password_file = "/etc/p""#, r#"password_file = "/etc/p""#),
            (r#"password = "${env:PW}""#, r#"password = "${env:PW}""#),
            (r#""sasl.password" = "abc""#, r#""sasl.password" = "***""#),
            (r#"url = "postgres://u:${env:PW}@db""#, r#"url = "postgres://u:${env:PW}@db""#),
            (r#"PASSWORD = 'abc"#, r#"PASSWORD = '***"#),
            (r#"tables = ["public.*"]"#, r#"tables = ["public.*"]"#),
        ] {
            assert_eq!(shown(line), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_cut_at_character_borders(line in "\\PC{0,60}(://|password *= *\"?)\\PC{0,40}") {
            shown(&line);
        }
    }
}
