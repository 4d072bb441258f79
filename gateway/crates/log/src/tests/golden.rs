//! A log that the first version wrote is read by every later one.

use std::collections::BTreeMap;

use super::disk::FakeDisk;
use super::*;

const LOG: &str = "00000000000000000001.log";

/// What the golden files were written from: two streams, all kinds of records, two groups.
fn write(writer: &mut LogWriter) {
    push(writer, "shop.public.customers", b"first");
    push(writer, "shop.public.orders", b"second");
    push(writer, "shop.public.orders", b"third");
    writer.control(Control::TransactionEnd(v1::TransactionEnd {
        last_sequence: 3,
        source_changes: 3,
        logged_changes: 3,
        ..Default::default()
    }));
    writer.control(Control::SourcePosition(position(0x16_b374_d848)));
    writer.flush().unwrap();
    writer.control(Control::SnapshotProgress(v1::SnapshotProgress {
        namespace: "public".to_owned(),
        table: "orders".to_owned(),
        state: 3,
        rows: 2,
        ..Default::default()
    }));
    writer.control(Control::PluginActivation(v1::PluginActivation {
        name: "mask".to_owned(),
        digest: "00ff".to_owned(),
        ..Default::default()
    }));
    writer.control(Control::StateDelta(v1::StateDelta::default()));
    writer.control(Control::DeadLetter(v1::DeadLetter {
        code: "PLUGIN_TRAP".to_owned(),
        ..Default::default()
    }));
    writer.control(Control::Definition(v1::Definition {
        statement: "alter table".to_owned(),
        ..Default::default()
    }));
    writer.flush().unwrap();
}

fn image() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("meta".to_owned(), from_hex(include_str!("../../testdata/meta.hex"))),
        (LOG.to_owned(), from_hex(include_str!("../../testdata/segment.hex"))),
    ])
}

#[test]
fn a_log_of_the_first_version_is_still_read() {
    let disk = FakeDisk::from_image(&image());
    let Opened { log, recovered, .. } = open(&disk);
    assert_eq!(log.id(), *b"golden log id 16");
    assert_eq!(recovered.next_sequence, 4);
    assert_eq!(recovered.position, Some(position(0x16_b374_d848)));
    assert_eq!(recovered.snapshots[0].rows, 2);
    assert_eq!(recovered.plugins[0].digest, "00ff");
    assert_eq!(recovered.truncated_bytes, 0);
    let expected = [(1, "customers", "first"), (2, "orders", "second"), (3, "orders", "third")];
    let expected = expected.map(|(sequence, table, payload)| Seen {
        sequence,
        stream: format!("shop.public.{table}"),
        payload: payload.as_bytes().to_vec(),
    });
    assert_eq!(read_all(&log), expected);
    let mut reader = log.reader(0, Selection::all()).unwrap();
    let mut kinds = Vec::new();
    while let Some(group) = reader.next_group().unwrap() {
        kinds.extend(group.controls.iter().map(std::mem::discriminant));
    }
    assert_eq!(kinds.len(), 11, "two schemas, two streams, and one of every other kind");
}

#[test]
fn the_same_calls_still_write_the_same_bytes() {
    let begun = image();
    let head = 64 + 72;
    let bytes = begun[LOG][..head].to_vec();
    let disk = FakeDisk::from_image(&BTreeMap::from([
        ("meta".to_owned(), begun["meta"].clone()),
        (LOG.to_owned(), bytes),
    ]));
    let Opened { mut writer, .. } = open(&disk);
    write(&mut writer);
    assert_eq!(disk.image()[LOG], begun[LOG]);
}
