//! Connect data at random, as JSON with schemas: every kind, every logical type of Debezium's,
//! optional and required, with and without defaults, nested, from a seed.

use serde_json::{Map, Value, json};

/// Which names of fields and records there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Such as Avro allows.
    Avro,
    /// Such as Protobuf allows.
    Protobuf,
    /// Any text.
    Any,
}

/// How deep structs, arrays and maps may stand in one another.
const DEPTH: u32 = 4;
/// Kind, name, and parameters with their values.
type Logical = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
/// Debezium's and Connect's logical types.
const LOGICAL: [Logical; 31] = [
    (
        "bytes",
        "org.apache.kafka.connect.data.Decimal",
        &[("scale", "2"), ("connect.decimal.precision", "10")],
    ),
    ("bytes", "org.apache.kafka.connect.data.Decimal", &[("scale", "0")]),
    (
        "bytes",
        "org.apache.kafka.connect.data.Decimal",
        &[("scale", "70"), ("connect.decimal.precision", "65")],
    ),
    ("bytes", "org.apache.kafka.connect.data.Decimal", &[("scale", "-2")]),
    ("int32", "org.apache.kafka.connect.data.Date", &[]),
    ("int32", "org.apache.kafka.connect.data.Time", &[]),
    ("int64", "org.apache.kafka.connect.data.Timestamp", &[]),
    ("bytes", "io.debezium.data.Bits", &[("length", "11")]),
    ("string", "io.debezium.data.Json", &[]),
    ("string", "io.debezium.data.Xml", &[]),
    ("string", "io.debezium.data.Uuid", &[]),
    ("string", "io.debezium.data.Ltree", &[]),
    ("string", "io.debezium.data.Tsvector", &[]),
    ("string", "io.debezium.data.Enum", &[("allowed", "a,b \"c\"")]),
    ("string", "io.debezium.data.EnumSet", &[("allowed", "ä,b")]),
    ("int32", "io.debezium.time.Date", &[]),
    ("int32", "io.debezium.time.Time", &[]),
    ("int64", "io.debezium.time.MicroTime", &[]),
    ("int64", "io.debezium.time.NanoTime", &[]),
    ("int64", "io.debezium.time.Timestamp", &[]),
    ("int64", "io.debezium.time.MicroTimestamp", &[]),
    ("int64", "io.debezium.time.NanoTimestamp", &[]),
    ("string", "io.debezium.time.ZonedTimestamp", &[]),
    ("string", "io.debezium.time.ZonedTime", &[]),
    ("int64", "io.debezium.time.MicroDuration", &[]),
    ("string", "io.debezium.time.Interval", &[]),
    ("int32", "io.debezium.time.Year", &[]),
    ("string", "io.debezium.time.IsoDate", &[]),
    ("string", "io.debezium.time.IsoTime", &[]),
    ("string", "io.debezium.time.IsoTimestamp", &[]),
    // Column parameters, as column.propagate.source.type has them.
    (
        "string",
        "a name of no one",
        &[
            ("__debezium.source.column.type", "VARCHAR"),
            ("__debezium.source.column.length", "255"),
            ("__debezium.source.column.scale", "0"),
            ("masked", "true"),
            ("length", "9"),
        ],
    ),
];
const PLAIN: [&str; 9] =
    ["int8", "int16", "int32", "int64", "float", "double", "boolean", "string", "bytes"];
/// 64-bit floats, and 32-bit ones where they are in range. Such as every version of Java writes
/// with the same digits.
const DOUBLES: [f64; 12] =
    [0.0, -0.0, 1.0, -1.5, 0.1, 123456.75, 1e7, 1.25e-4, 1e-5, 2.5e-7, 3.5e20, 100.0];
const TEXTS: [&str; 8] =
    ["", "a", "größe", "\"quoted\" \\ and\nlines\t", "\u{1}\u{7f}", "😀", "</script>", "null"];

/// A record.
pub(crate) fn record(seed: u64, names: Names) -> Value {
    let mut random = Random { state: seed, names, records: Vec::new() };
    let schema = match random.below(8) {
        0 => random.schema(DEPTH),
        _ => random.structure(DEPTH),
    };
    // A null as a whole is a tombstone, which no format writes.
    let payload = random.present(&schema);
    json!({ "schema": schema, "payload": payload })
}

struct Random {
    state: u64,
    names: Names,
    /// Structs made so far, to be used again.
    records: Vec<Value>,
}

impl Random {
    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn schema(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 10 }) {
            0..=2 => self.plain(),
            3..=5 => self.logical(),
            6 => {
                let items = self.schema(depth - 1);
                self.finish(json!({ "type": "array", "items": items }))
            }
            7 => self.map(depth - 1),
            _ => self.structure(depth - 1),
        }
    }

    fn plain(&mut self) -> Value {
        let kind = PLAIN[self.below(PLAIN.len())];
        self.finish(json!({ "type": kind }))
    }

    fn logical(&mut self) -> Value {
        let (kind, name, parameters) = LOGICAL[self.below(LOGICAL.len())];
        let mut schema = json!({ "type": kind, "name": name, "version": 1 });
        if !parameters.is_empty() {
            let parameters: Map<String, Value> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            schema["parameters"] = json!(parameters);
        }
        self.finish(schema)
    }

    /// Keys of text, of optional text, or of numbers.
    fn map(&mut self, depth: u32) -> Value {
        let keys = match self.below(4) {
            0 => json!({ "type": "int16", "optional": false }),
            1 => json!({ "type": "string", "optional": true }),
            _ => json!({ "type": "string", "optional": false }),
        };
        let values = self.schema(depth);
        let mut map = json!({ "type": "map", "keys": keys, "values": values });
        if keys != json!({ "type": "string", "optional": false }) {
            // Its entries are a record in Avro, and two of one name cannot be.
            let name = format!("maps.Map{}", self.next());
            map["name"] = json!(name);
        }
        self.finish(map)
    }

    /// A struct; now and then one that was made before.
    fn structure(&mut self, depth: u32) -> Value {
        if !self.records.is_empty() && self.one_in(4) {
            let index = self.below(self.records.len());
            let mut again = self.records[index].clone();
            again["optional"] = json!(self.one_in(2));
            return again;
        }
        let count = match self.below(12) {
            0 => 0,
            1 => 30,
            other => other,
        };
        let fields: Vec<Value> = (0..count)
            .map(|index| {
                let mut field = self.schema(depth.saturating_sub(1));
                let name = self.field_name(index);
                field["field"] = json!(name);
                field
            })
            .collect();
        let mut schema = json!({ "type": "struct", "fields": fields, "optional": self.one_in(2) });
        if !self.one_in(6) {
            let number = self.next() % 1_000_000;
            schema["name"] = json!(match self.below(4) {
                0 => format!("Record{number}"),
                1 => format!("srv.public.Record{number}"),
                _ => format!("srv.public.table.Record{number}"),
            });
        }
        if self.one_in(3) {
            schema["version"] = json!(self.below(3));
        }
        if self.one_in(5) {
            schema["doc"] = json!(TEXTS[self.below(TEXTS.len())]);
        }
        self.records.push(schema.clone());
        schema
    }

    fn field_name(&mut self, index: usize) -> String {
        const STEMS: [&str; 10] =
            ["id", "Aa", "BB", "größe", "_x", "some_longer_name", "a", "z", "timestamp", "N"];
        const ODD: [&str; 5] = ["a column", "quo\"te", "1digit", "dash-ed", "ünï.😀"];
        let stem = match STEMS[self.below(STEMS.len())] {
            "größe" if self.names == Names::Protobuf => "size",
            stem => stem,
        };
        if self.names == Names::Any && self.one_in(3) {
            format!("{}{index}", ODD[self.below(ODD.len())])
        } else {
            format!("{stem}{index}")
        }
    }

    /// Optional or not, documentation, a default.
    fn finish(&mut self, mut schema: Value) -> Value {
        schema["optional"] = json!(self.one_in(2));
        if self.one_in(8) {
            schema["doc"] = json!(TEXTS[self.below(TEXTS.len())]);
        }
        if schema["version"].is_null() && self.one_in(8) {
            schema["version"] = json!(7);
        }
        // Kafka's reader of this JSON cannot take a struct in a default.
        if self.one_in(3) && !schema.to_string().contains("\"struct\"") {
            let default = self.present(&schema);
            schema["default"] = default;
        }
        schema
    }

    fn value(&mut self, schema: &Value) -> Value {
        if schema["optional"] == json!(true) && self.one_in(3) {
            return Value::Null;
        }
        self.present(schema)
    }

    fn present(&mut self, schema: &Value) -> Value {
        match schema["type"].as_str().unwrap() {
            "int8" => self.integer(8),
            "int16" => self.integer(16),
            // Java holds a date in milliseconds, and a time within a day.
            "int32" if is_connect(schema, "Date") => json!(self.below(200_000) as i64 - 100_000),
            "int32" if is_connect(schema, "Time") => json!(self.below(86_400_000)),
            "int32" => self.integer(32),
            "int64" => self.integer(64),
            "float" => json!(DOUBLES[self.below(DOUBLES.len())]),
            "double" => json!(DOUBLES[self.below(DOUBLES.len())]),
            "boolean" => json!(self.one_in(2)),
            "string" => json!(TEXTS[self.below(TEXTS.len())]),
            // Whole groups of base64; a decimal has at least one byte.
            "bytes" => {
                let groups = self.below(3) + usize::from(is_connect(schema, "Decimal"));
                let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let letter = |random: &mut Random| char::from(letters[random.below(64)]);
                json!((0..groups * 4).map(|_| letter(self)).collect::<String>())
            }
            "array" => {
                let length = self.below(4);
                json!((0..length).map(|_| self.value(&schema["items"])).collect::<Vec<_>>())
            }
            "map" => self.map_value(schema),
            "struct" => {
                let fields = schema["fields"].as_array().unwrap();
                let members = fields
                    .iter()
                    .map(|field| (field["field"].as_str().unwrap().to_owned(), self.value(field)));
                Value::Object(members.collect())
            }
            other => panic!("no type of Connect's: {other}"),
        }
    }

    fn map_value(&mut self, schema: &Value) -> Value {
        let length = self.below(15);
        let keys = &schema["keys"];
        let entries: Vec<(Value, Value)> = (0..length)
            .map(|index| {
                let key = match keys["type"].as_str().unwrap() {
                    "string" => json!(format!("{}{index}", TEXTS[self.below(TEXTS.len())])),
                    _ => json!(index * 5),
                };
                (key, self.value(&schema["values"]))
            })
            .collect();
        if keys["type"] == json!("string") {
            let members =
                entries.into_iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), value));
            Value::Object(members.collect())
        } else {
            json!(entries.into_iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>())
        }
    }

    /// Any number of so many bits, small and extreme ones more often.
    fn integer(&mut self, bits: u32) -> Value {
        let number = (self.next() as i64) >> (64 - bits);
        json!(match self.below(4) {
            0 => number,
            1 => number >> (bits - 1),
            2 => i64::MIN >> (64 - bits),
            _ => number >> (bits / 2),
        })
    }
}

fn is_connect(schema: &Value, name: &str) -> bool {
    schema["name"].as_str().and_then(|name| name.strip_prefix("org.apache.kafka.connect.data."))
        == Some(name)
}
