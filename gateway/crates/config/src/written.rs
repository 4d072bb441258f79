//! A plugin's `config` table as it is written: what a fixture takes over from a gateway's file.
//!
//! References stay references, so no secret that one names gets into the fixture. The text reads as
//! the same table; its layout and comments are not kept.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

/// The `config` table of `[plugin.NAME]` in a configuration's text, as TOML of its own. `None`: the
/// plugin has none there, or the text cannot be read.
pub fn written_plugin_config(text: &str, plugin: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let DeValue::Table(plugins) = document.get_ref().get("plugin")?.get_ref() else { return None };
    let DeValue::Table(plugin) = plugins.get(plugin)?.get_ref() else { return None };
    let DeValue::Table(config) = plugin.get("config")?.get_ref() else { return None };
    let mut out = String::new();
    for (key, value) in config {
        write_text(key.get_ref(), &mut out);
        out.push_str(" = ");
        write_value(value.get_ref(), &mut out);
        out.push('\n');
    }
    Some(out)
}

fn write_value(value: &DeValue<'_>, out: &mut String) {
    match value {
        DeValue::String(text) => write_text(text, out),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => out.push_str(&number.to_string()),
            Err(_) => out.push_str(number.as_str()),
        },
        DeValue::Float(number) => out.push_str(number.as_str()),
        DeValue::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        DeValue::Datetime(date) => out.push_str(&date.to_string()),
        DeValue::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_value(item.get_ref(), out);
            }
            out.push(']');
        }
        DeValue::Table(table) => {
            out.push('{');
            for (at, (key, value)) in table.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { " " });
                write_text(key.get_ref(), out);
                out.push_str(" = ");
                write_value(value.get_ref(), out);
            }
            out.push_str(" }");
        }
    }
}

/// A basic string, or a key in quotes, which may be any text.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parse::plugin_config;

    #[test]
    fn a_table_that_is_written_anew_reads_as_the_same_and_keeps_its_references() {
        let config = "columns = [\"a\", \"b \\\"c\\\"\\n\"]\nkey = \"${env:KEY}\"\nmost = 0x10\n\
                      share = 0.5\non = true\nat = 2026-01-02\n\"odd key\" = { x = 1, y = [{}] }\n";
        let whole = format!("name = \"p\"\n[plugin.hide.config]\n{config}[[route]]\n");
        let written = written_plugin_config(&whole, "hide").expect("a table");
        assert!(written.contains("\"key\" = \"${env:KEY}\""), "{written}");
        let json = |text: &str| {
            let env = |_: &str| Some("s3cret".to_owned());
            plugin_config(text, Path::new("config.toml"), &env).expect("readable")
        };
        assert_eq!(json(&written), json(config));
        assert!(json(&written).contains("s3cret") && !written.contains("s3cret"));

        let inline = "[plugin.hide]\nwasm = \"x\"\nconfig = { column = \"email\" }\n";
        let written = written_plugin_config(inline, "hide");
        assert_eq!(written.as_deref(), Some("\"column\" = \"email\"\n"));
        assert_eq!(written_plugin_config(inline, "other"), None);
        assert_eq!(written_plugin_config("[plugin.hide]\nwasm = \"x\"\n", "hide"), None);
        assert_eq!(written_plugin_config("[plugin", "hide"), None);
    }
}
