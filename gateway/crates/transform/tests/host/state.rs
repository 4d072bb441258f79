//! A plugin's state holds what its successful calls wrote, however changes are cut and whatever
//! fails.

use std::time::Duration;

use offtake_change::{Batch, Operation};
use offtake_state::Keyspace;
use offtake_transform::{
    BUILTIN_NAMES, Isolated, Limits, Plugin, PluginError, PluginSpec, Processed, builtin,
};

use crate::batches::{EMAIL, TestRow, Value, all, batch, customer, schema};
use crate::zoo::{Guest, engine, spec};

/// Counts changes under the key `n`, and does something else after that for each whose address begins
/// with `!`.
pub(crate) fn counting(then: &str) -> Guest {
    let column = "(i32.load offset=24 (local.get $b))";
    Guest {
        stateful: true,
        imports: r#"
  (import "offtake:transform/state@1.0.0" "get-many" (func $get (param i32 i32 i32)))
  (import "offtake:transform/state@1.0.0" "put-many" (func $put (param i32 i32 i32 i32)))"#,
        process: format!(
            "(i32.store (i32.const 556) (i32.const 700)) (i32.store (i32.const 560) (i32.const 0))
             (i32.store (i32.const 600) (i32.const 610)) (i32.store (i32.const 604) (i32.const 1))
             (i32.store8 (i32.const 610) (i32.const 110))
             (i32.store (i32.const 660) (i32.const 610)) (i32.store (i32.const 664) (i32.const 1))
             (i32.store (i32.const 668) (i32.const 640)) (i32.store (i32.const 672) (i32.const 4))
             (block $done (loop $next
               (br_if $done (i32.ge_u (local.get $i) (i32.load offset=20 {column})))
               (call $get (i32.const 600) (i32.const 1) (i32.const 620))
               (i32.store (i32.const 640) (i32.const 0))
               (if (i32.load8_u (i32.load (i32.const 620)))
                 (then (i32.store (i32.const 640)
                   (i32.load (i32.load offset=4 (i32.load (i32.const 620)))))))
               (i32.store (i32.const 640) (i32.add (i32.const 1) (i32.load (i32.const 640))))
               (call $put (i32.const 660) (i32.const 1) (i32.const 0) (i32.const 0))
               (if (i32.eq (i32.const 33) (i32.load8_u (i32.load
                     (i32.add (i32.load offset=16 {column}) (i32.shl (local.get $i) (i32.const 3))))))
                 (then {then}))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br $next)))
             (i32.const 512)"
        ),
        ..Guest::pass(&[EMAIL], 0)
    }
}

/// Declares the change failed.
pub(crate) const FAILURE: &str = "
    (i32.store (i32.add (i32.const 700) (i32.shl (i32.load (i32.const 560)) (i32.const 4))) (local.get $i))
    (i32.store (i32.add (i32.const 704) (i32.shl (i32.load (i32.const 560)) (i32.const 4))) (i32.const 610))
    (i32.store (i32.add (i32.const 708) (i32.shl (i32.load (i32.const 560)) (i32.const 4))) (i32.const 1))
    (i32.store (i32.add (i32.const 712) (i32.shl (i32.load (i32.const 560)) (i32.const 4))) (i32.const 1))
    (i32.store (i32.const 560) (i32.add (i32.const 1) (i32.load (i32.const 560))))";

pub(crate) fn granted(
    component: Vec<u8>,
    config: &str,
    state: &Keyspace,
) -> Result<Plugin, PluginError> {
    let limits = Limits { host_calls: 2000, ..spec(Vec::new()).limits };
    let state = Some(state.clone());
    let config_json = config.to_owned();
    Plugin::load(engine(), PluginSpec { state, limits, config_json, ..spec(component) })
}

pub(crate) fn people(addresses: impl Iterator<Item = String>) -> Batch {
    let row = |(at, email): (usize, String)| TestRow {
        operation: Operation::Create,
        before: None,
        after: Some(customer(at as i64, Value::Text(email))),
    };
    let rows: Vec<TestRow> = addresses.enumerate().map(row).collect();
    batch(&schema(), &rows)
}

/// Runs a plugin over a batch in so many rows at once; gives the rows that failed.
pub(crate) fn run(plugin: &Plugin, batch: &mut Batch, at_once: usize) -> Vec<u32> {
    let mut isolated = Isolated::new(plugin).unwrap();
    let (rows, mut done) = (all(batch), Processed::default());
    for part in rows.chunks(at_once) {
        isolated.process(batch, part, &mut done).unwrap();
    }
    let mut failed: Vec<u32> = done.failed.iter().map(|failed| failed.row).collect();
    failed.sort_unstable();
    failed
}

pub(crate) fn counted(state: &Keyspace) -> u32 {
    state.begin(0);
    let found = state.get(&[b"n".to_vec()]).unwrap().pop().unwrap();
    found.map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
}

#[test]
fn a_change_that_fails_leaves_nothing_in_the_state_and_the_others_what_they_wrote() {
    let guilty = [0, 5, 6, 140, 270, 299];
    let address = |at| format!("{}{at}@example.com", if guilty.contains(&at) { "!" } else { "" });
    let mut deltas = Vec::new();
    for then in ["(unreachable)", FAILURE] {
        for at_once in [1, 7, 256, 300] {
            let state = Keyspace::new(1 << 20);
            let plugin = granted(counting(then).build(), "{}", &state).unwrap();
            let mut batch = people((0..300).map(address));
            let failed = run(&plugin, &mut batch, at_once);
            assert_eq!(failed, guilty.map(|at| at as u32), "{then}, {at_once} at once");
            assert_eq!(counted(&state), 294, "{then}, {at_once} at once");
            deltas.push(state.take_delta("zoo").unwrap());
        }
    }
    assert!(deltas.iter().all(|delta| *delta == deltas[0]), "{deltas:?}");
}

/// Each change fails at a quota of ten bytes, and nothing is kept. `counting`: counts changes.
pub(crate) fn outgrows_its_quota(counting: Vec<u8>) {
    let state = Keyspace::new(10);
    let plugin = granted(counting, "{}", &state).unwrap();
    let mut isolated = Isolated::new(&plugin).unwrap();
    let mut batch = people((0..3).map(|at| at.to_string()));
    let (rows, mut done) = (all(&batch), Processed::default());
    isolated.process(&mut batch, &rows, &mut done).unwrap();
    assert_eq!(done.failed.len(), 3);
    for failed in &done.failed {
        assert_eq!(failed.fault.code(), "PLUGIN_STATE_QUOTA", "{}", failed.fault);
        assert!(failed.fault.message.contains("may have 10"), "{}", failed.fault);
    }
    assert_eq!(counted(&state), 0);
}

#[test]
fn a_state_that_would_outgrow_its_quota_is_the_changes_fault() {
    outgrows_its_quota(counting("").build());
}

#[test]
fn what_declares_everything_failed_costs_no_more_than_the_isolation_may() {
    let state = Keyspace::new(1 << 20);
    let component = counting(FAILURE).build();
    let limits = Limits { host_calls: 2000, isolation: Duration::ZERO, ..spec(Vec::new()).limits };
    let granted = PluginSpec { limits, state: Some(state.clone()), ..spec(component) };
    let plugin = Plugin::load(engine(), granted).unwrap();
    let mut isolated = Isolated::new(&plugin).unwrap();
    let mut batch = people((0..20).map(|at| format!("!{at}")));
    let (rows, mut done) = (all(&batch), Processed::default());
    let fault = isolated.process(&mut batch, &rows, &mut done).unwrap_err();
    assert_eq!(fault.code(), "PLUGIN_ISOLATION", "{fault}");
    assert_eq!(counted(&state), 0);
}

#[test]
fn state_is_granted_to_what_keeps_some_and_to_nothing_else() {
    let code = |loaded: Result<Plugin, PluginError>| loaded.err().map(|error| error.code());
    let state = Keyspace::new(1 << 20);
    let keeps = counting("").build();
    let says_so = Guest { stateful: true, ..Guest::default() }.build();
    for component in [&keeps, &says_so] {
        let refused = Plugin::load(engine(), spec(component.clone()));
        assert_eq!(code(refused), Some("PLUGIN_STATE_NOT_GRANTED"));
        assert_eq!(code(granted(component.clone(), "{}", &state)), None);
    }
    let imports_only = Guest { stateful: false, ..counting("") }.build();
    for component in [Guest::default().build(), imports_only] {
        assert_eq!(code(granted(component, "{}", &state)), Some("PLUGIN_STATE_UNUSED"));
    }
    let early = Guest {
        on_configure: "(call $get (i32.const 600) (i32.const 0) (i32.const 620))".to_owned(),
        ..counting("")
    };
    assert_eq!(code(granted(early.build(), "{}", &state)), Some("PLUGIN_STATE_LIMIT"));
}

#[test]
fn plugins_that_keep_nothing_need_no_grant() {
    for name in BUILTIN_NAMES.iter().filter(|name| **name != "dedupe") {
        let config = spec(builtin(name).unwrap().to_vec());
        let loaded = Plugin::load(engine(), config).err().map(|error| error.code());
        // Most refuse the empty configuration; none is refused for what it imports.
        assert!(
            matches!(loaded, None | Some("PLUGIN_CONFIG_REFUSED" | "PLUGIN_CONFIG_INVALID")),
            "{name}: {loaded:?}"
        );
    }
}

#[test]
fn dedupe_lets_each_identity_pass_once_however_changes_are_cut() {
    let component = builtin("dedupe").unwrap();
    for at_once in [1, 2, 7, 256] {
        let state = Keyspace::new(1 << 20);
        let config = r#"{"by":["email"]}"#;
        let plugin = granted(component.to_vec(), config, &state).unwrap();
        let mut batch = people((0..600).map(|at| format!("{}@example.com", at % 250)));
        assert!(run(&plugin, &mut batch, at_once).is_empty());
        let left: Vec<usize> = (0..600).filter(|at| !batch.rows[*at].dropped).collect();
        assert_eq!(left, (0..250).collect::<Vec<_>>(), "{at_once} at once");
        assert_eq!(state.usage().keys, 250);
    }
}

#[test]
fn dedupe_says_which_tables_it_cannot_judge() {
    let state = Keyspace::new(1 << 20);
    let component = builtin("dedupe").unwrap();
    let plugin = granted(component.to_vec(), r#"{"by":["event_id"]}"#, &state).unwrap();
    let fault = plugin.instance().unwrap().on_schema(&schema()).unwrap_err();
    assert!(fault.message.contains("public.customers has no column \"event_id\""), "{fault}");
}
