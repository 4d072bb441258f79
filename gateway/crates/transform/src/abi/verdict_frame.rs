//! Reads what a plugin answers to a batch: a verdict frame or a failure frame.
//!
//! What is read has the types that a component's verdict has, and is judged where that is judged:
//! here is only checked that it is laid out as `sdk/abi.md` says.

use super::reader::{Read, Reader, Unreadable, malformed};
use crate::bindings as wit;

const VERDICT: &[u8; 4] = b"OTV1";
const FAILURE: &[u8; 4] = b"OTF1";

/// Bytes of the shortest text and of the shortest header.
const TEXT: u64 = 4;
const HEADER: u64 = 2 * TEXT;
/// Bytes of a column before its values, which are at least none.
const COLUMN: u64 = 8;

/// Reads a frame about a batch of `rows` rows. What is made of it takes at most `budget` bytes.
pub(super) fn read(
    frame: &[u8],
    rows: u32,
    budget: usize,
) -> Result<Result<wit::Verdict, wit::Failure>, Unreadable> {
    let mut reader = Reader::new(frame, budget);
    match &reader.array()? {
        VERDICT => verdict(&mut reader, rows).map(Ok),
        FAILURE => {
            let failure = failure(&mut reader)?;
            reader.finish()?;
            Ok(Err(failure))
        }
        _ => Err(malformed("it begins neither as a verdict nor as a failure does")),
    }
}

/// The verdict that changes nothing.
pub(super) fn empty() -> wit::Verdict {
    wit::Verdict {
        drop: Vec::new(),
        set: Vec::new(),
        ops: Vec::new(),
        routes: Vec::new(),
        emit: Vec::new(),
        failures: Vec::new(),
        extra: Vec::new(),
    }
}

fn verdict(reader: &mut Reader<'_>, rows: u32) -> Read<wit::Verdict> {
    let mut verdict = empty();
    for at in 0..reader.u32()? {
        reader.align(8)?;
        let kind = reader.u32()?;
        let length = reader.u32()?;
        reader.part(length, |body| section(body, kind, rows, &mut verdict)).map_err(|error| {
            match error {
                Unreadable::Malformed(message) => {
                    malformed(format!("section {at} of kind {kind}: {message}"))
                }
                too_large @ Unreadable::TooLarge => too_large,
            }
        })?;
        reader.align(8)?;
    }
    reader.finish()?;
    Ok(verdict)
}

fn section(body: &mut Reader<'_>, kind: u32, rows: u32, verdict: &mut wit::Verdict) -> Read<()> {
    match kind {
        1 => {
            let count = elements(body, 4)?;
            verdict.drop.append(&mut body.u32s(count)?);
        }
        2 => verdict.set.push(patch(body, rows)?),
        3 => op_changes(body, &mut verdict.ops)?,
        4 => verdict.routes.push(route(body)?),
        5 => verdict.emit.push(emitted(body)?),
        6 => {
            while body.remaining() > 0 {
                body.room(1, 12, size_of::<wit::RowFailure>())?;
                let row = body.u32()?;
                verdict.failures.push(wit::RowFailure { row, failure: failure(body)? });
            }
        }
        _ => return Err(malformed("there is no such kind")),
    }
    Ok(())
}

/// How many elements of a size a body is made of.
fn elements(body: &Reader<'_>, size: usize) -> Read<u64> {
    if body.remaining().is_multiple_of(size) {
        return Ok((body.remaining() / size) as u64);
    }
    Err(malformed(format!("{} bytes are no multiple of {size}", body.remaining())))
}

fn failure(reader: &mut Reader<'_>) -> Read<wit::Failure> {
    let permanent = reader.flag()?;
    Ok(wit::Failure { message: reader.text()?, permanent })
}

fn patch(body: &mut Reader<'_>, rows: u32) -> Read<wit::Patch> {
    body.room(1, 8, size_of::<wit::Patch>())?;
    let image = if body.flag()? { wit::Image::After } else { wit::Image::Before };
    let count = body.u32()?;
    let listed = body.u32s(count.into())?;
    body.align(8)?;
    let values = if listed.is_empty() { rows } else { count };
    Ok(wit::Patch { image, column: column(body, values)?, rows: listed })
}

fn op_changes(body: &mut Reader<'_>, ops: &mut Vec<wit::OpChange>) -> Read<()> {
    let count = elements(body, 8)?;
    for _ in 0..body.room(count, 8, size_of::<wit::OpChange>())? {
        let row = body.u32()?;
        let op = body.u32()?;
        let op = u8::try_from(op).map_err(|_| malformed(format!("the operation {op}")))?;
        ops.push(wit::OpChange { row, op });
    }
    Ok(())
}

fn route(body: &mut Reader<'_>) -> Read<wit::Route> {
    body.room(1, 20, size_of::<wit::Route>())?;
    let count = body.u32()?;
    let rows = body.u32s(count.into())?;
    let stream = if body.flag()? { Some(body.text()?) } else { None };
    let partitions = counted(body)?;
    let add_headers = headers(body)?;
    let remove_headers = texts(body)?;
    Ok(wit::Route { rows, stream, partitions, add_headers, remove_headers })
}

fn emitted(body: &mut Reader<'_>) -> Read<wit::Emitted> {
    body.room(1, 28, size_of::<wit::Emitted>())?;
    let output = body.u32()?;
    let count = body.u32()?;
    let parents = body.u32s(count.into())?;
    let ops = body.copied(count.into())?;
    body.align(4)?;
    let streams = texts(body)?;
    let partitions = counted(body)?;
    let mut rows = Vec::new();
    for _ in 0..body.count(8, size_of::<wit::RowHeaders>())? {
        rows.push(wit::RowHeaders { row: body.u32()?, headers: headers(body)? });
    }
    let after = body.u32()?;
    let before = body.u32()?;
    body.align(8)?;
    let after = columns(body, after, count)?;
    let before = columns(body, before, count)?;
    Ok(wit::Emitted { output, parents, ops, before, after, streams, partitions, headers: rows })
}

fn counted(body: &mut Reader<'_>) -> Read<Vec<u32>> {
    let count = body.u32()?;
    body.u32s(count.into())
}

fn texts(body: &mut Reader<'_>) -> Read<Vec<String>> {
    (0..body.count(TEXT, size_of::<String>())?).map(|_| body.text()).collect()
}

fn headers(body: &mut Reader<'_>) -> Read<Vec<wit::Header>> {
    let count = body.count(HEADER, size_of::<wit::Header>())?;
    (0..count).map(|_| Ok(wit::Header { name: body.text()?, value: body.text_bytes()? })).collect()
}

fn columns(body: &mut Reader<'_>, count: u32, values: u32) -> Read<Vec<wit::Column>> {
    let count = body.room(count.into(), COLUMN, size_of::<wit::Column>())?;
    (0..count).map(|_| column(body, values)).collect()
}

pub(super) fn column(reader: &mut Reader<'_>, values: u32) -> Read<wit::Column> {
    let ordinal = reader.u32()?;
    let [kind, has_presence, 0, 0] = reader.array()? else {
        return Err(malformed("a column's reserved bytes are not zero"));
    };
    let count = u64::from(values);
    let presence = match has_presence {
        0 => Vec::new(),
        1 => reader.copied(count)?,
        other => return Err(malformed(format!("{other} where 0 or 1 must be"))),
    };
    reader.align(8)?;
    let data = match kind {
        0 => wit::ColumnData::Boolean(reader.copied(count)?),
        1 => wit::ColumnData::Int64(reader.numbers(count, i64::from_le_bytes)?),
        2 => wit::ColumnData::Uint64(reader.numbers(count, u64::from_le_bytes)?),
        3 => wit::ColumnData::Float64(reader.numbers(count, f64::from_le_bytes)?),
        4 => wit::ColumnData::PackedText(packed(reader, count)?),
        5 => wit::ColumnData::PackedBytes(packed(reader, count)?),
        _ => return Err(malformed(format!("a column of the kind {kind}, which there is not"))),
    };
    reader.align(8)?;
    Ok(wit::Column { ordinal, presence, data })
}

fn packed(reader: &mut Reader<'_>, count: u64) -> Read<wit::Packed> {
    let offsets = reader.u32s(count + 1)?;
    if !offsets.is_sorted() {
        return Err(malformed("packed offsets that go back"));
    }
    let length = offsets.last().copied().unwrap_or(0);
    let data = reader.copied(length.into())?;
    Ok(wit::Packed { offsets, data })
}
