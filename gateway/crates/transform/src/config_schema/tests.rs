//! Schemas that can be used and that cannot, and what is found in a configuration.

use super::*;

fn schema(text: &str) -> ConfigSchema {
    ConfigSchema::parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
}

fn judged(text: &str, config: &str) -> JudgedConfig {
    let nearest = |given: &str, names: &[&str]| {
        let near = names.iter().find(|name| name.chars().next() == given.chars().next());
        near.map(|name| (*name).to_owned())
    };
    schema(text).judge("p", config, &nearest).unwrap()
}

/// Each finding as its place and its message.
fn found(text: &str, config: &str) -> Vec<String> {
    let findings = judged(text, config).findings;
    findings.iter().map(|it| format!("{}: {}", it.pointer, it.message)).collect()
}

const MASK: &str = r##"{
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "columns": {"type": "array", "items": {"type": "string", "format": "column"}},
        "keep": {"type": "integer", "minimum": 0, "maximum": 9},
        "how": {"enum": ["cover", "fixed"]},
        "key": {"type": "string", "writeOnly": true, "minLength": 4},
        "rename": {
            "type": "object",
            "propertyNames": {"format": "column"},
            "additionalProperties": {"type": "string"}
        },
        "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}}
    },
    "required": ["columns"],
    "$defs": {"rule": {
        "type": "object",
        "additionalProperties": false,
        "properties": {"with": {"type": "string", "pattern": "^.$", "examples": ["x"]}}
    }}
}"##;

#[test]
fn every_mistake_is_found_at_its_place_and_no_value_is_repeated() {
    assert_eq!(found(MASK, r#"{"columns": ["a"], "keep": 3, "how": "cover"}"#), [""; 0]);
    let config = r#"{"colums": ["hidden"], "keep": 10, "how": "hidden", "key": "abc",
                     "rules": [{"with": "xx"}, {"wiht": "x"}, 7]}"#;
    assert_eq!(
        found(MASK, config),
        [
            ": `columns` is missing",
            "/colums: unknown key `colums`",
            "/keep: `keep` must be at most 9",
            "/how: `how` must be \"cover\" or \"fixed\"",
            "/key: `key` must have at least 4 characters",
            "/rules/0/with: `rules[0].with` must have the form ^.$, for example \"x\"",
            "/rules/1/wiht: unknown key `rules[1].wiht`",
            "/rules/2: `rules[2]` must be a table, and this is a whole number",
        ]
    );
    let judged = judged(MASK, config);
    assert_eq!(judged.findings[1].help.as_deref(), Some("did you mean `columns`?"));
    assert_eq!(judged.findings[6].help.as_deref(), Some("did you mean `with`?"));
    assert_eq!(judged.secrets, ["/key"]);
    let text = format!("{}", Findings(&judged.findings));
    assert!(!text.contains("hidden") && !text.contains("abc"), "{text}");
}

#[test]
fn the_columns_that_a_configuration_names_are_told_apart() {
    let judged = judged(MASK, r#"{"columns": ["a", "b"], "rename": {"c/d": "e"}}"#);
    let columns: Vec<_> =
        judged.columns.iter().map(|it| (it.pointer.as_str(), it.name.as_str())).collect();
    assert_eq!(columns, [("/columns/0", "a"), ("/columns/1", "b"), ("/rename/c~1d", "c/d")]);
}

#[test]
fn every_keyword_is_held_against_the_value() {
    // A schema, a value that has its form, and one that has not, with the words for it.
    let cases = [
        (r#"{"type": ["string", "null"]}"#, "null", "1", "a text or null, and this is a whole"),
        (r#"{"type": "integer"}"#, "1.0", "1.5", "a whole number, and this is a decimal number"),
        (r#"{"const": 1}"#, "1.0", "2", "must be 1"),
        (r#"{"enum": [1, "b", null]}"#, "null", "2", r#"must be 1, "b" or null"#),
        (r#"{"exclusiveMinimum": 1}"#, "1.5", "1", "above 1"),
        (r#"{"exclusiveMaximum": 1}"#, "0", "1", "below 1"),
        (r#"{"minimum": 9007199254740993}"#, "9007199254740993", "9007199254740992", "at least"),
        (r#"{"multipleOf": 0.1}"#, "0.3", "0.35", "multiple of 0.1"),
        (r#"{"multipleOf": 2}"#, "4", "5", "multiple of 2"),
        (r#"{"maxLength": 2}"#, r#""éé""#, r#""abc""#, "at most 2 characters"),
        (r#"{"minItems": 1}"#, "[1]", "[]", "at least 1 element"),
        (r#"{"maxItems": 1}"#, "[1]", "[1, 2]", "at most 1 element"),
        (r#"{"uniqueItems": true}"#, "[1, 2]", "[1, 1.0]", "`[1]` stands there twice"),
        (
            r#"{"prefixItems": [{"type": "string"}], "items": false}"#,
            r#"["a"]"#,
            r#"["a", 1]"#,
            "`[1]` must not be given",
        ),
        (r#"{"contains": {"const": 1}, "maxContains": 1}"#, "[1, 2]", "[1, 1]", "has 2 elements"),
        (r#"{"contains": {"const": 1}}"#, "[1, 1]", "[2]", "1 or more"),
        (r#"{"minProperties": 1}"#, r#"{"a": 1}"#, "{}", "at least 1 key"),
        (
            r#"{"patternProperties": {"^x_": {"type": "string"}}, "additionalProperties": false}"#,
            r#"{"x_a": ""}"#,
            r#"{"a": ""}"#,
            "unknown key `a`",
        ),
        (
            r#"{"patternProperties": {"^x_": {"type": "string"}}}"#,
            r#"{"a": 1}"#,
            r#"{"x_a": 1}"#,
            "`x_a` must be a text",
        ),
        (
            r#"{"propertyNames": {"maxLength": 1}}"#,
            r#"{"a": 1}"#,
            r#"{"ab": 1}"#,
            "`ab` must have at most",
        ),
        (
            r#"{"dependentRequired": {"a": ["b"]}}"#,
            r#"{"b": 1}"#,
            r#"{"a": 1}"#,
            "`a` needs `b` beside it",
        ),
        (
            r#"{"dependentSchemas": {"a": {"required": ["b"]}}}"#,
            "{}",
            r#"{"a": 1}"#,
            "`b` is missing",
        ),
        (r#"{"allOf": [{"type": "string"}, {"maxLength": 1}]}"#, r#""a""#, r#""ab""#, "at most 1"),
        (
            r#"{"anyOf": [{"type": "string"}, {"type": "object"}]}"#,
            "{}",
            "1",
            "a text or a table, and",
        ),
        (r#"{"oneOf": [{"minimum": 1}, {"maximum": 1}]}"#, "2", "1", "several forms"),
        (r#"{"not": {"type": "string"}}"#, "1", r#""a""#, "excluded"),
        (
            r#"{"if": {"type": "string"}, "then": {"maxLength": 1}, "else": {"minimum": 1}}"#,
            "1",
            "0",
            "at least 1",
        ),
        (
            r##"{"items": {"$ref": "#"}, "type": "array"}"##,
            "[[]]",
            "[[1]]",
            "`[0][0]` must be a list",
        ),
        (r#"{"properties": {"a": false}}"#, "{}", r#"{"a": 1}"#, "`a` must not be given"),
    ];
    for (text, good, bad, words) in cases {
        assert_eq!(found(text, good), [""; 0], "{text} takes {good}");
        let findings = found(text, bad);
        assert!(findings.iter().any(|it| it.contains(words)), "{text} and {bad}: {findings:?}");
    }
}

#[test]
fn of_several_forms_the_nearest_is_told() {
    let text = r#"{"oneOf": [
        {"properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}, "required": ["kind", "n"]},
        {"properties": {"kind": {"const": "b"}}, "required": ["kind"], "additionalProperties": false}
    ]}"#;
    assert_eq!(found(text, r#"{"kind": "a"}"#), [": `n` is missing"]);
    assert_eq!(found(text, r#"{"kind": "b", "n": 1}"#), ["/n: unknown key `n`"]);
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_with_its_place() {
    let long = format!(r#"{{"title": "{}"}}"#, "x".repeat(SCHEMA_BYTES));
    let patterns: Vec<String> = (0..65).map(|at| format!(r#""a{at}": {{}}"#)).collect();
    let patterns = format!(r#"{{"patternProperties": {{{}}}}}"#, patterns.join(","));
    let cases = [
        ("{", "its beginning: it is no JSON"),
        ("[]", "its beginning: a schema is an object"),
        (r#"{"type": "text"}"#, "/type: must be one of null"),
        (
            r#"{"properties": {"a/b": {"minLength": -1}}}"#,
            "/properties/a~1b/minLength: must be a whole",
        ),
        (r#"{"items": [{}]}"#, "/items: a schema is an object"),
        (r#"{"anyOf": []}"#, "/anyOf: must be a list of at least one"),
        (r#"{"pattern": "(a"}"#, "/pattern: the pattern cannot be used"),
        (r#"{"pattern": "(a{900}){900}"}"#, "/pattern: the pattern cannot be used"),
        (r#"{"required": "a"}"#, "/required: must be a list of texts"),
        (r#"{"$ref": "https://example.com/schema"}"#, "outside the schema, which is never read"),
        (r#"{"$ref": "other.json"}"#, "outside the schema"),
        (r##"{"$ref": "#name"}"##, "outside the schema"),
        (r##"{"$ref": "#/$defs/gone"}"##, "which the schema lacks"),
        (r##"{"$ref": "#/x", "x": {"type": 1}}"##, "/x/type: must be one of"),
        (r#"{"unevaluatedProperties": false}"#, "`unevaluatedProperties` is not offered"),
        (r#"{"$dynamicRef": "x"}"#, "`$dynamicRef` is not offered"),
        (r#"{"allOf": [{"$id": "x"}]}"#, "/allOf/0: `$id`"),
        (&long, "more than 262144"),
        (&patterns, "more than 64 patterns"),
    ];
    for (text, words) in cases {
        let error = ConfigSchema::parse(text.as_bytes()).unwrap_err().of("p");
        assert_eq!(error.code(), "PLUGIN_SCHEMA_INVALID");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_schema_that_goes_in_circles_or_branches_without_end_is_given_up() {
    let mut defs: Vec<String> = (0..40)
        .map(|at| {
            let next = format!(r##"{{"$ref": "#/$defs/d{}"}}"##, at + 1);
            format!(r#""d{at}": {{"allOf": [{next}, {next}]}}"#)
        })
        .collect();
    defs.push(r#""d40": {}"#.to_owned());
    let branches = format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{}}}}}"##, defs.join(","));
    let circle = r##"{"allOf": [{"$ref": "#"}]}"##;
    // Thousands of keys that are missing, asked for again and again.
    let keys: Vec<String> = (0..4000).map(|key| format!("\"k{key}\"")).collect();
    let again = vec![r##"{"$ref":"#/$defs/a"}"##; 50].join(",");
    let required =
        format!(r#"{{"$defs":{{"a":{{"required":[{}]}}}},"allOf":[{again}]}}"#, keys.join(","));
    for (text, words) in [
        (branches.as_str(), "as many steps"),
        (required.as_str(), "as many steps"),
        (circle, "without end"),
    ] {
        let error = schema(text).judge("p", "{}", &|_, _| None).unwrap_err();
        assert_eq!(error.code(), "PLUGIN_SCHEMA_INVALID");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_file_without_a_schema_has_none() {
    for bytes in [&b"no wasm at all, but long enough"[..], b"\0asm\x01\0\0\0", b""] {
        assert!(ConfigSchema::of("p", bytes).unwrap().is_none());
    }
}

#[test]
fn places_and_schemas_are_bounded() {
    let long = format!(r#"{{"$defs":{{"{}":{{"allOf":[true,true]}}}}}}"#, "k".repeat(100_000));
    let many = format!(r#"{{"allOf":[{}]}}"#, vec!["{}"; 30_000].join(","));
    for text in [long, many] {
        let wrong = ConfigSchema::parse(text.as_bytes()).err().unwrap();
        assert!(wrong.message.contains("schemas within") || wrong.message.contains("too long"));
    }
}

#[test]
fn a_schema_with_secrets_says_so() {
    assert!(schema(MASK).has_secrets());
    assert!(schema(r#"{"properties":{"a":{"items":{"writeOnly":true}}}}"#).has_secrets());
    assert!(!schema(r#"{"properties":{"a":{"type":"text"}},"writeOnly":false}"#.replace("text", "string").as_str()).has_secrets());
}
