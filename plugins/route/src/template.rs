//! The text of a stream's name: groups of the table's name, and `{columns}` of the row.
//!
//! Groups are those of [`Rewrite`], column names stand in braces. What a value holds is never read as
//! a group or as a column again.

use offtake_plugin_streams::{Names, Rewrite, put_text};
use offtake_sdk::{Failure, Value};

/// A name that is still to be made, for every table.
#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    /// Text with the groups of the table's name.
    Table(Rewrite),
    Column(String),
}

/// A name that is still to be made, for the rows of one table.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Column(String),
}

impl Template {
    /// Reads a text. `table`: the expression that a table's name has to match.
    ///
    /// # Errors
    /// Which of both is wrong (`true`: the expression), and why.
    pub(crate) fn new(table: &str, text: &str) -> Result<Template, (bool, String)> {
        let rewrite = |replacement: &str| {
            Rewrite::new(table, replacement).map_err(|reason| {
                let reason = reason.replace("`regex`", "`table`");
                (reason.starts_with("is no regular"), reason)
            })
        };
        // Also where the text has no other piece.
        let mut pieces = vec![Piece::Table(rewrite("")?)];
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => {
                    literal.push(character);
                    literal.extend(rest.next());
                }
                '$' if rest.as_str().starts_with('{') => {
                    literal.push(character);
                    for next in rest.by_ref() {
                        literal.push(next);
                        if next == '}' {
                            break;
                        }
                    }
                }
                '{' => {
                    let (name, behind) = rest.as_str().split_once('}').unwrap_or_default();
                    if name.is_empty() {
                        let reason = "has a brace without a column: write {column}, or \\{";
                        return Err((false, reason.to_owned()));
                    }
                    pieces.push(Piece::Table(rewrite(&literal)?));
                    pieces.push(Piece::Column(name.to_owned()));
                    literal.clear();
                    rest = behind.chars();
                }
                other => literal.push(other),
            }
        }
        pieces.push(Piece::Table(rewrite(&literal)?));
        Ok(Template { pieces })
    }

    /// The name for the rows of a table; `None`: the expression does not match its name.
    pub(crate) fn of(&self, table: &str) -> Option<Pieces> {
        let part = |piece: &Piece| match piece {
            Piece::Table(rewrite) => rewrite.apply(table).map(Part::Text),
            Piece::Column(name) => Some(Part::Column(name.clone())),
        };
        Some(Pieces { pieces: self.pieces.iter().map(part).collect::<Option<_>>()? })
    }

    /// Whether the row has a part in it.
    pub(crate) fn has_columns(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Column(_)))
    }
}

impl Pieces {
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    pub(crate) fn is_constant(&self) -> bool {
        self.columns().next().is_none()
    }

    /// The name of a stream that no row has a part in.
    pub(crate) fn constant(&self, names: Names) -> Result<String, Failure> {
        let name = self.fill(|_| Err(String::new())).map_err(Failure::permanent)?;
        names.stream(name).map_err(Failure::permanent)
    }

    /// The name for one row.
    pub(crate) fn fill<'v>(
        &self,
        value: impl Fn(&str) -> Result<Value<'v>, String>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.pieces {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Column(name) => {
                    if !put_text(&mut out, value(name)?) {
                        return Err(format!("column {name} is bytes, which name no stream"));
                    }
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(table: &str, text: &str) -> String {
        let template = Template::new(table, text).expect("it is one");
        let pieces = template.of("public.orders").expect("it matches");
        let value = |name: &str| match name {
            "country" => Ok(Value::Text("DE")),
            "odd" => Ok(Value::Text("{country}$1")),
            "number" => Ok(Value::Integer(-7)),
            "digest" => Ok(Value::Bytes(&[1])),
            _ => Err(format!("no {name}")),
        };
        pieces.fill(value).unwrap_or_else(|reason| format!("failed: {reason}"))
    }

    #[test]
    fn groups_and_columns_are_put_in_and_values_stay_what_they_are() {
        assert_eq!(filled(r"public\.(?<t>\w+)", "a.{country}.${t}.$1"), "a.DE.orders.orders");
        assert_eq!(filled("(.*)", "{odd}{number}"), "{country}$1-7");
        assert_eq!(filled("(.*)", r"\{country}\$1"), "{country}$1");
        assert_eq!(
            filled("(.*)", "{digest}"),
            "failed: column digest is bytes, which name no stream"
        );
        assert_eq!(filled("(.*)", "x{none}"), "failed: no none");
    }

    #[test]
    fn a_table_of_another_name_is_not_meant() {
        assert!(Template::new("orders", "{a}").expect("right").of("public.orders").is_none());
        let empty = Template::new("a.*", "").expect("right");
        assert!(empty.of("b").is_none() && empty.of("a").is_some());
    }

    #[test]
    fn what_is_wrong_is_said_of_the_right_key() {
        let refused = |table, text| Template::new(table, text).expect_err("it was accepted");
        assert!(refused("(", "a").0);
        assert_eq!(refused("a", "$1").1, "names the group 1, which `table` does not have");
        for text in ["{", "a{}", "{a"] {
            assert!(refused("a", text).1.starts_with("has a brace without a column"), "{text}");
        }
    }
}
