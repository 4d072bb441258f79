//! A change as a person or a script reads it: one JSON line, or one readable line.
//!
//! Used by `tail` and the demo, never on the data plane.

use std::borrow::Cow;
use std::fmt::Write;

use offtake_proto::v1;
use offtake_proto::v1::value::Kind;
use serde_json::{Map, Value, json};

/// One JSON object. Unchanged values are named in `unchanged`; absent ones are left out.
pub fn json_line(change: &v1::Change, schema: &v1::Schema, stream: &str) -> String {
    let mut object = Map::new();
    object.insert("sequence".into(), change.sequence.into());
    object.insert("stream".into(), stream.into());
    object.insert("op".into(), operation(change).into());
    object.insert("table".into(), table_name(schema).into());
    let mut unchanged = Vec::new();
    for (name, row) in [("before", &change.before), ("after", &change.after)] {
        let image = row.as_ref().map(|row| image(row, schema, &mut unchanged));
        object.insert(name.into(), image.map_or(Value::Null, Value::Object));
    }
    if !unchanged.is_empty() {
        object.insert("unchanged".into(), unchanged.into());
    }
    if let Some(transaction) = &change.transaction {
        object.insert(
            "transaction".into(),
            json!({
                "id": transaction.id,
                "commit": position(transaction.commit.as_ref()),
                "commit_unix_us": transaction.commit_unix_us,
                "order": change.order,
            }),
        );
    }
    object.insert("position".into(), position(change.position.as_ref()).into());
    if change.snapshot != 0 {
        object.insert("snapshot".into(), snapshot(change).into());
    }
    Value::Object(object).to_string()
}

/// One readable line.
pub fn readable_line(
    change: &v1::Change,
    schema: &v1::Schema,
    stream: &str,
    color: bool,
) -> String {
    let (paint, reset) = match (color, change.operation()) {
        (false, _) => ("", ""),
        (_, v1::Operation::Create) => ("\x1b[32m", "\x1b[0m"),
        (_, v1::Operation::Update) => ("\x1b[33m", "\x1b[0m"),
        (_, v1::Operation::Delete | v1::Operation::Truncate) => ("\x1b[31m", "\x1b[0m"),
        _ => ("\x1b[36m", "\x1b[0m"),
    };
    let operation = match change.operation() {
        v1::Operation::Create => "insert",
        v1::Operation::Update => "update",
        v1::Operation::Delete => "delete",
        v1::Operation::Read => "read",
        v1::Operation::Truncate => "truncate",
        v1::Operation::Message => "message",
        v1::Operation::Define => "define",
        v1::Operation::Unspecified => "?",
    };
    let sequence = change.sequence;
    let stream = visible(stream);
    let mut line = format!("{sequence:>8}  {stream}  {paint}{operation:<8}{reset}");
    let mut unchanged = Vec::new();
    let shown = match change.operation() {
        v1::Operation::Delete => change.before.as_ref(),
        _ => change.after.as_ref(),
    };
    if let Some(row) = shown {
        for (name, value) in image(row, schema, &mut unchanged) {
            let _ = write!(line, "  {}={}", visible(&name), readable_value(&value));
        }
    }
    for name in unchanged {
        let _ = write!(line, "  {}=(unchanged)", visible(&name));
    }
    for (name, value) in old_key(change, schema) {
        let _ = write!(line, "  (was {}={})", visible(name), readable_value(&value));
    }
    line
}

/// Key columns whose value an update changed, with the value before it.
fn old_key<'s>(change: &v1::Change, schema: &'s v1::Schema) -> Vec<(&'s str, Value)> {
    let (v1::Operation::Update, Some(before), Some(after)) =
        (change.operation(), &change.before, &change.after)
    else {
        return Vec::new();
    };
    let mut old = Vec::new();
    for ordinal in &schema.key {
        let Ok(at) = usize::try_from(*ordinal) else { continue };
        let (Some(column), Some(was), Some(is)) =
            (schema.columns.get(at), before.values.get(at), after.values.get(at))
        else {
            continue;
        };
        let told = |value: &v1::Value| match &value.kind {
            Some(Kind::Missing(missing)) => *missing == v1::Missing::Null as i32,
            _ => true,
        };
        if told(was) && told(is) && was != is {
            old.push((column.name.as_str(), json_value(was)));
        }
    }
    old
}

/// A value as it stands in a readable line: a text that could be taken for something else, or that
/// would break or steer the terminal, is quoted and escaped.
fn readable_value(value: &Value) -> String {
    let Value::String(text) = value else {
        // Of lists: JSON escapes what ends a line, and leaves other control characters.
        return visible(&value.to_string()).into_owned();
    };
    let ambiguous = |character: char| {
        character.is_whitespace() || is_hidden(character) || matches!(character, '"' | '=' | '(')
    };
    if text.is_empty() || text == "null" || text.contains(ambiguous) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{}\"", visible(&escaped));
    }
    text.clone()
}

/// The text with every character escaped that is not to be seen or would steer a terminal.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Control characters, line and paragraph separators, and marks that turn the writing direction.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn operation(change: &v1::Change) -> &'static str {
    match change.operation() {
        v1::Operation::Create => "c",
        v1::Operation::Update => "u",
        v1::Operation::Delete => "d",
        v1::Operation::Read => "r",
        v1::Operation::Truncate => "t",
        v1::Operation::Message => "m",
        v1::Operation::Define => "s",
        v1::Operation::Unspecified => "?",
    }
}

fn snapshot(change: &v1::Change) -> &'static str {
    match change.snapshot() {
        v1::Snapshot::None => "false",
        v1::Snapshot::First => "first",
        v1::Snapshot::FirstInTable => "first_in_table",
        v1::Snapshot::Row => "true",
        v1::Snapshot::LastInTable => "last_in_table",
        v1::Snapshot::Last => "last",
    }
}

fn table_name(schema: &v1::Schema) -> String {
    match schema.subject() {
        v1::Subject::Message => String::new(),
        v1::Subject::Table => format!("{}.{}", schema.namespace, schema.table),
    }
}

fn position(position: Option<&v1::Position>) -> String {
    match position.and_then(|position| position.at.as_ref()) {
        Some(v1::position::At::Lsn(lsn)) => offtake_change::Lsn(*lsn).to_string(),
        Some(v1::position::At::Binlog(binlog)) => format!("{}:{}", binlog.file, binlog.position),
        None => String::new(),
    }
}

fn image(row: &v1::Row, schema: &v1::Schema, unchanged: &mut Vec<String>) -> Map<String, Value> {
    let mut map = Map::new();
    for (value, column) in row.values.iter().zip(&schema.columns) {
        match &value.kind {
            Some(Kind::Missing(missing)) if *missing == v1::Missing::Absent as i32 => {}
            Some(Kind::Missing(missing)) if *missing == v1::Missing::Unchanged as i32 => {
                if !unchanged.contains(&column.name) {
                    unchanged.push(column.name.clone());
                }
            }
            _ => {
                map.insert(column.name.clone(), json_value(value));
            }
        }
    }
    map
}

fn json_value(value: &v1::Value) -> Value {
    match &value.kind {
        None | Some(Kind::Missing(_)) => Value::Null,
        Some(Kind::Boolean(value)) => (*value).into(),
        Some(Kind::Integer(value)) => (*value).into(),
        Some(Kind::Unsigned(value)) => (*value).into(),
        Some(Kind::Single(value)) => float(f64::from(*value), &value.to_string()),
        Some(Kind::Number(value)) => float(*value, &value.to_string()),
        Some(Kind::Text(text)) => text.as_str().into(),
        Some(Kind::Bytes(bytes)) => {
            let mut text = String::from("\\x");
            for byte in bytes.iter() {
                let _ = write!(text, "{byte:02x}");
            }
            text.into()
        }
        Some(Kind::List(list)) => list.values.iter().map(json_value).collect(),
    }
}

/// JSON has no NaN and no infinity: they are text.
fn float(value: f64, text: &str) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| text.into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> v1::Value {
        v1::Value { kind: Some(kind) }
    }

    #[test]
    fn missing_values_are_told_apart() {
        let schema = v1::Schema {
            namespace: "public".into(),
            table: "t".into(),
            columns: ["id", "note", "big", "gone"]
                .map(|name| v1::Column { name: name.into(), ..Default::default() })
                .to_vec(),
            ..Default::default()
        };
        let row = v1::Row {
            values: vec![
                value(Kind::Integer(-5)),
                value(Kind::Missing(0)),
                value(Kind::Missing(1)),
                value(Kind::Missing(2)),
            ],
        };
        let change = v1::Change {
            sequence: 7,
            operation: v1::Operation::Update as i32,
            after: Some(row),
            ..Default::default()
        };
        let line: Value = serde_json::from_str(&json_line(&change, &schema, "s")).unwrap();
        assert_eq!(line["after"], json!({"id": -5, "note": null}));
        assert_eq!(line["unchanged"], json!(["big"]));
        assert_eq!(line["op"], "u");
        let line = readable_line(&change, &schema, "s", false);
        assert!(line.contains("update") && line.contains("big=(unchanged)"), "{line}");
    }

    fn change(operation: v1::Operation, before: Option<Vec<Kind>>, after: Vec<Kind>) -> v1::Change {
        let row = |kinds: Vec<Kind>| v1::Row { values: kinds.into_iter().map(value).collect() };
        v1::Change {
            sequence: 7,
            operation: operation as i32,
            before: before.map(row),
            after: Some(row(after)),
            ..Default::default()
        }
    }

    fn people() -> v1::Schema {
        v1::Schema {
            columns: ["id", "name"]
                .map(|name| v1::Column { name: name.into(), ..Default::default() })
                .to_vec(),
            key: vec![0],
            ..Default::default()
        }
    }

    #[test]
    fn no_value_breaks_the_line_steers_the_terminal_or_passes_for_another() {
        let line = |text: &str| {
            let row = vec![Kind::Integer(1), Kind::Text(text.into())];
            readable_line(&change(v1::Operation::Create, None, row), &people(), "s", false)
        };
        for (text, shown) in [
            ("plain", "name=plain"),
            ("***.com", "name=***.com"),
            ("Ada Lovelace", "name=\"Ada Lovelace\""),
            ("a\nb\t\u{1b}[31m\u{9b}", r#"name="a\nb\t\u{1b}[31m\u{9b}""#),
            ("say \"x\" \\", r#"name="say \"x\" \\""#),
            ("", "name=\"\""),
            ("null", "name=\"null\""),
            ("x  id=2", "name=\"x  id=2\""),
            ("(unchanged)", "name=\"(unchanged)\""),
            ("a\u{202e}b", r#"name="a\u{202e}b""#),
            (r"\x00ff", r"name=\x00ff"),
            ("größe", "name=größe"),
        ] {
            let line = line(text);
            assert!(line.ends_with(&format!("id=1  {shown}")), "{line}");
            assert!(!line.contains(|character: char| character.is_control()), "{line:?}");
        }
        let list = Kind::List(v1::List { values: vec![value(Kind::Text("a\n\u{9b}".into()))] });
        let row = vec![Kind::Integer(1), list];
        let line = readable_line(&change(v1::Operation::Create, None, row), &people(), "s", false);
        assert!(line.ends_with(r#"name=["a\n\u{9b}"]"#), "{line}");
    }

    #[test]
    fn a_changed_key_is_shown_with_the_old_one_and_an_unchanged_one_is_not() {
        let absent = || Kind::Missing(v1::Missing::Absent as i32);
        let after = || vec![Kind::Integer(2), Kind::Text("x".into())];
        let line = |before| {
            let change = change(v1::Operation::Update, before, after());
            readable_line(&change, &people(), "s", false)
        };
        let moved = line(Some(vec![Kind::Integer(1), absent()]));
        assert!(moved.ends_with("id=2  name=x  (was id=1)"), "{moved}");
        let full = line(Some(vec![Kind::Integer(2), Kind::Text("y".into())]));
        assert!(!full.contains("was"), "{full}");
        assert!(!line(None).contains("was"));
    }
}
