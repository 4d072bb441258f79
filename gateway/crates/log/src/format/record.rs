//! Control records: the frame around a payload, not its meaning.

use super::{Fields, Wrong};

/// Flag: who does not know the kind must not go on.
pub(crate) const CRITICAL: u16 = 1;

/// One record, its payload not yet read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) payload: &'a [u8],
}

/// Appends a record whose payload `write` appends.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    write: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    let start = out.len();
    write(out);
    // The group's own limit is far below 4 GiB and is checked when it is submitted.
    let length = (out.len() - start) as u32;
    if let Some(slot) = out.get_mut(start - 4..start) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
}

/// Reads exactly `count` records that fill the bytes exactly.
pub(crate) fn records(bytes: &[u8], count: u32) -> impl Iterator<Item = Result<Record<'_>, Wrong>> {
    let mut fields = Fields(bytes);
    let mut left = count;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        if left == 0 {
            ended = true;
            let rest = Wrong("control records are longer than they say");
            return (!fields.0.is_empty()).then_some(Err(rest));
        }
        left -= 1;
        let record = read(&mut fields);
        ended = record.is_err();
        Some(record)
    })
}

fn read<'a>(fields: &mut Fields<'a>) -> Result<Record<'a>, Wrong> {
    let (kind, flags, length) = (fields.u16()?, fields.u16()?, fields.u32()?);
    let payload = fields.take(length as usize)?;
    Ok(Record { kind, flags, payload })
}
