//! The registry's client against a real registry: what is registered, looked up and refused, how
//! tables may change, who may ask, and what happens while the registry is away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evolution;
mod golden;
mod outage;
mod proxy;
mod security;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use offtake_registry::{
    ProbeOutcome, Reference, Registry, RegistryOptions, SchemaId, SchemaType, Wanted,
};
use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;

/// One schema in each language.
const SCHEMAS: [(SchemaType, &str); 3] = [
    (
        SchemaType::Avro,
        r#"{"type":"record","name":"Key","namespace":"shop","fields":[{"name":"id","type":"long"}]}"#,
    ),
    (
        SchemaType::Protobuf,
        "syntax = \"proto3\";\npackage shop;\n\nmessage Key {\n  int64 id = 1;\n}\n",
    ),
    (
        SchemaType::Json,
        r#"{"type":"object","title":"shop.Key","properties":{"id":{"type":"integer"}}}"#,
    ),
];

fn options(url: &str) -> RegistryOptions {
    RegistryOptions {
        urls: vec![url.to_owned()],
        timeout: Duration::from_secs(5),
        ..RegistryOptions::default()
    }
}

fn client(server: &SchemaRegistry) -> Registry {
    Registry::new(&options(&server.url())).unwrap()
}

/// A record with these fields, each written as Avro writes it.
fn record(fields: &[&str]) -> String {
    let fields = fields.join(",");
    format!(r#"{{"type":"record","name":"Value","namespace":"shop.payments","fields":[{fields}]}}"#)
}

const ID: &str = r#"{"name":"id","type":"long"}"#;
const AMOUNT: &str = r#"{"name":"amount","type":"double"}"#;
const TOTAL: &str = r#"{"name":"total","type":"double"}"#;

#[test]
fn a_schema_of_each_language_has_one_id_for_every_client_and_subject() {
    if skipped("a_schema_of_each_language_has_one_id_for_every_client_and_subject") {
        return;
    }
    let server = SchemaRegistry::shared();
    let (first, second) = (client(server), client(server));
    for (schema_type, schema) in SCHEMAS {
        let subjects = [server.subject("keys"), server.subject("a/b c\u{e9}")];
        let id = first.register(&subjects[0], schema_type, schema, &[]).unwrap();
        assert_eq!(first.register(&subjects[0], schema_type, schema, &[]).unwrap(), id);
        for subject in &subjects {
            assert_eq!(second.register(subject, schema_type, schema, &[]).unwrap(), id);
            assert_eq!(second.look_up(subject, schema_type, schema, &[]).unwrap(), id);
            let latest = second.latest(subject).unwrap().unwrap();
            assert_eq!((latest.id, latest.version), (id, Some(1)));
            assert_eq!(latest.schema_type, Some(schema_type));
        }
        let found = second.schema(id).unwrap();
        assert_eq!((found.schema_type, found.schema.as_str()), (Some(schema_type), schema));
        assert_eq!(
            server.schema(id.0).unwrap(),
            (schema_type.name().to_owned(), schema.to_owned())
        );
    }
}

#[test]
fn a_schema_that_imports_another_names_it() {
    if skipped("a_schema_that_imports_another_names_it") {
        return;
    }
    let server = SchemaRegistry::shared();
    let client = client(server);
    let imported = server.subject("money.proto");
    let money = "syntax = \"proto3\";\npackage shop;\n\nmessage Money {\n  int64 cents = 1;\n}\n";
    client.register(&imported, SchemaType::Protobuf, money, &[]).unwrap();
    let reference = Reference { name: "money.proto".to_owned(), subject: imported, version: 1 };
    let schema = "syntax = \"proto3\";\npackage shop;\n\nimport \"money.proto\";\n\nmessage Value {\n  \
                  shop.Money amount = 1;\n}\n";
    let subject = server.subject("payments");
    let references = std::slice::from_ref(&reference);
    client.register(&subject, SchemaType::Protobuf, schema, references).unwrap();
    assert_eq!(client.latest(&subject).unwrap().unwrap().references, references);
    let missing = Reference { subject: server.subject("nowhere"), ..reference };
    let subject = server.subject("payments");
    let error = client.register(&subject, SchemaType::Protobuf, schema, &[missing]).unwrap_err();
    assert!(!error.is_transient() && error.subject() == Some(subject.as_str()), "{error:?}");
}

#[test]
fn what_the_registry_refuses_is_final_and_says_why() {
    if skipped("what_the_registry_refuses_is_final_and_says_why") {
        return;
    }
    let server = SchemaRegistry::shared();
    let client = client(server);
    let subject = server.subject("payments");
    client.register(&subject, SchemaType::Avro, &record(&[ID, AMOUNT]), &[]).unwrap();
    server.set_compatibility(&subject, "BACKWARD").unwrap();
    assert_eq!(client.compatibility_level(&subject).unwrap(), "BACKWARD");
    for _ in 0..2 {
        let error = client
            .register(&subject, SchemaType::Avro, &record(&[ID, TOTAL]), &[])
            .expect_err("a field without a default cannot be read from an old message");
        assert_eq!((error.code(), error.is_transient()), ("REGISTRY_INCOMPATIBLE", false));
        assert!(error.to_string().contains("total at /fields/1"), "{error}");
        assert_eq!(error.subject(), Some(subject.as_str()));
    }
    assert_eq!(server.versions(&subject).unwrap(), [1]);

    for schema_type in SchemaType::ALL {
        let subject = server.subject("nonsense");
        let error = client.register(&subject, schema_type, "nonsense", &[]).unwrap_err();
        assert_eq!(error.code(), "REGISTRY_SCHEMA_INVALID", "{error}");
        assert!(server.versions(&subject).unwrap().is_empty());
    }
    let unknown = client.schema(SchemaId(i32::MAX)).unwrap_err();
    assert_eq!((unknown.code(), unknown.is_transient()), ("REGISTRY_ID_UNKNOWN", false));
}

#[test]
fn without_auto_register_a_schema_must_be_there() {
    if skipped("without_auto_register_a_schema_must_be_there") {
        return;
    }
    let server = SchemaRegistry::shared();
    let reader = RegistryOptions { auto_register: false, ..options(&server.url()) };
    let reader = Registry::new(&reader).unwrap();
    let subject = server.subject("payments");
    let (first, second) = (record(&[ID, AMOUNT]), record(&[ID, TOTAL]));
    let unknown = reader.register(&subject, SchemaType::Avro, &first, &[]).unwrap_err();
    assert_eq!((unknown.code(), unknown.is_transient()), ("REGISTRY_NOT_REGISTERED", false));
    let id = client(server).register(&subject, SchemaType::Avro, &first, &[]).unwrap();
    assert_eq!(reader.register(&subject, SchemaType::Avro, &first, &[]).unwrap(), id);
    let other = reader.register(&subject, SchemaType::Avro, &second, &[]).unwrap_err();
    assert_eq!(other.code(), "REGISTRY_NOT_REGISTERED");
    assert!(other.to_string().contains("does not match any schema"), "{other}");
    assert_eq!(server.versions(&subject).unwrap(), [1]);
}

#[test]
fn clients_that_register_at_the_same_time_get_one_id() {
    if skipped("clients_that_register_at_the_same_time_get_one_id") {
        return;
    }
    let server = SchemaRegistry::shared();
    for _ in 0..5 {
        let subject = server.subject("race");
        let schema =
            record(&[ID, &format!(r#"{{"name":"{}","type":"int"}}"#, subject.replace('-', "_"))]);
        let ids: BTreeSet<SchemaId> = thread::scope(|scope| {
            let one = || client(server).register(&subject, SchemaType::Avro, &schema, &[]).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(server.versions(&subject).unwrap(), [1]);
    }
}

#[test]
fn an_earlier_schema_that_comes_again_keeps_its_id() {
    if skipped("an_earlier_schema_that_comes_again_keeps_its_id") {
        return;
    }
    let server = SchemaRegistry::shared();
    let subject = server.subject("payments");
    let currency = r#"{"name":"currency","type":"string","default":"EUR"}"#;
    let (first, second) = (record(&[ID, currency]), record(&[ID]));
    let register = |schema| client(server).register(&subject, SchemaType::Avro, schema, &[]);
    let id = register(&first).unwrap();
    server.set_compatibility(&subject, "BACKWARD").unwrap();
    assert_ne!(register(&second).unwrap(), id);
    // A log that is read again from its beginning brings the first one again.
    assert_eq!(register(&first).unwrap(), id);
}

#[test]
fn a_check_says_what_would_happen_and_registers_nothing() {
    if skipped("a_check_says_what_would_happen_and_registers_nothing") {
        return;
    }
    let server = SchemaRegistry::shared();
    let client = client(server);
    let (known, new) = (server.subject("payments"), server.subject("payments"));
    let first = record(&[ID, AMOUNT]);
    client.register(&known, SchemaType::Avro, &first, &[]).unwrap();
    server.set_compatibility(&known, "FULL").unwrap();
    let (wider, renamed) = (
        record(&[ID, AMOUNT, r#"{"name":"currency","type":"string","default":"EUR"}"#]),
        record(&[ID, TOTAL]),
    );
    let wanted = |subject, schema| Wanted {
        subject,
        schema_type: SchemaType::Avro,
        schema,
        references: &[],
    };
    let items = client.probe(&[
        wanted(&known, Some(&first)),
        wanted(&known, Some(&wider)),
        wanted(&known, Some(&renamed)),
        wanted(&new, Some(&renamed)),
        wanted(&new, None),
    ]);
    let told: Vec<(ProbeOutcome, &str)> =
        items.iter().map(|item| (item.outcome, item.text.as_str())).collect();
    let ok = ProbeOutcome::Ok;
    assert!(told[0].0 == ok && told[0].1.ends_with("answers and takes JSON, PROTOBUF, AVRO"));
    assert!(told[1].0 == ok && told[1].1.contains("has version 1, compatibility FULL; has this"));
    assert!(told[2].0 == ok && told[2].1.ends_with("a new version will be registered"));
    assert_eq!((told[3].0, items[3].code), (ProbeOutcome::Error, "REGISTRY_INCOMPATIBLE"));
    assert!(told[4].0 == ok && told[4].1.ends_with("the first schema will be registered"));
    assert_eq!(told[5], (ok, "does not exist yet, compatibility NONE"));
    assert_eq!(server.versions(&known).unwrap(), [1]);
    assert!(server.versions(&new).unwrap().is_empty());

    let wrong_path = format!("http://{}/", server.address());
    let items = Registry::new(&options(&wrong_path)).unwrap().probe(&[]);
    assert_eq!((items.len(), items[0].code), (1, "REGISTRY_WRONG_ANSWER"), "{items:?}");
}
