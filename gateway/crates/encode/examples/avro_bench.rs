//! What writing a change as Avro costs, beside the crate `apache-avro` on the same rows:
//! `cargo run --release -p offtake-encode --example avro_bench`. Nanoseconds a change, the best of
//! several rounds; both begin with the row's values and end with the bytes, which are compared
//! first.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use apache_avro::types::Value as Other;
use offtake_encode::avro::{Avro, schema_text};
use offtake_encode::connect::{Field, Format, Kind, Node, Schema};

const CHANGES: usize = 200_000;
const ROUNDS: usize = 7;

/// A row of twelve columns.
struct Row {
    id: i64,
    customer: i32,
    amount: Vec<u8>,
    currency: &'static str,
    status: &'static str,
    email: String,
    street: String,
    city: &'static str,
    note: Option<String>,
    score: f64,
    paid: bool,
    created: i64,
}

impl Row {
    fn new(number: i64) -> Row {
        Row {
            id: number,
            customer: (number % 10_000) as i32,
            amount: vec![(number % 100) as u8, 0x7f],
            currency: "EUR",
            status: "shipped",
            email: format!("customer{number}@example.com"),
            street: format!("Long Street {number}, third floor"),
            city: "Rotterdam",
            note: (number % 3 != 0).then(|| "please ring the bell twice".to_owned()),
            score: number as f64 / 7.0,
            paid: number % 2 == 0,
            created: 1_700_000_000_000_000 + number,
        }
    }
}

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.to_owned(), schema: Arc::new(schema) }
}

fn envelope() -> Arc<Schema> {
    let decimal = Schema::new(Kind::Bytes)
        .named("org.apache.kafka.connect.data.Decimal", 1)
        .parameter("scale", "2")
        .parameter("connect.decimal.precision", "10");
    let created = Schema::new(Kind::Int64).named("io.debezium.time.MicroTimestamp", 1);
    let row = |name: &str| Schema {
        name: Some(name.to_owned()),
        ..Schema::new(Kind::Struct(vec![
            field("id", Schema::new(Kind::Int64)),
            field("customer", Schema::new(Kind::Int32)),
            field("amount", decimal.clone()),
            field("currency", Schema::new(Kind::String)),
            field("status", Schema::new(Kind::String)),
            field("email", Schema::new(Kind::String)),
            field("street", Schema::new(Kind::String)),
            field("city", Schema::new(Kind::String)),
            field("note", Schema::new(Kind::String).optional()),
            field("score", Schema::new(Kind::Float64)),
            field("paid", Schema::new(Kind::Boolean)),
            field("created", created.clone()),
        ]))
        .optional()
    };
    let source = Schema::new(Kind::Struct(vec![
        field("version", Schema::new(Kind::String)),
        field("ts_ms", Schema::new(Kind::Int64)),
        field("table", Schema::new(Kind::String)),
        field("lsn", Schema::new(Kind::Int64).optional()),
    ]))
    .named("io.debezium.connector.postgresql.Source", 1);
    let envelope = Schema::new(Kind::Struct(vec![
        field("before", row("bench.public.orders.Value")),
        field("after", row("bench.public.orders.Value")),
        field("source", source),
        field("op", Schema::new(Kind::String)),
        field("ts_ms", Schema::new(Kind::Int64).optional()),
    ]));
    Arc::new(envelope.named("bench.public.orders.Envelope", 2))
}

/// One call a value, as the driver makes them.
fn put(out: &mut Vec<u8>, node: &Node<Avro>, row: &Row) {
    let [before, after, source, op, ts] = &node.children[..] else { panic!("five fields") };
    Avro::null(out, &before.prepared);
    let mark = Avro::begin_struct(out, &after.prepared);
    let at = |index: usize| &after.children[index].prepared;
    Avro::integer(out, at(0), row.id);
    Avro::integer(out, at(1), row.customer.into());
    Avro::bytes(out, at(2), &row.amount);
    Avro::text(out, at(3), row.currency.as_bytes());
    Avro::text(out, at(4), row.status.as_bytes());
    Avro::text(out, at(5), row.email.as_bytes());
    Avro::text(out, at(6), row.street.as_bytes());
    Avro::text(out, at(7), row.city.as_bytes());
    match &row.note {
        Some(note) => Avro::text(out, at(8), note.as_bytes()),
        None => Avro::null(out, at(8)),
    }
    Avro::double(out, at(9), row.score);
    Avro::boolean(out, at(10), row.paid);
    Avro::integer(out, at(11), row.created);
    Avro::end_struct(out, &after.prepared, mark);
    let mark = Avro::begin_struct(out, &source.prepared);
    Avro::text(out, &source.children[0].prepared, b"3.6.3.Final");
    Avro::integer(out, &source.children[1].prepared, row.created / 1000);
    Avro::text(out, &source.children[2].prepared, b"orders");
    Avro::integer(out, &source.children[3].prepared, row.id * 64);
    Avro::end_struct(out, &source.prepared, mark);
    Avro::text(out, &op.prepared, b"c");
    Avro::integer(out, &ts.prepared, row.created / 1000);
}

/// The other crate's tree, made of the row.
fn tree(row: &Row) -> Other {
    let text = |text: &str| Other::String(text.to_owned());
    let some = |value| Other::Union(1, Box::new(value));
    let none = || Other::Union(0, Box::new(Other::Null));
    let record = |fields: Vec<(&str, Other)>| {
        Other::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let after = record(vec![
        ("id", Other::Long(row.id)),
        ("customer", Other::Int(row.customer)),
        ("amount", Other::Decimal(row.amount.clone().into())),
        ("currency", text(row.currency)),
        ("status", text(row.status)),
        ("email", text(&row.email)),
        ("street", text(&row.street)),
        ("city", text(row.city)),
        ("note", row.note.as_ref().map_or_else(none, |note| some(text(note)))),
        ("score", Other::Double(row.score)),
        ("paid", Other::Boolean(row.paid)),
        ("created", Other::Long(row.created)),
    ]);
    let source = record(vec![
        ("version", text("3.6.3.Final")),
        ("ts_ms", Other::Long(row.created / 1000)),
        ("table", text("orders")),
        ("lsn", some(Other::Long(row.id * 64))),
    ]);
    record(vec![
        ("before", none()),
        ("after", some(after)),
        ("source", source),
        ("op", text("c")),
        ("ts_ms", some(Other::Long(row.created / 1000))),
    ])
}

/// The best round, in nanoseconds a change.
fn best(mut round: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64 / CHANGES as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn main() {
    let schema = envelope();
    let other_schema = apache_avro::Schema::parse_str(&schema_text(&schema).unwrap()).unwrap();
    let node = Node::<Avro>::root(&schema);
    let rows: Vec<Row> = (0..1000).map(Row::new).collect();

    let mut bytes = 0;
    for row in &rows {
        let mut out = Vec::new();
        put(&mut out, &node, row);
        let other = apache_avro::to_avro_datum(&other_schema, tree(row)).unwrap();
        assert_eq!(out, other, "both write the same");
        bytes += out.len();
    }
    println!("12 columns, {} bytes a change on average", bytes / rows.len());

    let mut out = Vec::with_capacity(1 << 20);
    let ours = best(|| {
        for row in rows.iter().cycle().take(CHANGES) {
            if out.len() > (1 << 19) {
                out.clear();
            }
            put(&mut out, &node, black_box(row));
        }
        black_box(&out);
    });
    let theirs = best(|| {
        for row in rows.iter().cycle().take(CHANGES) {
            let datum = apache_avro::to_avro_datum(&other_schema, tree(black_box(row)));
            black_box(datum.unwrap());
        }
    });
    println!("offtake      {ours:8.1} ns a change");
    println!("apache-avro  {theirs:8.1} ns a change ({:.0} times as much)", theirs / ours);
}
