//! The text of the JSON Schema of Connect data, as Confluent's converter registers it.
//!
//! The text passes through three Java libraries there, each with an order of its own: the order of a
//! struct's properties and of parameters is that of a Java map, so the place of a field is said by
//! `connect.index`.

use super::has_entries;
use crate::EncodeError;
use crate::connect::{Kind, Schema, Value};
use crate::java_map;
use crate::json;

/// Parameters that the converter keeps for itself.
const OWN_PARAMETERS: &str = "io.confluent.connect.json";
/// Connect's name of a decimal.
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// The schema text of a key or a value: UTF-8 JSON without spaces.
///
/// # Errors
/// A default that is no finite number, which JSON has no word for.
pub fn schema_text(schema: &Schema) -> Result<String, EncodeError> {
    let mut out = Vec::new();
    put(&mut out, schema, None)?;
    // Everything comes from text, escaped byte by byte outside of characters of several bytes.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Appends a schema; `index` is its place in a struct or in an entry.
fn put(out: &mut Vec<u8>, schema: &Schema, index: Option<usize>) -> Result<(), EncodeError> {
    if !schema.optional {
        return put_required(out, schema, index);
    }
    out.push(b'{');
    if let Some(index) = index {
        put_index(out, index);
        out.push(b',');
    }
    raw(out, "\"oneOf\":[{\"type\":\"null\"},");
    put_required(out, schema, None)?;
    raw(out, "]}");
    Ok(())
}

fn put_required(
    out: &mut Vec<u8>,
    schema: &Schema,
    index: Option<usize>,
) -> Result<(), EncodeError> {
    let (json_type, connect_type) = types(schema);
    // The library has the type first, but for booleans.
    let type_last = schema.kind == Kind::Boolean;
    out.push(b'{');
    let start = out.len();
    if !type_last {
        property(out, "type", json_type);
    }
    if let Some(name) = &schema.name {
        property(out, "title", name);
    }
    if let Some(doc) = &schema.doc {
        property(out, "description", doc);
    }
    if let Some(default) = &schema.default {
        key(out, "default");
        put_default(out, schema, default)?;
    }
    // The order of the Java map that these four are in.
    if let Some(index) = index {
        out.push(b',');
        put_index(out, index);
    }
    if let Some(version) = schema.version {
        key(out, "connect.version");
        json::put_integer(out, version);
    }
    if let Some(connect_type) = connect_type {
        property(out, "connect.type", connect_type);
    }
    put_parameters(out, schema);
    put_children(out, schema)?;
    if type_last {
        property(out, "type", json_type);
    }
    // Each came with a comma before it.
    out.remove(start);
    out.push(b'}');
    Ok(())
}

/// JSON's type, and Connect's where that says more.
fn types(schema: &Schema) -> (&'static str, Option<&'static str>) {
    match &schema.kind {
        Kind::Int8 => ("integer", Some("int8")),
        Kind::Int16 => ("integer", Some("int16")),
        Kind::Int32 => ("integer", Some("int32")),
        Kind::Int64 => ("integer", Some("int64")),
        Kind::Float32 => ("number", Some("float32")),
        Kind::Float64 => ("number", Some("float64")),
        Kind::Boolean => ("boolean", None),
        Kind::String => ("string", None),
        // Even where the payload has base64.
        Kind::Bytes if schema.name.as_deref() == Some(DECIMAL) => ("number", Some("bytes")),
        Kind::Bytes => ("string", Some("bytes")),
        Kind::Array(_) => ("array", None),
        Kind::Map(..) if has_entries(schema) => ("array", Some("map")),
        Kind::Map(..) => ("object", Some("map")),
        Kind::Struct(_) => ("object", None),
    }
}

fn put_parameters(out: &mut Vec<u8>, schema: &Schema) {
    let parameters: Vec<_> =
        schema.parameters.iter().filter(|(name, _)| !name.starts_with(OWN_PARAMETERS)).collect();
    if parameters.is_empty() {
        return;
    }
    // They go through two maps: one that grows, then one made for as many.
    let names = || parameters.iter().map(|(name, _)| name.as_str());
    let first = java_map::order(names(), java_map::DEFAULT_CAPACITY);
    let again =
        java_map::order(first.iter().map(|&at| parameters[at].0.as_str()), parameters.len());
    key(out, "connect.parameters");
    for (index, &at) in again.iter().enumerate() {
        let (name, value) = parameters[first[at]];
        out.push(if index == 0 { b'{' } else { b',' });
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

fn put_children(out: &mut Vec<u8>, schema: &Schema) -> Result<(), EncodeError> {
    match &schema.kind {
        Kind::Array(element) => {
            key(out, "items");
            put(out, element, None)?;
        }
        Kind::Map(map_key, value) if has_entries(schema) => {
            // An object without a name for the entry; a Java map has `value` first.
            raw(out, ",\"items\":{\"type\":\"object\",\"properties\":{\"value\":");
            put(out, value, Some(1))?;
            key(out, "key");
            put(out, map_key, Some(0))?;
            raw(out, "}}");
        }
        Kind::Map(_, value) => {
            key(out, "additionalProperties");
            put(out, value, None)?;
        }
        Kind::Struct(fields) if !fields.is_empty() => {
            let names = fields.iter().map(|field| field.name.as_str());
            key(out, "properties");
            for (place, index) in
                java_map::order(names, java_map::DEFAULT_CAPACITY).into_iter().enumerate()
            {
                let field = &fields[index];
                out.push(if place == 0 { b'{' } else { b',' });
                string(out, &field.name);
                out.push(b':');
                put(out, &field.schema, Some(index))?;
            }
            out.push(b'}');
        }
        _ => {}
    }
    Ok(())
}

fn put_default(out: &mut Vec<u8>, schema: &Schema, value: &Value) -> Result<(), EncodeError> {
    match value {
        Value::Null => raw(out, "null"),
        Value::Boolean(value) => raw(out, if *value { "true" } else { "false" }),
        Value::Integer(value) => json::put_integer(out, *value),
        Value::Single(value) => {
            let mut digits = Vec::new();
            json::put_single(&mut digits, *value);
            put_number(out, value.is_finite(), &digits)?;
        }
        Value::Double(value) => {
            let mut digits = Vec::new();
            json::put_double(&mut digits, *value);
            put_number(out, value.is_finite(), &digits)?;
        }
        Value::Text(text) => string(out, text),
        Value::Bytes(bytes) => json::put_base64(out, bytes),
        Value::Array(values) => {
            let Kind::Array(element) = &schema.kind else { return Ok(()) };
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put_default(out, element, or_default(element, value))?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            let Kind::Map(key_schema, value_schema) = &schema.kind else { return Ok(()) };
            if has_entries(schema) {
                put_default_entries(out, key_schema, value_schema, entries)?;
            } else {
                let members = entries.iter().filter_map(|(key, value)| match key {
                    Value::Text(key) => Some((key.as_str(), &**value_schema, value)),
                    _ => None,
                });
                put_default_object(out, members)?;
            }
        }
        Value::Struct(values) => {
            let members = schema
                .fields()
                .iter()
                .zip(values)
                .map(|(field, value)| (field.name.as_str(), &*field.schema, value));
            put_default_object(out, members)?;
        }
    }
    Ok(())
}

fn put_default_entries(
    out: &mut Vec<u8>,
    key_schema: &Schema,
    value_schema: &Schema,
    entries: &[(Value, Value)],
) -> Result<(), EncodeError> {
    out.push(b'[');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Two keys in a Java map, whose order is this.
        raw(out, "{\"value\":");
        put_default(out, value_schema, or_default(value_schema, value))?;
        raw(out, ",\"key\":");
        put_default(out, key_schema, or_default(key_schema, key))?;
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn put_default_object<'s>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'s str, &'s Schema, &'s Value)>,
) -> Result<(), EncodeError> {
    let members: Vec<_> = members.collect();
    let names = members.iter().map(|(name, ..)| *name);
    out.push(b'{');
    for (place, index) in java_map::order(names, java_map::DEFAULT_CAPACITY).into_iter().enumerate()
    {
        let (name, schema, value) = members[index];
        if place > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        put_default(out, schema, or_default(schema, value))?;
    }
    out.push(b'}');
    Ok(())
}

fn or_default<'s>(schema: &'s Schema, value: &'s Value) -> &'s Value {
    match (value, &schema.default) {
        (Value::Null, Some(default)) => default,
        (value, _) => value,
    }
}

/// Appends a number as it comes out of the libraries that it goes through: one takes zeros at the
/// end off, the next one reads a decimal number and writes it as Java's `BigDecimal` does.
fn put_number(out: &mut Vec<u8>, finite: bool, digits: &[u8]) -> Result<(), EncodeError> {
    if !finite {
        return Err(EncodeError::Schema {
            format: "JSON Schema",
            reason: "a column has a default that is no finite number".to_owned(),
        });
    }
    let text = std::str::from_utf8(digits).unwrap_or_default();
    match text.split_once('E') {
        None => {
            let short = text.trim_end_matches('0').trim_end_matches('.');
            raw(out, if short == "-0" { "0" } else { short });
        }
        Some((mantissa, exponent)) => put_scientific(out, mantissa, exponent),
    }
    Ok(())
}

/// `BigDecimal.toString` of a mantissa with one digit before the point, and an exponent.
fn put_scientific(out: &mut Vec<u8>, mantissa: &str, exponent: &str) {
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Small ones down to here are written without an exponent.
    const PLAIN: std::ops::Range<i32> = -6..0;
    if !PLAIN.contains(&exponent) {
        raw(out, mantissa);
        raw(out, if exponent > 0 { "E+" } else { "E" });
        return json::put_integer(out, exponent);
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    raw(out, sign);
    raw(out, "0.");
    out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
    out.extend(mantissa.bytes().filter(|&byte| byte != b'.'));
}

fn put_index(out: &mut Vec<u8>, index: usize) {
    raw(out, "\"connect.index\":");
    json::put_integer(out, index);
}

fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    json::put_string(out, text.as_bytes());
}

/// `,"name":`
fn key(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    string(out, name);
    out.push(b':');
}

fn property(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_default(kind: Kind, default: Value) -> Schema {
        Schema { default: Some(default), ..Schema::new(kind) }
    }

    #[test]
    fn numbers_are_written_as_javas_decimals() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (100.0, "100"),
            (-1.5, "-1.5"),
            (1e7, "1.0E+7"),
            (1.25e-4, "0.000125"),
            (1e-5, "0.000010"),
            (-1e-6, "-0.0000010"),
            (1e-7, "1.0E-7"),
        ] {
            let text = schema_text(&with_default(Kind::Float64, Value::Double(value))).unwrap();
            let end = format!("\"default\":{expected},\"connect.type\":\"float64\"}}");
            assert!(text.ends_with(&end), "{text} {end}");
        }
    }

    #[test]
    fn a_default_that_is_no_finite_number_is_refused() {
        for value in [f64::NAN, f64::INFINITY] {
            let schema = with_default(Kind::Float64, Value::Double(value));
            let error = schema_text(&schema).unwrap_err();
            assert!(error.to_string().contains("no finite number"), "{error}");
        }
    }
}
