//! Rows by both ways: what the stream (`pgoutput`) and a snapshot (`COPY`) tell of a table and its
//! values gives the same schema and the same cells.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use offtake_change::{Batch, Image, Kind, ReplicaIdentity, ValueRef};
use offtake_pgoutput::{Message, OldTuple, Protocol, Tuple};
use offtake_source_postgres::{
    ColumnFacts, Relation, RelationCache, TableFacts, TypeCatalog, TypeFacts, ValueError,
};
use proptest::prelude::*;

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const NUMERIC: u32 = 1700;
const TIMESTAMPTZ: u32 = 1184;
const JSONB: u32 = 3802;
const INT4_ARRAY: u32 = 1007;
const TEXT_ARRAY: u32 = 1009;
const BYTEA_ARRAY: u32 = 1001;
const BOX_ARRAY: u32 = 1020;

/// A column of a Relation message: key flag, name, type, modifier.
type Told<'a> = (bool, &'a str, u32, i32);

fn relation_message(identity: u8, columns: &[Told<'_>]) -> Vec<u8> {
    let mut bytes = b"R\0\0\0\x07public\0orders\0".to_vec();
    bytes.push(identity);
    bytes.extend_from_slice(&(columns.len() as u16).to_be_bytes());
    for (is_key, name, type_id, modifier) in columns {
        bytes.push((*is_key).into());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&type_id.to_be_bytes());
        bytes.extend_from_slice(&modifier.to_be_bytes());
    }
    bytes
}

/// A value on its way: `None` is NULL.
type Value = Option<Vec<u8>>;

fn put_tuple(values: &[Value], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(values.len() as u16).to_be_bytes());
    for value in values {
        match value.as_deref() {
            None => bytes.push(b'n'),
            Some(b"(unchanged)") => bytes.push(b'u'),
            Some(b"(binary)") => bytes.extend_from_slice(b"b\0\0\0\x01x"),
            Some(text) => {
                bytes.push(b't');
                bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
}

fn insert_message(values: &[Value]) -> Vec<u8> {
    let mut bytes = b"I\0\0\0\x07N".to_vec();
    put_tuple(values, &mut bytes);
    bytes
}

fn with_tuple<T>(values: &[Value], read: impl FnOnce(Tuple<'_>) -> T) -> T {
    let bytes = insert_message(values);
    match Protocol::new(1).unwrap().decode(&bytes) {
        Ok(Message::Insert(insert)) => read(insert.new),
        other => panic!("no insert: {other:?}"),
    }
}

/// A line as the server's `CopyAttributeOutText` writes it.
fn copy_line(values: &[Value]) -> Vec<u8> {
    let mut line = Vec::new();
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            line.push(b'\t');
        }
        let Some(text) = value else {
            line.extend_from_slice(b"\\N");
            continue;
        };
        for &byte in text {
            match byte {
                0x08 => line.extend_from_slice(b"\\b"),
                0x0c => line.extend_from_slice(b"\\f"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0x0b => line.extend_from_slice(b"\\v"),
                b'\\' => line.extend_from_slice(b"\\\\"),
                other => line.push(other),
            }
        }
    }
    line.push(b'\n');
    line
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|text| Some(text.as_bytes().to_vec())).collect()
}

/// What an image shows; NaN equals NaN this way.
fn show(batch: &Batch, image: Image) -> Vec<String> {
    fn one(value: ValueRef<'_>) -> String {
        match value {
            ValueRef::Text(text) => format!("Text({:?})", str::from_utf8(text).unwrap()),
            ValueRef::List(list) => {
                let values: Vec<String> = list.iter().map(|value| one(value.unwrap())).collect();
                format!("List[{}]", values.join(", "))
            }
            other => format!("{other:?}"),
        }
    }
    batch.values(image).map(one).collect()
}

fn column(name: &str, type_id: u32) -> ColumnFacts {
    ColumnFacts { name: name.to_owned(), type_id, type_modifier: -1, nullable: true, default: None }
}

fn facts(identity: ReplicaIdentity, key: &[&str], columns: Vec<ColumnFacts>) -> TableFacts {
    TableFacts {
        namespace: "public".to_owned(),
        table: "orders".to_owned(),
        replica_identity: identity,
        columns,
        primary_key: key.iter().map(|&name| name.to_owned()).collect(),
        identity_index: Vec::new(),
        unique_key: Vec::new(),
    }
}

fn announce(
    cache: &mut RelationCache,
    bytes: &[u8],
    facts: Option<&TableFacts>,
    types: &TypeCatalog,
) -> Arc<Relation> {
    match Protocol::new(1).unwrap().decode(bytes) {
        Ok(Message::Relation(message)) => cache.announce(&message, facts, types),
        other => panic!("no relation: {other:?}"),
    }
}

/// A relation of columns c0, c1, … of these types, all outside any key.
fn relation_of(types: &[u32]) -> Arc<Relation> {
    let columns: Vec<ColumnFacts> = types
        .iter()
        .enumerate()
        .map(|(place, &type_id)| column(&format!("c{place}"), type_id))
        .collect();
    let facts = facts(ReplicaIdentity::Full, &[], columns);
    RelationCache::new("shop").describe(&facts, &TypeCatalog::new())
}

fn by_stream(relation: &Relation, values: &[Value]) -> Result<Vec<String>, ValueError> {
    let mut batch = Batch::new();
    let image = with_tuple(values, |tuple| relation.decoder.decode_tuple(tuple, &mut batch))?;
    Ok(show(&batch, image))
}

fn by_copy(relation: &Relation, values: &[Value]) -> Result<Vec<String>, ValueError> {
    let mut batch = Batch::new();
    let image = relation.decoder.decode_copy_line(&copy_line(values), &mut batch)?;
    Ok(show(&batch, image))
}

// ---- values

#[test]
fn a_row_of_many_types_gives_the_same_cells_by_both_ways() {
    let relation = relation_of(&[
        BOOL,
        INT8,
        FLOAT4,
        FLOAT8,
        NUMERIC,
        TEXT,
        BYTEA,
        JSONB,
        TIMESTAMPTZ,
        INT4_ARRAY,
        TEXT_ARRAY,
        BYTEA_ARRAY,
        BOX_ARRAY,
        TEXT,
    ]);
    let mut values = texts(&[
        "t",
        "-9223372036854775808",
        "1.5",
        "NaN",
        "Infinity",
        "tab\there\\ and\nthere",
        "\\x00ff",
        "{\"a\": \"b\\\"c\"}",
        "0044-03-15 12:00:00+00 BC",
        "[0:1]={7,8}",
        "{\"a\\\\b\\\"c\",NULL,\"x,y\"}",
        "{\"\\\\x00ff\"}",
        "{(1,1),(0,0);(2,2),(1,1)}",
    ]);
    values.push(None);
    let expected = [
        "Boolean(true)",
        "Integer(-9223372036854775808)",
        "Single(1.5)",
        "Number(NaN)",
        "Text(\"Infinity\")",
        "Text(\"tab\\there\\\\ and\\nthere\")",
        "Bytes([0, 255])",
        "Text(\"{\\\"a\\\": \\\"b\\\\\\\"c\\\"}\")",
        "Text(\"0044-03-15 12:00:00+00 BC\")",
        "Text(\"[0:1]={7,8}\")",
        "List[Text(\"a\\\\b\\\"c\"), Null, Text(\"x,y\")]",
        "List[Bytes([0, 255])]",
        "List[Text(\"(1,1),(0,0)\"), Text(\"(2,2),(1,1)\")]",
        "Null",
    ];
    assert_eq!(by_stream(&relation, &values).unwrap(), expected);
    assert_eq!(by_copy(&relation, &values).unwrap(), expected);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9 ]{0,12}", "[\\\\\\t\\n\\r\\x08\\x0b\\x0cNntx0-7\".{},]{0,12}", "\\PC{0,8}",]
}

fn quoted_element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn bytea(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A type with a text that its output function can give.
fn typed() -> impl Strategy<Value = (u32, String)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let float = |text: String| text.replace("inf", "Infinity");
    let list = |elements: Vec<String>| format!("{{{}}}", elements.join(","));
    prop_oneof![
        any::<bool>().prop_map(|value| (BOOL, if value { "t" } else { "f" }.to_owned())),
        any::<i64>().prop_map(|value| (INT8, value.to_string())),
        any::<i32>().prop_map(|value| (INT4, value.to_string())),
        any::<u32>().prop_map(|value| (26, value.to_string())),
        any::<u32>().prop_map(move |bits| (FLOAT4, float(f32::from_bits(bits).to_string()))),
        any::<u64>().prop_map(move |bits| (FLOAT8, float(f64::from_bits(bits).to_string()))),
        "-?[0-9]{1,30}\\.[0-9]{1,10}|NaN|-?Infinity".prop_map(|text| (NUMERIC, text)),
        any_text().prop_map(|text| (TEXT, text)),
        bytes().prop_map(|bytes| (BYTEA, bytea(&bytes))),
        "[0-9]{4,6}-[01][0-9]-[0-3][0-9] [0-2][0-9]:00:00\\+00( BC)?|-?infinity"
            .prop_map(|text| (TIMESTAMPTZ, text)),
        any_text().prop_map(|text| (JSONB, quoted_element(&text))),
        proptest::collection::vec(any::<i32>(), 0..5).prop_map(move |values| {
            (INT4_ARRAY, list(values.iter().map(i32::to_string).collect()))
        }),
        proptest::collection::vec(proptest::option::of(any_text()), 0..4).prop_map(move |values| {
            let element =
                |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), quoted_element);
            (TEXT_ARRAY, list(values.iter().map(element).collect()))
        }),
        proptest::collection::vec(bytes(), 0..4).prop_map(move |values| {
            let element = |bytes: &Vec<u8>| quoted_element(&bytea(bytes));
            (BYTEA_ARRAY, list(values.iter().map(element).collect()))
        }),
        Just((INT4_ARRAY, "[2:3]={1,2}".to_owned())),
        Just((INT4_ARRAY, "{{1,2},{3,NULL}}".to_owned())),
        Just((BOX_ARRAY, "{(1,1),(0,0);(3,3),(2,2)}".to_owned())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn values_of_every_type_are_equal_by_both_ways(
        row in proptest::collection::vec((typed(), prop::bool::weighted(0.1)), 0..8)
    ) {
        let types: Vec<u32> = row.iter().map(|((type_id, _), _)| *type_id).collect();
        let values: Vec<Value> = row
            .iter()
            .map(|((_, text), null)| (!null).then(|| text.clone().into_bytes()))
            .collect();
        let relation = relation_of(&types);
        let streamed = by_stream(&relation, &values).unwrap();
        prop_assert_eq!(&streamed, &by_copy(&relation, &values).unwrap());

        // And each is of its column's kind.
        for (place, shown) in streamed.iter().enumerate() {
            let bounded = values[place].as_deref().is_some_and(|text| text.starts_with(b"["));
            let expected = match relation.schema.columns[place].kind {
                _ if values[place].is_none() => "Null",
                Kind::List if bounded => "Text",
                Kind::Boolean => "Boolean",
                Kind::Integer => "Integer",
                Kind::Single => "Single",
                Kind::Number => "Number",
                Kind::Text => "Text",
                Kind::Bytes => "Bytes",
                Kind::List => "List",
                Kind::Unsigned => "(no PostgreSQL type)",
            };
            prop_assert!(shown.starts_with(expected), "{} is no {}", shown, expected);
        }
    }

    #[test]
    fn floats_keep_their_bits(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let text = value.to_string().replace("inf", "Infinity");
        let relation = relation_of(&[FLOAT8]);
        let mut batch = Batch::new();
        let line = copy_line(&texts(&[&text]));
        let image = relation.decoder.decode_copy_line(&line, &mut batch).unwrap();
        let ValueRef::Number(found) = batch.column(image, 0) else { panic!("no number") };
        prop_assert!(found.to_bits() == bits || value.is_nan() && found.is_nan());
    }

    #[test]
    fn random_bytes_never_panic(
        text in proptest::collection::vec(any::<u8>(), 0..40),
        seen in "[tf0-9{}\",\\\\\\[:=x;\\-NULaInfity. ]{0,30}",
    ) {
        for type_id in [
            BOOL, BYTEA, INT8, 26, FLOAT4, FLOAT8, NUMERIC, TEXT, TIMESTAMPTZ, INT4_ARRAY,
            TEXT_ARRAY, BYTEA_ARRAY, BOX_ARRAY, 1000, 1021, 4_000_000,
        ] {
            let relation = relation_of(&[type_id]);
            for text in [&text[..], seen.as_bytes()] {
                let streamed = by_stream(&relation, &[Some(text.to_vec())]);
                let copied = by_copy(&relation, &[Some(text.to_vec())]);
                // A NUL-free text is the same by both ways, refused or not.
                prop_assert_eq!(streamed, copied);
                let _ = relation.decoder.decode_copy_line(text, &mut Batch::new());
            }
        }
    }
}

// ---- tuples

fn decode_old(relation: &Relation, old: &[u8]) -> Vec<String> {
    let mut batch = Batch::new();
    match Protocol::new(1).unwrap().decode(old) {
        Ok(Message::Delete(delete)) => {
            let image = relation.decoder.decode_old(delete.old, &mut batch).unwrap();
            show(&batch, image)
        }
        other => panic!("no delete: {other:?}"),
    }
}

fn delete_message(form: u8, values: &[Value]) -> Vec<u8> {
    let mut bytes = b"D\0\0\0\x07".to_vec();
    bytes.push(form);
    put_tuple(values, &mut bytes);
    bytes
}

#[test]
fn columns_outside_an_old_key_are_absent_not_null() {
    let mut cache = RelationCache::new("shop");
    let told = [(true, "id", INT8, -1), (false, "note", TEXT, -1), (true, "line", INT4, -1)];
    let bytes = relation_message(b'd', &told);
    let relation = announce(&mut cache, &bytes, None, &TypeCatalog::new());
    assert_eq!(relation.schema.key, [0, 2]);
    let values = [Some(b"1".to_vec()), None, Some(b"2".to_vec())];
    let shown = decode_old(&relation, &delete_message(b'K', &values));
    assert_eq!(shown, ["Integer(1)", "Absent", "Integer(2)"]);
    let shown = decode_old(&relation, &delete_message(b'O', &values));
    assert_eq!(shown, ["Integer(1)", "Null", "Integer(2)"]);
}

#[test]
fn an_unchanged_value_is_its_own_and_is_filled_from_a_whole_old_row_only() {
    for (identity, expected) in [(b'f', "Text(\"large\")"), (b'd', "Unchanged")] {
        let mut cache = RelationCache::new("shop");
        let told = [(true, "id", INT8, -1), (identity == b'f', "note", TEXT, -1)];
        let bytes = relation_message(identity, &told);
        let relation = announce(&mut cache, &bytes, None, &TypeCatalog::new());
        let mut batch = Batch::new();
        let decoder = &relation.decoder;
        let before = with_tuple(&texts(&["1", "large"]), |tuple| {
            decoder.decode_old(OldTuple::Row(tuple), &mut batch).unwrap()
        });
        let after = with_tuple(&texts(&["2", "(unchanged)"]), |tuple| {
            decoder.decode_tuple(tuple, &mut batch).unwrap()
        });
        assert_eq!(show(&batch, after), ["Integer(2)", "Unchanged"]);
        decoder.complete_unchanged(before, after, &mut batch);
        assert_eq!(show(&batch, after), ["Integer(2)", expected]);
    }
}

#[test]
fn a_row_of_another_shape_is_refused_and_leaves_no_cells() {
    let relation = relation_of(&[INT8, TEXT]);
    let decoder = &relation.decoder;
    let mut batch = Batch::new();
    for values in [&["1"][..], &["1", "a", "b"], &[]] {
        let error = with_tuple(&texts(values), |tuple| decoder.decode_tuple(tuple, &mut batch))
            .unwrap_err();
        assert_eq!(error.code(), "PG_COLUMN_COUNT");
        if !values.is_empty() {
            let line = copy_line(&texts(values));
            let error = decoder.decode_copy_line(&line, &mut batch).unwrap_err();
            assert_eq!(error.code(), "PG_COLUMN_COUNT");
        }
    }
    let error =
        with_tuple(&texts(&["1", "(binary)"]), |tuple| decoder.decode_tuple(tuple, &mut batch));
    assert_eq!(error.unwrap_err().code(), "PG_BINARY_VALUE");
    let values = [Some(b"1".to_vec()), Some(b"\xff".to_vec())];
    let error = with_tuple(&values, |tuple| decoder.decode_tuple(tuple, &mut batch)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a text in column \"c1\" of table public.orders is no valid UTF-8"
    );
    assert_eq!(batch.begin_image(), 0, "no cell is left");
    assert!(relation_of(&[]).decoder.decode_copy_line(b"\n", &mut batch).is_ok());
}

// ---- sessions

#[test]
fn a_captured_session_decodes_under_its_own_relations() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../pgoutput/testdata/protocol_1.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut types = TypeCatalog::new();
    types.insert(TypeFacts {
        oid: 16390,
        name: "mood".to_owned(),
        namespace: "public".to_owned(),
        typtype: b'e',
        typcategory: b'E',
        typelem: 0,
        typbasetype: 0,
        typtypmod: -1,
        typdelim: b',',
        labels: ["sad", "ok", "happy"].map(str::to_owned).to_vec(),
    });
    let mut cache = RelationCache::new("shop");
    let mut protocol = Protocol::new(1).unwrap();
    let mut batch = Batch::new();
    let mut shown = Vec::new();
    for hex in text.lines().filter_map(|line| line.strip_prefix("> ")) {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
        match protocol.decode(&bytes).unwrap() {
            Message::Type(message) => types.note_name(&message),
            Message::Relation(message) => {
                cache.announce(&message, None, &types);
            }
            Message::Insert(insert) => {
                let relation = cache.get(insert.relation).expect("announced before");
                let image = relation.decoder.decode_tuple(insert.new, &mut batch).unwrap();
                shown.push((relation.schema.qualified_name(), show(&batch, image)));
            }
            _ => {}
        }
    }
    let (table, row) = &shown[0];
    assert_eq!(table, "public.orders");
    assert_eq!(
        row,
        &[
            "Integer(1)",
            "Integer(1)",
            "Text(\"first\")",
            "Text(\"12.50\")",
            "Text(\"ok\")",
            "List[Text(\"a\"), Text(\"b c\"), Null]",
            "Text(\"xxxxxxxxxxxxxxxxxxxx\")",
        ]
    );
    assert!(shown.iter().any(|(table, _)| table == "Größe.Weird.Name"));
}
