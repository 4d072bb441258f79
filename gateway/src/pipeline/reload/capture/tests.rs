//! The ring of files: what comes back, what it may weigh, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use offtake_change::{Column, Image, Kind, Operation, Row, TableSchema};
use offtake_config::Secret;

use super::*;

fn capture(folder: &Path, secret: &str, bytes: u64) -> Result<Capture, Halt> {
    Capture::open(folder, &offtake_config::Capture { bytes, secret: Secret::new(secret) })
}

fn batch(number: i64, bytes: usize) -> Batch {
    let columns = vec![Column::new("email", Kind::Text, "text")];
    let people = Arc::new(TableSchema::new("shop", "public", "people", columns, &[]));
    let mut batch = Batch::new();
    let schema = batch.schema_index(&people);
    let begin = batch.begin_image();
    let cell = batch.text(format!("ada@example.com{}", "x".repeat(bytes)).as_bytes());
    batch.push_cell(cell);
    let after = batch.end_image(begin);
    batch.rows.push(Row { schema, ..Row::new(Operation::Create, Image::NONE, after) });
    batch.processed_unix_ns = number;
    batch
}

/// Writes these, as a process would from its start to its end.
fn write(capture: &Capture, numbers: std::ops::Range<i64>, bytes: usize) {
    let mut file = None;
    for number in numbers {
        capture.write(&mut file, &batch(number, bytes)).unwrap();
    }
}

fn numbers(capture: &Capture) -> Vec<i64> {
    capture.batches().unwrap().iter().map(|batch| batch.processed_unix_ns).collect()
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder.join(FOLDER)).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_was_captured_comes_back_in_order_after_restarts_and_is_never_plain() {
    let folder = tempfile::tempdir().unwrap();
    write(&capture(folder.path(), "one secret", 1 << 20).unwrap(), 1..5, 10);
    write(&capture(folder.path(), "one secret", 1 << 20).unwrap(), 5..8, 10);
    let again = capture(folder.path(), "one secret", 1 << 20).unwrap();
    assert_eq!(numbers(&again), (1..8).collect::<Vec<_>>());
    let last = &again.batches().unwrap()[6];
    assert_eq!(
        last.column(last.rows[0].after, 0).as_bytes(),
        Some(&b"ada@example.comxxxxxxxxxx"[..])
    );
    for (_, path) in again.files().unwrap() {
        let bytes = fs::read(&path).unwrap();
        for plain in [&b"ada@example"[..], b"people", b"email"] {
            assert!(!bytes.windows(plain.len()).any(|part| part == plain));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_oldest_go_first_and_it_never_weighs_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = 64 << 10;
    let capture = capture(folder.path(), "one secret", bytes).unwrap();
    let mut file = None;
    for number in 0..200 {
        capture.write(&mut file, &batch(number, 1000)).unwrap();
        assert!(size(folder.path()) <= bytes);
    }
    let kept = numbers(&capture);
    assert_eq!(kept.last(), Some(&199));
    assert!(kept.len() > 30 && kept.windows(2).all(|two| two[0] + 1 == two[1]), "{kept:?}");
    // One that is larger than a file may be is left out, and nothing for it.
    capture.write(&mut file, &batch(200, 60_000)).unwrap();
    assert_eq!(numbers(&capture), kept);
}

#[test]
fn another_secret_is_refused_and_what_a_crash_cut_off_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let open = |secret| capture(folder.path(), secret, 1 << 20);
    write(&open("one secret").unwrap(), 0..3, 10);
    assert_eq!(open("another secret").err().unwrap().code, "CAPTURE_SECRET");
    let capture = open("one secret").unwrap();
    let (_, path) = capture.files().unwrap().remove(0);
    let whole = fs::read(&path).unwrap();
    for (end, expected) in [(whole.len() - 1, 2), (HEADER_BYTES + 2, 0), (HEADER_BYTES - 1, 0)] {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(numbers(&open("one secret").unwrap()).len(), expected, "cut at {end}");
    }
    let mut changed = whole.clone();
    changed[HEADER_BYTES + 10] ^= 1;
    fs::write(&path, changed).unwrap();
    assert_eq!(capture.read(&path, false).err().unwrap().code, "CAPTURE_DAMAGED");
    assert!(capture.batches().unwrap().is_empty(), "nothing stands still for it");
    fs::write(&path, [b"OFTKLOGS".to_vec(), whole[8..].to_vec()].concat()).unwrap();
    assert_eq!(capture.read(&path, true).err().unwrap().code, "CAPTURE_DAMAGED");
    open("one secret").unwrap();
}
