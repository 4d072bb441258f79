//! What is wrong with a configuration file, and how it is shown.
//!
//! All findings are collected, sorted by place and rendered in the shape that rustc made familiar:
//! code and message, `file:line:column`, the line with a caret, what to do. Lines are printed
//! without the secrets in them (`redact.rs`) and without control characters.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use crate::redact;

/// How many characters of a line are shown; a longer one is cut around the caret.
const LINE_CHARS: usize = 160;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The gateway does not start.
    Error,
    /// Allowed, but probably a mistake.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code such as `CONFIG_UNKNOWN_KEY`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// Bytes of the file that it is about; `None` when it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// What to do, where there is a proposal.
    pub help: Option<String>,
}

/// The findings about one file, in the order of the file.
#[derive(Clone)]
pub struct Diagnostics {
    file: String,
    text: Arc<str>,
    hidden: Vec<Range<usize>>,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Findings about a file; `hidden` are the byte ranges of `text` that are never shown.
    pub(crate) fn new(
        file: &str,
        text: &str,
        hidden: Vec<Range<usize>>,
        mut items: Vec<Diagnostic>,
    ) -> Diagnostics {
        items.sort_by_key(|item| {
            let start = item.span.as_ref().map_or(0, |span| span.start);
            (start, item.severity, item.code, item.message.clone())
        });
        items.dedup();
        Diagnostics {
            file: file.to_owned(),
            text: text.into(),
            hidden: redact::merge(hidden),
            items,
        }
    }

    /// Other findings about the same file; `hidden` are further ranges that are never shown.
    pub(crate) fn of_same_file(
        &self,
        items: Vec<Diagnostic>,
        hidden: Vec<Range<usize>>,
    ) -> Diagnostics {
        let hidden = self.hidden.iter().cloned().chain(hidden).collect();
        Diagnostics::new(&self.file, &self.text, hidden, items)
    }

    /// A place as `file:line:column`; the file alone where there is none.
    pub(crate) fn place_of(&self, span: Option<&Range<usize>>) -> String {
        let file = clean(&self.file);
        let Some(span) = span else { return file };
        let (line, column) = self.line_column(span.start);
        format!("{file}:{line}:{column}")
    }

    /// These findings and others about the same file.
    pub fn and(&self, others: &Diagnostics) -> Diagnostics {
        let items = others.items.iter().chain(&self.items).cloned().collect();
        self.of_same_file(items, others.hidden.clone())
    }

    /// The findings.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity == severity).count()
    }

    /// Line and column, both from 1 and the column in characters, of a byte of the file.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let (number, start) = self.line_start(at);
        (number, self.text.get(start..at).unwrap_or("").chars().count() + 1)
    }

    /// All findings as text for a person, with a summary line; `color` adds ANSI colours.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for item in &self.items {
            self.render_item(&mut out, item, &Paint { color });
            out.push('\n');
        }
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(count(errors, "error"));
        }
        if warnings > 0 {
            parts.push(count(warnings, "warning"));
        }
        if !parts.is_empty() {
            out.push_str(&format!("{}: {}\n", clean(&self.file), parts.join(", ")));
        }
        out
    }

    fn render_item(&self, out: &mut String, item: &Diagnostic, paint: &Paint) {
        let severity = paint.severity(item.severity);
        let message = paint.bold(&clean(&item.message));
        // Writing into a String cannot fail, here and below.
        let _ = writeln!(out, "{severity}{}: {message}", paint.bold(&format!("[{}]", item.code)));
        let Some(span) = &item.span else {
            let _ = writeln!(out, "  {} {}", paint.dim("-->"), clean(&self.file));
            if let Some(help) = &item.help {
                let _ = writeln!(out, "   {} help: {}", paint.dim("="), clean(help));
            }
            return;
        };
        let (line, _) = self.line_column(span.start);
        let shown = self.shown_line(span);
        let gutter = " ".repeat(line.to_string().len());
        let bar = paint.dim("|");
        let place = self.place_of(Some(span));
        let _ = writeln!(out, "{gutter} {} {place}", paint.dim("-->"));
        let _ = writeln!(out, "{gutter}  {bar}");
        let _ = writeln!(out, "{} {bar} {}", paint.dim(&format!(" {line}")), shown.text);
        let carets = paint.caret(&"^".repeat(shown.length), item.severity);
        let _ = writeln!(out, "{gutter}  {bar} {}{carets}", " ".repeat(shown.start));
        if let Some(help) = &item.help {
            let _ = writeln!(out, "{gutter}  {} help: {}", paint.dim("="), clean(help));
        }
    }

    /// The number (from 1) and first byte of the line that holds a byte.
    fn line_start(&self, at: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let number = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        (number, before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1))
    }

    fn shown_line(&self, span: &Range<usize>) -> ShownLine {
        let (_, start) = self.line_start(span.start);
        let rest = self.text.get(start..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let mut hidden = redact::hidden(line);
        let end = start + line.len();
        for range in &self.hidden {
            if range.start < end && range.end > start {
                hidden.push(range.start.max(start) - start..range.end.min(end) - start);
            }
        }
        let hidden = redact::merge(hidden);
        let marked = span.start - start..(span.end - start).min(line.len());
        ShownLine::new(line, &hidden, &marked)
    }
}

/// A line as it is printed and where its carets stand, in characters.
struct ShownLine {
    text: String,
    start: usize,
    length: usize,
}

impl ShownLine {
    fn new(line: &str, hidden: &[Range<usize>], marked: &Range<usize>) -> ShownLine {
        let mut text: Vec<char> = Vec::new();
        let (mut start, mut end) = (None, None);
        for (at, character) in line.char_indices() {
            let secret = hidden.iter().find(|range| range.contains(&at));
            if at >= marked.start && start.is_none() {
                start = Some(text.len());
            }
            match secret {
                Some(range) if range.start == at => text.extend("***".chars()),
                Some(_) => {}
                None => text.push(if character.is_control() { ' ' } else { character }),
            }
            if at < marked.end {
                end = Some(text.len());
            }
        }
        let start = start.unwrap_or(text.len());
        let end = end.unwrap_or(start).max(start);
        if text.len() <= LINE_CHARS {
            return ShownLine { text: text.iter().collect(), start, length: (end - start).max(1) };
        }
        let from = start.saturating_sub(LINE_CHARS / 4).min(text.len() - LINE_CHARS);
        let to = (from + LINE_CHARS).min(text.len());
        let lead = if from > 0 { "…" } else { "" };
        let trail = if to < text.len() { "…" } else { "" };
        ShownLine {
            text: format!("{lead}{}{trail}", text[from..to].iter().collect::<String>()),
            start: start - from + lead.chars().count(),
            length: end.min(to).saturating_sub(start).max(1),
        }
    }
}

/// Text from the file or the system without control characters, so that it cannot steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

struct Paint {
    color: bool,
}

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(&self, severity: Severity) -> String {
        match severity {
            Severity::Error => self.wrap("1;31", "error"),
            Severity::Warning => self.wrap("1;33", "warning"),
        }
    }

    fn caret(&self, text: &str, severity: Severity) -> String {
        self.wrap(if severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }

    fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.wrap("34", text)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostics {
    /// As it is rendered: the file's text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
