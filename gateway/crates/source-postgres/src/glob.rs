//! Table globs of the configuration: which tables a source takes.
//!
//! A glob is `schema.table` or, in the schema `public`, `table` alone. In both parts `*` stands for
//! any characters and `?` for one; a part in double quotes is taken literally, with `""` for a
//! quote, so that `"Weird.Name*"` names one table. Names are compared as they are in the catalogue:
//! nothing is folded to lower case. The server's own schemas (`pg_…`, `information_schema`) never
//! match, for their tables cannot be published.

/// A glob that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table glob {glob:?} {reason}")]
pub struct GlobError {
    /// The glob as configured.
    pub glob: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl GlobError {
    /// The error's stable code.
    pub fn code(&self) -> &'static str {
        "PG_TABLE_GLOB"
    }

    /// What an operator does about it.
    pub fn next_step(&self) -> &'static str {
        "write it as schema.table with * and ?, and put a name with a dot, a star or a question \
         mark of its own in double quotes"
    }
}

/// Which tables are taken: those that match one of the globs and none of the excluded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<TableGlob>,
    exclude: Vec<TableGlob>,
}

impl Selection {
    /// Reads the globs to take and to leave out.
    ///
    /// # Errors
    /// The first glob that cannot be read.
    pub fn new(
        include: &[impl AsRef<str>],
        exclude: &[impl AsRef<str>],
    ) -> Result<Selection, GlobError> {
        Ok(Selection { include: parse_all(include)?, exclude: parse_all(exclude)? })
    }

    /// Whether the table is taken.
    pub fn matches(&self, namespace: &str, table: &str) -> bool {
        let any = |globs: &[TableGlob]| globs.iter().any(|glob| glob.matches(namespace, table));
        !is_reserved(namespace) && any(&self.include) && !any(&self.exclude)
    }

    /// Whether the table is left out by a glob of its own, whatever takes it.
    pub(crate) fn excludes(&self, namespace: &str, table: &str) -> bool {
        self.exclude.iter().any(|glob| glob.matches(namespace, table))
    }

    /// Whether a glob without a wildcard takes the table: whoever wrote it knows the name.
    pub(crate) fn names(&self, namespace: &str, table: &str) -> bool {
        self.include.iter().any(|glob| glob.one_table().is_some() && glob.matches(namespace, table))
    }
}

/// The glob that takes one table alone, as the configuration writes it.
pub(crate) fn literal_glob(namespace: &str, table: &str) -> String {
    let part = |name: &str| {
        let plain = |character: char| character.is_alphanumeric() || "_-$".contains(character);
        if name.chars().all(plain) {
            name.to_owned()
        } else {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    };
    format!("{}.{}", part(namespace), part(table))
}

/// One glob over `schema.table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableGlob {
    namespace: Vec<Token>,
    table: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    AnyOne,
    /// `*`
    AnyMany,
}

impl TableGlob {
    /// Reads a glob.
    ///
    /// # Errors
    /// An empty part, an open quote, text after a closing quote, or more than two parts.
    pub fn parse(glob: &str) -> Result<TableGlob, GlobError> {
        let error = |reason| GlobError { glob: glob.to_owned(), reason };
        let mut parts = parts(glob).map_err(error)?;
        let table = parts.pop().unwrap_or_default();
        let namespace = match parts.pop() {
            None => "public".chars().map(Token::Literal).collect(),
            Some(namespace) => namespace,
        };
        if !parts.is_empty() {
            return Err(error("has more than two parts"));
        }
        if table.is_empty() || namespace.is_empty() {
            return Err(error("has an empty part"));
        }
        Ok(TableGlob { namespace, table })
    }

    /// Schema and name of the one table that a glob without a wildcard takes.
    pub(crate) fn one_table(&self) -> Option<(String, String)> {
        let literal = |tokens: &[Token]| -> Option<String> {
            let characters = tokens.iter().map(|token| match token {
                Token::Literal(character) => Some(*character),
                Token::AnyOne | Token::AnyMany => None,
            });
            characters.collect()
        };
        Some((literal(&self.namespace)?, literal(&self.table)?))
    }

    /// Whether the glob takes the table.
    pub fn matches(&self, namespace: &str, table: &str) -> bool {
        part_matches(&self.namespace, namespace) && part_matches(&self.table, table)
    }
}

fn parse_all(globs: &[impl AsRef<str>]) -> Result<Vec<TableGlob>, GlobError> {
    globs.iter().map(|glob| TableGlob::parse(glob.as_ref())).collect()
}

/// Splits a glob at its unquoted dots.
fn parts(glob: &str) -> Result<Vec<Vec<Token>>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = glob.chars().peekable();
    loop {
        let mut part = Vec::new();
        if rest.next_if_eq(&'"').is_some() {
            loop {
                match rest.next() {
                    None => return Err("has a quote that is not closed"),
                    Some('"') if rest.next_if_eq(&'"').is_none() => break,
                    Some(character) => part.push(Token::Literal(character)),
                }
            }
            if rest.peek().is_some_and(|&next| next != '.') {
                return Err("has text after a closing quote");
            }
        } else {
            while let Some(character) = rest.next_if(|&next| next != '.') {
                part.push(match character {
                    '*' => Token::AnyMany,
                    '?' => Token::AnyOne,
                    '"' => return Err("has a quote inside a name"),
                    other => Token::Literal(other),
                });
            }
        }
        parts.push(part);
        if rest.next().is_none() {
            return Ok(parts);
        }
    }
}

/// Matches without recursion: on a mismatch the last `*` takes one character more. At most
/// length of glob times length of name steps.
fn part_matches(glob: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at_glob, mut at_name) = (0, 0);
    let mut last_star = None;
    while let Some(&character) = name.get(at_name) {
        match glob.get(at_glob) {
            Some(Token::AnyMany) => {
                last_star = Some((at_glob, at_name));
                at_glob += 1;
            }
            Some(Token::AnyOne) => (at_glob, at_name) = (at_glob + 1, at_name + 1),
            Some(&Token::Literal(expected)) if expected == character => {
                (at_glob, at_name) = (at_glob + 1, at_name + 1);
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                (at_glob, at_name) = (star + 1, taken + 1);
            }
        }
    }
    glob.get(at_glob..).unwrap_or_default().iter().all(|token| *token == Token::AnyMany)
}

/// Schemas whose names the server keeps for itself.
fn is_reserved(namespace: &str) -> bool {
    namespace.starts_with("pg_") || namespace == "information_schema"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, namespace: &str, table: &str) -> bool {
        TableGlob::parse(glob).unwrap().matches(namespace, table)
    }

    #[test]
    fn a_glob_without_a_dot_is_in_public() {
        assert!(matches("orders", "public", "orders"));
        assert!(!matches("orders", "sales", "orders"));
        assert!(matches("*", "public", "anything"));
        assert!(!matches("*", "sales", "anything"));
    }

    #[test]
    fn stars_and_question_marks_match_in_both_parts() {
        for (glob, namespace, table) in [
            ("public.*", "public", "orders"),
            ("*.orders", "sales", "orders"),
            ("*.*", "sales", "orders"),
            ("s?les.ord*", "sales", "orders"),
            ("public.*_2024_*", "public", "orders_2024_01"),
            ("public.a*b*c", "public", "aXbXbc"),
            ("public.gr??e", "public", "größe"),
            ("größe.*ß*", "größe", "maß"),
        ] {
            assert!(matches(glob, namespace, table), "{glob} takes {namespace}.{table}");
        }
        for (glob, namespace, table) in [
            ("public.order", "public", "orders"),
            ("public.orders?", "public", "orders"),
            ("public.a*b", "public", "abc"),
            ("Public.*", "public", "orders"),
            ("public.?", "public", ""),
        ] {
            assert!(!matches(glob, namespace, table), "{glob} leaves {namespace}.{table}");
        }
    }

    #[test]
    fn quoted_parts_are_literal() {
        assert!(matches(r#"public."Weird.Name""#, "public", "Weird.Name"));
        assert!(matches(r#""a.b"."c""d""#, "a.b", "c\"d"));
        assert!(matches(r#""*""#, "public", "*"));
        assert!(!matches(r#""*""#, "public", "orders"));
        assert!(matches(r#""My Schema".*"#, "My Schema", "x"));
    }

    #[test]
    fn globs_that_cannot_be_read_say_why() {
        for (glob, reason) in [
            ("", "has an empty part"),
            ("public.", "has an empty part"),
            (".orders", "has an empty part"),
            ("a.b.c", "has more than two parts"),
            ("\"open", "has a quote that is not closed"),
            ("\"a\"b", "has text after a closing quote"),
            ("a\"b\"", "has a quote inside a name"),
        ] {
            let error = TableGlob::parse(glob).unwrap_err();
            assert_eq!(error.reason, reason, "{glob}");
            assert_eq!(error.code(), "PG_TABLE_GLOB");
        }
    }

    #[test]
    fn exclusion_wins_and_system_schemas_never_match() {
        let selection = Selection::new(&["public.*", "*.orders"], &["public.tmp_*"]).unwrap();
        assert!(selection.matches("public", "orders"));
        assert!(selection.matches("sales", "orders"));
        assert!(!selection.matches("public", "tmp_orders"));
        assert!(!selection.matches("sales", "lines"));
        let everything = Selection::new(&["*.*"], &[] as &[&str]).unwrap();
        assert!(everything.matches("public", "pg_like"));
        assert!(!everything.matches("pg_catalog", "pg_class"));
        assert!(!everything.matches("information_schema", "tables"));
    }

    #[test]
    fn one_table_is_named_by_a_glob_that_reads_back() {
        for (namespace, table) in [("public", "orders"), ("My Schema", "a.b*\"c"), ("größe", "x")]
        {
            let glob = literal_glob(namespace, table);
            let selection = Selection::new(std::slice::from_ref(&glob), &[] as &[&str]).unwrap();
            assert!(selection.names(namespace, table), "{glob}");
        }
        assert_eq!(literal_glob("public", "a.b"), r#"public."a.b""#);
        let selection = Selection::new(&["public.*", "far.x"], &["public.out"]).unwrap();
        assert!(!selection.names("public", "orders") && selection.names("far", "x"));
        assert!(selection.excludes("public", "out") && !selection.excludes("far", "x"));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let glob = format!("public.{}b", "a*".repeat(40));
        assert!(!matches(&glob, "public", &"a".repeat(2_000)));
    }
}
