//! Every message as its reader sees it.

use offtake_expression::{Column, Expression, Missing, Program, Table, Type};

use crate::row::compile;

/// The code, then the report.
fn refused(source: &str) -> String {
    match compile(source) {
        Ok(_) => panic!("{source} was accepted"),
        Err(error) => format!("{}\n{}", error.code().as_str(), error.report(source)),
    }
}

/// The golden file has, for every mistake, the expression's report as [`refused`] gives it, with an
/// empty line between two.
#[test]
fn every_mistake_is_reported_as_in_the_golden_file() {
    let golden = include_str!("errors.txt");
    let reports: Vec<String> = MISTAKES.iter().map(|source| refused(source)).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language/errors.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, reports.join("\n\n") + "\n").unwrap();
    } else {
        for (report, expected) in reports.iter().zip(golden.trim_end().split("\n\n")) {
            assert_eq!(report, expected);
        }
        assert_eq!(reports.join("\n\n") + "\n", golden, "UPDATE=1 writes {path}");
    }
}

const MISTAKES: &[&str] = &[
    // The text.
    "",
    "  -- nothing",
    "status = 'paid",
    "\"status = 'paid'",
    "\"\" = 1",
    "status == 'paid'",
    "flag && flag",
    "flag || flag",
    "!flag",
    "`status` = 'a'",
    "flag;",
    "id % 2 = 0",
    "status = §1",
    "id = 1.",
    "id = 1e",
    "id = 1e999",
    "id = 12abc",
    "digest = x'0g'",
    // The grammar.
    "status =",
    "= 'a'",
    "status 'a'",
    "status = 'a' status = 'b'",
    "(flag",
    "flag)",
    "flag and",
    "not",
    "id in 1",
    "id in ()",
    "id in (1, 2",
    "id between 1",
    "id between 1 or 2",
    "id not 1",
    "status like mood",
    "status like 'a\\'",
    "id is 1",
    "flag is true",
    "status is distinct 'a'",
    "lower(status) is changed",
    "before.status is changed",
    "1 < id < 3",
    "id = -status",
    "orders.status = 'a'",
    "before. = 'a'",
    "in = 1",
    "payload ->> kind = 'a'",
    "$header(tenant) = 'a'",
    "$header = 'a'",
    "flag\n  and status = \n  and flag",
    // Names.
    "stauts = 'paid'",
    "status = \"paid\"",
    "customer = 'a'",
    "before.stattus = 'a'",
    "creatd_at is changed",
    "lenght(status) = 1",
    "now() > created_at",
    "length(status, 1) = 1",
    "starts_with(status)",
    "substring(status) = 'a'",
    "substring(status, id) = 'a'",
    "substring(status, 0) = 'a'",
    "substring(status, 1, -1) = 'a'",
    "$operation = 'c'",
    "$tabel = 'a'",
    "$xyzzy = 'a'",
    "$heder('a') = 'b'",
    // Types.
    "status",
    "id and flag",
    "not total",
    "'a'",
    "status = 1",
    "status = true",
    "status = id",
    "id = '1'",
    "id = 1.5",
    "id in (1, 2.5)",
    "id = flag",
    "flag = 1",
    "flag = 'true'",
    "flag < true",
    "total = '10.50'",
    "total = 1e3",
    "total = score",
    "score = 'big'",
    "code = 1",
    "digest = 'a'",
    "digest = status",
    "ref = 'abc'",
    "ref = status",
    "born = '2024-02-30'",
    "born = '2024-02-29 10:00:00'",
    "born = 20240229",
    "opens = '6 pm'",
    "seen = '2024-02-29 12:00:00+01'",
    "seen = created_at",
    "created_at > 'yesterday'",
    "created_at > 1700000000",
    "mood > 'happy'",
    "mood = 1",
    "mood = status",
    "payload < payload",
    "\"Odd \"\"Name\"\"\" = '{1,2}'",
    "\"Odd \"\"Name\"\"\" = \"Odd \"\"Name\"\"\"",
    "status = null",
    "status <> null",
    "id in (1, null)",
    "null = id",
    "$op = 'insert'",
    "$op in ('c', 'U')",
    "$commit_time > 1",
    "$snapshot = 'yes'",
    "$table = 1",
    "lower(id) = 'a'",
    "id like '1%'",
    "starts_with(status, id)",
    "length(id) = 1",
    "created_at ->> 'a' = 'b'",
    "coalesce(status, 1) = 'a'",
    "coalesce(id, status) = 1",
    "coalesce(1, 'a') = 1",
    "1 = 'a'",
];

#[test]
fn a_table_without_a_schema_is_named_alone() {
    let columns = [Column { name: "id", ty: Type::Integer, type_name: "int" }];
    let table = Table { database: "shop", schema: "", name: "orders", columns: &columns };
    let expression = Expression::parse("ib = 1").expect("it is right");
    let error = Program::compile(&expression, &table, Missing::Refused).expect_err("it is wrong");
    assert_eq!(error.to_string(), "orders has no column ib (line 1, column 1); did you mean id?");
}

#[test]
fn no_message_of_a_type_repeats_a_value() {
    let report = compile("id = 'secret'").expect_err("it is wrong");
    assert!(!report.message().contains("secret"));
}
