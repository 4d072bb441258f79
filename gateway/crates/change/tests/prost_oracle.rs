//! The hand-written wire form against prost, the oracle: whatever a batch holds, both write the
//! same bytes and both read them back; damaged bytes are refused or read short, never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use offtake_change::wire::{self, ChangeView, Changes};
use offtake_change::{
    Batch, Cell, Image, ListRef, Lsn, NO_TRANSACTION, Operation, Row, Snapshot, TableSchema,
    Transaction, ValueRef,
};
use offtake_proto::v1;
use proptest::prelude::*;
use prost::Message;

/// A value as the tests make it up.
#[derive(Clone, Debug)]
enum Model {
    Null,
    Unchanged,
    Absent,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Single(f32),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Model>),
}

#[derive(Clone, Debug)]
struct ChangeModel {
    sequence: u64,
    stream: u32,
    schema: u32,
    operation: Operation,
    snapshot: Snapshot,
    before: Option<Vec<Model>>,
    after: Option<Vec<Model>>,
    transaction: Option<Transaction>,
    lsn: u64,
    order: u64,
    order_in_table: u64,
    processed_unix_ns: i64,
    headers: Vec<(String, Vec<u8>)>,
    partition: Option<u32>,
}

fn value() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        Just(Model::Null),
        Just(Model::Unchanged),
        Just(Model::Absent),
        any::<bool>().prop_map(Model::Boolean),
        any::<i64>().prop_map(Model::Integer),
        any::<u64>().prop_map(Model::Unsigned),
        any::<f32>().prop_map(Model::Single),
        any::<f64>().prop_map(Model::Number),
        ".{0,200}".prop_map(Model::Text),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Model::Bytes),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| prop::collection::vec(inner, 0..6).prop_map(Model::List))
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let position = || prop_oneof![Just(0), any::<u64>()];
    ("[0-9]{0,10}", any::<u64>(), position(), any::<i64>(), ".{0,12}", position()).prop_map(
        |(id, commit, previous, commit_unix_us, origin, begin)| Transaction {
            id,
            commit: Lsn(commit),
            previous_commit: Lsn(previous),
            commit_unix_us,
            origin,
            begin: Lsn(begin),
        },
    )
}

fn change() -> impl Strategy<Value = ChangeModel> {
    let row = || prop::option::of(prop::collection::vec(value(), 0..10));
    let codes = (1u64..=7, 0u64..=5).prop_map(|(operation, snapshot)| {
        (Operation::try_from(operation).unwrap(), Snapshot::try_from(snapshot).unwrap())
    });
    let numbers = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), 0u64..200);
    let headers =
        prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..20)), 0..4);
    let headers = (headers, prop::option::of(prop_oneof![Just(0), any::<u32>()]));
    (row(), row(), prop::option::of(transaction()), codes, numbers, any::<i64>(), headers).prop_map(
        |(before, after, transaction, codes, numbers, processed_unix_ns, (headers, partition))| {
            ChangeModel {
                sequence: numbers.0,
                stream: numbers.1,
                schema: numbers.2,
                operation: codes.0,
                snapshot: codes.1,
                before,
                after,
                transaction,
                lsn: numbers.3,
                order: numbers.4,
                order_in_table: numbers.5,
                processed_unix_ns,
                headers,
                partition,
            }
        },
    )
}

fn proto_value(model: &Model) -> v1::Value {
    use v1::value::Kind;
    v1::Value {
        kind: Some(match model {
            Model::Null => Kind::Missing(v1::Missing::Null as i32),
            Model::Unchanged => Kind::Missing(v1::Missing::Unchanged as i32),
            Model::Absent => Kind::Missing(v1::Missing::Absent as i32),
            Model::Boolean(value) => Kind::Boolean(*value),
            Model::Integer(value) => Kind::Integer(*value),
            Model::Unsigned(value) => Kind::Unsigned(*value),
            Model::Single(value) => Kind::Single(*value),
            Model::Number(value) => Kind::Number(*value),
            Model::Text(value) => Kind::Text(value.clone()),
            Model::Bytes(value) => Kind::Bytes(value.clone().into()),
            Model::List(values) => {
                Kind::List(v1::List { values: values.iter().map(proto_value).collect() })
            }
        }),
    }
}

fn proto_position(lsn: u64) -> Option<v1::Position> {
    (lsn != 0).then_some(v1::Position { at: Some(v1::position::At::Lsn(lsn)) })
}

fn proto_change(model: &ChangeModel) -> v1::Change {
    let row = |values: &Vec<Model>| v1::Row { values: values.iter().map(proto_value).collect() };
    v1::Change {
        sequence: model.sequence,
        stream: model.stream,
        schema: model.schema,
        operation: i32::from(model.operation as u8),
        before: model.before.as_ref().map(row),
        after: model.after.as_ref().map(row),
        transaction: model.transaction.as_ref().map(|transaction| v1::Transaction {
            id: transaction.id.clone(),
            commit: proto_position(transaction.commit.0),
            previous_commit: proto_position(transaction.previous_commit.0),
            commit_unix_us: transaction.commit_unix_us,
            origin: transaction.origin.clone(),
            begin: proto_position(transaction.begin.0),
        }),
        order: model.order,
        order_in_table: model.order_in_table,
        position: proto_position(model.lsn),
        snapshot: i32::from(model.snapshot as u8),
        processed_unix_ns: model.processed_unix_ns,
        headers: model
            .headers
            .iter()
            .map(|(name, value)| v1::Header { name: name.clone(), value: value.clone().into() })
            .collect(),
        payload: Bytes::new(),
        partition: model.partition,
    }
}

fn push_value(batch: &mut Batch, model: &Model) {
    let cell = match model {
        Model::Null => Cell::NULL,
        Model::Unchanged => Cell::UNCHANGED,
        Model::Absent => Cell::ABSENT,
        Model::Boolean(value) => Cell::boolean(*value),
        Model::Integer(value) => Cell::integer(*value),
        Model::Unsigned(value) => Cell::unsigned(*value),
        Model::Single(value) => Cell::single(*value),
        Model::Number(value) => Cell::number(*value),
        Model::Text(value) => batch.text(value.as_bytes()),
        Model::Bytes(value) => batch.bytes(value),
        Model::List(values) => {
            let mut body = Vec::new();
            encode_list(values, &mut body);
            batch.list(&body)
        }
    };
    batch.push_cell(cell);
}

fn encode_list(values: &[Model], out: &mut Vec<u8>) {
    for value in values {
        let mut nested = Vec::new();
        let value = match value {
            Model::Null => ValueRef::Null,
            Model::Unchanged => ValueRef::Unchanged,
            Model::Absent => ValueRef::Absent,
            Model::Boolean(value) => ValueRef::Boolean(*value),
            Model::Integer(value) => ValueRef::Integer(*value),
            Model::Unsigned(value) => ValueRef::Unsigned(*value),
            Model::Single(value) => ValueRef::Single(*value),
            Model::Number(value) => ValueRef::Number(*value),
            Model::Text(value) => ValueRef::Text(value.as_bytes()),
            Model::Bytes(value) => ValueRef::Bytes(value),
            Model::List(values) => {
                encode_list(values, &mut nested);
                ValueRef::List(ListRef::from_encoded(&nested))
            }
        };
        wire::encode_value_into_list(value, out);
    }
}

fn push_image(batch: &mut Batch, values: Option<&Vec<Model>>) -> Image {
    let Some(values) = values else { return Image::NONE };
    let begin = batch.begin_image();
    for value in values {
        push_value(batch, value);
    }
    batch.end_image(begin)
}

fn schema() -> Arc<TableSchema> {
    Arc::new(TableSchema::new("shop", "public", "orders", Vec::new(), &[]))
}

/// A batch of one row, with another row before it so that no offset is zero by accident.
fn batch_of(model: &ChangeModel) -> (Batch, Row) {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&schema());
    push_image(&mut batch, Some(&vec![Model::Text("noise".to_owned()), Model::Null]));
    let transaction = match &model.transaction {
        Some(transaction) => batch.push_transaction(transaction.clone()),
        None => NO_TRANSACTION,
    };
    batch.processed_unix_ns = model.processed_unix_ns;
    let before = push_image(&mut batch, model.before.as_ref());
    let after = push_image(&mut batch, model.after.as_ref());
    batch.rows.push(Row {
        schema,
        transaction,
        snapshot: model.snapshot,
        lsn: Lsn(model.lsn),
        order: model.order,
        order_in_table: model.order_in_table,
        ..Row::new(model.operation, before, after)
    });
    batch.set_headers(
        0,
        model.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
    );
    if let Some(partition) = model.partition {
        batch.set_partition(0, partition);
    }
    let row = batch.rows[0];
    (batch, row)
}

fn encode(model: &ChangeModel) -> Vec<u8> {
    let (batch, row) = batch_of(model);
    let mut out = Vec::new();
    wire::encode_change(&batch, &row, model.sequence, model.stream, model.schema, &mut out);
    out
}

fn value_to_proto(value: ValueRef<'_>) -> v1::Value {
    proto_value(&value_to_model(value))
}

fn value_to_model(value: ValueRef<'_>) -> Model {
    match value {
        ValueRef::Null => Model::Null,
        ValueRef::Unchanged => Model::Unchanged,
        ValueRef::Absent => Model::Absent,
        ValueRef::Boolean(value) => Model::Boolean(value),
        ValueRef::Integer(value) => Model::Integer(value),
        ValueRef::Unsigned(value) => Model::Unsigned(value),
        ValueRef::Single(value) => Model::Single(value),
        ValueRef::Number(value) => Model::Number(value),
        ValueRef::Text(text) => Model::Text(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Bytes(bytes) => Model::Bytes(bytes.to_vec()),
        ValueRef::List(list) => {
            Model::List(list.iter().map(|value| value_to_model(value.unwrap())).collect())
        }
    }
}

/// What the view says, as the oracle's message.
fn view_to_proto(view: &ChangeView<'_>) -> v1::Change {
    let row = |row: offtake_change::wire::RowRef<'_>| v1::Row {
        values: row.values().map(|value| value_to_proto(value.unwrap())).collect(),
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    v1::Change {
        sequence: view.sequence,
        stream: view.stream,
        schema: view.schema,
        operation: i32::from(view.operation as u8),
        before: view.before.map(row),
        after: view.after.map(row),
        transaction: view.transaction.map(|transaction| v1::Transaction {
            id: text(transaction.id),
            commit: proto_position(transaction.commit.0),
            previous_commit: proto_position(transaction.previous_commit.0),
            commit_unix_us: transaction.commit_unix_us,
            origin: text(transaction.origin),
            begin: proto_position(transaction.begin.0),
        }),
        order: view.order,
        order_in_table: view.order_in_table,
        position: proto_position(view.lsn.0),
        snapshot: i32::from(view.snapshot as u8),
        processed_unix_ns: view.processed_unix_ns,
        headers: view
            .headers()
            .map(|header| {
                let (name, value) = header.unwrap();
                v1::Header { name: text(name), value: value.to_vec().into() }
            })
            .collect(),
        payload: view.payload.to_vec().into(),
        partition: view.partition,
    }
}

/// Reads everything that can be read of bytes that may be damaged.
fn read_all(encoded: &[u8]) -> usize {
    fn read_value(value: ValueRef<'_>) -> usize {
        match value {
            ValueRef::List(list) => 1 + list.iter().flatten().map(read_value).sum::<usize>(),
            _ => 1,
        }
    }
    let _ = ChangeView::sequence_of(encoded);
    let Ok(view) = ChangeView::parse(encoded) else { return 0 };
    let rows = [view.before, view.after];
    let values = rows.iter().flatten().flat_map(|row| row.values()).flatten().map(read_value);
    values.sum::<usize>() + view.headers().flatten().count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_write_the_same_bytes_and_the_view_reads_them_back(model in change()) {
        let ours = encode(&model);
        let oracle = proto_change(&model).encode_to_vec();
        prop_assert_eq!(&ours, &oracle);
        let view = ChangeView::parse(&ours).unwrap();
        // Compared as bytes, for NaN is not equal to itself.
        prop_assert_eq!(view_to_proto(&view).encode_to_vec(), oracle);
        prop_assert_eq!(ChangeView::sequence_of(&ours).unwrap(), model.sequence);
    }

    #[test]
    fn runs_laid_end_to_end_decode_as_one_frame(models in prop::collection::vec(change(), 1..5), cut in 0usize..5) {
        let encoded: Vec<Vec<u8>> = models.iter().map(encode).collect();
        let run = |changes: &[Vec<u8>]| {
            let mut run = Vec::new();
            for change in changes {
                run.push(wire::FRAME_CHANGES_TAG);
                wire::put_varint(&mut run, change.len() as u64);
                run.extend_from_slice(change);
            }
            run
        };
        let (first, second) = encoded.split_at(cut.min(encoded.len()));
        let mut both = run(first);
        both.extend(run(second));
        let frame = v1::Frame::decode(both.as_slice()).unwrap();
        prop_assert!(frame.control.is_none());
        let decoded: Vec<Vec<u8>> = frame.changes.iter().map(Message::encode_to_vec).collect();
        prop_assert_eq!(&decoded, &encoded);
        let viewed: Vec<Vec<u8>> =
            Changes::new(&both).map(|view| view.unwrap().encoded.to_vec()).collect();
        prop_assert_eq!(viewed, encoded);
    }

    #[test]
    fn a_change_cut_at_any_byte_errs_or_reads_less(model in change()) {
        let encoded = encode(&model);
        let whole = ChangeView::parse(&encoded).unwrap();
        let whole = view_to_proto(&whole).encode_to_vec();
        for end in 0..encoded.len() {
            let cut = &encoded[..end];
            read_all(cut);
            if let Ok(view) = ChangeView::parse(cut) {
                prop_assert!(view_to_proto(&view).encode_to_vec().len() < whole.len());
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(model in change(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut encoded = encode(&model);
        if !encoded.is_empty() {
            let at = at.index(encoded.len());
            encoded[at] ^= 1 << bit;
            read_all(&encoded);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
        for change in Changes::new(&bytes).take(1000).flatten() {
            read_all(change.encoded);
        }
        wire::Values::new(&bytes).for_each(drop);
    }

    #[test]
    fn an_unknown_field_is_skipped(model in change(), number in 16u32..1000, value in any::<u64>()) {
        let mut encoded = encode(&model);
        wire::put_varint(&mut encoded, u64::from(number) << 3);
        wire::put_varint(&mut encoded, value);
        let view = ChangeView::parse(&encoded).unwrap();
        prop_assert_eq!(view_to_proto(&view).encode_to_vec(), proto_change(&model).encode_to_vec());
    }
}

#[test]
fn an_operation_of_a_later_version_is_an_error() {
    let change = v1::Change { sequence: 1, operation: 8, ..Default::default() };
    let error = ChangeView::parse(&change.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "the encoded change has an unknown operation 8");
}

#[test]
fn a_field_of_another_wire_type_is_an_error() {
    // Field 5 (before) as a varint, and value field 7 (text) as a varint.
    assert!(ChangeView::parse(&[0x20, 1, 0x28, 1]).is_err());
    assert!(wire::Values::new(&[0x0a, 2, 0x38, 1]).next().unwrap().is_err());
}

#[test]
fn a_number_over_its_width_is_an_error() {
    // A varint of eleven bytes, one that overflows 64 bits, and a stream id over 32 bits.
    let mut eleven = vec![0x08];
    eleven.extend([0xff; 10]);
    eleven.push(1);
    assert!(ChangeView::parse(&eleven).is_err());
    let mut overflow = vec![0x08];
    overflow.extend([0xff; 9]);
    overflow.push(2);
    assert!(ChangeView::parse(&overflow).is_err());
    let mut stream = vec![0x10];
    wire::put_varint(&mut stream, 1 << 32);
    stream.extend([0x20, 1]);
    assert!(ChangeView::parse(&stream).is_err());
}
