//! The log in a real folder: rights, lock, restart, and what a reader gets, by the public interface
//! alone.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use offtake_change::{Column, Kind, TableSchema};
use offtake_log::{LogError, LogOptions, Opened, Selection, open};
use offtake_proto::v1;
use prost::Message;

fn schema() -> Arc<TableSchema> {
    Arc::new(TableSchema::new(
        "shop",
        "public",
        "orders",
        vec![Column::new("id", Kind::Integer, "int8")],
        &[0],
    ))
}

fn push(opened: &mut Opened, count: usize) {
    let stream = opened.writer.register_stream("shop.public.orders");
    let schema = opened.writer.register_schema(&schema());
    for _ in 0..count {
        opened.writer.push(stream, schema, |sequence, out| {
            let payload = vec![7; 1000].into();
            let operation = 1;
            let change =
                v1::Change { sequence, stream, schema, operation, payload, ..Default::default() };
            change.encode(out).expect("a vector grows as needed");
        });
    }
    opened.writer.flush().expect("the group becomes durable");
}

#[test]
fn a_log_in_a_real_folder_survives_restarts_and_is_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep").join("data");
    let options = || LogOptions { segment_bytes: 64 << 10, ..LogOptions::new(&dir) };
    let mut id = None;
    for round in 1..=3u64 {
        let mut opened = open(options()).unwrap();
        assert_eq!(*id.get_or_insert(opened.log.id()), opened.log.id());
        assert_eq!(opened.recovered.next_sequence, (round - 1) * 200 + 1);
        push(&mut opened, 100);
        push(&mut opened, 100);
        assert!(matches!(open(options()), Err(LogError::Locked { .. })));
        let mut reader = opened.log.reader(0, Selection::globs(["shop.*"])).unwrap();
        let mut next = 1;
        while let Some(group) = reader.next_group().unwrap() {
            for run in &group.runs {
                for change in run.changes() {
                    assert_eq!(change.unwrap().sequence, next);
                    next += 1;
                }
            }
        }
        assert_eq!(next, round * 200 + 1);
        assert!(opened.log.stats().free_bytes.is_some_and(|bytes| bytes > 0));
    }
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&dir) & 0o777, 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o777, 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files > 8, "meta, lock, reserve, segments, sidecars");
    assert_eq!(std::fs::metadata(dir.join("reserve")).unwrap().len(), 1 << 20);
}

#[test]
fn a_folder_that_cannot_be_made_says_which_and_why() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = open(LogOptions::new(file.join("data"))).unwrap_err();
    assert_eq!(error.code(), "LOG_IO");
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn an_option_that_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(LogOptions { segment_bytes: 10, ..LogOptions::new(dir.path()) }).unwrap_err();
    assert_eq!(error.code(), "LOG_OPTION");
    assert!(error.to_string().contains("segment_bytes"));
}
