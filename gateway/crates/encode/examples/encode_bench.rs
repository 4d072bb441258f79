//! Nanoseconds a change for each format, beside serde_json building and writing the same value.
//!
//! One row of twelve columns and about 850 bytes as JSON, inserted again and again. Run it with
//! `cargo run --release -p offtake-encode --example encode_bench [ROUNDS [FORMAT]]`. It prints and
//! judges nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a person to read")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use offtake_change::wire::ChangeView;
use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, Row, TableSchema, Transaction,
};
use offtake_encode::EncodeError;
use offtake_encode::debezium::{Encoder, MessageFormat, Options, Plan, PlanOptions};

const ROUNDS: u32 = 200_000;
const REPEATS: u32 = 5;

fn column(name: &str, kind: Kind, native: &str, oid: u32, modifier: i32) -> Column {
    let mut column = Column::new(name, kind, native);
    column.type_id = oid;
    column.type_modifier = modifier;
    column
}

fn schema() -> TableSchema {
    let decimal = ((12 << 16) | 2) + 4;
    let mut columns = vec![
        column("id", Kind::Integer, "int8", 20, -1),
        column("customer_id", Kind::Integer, "int4", 23, -1),
        column("status", Kind::Text, "text", 25, -1),
        column("amount", Kind::Text, "numeric", 1700, decimal),
        column("currency", Kind::Text, "bpchar", 1042, 7),
        column("email", Kind::Text, "text", 25, -1),
        column("note", Kind::Text, "text", 25, -1),
        column("paid", Kind::Boolean, "bool", 16, -1),
        column("score", Kind::Number, "float8", 701, -1),
        column("created_at", Kind::Text, "timestamptz", 1184, -1),
        column("updated_at", Kind::Text, "timestamp", 1114, -1),
        column("payload", Kind::Text, "jsonb", 3802, -1),
    ];
    columns[0].nullable = false;
    TableSchema::new("shop", "public", "orders", columns, &[0])
}

fn change() -> Vec<u8> {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&Arc::new(schema()));
    batch.processed_unix_ns = 1_795_217_029_351_282_175;
    let begin = batch.begin_image();
    let text = |batch: &mut Batch, text: &str| {
        let cell = batch.text(text.as_bytes());
        batch.push_cell(cell);
    };
    batch.push_cell(Cell::integer(123_456_789));
    batch.push_cell(Cell::integer(4711));
    text(&mut batch, "shipped");
    text(&mut batch, "1234567.89");
    text(&mut batch, "EUR");
    text(&mut batch, "someone.with.a.name@example.org");
    text(&mut batch, "Leave the parcel with the neighbours if nobody answers the door bell");
    batch.push_cell(Cell::boolean(true));
    batch.push_cell(Cell::number(4.25));
    text(&mut batch, "2026-11-20 12:34:56.123456+00");
    text(&mut batch, "2026-11-20 12:34:56.123456");
    text(&mut batch, r#"{"sku": "A-4711", "tags": ["new", "gift"], "weight": 12.5}"#);
    let after = batch.end_image(begin);
    let row = Row {
        schema,
        transaction: 0,
        lsn: Lsn(24_962_808),
        ..Row::new(Operation::Create, Image::NONE, after)
    };
    batch.push_transaction(Transaction {
        id: "758".to_owned(),
        commit: Lsn(24_962_900),
        previous_commit: Lsn(24_960_000),
        commit_unix_us: 1_795_217_028_924_622,
        origin: String::new(),
        begin: Lsn::ZERO,
    });
    let mut out = Vec::new();
    batch.encode(&row, 42, 3, 5, &mut out);
    out
}

/// The best of some repeats, in nanoseconds a round.
fn measure(rounds: u32, mut round: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..REPEATS {
        let begun = Instant::now();
        for _ in 0..rounds {
            round();
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    best
}

fn main() {
    let (schema, encoded) = (schema(), change());
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let only = arguments.next();
    let sets = [
        ("debezium_json", MessageFormat::DebeziumJson, false),
        ("debezium_json, schemas = true", MessageFormat::DebeziumJson, true),
        ("avro", MessageFormat::Avro, false),
        ("protobuf", MessageFormat::Protobuf, false),
        ("json_schema", MessageFormat::JsonSchema, false),
    ];
    let mut json = Vec::new();
    for (name, format, schemas) in sets {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let options = PlanOptions {
            format,
            prefix: "shop".to_owned(),
            debezium: Options { schemas, ..Options::default() },
            ..PlanOptions::default()
        };
        let plan = Plan::new(&options, &schema).unwrap();
        let mut encoder = Encoder::default();
        let mut bytes = 0;
        let nanos = measure(rounds, || {
            let change = ChangeView::parse(black_box(&encoded)).unwrap();
            encoder
                .messages(&plan, &change, |message| {
                    bytes = message.value.map_or(0, <[u8]>::len);
                    black_box(message);
                    Ok::<(), EncodeError>(())
                })
                .unwrap();
        });
        println!("{name:32} {nanos:7.0} ns a change, value of {bytes} bytes");
        if json.is_empty() {
            let change = ChangeView::parse(&encoded).unwrap();
            encoder.value(&plan, &change, &mut json).unwrap();
        }
    }
    if only.is_some() {
        return;
    }
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let nanos = measure(rounds, || {
        let value = black_box(&value).clone();
        black_box(serde_json::to_vec(&value).unwrap());
    });
    println!("{:32} {nanos:7.0} ns a change", "serde_json, value built and written");
}
