//! A plugin's `config` table as JSON.
//!
//! Keys are sorted, so that the same configuration has the same text and digest whatever the order
//! in the file. Dates become text, as JSON has none; numbers that JSON cannot write are refused.
//! References are replaced in texts, so the result may hold a secret: it is printed nowhere.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::DeValue;

use crate::reader::{At, Context, in_order};
use crate::reference;

/// Entries of a table, and where each key stands.
type Entries<'e> = [(At<String>, &'e Spanned<DeValue<'e>>)];

/// The table as a JSON object.
pub(crate) fn object(context: &Context<'_>, entries: &Entries<'_>) -> String {
    let mut out = String::new();
    write_object(context, entries, &mut out);
    out
}

fn write_object(context: &Context<'_>, entries: &Entries<'_>, out: &mut String) {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|left, right| left.0.value.cmp(&right.0.value));
    out.push('{');
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(&key.value, out);
        out.push(':');
        write_value(context, value, out);
    }
    out.push('}');
}

fn write_value(context: &Context<'_>, value: &Spanned<DeValue<'_>>, out: &mut String) {
    let refuse = |message: &str, help: Option<String>| {
        context.error("CONFIG_BAD_VALUE", &value.span(), message, help);
    };
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
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            // Writing into a String cannot fail.
            Ok(number) => drop(write!(out, "{number}")),
            Err(_) => refuse("the number does not fit 64 bits", None),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            // `{:?}` writes the shortest text that reads as the same number, with `.0`.
            Ok(number) if number.is_finite() => drop(write!(out, "{number:?}")),
            _ => refuse("JSON, in which plugins are configured, has no such number", None),
        },
        DeValue::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        DeValue::Datetime(date) => write_text(&date.to_string(), out),
        DeValue::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(context, item, out);
            }
            out.push(']');
        }
        DeValue::Table(table) => write_object(context, &in_order(table), out),
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
