//! Frames by their specification, by what is written and read back, and by what nobody should send.

use proptest::collection::vec;
use proptest::prelude::*;

use super::reader::{Reader, Unreadable};
use super::{batch_frame, verdict_frame};
use crate::bindings as wit;

const SPECIFICATION: &str = include_str!("../../../../../sdk/abi.md");
const BUDGET: usize = 1 << 20;

/// The examples of the specification.
fn examples() -> Vec<Vec<u8>> {
    let section = SPECIFICATION.split("## An example, byte by byte").nth(1).expect("it is there");
    let blocks = section.split("```").skip(1).step_by(2);
    let byte = |word: &str| u8::from_str_radix(word, 16).expect("a byte in hexadecimal");
    let line = |line: &str| -> Vec<u8> {
        line.split('"')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .map_while(|word| {
                (word.len() == 2 && word.bytes().all(|it| it.is_ascii_hexdigit()))
                    .then(|| byte(word))
            })
            .collect()
    };
    blocks.map(|block| block.lines().flat_map(line).collect()).collect()
}

fn batch(rows: u32, after: Vec<wit::Column>) -> wit::Batch {
    let ops = vec![b'c'; rows as usize];
    wit::Batch { schema: 0, rows, ops, before: Vec::new(), after, meta: None, extra: Vec::new() }
}

fn packed(values: &[Vec<u8>]) -> wit::Packed {
    let mut offsets = vec![0];
    for value in values {
        offsets.push(offsets.last().copied().unwrap_or(0) + value.len() as u32);
    }
    wit::Packed { offsets, data: values.concat() }
}

#[test]
fn the_examples_of_the_specification_are_what_is_written_and_read() {
    let [frame, verdict] = &examples()[..] else { panic!("two examples") };
    let text = wit::ColumnData::PackedText(packed(&[b"ab".to_vec()]));
    let columns = vec![
        wit::Column { ordinal: 0, presence: Vec::new(), data: wit::ColumnData::Int64(vec![7]) },
        wit::Column { ordinal: 1, presence: Vec::new(), data: text },
    ];
    let mut written = Vec::new();
    batch_frame::write(&batch(1, columns), &mut written).expect("it is short");
    assert_eq!(&written, frame);
    let verdict = verdict_frame::read(verdict, 1, BUDGET).expect("readable").expect("a verdict");
    let [patch] = &verdict.set[..] else { panic!("one patch") };
    assert_eq!((patch.image, patch.rows.len()), (wit::Image::After, 0));
    assert_eq!((patch.column.ordinal, &patch.column.presence[..]), (1, &[1][..]));
}

fn column(rows: usize) -> impl Strategy<Value = wit::Column> {
    use wit::ColumnData as Data;
    let values = || vec(vec(any::<u8>(), 0..9), rows);
    let data = prop_oneof![
        vec(0_u8..2, rows).prop_map(Data::Boolean),
        vec(any::<i64>(), rows).prop_map(Data::Int64),
        vec(any::<u64>(), rows).prop_map(Data::Uint64),
        vec(any::<f64>(), rows).prop_map(Data::Float64),
        values().prop_map(|values| Data::PackedText(packed(&values))),
        values().prop_map(|values| Data::PackedBytes(packed(&values))),
    ];
    let presence = prop_oneof![Just(Vec::new()), vec(0_u8..4, rows)];
    (any::<u32>(), presence, data).prop_map(|(ordinal, presence, data)| wit::Column {
        ordinal,
        presence,
        data,
    })
}

fn columns() -> impl Strategy<Value = (usize, Vec<wit::Column>)> {
    (1_usize..20).prop_flat_map(|rows| (Just(rows), vec(column(rows), 0..6)))
}

/// A verdict frame of every kind of section, with these columns set and emitted.
fn verdict(rows: u32, columns: &[wit::Column]) -> Vec<u8> {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    // A batch frame of one column, without what comes before it.
    let laid_out = |column: &wit::Column| {
        let mut frame = Vec::new();
        batch_frame::write(&batch(rows, vec![column.clone()]), &mut frame).expect("it is short");
        frame.split_off(24 + (rows as usize).next_multiple_of(8))
    };
    let text = |text: &[u8; 4]| [&words(&[4])[..], text].concat();
    let mut sections = vec![
        (1, words(&[0, rows])),
        (3, words(&[0, 100])),
        (6, [&words(&[0, 1])[..], &text(b"oops")].concat()),
    ];
    let mut route = words(&[1, 0, 1]);
    route.extend([text(b"else"), words(&[1, 3, 1]), text(b"name"), text(b"data")].concat());
    route.extend([words(&[1]), text(b"gone")].concat());
    sections.push((4, route));
    for column in columns {
        sections.push((2, [words(&[1, 0]), laid_out(column)].concat()));
        let mut emitted = words(&[0, rows]);
        emitted.extend(words(&vec![0; rows as usize]));
        emitted.extend(vec![b'c'; (rows as usize).next_multiple_of(4)]);
        emitted.extend([words(&[1]), text(b"else"), words(&[1, 5, 1, 0, 1])].concat());
        emitted.extend([text(b"name"), text(b"data"), words(&[1, 0])].concat());
        emitted.resize(emitted.len().next_multiple_of(8), 0);
        emitted.extend(laid_out(column));
        sections.push((5, emitted));
    }
    let mut frame = [&b"OTV1"[..], &words(&[sections.len() as u32])].concat();
    for (kind, body) in sections {
        frame.extend(words(&[kind, body.len() as u32]));
        frame.extend(body);
        frame.resize(frame.len().next_multiple_of(8), 0);
    }
    frame
}

/// A batch frame's columns as a reader of the specification finds them.
fn read_columns(frame: &[u8], rows: u32) -> Vec<wit::Column> {
    let mut reader = Reader::new(frame, BUDGET);
    let head = reader.bytes(24).expect("a head");
    let count = u32::from_le_bytes(head[12..16].try_into().expect("four bytes"));
    reader.bytes(rows.into()).expect("operations");
    reader.align(8).expect("padding");
    let columns = (0..count).map(|_| verdict_frame::column(&mut reader, rows).expect("a column"));
    let columns = columns.collect();
    reader.finish().expect("nothing more");
    columns
}

proptest! {
    #[test]
    fn columns_are_read_as_they_were_written((rows, columns) in columns()) {
        let mut frame = vec![9; 5];
        batch_frame::write(&batch(rows as u32, columns.clone()), &mut frame).expect("short");
        prop_assert_eq!(format!("{:?}", read_columns(&frame, rows as u32)), format!("{columns:?}"));
        let verdict = verdict_frame::read(&verdict(rows as u32, &columns), rows as u32, BUDGET);
        let verdict = verdict.expect("readable").expect("a verdict");
        let set: Vec<_> = verdict.set.into_iter().map(|patch| patch.column).collect();
        prop_assert_eq!(format!("{set:?}"), format!("{columns:?}"));
        let emitted: Vec<_> = verdict.emit.into_iter().flat_map(|emitted| emitted.after).collect();
        prop_assert_eq!(format!("{emitted:?}"), format!("{columns:?}"));
        prop_assert_eq!(verdict.drop, [0, rows as u32]);
        prop_assert_eq!(verdict.routes.len() + verdict.ops.len() + verdict.failures.len(), 3);
    }

    #[test]
    fn random_bytes_are_read_or_refused(
        head in prop_oneof![Just(&b"OTV1"[..]), Just(&b"OTF1"[..]), Just(&b""[..])],
        bytes in vec(prop_oneof![3 => Just(0_u8), 1 => 0_u8..8, 1 => any::<u8>()], 0..200),
        rows in 1_u32..300,
    ) {
        let frame = [head, &bytes].concat();
        let read = verdict_frame::read(&frame, rows, BUDGET);
        prop_assert!(head != b"" || read.is_err() || frame.starts_with(b"OT"));
    }

    #[test]
    fn a_damaged_verdict_is_read_or_refused(
        (rows, columns) in columns(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = verdict(rows as u32, &columns);
        for (at, byte) in &damage {
            let at = at.index(frame.len());
            frame[at] = *byte;
        }
        // Nothing is asked of what is read but that reading it ends well.
        let _ = verdict_frame::read(&frame, rows as u32, BUDGET);
        let cut = &verdict(rows as u32, &columns)[..cut.index(frame.len())];
        prop_assert!(verdict_frame::read(cut, rows as u32, BUDGET).is_err(), "it is cut off");
    }
}

#[test]
fn what_is_made_of_a_frame_is_bounded_as_the_frame_is() {
    // A million empty texts to remove: four bytes each, and a string each.
    let count = 1_000_000_u32;
    let mut body: Vec<u8> = [0, 0, 0, 0, count].iter().flat_map(|it| it.to_le_bytes()).collect();
    body.resize(body.len() + 4 * count as usize, 0);
    let head = [4, body.len() as u32].map(u32::to_le_bytes).concat();
    let mut frame = [&b"OTV1\x01\0\0\0"[..], &head, &body].concat();
    frame.resize(frame.len().next_multiple_of(8), 0);
    let read = |budget| verdict_frame::read(&frame, 1, budget).map(|_| ());
    assert_eq!(read(frame.len()), Err(Unreadable::TooLarge));
    assert_eq!(read(32 << 20), Ok(()));
}

#[test]
fn lengths_that_overflow_are_refused() {
    let most = u32::MAX.to_le_bytes();
    for body in [
        [&1_u32.to_le_bytes()[..], &most].concat(),
        [&[0; 4][..], &most].concat(),
        [&most[..], &most].concat(),
        most.repeat(8),
    ] {
        for kind in 0..8_u32 {
            let head = [kind.to_le_bytes(), (body.len() as u32).to_le_bytes()].concat();
            let frame = [&b"OTV1\x01\0\0\0"[..], &head, &body].concat();
            let read = verdict_frame::read(&frame, u32::MAX, BUDGET);
            // Rows of any number are judged later, by who knows the batch.
            assert_eq!(read.is_ok(), kind == 1, "{kind} {body:?}");
        }
    }
}
