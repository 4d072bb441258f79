//! Golden vectors: one change of each operation, byte for byte as it lies in a log that somebody
//! keeps. A vector is never changed: what was written once is read by every later version. With
//! `OFFTAKE_BLESS=1` a vector that is missing is written; an existing one never is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::PathBuf;

use offtake_change::wire::{self, ChangeView};
use offtake_change::{
    Batch, Cell, Image, Lsn, NO_TRANSACTION, Operation, Row, Snapshot, Transaction, ValueRef,
};
use offtake_proto::v1;
use prost::Message;

struct Vector {
    name: &'static str,
    description: &'static str,
    batch: Batch,
}

fn row(batch: &mut Batch, operation: Operation, before: Image, after: Image) {
    let transaction = batch.push_transaction(Transaction {
        id: "758".to_owned(),
        commit: Lsn(0x17C_E6F8),
        previous_commit: Lsn(0x17C_E000),
        commit_unix_us: 1_795_217_028_924_622,
        origin: String::new(),
        begin: Lsn::ZERO,
    });
    batch.processed_unix_ns = 1_795_217_029_351_282_175;
    batch.rows.push(Row {
        transaction,
        lsn: Lsn(0x17C_E680),
        ..Row::new(operation, before, after)
    });
}

/// An image of (integer key, text, number, boolean), the rest as given.
fn image(batch: &mut Batch, key: i64, name: Option<&str>, rest: &[Cell]) -> Image {
    let name = name.map(|name| batch.text(name.as_bytes()));
    let begin = batch.begin_image();
    batch.push_cell(Cell::integer(key));
    batch.push_cell(name.unwrap_or(Cell::ABSENT));
    for cell in rest {
        batch.push_cell(*cell);
    }
    batch.end_image(begin)
}

fn create() -> Vector {
    let mut batch = Batch::new();
    let mut list = Vec::new();
    wire::encode_value_into_list(ValueRef::Text(b"new"), &mut list);
    wire::encode_value_into_list(ValueRef::Null, &mut list);
    let list = batch.list(&list);
    let blob = batch.bytes(&[0, 255]);
    let rest = [
        Cell::number(12.5),
        Cell::single(-0.5),
        Cell::boolean(true),
        Cell::unsigned(u64::MAX),
        Cell::NULL,
        blob,
        list,
    ];
    let after = image(&mut batch, -7, Some("Zoë"), &rest);
    row(&mut batch, Operation::Create, Image::NONE, after);
    batch.set_headers(0, [("tenant", b"blue".as_slice())].into_iter());
    Vector {
        name: "create",
        description: "insert with every kind of value and a header: -7, \"Zo\u{eb}\", 12.5 (double), \
                      -0.5 (single), true, 2^64-1 (unsigned), NULL, bytes 00ff, list [\"new\", NULL]",
        batch,
    }
}

fn update() -> Vector {
    let mut batch = Batch::new();
    let before = image(&mut batch, 1, None, &[Cell::ABSENT]);
    let after = image(&mut batch, 2, Some("moved"), &[Cell::UNCHANGED]);
    row(&mut batch, Operation::Update, before, after);
    Vector {
        name: "update",
        description: "key 1 becomes 2; before holds the key alone, the last column is unchanged TOAST",
        batch,
    }
}

fn delete() -> Vector {
    let mut batch = Batch::new();
    let before = image(&mut batch, 2, None, &[Cell::ABSENT]);
    row(&mut batch, Operation::Delete, before, Image::NONE);
    Vector { name: "delete", description: "delete of key 2 under replica identity default", batch }
}

fn read() -> Vector {
    let mut batch = Batch::new();
    let after = image(&mut batch, 1, Some(""), &[Cell::NULL]);
    row(&mut batch, Operation::Read, Image::NONE, after);
    batch.rows[0].transaction = NO_TRANSACTION;
    batch.rows[0].snapshot = Snapshot::LastInTable;
    batch.rows[0].order_in_table = 0;
    Vector {
        name: "read",
        description: "snapshot row, the last of its table, without a transaction; an empty text",
        batch,
    }
}

fn truncate() -> Vector {
    let mut batch = Batch::new();
    row(&mut batch, Operation::Truncate, Image::NONE, Image::NONE);
    Vector { name: "truncate", description: "truncate: both images missing", batch }
}

fn message() -> Vector {
    let mut batch = Batch::new();
    let prefix = batch.text(b"audit");
    let content = batch.bytes(b"\x00hello");
    let begin = batch.begin_image();
    batch.push_cell(prefix);
    batch.push_cell(content);
    let after = batch.end_image(begin);
    row(&mut batch, Operation::Message, Image::NONE, after);
    batch.transactions[0].origin = "east".to_owned();
    Vector {
        name: "message",
        description: "logical message: prefix \"audit\", content 00 + \"hello\"; origin \"east\"",
        batch,
    }
}

fn define() -> Vector {
    let mut batch = Batch::new();
    let statement = batch.text(b"ALTER TABLE t ADD c int");
    let begin = batch.begin_image();
    batch.push_cell(statement);
    let after = batch.end_image(begin);
    row(&mut batch, Operation::Define, Image::NONE, after);
    Vector { name: "define", description: "a definition changed: one text", batch }
}

fn encode(vector: &Vector) -> Vec<u8> {
    let mut out = Vec::new();
    vector.batch.encode(&vector.batch.rows[0], 42, 3, 5, &mut out);
    out
}

fn to_file(vector: &Vector, bytes: &[u8]) -> String {
    let mut text =
        format!("# offtake.v1.Change, sequence 42, stream 3, schema 5\n# {}\n", vector.description);
    for line in bytes.chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn from_file(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.trim().bytes())
        .map(|digit| char::from(digit).to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn every_operation_is_written_as_its_golden_vector() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for vector in [create(), update(), delete(), read(), truncate(), message(), define()] {
        let bytes = encode(&vector);
        let path = folder.join(format!("{}.hex", vector.name));
        if !path.exists() && std::env::var_os("OFFTAKE_BLESS").is_some() {
            std::fs::write(&path, to_file(&vector, &bytes)).unwrap();
        }
        let golden = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(golden, to_file(&vector, &bytes), "{}", vector.name);
        let golden = from_file(&golden);
        assert_eq!(v1::Change::decode(golden.as_slice()).unwrap().encode_to_vec(), golden);
        let view = ChangeView::parse(&golden).unwrap();
        assert_eq!((view.sequence, view.stream, view.schema), (42, 3, 5));
        assert_eq!(view.operation, vector.batch.rows[0].operation);
    }
}

#[test]
fn a_truncate_is_these_bytes() {
    // Worked out by hand from change.proto, so that not even the oracle is trusted blindly.
    let expected = [
        &[0x08, 42, 0x10, 3, 0x18, 5, 0x20, 5][..],
        &[0x3a, 28, 0x0a, 3, b'7', b'5', b'8'],
        &[0x12, 5, 0x08, 0xf8, 0xcd, 0xf3, 0x0b, 0x1a, 5, 0x08, 0x80, 0xc0, 0xf3, 0x0b],
        &[0x20, 0xce, 0x89, 0xb7, 0xca, 0xd8, 0x97, 0x98, 0x03],
        &[0x40, 1, 0x48, 1, 0x52, 5, 0x08, 0x80, 0xcd, 0xf3, 0x0b],
    ]
    .concat();
    let bytes = encode(&truncate());
    assert_eq!(&bytes[..expected.len()], expected);
    assert_eq!(bytes[expected.len()], 12 << 3);
}
