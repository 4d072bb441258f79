//! Lays a batch out as a frame, in a buffer that is kept from call to call.

use crate::bindings as wit;

const BATCH: &[u8; 4] = b"OTB1";
const POSITIONS: u32 = 1;
const COMMIT_TIMES: u32 = 2;
const TRANSACTIONS: u32 = 4;
const HEADERS: u32 = 8;

/// A part is larger than the frame's 32-bit lengths can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Lays out a gathered batch.
pub(super) fn write(batch: &wit::Batch, frame: &mut Vec<u8>) -> Result<(), TooLong> {
    frame.clear();
    let meta = batch.meta.as_ref();
    frame.extend_from_slice(BATCH);
    word(frame, batch.schema);
    word(frame, batch.rows);
    length(frame, batch.after.len())?;
    length(frame, batch.before.len())?;
    word(frame, meta.map_or(0, contents));
    frame.extend_from_slice(&batch.ops);
    pad(frame, 8);
    for column in batch.after.iter().chain(&batch.before) {
        write_column(column, frame)?;
    }
    meta.map_or(Ok(()), |meta| write_metadata(meta, frame))?;
    u32::try_from(frame.len()).map(|_| ()).map_err(|_| TooLong)
}

fn write_column(column: &wit::Column, frame: &mut Vec<u8>) -> Result<(), TooLong> {
    use wit::ColumnData as Data;
    let kind = match &column.data {
        Data::Boolean(_) => 0,
        Data::Int64(_) => 1,
        Data::Uint64(_) => 2,
        Data::Float64(_) => 3,
        Data::Text(_) | Data::PackedText(_) => 4,
        Data::Bytes(_) | Data::PackedBytes(_) => 5,
    };
    word(frame, column.ordinal);
    frame.extend_from_slice(&[kind, u8::from(!column.presence.is_empty()), 0, 0]);
    frame.extend_from_slice(&column.presence);
    pad(frame, 8);
    match &column.data {
        Data::Boolean(values) => frame.extend_from_slice(values),
        Data::Int64(values) => numbers(frame, values, |value| value.to_le_bytes()),
        Data::Uint64(values) => numbers(frame, values, |value| value.to_le_bytes()),
        Data::Float64(values) => numbers(frame, values, |value| value.to_le_bytes()),
        Data::PackedText(values) | Data::PackedBytes(values) => write_packed(values, frame),
        Data::Text(values) => write_values(values, frame)?,
        Data::Bytes(values) => write_values(values, frame)?,
    }
    pad(frame, 8);
    Ok(())
}

/// Which metadata there is. A batch has at least one row, so a list that was asked for has elements;
/// headers are listed only of rows that have some.
fn contents(meta: &wit::Metadata) -> u32 {
    let bit = |there: bool, bit: u32| if there { bit } else { 0 };
    bit(!meta.positions.offsets.is_empty(), POSITIONS)
        | bit(!meta.commit_times.is_empty(), COMMIT_TIMES)
        | bit(!meta.transactions.offsets.is_empty(), TRANSACTIONS)
        | bit(!meta.headers.is_empty(), HEADERS)
}

fn write_metadata(meta: &wit::Metadata, frame: &mut Vec<u8>) -> Result<(), TooLong> {
    let contents = contents(meta);
    if contents & POSITIONS != 0 {
        write_packed(&meta.positions, frame);
        pad(frame, 8);
        frame.extend_from_slice(&meta.snapshot);
        pad(frame, 8);
    }
    numbers(frame, &meta.commit_times, |time| time.to_le_bytes());
    if contents & TRANSACTIONS != 0 {
        write_packed(&meta.transactions, frame);
        pad(frame, 8);
        numbers(frame, &meta.transaction_order, |order| order.to_le_bytes());
    }
    if contents & HEADERS != 0 {
        length(frame, meta.headers.len())?;
        for row in &meta.headers {
            word(frame, row.row);
            length(frame, row.headers.len())?;
            for header in &row.headers {
                text(frame, header.name.as_bytes())?;
                text(frame, &header.value)?;
            }
        }
        pad(frame, 8);
    }
    Ok(())
}

fn write_packed(packed: &wit::Packed, frame: &mut Vec<u8>) {
    numbers(frame, &packed.offsets, |offset| offset.to_le_bytes());
    frame.extend_from_slice(&packed.data);
}

/// Values that come one by one.
fn write_values(values: &[impl AsRef<[u8]>], frame: &mut Vec<u8>) -> Result<(), TooLong> {
    let mut end = 0_usize;
    word(frame, 0);
    for value in values {
        end += value.as_ref().len();
        length(frame, end)?;
    }
    values.iter().for_each(|value| frame.extend_from_slice(value.as_ref()));
    Ok(())
}

fn numbers<T: Copy, const N: usize>(
    frame: &mut Vec<u8>,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) {
    let begin = frame.len();
    frame.resize(begin + values.len() * N, 0);
    for (place, &value) in frame[begin..].as_chunks_mut().0.iter_mut().zip(values) {
        *place = bytes(value);
    }
}

fn text(frame: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TooLong> {
    length(frame, bytes.len())?;
    frame.extend_from_slice(bytes);
    pad(frame, 4);
    Ok(())
}

fn length(frame: &mut Vec<u8>, length: usize) -> Result<(), TooLong> {
    word(frame, u32::try_from(length).map_err(|_| TooLong)?);
    Ok(())
}

fn word(frame: &mut Vec<u8>, value: u32) {
    frame.extend_from_slice(&value.to_le_bytes());
}

fn pad(frame: &mut Vec<u8>, alignment: usize) {
    frame.resize(frame.len().next_multiple_of(alignment), 0);
}
