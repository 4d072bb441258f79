//! What a start makes of a folder after a crash or damage.

use std::collections::BTreeMap;

use super::disk::{Dice, FakeDisk};
use super::*;
use crate::format::{BLOCK_ALIGNMENT, SEGMENT_HEADER_BYTES, put_record};

type Image = BTreeMap<String, Vec<u8>>;

const FIRST: &str = "00000000000000000001.log";

/// A log of one segment whose groups were synced one by one, and where each begins.
fn groups(count: u64) -> (Image, Vec<usize>) {
    let disk = FakeDisk::new();
    let Opened { mut writer, .. } = open(&disk);
    let mut starts = vec![disk.image()[FIRST].len()];
    for number in 0..count {
        append(&mut writer, "shop.public.orders", format!("payload {number}").as_bytes());
        starts.push(disk.image()[FIRST].len());
    }
    drop(writer);
    (disk.image(), starts)
}

fn with(image: &Image, change: impl FnOnce(&mut Vec<u8>)) -> FakeDisk {
    let mut image = image.clone();
    change(image.get_mut(FIRST).unwrap());
    FakeDisk::from_image(&image)
}

fn code_of(disk: &FakeDisk) -> &'static str {
    match try_open(disk) {
        Ok(_) => "opened",
        Err(error) => {
            assert!(!error.next_step().is_empty());
            error.code()
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_groups_it_cuts() {
    let (image, starts) = groups(4);
    for cut in starts[1]..image[FIRST].len() {
        let whole = starts.iter().filter(|start| **start <= cut).count() - 1;
        let disk = with(&image, |bytes| bytes.truncate(cut));
        let Opened { mut writer, log, recovered } = open(&disk);
        assert_eq!(recovered.next_sequence, whole as u64 + 1, "cut at {cut}");
        assert_eq!(recovered.truncated_bytes, (cut - starts[whole]) as u64);
        assert_eq!(recovered.position, Some(position(whole as u64)));
        assert_eq!(append(&mut writer, "shop.public.orders", b"again"), whole as u64 + 1);
        assert_eq!(read_all(&log).len(), whole + 1);
    }
}

#[test]
fn a_last_block_filled_up_with_zeros_is_no_tail_and_is_written_on() {
    let (image, starts) = groups(4);
    for (whole, end) in starts.iter().enumerate() {
        let disk = with(&image, |bytes| {
            bytes.truncate(*end);
            bytes.resize(end.next_multiple_of(BLOCK_ALIGNMENT), 0);
        });
        let disk = disk.in_blocks();
        let Opened { mut writer, log, recovered } = open(&disk);
        assert_eq!(recovered.next_sequence, whole as u64 + 1);
        assert_eq!(recovered.truncated_bytes, 0);
        append(&mut writer, "shop.public.orders", &[b'l'; 5000]);
        assert_eq!(read_all(&log).len(), whole + 1);
        drop((writer, log));
        assert_eq!(disk.image()[FIRST].len() % BLOCK_ALIGNMENT, 0);
        assert_eq!(read_all(&open(&disk).log).len(), whole + 1);
    }
}

#[test]
fn a_tail_torn_at_any_byte_before_the_filling_loses_only_the_groups_it_cuts() {
    let (image, starts) = groups(4);
    for cut in starts[1]..image[FIRST].len() {
        let whole = starts.iter().filter(|start| **start <= cut).count() - 1;
        let disk = with(&image, |bytes| {
            bytes.truncate(cut);
            bytes.resize(cut.next_multiple_of(BLOCK_ALIGNMENT), 0);
        });
        let Opened { mut writer, log, recovered } = open(&disk.in_blocks());
        assert_eq!(recovered.next_sequence, whole as u64 + 1, "cut at {cut}");
        assert_eq!(append(&mut writer, "shop.public.orders", b"again"), whole as u64 + 1);
        assert_eq!(read_all(&log).len(), whole + 1);
    }
}

#[test]
fn a_tail_of_zeros_or_noise_is_cut_off() {
    let (image, _) = groups(2);
    for tail in [vec![0; 3], vec![0; 70_000], vec![0xa5; 5000], b"OGRPOGRP".repeat(50)] {
        let disk = with(&image, |bytes| bytes.extend_from_slice(&tail));
        let Opened { log, recovered, .. } = open(&disk);
        assert_eq!(recovered.truncated_bytes, tail.len() as u64);
        assert_eq!(read_all(&log).len(), 2);
        assert_eq!(disk.image()[FIRST], image[FIRST]);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_halts_and_in_the_last_group_cuts_it_off() {
    let (image, starts) = groups(4);
    for at in 0..image[FIRST].len() {
        let disk = with(&image, |bytes| bytes[at] ^= 1 << (at % 8));
        if at < starts[3] {
            let expected = match at {
                // The version is read before the checksum: it says how to read the rest.
                8..10 => ["LOG_VERSION", "LOG_DAMAGED"].as_slice(),
                _ => &["LOG_DAMAGED"],
            };
            let code = code_of(&disk);
            assert!(expected.contains(&code), "{code} with bit flipped at {at}");
        } else {
            let Opened { log, recovered, .. } = open(&disk);
            assert_eq!(recovered.truncated_bytes as usize, image[FIRST].len() - starts[3]);
            assert_eq!(read_all(&log).len(), 3, "bit flipped at {at}");
        }
    }
}

/// A log whose last two groups were written and synced together, and where the first of them
/// begins.
fn two_groups_in_one_write() -> (Image, usize) {
    let disk = FakeDisk::new();
    let Opened { mut writer, .. } = open(&disk);
    append(&mut writer, "a", b"first");
    disk.hold_writes(true);
    push(&mut writer, "a", b"second");
    writer.submit().unwrap();
    eventually("the writer is busy", || disk.held_writes() == 1);
    for payload in [vec![1; 1500], vec![2; 1500]] {
        push(&mut writer, "a", &payload);
        writer.submit().unwrap();
    }
    disk.hold_writes(false);
    writer.flush().unwrap();
    drop(writer);
    let image = disk.image();
    let bytes = &image[FIRST];
    let second = bytes.windows(6).position(|part| part == b"second").unwrap();
    let behind = bytes[second..].windows(4).position(|part| part == b"OGRP").unwrap();
    (image, second + behind)
}

#[test]
fn a_sector_lost_in_an_unfinished_write_is_a_tail_and_a_flipped_bit_is_damage() {
    let (image, group) = two_groups_in_one_write();
    let sector = (group / 512 + 1) * 512;
    let disk = with(&image, |bytes| bytes[sector..sector + 512].fill(0));
    let Opened { log, recovered, .. } = open(&disk);
    assert_eq!(recovered.truncated_bytes as usize, image[FIRST].len() - group);
    assert_eq!(read_all(&log).len(), 2);
    let disk = with(&image, |bytes| bytes[sector] ^= 1);
    assert_eq!(code_of(&disk), "LOG_DAMAGED");
}

/// A log of several segments.
fn segments() -> Image {
    let disk = FakeDisk::new();
    let options = LogOptions { segment_bytes: 4 << 10, ..options() };
    let Opened { mut writer, .. } = open_with(options, environment(&disk)).unwrap();
    for _ in 0..6 {
        append(&mut writer, "a", &[7; 2000]);
    }
    drop(writer);
    disk.image()
}

fn log_files(image: &Image) -> Vec<String> {
    image.keys().filter(|name| name.ends_with(".log")).cloned().collect()
}

#[test]
fn segments_are_found_with_and_without_their_sidecars() {
    let image = segments();
    assert!(log_files(&image).len() >= 3);
    for keep in [true, false] {
        let mut image = image.clone();
        image.retain(|name, _| keep || !name.ends_with(".idx"));
        let disk = FakeDisk::from_image(&image);
        let Opened { log, recovered, .. } = open(&disk);
        assert_eq!(recovered.next_sequence, 7);
        assert_eq!(read_all(&log).len(), 6);
        assert_eq!(log.stats().streams[0].changes, 6);
        let sidecars = disk.image().keys().filter(|name| name.ends_with(".idx")).count();
        assert_eq!(sidecars, log_files(&image).len() - 1, "written again");
    }
}

#[test]
fn which_schemas_a_stream_carries_is_known_at_once_and_after_restarts() {
    let disk = FakeDisk::new();
    let options = LogOptions { segment_bytes: 4096, ..options() };
    let Opened { mut writer, log, .. } =
        open_with(options.clone(), environment(&disk)).expect("the log opens");
    // Version 1 of both tables goes to one stream, in segments that are closed; version 2 alone to
    // the other.
    let ids: Vec<u32> = [("a", 1), ("b", 1), ("b", 2)]
        .map(|(table, version)| writer.register_schema(&schema(table, version)))
        .to_vec();
    let (one, other) = (writer.register_stream("one"), writer.register_stream("other"));
    for (stream, at) in [(one, 0), (one, 1), (one, 0), (other, 2), (one, 1)] {
        let schema = ids[at];
        writer.push(stream, schema, |sequence, out| {
            let payload = vec![7; 3000].into();
            let change = v1::Change { sequence, stream, schema, payload, ..Default::default() };
            change.encode(out).unwrap();
        });
        writer.flush().unwrap();
    }
    let carried = |log: &Log, stream| -> Vec<u32> {
        log.schemas_of(stream).iter().map(|schema| schema.id).collect()
    };
    let check = |log: &Log| {
        assert_eq!(carried(log, one), ids[..2]);
        assert_eq!(carried(log, other), ids[2..]);
        assert_eq!(carried(log, 99), [0; 0]);
    };
    check(&log);
    drop(writer);
    let image = disk.image();
    assert!(log_files(&image).len() >= 3);
    check(&open(&FakeDisk::from_image(&image)).log);
    // The first sidecars did not say it: they are written again.
    let sidecar = image.keys().find(|name| name.ends_with(".idx")).cloned().unwrap();
    let mut old = image.clone();
    let bytes = old.get_mut(&sidecar).unwrap();
    bytes.truncate(bytes.len() - 4 - 4 - 8);
    let checksum = crc32c::crc32c(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let disk = FakeDisk::from_image(&old);
    check(&open(&disk).log);
    assert_eq!(disk.image()[&sidecar], image[&sidecar]);
}

#[test]
fn a_damaged_sidecar_is_rebuilt() {
    let mut image = segments();
    let sidecar = image.keys().find(|name| name.ends_with(".idx")).cloned().unwrap();
    let whole = image[&sidecar].clone();
    image.get_mut(&sidecar).unwrap()[20] ^= 4;
    let disk = FakeDisk::from_image(&image);
    assert_eq!(read_all(&open(&disk).log).len(), 6);
    assert_eq!(disk.image()[&sidecar], whole);
}

#[test]
fn a_missing_segment_halts_wherever_it_is_missing_but_at_the_front() {
    let image = segments();
    let files = log_files(&image);
    for missing in &files[1..] {
        let mut image = image.clone();
        image.remove(missing);
        let error = try_open(&FakeDisk::from_image(&image)).unwrap_err();
        assert_eq!(error.code(), "LOG_DAMAGED", "{missing}: {error}");
    }
    let mut without_first = image.clone();
    without_first.remove(&files[0]);
    let Opened { log, .. } = open(&FakeDisk::from_image(&without_first));
    assert!(log.earliest_sequence() > 1, "as retention would have left it");
    let mut none = image.clone();
    none.retain(|name, _| name == "meta");
    assert_eq!(code_of(&FakeDisk::from_image(&none)), "LOG_DAMAGED");
}

#[test]
fn a_damaged_closed_segment_is_noticed_by_its_reader() {
    let mut image = segments();
    let first = image.get_mut(FIRST).unwrap();
    let end = first.len();
    first[end - 10] ^= 1;
    let Opened { log, .. } = open(&FakeDisk::from_image(&image));
    let error = read(&log, 0, Selection::all()).unwrap_err();
    assert_eq!(error.code(), "LOG_DAMAGED");
    let text = error.to_string();
    assert!(text.contains(FIRST) && text.contains("byte"), "{text}");
}

#[test]
fn another_logs_segment_and_a_lost_meta_halt() {
    let mut image = segments();
    let other = segments();
    let files = log_files(&image);
    image.insert(files[1].clone(), other[&files[1]].clone());
    assert_eq!(code_of(&FakeDisk::from_image(&image)), "LOG_DAMAGED");
    let mut image = other;
    image.remove("meta");
    assert_eq!(code_of(&FakeDisk::from_image(&image)), "LOG_DAMAGED");
}

#[test]
fn a_beginning_cut_off_at_any_step_begins_again() {
    for seed in 0..200 {
        let disk = FakeDisk::new();
        let before = disk.crash(&mut Dice(seed));
        drop(open(&before));
        let mut image = before.image();
        image.remove("meta");
        let disk = FakeDisk::from_image(&image).crash(&mut Dice(seed));
        let Opened { recovered, .. } = open(&disk);
        assert!(recovered.is_empty);
        assert_eq!(recovered.next_sequence, 1);
    }
}

#[test]
fn a_crash_between_rename_and_folder_sync_is_recovered() {
    // The new segment under its name, still under the other one, or not there at all.
    let image = segments();
    let files = log_files(&image);
    let last = files.last().unwrap();
    let before_last = files[files.len() - 2].replace(".log", ".idx");
    let mut under_other_name = image.clone();
    let bytes = under_other_name.remove(last).unwrap();
    let head = SEGMENT_HEADER_BYTES + 72;
    under_other_name.insert(format!("{last}.tmp"), bytes[..head].to_vec());
    under_other_name.remove(&before_last);
    let mut absent = under_other_name.clone();
    absent.remove(&format!("{last}.tmp"));
    for image in [under_other_name, absent] {
        let disk = FakeDisk::from_image(&image);
        let Opened { mut writer, log, recovered } = open(&disk);
        assert_eq!(recovered.truncated_bytes, 0);
        let next = append(&mut writer, "a", b"goes on");
        assert_eq!(next, recovered.next_sequence);
        assert_eq!(read_all(&log).len() as u64, next);
        assert!(!disk.image().keys().any(|name| name.ends_with(".tmp")));
    }
}

/// A group with one record of an unknown kind, appended to a log as a later version would.
fn with_record(flags: u16) -> FakeDisk {
    let (image, _) = groups(2);
    with(&image, |bytes| {
        let mut record = Vec::new();
        put_record(&mut record, 9999, flags, |out| out.extend_from_slice(b"later"));
        let header = crate::format::GroupHeader {
            total_bytes: 72 + record.len() as u32,
            control_bytes: record.len() as u32,
            control_count: 1,
            first_sequence: 3,
            ordinal: 3,
            synced_offset: bytes.len() as u64,
            index_crc32c: crc32c::crc32c(&record),
            ..Default::default()
        };
        header.encode(bytes);
        bytes.extend_from_slice(&record);
    })
}

#[test]
fn an_unknown_record_halts_when_it_is_critical_and_is_kept_otherwise() {
    assert_eq!(code_of(&with_record(1)), "LOG_UNKNOWN_RECORD");
    let disk = with_record(0);
    let before = disk.image()[FIRST].clone();
    let Opened { mut writer, log, recovered } = open(&disk);
    assert_eq!((recovered.truncated_bytes, recovered.next_sequence), (0, 3));
    append(&mut writer, "shop.public.orders", b"after it");
    assert_eq!(read_all(&log).len(), 3);
    assert!(disk.image()[FIRST].starts_with(&before));
}

#[test]
fn the_control_state_survives_restarts_and_rolls() {
    let disk = FakeDisk::new();
    let small = || LogOptions { segment_bytes: 4 << 10, ..options() };
    for round in 0..4u64 {
        let Opened { mut writer, log, recovered } = open_with(small(), environment(&disk)).unwrap();
        assert_eq!(recovered.is_empty, round == 0);
        assert_eq!(recovered.streams.len(), round.min(1) as usize);
        assert_eq!(recovered.schemas.len(), round.min(1) as usize);
        assert_eq!(recovered.snapshots.len() as u64, round);
        assert_eq!(recovered.plugins.len(), round.min(1) as usize);
        writer.control(Control::SnapshotProgress(v1::SnapshotProgress {
            table: format!("table {round}"),
            rows: round,
            ..Default::default()
        }));
        writer.control(Control::PluginActivation(v1::PluginActivation {
            name: "mask".to_owned(),
            digest: round.to_string(),
            ..Default::default()
        }));
        for _ in 0..5 {
            append(&mut writer, "a", &[1; 1500]);
        }
        assert_eq!((log.streams()[0].id, log.schemas()[0].id), (1, 1), "ids stay");
        assert_eq!(writer.register_schema(&schema("a", 1)), 1, "equal schemas share an id");
        assert_eq!(writer.group_bytes(), 0, "nothing new to announce");
    }
}

#[test]
fn schemas_that_nothing_needs_are_forgotten_and_their_ids_never_given_again() {
    let disk = FakeDisk::new();
    let small = || LogOptions { segment_bytes: 4 << 10, retain_bytes: 16 << 10, ..options() };
    let Opened { mut writer, .. } = open_with(small(), environment(&disk)).unwrap();
    let stream = writer.register_stream("a");
    for version in 1..=40 {
        let id = writer.register_schema(&schema("orders", version));
        assert_eq!(id, version);
        writer.push(stream, id, |sequence, out| {
            let payload = vec![3; 1500].into();
            let change = v1::Change { sequence, payload, ..Default::default() };
            change.encode(out).unwrap();
        });
        writer.flush().unwrap();
    }
    drop(writer);
    let Opened { mut writer, log, recovered } = open_with(small(), environment(&disk)).unwrap();
    assert!(recovered.schemas.len() < 20, "{}", recovered.schemas.len());
    let mut reader = log.reader(log.earliest_sequence() - 1, Selection::all()).unwrap();
    while let Some(group) = reader.next_group().unwrap() {
        assert!(group.runs.iter().all(|run| log.schema(run.schema).is_some()));
    }
    assert_eq!(writer.register_schema(&schema("orders", 40)), 40);
    assert_eq!(writer.register_schema(&schema("orders", 1)), 41);
}

#[test]
fn a_second_process_is_kept_out() {
    let disk = FakeDisk::new();
    let first = open(&disk);
    assert_eq!(code_of(&disk), "LOG_LOCKED");
    drop(first);
    assert_eq!(code_of(&disk), "opened");
}
