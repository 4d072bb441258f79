//! A segment's file, read and written past the page cache.
//!
//! The log is written once and mostly read from its own cache, so the kernel's copy of it is work
//! for nothing, several times what the log's own threads do otherwise, and memory that nobody
//! bounds. Here whole blocks go to and from aligned buffers with `O_DIRECT`. The last block of an
//! append is filled up with zeros and written again with what follows: its beginning never changes,
//! so a torn write takes nothing that was durable. Where the file system has no direct access, the
//! same calls go through the page cache.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::disk::DiskFile;
use crate::format::BLOCK_ALIGNMENT;

/// Bytes written at once.
const APPEND_BYTES: usize = 1 << 20;

/// Size of a buffer that is kept for the next read: what readers ask for at once, with the rest of
/// the blocks that it begins and ends in.
const SPARE_BYTES: usize = (256 << 10) + 2 * BLOCK_ALIGNMENT;

/// A buffer between two reads, one for all segments of a log. A fresh one would be handed out by
/// the system page by page, each of them cleared: a reader that is far behind would spend as much
/// on that as on reading.
pub(crate) type Spare = Arc<Mutex<Option<AlignedBuffer>>>;

/// What is asked of the system: where it is direct, whole blocks from aligned memory only.
pub(crate) trait Raw: Debug + Send + Sync {
    /// Writes some of the bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some of the bytes; 0 at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Goes through the page cache from here on.
    fn stop_direct(&self) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct SegmentFile<F = File> {
    file: F,
    append: Mutex<Append>,
    spare: Spare,
}

/// What is written at the file's end.
#[derive(Debug, Default)]
struct Append {
    /// Taken with the first write.
    buffer: AlignedBuffer,
    /// Offset in the file of the buffer's first byte; a multiple of the alignment.
    offset: u64,
    /// Bytes in the buffer: after a write, what the last, incomplete block holds. `None`: not
    /// known.
    filled: Option<usize>,
}

impl SegmentFile {
    /// Opens an existing file.
    pub(crate) fn open(path: &Path, spare: &Spare) -> io::Result<SegmentFile> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.clone().custom_flags(flags).open(path) {
            Err(error) if is_refused(&error) => options.open(path)?,
            opened => opened?,
        };
        Ok(SegmentFile { file, append: Mutex::default(), spare: Arc::clone(spare) })
    }
}

impl<F: Raw> SegmentFile<F> {
    /// Repeats what the file system refuses to do directly, through the page cache.
    fn or_cached<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if is_refused(&error) => {
                self.file.stop_direct()?;
                act()
            }
            done => done,
        }
    }

    /// Reads the blocks that hold these bytes, and gives as many of the bytes as there are.
    fn read_blocks<T>(
        &self,
        offset: u64,
        len: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<T> {
        let before = (offset % BLOCK_ALIGNMENT as u64) as usize;
        let end = (before + len).next_multiple_of(BLOCK_ALIGNMENT);
        let spare = self.spare.lock().take();
        let mut blocks = spare
            .filter(|spare| spare.len >= end)
            .unwrap_or_else(|| AlignedBuffer::of(end.max(SPARE_BYTES)));
        let start = offset - before as u64;
        let read = self.or_cached(|| fill(&self.file, blocks.part(0, end), start))?;
        let found = blocks.part(before.min(read), (before + len).min(read));
        let taken = take(found);
        if blocks.len == SPARE_BYTES {
            *self.spare.lock() = Some(blocks);
        }
        Ok(taken)
    }
}

impl<F: Raw> DiskFile for SegmentFile<F> {
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let mut append = self.append.lock();
        self.or_cached(|| append.write(self, parts, offset))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_blocks(offset, buffer.len(), |found| {
            let (taken, _) = buffer.split_at_mut(found.len());
            taken.copy_from_slice(found);
            found.len()
        })
    }

    fn show(&self, offset: u64, len: usize, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.read_blocks(offset, len, |found| {
            if found.len() < len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            look(found);
            Ok(())
        })?
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.append.lock().filled = None;
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Append {
    /// Writes all parts from an offset on. After an error any part may have been written.
    fn write(
        &mut self,
        segment: &SegmentFile<impl Raw>,
        parts: &[&[u8]],
        offset: u64,
    ) -> io::Result<()> {
        if self.buffer.all().is_empty() {
            self.buffer = AlignedBuffer::of(APPEND_BYTES);
        }
        let known = self.filled.take().filter(|filled| self.offset + *filled as u64 == offset);
        let mut filled = match known {
            Some(filled) => filled,
            None => {
                let filled = (offset % BLOCK_ALIGNMENT as u64) as usize;
                self.offset = offset - filled as u64;
                let before = self.buffer.part(0, filled);
                if segment.read_at(before, offset - filled as u64)? < filled {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                filled
            }
        };
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let (taken, after) = rest.split_at(rest.len().min(APPEND_BYTES - filled));
                self.buffer.part(filled, filled + taken.len()).copy_from_slice(taken);
                filled += taken.len();
                rest = after;
                if filled == APPEND_BYTES {
                    filled = self.put(&segment.file, filled)?;
                }
            }
        }
        self.filled = Some(self.put(&segment.file, filled)?);
        Ok(())
    }

    /// Writes what the buffer holds and keeps its incomplete block; gives that one's bytes.
    fn put(&mut self, file: &impl Raw, filled: usize) -> io::Result<usize> {
        let end = filled.next_multiple_of(BLOCK_ALIGNMENT);
        self.buffer.part(filled, end).fill(0);
        write_all(file, self.buffer.part(0, end), self.offset)?;
        let whole = filled - filled % BLOCK_ALIGNMENT;
        self.buffer.part(0, filled).copy_within(whole.., 0);
        self.offset += whole as u64;
        Ok(filled - whole)
    }
}

/// Memory that begins at a multiple of the alignment.
#[derive(Debug, Default)]
pub(crate) struct AlignedBuffer {
    /// One block more than is used.
    memory: Box<[u8]>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    fn of(len: usize) -> AlignedBuffer {
        let memory = vec![0; len + BLOCK_ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(BLOCK_ALIGNMENT).min(BLOCK_ALIGNMENT);
        AlignedBuffer { memory, start, len }
    }

    fn all(&mut self) -> &mut [u8] {
        self.part(0, self.len)
    }

    fn part(&mut self, from: usize, to: usize) -> &mut [u8] {
        self.memory.get_mut(self.start + from..self.start + to).unwrap_or_default()
    }
}

/// Writes everything.
fn write_all(file: &impl Raw, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            // Where a direct write ended within a block, the next one is refused, and all of it is
            // written again through the page cache.
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; gives the bytes read.
fn fill(file: &impl Raw, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(0) => break,
            Ok(count) => {
                read += count;
                // A direct read goes on at a block only; in the middle of one the file has ended.
                if count % BLOCK_ALIGNMENT != 0 && offset + read as u64 >= file.len()? {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl Raw for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn stop_direct(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(self)?;
        Ok(rustix::fs::fcntl_setfl(self, flags - OFlags::DIRECT)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Whether it cannot be done directly there.
fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
        || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests;
