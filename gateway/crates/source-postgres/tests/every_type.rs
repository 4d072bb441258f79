//! A table with a column of every type, as a server sent it: the stream and the snapshot give equal
//! cells, and these are what the golden file records. `REWRITE_GOLDEN=1 cargo test` writes the
//! recorded part anew; review the difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::sync::Arc;

use offtake_change::{Batch, Column, Image, Kind, ValueRef};
use offtake_pgoutput::{Message, Protocol};
use offtake_source_postgres::{Relation, RelationCache, TypeCatalog, TypeFacts};

const SEPARATOR: &str = "====\n";

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// A line of the catalogue: oid, schema, name, typtype, typcategory, typelem, typbasetype,
/// typtypmod, typdelim and an enum's labels.
fn type_facts(line: &str) -> TypeFacts {
    let words: Vec<&str> = line.split(' ').collect();
    let [oid, namespace, name, typtype, category, element, base, modifier, delimiter, labels] =
        words[..]
    else {
        panic!("no type facts: {line}");
    };
    TypeFacts {
        oid: oid.parse().unwrap(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        typtype: typtype.as_bytes()[0],
        typcategory: category.as_bytes()[0],
        typelem: element.parse().unwrap(),
        typbasetype: base.parse().unwrap(),
        typtypmod: modifier.parse().unwrap(),
        typdelim: delimiter.as_bytes()[0],
        labels: labels.split('|').filter(|label| *label != "-").map(str::to_owned).collect(),
    }
}

fn show_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => format!("{:?}", str::from_utf8(text).unwrap()),
        ValueRef::List(list) => {
            let values: Vec<_> = list.iter().map(|value| show_value(value.unwrap())).collect();
            format!("[{}]", values.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn show(batch: &Batch, image: Image) -> Vec<String> {
    batch.values(image).map(show_value).collect()
}

fn show_column(column: &Column) -> String {
    let mut shown =
        format!("{} {:?} {} {}", column.name, column.kind, column.logical, column.native);
    if !column.domain_base.is_empty() {
        write!(shown, " over {}", column.domain_base).unwrap();
    }
    if !column.labels.is_empty() {
        write!(shown, " {:?}", column.labels).unwrap();
    }
    shown
}

struct Session {
    relation: Arc<Relation>,
    streamed: Vec<Vec<String>>,
    copied: Vec<Vec<String>>,
}

fn read(input: &str) -> Session {
    let mut types = TypeCatalog::new();
    for line in input.lines().filter_map(|line| line.strip_prefix("type ")) {
        types.insert(type_facts(line));
    }
    let mut cache = RelationCache::new("shop");
    let mut protocol = Protocol::new(1).unwrap();
    let mut batch = Batch::new();
    let (mut relation, mut streamed, mut copied) = (None, Vec::new(), Vec::new());
    for hex in input.lines().filter_map(|line| line.strip_prefix("> ")) {
        match protocol.decode(&unhex(hex)).unwrap() {
            Message::Relation(message) => {
                let missing = types.missing(message.columns().map(|column| column.type_id));
                assert!(missing.is_empty(), "every type is known, but {missing:?}");
                relation = Some(cache.announce(&message, None, &types));
            }
            Message::Insert(insert) => {
                let relation = cache.get(insert.relation).unwrap();
                let image = relation.decoder.decode_tuple(insert.new, &mut batch).unwrap();
                streamed.push(show(&batch, image));
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    let relation = relation.expect("a relation");
    for line in input.split('\n').filter_map(|line| line.strip_prefix("copy ")) {
        let image = relation.decoder.decode_copy_line(line.as_bytes(), &mut batch).unwrap();
        copied.push(show(&batch, image));
    }
    Session { relation, streamed, copied }
}

fn rendered(session: &Session) -> String {
    let mut out = String::new();
    for (ordinal, column) in session.relation.schema.columns.iter().enumerate() {
        writeln!(out, "{}", show_column(column)).unwrap();
        for row in session.streamed.iter().take(2) {
            writeln!(out, "  {}", row[ordinal]).unwrap();
        }
    }
    for row in session.streamed.iter().skip(2) {
        let values: Vec<&str> =
            row.iter().map(String::as_str).filter(|shown| *shown != "Null").collect();
        writeln!(out, "{}", values.join(" ")).unwrap();
    }
    out
}

#[test]
fn every_type_decodes_alike_from_stream_and_snapshot_and_as_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/every_type.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let (input, recorded) = text.split_once(SEPARATOR).expect("a separator");
    let session = read(input);
    assert_eq!(session.streamed.len(), 5);
    assert_eq!(session.streamed, session.copied);
    assert!(session.relation.schema.columns.len() > 60);
    assert!(session.relation.schema.columns.iter().any(|column| column.kind == Kind::Bytes));

    let found = rendered(&session);
    if std::env::var_os("REWRITE_GOLDEN").is_some() {
        std::fs::write(path, format!("{input}{SEPARATOR}{found}")).unwrap();
        return;
    }
    for (recorded, found) in recorded.lines().zip(found.lines()) {
        assert_eq!(found, recorded);
    }
    assert_eq!(found, recorded);
}
