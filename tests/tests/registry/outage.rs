//! A registry that is away, and one that hangs: errors that end by themselves, and nothing else.

use std::time::{Duration, Instant};

use offtake_registry::{Registry, RegistryOptions, SchemaType};
use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;

use crate::options;

#[test]
fn an_outage_is_transient_known_schemas_are_unaffected_and_it_ends_by_itself() {
    if skipped("an_outage_is_transient_known_schemas_are_unaffected_and_it_ends_by_itself") {
        return;
    }
    let server = SchemaRegistry::start().unwrap();
    let timeout = Duration::from_millis(1500);
    let client = Registry::new(&RegistryOptions { timeout, ..options(&server.url()) }).unwrap();
    let register = |schema| client.register("s-value", SchemaType::Avro, schema, &[]);
    let known = register("\"int\"").unwrap();

    server.pause().unwrap();
    let begin = Instant::now();
    let hangs = register("\"long\"").unwrap_err();
    assert_eq!((hangs.code(), hangs.is_transient()), ("REGISTRY_TIMEOUT", true), "{hangs}");
    assert!(begin.elapsed() < timeout * 2, "{:?}", begin.elapsed());
    assert_eq!(register("\"int\"").unwrap(), known);
    server.resume().unwrap();
    // What was not answered in time may have been done all the same.
    let id = register("\"long\"").unwrap();
    assert_eq!(server.schema(id.0).unwrap().1, "\"long\"");
    assert_eq!(server.versions("s-value").unwrap(), [1, 2]);

    server.kill().unwrap();
    let away = register("\"string\"").unwrap_err();
    assert_eq!((away.code(), away.is_transient()), ("REGISTRY_UNREACHABLE", true), "{away}");
    assert_eq!(register("\"int\"").unwrap(), known);
    server.launch().unwrap();
    let id = register("\"string\"").unwrap();
    assert_eq!(server.schema(id.0).unwrap().1, "\"string\"");
}
