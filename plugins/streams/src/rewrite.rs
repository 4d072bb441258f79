//! One name made of another: a regular expression that has to match the whole of it, and a
//! replacement with its groups.
//!
//! The replacement is Java's, as users of `RegexRouter` know it: `$1` or `${name}` is a group, `$0`
//! the whole name, and a backslash makes the next character stand for itself. The expression has no
//! look-around and no back-references, so matching takes time in proportion to the name.

use regex_lite::{Captures, Regex};

/// A rule that makes one name of another.
#[derive(Debug)]
pub struct Rewrite {
    regex: Regex,
    replacement: Vec<Piece>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Literal(String),
    Group(usize),
}

impl Rewrite {
    /// Compiles a rule.
    ///
    /// # Errors
    /// The expression is none, or the replacement names a group that it does not have; the message
    /// follows the name of the key.
    pub fn new(regex: &str, replacement: &str) -> Result<Rewrite, String> {
        let compile = |text: &str| {
            Regex::new(text).map_err(|error| format!("is no regular expression: {error}"))
        };
        // By itself first: what is put around it must not complete it.
        compile(regex)?;
        let regex = compile(&format!(r"\A(?:{regex})\z"))?;
        let replacement = pieces(&regex, replacement)?;
        Ok(Rewrite { regex, replacement })
    }

    /// What a name becomes; `None`: the expression does not match the whole of it.
    pub fn apply(&self, name: &str) -> Option<String> {
        let captures = self.regex.captures(name)?;
        let mut out = String::new();
        for piece in &self.replacement {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Group(group) => out.push_str(group_text(&captures, *group)),
            }
        }
        Some(out)
    }

    /// Whether the expression matches the whole of a name.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// A group that took no part has no text.
fn group_text<'t>(captures: &Captures<'t>, group: usize) -> &'t str {
    captures.get(group).map_or("", |found| found.as_str())
}

fn pieces(regex: &Regex, replacement: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = replacement.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => match rest.next() {
                Some(next) => literal.push(next),
                None => return Err("ends with a backslash".to_owned()),
            },
            '$' => {
                let group = group(regex, &mut rest)?;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Group(group));
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The group that stands behind a `$`.
fn group(regex: &Regex, rest: &mut std::str::Chars<'_>) -> Result<usize, String> {
    const WANTED: &str = r"has a `$` without a group: write $1, ${name}, or \$ for the character";
    let text = rest.as_str();
    if let Some(inner) = text.strip_prefix('{') {
        let (name, behind) = inner.split_once('}').ok_or(WANTED)?;
        *rest = behind.chars();
        let group = regex.capture_names().position(|known| known == Some(name));
        return group
            .ok_or_else(|| format!("names the group `{name}`, which `regex` does not have"));
    }
    let mut found = None;
    for character in text.chars() {
        let Some(digit) = character.to_digit(10) else { break };
        let number = found.unwrap_or(0_usize) * 10 + digit as usize;
        // As Java reads it: `$12` is the group 12 where there are as many, else the group 1 and a 2.
        if number >= regex.captures_len() {
            if found.is_none() {
                return Err(format!("names the group {number}, which `regex` does not have"));
            }
            break;
        }
        found = Some(number);
        rest.next();
    }
    found.ok_or_else(|| WANTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(regex: &str, replacement: &str, name: &str) -> Option<String> {
        Rewrite::new(regex, replacement).expect("it is a rule").apply(name)
    }

    fn refused(regex: &str, replacement: &str) -> String {
        Rewrite::new(regex, replacement).expect_err("it was accepted")
    }

    #[test]
    fn groups_are_put_in_by_number_and_by_name() {
        let of =
            |replacement| rewritten(r"(\w+)\.(?<table>\w+?)_\d+", replacement, "public.orders_17");
        assert_eq!(of("shop.$1.$2").as_deref(), Some("shop.public.orders"));
        assert_eq!(of("${table}-$1").as_deref(), Some("orders-public"));
        assert_eq!(of("$0").as_deref(), Some("public.orders_17"));
        assert_eq!(of(r"\$1\\").as_deref(), Some(r"$1\"));
        assert_eq!(of("$12").as_deref(), Some("public2"), "there are two groups");
        assert_eq!(of("all").as_deref(), Some("all"));
    }

    #[test]
    fn a_name_is_matched_whole_or_not_at_all() {
        assert_eq!(rewritten("orders", "x", "orders2"), None);
        assert_eq!(rewritten("a|ab", "x", "ab").as_deref(), Some("x"));
        assert_eq!(rewritten("(?<v>.*)", "e.${v}", "").as_deref(), Some("e."));
        assert_eq!(rewritten("(a)|b", "<$1>", "b").as_deref(), Some("<>"));
        assert_eq!(rewritten("a", "x", "a\n"), None);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_reason() {
        assert!(refused("(", "x").starts_with("is no regular expression: "));
        assert!(refused("a)(?:b", "x").starts_with("is no regular expression: "));
        assert!(refused("(?=a)b", "x").starts_with("is no regular expression: "));
        assert_eq!(refused("(a)", "$2"), "names the group 2, which `regex` does not have");
        assert_eq!(refused("(a)", "${b}"), "names the group `b`, which `regex` does not have");
        assert_eq!(refused("a", "x\\"), "ends with a backslash");
        for replacement in ["$", "$x", "${a"] {
            assert!(refused("(?<a>a)", replacement).starts_with("has a `$` without a group"));
        }
    }
}
