//! Values of a fixture: JSON to a cell of a batch, and a value that leaves a plugin to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offtake_change::{Batch, Cell, Column, Kind, ValueRef};
use offtake_transform::{cell_of_text, put_list_text};
use serde_json::{Number, Value, json};

use crate::mistake::kind_of;

/// What is wrong with a value, and what to write.
pub(crate) type Wrong = (String, String);

/// Stores a value. `may_be_unchanged`: it stands in the after image of an update, outside the key.
///
/// # Errors
/// What is wrong with it, as a sentence about the column.
pub(crate) fn store(
    batch: &mut Batch,
    column: &Column,
    value: &Value,
    may_be_unchanged: bool,
) -> Result<Cell, Wrong> {
    match value {
        Value::Null if column.nullable => Ok(Cell::NULL),
        Value::Null => {
            let help = "give a value, or say \"nullable\": true in tables.json";
            Err(("is null and may not be".to_owned(), help.to_owned()))
        }
        Value::Object(object) if object.len() == 1 && object.contains_key("unchanged") => {
            match (may_be_unchanged, &object["unchanged"]) {
                (true, Value::Bool(true)) => Ok(Cell::UNCHANGED),
                (true, _) => Err(wrong("says unchanged", "write {\"unchanged\": true}")),
                (false, _) => Err(wrong(
                    "is unchanged, which is only so in the after image of an update, outside the key",
                    "give a value",
                )),
            }
        }
        Value::Object(object) if object.len() == 1 && object.contains_key("bytes") => {
            let bytes = decode(&object["bytes"])?;
            match column.kind {
                Kind::Bytes => Ok(batch.bytes(&bytes)),
                _ => Err(wrong(
                    &format!("is bytes, and the column has the type {}", column.logical),
                    "write the value as text",
                )),
            }
        }
        _ => scalar(batch, column, value),
    }
}

fn scalar(batch: &mut Batch, column: &Column, value: &Value) -> Result<Cell, Wrong> {
    let text = match (column.kind, value) {
        (Kind::Bytes, _) => {
            return Err(wrong(
                &format!("is {}, where bytes are needed", kind_of(value)),
                "write {\"bytes\": \"<base64>\"}",
            ));
        }
        (_, Value::String(text)) => text.clone(),
        (Kind::Boolean, Value::Bool(value)) => value.to_string(),
        (Kind::Integer | Kind::Unsigned, Value::Number(number)) if !number.is_f64() => {
            number.to_string()
        }
        (Kind::Single | Kind::Number, Value::Number(number)) => number.to_string(),
        (Kind::Text, Value::Number(number))
            if !number.is_f64() && column.logical.starts_with("decimal") =>
        {
            number.to_string()
        }
        (Kind::Integer | Kind::Unsigned, Value::Number(number)) => {
            return Err(wrong(
                &format!("is {number}, which is no value of the type {}", column.logical),
                "write a whole number, without fraction and exponent",
            ));
        }
        (Kind::Boolean, Value::Number(number)) => {
            let message = format!("is {number}, which is no value of the type {}", column.logical);
            return Err(wrong(&message, "write true or false"));
        }
        (_, Value::Number(_)) => {
            return Err(wrong(
                &format!("is a number, and a value of the type {} is text", column.logical),
                "write it in double quotes, which also keeps all its digits",
            ));
        }
        (Kind::List, _) => {
            let message = format!("is {}, and lists are text", kind_of(value));
            return Err(wrong(&message, "write it as \"{1,NULL,3}\""));
        }
        (_, _) => {
            return Err(wrong(
                &format!("is {}, where {} is needed", kind_of(value), column.logical),
                "write the value's text in double quotes; a JSON document too, with \\\" inside",
            ));
        }
    };
    cell_of_text(batch, column, &text)
        .map_err(|message| wrong(&format!("is {text:?}, which {message}"), "correct the value"))
}

fn wrong(message: &str, help: &str) -> Wrong {
    (message.to_owned(), help.to_owned())
}

/// Bytes in base64.
pub(crate) fn decode(value: &Value) -> Result<Vec<u8>, Wrong> {
    let text = value.as_str().unwrap_or("?");
    STANDARD.decode(text).map_err(|error| {
        wrong(
            &format!("has bytes that are no base64 with padding: {error}"),
            "{\"bytes\": \"AAE=\"}",
        )
    })
}

/// A value that leaves; `None`: absent.
pub(crate) fn show(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Absent => return None,
        ValueRef::Null => Value::Null,
        ValueRef::Unchanged => json!({ "unchanged": true }),
        ValueRef::Boolean(value) => value.into(),
        ValueRef::Integer(value) => value.into(),
        ValueRef::Unsigned(value) => value.into(),
        // By its own shortest text: widened, 0.1 would be 0.10000000149.
        ValueRef::Single(value) => float(value.to_string().parse().unwrap_or(f64::from(value))),
        ValueRef::Number(value) => float(value),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Bytes(bytes) => show_bytes(bytes),
        ValueRef::List(list) => {
            let mut text = Vec::new();
            match put_list_text(list, &mut text) {
                Ok(()) => String::from_utf8_lossy(&text).into_owned().into(),
                Err(message) => json!({ "unreadable": message }),
            }
        }
    })
}

/// Bytes as a value shows them.
pub(crate) fn show_bytes(bytes: &[u8]) -> Value {
    json!({ "bytes": STANDARD.encode(bytes) })
}

/// JSON has no NaN and no infinity: they are text.
fn float(value: f64) -> Value {
    let text = || {
        if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
    };
    Number::from_f64(value).map_or_else(|| text().into(), Value::Number)
}
