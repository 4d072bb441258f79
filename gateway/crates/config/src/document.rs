//! The reference page, `gateway/CONFIGURATION.md`, written from the table of keys.

use std::fmt::Write as _;

use crate::keys::{self, Kind, SECTIONS};

const INTRODUCTION: &str = "\
# Configuration

`offtake run` and `offtake check` read one TOML file (`-c FILE`, otherwise `offtake.toml`). This \
page lists every key there is; a key that is not here is an error. It is written from the code: \
`UPDATE=1 cargo test -p offtake-config` rewrites it.

A whole file:

```toml
";

const RULES: &str = "\
```

## Rules

- **Durations** are whole numbers with a unit, `us`, `ms`, `s`, `m`, `h`, `d` or `w`, also several: \
`\"100ms\"`, `\"1h30m\"`.
- **Sizes** are one whole number with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or \
`kB`, `MB`, `GB`, `TB` (powers of 1000).
- **Secrets** are given by reference: `${env:NAME}` is an environment variable, `${file:path}` a \
file's content without its last line end. References are replaced in `source.url`, \
`source.password`, `kafka.properties`, the login of `kafka.registry` and a plugin's `config`; `$${` writes a plain `${`. No secret is ever printed, \
also not in the line that an error quotes.
- **Relative paths** start at the folder of the configuration file.
- **Mistakes** are reported all at once, with line, column and what to do. `offtake check` goes on \
to the database, the log, the plugins and Kafka without changing anything; its exit status is 0 \
when all is well, 1 with warnings only, 2 with errors.

";

/// The whole page, as Markdown.
pub fn configuration_reference() -> String {
    let mut page = format!("{INTRODUCTION}{}{RULES}", include_str!("../testdata/shop.toml"));
    for section in SECTIONS {
        let title = match section.path {
            "" => section.header.to_owned(),
            _ => format!("`{}`", section.header),
        };
        // Writing into a String cannot fail, here and below.
        let _ = write!(page, "## {title}\n\n{}\n\n", section.text);
        for key in keys::of(section.path) {
            write_key(&mut page, key);
        }
    }
    let _ = writeln!(page, "{} keys.", keys::all().count());
    page
}

fn write_key(page: &mut String, key: &keys::Key) {
    let _ = write!(page, "### `{}`\n\n{}\n\n", qualified(key), key.text);
    let kind = match key.kind {
        Kind::Choice(words) => quoted(words, " or "),
        Kind::Choices(words) => format!("a list of {}", quoted(words, ", ")),
        Kind::Secret => "a text, with references".to_owned(),
        other => other.describe().to_owned(),
    };
    let _ = writeln!(page, "- Value: {kind}");
    match key.default {
        Some(default) if is_toml(default) => {
            let _ = writeln!(page, "- Default: `{default}`");
        }
        Some(default) => {
            let _ = writeln!(page, "- Default: {default}");
        }
        None => page.push_str("- Required\n"),
    }
    if !key.range.is_empty() {
        let _ = writeln!(page, "- Range: {}", key.range);
    }
    if !key.example.is_empty() {
        let _ = writeln!(page, "- Example: `{} = {}`", key.name, key.example);
    }
    let _ = write!(page, "- Since: {}\n\n", key.since);
}

fn quoted(words: &[&str], between: &str) -> String {
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(between)
}

/// The key with its table, as in `source.url`.
fn qualified(key: &keys::Key) -> String {
    match key.section {
        "" => key.name.to_owned(),
        "plugin" => format!("plugin.NAME.{}", key.name),
        section => format!("{section}.{}", key.name),
    }
}

fn is_toml(default: &str) -> bool {
    default.starts_with(|c: char| c.is_ascii_digit() || "\"[{".contains(c))
        || matches!(default, "true" | "false")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parse::parse;

    /// A file with the required keys at their examples, and the others at their documented
    /// defaults when `defaults` is set.
    fn written(defaults: bool) -> String {
        let mut text = String::new();
        for section in SECTIONS {
            let header = section.header.replace("NAME", "mask_people");
            if !section.path.is_empty() {
                let _ = writeln!(text, "{header}");
            }
            for key in keys::of(section.path) {
                let value = match key.default {
                    None => key.example.to_owned(),
                    Some(default) if defaults && is_toml(default) => {
                        default.replace("NAME", "shop")
                    }
                    Some(_) => continue,
                };
                if !value.is_empty() {
                    let _ = writeln!(text, "{} = {value}", key.name);
                }
            }
        }
        text
    }

    #[test]
    fn every_documented_default_is_what_leaving_the_key_out_gives() {
        let model = |text: &str| {
            // Of secrets that are needed the example is a reference.
            let environment = |_: &str| Some("x".repeat(32));
            let config = parse(text, Path::new("shop.toml"), &environment);
            let mut config = config.unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
            config.warnings = crate::Diagnostics::new("", "", Vec::new(), Vec::new());
            format!("{config:#?}")
        };
        let (short, long) = (written(false), written(true));
        assert!(long.lines().count() > short.lines().count() + 20, "{long}");
        assert_eq!(model(&short), model(&long));
    }

    #[test]
    fn every_example_is_toml_and_every_key_has_one() {
        for key in keys::all() {
            let is_header =
                matches!(key.kind, Kind::Table | Kind::Tables) && key.section.is_empty();
            assert!(is_header || !key.example.is_empty(), "{}.{}", key.section, key.name);
            let line = format!("x = {}", if is_header { "1" } else { key.example });
            toml::de::DeTable::parse(&line).unwrap();
            assert!(!key.text.is_empty(), "{}.{}", key.section, key.name);
        }
    }
}
