//! What is wrong with an expression, where, and what would be right.

use std::fmt;

use crate::Span;

/// Characters of the source's line that a report shows on either side of the mistake.
const CONTEXT: usize = 60;

/// Characters of the source from the mistake on that a message in one line shows.
const EXCERPT: usize = 24;

/// Kinds of mistakes. The words of [`Code::as_str`] are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Longer than [`crate::MAX_LENGTH`].
    TooLong,
    /// Nested deeper than [`crate::MAX_DEPTH`].
    TooDeep,
    /// A character that begins nothing.
    Character,
    /// A text or a name in quotes without an end, or an empty name.
    Quotes,
    /// A number or a text that is not written as its type is.
    Literal,
    /// A word or sign in the wrong place.
    Syntax,
    /// No such function, or not with these arguments.
    Function,
    /// No such metadata.
    Metadata,
    /// The table has no such column.
    Column,
    /// Types that do not go together.
    Type,
}

impl Code {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::TooLong => "EXPRESSION_TOO_LONG",
            Code::TooDeep => "EXPRESSION_TOO_DEEP",
            Code::Character => "EXPRESSION_CHARACTER",
            Code::Quotes => "EXPRESSION_QUOTES",
            Code::Literal => "EXPRESSION_LITERAL",
            Code::Syntax => "EXPRESSION_SYNTAX",
            Code::Function => "EXPRESSION_FUNCTION",
            Code::Metadata => "EXPRESSION_METADATA",
            Code::Column => "EXPRESSION_COLUMN",
            Code::Type => "EXPRESSION_TYPE",
        }
    }
}

/// A mistake in an expression. `Display` gives the message, the hint and the place in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    hint: Option<String>,
    at: Span,
    line: usize,
    column: usize,
}

impl Error {
    /// A mistake at a place of `source`.
    pub(crate) fn new(code: Code, source: &str, at: Span, message: impl Into<String>) -> Error {
        let before = source.get(..at.start).unwrap_or(source);
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error {
            code,
            message: message.into(),
            hint: None,
            at,
            line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + before.get(begin..).unwrap_or_default().chars().count(),
        }
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The kind of mistake.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, where there is more to say than the message does.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The place in bytes of the source.
    pub fn span(&self) -> Span {
        self.at
    }

    /// The line of the source, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character in its line, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The code, the message, the place with the beginning of what stands there, and the hint in one
    /// line, for logs and for messages of plugins. `source` is the text that was parsed.
    pub fn in_one_line(&self, source: &str) -> String {
        let rest = source.get(self.at.start..).unwrap_or_default();
        let rest = rest.lines().next().unwrap_or_default().trim_end();
        let excerpt: String = rest.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
        let more = if excerpt.len() < rest.len() { "…" } else { "" };
        let mut line = format!(
            "{}: {} (line {}, column {}",
            self.code.as_str(),
            self.message,
            self.line,
            self.column
        );
        match excerpt.is_empty() {
            true => line.push_str(", at the end)"),
            false => line.extend([": ", &excerpt, more, ")"]),
        }
        if let Some(hint) = &self.hint {
            line.extend(["; ", hint]);
        }
        line
    }

    /// The message, the line of the source with a caret under the place, and the hint. `source` is
    /// the text that was parsed; of a long line only the surroundings are shown.
    pub fn report(&self, source: &str) -> String {
        let line = source.lines().nth(self.line - 1).unwrap_or_default();
        let shown = |character: char| if character.is_control() { ' ' } else { character };
        let skipped = (self.column - 1).saturating_sub(CONTEXT);
        let cut = if skipped > 0 { "…" } else { "" };
        let window: String =
            line.chars().map(shown).skip(skipped).take(2 * CONTEXT).collect::<String>();
        let rest = if line.chars().count() > skipped + 2 * CONTEXT { "…" } else { "" };
        let indent = self.column - 1 - skipped + cut.chars().count();
        let length = source.get(self.at.start..self.at.end).unwrap_or_default();
        let length = length.lines().next().unwrap_or_default().chars().count();
        let carets =
            length.clamp(1, (2 * CONTEXT).saturating_sub(self.column - 1 - skipped).max(1));
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut report = format!(
            "{} (line {}, column {})\n{number} | {cut}{window}{rest}\n{margin} | {}{}",
            self.message,
            self.line,
            self.column,
            " ".repeat(indent),
            "^".repeat(carets),
        );
        if let Some(hint) = &self.hint {
            report.push_str("\nhint: ");
            report.push_str(hint);
        }
        report
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (line {}, column {})", self.message, self.line, self.column)?;
        match &self.hint {
            Some(hint) => write!(out, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_the_line_with_a_caret_under_the_place() {
        let source = "a = 1\n  and größe = 'x'";
        let at = source.find("größe").unwrap();
        let span = Span { start: at, end: at + "größe".len() };
        let error = Error::new(Code::Column, source, span, "no such column").hint("look again");
        assert_eq!((error.line(), error.column()), (2, 7));
        assert_eq!(
            error.report(source),
            "no such column (line 2, column 7)\n2 |   and größe = 'x'\n  |       ^^^^^\nhint: look again"
        );
        assert_eq!(error.to_string(), "no such column (line 2, column 7); look again");
    }

    #[test]
    fn a_report_of_a_long_line_shows_the_surroundings_only() {
        let source = format!("{}?{}", "x".repeat(30_000), "y".repeat(30_000));
        let span = Span { start: 30_000, end: 30_001 };
        let report = Error::new(Code::Character, &source, span, "unexpected").report(&source);
        assert!(report.len() < 400, "{report}");
        let mut lines = report.lines().skip(1);
        let (text, carets) = (lines.next().unwrap(), lines.next().unwrap());
        let at = |line: &str, wanted: char| line.chars().position(|c| c == wanted);
        assert_eq!(at(text, '?'), at(carets, '^'));
    }

    #[test]
    fn one_line_has_the_code_and_the_beginning_of_what_stands_there() {
        let source = format!("a = 1\n  and größe\t= {}", "x".repeat(60_000));
        let at = source.find("größe").unwrap();
        let error =
            Error::new(Code::Column, &source, Span { start: at, end: at + 7 }, "no such column");
        assert_eq!(
            error.hint("look again").in_one_line(&source),
            "EXPRESSION_COLUMN: no such column (line 2, column 7: größe= xxxxxxxxxxxxxxxxx…); look again"
        );
        let error = Error::new(Code::Syntax, "a =", Span { start: 3, end: 3 }, "expected a value");
        assert_eq!(
            error.in_one_line("a ="),
            "EXPRESSION_SYNTAX: expected a value (line 1, column 4, at the end)"
        );
    }

    #[test]
    fn a_place_at_the_end_has_one_caret_behind_the_text() {
        let error =
            Error::new(Code::Syntax, "a =", Span { start: 3, end: 3 }, "something is missing");
        assert_eq!(
            error.report("a ="),
            "something is missing (line 1, column 4)\n1 | a =\n  |    ^"
        );
    }
}
