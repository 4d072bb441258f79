//! A sink's cursor in a file: how far it has published, in the one format of
//! `offtake.v1.SinkCursor`.
//!
//! A crash leaves the old cursor or the new one. The frame is that of `FORMAT.md`, "Cursor files".

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use offtake_failpoint::crash_point;
use offtake_proto::v1;
use prost::Message;

use crate::disk::{Disk, RealDisk, replace_file};
use crate::format::{Fields, VERSION, Wrong, check_version_and_flags, seal, sealed};
use crate::{Damage, LogError};

const MAGIC: &[u8; 8] = b"OFTKCUR1";

/// Largest file that is read; a cursor has a few hundred bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A sink's cursor file.
#[derive(Debug)]
pub struct CursorFile {
    disk: Arc<dyn Disk>,
    name: String,
}

impl CursorFile {
    /// A cursor file at a path whose folder exists. Nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> CursorFile {
        let path = path.into();
        let dir = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        CursorFile { disk: Arc::new(RealDisk::existing(dir)), name }
    }

    /// Reads the cursor at a path; `None` when there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a later version.
    pub fn load(path: impl Into<PathBuf>) -> Result<Option<v1::SinkCursor>, LogError> {
        CursorFile::new(path).read()
    }

    #[cfg(test)]
    pub(crate) fn on(disk: Arc<dyn Disk>, name: &str) -> CursorFile {
        CursorFile { disk, name: name.to_owned() }
    }

    /// Reads the cursor; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`CursorFile::load`].
    pub fn read(&self) -> Result<Option<v1::SinkCursor>, LogError> {
        let io = |error| LogError::io("read", self.name.as_str())(error);
        let file = match self.disk.open(&self.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let damaged = |what| Damage { file: self.name.clone(), offset: 0, what };
        let len = file.len().map_err(io)?;
        if len > MAX_BYTES {
            return Err(damaged("the cursor is too long").into());
        }
        let mut bytes = vec![0; len as usize];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        bytes.truncate(read);
        decode(&bytes).map(Some).map_err(|Wrong(what)| damaged(what).into())
    }

    /// Replaces the cursor, durably.
    ///
    /// # Errors
    /// The file cannot be written. The old cursor is still there then.
    pub fn store(&self, cursor: &v1::SinkCursor) -> Result<(), LogError> {
        let bytes = encode(cursor);
        crash_point("cursor.before_write");
        replace_file(self.disk.as_ref(), &self.name, &bytes)
            .map_err(LogError::io("write", self.name.as_str()))?;
        crash_point("cursor.after_write");
        Ok(())
    }
}

fn encode(cursor: &v1::SinkCursor) -> Vec<u8> {
    let payload = cursor.encode_to_vec();
    let mut out = Vec::with_capacity(payload.len() + 20);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&payload);
    seal(&mut out, 0);
    out
}

fn decode(bytes: &[u8]) -> Result<v1::SinkCursor, Wrong> {
    let mut fields = Fields(sealed(bytes)?);
    if fields.array::<8>()? != *MAGIC {
        return Err(Wrong("this is no cursor"));
    }
    check_version_and_flags(fields.u16()?, fields.u16()?)?;
    let length = fields.u32()? as usize;
    let payload = fields.take(length)?;
    if !fields.0.is_empty() {
        return Err(Wrong("the cursor is longer than it says"));
    }
    v1::SinkCursor::decode(payload).map_err(|_| Wrong("the cursor cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor() -> v1::SinkCursor {
        v1::SinkCursor {
            format: 1,
            pipeline: "shop".to_owned(),
            sink: "kafka".to_owned(),
            log_id: vec![7; 16].into(),
            sequence: 300,
            generation: 2,
            ..v1::SinkCursor::default()
        }
    }

    #[test]
    fn a_cursor_is_read_back_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kafka.cursor");
        assert_eq!(CursorFile::load(&path).unwrap(), None);
        let file = CursorFile::new(&path);
        file.store(&cursor()).unwrap();
        let next = v1::SinkCursor { sequence: 301, ..cursor() };
        file.store(&next).unwrap();
        assert_eq!(CursorFile::load(&path).unwrap(), Some(next));
    }

    #[test]
    fn a_cursor_of_the_first_version_is_still_read() {
        let golden = include_str!("../testdata/cursor.hex");
        assert_eq!(decode(&crate::tests::from_hex(golden)).unwrap(), cursor());
        assert_eq!(encode(&cursor()), crate::tests::from_hex(golden));
    }

    proptest! {
        #[test]
        fn a_damaged_cursor_is_refused(at in 0usize..60, bit in 0u8..8, cut in 0usize..60) {
            let whole = encode(&cursor());
            let mut flipped = whole.clone();
            let at = at % flipped.len();
            flipped[at] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&whole[..cut % whole.len()]).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
