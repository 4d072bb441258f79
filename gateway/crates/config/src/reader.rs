//! Walks a parsed TOML document and collects what is wrong instead of stopping at the first.
//!
//! A [`Section`] is one table whose keys are documented: it reports unknown keys when it is made,
//! and each getter reports a value of the wrong kind and answers `None`, so that reading goes on.
//! What the values mean together is judged in `sections.rs` and `routes.rs`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Severity};
use crate::keys::{self, Kind};
use crate::redact;
use crate::reference::{self, Sources};
use crate::secret::Secret;
use crate::suggest;
use crate::unit;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    /// Its bytes in the file.
    pub(crate) span: Range<usize>,
}

/// What is shared while one file is read.
pub(crate) struct Context<'a> {
    text: &'a str,
    /// Where references find their values.
    pub(crate) sources: Sources<'a>,
    found: RefCell<Vec<Diagnostic>>,
    hidden: RefCell<Vec<Range<usize>>>,
    asked: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl<'a> Context<'a> {
    /// Starts on a file's text.
    pub(crate) fn new(text: &'a str, sources: Sources<'a>) -> Context<'a> {
        Context {
            text,
            sources,
            found: RefCell::default(),
            hidden: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Adds an error.
    pub(crate) fn error(
        &self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), help);
    }

    /// Adds a warning.
    pub(crate) fn warning(
        &self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), help);
    }

    fn add(
        &self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let start = floor(self.text, span.start);
        let end = floor(self.text, span.end).max(start);
        let span = Some(start..end);
        self.found.borrow_mut().push(Diagnostic { code, severity, message, span, help });
    }

    /// Keeps a part of the file out of every rendering.
    pub(crate) fn hide(&self, span: &Range<usize>) {
        self.hidden.borrow_mut().push(span.clone());
    }

    /// What was found, what is to be hidden, and which keys were asked for.
    pub(crate) fn into_parts(self) -> Found {
        Found {
            diagnostics: self.found.into_inner(),
            hidden: self.hidden.into_inner(),
            #[cfg(test)]
            asked: self.asked.into_inner(),
        }
    }

    /// Resolves the references of a value that may hold a secret.
    pub(crate) fn resolve(&self, raw: &At<String>, url: bool) -> Option<Secret> {
        match reference::resolve(&raw.value, url, &self.sources) {
            Ok(text) => Some(Secret::new(text)),
            Err(failed) => {
                for unresolved in failed {
                    let span = self.part_of(&raw.span, &unresolved.reference);
                    let message = format!("`{}`: {}", unresolved.reference, unresolved.reason);
                    self.error("CONFIG_SECRET_UNRESOLVED", &span, message, Some(unresolved.help));
                }
                None
            }
        }
    }

    /// Where `part` stands inside a span; the whole span when escapes hide it.
    pub(crate) fn part_of(&self, span: &Range<usize>, part: &str) -> Range<usize> {
        match self.text.get(span.clone()).and_then(|raw| raw.find(part)) {
            Some(at) => span.start + at..span.start + at + part.len(),
            None => span.clone(),
        }
    }
}

/// What reading a file gave beside the configuration.
pub(crate) struct Found {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) hidden: Vec<Range<usize>>,
    /// For the test that holds table and parser together.
    #[cfg(test)]
    pub(crate) asked: BTreeSet<(&'static str, &'static str)>,
}

/// One table whose keys are documented.
pub(crate) struct Section<'c, 'd> {
    /// The file.
    pub(crate) context: &'c Context<'c>,
    /// Where the table stands: its header, or its braces.
    pub(crate) span: Range<usize>,
    path: &'static str,
    table: Option<&'d DeTable<'d>>,
}

impl<'c, 'd> Section<'c, 'd> {
    /// Takes a table and reports its unknown keys; `None` stands for a table that is left out.
    pub(crate) fn new(
        context: &'c Context<'c>,
        path: &'static str,
        table: Option<&'d DeTable<'d>>,
        span: Range<usize>,
    ) -> Section<'c, 'd> {
        let section = Section { context, span, path, table };
        for (key, _) in table.into_iter().flatten() {
            if keys::find(path, key.get_ref()).is_none() {
                section.unknown_key(key.get_ref(), &key.span());
            }
        }
        section
    }

    /// The table as it is called in messages.
    pub(crate) fn header(&self) -> &'static str {
        keys::header(self.path)
    }

    /// A key's value, whatever it is.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        debug_assert!(keys::find(self.path, name).is_some(), "{}.{name} is documented", self.path);
        self.context.asked.borrow_mut().insert((self.path, name));
        let entries = self.table?.iter();
        entries.into_iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    /// Where a key's value stands; the table itself when it is left out.
    pub(crate) fn span_of(&self, name: &'static str) -> Range<usize> {
        self.get(name).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Where a key itself stands; the table where it is left out.
    pub(crate) fn span_of_key(&self, name: &'static str) -> Range<usize> {
        let mut entries = self.table.into_iter().flatten();
        let found = entries.find(|(key, _)| key.get_ref() == name);
        found.map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    /// Text that may hold references, unresolved.
    pub(crate) fn raw_text(&self, name: &'static str) -> Option<At<String>> {
        let value = self.get(name)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.to_string(), span: value.span() }),
            other => self.wrong_kind(name, &value.span(), other),
        }
    }

    /// Text, in which a reference is a mistake.
    pub(crate) fn text(&self, name: &'static str) -> Option<At<String>> {
        let text = self.raw_text(name)?;
        self.no_reference(&text, name).then_some(text)
    }

    /// A list of texts; `None` when the key is left out or is no list.
    pub(crate) fn texts(&self, name: &'static str) -> Option<At<Vec<At<String>>>> {
        let value = self.get(name)?;
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_kind(name, &value.span(), value.get_ref());
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => {
                    let text = At { value: text.to_string(), span: item.span() };
                    if self.no_reference(&text, name) {
                        texts.push(text);
                    }
                }
                other => self.context.error(
                    "CONFIG_WRONG_TYPE",
                    &item.span(),
                    format!("`{name}` lists texts, and this is {}", kind_of(other)),
                    None,
                ),
            }
        }
        Some(At { value: texts, span: value.span() })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.wrong_kind(name, &value.span(), other),
        }
    }

    /// A whole number in a range.
    pub(crate) fn number(&self, name: &'static str, range: RangeInclusive<i32>) -> Option<i32> {
        let value = self.get(name)?;
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_kind(name, &value.span(), value.get_ref());
        };
        let parsed = i32::from_str_radix(number.as_str(), number.radix()).ok();
        let within = parsed.filter(|number| range.contains(number));
        if within.is_none() {
            let (least, most) = range.into_inner();
            let message = format!("`{name}` must be from {least} to {most}");
            self.context.error("CONFIG_OUT_OF_RANGE", &value.span(), message, None);
        }
        within
    }

    /// A duration in a range.
    pub(crate) fn duration(
        &self,
        name: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.text(name)?;
        let parsed = match unit::duration(&text.value) {
            Ok(duration) => duration,
            Err(reason) => return self.bad("CONFIG_BAD_DURATION", name, &text, &reason),
        };
        if range.contains(&parsed) {
            return Some(parsed);
        }
        let (least, most) = range.into_inner();
        self.out_of_range(name, &text, unit::show_duration(least), unit::show_duration(most))
    }

    /// A size in a range, in bytes.
    pub(crate) fn size(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(name)?;
        let parsed = match unit::size(&text.value) {
            Ok(size) => size,
            Err(reason) => return self.bad("CONFIG_BAD_SIZE", name, &text, &reason),
        };
        if range.contains(&parsed) {
            return Some(parsed);
        }
        let (least, most) = range.into_inner();
        self.out_of_range(name, &text, unit::show_size(least), unit::show_size(most))
    }

    /// One of the key's words.
    pub(crate) fn choice(&self, name: &'static str) -> Option<At<&'static str>> {
        let text = self.text(name)?;
        self.word(name, text)
    }

    /// One of the key's words, as what it stands for.
    pub(crate) fn one_of<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let given = self.choice(name)?;
        words.iter().find(|(word, _)| *word == given.value).map(|(_, value)| *value)
    }

    /// A list of the key's words, each once.
    pub(crate) fn choices(&self, name: &'static str) -> Option<At<Vec<At<&'static str>>>> {
        let list = self.texts(name)?;
        let mut words: Vec<At<&'static str>> = Vec::with_capacity(list.value.len());
        for text in list.value {
            let Some(word) = self.word(name, text) else { continue };
            if words.iter().any(|known| known.value == word.value) {
                let message = format!("\"{}\" stands twice in `{name}`", word.value);
                self.context.error("CONFIG_BAD_VALUE", &word.span, message, None);
            }
            words.push(word);
        }
        Some(At { value: words, span: list.span })
    }

    /// A text as one of the key's words.
    fn word(&self, name: &'static str, text: At<String>) -> Option<At<&'static str>> {
        let (words, many) = match keys::find(self.path, name).map(|key| key.kind) {
            Some(Kind::Choice(words)) => (words, false),
            Some(Kind::Choices(words)) => (words, true),
            _ => (&[][..], false),
        };
        if let Some(word) = words.iter().find(|word| **word == text.value) {
            return Some(At { value: word, span: text.span });
        }
        let all = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let near = suggest::nearest(&text.value, words.iter().copied());
        let help = match (name, text.value.as_str(), near) {
            ("format", "debezium", _) => Some("did you mean \"debezium_json\"?".to_owned()),
            (_, _, Some(word)) => Some(format!("did you mean \"{word}\"?")),
            ("snapshot", "no_data" | "schema_only" | "none", _) => {
                Some("this is called \"never\" here".to_owned())
            }
            ("type", "mysql" | "mariadb", _) => {
                Some("this version reads no other database".to_owned())
            }
            _ => None,
        };
        let message = match many {
            true => format!("`{name}` lists {all}"),
            false => format!("`{name}` must be {all}"),
        };
        self.context.error("CONFIG_BAD_VALUE", &text.span, message, help);
        None
    }

    /// A documented table below this one; one that is left out reads as empty.
    pub(crate) fn section(&self, name: &'static str, path: &'static str) -> Section<'c, 'd> {
        let table = self.get(name).and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some((table, value.span())),
            other => self.wrong_kind(name, &value.span(), other),
        });
        match table {
            Some((table, span)) => Section::new(self.context, path, Some(table), span),
            None => Section::new(self.context, path, None, self.span.clone()),
        }
    }

    /// The tables of a list of tables, in the order of the file. `what` is one of them.
    pub(crate) fn sections(
        &self,
        name: &'static str,
        path: &'static str,
        what: &'static str,
    ) -> Vec<Section<'c, 'd>> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_kind::<()>(name, &value.span(), value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let span = table_span(table, &item.span());
                    sections.push(Section::new(self.context, path, Some(table), span));
                }
                other => self.context.error(
                    "CONFIG_WRONG_TYPE",
                    &item.span(),
                    format!("{what} is a table, and this is {}", kind_of(other)),
                    None,
                ),
            }
        }
        sections
    }

    /// A table whose keys are not ours, in the order of the file.
    pub(crate) fn free(&self, name: &'static str) -> Vec<(At<String>, &'d Spanned<DeValue<'d>>)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_kind::<()>(name, &value.span(), value.get_ref());
            return Vec::new();
        };
        in_order(table)
    }

    /// Reports a key that must be given and is not there.
    pub(crate) fn require(&self, name: &'static str) {
        if self.get(name).is_some() {
            return;
        }
        let example = keys::find(self.path, name).map_or("", |key| key.example);
        let message = match self.path {
            "" => format!("`{name}` is missing"),
            _ => format!("`{name}` is missing in {}", self.header()),
        };
        let help = match example {
            "" => format!("write a table [{name}]"),
            _ => format!("for example `{name} = {example}`"),
        };
        let help = Some(help);
        self.context.error("CONFIG_MISSING_KEY", &self.span, message, help);
    }

    /// Reports a value of the wrong kind.
    pub(crate) fn wrong_kind<T>(
        &self,
        name: &str,
        span: &Range<usize>,
        value: &DeValue<'_>,
    ) -> Option<T> {
        let key = keys::find(self.path, name)?;
        let help = match (key.kind, value) {
            (Kind::Texts | Kind::Choices(_), DeValue::String(_)) => {
                Some(format!("put it in brackets: `{name} = [ … ]`"))
            }
            (Kind::Duration | Kind::Size, DeValue::Integer(_)) => {
                Some(format!("give it a unit, as in `{name} = {}`", key.example))
            }
            (Kind::Tables, DeValue::Table(_)) => {
                let dot = if self.path.is_empty() { "" } else { "." };
                let header = format!("[[{}{dot}{name}]]", self.path);
                Some(format!("it is a list of tables: write `{header}`, in double brackets"))
            }
            (Kind::Table, DeValue::Array(_)) => {
                // Where there is a list of tables of nearly that name, it was meant.
                let dot = if self.path.is_empty() { "" } else { "." };
                let one = name.strip_suffix('s').unwrap_or(name);
                let list = keys::find(self.path, one).filter(|key| key.kind == Kind::Tables);
                Some(match list {
                    Some(_) => format!("a list of tables is `[[{}{dot}{one}]]`", self.path),
                    None => format!("write `[{}{dot}{name}]`, in single brackets", self.path),
                })
            }
            _ if key.example.is_empty() => None,
            _ => Some(format!("for example `{name} = {}`", key.example)),
        };
        let wanted = match key.kind {
            Kind::Choice(_) => Kind::Text.describe(),
            kind => kind.describe(),
        };
        let message = format!("`{name}` must be {wanted}, and this is {}", kind_of(value));
        self.context.error("CONFIG_WRONG_TYPE", span, message, help);
        None
    }

    fn bad<T>(&self, code: &'static str, name: &str, text: &At<String>, reason: &str) -> Option<T> {
        let message = format!("`{name}` cannot be read: {reason}");
        self.context.error(code, &text.span, message, None);
        None
    }

    fn out_of_range<T>(
        &self,
        name: &str,
        text: &At<String>,
        least: String,
        most: String,
    ) -> Option<T> {
        let message = format!("`{name}` must be from {least} to {most}");
        self.context.error("CONFIG_OUT_OF_RANGE", &text.span, message, None);
        None
    }

    fn no_reference(&self, text: &At<String>, name: &str) -> bool {
        if !reference::has_reference(&text.value) {
            return true;
        }
        self.context.error(
            "CONFIG_REFERENCE_NOT_HERE",
            &text.span,
            format!("references are not replaced in `{name}`"),
            Some("they are in `source.url`, `source.password` and `kafka.properties`".to_owned()),
        );
        false
    }

    fn unknown_key(&self, given: &str, span: &Range<usize>) {
        let here = || keys::of(self.path).map(|key| key.name);
        let elsewhere = suggest::elsewhere(given);
        let other_name = elsewhere.filter(|name| here().any(|known| known == *name));
        let tables_with = |name: &str| {
            let with = keys::all().filter(|key| key.name == name && key.section != self.path);
            with.map(|key| keys::header(key.section)).collect::<Vec<_>>().join(" or ")
        };
        let help = if given.eq_ignore_ascii_case("tls") || given.starts_with("tls_") {
            Some("TLS is not served yet; put a proxy in front".to_owned())
        } else if let Some(name) = other_name.or_else(|| suggest::nearest(given, here())) {
            Some(format!("did you mean `{name}`?"))
        } else if !tables_with(given).is_empty() {
            Some(format!("`{given}` belongs in {}", tables_with(given)))
        } else if let Some(name) = elsewhere.filter(|name| !tables_with(name).is_empty()) {
            Some(format!("this is `{name}` in {}", tables_with(name)))
        } else {
            let known = here().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Some(format!("known here: {known}"))
        };
        let message = match self.path {
            "" => format!("unknown key `{given}` at the top level"),
            _ => format!("unknown key `{given}` in {}", self.header()),
        };
        self.context.error("CONFIG_UNKNOWN_KEY", span, message, help);
        // Its value may be what the user holds secret, and `passwrod` is meant to be one.
        let near = suggest::nearest(given, here()).unwrap_or(given);
        let value = self.table.into_iter().flatten().find(|(key, _)| key.get_ref() == given);
        if let Some((_, value)) = value.filter(|_| redact::is_secret_key(near)) {
            self.context.hide(&value.span());
        }
    }
}

/// Where a table of a list begins: its header, or its first key where the parser gives no header.
pub(crate) fn table_span(table: &DeTable<'_>, span: &Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span.clone();
    }
    in_order(table).first().map_or_else(|| span.clone(), |(key, _)| key.span.clone())
}

/// The entries of a table in the order of the file.
pub(crate) fn in_order<'d>(table: &'d DeTable<'d>) -> Vec<(At<String>, &'d Spanned<DeValue<'d>>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| (At { value: key.get_ref().to_string(), span: key.span() }, value))
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    entries
}

/// What a value is, with its article.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The nearest character border at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
