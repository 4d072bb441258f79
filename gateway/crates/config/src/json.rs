//! A plugin's `config` table as JSON.
//!
//! Keys are sorted, so that the same configuration has the same text and digest whatever the order
//! in the file. Dates become text, as JSON has none; numbers that JSON cannot write are refused.
//! References are replaced in texts, so the result may hold a secret: it is printed nowhere.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::DeValue;

use crate::places::{Place, Places, token};
use crate::reader::{At, Context, in_order, table_span};
use crate::reference;

/// Entries of a table, and where each key stands.
type Entries<'e> = [(At<String>, &'e Spanned<DeValue<'e>>)];

/// A `config` table.
pub(crate) struct Json {
    /// The table as a JSON object.
    pub(crate) text: String,
    /// Where its values stand.
    pub(crate) places: Places,
}

/// The table as a JSON object; it stands at `place`.
pub(crate) fn object(context: &Context<'_>, entries: &Entries<'_>, place: Place) -> Json {
    let mut writer =
        Writer { context, out: String::new(), pointer: String::new(), places: Places::default() };
    writer.places.put("", place);
    writer.object(entries);
    Json { text: writer.out, places: writer.places }
}

struct Writer<'c> {
    context: &'c Context<'c>,
    out: String,
    /// Of the value that is written now.
    pointer: String,
    places: Places,
}

impl Writer<'_> {
    fn object(&mut self, entries: &Entries<'_>) {
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by(|left, right| left.0.value.cmp(&right.0.value));
        self.out.push('{');
        for (at, (key, value)) in sorted.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            write_text(&key.value, &mut self.out);
            self.out.push(':');
            self.member(&token(&key.value), Some(&key.span), value);
        }
        self.out.push('}');
    }

    /// Writes a value below the one that is written now.
    fn member(
        &mut self,
        token: &str,
        key: Option<&std::ops::Range<usize>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let above = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        let span = match value.get_ref() {
            DeValue::Table(table) => table_span(table, &value.span()),
            _ => value.span(),
        };
        let key = key.unwrap_or(&span).clone();
        self.places.put(&self.pointer, Place { key, value: span });
        self.value(value);
        self.pointer.truncate(above);
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        let context = self.context;
        let refuse = |message: &str, help: Option<String>| {
            context.error("CONFIG_BAD_VALUE", &value.span(), message, help);
        };
        let out = &mut self.out;
        match value.get_ref() {
            DeValue::String(text) => {
                if !reference::has_reference(text) {
                    return write_text(text, out);
                }
                // A key of a plugin that hashes or encrypts. What cannot be resolved is an error already.
                let raw = At { value: text.to_string(), span: value.span() };
                if let Some(secret) = context.resolve(&raw, false) {
                    write_text(secret.expose(), out);
                }
            }
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    // Writing into a String cannot fail.
                    Ok(number) => drop(write!(out, "{number}")),
                    Err(_) => refuse("the number does not fit 64 bits", None),
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                // `{:?}` writes the shortest text that reads as the same number, with `.0`.
                Ok(number) if number.is_finite() => drop(write!(out, "{number:?}")),
                _ => refuse("JSON, in which plugins are configured, has no such number", None),
            },
            DeValue::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
            DeValue::Datetime(date) => write_text(&date.to_string(), out),
            DeValue::Array(items) => {
                self.out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    self.member(&at.to_string(), None, item);
                }
                self.out.push(']');
            }
            DeValue::Table(table) => self.object(&in_order(table)),
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
