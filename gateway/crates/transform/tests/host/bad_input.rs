//! Plugins for another gateway, schemas that cannot be used, configurations that do not fit, and the
//! limits that are not time: each with its own words.

use offtake_transform::{BUILTIN_NAMES, ConfigSchema, Limits, Plugin, PluginError, builtin};

use crate::batches::{batch, customers, schema};
use crate::module_zoo::Module;
use crate::zoo::{Guest, component_of, engine, spec};

/// A plugin with a section that holds the schema of its configuration.
fn carrying(mut wasm: Vec<u8>, schema: &str) -> Vec<u8> {
    let mut content = vec![21];
    content.extend(b"offtake:config-schema");
    content.extend(schema.as_bytes());
    let mut length = content.len();
    wasm.push(0);
    while length >= 0x80 {
        wasm.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    wasm.push(length as u8);
    wasm.extend(content);
    wasm
}

fn load(wasm: Vec<u8>, config: &str) -> Result<Plugin, PluginError> {
    let mut spec = spec(wasm);
    spec.config_json = config.to_owned();
    Plugin::load(engine(), spec)
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "column": {"type": "string", "format": "column"},
        "key": {"type": "string", "minLength": 8, "writeOnly": true}
    },
    "required": ["column"],
    "additionalProperties": false
}"#;

#[test]
fn a_configuration_is_held_against_the_plugins_own_schema_by_either_door() {
    for wasm in [Guest::default().build(), Module::default().build()] {
        let wasm = carrying(wasm, SCHEMA);
        let plugin = load(wasm.clone(), r#"{"column": "email", "key": "long enough"}"#).unwrap();
        assert_eq!(plugin.named_columns().len(), 1);
        assert_eq!(plugin.named_columns()[0].name, "email");
        assert_eq!(plugin.named_columns()[0].pointer, "/column");
        let error = load(wasm.clone(), r#"{"colum": 1, "key": "secret"}"#).unwrap_err();
        assert_eq!(error.code(), "PLUGIN_CONFIG_INVALID");
        let text = error.to_string();
        for words in ["zoo", "`column` is missing", "unknown key `colum`", "at least 8 characters"]
        {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("secret"), "{text}");
        assert!(!error.next_step().is_empty());
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_the_plugins_error() {
    for (schema, words) in [
        ("{", "no JSON"),
        (r#"{"$ref": "https://example.com/s.json"}"#, "outside the schema"),
        (r##"{"allOf": [{"$ref": "#"}]}"##, "without end"),
    ] {
        for wasm in [Guest::default().build(), Module::default().build()] {
            let error = load(carrying(wasm, schema), "{}").unwrap_err();
            assert_eq!(error.code(), "PLUGIN_SCHEMA_INVALID");
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.next_step().contains("offtake:config-schema"), "{}", error.next_step());
        }
    }
}

#[test]
fn every_plugin_that_comes_with_the_gateway_carries_a_schema_that_refuses_what_it_does_not_know() {
    for name in BUILTIN_NAMES {
        let wasm = builtin(name).unwrap();
        let schema = ConfigSchema::of(name, wasm).unwrap();
        let schema = schema.unwrap_or_else(|| panic!("{name} carries none"));
        let judged = schema.judge(name, r#"{"no_such_key": 1}"#, &|_, _| None).unwrap();
        let pointers: Vec<&str> = judged.findings.iter().map(|it| it.pointer.as_str()).collect();
        assert!(pointers.contains(&"/no_such_key"), "{name}: {:?}", judged.findings);
    }
}

/// A component whose imports and exports of the contract are of another version.
fn of_version(version: &str, exports: bool) -> Vec<u8> {
    let wit = format!(
        "package offtake:transform@{version};
         interface host {{ add: func(id: u32, delta: u32); tick: func(); }}
         interface plugin {{ tick: func(); }}
         world w {{ import host; {} }}",
        if exports { "export plugin;" } else { "export run: func();" }
    );
    let export =
        if exports { format!("offtake:transform/plugin@{version}#tick") } else { "run".to_owned() };
    let text = format!(
        r#"(module
            (import "offtake:transform/host@{version}" "tick" (func $tick))
            (func (export "{export}") (call $tick)))"#
    );
    component_of(&text, &wit, "w")
}

#[test]
fn a_plugin_for_an_older_or_newer_contract_is_told_so() {
    for (version, exports, next) in [
        ("0.2.0", false, "build it anew"),
        ("2.0.0", false, "later release"),
        ("2.0.0", true, "later release"),
        // Of the same version 1, with a function that this gateway does not have.
        ("1.7.0", true, "later release"),
    ] {
        let error = load(of_version(version, exports), "{}").unwrap_err();
        assert_eq!(error.code(), "PLUGIN_CONTRACT_VERSION", "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("built for offtake:transform@{version}")), "{text}");
        assert!(text.contains("offers offtake:transform@1.0.0"), "{text}");
        assert!(error.next_step().contains(next), "{}", error.next_step());
    }
}

/// A component without one of the functions that it must export.
#[test]
fn a_plugin_without_one_of_its_exports_is_told_which() {
    let wit = "package offtake:transform@1.0.0;
        interface plugin { configure: func(config: string); }
        world w { export plugin; }";
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
        (func (export "offtake:transform/plugin@1.0.0#configure") (param i32 i32)))"#;
    let error = load(component_of(text, wit, "w"), "{}").unwrap_err();
    assert_eq!(error.code(), "PLUGIN_EXPORT_MISSING", "{error}");
    assert!(error.next_step().contains("offtake:transform@1.0.0"), "{}", error.next_step());
}

fn deep(levels: u32, stack_bytes: usize) -> Result<(), &'static str> {
    let mut module = Module::doing(&format!("(drop (call $deep (i32.const {levels})))"));
    module.fields = "(func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0))))"
        .to_owned();
    let mut spec = spec(module.build());
    spec.limits.stack_bytes = stack_bytes;
    let mut instance = Plugin::load(engine(), spec).unwrap().instance().unwrap();
    let mut batch = batch(&schema(), &customers(1));
    instance.process(&mut batch, &[0]).map(|_| ()).map_err(|fault| fault.code())
}

#[test]
fn the_stack_is_as_deep_as_configured() {
    // Every frame takes 16 bytes at least.
    assert_eq!(deep(5_000, 64 << 10), Err("PLUGIN_TRAP"));
    assert_eq!(deep(5_000, 1 << 20), Ok(()));
    assert_eq!(deep(500, 64 << 10), Ok(()), "each plugin has its own");
}

#[test]
fn tables_are_as_large_as_configured() {
    let fields = "(table 20000 funcref)".to_owned();
    let wasm = Module { fields, ..Module::default() }.build();
    let loaded = |table_elements| {
        let mut spec = spec(wasm.clone());
        spec.limits = Limits { table_elements, ..spec.limits };
        Plugin::load(engine(), spec).map(|_| ())
    };
    loaded(20_000).unwrap();
    let error = loaded(19_999).unwrap_err();
    assert_eq!(error.code(), "PLUGIN_MEMORY");
    assert!(error.to_string().contains("wanted 20000 elements of its tables"), "{error}");
}
