//! Globs of stream names, as far as a configuration can be judged by them.
//!
//! `*` stands for any characters, dots too, and `?` for one. A route's streams are such globs: its
//! template with the patterns of its tables put in. Matching real streams is the sink's.

use crate::glob::{Glob, Token, covers, overlaps};

/// A parsed glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamGlob {
    tokens: Vec<Token>,
}

impl StreamGlob {
    /// Parses a glob.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(crate) fn parse(glob: &str) -> Result<StreamGlob, (String, Option<String>)> {
        let mut tokens = Vec::with_capacity(glob.len());
        for character in glob.chars() {
            tokens.push(match character {
                '*' => Token::Any,
                '?' => Token::One,
                plain if plain.is_ascii_alphanumeric() || "._-".contains(plain) => {
                    Token::Literal(plain)
                }
                '{' | '}' => {
                    return Err((
                        "placeholders are not replaced in a pattern of streams".to_owned(),
                        Some("write `*` for what differs: \"shop.public.*\"".to_owned()),
                    ));
                }
                wrong => {
                    return Err((
                        format!("`{wrong}` cannot stand in a stream's name"),
                        Some("`*` stands for any characters, `?` for one".to_owned()),
                    ));
                }
            });
        }
        if tokens.is_empty() {
            return Err((
                "the pattern is empty".to_owned(),
                Some("`*` takes every stream".to_owned()),
            ));
        }
        Ok(StreamGlob { tokens })
    }

    /// The streams that a route's template gives for the tables of a pattern.
    pub(crate) fn of_route(template: &str, pipeline: &str, tables: &Glob) -> StreamGlob {
        let mut tokens = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            tokens.extend(rest[..open].chars().map(Token::Literal));
            let end = rest[open..].find('}').map_or(rest.len(), |close| open + close + 1);
            match &rest[open..end] {
                "{name}" => tokens.extend(pipeline.chars().map(Token::Literal)),
                "{schema}" => tokens.extend_from_slice(tables.schema()),
                "{table}" => tokens.extend_from_slice(tables.table()),
                // A template that names something else was reported.
                _ => tokens.push(Token::Any),
            }
            rest = &rest[end..];
        }
        tokens.extend(rest.chars().map(Token::Literal));
        StreamGlob { tokens }
    }

    /// Whether some stream is taken by both.
    pub(crate) fn overlaps(&self, other: &StreamGlob) -> bool {
        overlaps(&self.tokens, &other.tokens)
    }

    /// Whether every stream that `other` takes is taken by this one; see [`Glob::covers`].
    pub(crate) fn covers(&self, other: &StreamGlob) -> bool {
        covers(&self.tokens, &other.tokens)
    }

    /// As a sink reads it.
    pub(crate) fn text(&self) -> String {
        let character = |token: &Token| match token {
            // A name with such a character cannot be a topic's, so `?` takes nothing too much.
            Token::Literal('*' | '?') | Token::One => '?',
            Token::Literal(character) => *character,
            Token::Any => '*',
        };
        self.tokens.iter().map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(template: &str, tables: &str) -> StreamGlob {
        StreamGlob::of_route(template, "shop", &Glob::parse(tables).unwrap())
    }

    #[test]
    fn a_routes_streams_follow_from_its_template_and_tables() {
        let default = "{name}.{schema}.{table}";
        assert_eq!(route(default, "public.customers").text(), "shop.public.customers");
        assert_eq!(route(default, "sales.o*").text(), "shop.sales.o*");
        assert_eq!(route("raw-{table}", "*.?x").text(), "raw-?x");
        assert_eq!(route("all", "*.*").text(), "all");
        let customers = route(default, "public.customers");
        assert!(route(default, "public.*").covers(&customers));
        assert!(StreamGlob::parse("*.customers").unwrap().overlaps(&customers));
        assert!(!route("{name}.masked.{table}", "public.*").overlaps(&customers));
    }

    #[test]
    fn a_bad_pattern_says_what_would_be_right() {
        let help = |glob: &str| StreamGlob::parse(glob).unwrap_err().1.unwrap();
        assert!(help("{name}.public.*").contains("shop.public.*"));
        assert!(help("shop public").contains('*'));
        assert!(help("").contains("every stream"));
        assert!(StreamGlob::parse("shop.public.o?-_*").is_ok());
    }
}
