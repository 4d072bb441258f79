//! The schema evolution that every tutorial shows, under each compatibility level, in each
//! language: a column `currency` with a default is added, then `amount` is renamed to `total`.
//!
//! What the registry says is in `evolution.expected`; `UPDATE=1` rewrites it. The words are
//! Apicurio's, the verdicts are the rules': a required field without a default cannot be read from
//! an old message (backward) and is missing for an old reader (forward).

use std::fmt::Write as _;
use std::path::Path;

use offtake_registry::SchemaType;
use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;

use crate::client;

/// A table's schema as it is, with `currency`, and with `total` for `amount`.
struct Shape {
    name: &'static str,
    schema_type: SchemaType,
    steps: [String; 3],
}

fn avro(name: &'static str, number: &str) -> Shape {
    let record = |fields: &str| {
        format!(
            r#"{{"type":"record","name":"Value","namespace":"shop.payments","fields":[{{"name":"id","type":"long"}},{fields}]}}"#
        )
    };
    let currency = r#"{"name":"currency","type":"string","default":"EUR"}"#;
    Shape {
        name,
        schema_type: SchemaType::Avro,
        steps: [
            record(&format!(r#"{{"name":"amount",{number}}}"#)),
            record(&format!(r#"{{"name":"amount",{number}}},{currency}"#)),
            record(&format!(r#"{{"name":"total",{number}}},{currency}"#)),
        ],
    }
}

fn json(name: &'static str, rest: &str, required: bool) -> Shape {
    let object = |number: &str, more: &str| {
        let required =
            if required { format!(r#","required":["id","{number}"]"#) } else { String::new() };
        format!(
            r#"{{"title":"shop.payments.Value","type":"object","properties":{{"id":{{"type":"integer"}},"{number}":{{"type":"number"}}{more}}}{required}{rest}}}"#
        )
    };
    let currency = r#","currency":{"type":"string","default":"EUR"}"#;
    Shape {
        name,
        schema_type: SchemaType::Json,
        steps: [object("amount", ""), object("amount", currency), object("total", currency)],
    }
}

fn protobuf() -> Shape {
    let message = |fields: &str| {
        format!(
            "syntax = \"proto3\";\npackage shop.payments;\n\nmessage Value {{\n  int64 id = 1;\n{fields}}}\n"
        )
    };
    Shape {
        name: "protobuf",
        schema_type: SchemaType::Protobuf,
        steps: [
            message("  double amount = 2;\n"),
            message("  double amount = 2;\n  string currency = 3;\n"),
            message("  double total = 2;\n  string currency = 3;\n"),
        ],
    }
}

/// The reason with its list sorted, which the registry gives in any order.
fn in_order(reason: &str) -> String {
    let (before, list) = reason.split_once("diff types: [").unwrap();
    let mut differences: Vec<&str> = list.trim_end_matches(']').split(", ").collect();
    differences.sort_unstable();
    format!("{before}diff types: [{}]", differences.join(", "))
}

#[test]
fn each_level_takes_and_refuses_what_its_rule_says() {
    if skipped("each_level_takes_and_refuses_what_its_rule_says") {
        return;
    }
    let shapes = [
        avro("avro, column not null", r#""type":"double""#),
        avro("avro, column nullable", r#""type":["null","double"],"default":null"#),
        json("json, open, required", "", true),
        json("json, open, optional", "", false),
        json("json, closed, optional", r#","additionalProperties":false"#, false),
        protobuf(),
    ];
    let server = SchemaRegistry::shared();
    let client = client(server);
    let mut told = String::new();
    for shape in &shapes {
        for level in ["BACKWARD", "FORWARD", "FULL"] {
            let subject = server.subject("evolution");
            let register =
                |step: usize| client.register(&subject, shape.schema_type, &shape.steps[step], &[]);
            register(0).unwrap();
            server.set_compatibility(&subject, level).unwrap();
            for (step, what) in [(1, "add currency"), (2, "rename amount to total")] {
                let ahead = client
                    .check_compatibility(&subject, shape.schema_type, &shape.steps[step], &[])
                    .unwrap();
                let verdict = match register(step) {
                    Ok(_) => "taken".to_owned(),
                    Err(error) => {
                        assert_eq!(error.code(), "REGISTRY_INCOMPATIBLE", "{error}");
                        in_order(&error.to_string().replace(&subject, "SUBJECT"))
                    }
                };
                assert_eq!(ahead.unwrap().is_compatible, verdict == "taken", "{verdict}");
                writeln!(told, "{}, {level}, {what}: {verdict}", shape.name).unwrap();
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/evolution.expected");
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&path).unwrap_or_default());
}
