//! Table globs, as far as a configuration can be judged by them without a database.
//!
//! A pattern is `schema.table`; `*` stands for any characters and `?` for one, in both parts. A
//! part in double quotes is taken literally, so that a name may hold a dot or a star. Matching
//! real tables is the source's; this answers whether a pattern is well formed, whether two can
//! take the same table, and whether one takes all that another takes.

/// One part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(char),
    One,
    Any,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    schema: Vec<Token>,
    table: Vec<Token>,
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(crate) fn parse(pattern: &str) -> Result<Glob, (String, Option<String>)> {
        let mut parts: Vec<Vec<Token>> = vec![Vec::new()];
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let Some(part) = parts.last_mut() else { break };
            match character {
                '.' => parts.push(Vec::new()),
                '*' => part.push(Token::Any),
                '?' => part.push(Token::One),
                '"' if part.is_empty() => quoted(&mut characters, part)?,
                '"' => {
                    return Err((
                        "a double quote stands inside a name".to_owned(),
                        Some("put the whole name in double quotes: `public.\"a.b\"`".to_owned()),
                    ));
                }
                wrong if wrong.is_whitespace() || "[]{}\\".contains(wrong) => {
                    return Err((
                        format!("`{wrong}` cannot stand in a table pattern"),
                        Some(
                            "`*` stands for any characters, `?` for one; put a name with other \
                             characters in double quotes"
                                .to_owned(),
                        ),
                    ));
                }
                character => part.push(Token::Literal(character)),
            }
        }
        let [schema, table] = match <[Vec<Token>; 2]>::try_from(parts) {
            Ok(parts) => parts,
            Err(parts) if parts.len() == 1 => {
                return Err((
                    "a table pattern has two parts, `schema.table`".to_owned(),
                    Some(format!("did you mean \"public.{pattern}\"?")),
                ));
            }
            Err(_) => {
                return Err((
                    "a table pattern has two parts, `schema.table`; the database is in `url`"
                        .to_owned(),
                    Some("put a name that holds a dot in double quotes".to_owned()),
                ));
            }
        };
        if schema.is_empty() || table.is_empty() {
            return Err((
                "a part of the table pattern is empty".to_owned(),
                Some("`*` takes every name: \"public.*\"".to_owned()),
            ));
        }
        Ok(Glob { schema, table })
    }

    /// Whether some table is taken by both.
    pub(crate) fn overlaps(&self, other: &Glob) -> bool {
        overlaps(&self.schema, &other.schema) && overlaps(&self.table, &other.table)
    }

    /// Whether every table that `other` takes is taken by this one. It may say no although it is
    /// so (`a*b*` and `*`-laden others), never yes when it is not.
    pub(crate) fn covers(&self, other: &Glob) -> bool {
        covers(&self.schema, &other.schema) && covers(&self.table, &other.table)
    }

    /// The schema's pattern.
    pub(crate) fn schema(&self) -> &[Token] {
        &self.schema
    }

    /// The table's pattern.
    pub(crate) fn table(&self) -> &[Token] {
        &self.table
    }

    /// The schema, when it is one.
    pub(crate) fn one_schema(&self) -> Option<String> {
        literal(&self.schema)
    }

    /// The table's name, when it is one.
    pub(crate) fn one_table(&self) -> Option<String> {
        literal(&self.table)
    }
}

/// Reads a quoted part after its opening quote; it ends the part.
fn quoted(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    part: &mut Vec<Token>,
) -> Result<(), (String, Option<String>)> {
    loop {
        match characters.next() {
            None => return Err(("a double quote is not closed".to_owned(), None)),
            Some('"') if characters.next_if_eq(&'"').is_none() => break,
            Some(character) => part.push(Token::Literal(character)),
        }
    }
    match characters.peek() {
        None | Some('.') => Ok(()),
        Some(_) => Err(("a closing double quote is not the end of the name".to_owned(), None)),
    }
}

fn literal(tokens: &[Token]) -> Option<String> {
    tokens
        .iter()
        .map(|token| match token {
            Token::Literal(character) => Some(*character),
            Token::One | Token::Any => None,
        })
        .collect()
}

/// Whether a text matches both, by which pairs of places can be reached.
pub(crate) fn overlaps(left: &[Token], right: &[Token]) -> bool {
    let mut reached = vec![vec![false; right.len() + 1]; left.len() + 1];
    reached[0][0] = true;
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            if !reached[i][j] {
                continue;
            }
            let (a, b) = (left.get(i), right.get(j));
            if a == Some(&Token::Any) {
                reached[i + 1][j] = true;
            }
            if b == Some(&Token::Any) {
                reached[i][j + 1] = true;
            }
            let (Some(a), Some(b)) = (a, b) else { continue };
            let both = match (a, b) {
                (Token::Literal(a), Token::Literal(b)) => a == b,
                _ => true,
            };
            if both {
                let next_i = if *a == Token::Any { i } else { i + 1 };
                let next_j = if *b == Token::Any { j } else { j + 1 };
                reached[next_i][next_j] = true;
            }
        }
    }
    reached[left.len()][right.len()]
}

/// Whether the pattern, read as matching the other's tokens, takes them all.
pub(crate) fn covers(pattern: &[Token], other: &[Token]) -> bool {
    let mut reached = vec![false; other.len() + 1];
    reached[0] = true;
    for token in pattern {
        let mut next = vec![false; other.len() + 1];
        for at in 0..=other.len() {
            match token {
                Token::Any => next[at] = reached[at] || (at > 0 && next[at - 1]),
                Token::One => next[at] = at > 0 && reached[at - 1] && other[at - 1] != Token::Any,
                Token::Literal(_) => {
                    next[at] = at > 0 && reached[at - 1] && other[at - 1] == *token
                }
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> Glob {
        Glob::parse(pattern).unwrap()
    }

    #[test]
    fn overlap_and_cover_are_told() {
        assert!(glob("public.*").covers(&glob("public.customers")));
        assert!(glob("*.*").covers(&glob("public.c?st*")));
        assert!(!glob("public.?").covers(&glob("public.*")));
        assert!(!glob("public.customers").covers(&glob("public.*")));
        assert!(glob("public.a*").overlaps(&glob("public.*b")));
        assert!(!glob("public.a*").overlaps(&glob("public.b*")));
        assert!(!glob("sales.*").overlaps(&glob("public.*")));
        assert!(glob("public.\"a.b\"").one_table() == Some("a.b".to_owned()));
    }

    #[test]
    fn a_bad_pattern_says_what_would_be_right() {
        assert!(Glob::parse("customers").unwrap_err().1.unwrap().contains("public.customers"));
        assert!(Glob::parse("shop.public.customers").is_err());
        assert!(Glob::parse("public.").is_err());
        assert!(Glob::parse("public.[ab]").is_err());
        assert!(Glob::parse("public.\"x").is_err());
        assert!(Glob::parse("public.x\"y\"").is_err());
        assert!(Glob::parse("public.\"x\"y").is_err());
        assert!(Glob::parse("\"a.b\".\"c\"\"d*\"").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn what_covers_also_overlaps(
            left in "[ab*?]{1,4}\\.[ab*?]{1,4}", right in "[ab*?]{1,4}\\.[ab*?]{1,4}",
        ) {
            let (left, right) = (glob(&left), glob(&right));
            if left.covers(&right) {
                assert!(left.overlaps(&right) && right.overlaps(&left));
            }
        }
    }
}
