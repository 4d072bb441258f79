//! What is wrong with a fixture, and where: the same shape for every file of it.

use std::fmt;
use std::path::{Path, PathBuf};

use offtake_config::nearest;
use serde_json::{Map, Value};

/// A fixture that cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// A stable code such as `FIXTURE_VALUE`.
    pub code: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Line of the file, from 1; `None`: the file as a whole.
    pub line: Option<usize>,
    /// Column of the line, from 1, where the text itself cannot be read.
    pub column: Option<usize>,
    /// What is wrong, with the field that it is about.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error[{}]: {}", self.code, self.file.display())?;
        for place in [self.line, self.column].into_iter().flatten() {
            write!(out, ":{place}")?;
        }
        write!(out, ": {}\n  next: {}", self.message, self.help)
    }
}

impl std::error::Error for Mistake {}

/// A place in a file, to say what is wrong there.
#[derive(Clone, Copy)]
pub(crate) struct Place<'f> {
    pub(crate) file: &'f Path,
    pub(crate) line: Option<usize>,
}

impl Place<'_> {
    pub(crate) fn mistake(
        self,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Mistake {
        Mistake {
            code,
            file: self.file.to_owned(),
            line: self.line,
            column: None,
            message: message.into(),
            help: help.into(),
        }
    }

    /// Reads JSON; the line of an error is counted from this place.
    pub(crate) fn json(self, text: &str) -> Result<Value, Mistake> {
        serde_json::from_str(text).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            let line = self.line.unwrap_or(1) + error.line().saturating_sub(1);
            let help = "correct the JSON here; texts stand in double quotes, no comma is last";
            Mistake {
                line: Some(line),
                column: Some(error.column()),
                ..self.mistake("FIXTURE_SYNTAX", format!("this is no JSON: {reason}"), help)
            }
        })
    }

    /// An object, with no other names than these. `field`: what the object is.
    pub(crate) fn object<'v>(
        self,
        field: &str,
        value: &'v Value,
        names: &[&str],
    ) -> Result<&'v Map<String, Value>, Mistake> {
        let help = || format!("there are {}", names.join(", "));
        let Value::Object(object) = value else {
            let message = format!("{field} is {}, not an object", kind_of(value));
            return Err(self.mistake("FIXTURE_TYPE", message, help()));
        };
        match object.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(object),
            Some(name) => {
                let message = format!("{field} has {name:?}, which means nothing here");
                let help = match nearest(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => help(),
                };
                Err(self.mistake("FIXTURE_UNKNOWN_NAME", message, help))
            }
        }
    }

    /// The text of that name, where there is one.
    pub(crate) fn text<'v>(
        self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Result<Option<&'v str>, Mistake> {
        match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                let message = format!("{name:?} is {}, not a text", kind_of(other));
                Err(self.mistake("FIXTURE_TYPE", message, "write it in double quotes"))
            }
        }
    }

    /// The texts of the list of that name; none where it is left out.
    pub(crate) fn texts<'v>(
        self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Result<Vec<&'v str>, Mistake> {
        let wrong = || {
            let help = format!("write \"{name}\": [\"a\", \"b\"]");
            self.mistake("FIXTURE_TYPE", format!("{name:?} is not a list of texts"), help)
        };
        match object.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    /// The whole number of that name, where there is one.
    pub(crate) fn number(
        self,
        object: &Map<String, Value>,
        name: &str,
    ) -> Result<Option<u64>, Mistake> {
        match object.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| {
                let message = format!("{name:?} is not a whole number of 0 or more");
                self.mistake("FIXTURE_TYPE", message, "write it as digits, without quotes")
            }),
        }
    }
}

/// What a JSON value is, with its article.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
