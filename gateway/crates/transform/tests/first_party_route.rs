//! `builtin:route` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Kind, Operation, TableSchema};

use Operation::{Create, Delete, Read, Truncate, Update};

use support::{Change, Outcome, V, change, column, load, refused, run, table};

fn orders() -> Arc<TableSchema> {
    table(
        "orders",
        vec![
            column("id", Kind::Integer, "int8"),
            column("country", Kind::Text, "text"),
            column("note", Kind::Text, "text"),
            column("digest", Kind::Bytes, "bytes"),
        ],
    )
}

fn row(country: V) -> Option<Vec<V>> {
    Some(vec![V::Integer(7), country, V::Null, V::Null])
}

fn outcomes(config: &str, changes: &[Change]) -> Vec<Outcome> {
    run(&load("route", config).unwrap(), &orders(), changes)
}

/// The stream that a change was sent to, `-`: none, or its failure.
fn streams(config: &str, changes: &[Change]) -> Vec<String> {
    let stream = |outcome| match outcome {
        Outcome::Left(left) => left.stream.unwrap_or_else(|| "-".to_owned()),
        Outcome::Dropped => "dropped".to_owned(),
        Outcome::Failed(_, message) => format!("failed: {message}"),
    };
    outcomes(config, changes).into_iter().map(stream).collect()
}

#[test]
fn a_table_goes_by_its_name_and_is_not_called_for() {
    let config = r#"{"rules":[
        {"table":"private\\..*","stream":"none"},
        {"table":"public\\.(\\w+)","stream":"legacy.$1.v2"},
        {"where":"note = 'x'","stream":"behind"}]}"#;
    let mut instance = load("route", config).unwrap().instance().unwrap();
    let interest = instance.on_schema(&orders()).unwrap();
    assert!(!interest.subscribe);
    assert_eq!(interest.shape.stream.as_deref(), Some("legacy.orders.v2"));
    let other = r#"{"rules":[{"table":"orders","stream":"a"}]}"#;
    let interest = load("route", other).unwrap().instance().unwrap().on_schema(&orders()).unwrap();
    assert!(!interest.subscribe && interest.shape.stream.is_none());
}

#[test]
fn the_first_rule_that_holds_decides_and_what_none_takes_stays() {
    let config = r#"{"rules":[
        {"where":"country = 'DE' and $op <> 'd'","stream":"orders.german"},
        {"where":"country in ('DE', 'FR')","stream":"orders.{country}"},
        {"table":"public\\.(?<t>.*)","where":"note is not null","stream":"noted.${t}"}]}"#;
    let (de, fr) = (V::Text("DE"), V::Text("FR"));
    let mut noted = row(V::Null);
    noted.as_mut().unwrap()[2] = V::Text("n");
    let changes = [
        change(Create, None, row(de)),
        change(Read, None, row(fr)),
        change(Update, row(de), row(fr)),
        change(Delete, row(de), None),
        change(Create, None, row(V::Text("IT"))),
        change(Create, None, row(V::Null)),
        change(Create, None, noted),
    ];
    let expected =
        ["orders.german", "orders.FR", "orders.FR", "orders.DE", "-", "-", "noted.orders"];
    assert_eq!(streams(config, &changes), expected);
    let left = outcomes(config, &changes).remove(0).left();
    assert_eq!(left.after.unwrap(), ["7", "DE", "NULL", "NULL"], "nothing else is touched");
}

#[test]
fn a_last_rule_of_the_table_alone_takes_the_rest() {
    let config = r#"{"rules":[
        {"where":"country = 'DE'","stream":"german"},
        {"table":".*","stream":"others"},
        {"where":"country = 'FR'","stream":"never"}]}"#;
    let changes = [V::Text("DE"), V::Text("FR"), V::Null].map(|it| change(Create, None, row(it)));
    assert_eq!(streams(config, &changes), ["german", "others", "others"]);
}

#[test]
fn what_cannot_be_decided_fails_or_is_skipped() {
    let rules = r#""rules":[{"where":"country = 'DE'","stream":"german"},
        {"table":".*","stream":"others"}]"#;
    let key_only = || Some(vec![V::Integer(7), V::Absent, V::Absent, V::Absent]);
    let changes = [
        change(Delete, key_only(), None),
        change(Update, None, row(V::Unchanged)),
        change(Update, row(V::Text("DE")), row(V::Unchanged)),
    ];
    let found = streams(&format!("{{{rules}}}"), &changes);
    for failed in &found[..2] {
        assert!(failed.contains("rule 1 holds is not known"), "{failed}");
    }
    assert_eq!(found[2], "german", "the value before");
    let skipped = streams(&format!(r#"{{{rules},"unknown":"skip"}}"#), &changes);
    assert_eq!(skipped, ["others", "others", "german"]);
}

#[test]
fn a_value_that_names_no_stream_fails_its_row_or_is_replaced() {
    let rules = r#""rules":[{"stream":"orders.{country}"}]"#;
    let values =
        [V::Text("DE"), V::Text("two words"), V::Null, V::Absent, V::Unchanged, V::Text("a/b")];
    let mut changes: Vec<Change> = values.map(|it| change(Update, None, row(it))).to_vec();
    changes.push(change(Update, row(V::Text("FR")), row(V::Unchanged)));
    changes.push(change(Delete, row(V::Text("IT")), None));
    let found = streams(&format!("{{{rules}}}"), &changes);
    assert_eq!((found[0].as_str(), found[6].as_str()), ("orders.DE", "orders.FR"));
    assert_eq!(found[7], "orders.IT");
    for (at, reason) in [(1, "`replace_invalid`"), (2, "is NULL"), (3, "no value"), (4, "no value")]
    {
        assert!(found[at].starts_with("failed: ") && found[at].contains(reason), "{}", found[at]);
        assert!(!found[at].contains("two words"), "{}", found[at]);
    }
    let replaced = streams(&format!(r#"{{{rules},"replace_invalid":"-"}}"#), &changes);
    assert_eq!((replaced[1].as_str(), replaced[5].as_str()), ("orders.two-words", "orders.a-b"));
}

#[test]
fn a_truncate_follows_its_policy_where_rows_go_to_several_streams() {
    let rules = r#""rules":[{"where":"country = 'DE'","stream":"german"}]"#;
    let changes = [change(Truncate, None, None), change(Create, None, row(V::Text("DE")))];
    let of = |more: &str| streams(&format!("{{{rules}{more}}}"), &changes);
    assert!(of("")[0].contains("`truncates`"));
    assert_eq!(of(r#","truncates":"drop""#), ["dropped", "german"]);
    assert_eq!(of(r#","truncates":"pass""#), ["-", "german"]);
}

#[test]
fn a_rule_that_does_not_go_with_a_table_is_refused_with_its_number() {
    let of = |rule: &str| {
        let config = format!(r#"{{"rules":[{{"table":"other","stream":"a"}},{{{rule}}}]}}"#);
        refused("route", &config, &orders())
    };
    assert_eq!(
        of(r#""stream":"{land}""#),
        "public.orders: rule 2: there is no column land; `table` says which tables a rule is about"
    );
    let message = of(r#""where":"land = 'DE'","stream":"a""#);
    assert!(message.contains("rule 2: where: EXPRESSION_COLUMN: public.orders has"), "{message}");
    let message = of(r#""stream":"{digest}""#);
    assert!(message.ends_with("no stream can be named by it"), "{message}");
    let message = of(r#""table":"public.(.*)","stream":"$1/x""#);
    assert!(message.starts_with("public.orders: rule 2: the stream's name would"), "{message}");
}

#[test]
fn metadata_decides_too() {
    let config = r#"{"rules":[{"where":"$snapshot","stream":"backfill"},
        {"where":"$transaction = '742'","stream":"live.{country}"}]}"#;
    let changes =
        [change(Read, None, row(V::Text("DE"))), change(Create, None, row(V::Text("DE")))];
    assert_eq!(streams(config, &changes), ["backfill", "live.DE"]);
}
