//! `builtin:filter` with an expression, on the host that runs it in production.
//!
//! The committed component is loaded as a pipeline loads it. Every case runs at batch sizes 1, 2, 7
//! and 256 and must give the same result. The language's own tests are in `plugins/expression`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Column, Kind, Operation, TableSchema};
use offtake_transform::{Interest, Plugin, PluginError};

use Operation::{Create, Delete, Read, Truncate, Update};
use Outcome::{Became, Dropped, Passed};

use support::{Change, V, run, table};

/// Values of [`orders`]'s columns.
type Values = [V; 7];

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Passed,
    Dropped,
    Became(Operation),
}

fn orders() -> Arc<TableSchema> {
    let column = |name: &str, kind, ty: &str| Column::new(name, kind, ty);
    table(
        "orders",
        vec![
            column("id", Kind::Integer, "int8"),
            column("status", Kind::Text, "text"),
            column("total", Kind::Text, "decimal(12,2)"),
            column("paid", Kind::Boolean, "bool"),
            column("score", Kind::Number, "float8"),
            column("payload", Kind::Text, "jsonb"),
            column("digest", Kind::Bytes, "bytes"),
        ],
    )
}

/// An order with this status.
fn order(status: &'static str) -> Values {
    [
        V::Integer(7),
        V::Text(status),
        V::Text("10.50"),
        V::Boolean(true),
        V::Number(0.5),
        V::Text(r#"{"kind": "gift"}"#),
        V::Bytes(&[0, 255]),
    ]
}

/// What the default replica identity has of a row.
fn key_only() -> Values {
    let mut values = [V::Absent; 7];
    values[0] = V::Integer(7);
    values
}

fn change(operation: Operation, before: Option<Values>, after: Option<Values>) -> Change {
    support::change(operation, before.map(Vec::from), after.map(Vec::from))
}

fn create(after: Values) -> Change {
    change(Create, None, Some(after))
}

fn update(before: Values, after: Values) -> Change {
    change(Update, Some(before), Some(after))
}

fn load(config: &str) -> Result<Plugin, PluginError> {
    support::load("filter", config)
}

/// The configuration with this expression and further keys.
fn config(expression: &str, further: &str) -> String {
    let expression = expression.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!(r#"{{"where":"{expression}"{further}}}"#)
}

fn outcomes(plugin: &Plugin, changes: &[Change]) -> Vec<Outcome> {
    let outcome = |(outcome, change): (support::Outcome, &Change)| match outcome {
        support::Outcome::Dropped => Dropped,
        other => match other.left().operation {
            operation if operation == change.operation => Passed,
            operation => Became(operation),
        },
    };
    run(plugin, &orders(), changes).into_iter().zip(changes).map(outcome).collect()
}

/// Checks what becomes of changes, also among many others.
fn expect(expression: &str, cases: &[(Change, Outcome)]) {
    let plugin = load(&config(expression, "")).unwrap();
    let repeated = || cases.iter().cycle().take(300.max(cases.len()));
    let changes: Vec<Change> = repeated().map(|(change, _)| change.clone()).collect();
    let expected: Vec<Outcome> = repeated().map(|(_, outcome)| *outcome).collect();
    for (index, (found, expected)) in
        outcomes(&plugin, &changes).into_iter().zip(expected).enumerate()
    {
        assert_eq!(found, expected, "{expression}: change {index}: {:?}", changes[index]);
    }
}

fn interest(expression: &str) -> Interest {
    let plugin = load(&config(expression, "")).unwrap();
    plugin.instance().unwrap().on_schema(&orders()).unwrap().clone()
}

#[test]
fn a_condition_on_the_row_turns_updates_across_the_line_into_deletes_and_creates() {
    let (seen, unseen) = (order("paid"), order("cancelled"));
    expect(
        "status <> 'cancelled'",
        &[
            (create(seen), Passed),
            (create(unseen), Dropped),
            (change(Read, None, Some(seen)), Passed),
            (change(Read, None, Some(unseen)), Dropped),
            (change(Delete, Some(seen), None), Passed),
            (change(Delete, Some(unseen), None), Dropped),
            (change(Delete, Some(key_only()), None), Passed),
            (update(seen, seen), Passed),
            (update(unseen, unseen), Dropped),
            (update(seen, unseen), Became(Delete)),
            (update(unseen, seen), Became(Create)),
            (change(Update, None, Some(seen)), Passed),
            (change(Update, None, Some(unseen)), Dropped),
            (update(key_only(), unseen), Dropped),
            (update(key_only(), seen), Passed),
            (change(Truncate, None, None), Passed),
        ],
    );
}

#[test]
fn null_is_left_out_and_what_is_not_known_passes() {
    let with = |status| {
        let mut values = order("paid");
        values[1] = status;
        values
    };
    expect(
        "status = 'paid'",
        &[
            (create(with(V::Null)), Dropped),
            (create(with(V::Absent)), Passed),
            (update(order("paid"), with(V::Unchanged)), Passed),
            (update(order("new"), with(V::Unchanged)), Dropped),
            (change(Update, None, Some(with(V::Unchanged))), Passed),
            (update(with(V::Null), order("paid")), Became(Create)),
            (update(order("paid"), with(V::Null)), Became(Delete)),
        ],
    );
    // False and NULL are left out, also where the rest is not known.
    expect("status = 'paid' and id = 8", &[(create(with(V::Absent)), Dropped)]);
    expect("status = 'paid' or id = 7", &[(create(with(V::Absent)), Passed)]);
}

#[test]
fn every_type_of_column_reaches_the_expression() {
    for expression in [
        "id = 7 and id in (1, 7)",
        "total = 10.5 and total between 10 and 10.50",
        "paid and not (score > 0.5)",
        "payload ->> 'kind' = 'gift'",
        "digest = x'00ff'",
        "upper(status) like 'PA%' and length(status) = 4",
        "$database = 'shop' and $schema = 'public' and $table = 'orders'",
    ] {
        expect(expression, &[(create(order("paid")), Passed)]);
        expect(&format!("not ({expression})"), &[(create(order("paid")), Dropped)]);
    }
}

#[test]
fn a_condition_on_the_change_passes_or_leaves_out_and_rewrites_nothing() {
    expect(
        "before.status = 'new' and after.status = 'paid'",
        &[
            (update(order("new"), order("paid")), Passed),
            (update(order("paid"), order("new")), Dropped),
            (update(key_only(), order("paid")), Passed),
            (update(key_only(), order("new")), Dropped),
            (create(order("paid")), Dropped),
            (change(Delete, Some(order("new")), None), Dropped),
        ],
    );
    expect(
        "status is changed or $op <> 'u'",
        &[
            (update(order("new"), order("paid")), Passed),
            (update(order("paid"), order("paid")), Dropped),
            (change(Update, None, Some(order("paid"))), Passed),
            (create(order("paid")), Passed),
            (change(Delete, Some(order("new")), None), Passed),
            (change(Truncate, None, None), Passed),
        ],
    );
}

#[test]
fn metadata_reaches_the_expression() {
    let read = || change(Read, None, Some(order("paid")));
    let with = |headers| Change { headers, ..create(order("paid")) };
    expect("$op in ('c', 'd')", &[(create(order("paid")), Passed), (read(), Dropped)]);
    expect("$snapshot", &[(create(order("paid")), Dropped), (read(), Passed)]);
    expect(
        "$commit_time = '2023-11-14 22:13:20+00'",
        &[(create(order("paid")), Passed), (read(), Dropped)],
    );
    expect("$commit_time is null", &[(create(order("paid")), Dropped), (read(), Passed)]);
    expect("$transaction = '742'", &[(create(order("paid")), Passed), (read(), Dropped)]);
    expect(
        "$header('tenant') = 'acme'",
        &[
            (create(order("paid")), Dropped),
            (with(vec![("tenant", b"acme")]), Passed),
            (with(vec![("other", b"acme")]), Dropped),
            (with(vec![("tenant", b"emca")]), Dropped),
            (with(vec![("tenant", b"\xff")]), Passed),
        ],
    );
}

#[test]
fn only_what_the_expression_reads_is_asked_for() {
    let row = interest("status = 'paid' and id > 5");
    assert_eq!(row.columns, [1, 0]);
    assert!(row.subscribe && row.before_image && row.packed_text);
    assert!(!row.headers && !row.positions && !row.commit_times && !row.transactions);
    let operation = interest("$op = 'c' and $table = 'orders'");
    assert!(operation.subscribe && operation.columns.is_empty() && !operation.before_image);
    assert!(interest("$snapshot").positions);
    assert!(interest("$commit_time is null").commit_times);
    assert!(interest("$transaction is null").transactions);
    let headers = interest("$header('a') is null");
    assert!(headers.headers && !headers.positions && !headers.before_image);
}

#[test]
fn a_wrong_expression_is_refused_at_the_start_with_its_place() {
    let Err(error) = load(&config("status = 'paid\n  and", "")) else { panic!("it was accepted") };
    assert_eq!(error.code(), "PLUGIN_CONFIG_REFUSED");
    let message = error.to_string();
    for part in ["`where`", "EXPRESSION_QUOTES", "(line 1, column 10: 'paid)", "; end it with '"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_table_that_the_expression_does_not_fit_is_refused() {
    let refused = |expression: &str| {
        let mut instance = load(&config(expression, "")).unwrap().instance().unwrap();
        let fault = instance.on_schema(&orders()).unwrap_err();
        assert_eq!(fault.code(), "PLUGIN_REFUSED");
        assert_eq!(fault.table.as_deref(), Some("public.orders"));
        fault.message
    };
    let message = refused("stauts = 'paid'");
    assert!(message.contains("EXPRESSION_COLUMN: public.orders has no column stauts"), "{message}");
    assert!(
        message.contains("(line 1, column 1: stauts = 'paid'); did you mean status?"),
        "{message}"
    );
    let message = refused("id = '7'");
    assert!(message.contains("public.orders.id has type int8 and never equals"), "{message}");
}

#[test]
fn a_missing_column_can_be_not_known_instead() {
    let further = r#","missing_columns":"unknown""#;
    let plugin = load(&config("tenant = 'acme' or status = 'paid'", further)).unwrap();
    let changes = [create(order("paid")), create(order("new"))];
    assert_eq!(outcomes(&plugin, &changes), [Passed, Passed]);
    let plugin = load(&config("tenant = 'acme' and status = 'paid'", further)).unwrap();
    assert_eq!(outcomes(&plugin, &changes), [Passed, Dropped]);
}

#[test]
fn a_hostile_expression_is_refused_and_the_largest_one_runs() {
    let deep = |depth: usize| format!("{}paid{}", "(".repeat(depth), ")".repeat(depth));
    let Err(error) = load(&config(&deep(65), "")) else { panic!("it was accepted") };
    assert!(error.to_string().contains("EXPRESSION_TOO_DEEP"), "{error}");
    let Err(error) = load(&config(&"(".repeat(65_537), "")) else { panic!("it was accepted") };
    assert!(error.to_string().contains("EXPRESSION_TOO_LONG"), "{error}");
    expect(&deep(64), &[(create(order("paid")), Passed)]);
    expect(&format!("{}paid", "not ".repeat(64)), &[(create(order("paid")), Passed)]);
    let long = vec!["id = 1"; 6000].join(" or ");
    let plugin = load(&config(&long, "")).unwrap();
    assert_eq!(outcomes(&plugin, &[create(order("paid"))]), [Dropped]);
}
