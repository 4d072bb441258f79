//! Every schema that the encoders write is taken by a real registry and comes back as it was: the
//! golden files of `offtake-encode`, which Confluent's own converters wrote.

use offtake_registry::SchemaType;
use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;
use serde_json::Value;

use crate::client;

const GOLDEN: [(SchemaType, &str, &str); 3] = [
    (
        SchemaType::Avro,
        "schema",
        include_str!("../../../gateway/crates/encode/tests/golden/avro.jsonl"),
    ),
    (
        SchemaType::Protobuf,
        "schema",
        include_str!("../../../gateway/crates/encode/tests/golden/protobuf.jsonl"),
    ),
    (
        SchemaType::Json,
        "schema",
        include_str!("../../../gateway/crates/encode/tests/golden/json_schema.jsonl"),
    ),
];

#[test]
fn every_schema_of_the_encoders_is_registered_and_found_again() {
    if skipped("every_schema_of_the_encoders_is_registered_and_found_again") {
        return;
    }
    let server = SchemaRegistry::shared();
    let (first, second) = (client(server), client(server));
    for (schema_type, name, lines) in GOLDEN {
        let mut count = 0;
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            // What the converters refuse has no schema.
            let Some(schema) = line[name].as_str().filter(|_| line.get("error").is_none()) else {
                continue;
            };
            let subject = server.subject("golden");
            // Apicurio takes the JSON Schemas of objects alone; no message's root is anything else.
            let root: Value = serde_json::from_str(schema).unwrap_or_default();
            if schema_type == SchemaType::Json && root["type"] != "object" {
                continue;
            }
            let id = first.register(&subject, schema_type, schema, &[]).unwrap();
            assert_eq!(second.look_up(&subject, schema_type, schema, &[]).unwrap(), id);
            assert_eq!(second.schema(id).unwrap().schema, schema);
            count += 1;
        }
        assert!(count > 20, "{schema_type}: {count}");
    }
}
