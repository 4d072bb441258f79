//! What readers see.

use super::disk::FakeDisk;
use super::*;

#[test]
fn a_change_reads_back_byte_for_byte_as_prost_wrote_it() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    let mut expected = v1::Frame::default();
    let stream = writer.register_stream("a");
    let schema = writer.register_schema(&schema("a", 1));
    // Lengths around every width of the length before a change.
    for size in [0, 100, 127, 128, 16_000, 16_383, 16_384, 1 << 20, (2 << 20) + 5, 3, 200] {
        writer.push(stream, schema, |sequence, out| {
            let payload = vec![5; size].into();
            let change = v1::Change { sequence, stream, schema, payload, ..Default::default() };
            change.encode(out).unwrap();
            expected.changes.push(change);
        });
    }
    writer.flush().unwrap();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    let mut bytes = Vec::new();
    while let Some(group) = reader.next_group().unwrap() {
        group.runs.iter().for_each(|run| bytes.extend_from_slice(&run.bytes));
    }
    assert_eq!(bytes, expected.encode_to_vec());
    assert_eq!(v1::Frame::decode(bytes.as_slice()).unwrap(), expected);
}

#[test]
fn a_reader_may_start_after_any_change_also_inside_a_group() {
    let disk = FakeDisk::new();
    let options = LogOptions { segment_bytes: 64 << 10, ..options() };
    let Opened { mut writer, log, .. } = open_with(options, environment(&disk)).unwrap();
    for group in 0..20u8 {
        for change in 0..15u8 {
            let stream = if change % 5 == 4 { "b" } else { "a" };
            push(&mut writer, stream, &vec![group; usize::from(change) * 100]);
        }
        writer.flush().unwrap();
    }
    let all = read_all(&log);
    assert_eq!(all.len(), 300);
    assert!(log.stats().segments > 2);
    for after in 0..=300 {
        let seen = read(&log, after, Selection::all()).unwrap();
        assert_eq!(seen, all[after as usize..], "after {after}");
    }
    let only_b = read(&log, 0, Selection::globs(["b*"])).unwrap();
    assert!(only_b.iter().all(|seen| seen.stream == "b"));
    assert_eq!(only_b.len(), 60);
}

#[test]
fn a_large_group_comes_in_pieces_with_its_position_last() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    for _ in 0..2000 {
        push(&mut writer, "a", &[1; 1000]);
    }
    writer.control(Control::SourcePosition(position(9)));
    writer.flush().unwrap();
    let mut reader = log.reader(0, Selection::all()).unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = reader.next_group().unwrap() {
        assert!(piece.runs.iter().map(|run| run.bytes.len()).sum::<usize>() <= 256 << 10);
        pieces.push(piece);
    }
    assert!(pieces.len() > 5);
    let (last, rest) = pieces.split_last().unwrap();
    assert!(rest.iter().all(|piece| !piece.ends_group));
    assert!(last.ends_group);
    assert_eq!(last.controls, [Control::SourcePosition(position(9))]);
    assert_eq!(pieces[0].controls.len(), 2, "schema and stream come first");
    assert_eq!(read_all(&log).len(), 2000);
    // A start inside gets what it needs to understand the rest.
    let mut reader = log.reader(1234, Selection::all()).unwrap();
    let piece = reader.next_group().unwrap().unwrap();
    assert_eq!((piece.controls.len(), piece.runs[0].first_sequence), (2, 1235));
}

#[test]
fn a_reader_of_one_stream_does_not_read_the_others() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    for _ in 0..6000 {
        push(&mut writer, "loud", &[1; 1000]);
    }
    push(&mut writer, "quiet", b"wanted");
    writer.flush().unwrap();
    drop((writer, log));
    let Opened { log, .. } = open(&disk);
    let before = disk.bytes_read();
    let seen = read(&log, 0, Selection::globs(["quiet"])).unwrap();
    assert_eq!(seen.len(), 1);
    // The checkpoint, the directory and the block, each with what is read on the way.
    assert!(disk.bytes_read() - before < 600 << 10, "{}", disk.bytes_read() - before);
}

#[test]
fn what_was_just_written_is_not_read_from_the_disk() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    let mut reader = log.reader(0, Selection::all()).unwrap();
    assert!(reader.next_group().unwrap().is_none(), "nothing but the checkpoint");
    let before = disk.bytes_read();
    for (size, count) in [(10, 1), (1000, 300), (200_000, 1), (500, 5000)] {
        for _ in 0..count {
            push(&mut writer, "a", &vec![1; size]);
        }
        writer.flush().unwrap();
        let mut seen = 0;
        while let Some(group) = reader.next_group().unwrap() {
            seen += group.runs.iter().map(|run| run.count).sum::<u32>();
        }
        assert_eq!(seen, count);
    }
    assert_eq!(disk.bytes_read(), before);
}

#[test]
fn a_reader_that_is_far_behind_reads_about_every_byte_once() {
    for group in [1, 30, 100, 1500] {
        let disk = FakeDisk::new();
        let Opened { mut writer, log, .. } = open(&disk);
        for number in 0..3000 {
            push(&mut writer, "a", &[1; 1000]);
            if number % group == 0 {
                writer.submit().unwrap();
            }
        }
        writer.flush().unwrap();
        drop((writer, log));
        let Opened { log, .. } = open(&disk);
        let before = disk.bytes_read();
        assert_eq!(read_all(&log).len(), 3000);
        let (read, size) = (disk.bytes_read() - before, log.stats().bytes);
        assert!(read < size * 5 / 3, "{read} of {size} in groups of {group}");
    }
}

#[test]
fn readers_at_the_same_place_share_what_is_read() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    for _ in 0..50 {
        push(&mut writer, "a", &[1; 20_000]);
        push(&mut writer, "b", &[1; 100]);
        writer.flush().unwrap();
    }
    drop((writer, log));
    let Opened { log, .. } = open(&disk);
    read_all(&log);
    let before = disk.bytes_read();
    for _ in 0..10 {
        assert_eq!(read_all(&log).len(), 100);
    }
    assert_eq!(disk.bytes_read(), before);
}

#[test]
fn control_records_reach_a_reader_once_and_checkpoints_never() {
    let disk = FakeDisk::new();
    let options = LogOptions { segment_bytes: 4 << 10, ..options() };
    let Opened { mut writer, log, .. } = open_with(options, environment(&disk)).unwrap();
    let mut reader = log.reader(0, Selection::globs(["none"])).unwrap();
    let mut positions = Vec::new();
    for number in 1..=20 {
        append(&mut writer, "a", &[1; 1000]);
        writer.control(Control::SourcePosition(position(1000 + number)));
        writer.flush().unwrap();
    }
    let mut announced = 0;
    while let Some(group) = reader.next_group().unwrap() {
        assert!(group.runs.is_empty());
        for control in group.controls {
            match control {
                Control::SourcePosition(position) => positions.push(position),
                _ => announced += 1,
            }
        }
    }
    let expected: Vec<_> =
        (1..=20).flat_map(|number| [position(number), position(1000 + number)]).collect();
    assert_eq!(positions, expected);
    assert_eq!(announced, 2);
    assert!(log.stats().segments > 3);
    // A record between two changes belongs to who has seen the first.
    let mut reader = log.reader(7, Selection::all()).unwrap();
    let group = reader.next_group().unwrap().unwrap();
    assert_eq!(group.controls, [Control::SourcePosition(position(1007))]);
}

#[test]
fn readers_keep_up_with_a_writer_over_rolls() {
    let disk = FakeDisk::new();
    let options = LogOptions { segment_bytes: 32 << 10, cache_bytes: 64 << 10, ..options() };
    let Opened { mut writer, log, .. } = open_with(options, environment(&disk)).unwrap();
    const CHANGES: u64 = 5000;
    let follow = |log: Log, blocking: bool| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut reader = log.reader(0, Selection::all()).unwrap();
            let mut next = 1;
            while next <= CHANGES {
                while let Some(group) = reader.next_group().unwrap() {
                    for run in group.runs {
                        for change in run.changes() {
                            assert_eq!(change.unwrap().sequence, next);
                            next += 1;
                        }
                    }
                }
                if next > CHANGES {
                    break;
                }
                if blocking {
                    assert!(reader.wait_blocking(Duration::from_secs(10)));
                } else {
                    runtime.block_on(reader.changed());
                }
            }
        })
    };
    let readers: Vec<_> = (0..4).map(|number| follow(log.clone(), number % 2 == 0)).collect();
    for number in 0..CHANGES {
        push(&mut writer, if number % 3 == 0 { "a" } else { "b" }, &[1; 90]);
        if number % 7 == 0 {
            writer.submit().unwrap();
        }
    }
    writer.flush().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(log.stats().segments > 5);
}

#[test]
fn waiting_without_anything_new_ends_at_its_time() {
    let disk = FakeDisk::new();
    let Opened { log, .. } = open(&disk);
    let mut reader = log.reader(0, Selection::all()).unwrap();
    assert!(!reader.wait_blocking(Duration::from_millis(5)));
}

#[test]
fn who_only_reads_a_log_keeps_others_from_its_folder() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    append(&mut writer, "a", b"one");
    let reader = log.reader(0, Selection::all()).unwrap();
    drop((writer, log));
    assert_eq!(try_open(&disk).unwrap_err().code(), "LOG_LOCKED");
    drop(reader);
    assert_eq!(read_all(&open(&disk).log).len(), 1);
}

#[test]
fn what_a_group_in_pieces_still_has_is_known_before_it_comes() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    for _ in 0..1000 {
        push(&mut writer, "a", &[1; 1000]);
    }
    for stream in ["b", "c", "b"] {
        push(&mut writer, stream, b"last");
    }
    writer.flush().unwrap();
    let runs = |piece: &crate::ReadGroup| {
        piece.runs.iter().map(|run| (run.stream, run.schema)).collect::<Vec<_>>()
    };
    let mut reader = log.reader(0, Selection::globs(["a", "b"])).unwrap();
    assert_eq!(reader.rest_of_group().unwrap(), []);
    let first = reader.next_group().unwrap().unwrap();
    assert!(!first.ends_group);
    let mut rest = reader.rest_of_group().unwrap();
    let mut came = Vec::new();
    while let Some(piece) = reader.next_group().unwrap() {
        came.extend(runs(&piece));
    }
    came.sort_unstable();
    came.dedup();
    rest.sort_unstable();
    assert_eq!((rest.len(), &rest), (2, &came), "a and b, and not c");
    assert_eq!(reader.rest_of_group().unwrap(), []);
}
