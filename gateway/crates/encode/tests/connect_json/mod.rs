//! Connect data out of the JSON that Kafka's `JsonConverter` writes with schemas on: what the
//! oracles of the converters' tests read too. Follows that converter's reading, quirks included.

use std::sync::Arc;

use offtake_encode::connect::{Field, Kind, Schema, Value};
use serde_json::Value as Json;

/// A line's `schema` and `payload`.
pub(crate) fn read(line: &Json) -> (Arc<Schema>, Value) {
    let schema = Arc::new(schema(&line["schema"]));
    let value = value(&schema, &line["payload"]);
    (schema, value)
}

fn schema(json: &Json) -> Schema {
    let kind = match json["type"].as_str().unwrap() {
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float" => Kind::Float32,
        "double" => Kind::Float64,
        "boolean" => Kind::Boolean,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "array" => Kind::Array(Arc::new(schema(&json["items"]))),
        "map" => Kind::Map(Arc::new(schema(&json["keys"])), Arc::new(schema(&json["values"]))),
        "struct" => {
            let fields = json["fields"].as_array().unwrap().iter().map(|field| Field {
                name: field["field"].as_str().unwrap().to_owned(),
                schema: Arc::new(schema(field)),
            });
            Kind::Struct(fields.collect())
        }
        other => panic!("unknown type {other}"),
    };
    let mut schema = Schema::new(kind);
    schema.optional = json["optional"].as_bool().unwrap_or(false);
    schema.name = json["name"].as_str().map(str::to_owned);
    schema.version = json["version"].as_i64().map(|version| version as i32);
    for (name, parameter) in json["parameters"].as_object().into_iter().flatten() {
        schema = schema.parameter(name, parameter.as_str().unwrap());
    }
    if let Some(default) = json.get("default").filter(|default| !default.is_null()) {
        schema.default = Some(value(&schema, default));
    }
    schema
}

fn value(schema: &Schema, json: &Json) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    match &schema.kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
            Value::Integer(json.as_i64().unwrap())
        }
        // The converter reads by way of `BigDecimal`, which has no minus zero, and takes the names
        // of infinities for zero.
        Kind::Float32 => Value::Single(json.as_f64().unwrap_or(0.0) as f32 + 0.0),
        Kind::Float64 => Value::Double(json.as_f64().unwrap_or(0.0) + 0.0),
        Kind::Boolean => Value::Boolean(json.as_bool().unwrap()),
        Kind::String => Value::Text(json.as_str().unwrap().to_owned()),
        Kind::Bytes => Value::Bytes(base64(json.as_str().unwrap())),
        Kind::Array(element) => {
            Value::Array(json.as_array().unwrap().iter().map(|json| value(element, json)).collect())
        }
        Kind::Map(key, values) => Value::Map(map(key, values, json)),
        Kind::Struct(fields) => Value::Struct(
            fields.iter().map(|field| value(&field.schema, &json[&field.name])).collect(),
        ),
    }
}

/// An object where the keys are required text, pairs otherwise. The converter reads both into a
/// `HashMap`, whose order follows from the keys.
fn map(key: &Schema, values: &Schema, json: &Json) -> Vec<(Value, Value)> {
    let mut entries: Vec<(Value, Value)> = match json {
        Json::Object(entries) => entries
            .iter()
            .map(|(name, json)| (Value::Text(name.clone()), value(values, json)))
            .collect(),
        pairs => pairs
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (value(key, &pair[0]), value(values, &pair[1])))
            .collect(),
    };
    let mut buckets = 16;
    while entries.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    entries.sort_by_key(|(key, _)| hash(key) as usize % buckets);
    entries
}

fn hash(key: &Value) -> u32 {
    let hash = match key {
        Value::Text(text) => text
            .encode_utf16()
            .fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit))),
        Value::Integer(value) => (value ^ (value >> 32)) as u32,
        other => panic!("no order is known for the key {other:?}"),
    };
    hash ^ (hash >> 16)
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut width) = (0u32, 0);
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        let sextet = ALPHABET.iter().position(|&candidate| candidate == letter).unwrap();
        bits = (bits << 6) | sextet as u32;
        width += 6;
        if width >= 8 {
            width -= 8;
            out.push((bits >> width) as u8);
        }
    }
    out
}
