//! A change as a person or a script reads it: one JSON line, or one readable line.
//!
//! Used by `tail` and the demo, never on the data plane.

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
    let mut line = format!("{:>8}  {stream}  {paint}{operation:<8}{reset}", change.sequence);
    let mut unchanged = Vec::new();
    let shown = match change.operation() {
        v1::Operation::Delete => change.before.as_ref(),
        _ => change.after.as_ref(),
    };
    if let Some(row) = shown {
        for (name, value) in image(row, schema, &mut unchanged) {
            let text = match &value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let _ = write!(line, "  {name}={text}");
        }
    }
    for name in unchanged {
        let _ = write!(line, "  {name}=(unchanged)");
    }
    line
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
}
