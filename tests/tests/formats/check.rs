//! What `offtake check` says of formats and the registry before anything is registered.

use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;

use crate::gate::{Gate, Mode};
use crate::{kafka_has, pipeline, section};

const TABLES: &str = "create table orders (id int primary key, amount numeric(10, 2) not null);
    create table odd (id int primary key, \"a b\" int);
    create table people (id int primary key, email text);
    create table plain (id int primary key)";

const ROUTES: &str = "[plugin.mask_people]
wasm = \"builtin:mask\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.people\"]
plugins = [\"mask_people\"]
format = \"avro\"

[[route]]
tables = [\"public.orders\"]
format = \"avro\"

[[route]]
tables = [\"public.*\"]
exclude = [\"public.none\"]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_the_registry_would_say() {
    if skipped("check_tells_what_the_registry_would_say") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let gate = Gate::new(Mode::Open);
    let rest = format!("{ROUTES}\n{}", section(&gate.url(), ""));
    let mut fixture = pipeline("judged", TABLES, &rest).await;
    fixture.gateway.edit("[source]", "[source]\nmessages = false").unwrap();
    let orders = format!("{}.public.orders-value", fixture.database);
    let people = format!("subject {}.public.people-value", fixture.database);
    let first = fixture.command(&["check"]).unwrap().expect(
        0,
        &[
            "kafka schema registry",
            "answers and takes ",
            &format!("subject {orders}"),
            "does not exist yet, compatibility ",
            "; the first schema will be registered",
        ],
    );
    // The plugin was asked what it makes of the table.
    let line = first.out.lines().find(|line| line.contains(&people));
    assert!(line.is_some_and(|line| line.contains("registered")), "{}", first.out);
    assert!(!first.out.contains("public.plain-value"), "{}", first.out);
    assert_eq!(registry.versions(&orders).unwrap(), [0; 0], "nothing is registered");

    fixture.client.batch_execute("insert into orders values (1, 2)").await.unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, 1);
    fixture.stop().unwrap();
    registry.set_compatibility(&orders, "BACKWARD").unwrap();
    let check = |status: i32, texts: &[&str]| {
        fixture.command(&["check"]).unwrap().expect(status, texts);
    };
    check(0, &["has version 1, compatibility BACKWARD; has this schema, id "]);
    let alter = async |sql: &str| fixture.client.batch_execute(sql).await.unwrap();
    alter("alter table orders add column currency text default 'EUR'").await;
    check(0, &["compatibility BACKWARD; a new version will be registered"]);
    alter("alter table orders rename column amount to total").await;
    check(2, &[&format!("subject {orders}: the registry refuses"), "[REGISTRY_INCOMPATIBLE]"]);
    assert_eq!(registry.versions(&orders).unwrap(), [1]);

    let edit = |from: &str, to: &str| fixture.gateway.edit(from, to).unwrap();
    edit("[\"public.none\"]", "[\"public.none\"]\nformat = \"avro\"");
    check(2, &["kafka table public.odd ", "a b", "[ENCODE_SCHEMA]", "field_names"]);
    gate.set(Mode::Shut);
    check(2, &["kafka schema registry", "cannot be reached", "[REGISTRY_UNREACHABLE]"]);
    gate.set(Mode::Unauthorized);
    check(2, &["kafka schema registry", "[REGISTRY_UNAUTHORIZED]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_warns_of_names_that_registries_may_refuse() {
    if skipped("check_warns_of_names_that_registries_may_refuse") {
        return;
    }
    let registry = SchemaRegistry::shared();
    for format in ["avro", "protobuf"] {
        let rest = section(&registry.url(), &format!("format = \"{format}\"\ndebezium = {{}}"));
        let sql = "create table \"order-items\" (id int primary key)";
        let fixture = pipeline("dashes", sql, &rest).await;
        let status = fixture.command(&["check"]).unwrap();
        assert!(status.out.contains("[KAFKA_SCHEMA_NAMESPACE]"), "{}", status.out);
        let named = status.out.contains("order-items") && status.out.contains("schema_names");
        assert!(named, "{}", status.out);
        fixture.gateway.edit("debezium = {}", "debezium = { schema_names = \"avro\" }").unwrap();
        let status = fixture.command(&["check"]).unwrap();
        assert!(!status.out.contains("KAFKA_SCHEMA_NAMESPACE"), "{}", status.out);
    }
}
