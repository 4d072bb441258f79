//! Every operator and function over every type.

use offtake_expression::Truth::{False, Null, True, Unknown};
use offtake_expression::{Column, Expression, Field, Missing, Program, Table, Truth, Type, Value};

use crate::row::{Change, integer, text, truth};

/// A row with a value in every column but those asked about as NULL.
fn full() -> Change {
    Change::new(b'c')
        .after("flag", Field::Value(Value::Boolean(true)))
        .after("id", integer(i64::MAX))
        .after("size", Field::Value(Value::Unsigned(u64::MAX)))
        .after("ratio", Field::Value(Value::Float(f64::from(0.1_f32))))
        .after("score", Field::Value(Value::Float(0.1)))
        .after("total", text("10.50"))
        .after("status", text("It's Größe"))
        .after("code", text("ab   "))
        .after("digest", Field::Value(Value::Bytes(&[0, 255])))
        .after("ref", text("6f9619ff-8b86-d011-b42d-00c04fc964ff"))
        .after("born", text("2024-02-29"))
        .after("opens", text("18:00:00.5"))
        .after("seen", text("2024-02-29 12:00:00"))
        .after("created_at", text("2024-02-29 12:00:00.5+00"))
        .after("payload", text(r#"{"kind": "a\u00e9", "n": {"x": "y"}, "k\"": 1.50, "z": null}"#))
        .after("mood", text("happy"))
        .after("Odd \"Name\"", Field::Value(Value::Text("{1,2}")))
}

fn all(change: &Change, expected: Truth, sources: &[&str]) {
    for source in sources {
        assert_eq!(truth(source, change), expected, "{source}");
    }
}

#[test]
fn comparisons_hold_by_the_columns_type() {
    all(
        &full(),
        True,
        &[
            "flag",
            "flag = true",
            "flag <> false",
            "id = 9223372036854775807",
            "id < 9223372036854775808",
            "id > -9223372036854775808",
            "id >= 1e3 and id < 9223372036854775807.5",
            "size = 18446744073709551615",
            "size > id",
            "ratio = 0.1",
            "score = 0.1 and score = 1e-1",
            "ratio <> score",
            "score < 'Infinity' and score < 'NaN' and score > '-Infinity'",
            "total = 10.5 and total = 10.500 and total > 10 and total < 11",
            "total <> 10.50000000000000000000001",
            "total < 'NaN'",
            "id > total",
            "status = 'It''s Größe'",
            "status <> 'it''s größe'",
            "status < 'J' and status > 'A'",
            "code = 'ab' and code = 'ab ' and length(code) = 2",
            "digest = x'00ff' and digest > x'00fe' and digest < X'01'",
            "ref = '6F9619FF-8B86-D011-B42D-00C04FC964FF'",
            "ref < '7f9619ff-8b86-d011-b42d-00c04fc964ff'",
            "born = '2024-02-29' and born > '0044-03-15 BC' and born < 'infinity'",
            "born < seen",
            "opens = '18:00:00.500' and opens between '18:00:00' and '19:00:00'",
            "seen = '2024-02-29T12:00:00' and seen > '2024-02-29'",
            "created_at = '2024-02-29 13:00:00.5+01' and created_at < '2024-03-01'",
            "created_at = '2024-02-29T12:00:00.500000Z'",
            "mood = 'happy' and mood <> 'sad'",
            "payload = payload",
            "1 < 2 and 'a' = 'a' and 1.0 = 1 and 2e0 > 1",
            "5 < id and 'A' < status",
        ],
    );
    all(
        &full(),
        False,
        &["not flag", "id = 1", "total = 10.51", "ratio > 0.1", "status = ''", "mood = 'Happy'"],
    );
}

#[test]
fn every_relation_holds_for_its_orders() {
    for (relation, expected) in [
        ("=", [false, true, false]),
        ("<>", [true, false, true]),
        ("!=", [true, false, true]),
        ("<", [true, false, false]),
        ("<=", [true, true, false]),
        (">", [false, false, true]),
        (">=", [false, true, true]),
    ] {
        for (value, expected) in (1..).zip(expected) {
            let change = Change::new(b'c').after("id", integer(value));
            let source = format!("id {relation} 2");
            assert_eq!(truth(&source, &change), Truth::from(expected), "{value}: {source}");
            let turned = format!(
                "2 {} id",
                match relation {
                    "<" => ">",
                    "<=" => ">=",
                    ">" => "<",
                    ">=" => "<=",
                    same => same,
                }
            );
            assert_eq!(truth(&turned, &change), Truth::from(expected), "{value}: {turned}");
        }
    }
}

#[test]
fn membership_ranges_and_patterns_hold() {
    all(
        &full(),
        True,
        &[
            "mood in ('sad', 'happy')",
            "mood not in ('sad')",
            "id in (1, 2, 9223372036854775807)",
            "total in (1, 10.5)",
            "9223372036854775807 in (1, id)",
            "total between 10 and 10.5",
            "total not between 11 and 12",
            "'2024-02-29' between born and seen",
            "status like 'It%'",
            "status like '%Gr_ße'",
            "status not like 'it%'",
            "status ilike 'IT''S GRÖ%'",
            "status not ilike 'x'",
            "flag in (true)",
        ],
    );
    all(&full(), False, &["mood in ('sad')", "id between 1 and 2", "status like 'It'"]);
}

#[test]
fn functions_give_what_they_say() {
    all(
        &full(),
        True,
        &[
            "starts_with(status, 'It') and not starts_with(status, 'it')",
            "ends_with(status, 'ße')",
            "contains(status, '''s ')",
            "contains(status, '')",
            "lower(status) = 'it''s größe'",
            "upper(status) = 'IT''S GRÖSSE'",
            "lower(upper(lower(status))) = 'it''s grösse'",
            "length(status) = 10 and length(digest) = 2 and length(mood) > 4",
            "substring(status, 6) = 'Größe'",
            "substring(status, 6, 2) = 'Gr'",
            "substring(status, 8, 100) = 'öße'",
            "substring(status, 100) = '' and substring(status, 1, 0) = ''",
            "substring(upper(status), 8, 3) = 'ÖSS'",
            "starts_with(ref, '6f') and mood like 'h%'",
            "coalesce(status, 'none') <> 'none'",
            "coalesce(null, id) = id",
            "coalesce('x', 'y') = 'x'",
            "payload ->> 'kind' = 'aé'",
            "upper(payload ->> 'kind') = 'AÉ'",
            "payload ->> 'n' ->> 'x' = 'y'",
            "payload ->> 'k\"' = '1.50'",
            "payload ->> 'z' is null and payload ->> 'none' is null",
            "payload ->> 'n' = '{\"x\": \"y\"}'",
            "substring(payload ->> 'kind', 2) = 'é'",
            "lower(status) = lower('IT''S GRÖßE')",
        ],
    );
}

#[test]
fn a_coalesce_takes_the_first_that_is_not_null() {
    let null = Change::new(b'c')
        .after("status", Field::Null)
        .after("total", Field::Null)
        .after("id", integer(7))
        .after("flag", Field::Null)
        .after("created_at", Field::Null);
    all(
        &null,
        True,
        &[
            "coalesce(status, 'none') = 'none'",
            "coalesce(total, id, 1) = 7",
            "coalesce(total, 1.50) = 1.5",
            "coalesce(total, 0) < 0.5",
            "coalesce(id, total) < 7.5",
            "coalesce(created_at, '2024-01-01') < '2024-01-01 00:00:01+00'",
            "coalesce($commit_time, '2024-01-01') = '2024-01-01'",
            "not coalesce(flag, false)",
            "coalesce(status, null) is null",
        ],
    );
    all(
        &null,
        Unknown,
        &["coalesce(mood, 'x') = 'x'", "coalesce(status, substring(mood, 1)) = 'x'"],
    );
}

#[test]
fn null_and_not_known_go_through_every_operator() {
    let change = Change::new(b'c')
        .after("status", Field::Null)
        .after("id", integer(1))
        .after("flag", Field::Null)
        .after("mood", Field::Unchanged);
    all(
        &change,
        Null,
        &[
            "status = 'a'",
            "status <> 'a'",
            "status < 'a'",
            "status in ('a', 'b')",
            "status not in ('a')",
            "status between 'a' and 'b'",
            "status like 'a%'",
            "lower(status) = 'a'",
            "length(status) = 1",
            "substring(status, 1, 1) = 'a'",
            "starts_with(status, 'a')",
            "flag",
            "not flag",
            "status ->> 'a' = 'b'",
            "status = lower(mood)",
            "null",
        ],
    );
    all(
        &change,
        Unknown,
        &[
            "mood = 'a'",
            "mood in ('a')",
            "mood is null",
            "mood is not null",
            "lower(mood) = 'a'",
            "length(mood) = 1",
            "mood like 'a'",
            "contains(mood, 'a')",
            "mood is distinct from null",
            "size = 1",
            "mood ->> 'a' = 'b'",
        ],
    );
    all(
        &change,
        True,
        &[
            "status is null",
            "id is not null",
            "status is distinct from 'a'",
            "status is not distinct from null",
            "id is distinct from null",
            "id is not distinct from 1",
            "null is not distinct from null",
            "id = 1 or status = 'a'",
            "mood = 'a' or id = 1",
        ],
    );
    all(
        &change,
        False,
        &["mood = 'a' and id = 2", "status = 'a' and id = 2", "status is not null"],
    );
}

#[test]
fn a_member_of_a_list_decides_and_else_null_or_not_known_remains() {
    let change = Change::new(b'c').after("id", integer(1)).after("total", Field::Null);
    assert_eq!(truth("id in (1, total)", &change), True);
    assert_eq!(truth("id in (2, total)", &change), Null);
    assert_eq!(truth("id not in (2, total)", &change), Null);
    assert_eq!(truth("id in (2, total, size)", &change), Unknown);
    assert_eq!(truth("id in (size, 1)", &change), True);
    assert_eq!(truth("id not in (2, 3)", &change), True);
}

#[test]
fn a_text_that_is_not_of_its_columns_type_is_not_known() {
    let change = Change::new(b'c')
        .after("created_at", text("Sun Nov 22 18:00:00 2026"))
        .after("total", text("1,5"))
        .after("opens", text("6 pm"))
        .after("payload", text("{\"a\": "));
    all(
        &change,
        Unknown,
        &["created_at > '2024-01-01'", "total = 1", "opens = '18:00:00'", "payload ->> 'a' = '1'"],
    );
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let documentation = include_str!("../../../filter/README.md");
    let (_, examples) = documentation.split_once("### Examples").unwrap();
    let (_, examples) = examples.split_once("```sql\n").unwrap();
    let (examples, _) = examples.split_once("```").unwrap();
    let column = |name, ty| Column { name, ty, type_name: "" };
    let columns = [
        column("tenant_id", Type::Text),
        column("status", Type::Text),
        column("total", Type::Decimal),
        column("payload", Type::Json),
        column("email", Type::Text),
    ];
    let table = Table { database: "shop", schema: "public", name: "orders", columns: &columns };
    for example in examples.split("\n\n") {
        let expression = Expression::parse(example);
        let program = expression.and_then(|it| Program::compile(&it, &table, Missing::Refused));
        assert!(program.is_ok(), "{example}: {}", program.unwrap_err());
    }
}
