//! From a file to a [`Config`], or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::model::{Config, Source};
use crate::places::Place;
use crate::reader::{At, Context, Found, Section, in_order};
use crate::reference::{self, Sources};
use crate::{glob::Glob, json, kafka, routes, sections};

/// A configuration larger than this is something else.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Reads a configuration file. `env` looks up environment variables.
///
/// # Errors
/// Everything that is wrong with it; warnings are in [`Config::warnings`].
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Diagnostics> {
    let unreadable = |reason: String, help: Option<&str>| {
        let item = Diagnostic {
            code: "CONFIG_UNREADABLE",
            severity: Severity::Error,
            message: format!("the configuration file cannot be used: {reason}"),
            span: None,
            help: help.map(str::to_owned),
        };
        Diagnostics::new(&path.display().to_string(), "", Vec::new(), vec![item])
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) if bytes.len() > MAX_FILE_BYTES => {
            return Err(unreadable("it is larger than 1 MiB".to_owned(), None));
        }
        Ok(bytes) => bytes,
        Err(error) => {
            let help = "name the file with `-c FILE`; CONFIGURATION.md shows one";
            return Err(unreadable(reference::reason(&error), Some(help)));
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path, env),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(unreadable(format!("line {line} is not UTF-8 text"), None))
        }
    }
}

/// Reads a configuration's text. `path` is the file's name in messages, and its folder is where
/// relative paths start.
///
/// # Errors
/// See [`load`].
pub fn parse(
    text: &str,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Diagnostics> {
    let (outcome, found) = read(text, path, env);
    let file = path.display().to_string();
    let diagnostics = Diagnostics::new(&file, text, found.hidden, found.diagnostics);
    match outcome {
        Some(config) if !diagnostics.has_errors() => Ok(Config { warnings: diagnostics, ..config }),
        _ => Err(diagnostics),
    }
}

/// Reads a text that is the `config` table of a plugin and nothing else, and gives the JSON that the
/// plugin would be configured with. `path` as for [`parse`].
///
/// # Errors
/// See [`load`].
pub fn plugin_config(
    text: &str,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Diagnostics> {
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let context = Context::new(text, Sources { env, base: base.unwrap_or(Path::new(".")) });
    let (document, errors) = DeTable::parse_recoverable(text);
    let whole = Place { key: 0..0, value: 0..0 };
    let json = json::object(&context, &in_order(document.get_ref()), whole).text;
    let mut found = context.into_parts();
    found.diagnostics.extend(errors.iter().map(|error| syntax(text, error)));
    let file = path.display().to_string();
    let diagnostics = Diagnostics::new(&file, text, found.hidden, found.diagnostics);
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(json) }
}

/// Reads everything there is to read, whatever is wrong with it.
fn read(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> (Option<Config>, Found) {
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let context = Context::new(text, Sources { env, base: base.unwrap_or(Path::new(".")) });
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let config = config(&context, &document);
        return (Some(config), context.into_parts());
    }
    config(&context, &document);
    let mut found = context.into_parts();
    keep_certain(text, &errors, &mut found.diagnostics);
    found.diagnostics.extend(errors.iter().map(|error| syntax(text, error)));
    (None, found)
}

/// Of what was found in a file that does not parse whole, keeps what is wrong in itself and away
/// from the lines that could not be read: what is missing may only be unreadable.
fn keep_certain(text: &str, errors: &[toml::de::Error], found: &mut Vec<Diagnostic>) {
    const CERTAIN: &[&str] = &[
        "CONFIG_UNKNOWN_KEY",
        "CONFIG_BAD_VALUE",
        "CONFIG_BAD_DURATION",
        "CONFIG_BAD_SIZE",
        "CONFIG_OUT_OF_RANGE",
        "CONFIG_BAD_SLOT",
        "CONFIG_BAD_GLOB",
        "CONFIG_UNKNOWN_BUILTIN",
        "CONFIG_WRONG_TYPE",
    ];
    let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    let broken: BTreeSet<usize> =
        errors.iter().filter_map(toml::de::Error::span).map(|span| line(span.start)).collect();
    found.retain(|item| {
        let away = item.span.as_ref().is_some_and(|span| !broken.contains(&line(span.start)));
        away && CERTAIN.contains(&item.code)
    });
}

/// An error of the TOML parser as a finding.
fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let duplicate = error.message().contains("duplicate key");
    let (code, help) = if duplicate {
        ("CONFIG_DUPLICATE_KEY", Some("it was given above; keep one of them".to_owned()))
    } else {
        ("CONFIG_SYNTAX", None)
    };
    let unquoted = text.get(start..end).filter(|word| {
        error.message().contains("float") && word.starts_with(|c: char| c.is_alphabetic())
    });
    if let Some(word) = unquoted {
        return Diagnostic {
            code,
            severity: Severity::Error,
            message: "this is not TOML: a text stands in double quotes".to_owned(),
            span: Some(start..end),
            help: Some(format!("did you mean \"{word}\"?")),
        };
    }
    let name = text.get(start..end).filter(|name| duplicate && !name.is_empty());
    Diagnostic {
        code,
        severity: Severity::Error,
        message: match name {
            Some(name) => format!("`{name}` is given twice"),
            None => format!("this is not TOML: {}", error.message()),
        },
        span: Some(start..end),
        help,
    }
}

fn config<'d>(context: &Context<'_>, document: &'d Spanned<DeTable<'d>>) -> Config {
    // The top level is the whole file; what is missing in it is shown at its beginning.
    let top = Section::new(context, "", Some(document.get_ref()), 0..0);
    let name = sections::name(&top);
    let source = sections::source(&top, name.as_deref());
    let Source::Postgres(postgres) = &source;
    let captured: Vec<At<Glob>> = postgres
        .tables
        .iter()
        .filter_map(|pattern| Glob::parse(pattern).ok())
        .map(|value| At { value, span: 0..0 })
        .collect();
    let plugins = sections::plugins(&top);
    sections::check_state(&top, postgres.ack, &plugins);
    let pipeline = name.as_deref().unwrap_or_default();
    let (routes, streams) = routes::routes(&top, pipeline, &plugins, &captured, postgres.messages);
    let log = sections::log(&top);
    let kafka = kafka::kafka(&top, pipeline, &streams);
    let grpc = sections::grpc(&top);
    let admin = sections::admin(&top, grpc.as_ref());
    Config {
        name: name.unwrap_or_default(),
        source,
        plugins: plugins.into_iter().map(|plugin| plugin.value).collect(),
        routes,
        log,
        kafka,
        grpc,
        admin,
        capture: crate::capture::capture(&top),
        on_halt: sections::on_halt(&top),
        workers: sections::workers(&top),
        warnings: Diagnostics::new("", "", Vec::new(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn every_documented_key_is_read_and_no_other() {
        let text = include_str!("../testdata/all_keys.toml");
        let env = |_: &str| Some("x".to_owned());
        let (_, found) = read(text, Path::new("testdata/all_keys.toml"), &env);
        assert!(found.diagnostics.is_empty(), "{:#?}", found.diagnostics);
        for key in keys::all() {
            assert!(
                found.asked.contains(&(key.section, key.name)),
                "{}.{} is documented and never read",
                key.section,
                key.name
            );
        }
        for (section, name) in found.asked {
            assert!(keys::find(section, name).is_some(), "{section}.{name} is not documented");
        }
    }
}
