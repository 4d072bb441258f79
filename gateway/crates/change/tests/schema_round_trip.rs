//! Table schemas: what is written to the log reads back equal, nested elements included, and a
//! code of a later version is an error rather than a guess.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use offtake_change::{Column, Form, Kind, ReplicaIdentity, Subject, TableSchema};
use offtake_proto::v1;
use proptest::prelude::*;
use prost::Message;

fn column() -> impl Strategy<Value = Column> {
    let leaf = (
        (".{1,12}", 1u64..=8, "[a-z]{1,8}", ".{1,12}", any::<u32>(), any::<i32>()),
        (
            any::<bool>(),
            prop::option::of(".{0,12}"),
            ".{0,6}",
            prop::collection::vec(".{0,6}", 0..4),
        ),
        "[a-z0-9]{0,6}",
    )
        .prop_map(|(type_facts, (nullable, default, domain_base, labels), charset)| {
            let (name, kind, logical, native, type_id, type_modifier) = type_facts;
            let kind = Kind::try_from(kind).unwrap();
            Column {
                name,
                kind,
                logical,
                native,
                type_id,
                type_modifier,
                nullable,
                default,
                domain_base,
                element: None,
                labels,
                charset,
            }
        });
    leaf.prop_recursive(3, 4, 1, |inner| {
        inner.prop_map(|element| {
            let mut list = Column::new("list", Kind::List, format!("list<{}>", element.logical));
            list.element = Some(Box::new(element));
            list
        })
    })
}

fn schema() -> impl Strategy<Value = TableSchema> {
    (
        (".{0,12}", ".{0,12}", ".{0,12}", any::<u32>()),
        prop::collection::vec(column(), 0..6),
        prop::collection::vec(0u32..6, 0..3),
        (0u64..=4, 0u64..=2, 0u64..=1),
        prop::collection::vec("[a-z]{1,8}", 0..3),
        "[a-z/]{0,12}",
    )
        .prop_map(|(names, columns, key, codes, changed_by, content_type)| TableSchema {
            version: names.3,
            replica_identity: ReplicaIdentity::try_from(codes.0).unwrap(),
            form: Form::try_from(codes.1).unwrap(),
            changed_by,
            content_type,
            subject: Subject::try_from(codes.2).unwrap(),
            ..TableSchema::new(names.0, names.1, names.2, columns, &key)
        })
}

proptest! {
    #[test]
    fn a_schema_reads_back_equal(schema in schema(), id in any::<u32>()) {
        let bytes = schema.to_proto(id).encode_to_vec();
        let read = v1::Schema::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(read.id, id);
        prop_assert_eq!(TableSchema::from_proto(&read).unwrap(), schema);
    }
}

#[test]
fn a_code_of_a_later_version_is_an_error() {
    let good = v1::Schema {
        columns: vec![v1::Column { kind: v1::Kind::Text as i32, ..Default::default() }],
        ..Default::default()
    };
    assert!(TableSchema::from_proto(&good).is_ok());
    let mut later = good.clone();
    later.replica_identity = 5;
    assert_eq!(
        TableSchema::from_proto(&later).unwrap_err().to_string(),
        "unknown replica identity 5"
    );
    let mut later = good.clone();
    later.columns[0].kind = 9;
    assert_eq!(TableSchema::from_proto(&later).unwrap_err().to_string(), "unknown kind 9");
    let mut negative = good;
    negative.form = -1;
    assert!(TableSchema::from_proto(&negative).is_err());
}
