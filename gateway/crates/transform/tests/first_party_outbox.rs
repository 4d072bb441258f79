//! `builtin:outbox` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Column, Form, Kind, Operation, TableSchema};

use Operation::{Create, Delete, Read, Truncate, Update};

use support::{Change, Outcome, V, change, column, load, refused, run, table};

/// An outbox whose payload is of this type.
fn outbox(kind: Kind, logical: &str) -> Arc<TableSchema> {
    let required = |name, kind, logical| Column { nullable: false, ..column(name, kind, logical) };
    table(
        "outbox",
        vec![
            required("id", Kind::Text, "uuid"),
            required("aggregatetype", Kind::Text, "text"),
            column("aggregateid", Kind::Text, "text"),
            required("type", Kind::Text, "text"),
            column("payload", kind, logical),
            column("shard", Kind::Integer, "int4"),
        ],
    )
}

const ID: V = V::Text("6f9619ff-8b86-d011-b42d-00c04fc964ff");

/// A row of it.
fn row(aggregate: &'static str, payload: V) -> Option<Vec<V>> {
    let text = V::Text;
    Some(vec![ID, text(aggregate), text("7"), text("OrderPlaced"), payload, V::Integer(3)])
}

fn outcomes(config: &str, schema: &Arc<TableSchema>, changes: &[Change]) -> Vec<Outcome> {
    run(&load("outbox", config).unwrap(), schema, changes)
}

fn one(config: &str, schema: &Arc<TableSchema>, payload: V) -> Outcome {
    outcomes(config, schema, &[change(Create, None, row("order", payload))]).remove(0)
}

#[test]
fn an_inserted_row_leaves_as_its_payload_keyed_by_the_aggregate() {
    let schema = outbox(Kind::Text, "jsonb");
    let document = r#"{"total": 12.50}"#;
    let plugin = load("outbox", "").unwrap();
    let output = plugin.instance().unwrap().output_schema(&schema).unwrap();
    let names: Vec<&str> = output.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["aggregateid", "payload"]);
    assert_eq!((output.form, output.payload), (Form::Opaque, 1));
    assert_eq!(output.content_type, "application/json");
    assert_eq!(output.key, [0]);
    for operation in [Create, Read] {
        let changes = [change(operation, None, row("order", V::Text(document)))];
        let left = outcomes("", &schema, &changes).remove(0).left();
        assert_eq!(left.operation, operation);
        assert_eq!(left.after.unwrap(), ["7", document]);
        assert_eq!(left.stream.as_deref(), Some("outbox.event.order"));
        assert_eq!(left.headers, ["id: 6f9619ff-8b86-d011-b42d-00c04fc964ff"]);
        assert_eq!((left.before, left.partition), (None, None));
    }
}

#[test]
fn the_content_type_is_that_of_the_payload_unless_it_is_said() {
    for (kind, logical, expected) in [
        (Kind::Text, "jsonb", "application/json"),
        (Kind::Text, "text", "text/plain; charset=utf-8"),
        (Kind::Text, "xml", "application/xml"),
        (Kind::Bytes, "bytes", "application/octet-stream"),
    ] {
        let of = |config| {
            let mut instance = load("outbox", config).unwrap().instance().unwrap();
            instance.output_schema(&outbox(kind, logical)).unwrap().content_type.clone()
        };
        assert_eq!(of(""), expected, "{logical}");
        assert_eq!(of(r#"{"content_type":"application/avro"}"#), "application/avro");
    }
}

#[test]
fn bytes_leave_as_they_are() {
    let left = one("", &outbox(Kind::Bytes, "bytes"), V::Bytes(&[0, 255, 10])).left();
    assert_eq!(left.after.unwrap(), ["7", "00ff0a"]);
}

#[test]
fn what_is_no_insert_is_no_event() {
    let schema = outbox(Kind::Text, "jsonb");
    let changes = [
        change(Create, None, row("order", V::Text("{}"))),
        change(Delete, row("order", V::Text("{}")), None),
        change(Update, None, row("order", V::Text("{}"))),
        change(Truncate, None, None),
        change(Create, None, row("invoice", V::Text("[]"))),
    ];
    for config in ["", r#"{"updates":"error"}"#] {
        let outcomes = outcomes(config, &schema, &changes);
        assert_eq!(outcomes[1..4], [Outcome::Dropped, Outcome::Dropped, Outcome::Dropped]);
        assert_eq!(outcomes[4].clone().left().stream.as_deref(), Some("outbox.event.invoice"));
    }
    let outcomes = outcomes(r#"{"updates":"fail"}"#, &schema, &changes);
    let Outcome::Failed(code, message) = &outcomes[2] else { panic!("{:?}", outcomes[2]) };
    assert_eq!(*code, "PLUGIN_ROW_FAILURE");
    assert!(message.contains("`updates`"), "{message}");
    assert_eq!(outcomes[1], Outcome::Dropped);
}

#[test]
fn further_columns_go_to_headers_to_the_partition_and_into_an_envelope() {
    let schema = outbox(Kind::Text, "jsonb");
    let header = r#"{"place":[
        {"column":"type","in":"header","name":"eventType"},{"column":"shard","in":"header"},
        {"column":"shard","in":"partition"}]}"#;
    let left = one(header, &schema, V::Text("{}")).left();
    assert_eq!(left.headers[1..], ["eventType: OrderPlaced", "shard: 3"]);
    assert_eq!((left.partition, left.after.unwrap()[1].as_str()), (Some(3), "{}"));

    let envelope = |more: &str| {
        format!(
            r#"{{"place":[{{"column":"type","in":"envelope","name":"eventType"}},
                {{"column":"shard","in":"envelope"}}]{more}}}"#
        )
    };
    let payload = |config: &str, schema, payload| {
        one(config, schema, payload).left().after.unwrap().remove(1)
    };
    let rest = r#","eventType":"OrderPlaced","shard":3}"#;
    let text = V::Text(r#"{"a": "b"}"#);
    let written = payload(&envelope(""), &schema, text);
    assert_eq!(written, format!(r#"{{"payload":"{{\"a\": \"b\"}}"{rest}"#));
    let expanded = envelope(r#","expand_json":true"#);
    assert_eq!(payload(&expanded, &schema, text), format!(r#"{{"payload":{{"a": "b"}}{rest}"#));
    assert_eq!(payload(&expanded, &schema, V::Null), format!(r#"{{"payload":null{rest}"#));
    let free = outbox(Kind::Text, "text");
    let broken = payload(&expanded, &free, V::Text("{not json"));
    assert_eq!(broken, format!(r#"{{"payload":"{{not json"{rest}"#));
    let bytes = payload(&envelope(""), &outbox(Kind::Bytes, "bytes"), V::Bytes(b"foob"));
    assert_eq!(bytes, format!(r#"{{"payload":"Zm9vYg=="{rest}"#));
    let mut instance = load("outbox", &envelope("")).unwrap().instance().unwrap();
    let output = instance.output_schema(&outbox(Kind::Bytes, "bytes")).unwrap();
    assert_eq!(output.content_type, "application/json");
    assert_eq!(output.columns[1].kind, Kind::Text);
}

#[test]
fn a_row_without_a_payload_follows_its_policy() {
    for (kind, logical) in [(Kind::Text, "text"), (Kind::Bytes, "bytes")] {
        let schema = outbox(kind, logical);
        let of = |policy: &str| one(&format!(r#"{{"null_payload":"{policy}"}}"#), &schema, V::Null);
        assert_eq!(of("drop"), Outcome::Dropped);
        assert_eq!(of("empty").left().after.unwrap(), ["7", ""]);
        assert!(matches!(of("fail"), Outcome::Failed("PLUGIN_ROW_FAILURE", _)));
        assert!(matches!(one("", &schema, V::Null), Outcome::Failed("PLUGIN_ROW_FAILURE", _)));
    }
    let empty = r#"{"null_payload":"empty"}"#;
    let message = refused("outbox", empty, &outbox(Kind::Text, "jsonb"));
    assert!(message.contains("has type jsonb: an empty text is no value"), "{message}");
}

#[test]
fn a_row_that_names_no_stream_fails_alone_and_without_its_value() {
    let schema = outbox(Kind::Text, "jsonb");
    let long: &'static str = "a".repeat(250).leak();
    let names = ["order", "two words", "größe", "", long, "ok-2"];
    let changes: Vec<Change> =
        names.iter().map(|name| change(Create, None, row(name, V::Text("{}")))).collect();
    let outcomes = |config| self::outcomes(config, &schema, &changes);
    let plain = outcomes(r#"{"stream":"${routedByValue}"}"#);
    for (outcome, name) in plain.iter().zip(names) {
        match outcome {
            Outcome::Left(left) => assert_eq!(left.stream.as_deref(), Some(name)),
            Outcome::Failed(code, message) => {
                assert_eq!(*code, "PLUGIN_ROW_FAILURE");
                assert!(name.is_empty() || !message.contains(name), "{message}");
            }
            Outcome::Dropped => panic!("it was dropped"),
        }
    }
    let failed = |outcomes: &[Outcome]| -> Vec<bool> {
        outcomes.iter().map(|outcome| matches!(outcome, Outcome::Failed(..))).collect()
    };
    assert_eq!(failed(&plain), [false, true, true, true, true, false]);
    let replaced = outcomes(r#"{"replace_invalid":"_"}"#);
    assert_eq!(failed(&replaced), [false, false, false, false, true, false]);
    let stream = |at: usize| replaced[at].clone().left().stream.unwrap();
    assert_eq!(
        (stream(1).as_str(), stream(2).as_str()),
        ("outbox.event.two_words", "outbox.event.gr__e")
    );
}

#[test]
fn a_row_that_lacks_a_value_fails_and_a_missing_key_is_none() {
    let schema = outbox(Kind::Text, "jsonb");
    for missing in [V::Unchanged, V::Absent] {
        let outcome = one("", &schema, missing);
        assert!(matches!(outcome, Outcome::Failed("PLUGIN_ROW_FAILURE", _)), "{outcome:?}");
    }
    let mut keyless = row("order", V::Text("{}"));
    keyless.as_mut().unwrap()[2] = V::Null;
    let left = outcomes("", &schema, &[change(Create, None, keyless)]).remove(0).left();
    assert_eq!(left.after.unwrap(), ["NULL", "{}"]);
}

#[test]
fn a_table_that_is_no_outbox_is_refused_with_what_it_lacks() {
    let schema = outbox(Kind::Text, "jsonb");
    let of = |config: &str| refused("outbox", config, &schema);
    assert_eq!(
        of(r#"{"key":"customer"}"#),
        "public.outbox has no column customer, which `key` names"
    );
    let place = |column: &str, at: &str, more: &str| {
        format!(r#"{{"place":[{{"column":"{column}","in":"{at}"}}]{more}}}"#)
    };
    assert_eq!(
        of(&place("tenant", "header", "")),
        "public.outbox has no column tenant, which is placed"
    );
    let message = of(&place("type", "partition", ""));
    assert!(message.starts_with("public.outbox.type has type text: a partition"), "{message}");
    let message = refused("outbox", "", &outbox(Kind::Integer, "int8"));
    assert!(message.ends_with("a payload is text or bytes"), "{message}");
    let ignored = place("tenant", "header", r#","missing_columns":"ignore""#);
    assert_eq!(one(&ignored, &schema, V::Text("{}")).left().headers.len(), 1);
}
