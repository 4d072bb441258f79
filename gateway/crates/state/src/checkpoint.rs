//! The states of all plugins in a file, as of a place in the log.
//!
//! The file is written aside, synced, renamed and the folder synced, so that a crash leaves the old
//! one or the new one, whole. It says which log it belongs to and up to where it has taken that in:
//! what follows there is applied to it at a start, and what is before may be deleted. A checksum
//! covers every byte.
//!
//! Layout, little-endian: `OFTKSTAT`, version u16, flags u16 (0), log id (16 bytes), segment u64,
//! offset u64, then deltas (length u32, `StateDelta`), a length of 0, CRC-32C of all before it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use offtake_failpoint::crash_point;
use offtake_proto::v1;
use prost::Message;

use crate::States;

const MAGIC: &[u8; 8] = b"OFTKSTAT";
const VERSION: u16 = 1;
/// Longest delta that is read: twice what is written, and one entry's most.
const DELTA_BYTES: u32 = 8 << 20;

/// Up to where the log has been taken in: before a byte of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Ordinal of the segment, from 0 over the log's whole life.
    pub segment: u64,
    /// Byte in it.
    pub offset: u64,
}

/// The states as of a place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's id.
    pub log_id: [u8; 16],
    /// Everything before it is in the states.
    pub place: Place,
    /// The states.
    pub states: States,
}

/// Where the checkpoint of a pipeline lies.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    path: PathBuf,
}

/// A checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk failed.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A later version wrote it.
    #[error("{file} has version {version}, and this release reads {VERSION}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u16,
    },
}

impl CheckpointError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            CheckpointError::Io { .. } => "STATE_IO",
            CheckpointError::Damaged { .. } => "STATE_DAMAGED",
            CheckpointError::Version { .. } => "STATE_VERSION",
        }
    }

    /// What an operator can do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            CheckpointError::Io { .. } => {
                "see the message; check the disk, the path and its rights"
            }
            CheckpointError::Damaged { .. } => {
                "restore the log's folder as a whole; else start over with `offtake resync`"
            }
            CheckpointError::Version { .. } => "run the release that wrote it, or a later one",
        }
    }
}

impl CheckpointFile {
    /// The file's name in the log's folder.
    pub const NAME: &'static str = "plugins.state";

    /// The checkpoint of the log in a folder.
    pub fn of_log(folder: &Path) -> CheckpointFile {
        CheckpointFile { path: folder.join(CheckpointFile::NAME) }
    }

    /// Reads it; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not whole.
    pub fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("open")(error)),
        };
        let mut input = Summed { inner: BufReader::with_capacity(1 << 20, file), crc: 0 };
        match read(&mut input) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(Unread::Damaged(what)) => Err(CheckpointError::Damaged { file: self.name(), what }),
            Err(Unread::Version(version)) => {
                Err(CheckpointError::Version { file: self.name(), version })
            }
            Err(Unread::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(CheckpointError::Damaged { file: self.name(), what: "it is cut" })
            }
            Err(Unread::Io(error)) => Err(self.io("read")(error)),
        }
    }

    /// Replaces it, durably.
    ///
    /// # Errors
    /// It cannot be written. The one before is still there then, whole.
    pub fn store(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let aside = self.path.with_extension("state.tmp");
        crash_point("state.before_write");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside);
        let file = file.map_err(self.io("make"))?;
        let mut out = Summed { inner: BufWriter::with_capacity(1 << 20, file), crc: 0 };
        write(&mut out, checkpoint).map_err(self.io("write"))?;
        let file = out.inner.into_inner().map_err(|error| self.io("write")(error.into_error()))?;
        file.sync_all().map_err(self.io("sync"))?;
        crash_point("state.after_write");
        std::fs::rename(&aside, &self.path).map_err(self.io("rename"))?;
        crash_point("state.after_rename");
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(self.io("sync the folder of"))?;
        crash_point("state.after_sync");
        Ok(())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, action: &'static str) -> impl Fn(io::Error) -> CheckpointError {
        let file = self.name();
        move |source| CheckpointError::Io { action, file: file.clone(), source }
    }
}

/// Why a file was not read.
enum Unread {
    Io(io::Error),
    Damaged(&'static str),
    Version(u16),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        Unread::Io(error)
    }
}

/// Bytes with their checksum so far.
struct Summed<T> {
    inner: T,
    crc: u32,
}

impl<T: Read> Summed<T> {
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.take(&mut bytes)?;
        Ok(bytes)
    }
}

impl<T: Write> Summed<T> {
    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.inner.write_all(bytes)
    }
}

fn write(out: &mut Summed<impl Write>, checkpoint: &Checkpoint) -> io::Result<()> {
    out.give(MAGIC)?;
    out.give(&VERSION.to_le_bytes())?;
    out.give(&0_u16.to_le_bytes())?;
    out.give(&checkpoint.log_id)?;
    out.give(&checkpoint.place.segment.to_le_bytes())?;
    out.give(&checkpoint.place.offset.to_le_bytes())?;
    for delta in checkpoint.states.deltas() {
        let bytes = delta.encode_to_vec();
        out.give(&(bytes.len() as u32).to_le_bytes())?;
        out.give(&bytes)?;
    }
    out.give(&0_u32.to_le_bytes())?;
    let crc = out.crc;
    out.give(&crc.to_le_bytes())
}

fn read(input: &mut Summed<impl Read>) -> Result<Checkpoint, Unread> {
    if input.array::<8>()? != *MAGIC {
        return Err(Unread::Damaged("this is no checkpoint of plugins' state"));
    }
    let version = u16::from_le_bytes(input.array()?);
    if version != VERSION {
        return Err(Unread::Version(version));
    }
    if input.array::<2>()? != [0, 0] {
        return Err(Unread::Damaged("its flags are not known"));
    }
    let log_id = input.array()?;
    let segment = u64::from_le_bytes(input.array()?);
    let offset = u64::from_le_bytes(input.array()?);
    let mut states = States::default();
    let mut bytes = Vec::new();
    loop {
        let length = u32::from_le_bytes(input.array()?);
        match length {
            0 => break,
            1..=DELTA_BYTES => bytes.resize(length as usize, 0),
            _ => return Err(Unread::Damaged("a part is longer than parts are")),
        }
        input.take(&mut bytes)?;
        let delta = v1::StateDelta::decode(&*bytes)
            .map_err(|_| Unread::Damaged("a part of it cannot be read"))?;
        states.apply(&delta);
    }
    let crc = input.crc;
    if u32::from_le_bytes(input.array()?) != crc {
        return Err(Unread::Damaged("its checksum does not match"));
    }
    if input.inner.read(&mut [0])? != 0 {
        return Err(Unread::Damaged("it is longer than it says"));
    }
    Ok(Checkpoint { log_id, place: Place { segment, offset }, states })
}
