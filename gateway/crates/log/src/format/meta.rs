//! The `meta` file: which log this folder holds.

use super::{Fields, VERSION, Wrong, check_version_and_flags, seal, sealed};

const MAGIC: &[u8; 8] = b"OFTKMETA";

/// Length of the file.
pub(crate) const META_BYTES: usize = 44;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) log_id: [u8; 16],
    pub(crate) created_unix_ns: i64,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.created_unix_ns.to_le_bytes());
        seal(&mut out, 0);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Meta, Wrong> {
        if bytes.len() != META_BYTES || !bytes.starts_with(MAGIC) {
            return Err(Wrong("this is no meta file of a log"));
        }
        let mut fields = Fields(sealed(bytes)?);
        fields.take(MAGIC.len())?;
        check_version_and_flags(fields.u16()?, fields.u16()?)?;
        fields.u32()?;
        Ok(Meta { log_id: fields.array()?, created_unix_ns: fields.i64()? })
    }
}
