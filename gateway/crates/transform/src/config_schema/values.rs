//! Types, numbers, lengths and equality as JSON Schema has them.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::found::{Found, Place};

/// Whether a value is of the type of that name.
pub(super) fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => match value.as_f64() {
            Some(number) => value.is_i64() || value.is_u64() || number.fract() == 0.0,
            None => false,
        },
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    }
}

pub(super) fn bounds(
    schema: &Map<String, Value>,
    least: &str,
    most: &str,
    length: u64,
    unit: &str,
    place: &Place,
    found: &mut Vec<Found>,
) {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    let units = |count: u64| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    if let Some(least) = bound(least).filter(|least| length < *least) {
        found.push(place.bad(&format!("must have at least {}", units(least))));
    }
    if let Some(most) = bound(most).filter(|most| length > *most) {
        found.push(place.bad(&format!("must have at most {}", units(most))));
    }
}

pub(super) fn numbers(
    schema: &Map<String, Value>,
    value: &Value,
    place: &Place,
    found: &mut Vec<Found>,
) {
    let mut bound = |keyword: &str, wrong: &[Ordering], words: &str| {
        let Some(limit) = schema.get(keyword) else { return };
        if compare(value, limit).is_some_and(|order| wrong.contains(&order)) {
            found.push(place.bad(&format!("must be {words} {limit}")));
        }
    };
    bound("minimum", &[Ordering::Less], "at least");
    bound("exclusiveMinimum", &[Ordering::Less, Ordering::Equal], "above");
    bound("maximum", &[Ordering::Greater], "at most");
    bound("exclusiveMaximum", &[Ordering::Greater, Ordering::Equal], "below");
    let Some(factor) = schema.get("multipleOf") else { return };
    let is_multiple = match (value.as_i64(), factor.as_i64(), value.as_f64(), factor.as_f64()) {
        (Some(value), Some(factor), _, _) if factor != 0 => value % factor == 0,
        (_, _, Some(value), Some(factor)) => {
            let quotient = value / factor;
            (quotient - quotient.round()).abs() < 1e-9
        }
        _ => true,
    };
    if !is_multiple {
        found.push(place.bad(&format!("must be a multiple of {factor}")));
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Equal as JSON Schema has it: 1 and 1.0 are one number.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => compare(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(one, other)| equal(one, other))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, one)| right.get(key).is_some_and(|other| equal(one, other)))
        }
        _ => left == right,
    }
}
