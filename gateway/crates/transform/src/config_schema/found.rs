//! What a check finds, where it stands, and the words for it.

use serde_json::{Map, Value};

use super::values::is_of;
use super::{ConfigFinding, ConfigMistake, NamedColumn, escaped, word_of};
use crate::fault::guest_text;

/// What a schema says of a value.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) found: Vec<Found>,
    pub(super) columns: Vec<NamedColumn>,
    pub(super) secrets: Vec<String>,
}

pub(super) struct Found {
    pub(super) finding: ConfigFinding,
    /// Of a value of another type: the types that it may have.
    pub(super) types: Option<String>,
    /// It is by this that forms are told apart: a type, or a fixed value.
    pub(super) tells_apart: bool,
}

impl Outcome {
    pub(super) fn extend(&mut self, other: Outcome) {
        self.found.extend(other.found);
        self.columns.extend(other.columns);
        self.secrets.extend(other.secrets);
    }
}

/// Where a value stands: for the file, and for a person.
#[derive(Default)]
pub(super) struct Place {
    pub(super) pointer: String,
    pub(super) shown: String,
}

impl Place {
    /// Goes to a member and comes back.
    pub(super) fn within<T>(&mut self, key: &str, visit: impl FnOnce(&mut Place) -> T) -> T {
        let (pointer, shown) = (self.pointer.len(), self.shown.len());
        self.pointer.push('/');
        self.pointer.push_str(&escaped(key));
        if !self.shown.is_empty() {
            self.shown.push('.');
        }
        self.shown.push_str(key);
        let done = visit(self);
        self.pointer.truncate(pointer);
        self.shown.truncate(shown);
        done
    }

    /// Goes to an element and comes back.
    pub(super) fn at<T>(&mut self, index: usize, visit: impl FnOnce(&mut Place) -> T) -> T {
        let (pointer, shown) = (self.pointer.len(), self.shown.len());
        self.pointer.push_str(&format!("/{index}"));
        self.shown.push_str(&format!("[{index}]"));
        let done = visit(self);
        self.pointer.truncate(pointer);
        self.shown.truncate(shown);
        done
    }

    /// The value's name in a message.
    pub(super) fn name(&self) -> String {
        if self.shown.is_empty() { "`config`".to_owned() } else { format!("`{}`", self.shown) }
    }

    pub(super) fn found(
        &self,
        mistake: ConfigMistake,
        message: &str,
        help: Option<String>,
    ) -> Found {
        let finding = ConfigFinding {
            pointer: self.pointer.clone(),
            mistake,
            message: guest_text(message),
            help: help.map(|help| guest_text(&help)),
        };
        Found { finding, types: None, tells_apart: false }
    }

    pub(super) fn bad(&self, what: &str) -> Found {
        self.found(ConfigMistake::BadValue, &format!("{} {what}", self.name()), None)
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives(words: &[String]) -> String {
    match words {
        [] => "nothing at all".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

pub(super) fn missing(key: &str, properties: Option<&Map<String, Value>>, place: &Place) -> Found {
    let property = properties.and_then(|properties| properties.get(key));
    let description = property.and_then(|property| property.get("description"));
    let message = match place.shown.is_empty() {
        true => format!("`{key}` is missing"),
        false => format!("`{key}` is missing in {}", place.name()),
    };
    let help = description.and_then(Value::as_str).map(|text| format!("`{key}`: {text}"));
    place.found(ConfigMistake::MissingKey, &message, help)
}

/// A finding where a value has none of the types that it may have.
pub(super) fn wrong_type(types: &Value, value: &Value, place: &Place) -> Option<Found> {
    let types: Vec<&str> = match types {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if types.iter().any(|name| is_of(name, value)) {
        return None;
    }
    let words: Vec<String> = types.iter().map(|name| type_word(name).to_owned()).collect();
    Some(of_other_type(&words, value, place))
}

pub(super) fn of_other_type(types: &[String], value: &Value, place: &Place) -> Found {
    let mut each: Vec<String> = Vec::new();
    types.iter().filter(|word| !word.is_empty()).for_each(|word| {
        if !each.contains(word) {
            each.push(word.clone());
        }
    });
    let wanted = alternatives(&each);
    let message = format!("{} must be {wanted}, and this is {}", place.name(), word_of(value));
    let found = place.found(ConfigMistake::WrongType, &message, None);
    Found { types: Some(wanted), tells_apart: true, ..found }
}

fn type_word(name: &str) -> &'static str {
    match name {
        "null" => "null",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        _ => "a table",
    }
}
