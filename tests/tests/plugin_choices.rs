//! What a plugin chooses of a table's messages with a real database and a real broker: the key, which
//! is the log's and gRPC's too, and the partition.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use offtake_encode::partition_of;
use offtake_proto::v1;
use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, Record, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 7;
const TENANTS: usize = 40;

/// Sections with the example plugin under names with configurations, in that order on every table.
fn sections(kafka: &Kafka, plugins: &[(&str, &str)], rules: &str) -> String {
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/rekey.wasm");
    let mut text = String::new();
    for (name, config) in plugins {
        text +=
            &format!("[plugin.{name}]\nwasm = \"{}\"\nconfig = {config}\n\n", component.display());
    }
    let names: Vec<&str> = plugins.iter().map(|(name, _)| *name).collect();
    text += &format!("[[route]]\ntables = [\"public.*\"]\nplugins = {names:?}\n\n");
    let brokers = kafka.brokers();
    let topics = format!("topics = {{ partitions = {PARTITIONS} }}");
    text + &format!("[kafka]\nbrokers = [\"{brokers}\"]\n{topics}\n{rules}")
}

/// Waits until Kafka has so many changes and everything that is in the log.
fn kafka_has(fixture: &Fixture, changes: usize) {
    let everything = |status: &serde_json::Value| {
        let sequence = status["kafka"]["sequence"].as_u64().unwrap_or_default();
        sequence >= changes as u64 && status["log"]["last_sequence"].as_u64() == Some(sequence)
    };
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap();
}

fn records(kafka: &Kafka, fixture: &Fixture, table: &str) -> Vec<Record> {
    kafka.read_committed(&format!("{}.public.{table}", fixture.database)).unwrap()
}

fn key(record: &Record) -> String {
    String::from_utf8(record.key.clone().expect("there is a key")).unwrap()
}

/// Debezium's letter of the operation; `-` for a tombstone.
fn operation(record: &Record) -> String {
    let Some(value) = &record.value else { return "-".to_owned() };
    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
    value["op"].as_str().unwrap().to_owned()
}

/// A header as text.
fn header(record: &Record, name: &str) -> Option<String> {
    let found = record.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// Everything so far over gRPC: the definition of each table, by its id.
async fn definitions(fixture: &Fixture, changes: usize) -> Vec<v1::Schema> {
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    subscriber
        .wait_for("everything", PATIENCE, |store| store.changes.len() >= changes)
        .await
        .unwrap();
    subscriber.schemas()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_plugin_chose_is_that_of_kafka_and_grpc_and_the_same_after_a_restart() {
    if skipped("a_key_that_a_plugin_chose_is_that_of_kafka_and_grpc_and_the_same_after_a_restart") {
        return;
    }
    let kafka = Kafka::shared();
    let sql = format!(
        "create table orders (id int primary key, tenant text not null, note text);
         alter table orders replica identity full;
         insert into orders select i, 'tenant ' || i, 'snapshot' from generate_series(1, {TENANTS}) i;"
    );
    let rest = sections(kafka, &[("by_tenant", r#"{ key = ["tenant", "id"] }"#)], "");
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "rekeyed", &sql, "", &rest).await.unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, TENANTS);
    let changes = "update orders set note = 'kept' where id = 2;
        update orders set tenant = 'moved' where id = 1;
        delete from orders where id = 1;";
    fixture.client.batch_execute(changes).await.unwrap();
    kafka_has(&fixture, TENANTS + 3);
    let found = records(kafka, &fixture, "orders");
    for record in &found {
        let bytes = record.key.as_deref().unwrap();
        assert_eq!(record.partition, partition_of(bytes, PARTITIONS), "{record:?}");
    }
    let partitions: std::collections::BTreeSet<i32> = found.iter().map(|it| it.partition).collect();
    assert!(partitions.len() > 2, "{partitions:?}");
    let of = |wanted: &str| -> Vec<&Record> {
        found.iter().filter(|record| key(record) == wanted).collect()
    };
    let operations =
        |wanted: &str| of(wanted).iter().map(|record| operation(record)).collect::<String>();
    assert_eq!(operations(r#"{"tenant":"tenant 2","id":2}"#), "ru");
    let (old, new) = (r#"{"tenant":"tenant 1","id":1}"#, r#"{"tenant":"moved","id":1}"#);
    assert_eq!((operations(old), operations(new)), ("rd-".to_owned(), "cd-".to_owned()));
    for (record, name, text) in
        [(of(old)[1], "__debezium.newkey", "moved"), (of(new)[0], "__debezium.oldkey", "tenant 1")]
    {
        assert!(header(record, name).is_some_and(|it| it.contains(text)), "{record:?}");
    }

    let first = definitions(&fixture, TENANTS + 3).await;
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!((&first[0].key[..], first[0].version), (&[1, 0][..], 1));
    assert_eq!(first[0].changed_by, ["by_tenant"]);

    fixture.stop().unwrap();
    fixture.start().unwrap();
    fixture.client.batch_execute("insert into orders values (100, 'late', '')").await.unwrap();
    kafka_has(&fixture, TENANTS + 4);
    assert_eq!(
        definitions(&fixture, TENANTS + 4).await,
        first,
        "the same definition, not an equal one"
    );

    fixture.stop().unwrap();
    fixture.gateway.edit(r#"["tenant", "id"]"#, r#"["tenant"]"#).unwrap();
    fixture.start().unwrap();
    fixture.client.batch_execute("insert into orders values (101, 'last', '')").await.unwrap();
    kafka_has(&fixture, TENANTS + 5);
    let both = definitions(&fixture, TENANTS + 5).await;
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!((&both[1].key[..], both[1].version), (&[1][..], 2));
    assert_eq!(both[0], first[0]);
    let keys: Vec<String> = records(kafka, &fixture, "orders").iter().map(key).collect();
    assert!(keys.contains(&r#"{"tenant":"late","id":100}"#.to_owned()), "{keys:?}");
    assert!(keys.contains(&r#"{"tenant":"last"}"#.to_owned()), "{keys:?}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_chooses_the_partition_and_the_operators_key_comes_before_a_plugins() {
    if skipped("a_plugin_chooses_the_partition_and_the_operators_key_comes_before_a_plugins") {
        return;
    }
    let kafka = Kafka::shared();
    let sql = "create table parcels (id int primary key, tenant text not null, shard int);
        alter table parcels replica identity full;
        create table ruled (id int primary key, tenant text not null, shard int);
        insert into parcels select i, 'tenant ' || i, i from generate_series(0, 29) i;";
    let plugins =
        [("by_tenant", r#"{ key = ["tenant"] }"#), ("shards", r#"{ partition_column = "shard" }"#)];
    let rules = "[[kafka.topic]]\nstreams = [\"*.ruled\"]\nkey = [\"id\"]";
    let rest = sections(kafka, &plugins, rules);
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "shards", sql, "", &rest).await.unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, 30);
    let changes = "update parcels set shard = 20 where id = 3;
        delete from parcels where id = 4;
        insert into parcels values (30, 'nowhere', null);
        insert into ruled values (1, 'acme', 5);";
    fixture.client.batch_execute(changes).await.unwrap();
    kafka_has(&fixture, 34);
    let found = records(kafka, &fixture, "parcels");
    let places = |tenant: &str| -> Vec<(String, i32)> {
        let wanted = format!("{{\"tenant\":\"{tenant}\"}}");
        let of_tenant = found.iter().filter(|record| key(record) == wanted);
        of_tenant.map(|record| (operation(record), record.partition)).collect()
    };
    let is = |operation: &str, shard: i32| (operation.to_owned(), shard % PARTITIONS);
    for shard in (0..30).filter(|shard| ![3, 4].contains(shard)) {
        assert_eq!(places(&format!("tenant {shard}")), [is("r", shard)]);
    }
    let mut moved = places("tenant 3");
    moved.sort();
    assert_eq!(moved, [is("r", 3), is("u", 20)]);
    assert_eq!(places("tenant 4"), [is("r", 4), is("d", 4), is("-", 4)]);
    // Where a plugin says nothing the key decides, the one that the other plugin chose.
    let by_key = partition_of(br#"{"tenant":"nowhere"}"#, PARTITIONS);
    assert_eq!(places("nowhere"), [("c".to_owned(), by_key)]);

    let ruled = records(kafka, &fixture, "ruled");
    assert_eq!((key(&ruled[0]), ruled[0].partition), (r#"{"id":1}"#.to_owned(), 5));
    let definitions = definitions(&fixture, 34).await;
    assert_eq!(definitions.len(), 2);
    for definition in definitions {
        // A rule is Kafka's alone; the second plugin changed no definition.
        assert_eq!(
            (definition.key, definition.changed_by),
            (vec![1], vec!["by_tenant".to_owned()])
        );
    }
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_foresees_a_key_that_deletes_lack_and_the_run_says_so() {
    if skipped("check_foresees_a_key_that_deletes_lack_and_the_run_says_so") {
        return;
    }
    let kafka = Kafka::shared();
    let sql = "create table orders (id int primary key, tenant text);
        create table strict (id int primary key, tenant text not null);
        create table keyless (tenant text not null);
        alter table keyless replica identity full;";
    let rules = "[[kafka.topic]]\nstreams = [\"*\"]\nconfig = { \"cleanup.policy\" = \"compact\" }";
    let rest = sections(kafka, &[("by_tenant", r#"{ key = ["tenant"] }"#)], rules);
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "foreseen", sql, "", &rest).await.unwrap();
    let chosen = "column tenant of the key that plugin by_tenant chooses";
    let ended = fixture.command(&["check"]).unwrap().expect(
        1,
        &[
            &format!("{chosen} may be NULL: such rows share a key [KAFKA_KEY_NULLABLE]"),
            &format!(
                "{chosen} is not in the replica identity: a delete's key has NULL or zero for it"
            ),
            "[KAFKA_KEY_IDENTITY]",
        ],
    );
    // The plugin gives this one a key, and all of it is in the replica identity.
    assert!(!ended.out.contains("KAFKA_COMPACT_NO_KEY"), "{}", ended.out);
    fixture.start().unwrap();
    let changes = "insert into orders values (1, 'acme'); delete from orders where id = 1;
        insert into strict values (1, 'acme'); delete from strict where id = 1;
        insert into keyless values ('acme');";
    fixture.client.batch_execute(changes).await.unwrap();
    kafka_has(&fixture, 5);
    let seen = |table: &str| -> Vec<(String, String)> {
        let found = records(kafka, &fixture, table);
        let mut seen: Vec<_> =
            found.iter().map(|record| (operation(record), key(record))).collect();
        seen.sort();
        seen
    };
    // As Debezium does under `message.key.columns`.
    let is = |operation: &str, key: &str| (operation.to_owned(), key.to_owned());
    let (acme, unknown) = (r#"{"tenant":"acme"}"#, r#"{"tenant":null}"#);
    assert_eq!(seen("orders"), [is("-", unknown), is("c", acme), is("d", unknown)]);
    let made_up = r#"{"tenant":""}"#;
    assert_eq!(seen("strict"), [is("-", made_up), is("c", acme), is("d", made_up)]);
    assert_eq!(key(&records(kafka, &fixture, "keyless")[0]), acme);
    let said = fixture.gateway.output();
    let lines = said.lines().filter(|line| line.contains("PLUGIN_KEY_IDENTITY"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2, "once a definition: {lines:?}");
    assert!(lines[0].contains("public.orders") && lines[0].contains("tenant"), "{}", lines[0]);
    assert!(lines[1].contains("public.strict"), "{}", lines[1]);
    fixture.stop().unwrap();
}
