//! Connect data out of JSON with schemas, `{"schema":…,"payload":…}`, as Kafka's `JsonConverter`
//! reads it, for tests. Trusts its input.

use std::sync::Arc;

use offtake_encode::connect::{Field, Kind, Schema, Value};
use serde_json::Value as Json;

const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// Reads the schema and the value of a record.
pub(crate) fn read(record: &Json) -> (Arc<Schema>, Value) {
    let schema = schema(&record["schema"]);
    let value = value(&schema, &record["payload"]);
    (Arc::new(schema), value)
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
            let fields = json["fields"].as_array().unwrap().iter();
            Kind::Struct(fields.map(field).collect())
        }
        other => panic!("no type of Connect's: {other}"),
    };
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let parameters = json["parameters"].as_object().into_iter().flatten();
    let mut read = Schema {
        kind,
        optional: json["optional"].as_bool().unwrap_or(false),
        name: text("name"),
        version: json["version"].as_i64().map(|version| i32::try_from(version).unwrap()),
        doc: text("doc"),
        parameters: parameters
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        default: None,
    };
    read.default = match &json["default"] {
        Json::Null => None,
        default => Some(value(&read, default)),
    };
    read
}

fn field(json: &Json) -> Field {
    Field { name: json["field"].as_str().unwrap().to_owned(), schema: Arc::new(schema(json)) }
}

fn value(schema: &Schema, json: &Json) -> Value {
    // Values that are no numbers are text in JSON, which Kafka's converter reads as zero; it also
    // loses zero's sign.
    let number = || json.as_f64().unwrap_or(0.0) + 0.0;
    match &schema.kind {
        _ if json.is_null() => Value::Null,
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
            Value::Integer(json.as_i64().unwrap())
        }
        Kind::Float32 => Value::Single(number() as f32),
        Kind::Float64 => Value::Double(number()),
        Kind::Boolean => Value::Boolean(json.as_bool().unwrap()),
        Kind::String => Value::Text(json.as_str().unwrap().to_owned()),
        Kind::Bytes => {
            let bytes = base64(json.as_str().unwrap());
            let decimal = schema.name.as_deref() == Some(DECIMAL);
            Value::Bytes(if decimal { shortest(bytes) } else { bytes })
        }
        Kind::Array(element) => {
            let elements = json.as_array().unwrap().iter();
            Value::Array(elements.map(|json| value(element, json)).collect())
        }
        Kind::Map(key, element) => Value::Map(entries(key, element, json)),
        Kind::Struct(fields) => Value::Struct(
            fields.iter().map(|field| value(&field.schema, &json[&field.name])).collect(),
        ),
    }
}

/// A map's entries in the order in which a Java `HashMap` gives them.
fn entries(key: &Schema, element: &Schema, json: &Json) -> Vec<(Value, Value)> {
    let mut entries: Vec<(Value, Value)> = match json {
        Json::Object(members) => members
            .iter()
            .map(|(name, json)| (Value::Text(name.clone()), value(element, json)))
            .collect(),
        _ => json
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (value(key, &pair[0]), value(element, &pair[1])))
            .collect(),
    };
    let mut buckets = 16;
    while entries.len() > buckets * 3 / 4 {
        buckets *= 2;
    }
    entries.sort_by_key(|(key, _)| {
        let hash = java_hash(key);
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
    entries
}

fn java_hash(key: &Value) -> u32 {
    match key {
        Value::Null => 0,
        Value::Boolean(key) => {
            if *key {
                1231
            } else {
                1237
            }
        }
        // An Integer's or a Short's, and a Long's where it is small and not negative.
        Value::Integer(key) => *key as u32,
        Value::Text(key) => key
            .encode_utf16()
            .fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit))),
        other => panic!("no key of a map: {other:?}"),
    }
}

/// A decimal's bytes as Java's `BigInteger` gives them back.
fn shortest(bytes: Vec<u8>) -> Vec<u8> {
    let needless = bytes
        .windows(2)
        .take_while(|pair| {
            matches!((pair[0], pair[1]), (0, next) if next < 0x80)
                || matches!((pair[0], pair[1]), (0xff, next) if next >= 0x80)
        })
        .count();
    bytes[needless..].to_vec()
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        let digit = ALPHABET.iter().position(|&other| other == letter).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
