//! What an author reads of a fixture that is written wrong: the file, the place, and what to write.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use offtake_workbench::Mistake;
use offtake_workbench::fixture::{Fixture, find};

const TABLES: &str = r#"[{"table": "people", "key": ["id"], "columns": [
  {"name": "id", "type": "int8"}, {"name": "name", "type": "text"},
  {"name": "age", "type": "int4", "nullable": false}, {"name": "photo", "type": "bytes"},
  {"name": "pay", "type": "decimal(12,2)"}, {"name": "tags", "type": "list<text>"},
  {"name": "is_on", "type": "bool"}, {"name": "score", "type": "float8"}]}]"#;

/// Reads a fixture with these files beside the usual tables and no changes.
fn load(files: &[(&str, &str)]) -> Result<Fixture, Vec<Mistake>> {
    let folder = tempfile::tempdir().unwrap();
    let usual = [("tables.json", TABLES), ("changes.jsonl", "")];
    for (name, text) in usual.iter().chain(files) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    Fixture::load(folder.path())
}

/// The first mistake of a fixture with this file.
fn mistake(file: &str, text: &str) -> Mistake {
    match load(&[(file, text)]) {
        Ok(_) => panic!("{file} is taken: {text}"),
        Err(mistakes) => mistakes.into_iter().next().unwrap(),
    }
}

/// Each: a text of the file, the code, words of the message, and words of what to write.
fn expect(file: &str, cases: &[(&str, &str, &str, &str)]) {
    for (text, code, message, help) in cases {
        let found = mistake(file, text);
        assert_eq!(found.code, *code, "{found}");
        assert_eq!(found.file.file_name().unwrap().to_str(), Some(file), "{found}");
        assert!(found.message.contains(message), "{found}\nlacks: {message}");
        assert!(found.help.contains(help), "{found}\nlacks: {help}");
    }
}

#[test]
fn a_mistake_in_the_tables_names_table_and_column() {
    let column = |column: &str| {
        format!(r#"[{{"table": "t", "columns": [{{"name": "id", "type": "int8"}}, {column}]}}]"#)
    };
    let of = [
        (r#"{"name": "a", "type": "integer"}"#, "\"integer\"", "\"int4\""),
        (r#"{"name": "a", "type": "numeric(12,2)"}"#, "not what plugins see", "\"decimal(12,2)\""),
        (r#"{"name": "a", "type": "text[]"}"#, "not what plugins see", "\"list<text>\""),
        (r#"{"name": "a", "type": "list<bigint>"}"#, "not what plugins see", "\"list<int8>\""),
        (r#"{"name": "id", "type": "text"}"#, "two columns with the name \"id\"", "keep one"),
        (r#"{"name": "a"}"#, "table 1, column 2 has no \"type\"", "write \"type\""),
        (r#"{"type": "text"}"#, "table 1, column 2 has no \"name\"", "write \"name\""),
        (r#"{"name": "a", "type": "enum"}"#, "labels belong to the type \"enum\"", "\"labels\": ["),
    ];
    for (text, message, help) in of {
        expect("tables.json", &[(&column(text), "FIXTURE_TABLE", message, help)]);
    }
    expect(
        "tables.json",
        &[
            ("{}", "FIXTURE_TYPE", "not a list of tables", "write ["),
            (r#"[{"columns": []}]"#, "FIXTURE_TABLE", "table 1 has no name", "write \"table\""),
            (r#"[{"table": "t"}]"#, "FIXTURE_TYPE", "table 1 has no columns", "write \"columns\""),
            (
                &column(r#"{"nane": "a"}"#),
                "FIXTURE_UNKNOWN_NAME",
                "\"nane\"",
                "did you mean \"name\"?",
            ),
            (
                &column(r#"{"name": "a", "type": "text", "nullable": 1}"#),
                "FIXTURE_TYPE",
                "nullable",
                "false",
            ),
            (
                r#"[{"table": "t", "columns": [], "key": ["x"]}]"#,
                "FIXTURE_TABLE",
                "\"x\"",
                "its columns",
            ),
            (
                r#"[{"table": "t", "columns": [], "before": "some"}]"#,
                "FIXTURE_TABLE",
                "\"some\"",
                "\"all\"",
            ),
            (
                r#"[{"table": "t", "columns": []}, {"table": "t", "columns": []}]"#,
                "FIXTURE_TABLE",
                "public.t is here twice",
                "keep one",
            ),
        ],
    );
}

#[test]
fn a_mistake_in_the_changes_names_its_line_and_field() {
    let people = |rest: &str| format!(r#"{{"table": "public.people", {rest}}}"#);
    let after = |value: &str| people(&format!(r#""op": "c", "after": {{"id": 1, {value}}}"#));
    let value = |given: &str| after(given);
    let values = [
        (r#""age": null"#, "after.age is null and may not be", "nullable"),
        (r#""age": "x""#, "after.age is \"x\", which is no value of the type int4", "correct"),
        (r#""age": 3000000000"#, "no value of the type int4", "correct"),
        (r#""age": 1.5"#, "after.age is 1.5, which is no value of the type int4", "a whole number"),
        (r#""age": 1e3"#, "which is no value of the type int4", "without fraction and exponent"),
        (r#""pay": 12.50"#, "after.pay is a number", "keeps all its digits"),
        (r#""photo": "AAE=""#, "after.photo is a text, where bytes are needed", "base64"),
        (r#""photo": {"bytes": "?"}"#, "no base64", "AAE="),
        (r#""name": {"bytes": "AAE="}"#, "the column has the type text", "as text"),
        (r#""name": {"unchanged": true}"#, "is unchanged", "give a value"),
        (r#""tags": ["a"]"#, "after.tags is a list, and lists are text", "{1,NULL,3}"),
        (r#""tags": "{a""#, "no value of the type list<text>", "correct"),
        (r#""name": {"a": 1}"#, "is an object, where text is needed", "double quotes"),
        (r#""is_on": 1"#, "after.is_on is 1, which is no value of the type bool", "true or false"),
    ];
    for (given, message, help) in values {
        expect("changes.jsonl", &[(&value(given), "FIXTURE_VALUE", message, help)]);
    }
    expect(
        "changes.jsonl",
        &[
            (&after(r#""nam": "x""#), "FIXTURE_UNKNOWN_NAME", "\"after\" has \"nam\"", "\"name\"?"),
            (&people(r#""op": "c""#), "FIXTURE_CHANGE", "there is no \"after\"", "write \"after\""),
            (
                &people(r#""op": "d", "after": {}"#),
                "FIXTURE_CHANGE",
                "has no \"after\"",
                "leave it out",
            ),
            (
                &people(r#""op": "u", "before": {"id": 1, "name": "x"}, "after": {"id": 2}"#),
                "FIXTURE_CHANGE",
                "\"before\" has \"name\", and before images of public.people have the key's columns",
                "write \"before\": \"all\" for the table",
            ),
            (&people(r#""op": "x""#), "FIXTURE_CHANGE", "\"op\" is \"x\"", "c created"),
            (&people(r#""after": {}"#), "FIXTURE_CHANGE", "no \"op\"", "c created"),
            (
                &people(r#""op": "t", "snapshot": 2"#),
                "FIXTURE_CHANGE",
                "no row of a snapshot",
                "\"r\"",
            ),
            (
                &people(r#""op": "r", "after": {"id": 1}, "transaction": "7""#),
                "FIXTURE_CHANGE",
                "has no \"transaction\"",
                "leave it out",
            ),
            (
                &people(r#""op": "r", "after": {"id": 1}, "snapshot": 9"#),
                "FIXTURE_VALUE",
                "out of range",
                "1 first row",
            ),
            (
                &people(r#""op": "t", "position": "7""#),
                "FIXTURE_VALUE",
                "no log sequence number",
                "0/16B3748",
            ),
            (
                &people(r#""op": "t", "commit_time": "today""#),
                "FIXTURE_VALUE",
                "commit_time",
                "2026-01-02T",
            ),
            (&people(r#""op": "t", "order": -1"#), "FIXTURE_TYPE", "\"order\"", "without quotes"),
            (
                &people(r#""op": "t", "headers": []"#),
                "FIXTURE_TYPE",
                "\"headers\" is a list",
                "{\"name\"",
            ),
            (
                &people(r#""op": "t", "headers": {"a": 1}"#),
                "FIXTURE_VALUE",
                "headers.a is a number",
                "write a text",
            ),
            (&people(r#""op": "t", "prefix": "a""#), "FIXTURE_CHANGE", "\"prefix\"", "\"m\""),
            (r#"{"op": "t"}"#, "FIXTURE_CHANGE", "no \"table\"", "public.people"),
            (
                r#"{"op": "t", "table": "public.peopel"}"#,
                "FIXTURE_CHANGE",
                "\"public.peopel\"",
                "did you mean \"public.people\"?",
            ),
            (r#"{"op": "m", "content": "x"}"#, "FIXTURE_CHANGE", "\"prefix\"", "write \"prefix\""),
            (r#"{"op": "m", "prefix": "x"}"#, "FIXTURE_CHANGE", "\"content\"", "write \"content\""),
            (r#"{"op": "m", "table": "public.people"}"#, "FIXTURE_CHANGE", "has no table", "leave"),
            ("[]", "FIXTURE_TYPE", "the change is a list", "table"),
        ],
    );
}

#[test]
fn every_line_that_is_wrong_is_named_with_its_number() {
    let text = "# a comment\n{\"op\": \"t\"}\n\n{\"table\": \"public.people\", \"op\": \"t\"}\n{\"op\" \"t\"}\n";
    let mistakes = load(&[("changes.jsonl", text)]).unwrap_err();
    let places: Vec<_> = mistakes.iter().map(|found| (found.line, found.column)).collect();
    assert_eq!(places, [(Some(2), None), (Some(5), Some(7))]);
    let shown = mistakes[1].to_string();
    assert!(shown.starts_with("error[FIXTURE_SYNTAX]: "), "{shown}");
    assert!(shown.contains("changes.jsonl:5:7: this is no JSON: expected `:`"), "{shown}");
    assert!(shown.contains("\n  next: "), "{shown}");
}

#[test]
fn a_before_image_has_what_the_table_says_it_has() {
    let with = |before: &str, image: &str| {
        let tables =
            TABLES.replace("\"columns\"", &format!("\"before\": \"{before}\", \"columns\""));
        let change = format!(r#"{{"table": "public.people", "op": "d", "before": {image}}}"#);
        load(&[("tables.json", &tables), ("changes.jsonl", &change)])
    };
    for (before, image) in [
        ("key", r#"{"id": 1}"#),
        ("all", r#"{"id": 1, "name": "x"}"#),
        ("unknown", r#"{"id": 1, "name": "x"}"#),
        ("nothing", "{}"),
    ] {
        assert!(with(before, image).is_ok(), "{before} {image}");
    }
    for (before, image, message) in [
        ("key", r#"{"id": 1, "name": "x"}"#, "have the key's columns alone"),
        ("nothing", r#"{"id": 1}"#, "have nothing"),
    ] {
        let found = with(before, image).unwrap_err().remove(0);
        assert_eq!((found.code, found.line), ("FIXTURE_CHANGE", Some(1)), "{found}");
        assert!(found.message.contains(message), "{found}");
    }
}

#[test]
fn a_transaction_has_one_commit_time() {
    let change =
        |rest: &str| format!(r#"{{"table":"public.people","op":"t","transaction":"7"{rest}}}"#);
    let given = |time: &str| change(&format!(r#","commit_time":{time}"#));
    let text = [given("5"), change(""), given("5"), given("6")].join("\n");
    let mistakes = load(&[("changes.jsonl", &text)]).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].line, Some(4));
    assert!(mistakes[0].message.contains("another commit time"), "{}", mistakes[0]);
}

#[test]
fn a_file_that_is_misspelt_missing_or_too_many_is_a_mistake() {
    let found = load(&[("expected.jsonl", "")]).unwrap_err().remove(0);
    assert_eq!(found.code, "FIXTURE_UNKNOWN_NAME");
    assert!(found.help.contains("did you mean expect.jsonl?"), "{found}");
    let found = load(&[("expect.jsonl", ""), ("expect-error.txt", "no")]).unwrap_err().remove(0);
    assert_eq!(found.code, "FIXTURE_CONTRADICTION");
    let found = mistake("expect-error.txt", " \n");
    assert!(found.message.contains("empty") && found.help.contains("--update"), "{found}");
    let found = mistake("expect.jsonl", "{}\n{\n");
    assert_eq!((found.code, found.line), ("FIXTURE_SYNTAX", Some(2)));
    let folder = tempfile::tempdir().unwrap();
    let found = Fixture::load(folder.path()).unwrap_err().remove(0);
    assert_eq!(found.code, "FIXTURE_INCOMPLETE");
    assert!(found.file.ends_with("tables.json"), "{found}");
    let found = find(folder.path()).unwrap_err();
    assert!(found.help.contains("tables.json and changes.jsonl"), "{found}");
    let found = find(&folder.path().join("none")).unwrap_err();
    assert!(found.help.contains("--fixtures"), "{found}");
}

#[test]
fn a_mistake_in_the_configuration_has_line_and_column() {
    let found = mistake("config.toml", "a = 1\nb = inf\n");
    assert_eq!((found.code, found.line, found.column), ("CONFIG_BAD_VALUE", Some(2), Some(5)));
    let found = mistake("config.toml", "key = \"${env:OFFTAKE_NO_SUCH_VARIABLE}\"\n");
    assert_eq!((found.code, found.line), ("CONFIG_SECRET_UNRESOLVED", Some(1)));
    let fixture = load(&[("config.toml", "b = [1]\na = \"x\"\n")]).unwrap();
    assert_eq!(fixture.config_json, r#"{"a":"x","b":[1]}"#);
}
