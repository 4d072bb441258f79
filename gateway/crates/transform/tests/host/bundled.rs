//! The plugins that come with the gateway, on this host.

use offtake_change::Operation;
use offtake_transform::{BUILTIN_NAMES, Limits, Plugin, PluginSpec, builtin};

use crate::batches::{EMAIL, TestRow, Value, batch, customer, schema, text};
use crate::zoo::{engine, spec};

fn bundled(name: &str, config: &str) -> Plugin {
    let component = builtin(name).unwrap().to_vec();
    let spec = PluginSpec { config_json: config.to_owned(), ..spec(component) };
    Plugin::load(engine(), spec).unwrap()
}

#[test]
fn every_name_has_a_component() {
    for name in BUILTIN_NAMES {
        assert!(builtin(name).is_some(), "{name}");
    }
    assert!(builtin("no such plugin").is_none());
}

#[test]
fn mask_covers_both_images_and_the_key_of_a_delete() {
    let plugin = bundled("mask", r#"{"columns":["email"],"keep_last":4}"#);
    assert!(plugin.info().protects);
    assert_eq!(plugin.info().required_columns, ["email"]);
    let mut instance = plugin.instance().unwrap();
    let address = |text: &str| Value::Text(text.to_owned());
    let rows = [
        TestRow {
            operation: Operation::Update,
            before: Some(customer(1, address("old@example.com"))),
            after: Some(customer(1, address("newer@example.com"))),
        },
        TestRow {
            operation: Operation::Delete,
            before: Some(customer(2, Value::Null)),
            after: None,
        },
    ];
    let mut batch = batch(&schema(), &rows);
    instance.process(&mut batch, &[0, 1]).unwrap();
    let [first, second] = batch.rows[..] else { panic!("two rows") };
    assert_eq!(text(&batch, first.before, EMAIL), "***********.com");
    assert_eq!(text(&batch, first.after, EMAIL), "*************.com");
    assert_eq!(text(&batch, second.before, EMAIL), "Null");
}

#[test]
fn a_stream_that_only_the_gateway_writes_is_refused_when_the_table_is_told() {
    let spec = PluginSpec {
        config_json: r#"{"rules":[{"table":".*","stream":"shop.dead_letters"}]}"#.to_owned(),
        ..spec(builtin("route").unwrap().to_vec())
    };
    let reserved = ["shop.dead_letters".to_owned()];
    for (reserved_streams, is_refused) in [(&reserved[..], true), (&[][..], false)] {
        let limits = Limits { reserved_streams: reserved_streams.into(), ..spec.limits.clone() };
        let plugin = Plugin::load(engine(), PluginSpec { limits, ..spec.clone() }).unwrap();
        let outcome = plugin.instance().unwrap().on_schema(&schema());
        assert_eq!(outcome.is_err(), is_refused);
        let Err(fault) = outcome else { continue };
        assert!(fault.to_string().contains("shop.dead_letters"), "{fault}");
    }
}
