//! The bytes on disk, as `FORMAT.md` specifies them: written and read, no file is touched here.
//!
//! All integers are little-endian. Reading is hostile: every length is checked against what is
//! there before it is used, and what does not fit is [`Wrong`], never a panic.

mod group;
mod index;
mod meta;
mod record;
mod segment;

pub(crate) use group::{
    DirectoryEntry, ENTRY_BYTES, FLAG_CHECKPOINT, FLAG_PIECE, GROUP_HEADER_BYTES, GROUP_MAGIC,
    GroupHeader, check_runs, read_directory,
};
pub(crate) use index::{SegmentIndex, SparseEntry};
pub(crate) use meta::{META_BYTES, Meta};
pub(crate) use record::{CRITICAL, Record, put_record, records};
pub(crate) use segment::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// The format that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 1;

/// Header flags above this bit change the meaning of what follows: an unknown one cannot be read.
pub(crate) const FIRST_INCOMPATIBLE_FLAG: u32 = 8;

/// A segment is written in blocks of this size: the last is filled up with zeros. No device's sector
/// is larger.
pub(crate) const BLOCK_ALIGNMENT: usize = 4096;

/// Why bytes are not what the log wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) &'static str);

/// Reads integers one after the other.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Wrong("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Wrong("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Wrong> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Wrong> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Wrong> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Wrong> {
        Ok(i64::from_le_bytes(self.array()?))
    }
}

/// Checks the CRC-32C in the last four bytes over everything before it and gives what it covers.
pub(crate) fn sealed(bytes: &[u8]) -> Result<&[u8], Wrong> {
    let (covered, sum) = bytes.split_last_chunk::<4>().ok_or(Wrong("it ends too early"))?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*sum) {
        return Err(Wrong("a checksum does not match"));
    }
    Ok(covered)
}

/// Appends the CRC-32C of everything from `start` on.
pub(crate) fn seal(out: &mut Vec<u8>, start: usize) {
    let sum = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(crate) fn check_version_and_flags(version: u16, flags: u16) -> Result<(), Wrong> {
    if version == 0 || version > VERSION {
        return Err(Wrong("its format version is not known"));
    }
    if flags >> FIRST_INCOMPATIBLE_FLAG != 0 {
        return Err(Wrong("it has a flag of a later version"));
    }
    Ok(())
}
