//! Columns that a plugin defines: those it adds or retypes, and those of its outputs.
//!
//! A plugin names a kind and a logical type; the host makes of both the column that log and sinks
//! know. They must agree, for every later value is checked against them, and every format's schema
//! is made of them. A logical type that is not known here travels as text.

use offtake_change::{Column, Kind};

use crate::bindings as wit;

/// Columns of one definition, at most: twice what PostgreSQL allows of a table.
pub(crate) const COLUMNS: usize = 3200;
/// Labels of an enum that a plugin defines, at most: each value is looked up among them.
const LABELS: usize = 1024;
/// Longest name of a column, in bytes.
const NAME_BYTES: usize = 255;
/// Deepest nesting of a list's type.
pub(crate) const LIST_DEPTH: usize = 6;

/// The column that a plugin described.
pub(crate) fn column(info: &wit::ColumnInfo) -> Result<Column, String> {
    check_name(&info.name)?;
    let within = |message| format!("the column {:?}: {message}", info.name);
    let mut column = of_type(&info.logical, LIST_DEPTH).map_err(within)?;
    if told_as(column.kind) != info.kind {
        let message = format!("its type {:?} travels as another kind", info.logical);
        return Err(within(message));
    }
    if info.labels.is_empty() == (column.logical == "enum") {
        return Err(within("labels belong to an enum, and an enum has some".to_owned()));
    }
    if info.labels.len() > LABELS {
        let labels = info.labels.len();
        return Err(within(format!("{labels} labels, where {LABELS} are the most")));
    }
    column.name.clone_from(&info.name);
    column.nullable = info.nullable;
    column.labels.clone_from(&info.labels);
    if !info.native.is_empty() {
        column.native.clone_from(&info.native);
    }
    Ok(column)
}

/// Refuses what cannot be a column's name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES || name.bytes().any(|byte| byte == 0) {
        return Err(format!(
            "a column's name is empty, longer than {NAME_BYTES} bytes, or has NUL"
        ));
    }
    Ok(())
}

/// How a plugin is told that values of a kind travel.
pub(crate) fn told_as(kind: Kind) -> wit::Kind {
    match kind {
        Kind::Boolean => wit::Kind::Boolean,
        Kind::Integer => wit::Kind::Int64,
        Kind::Unsigned => wit::Kind::Uint64,
        Kind::Single | Kind::Number => wit::Kind::Float64,
        Kind::Text | Kind::List => wit::Kind::Text,
        Kind::Bytes => wit::Kind::Bytes,
    }
}

/// A column of a logical type, without a name.
pub(crate) fn of_type(logical: &str, depth: usize) -> Result<Column, String> {
    if logical.is_empty() || logical.len() > NAME_BYTES {
        return Err("its logical type is empty or too long".to_owned());
    }
    if let Some(element) = logical.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        let depth = depth.checked_sub(1).ok_or("a list is nested too deeply")?;
        let element = of_type(element, depth)?;
        return Ok(Column {
            native: format!("{}[]", element.native),
            element: Some(Box::new(element)),
            ..Column::new("", Kind::List, logical)
        });
    }
    let kind = match logical {
        "bool" => Kind::Boolean,
        "int1" | "int2" | "int4" | "int8" | "oid" => Kind::Integer,
        "uint1" | "uint2" | "uint4" | "uint8" => Kind::Unsigned,
        "float4" => Kind::Single,
        "float8" => Kind::Number,
        "bytes" => Kind::Bytes,
        _ => Kind::Text,
    };
    Ok(Column::new("", kind, logical))
}

/// Refuses more columns than there may be.
pub(crate) fn check_count(columns: usize) -> Result<(), String> {
    if columns > COLUMNS {
        return Err(format!("{columns} columns, where {COLUMNS} are the most"));
    }
    Ok(())
}

/// Refuses two columns of one name.
pub(crate) fn check_names(columns: &[Column]) -> Result<(), String> {
    let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two columns with the name {:?}", pair[0])),
        None => Ok(()),
    }
}

/// Checks the ordinals of a key.
pub(crate) fn check_key(count: usize, key: &[u32]) -> Result<(), String> {
    for (at, ordinal) in key.iter().enumerate() {
        if *ordinal as usize >= count {
            return Err(format!("its key has column {ordinal} of {count}"));
        }
        if key[..at].contains(ordinal) {
            return Err(format!("its key has column {ordinal} twice"));
        }
    }
    Ok(())
}

/// Longest name of a stream: Kafka's of a topic.
const STREAM_BYTES: usize = 249;
/// What the gateway's own streams and topics begin with.
const RESERVED: &str = "__";

/// Refuses what cannot be, or must not be, a stream that a plugin names. `reserved`: those that only
/// the gateway writes.
pub(crate) fn check_stream(name: &str, reserved: &[String]) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > STREAM_BYTES || name == "." || name == ".." {
        return Err(format!("a stream's name is empty, longer than {STREAM_BYTES}, or dots alone"));
    }
    if !name.bytes().all(good) {
        let message = "a stream's name has a character other than A-Z a-z 0-9 . _ -";
        return Err(message.to_owned());
    }
    if name.starts_with(RESERVED) {
        return Err(format!("a stream's name begins with {RESERVED:?}, as the gateway's own do"));
    }
    if reserved.iter().any(|own| own == name) {
        return Err(format!("it sends a row to {name}, which only the gateway writes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: wit::Kind, logical: &str) -> wit::ColumnInfo {
        wit::ColumnInfo {
            name: "c".to_owned(),
            kind,
            logical: logical.to_owned(),
            native: String::new(),
            nullable: true,
            labels: Vec::new(),
        }
    }

    #[test]
    fn kind_and_logical_type_must_agree() {
        for (kind, logical, expected) in [
            (wit::Kind::Int64, "int4", Kind::Integer),
            (wit::Kind::Uint64, "uint8", Kind::Unsigned),
            (wit::Kind::Float64, "float4", Kind::Single),
            (wit::Kind::Text, "decimal(12,2)", Kind::Text),
            (wit::Kind::Text, "list<int4>", Kind::List),
            (wit::Kind::Bytes, "bytes", Kind::Bytes),
        ] {
            let made = column(&info(kind, logical)).unwrap();
            assert_eq!((made.kind, made.logical.as_str()), (expected, logical));
            let other =
                if kind == wit::Kind::Boolean { wit::Kind::Text } else { wit::Kind::Boolean };
            assert!(column(&info(other, logical)).is_err(), "{logical}");
        }
        let list = column(&info(wit::Kind::Text, "list<list<int8>>")).unwrap();
        assert_eq!(list.element.unwrap().element.unwrap().kind, Kind::Integer);
        assert!(column(&info(wit::Kind::Text, &"list<".repeat(40))).is_ok(), "no list: a name");
    }

    #[test]
    fn an_enum_has_labels_and_nothing_else_has() {
        assert!(column(&info(wit::Kind::Text, "enum")).is_err());
        let labels = vec!["red".to_owned()];
        let with =
            |logical| wit::ColumnInfo { labels: labels.clone(), ..info(wit::Kind::Text, logical) };
        assert_eq!(column(&with("enum")).unwrap().labels, labels);
        assert!(column(&with("text")).is_err());
        let many = |count| wit::ColumnInfo {
            labels: vec!["red".to_owned(); count],
            ..info(wit::Kind::Text, "enum")
        };
        assert!(column(&many(LABELS)).is_ok());
        let refused = column(&many(LABELS + 1)).unwrap_err();
        assert!(refused.contains("1025 labels, where 1024 are the most"), "{refused}");
    }

    #[test]
    fn streams_are_named_as_topics_are_and_not_as_the_gateways_own() {
        let own = ["shop.dead_letters".to_owned()];
        for good in ["orders", "shop.public.orders-2", "_a", "A9"] {
            assert_eq!(check_stream(good, &own), Ok(()), "{good}");
        }
        let long = "a".repeat(250);
        for bad in
            ["", ".", "..", "a b", "é", "__offtake_cursors", "a/b", "shop.dead_letters", &long]
        {
            assert!(check_stream(bad, &own).is_err(), "{bad}");
        }
    }
}
