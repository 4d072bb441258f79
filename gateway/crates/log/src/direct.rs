//! A segment's file, read and written past the page cache.
//!
//! The log is written once and mostly read from its own cache, so the kernel's copy of it is work
//! for nothing, several times what the log's own threads do otherwise, and memory that nobody
//! bounds. Here whole blocks go to and from aligned buffers with `O_DIRECT`. The last block of an
//! append is filled up with zeros and written again with what follows: its beginning never changes,
//! so a torn write takes nothing that was durable. Where the file system has no direct access, the
//! same calls go through the page cache.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::disk::DiskFile;
use crate::format::BLOCK_ALIGNMENT;

/// Bytes written at once.
const APPEND_BYTES: usize = 1 << 20;

/// An open segment.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    file: File,
    append: Mutex<Append>,
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
    pub(crate) fn open(path: &Path) -> io::Result<SegmentFile> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.clone().custom_flags(flags).open(path) {
            Err(error) if is_refused(&error) => options.open(path)?,
            opened => opened?,
        };
        Ok(SegmentFile { file, append: Mutex::default() })
    }

    /// Repeats what the file system refuses to do directly, through the page cache.
    fn or_cached<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if is_refused(&error) => {
                let flags = rustix::fs::fcntl_getfl(&self.file)?;
                if !flags.contains(OFlags::DIRECT) {
                    return Err(error);
                }
                rustix::fs::fcntl_setfl(&self.file, flags - OFlags::DIRECT)?;
                act()
            }
            done => done,
        }
    }
}

impl DiskFile for SegmentFile {
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut append = self.append.lock();
        self.or_cached(|| append.write(self, slices, offset))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let before = (offset % BLOCK_ALIGNMENT as u64) as usize;
        let mut aligned =
            AlignedBuffer::of((before + buffer.len()).next_multiple_of(BLOCK_ALIGNMENT));
        let read = self.or_cached(|| fill(&self.file, aligned.all(), offset - before as u64))?;
        let found = aligned.all().get(before..read).unwrap_or_default();
        let count = found.len().min(buffer.len());
        let (taken, _) = buffer.split_at_mut(count);
        taken.copy_from_slice(found.split_at(count).0);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.append.lock().filled = None;
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Append {
    /// Writes all slices from an offset on. After an error any part may have been written.
    fn write(
        &mut self,
        segment: &SegmentFile,
        slices: &[IoSlice<'_>],
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
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(APPEND_BYTES - filled));
                self.buffer.part(filled, filled + part.len()).copy_from_slice(part);
                filled += part.len();
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
    fn put(&mut self, file: &File, filled: usize) -> io::Result<usize> {
        let end = filled.next_multiple_of(BLOCK_ALIGNMENT);
        self.buffer.part(filled, end).fill(0);
        file.write_all_at(self.buffer.part(0, end), self.offset)?;
        let whole = filled - filled % BLOCK_ALIGNMENT;
        self.buffer.part(0, filled).copy_within(whole.., 0);
        self.offset += whole as u64;
        Ok(filled - whole)
    }
}

/// Memory that begins at a multiple of the alignment.
#[derive(Debug, Default)]
struct AlignedBuffer {
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

/// Reads until the buffer is full or the file ends; gives the bytes read.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(count) => {
                read += count;
                // A file ends in the middle of a block or before one.
                if count == 0 || count % BLOCK_ALIGNMENT != 0 {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Whether it cannot be done directly there.
fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
        || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the disk that is built on: a folder for temporary files may lie in memory.
    fn folder() -> tempfile::TempDir {
        let program = std::env::current_exe().unwrap();
        tempfile::tempdir_in(program.parent().unwrap()).unwrap()
    }

    fn open(path: &Path, direct: bool) -> SegmentFile {
        let segment = SegmentFile::open(path).unwrap();
        let flags = rustix::fs::fcntl_getfl(&segment.file).unwrap();
        assert!(flags.contains(OFlags::DIRECT), "the disk that is built on has direct access");
        if !direct {
            rustix::fs::fcntl_setfl(&segment.file, flags - OFlags::DIRECT).unwrap();
        }
        segment
    }

    /// Appends pieces of these lengths, opening anew before each if asked, and gives what is to be
    /// there.
    fn append(path: &Path, lengths: &[usize], direct: bool, anew: bool) -> Vec<u8> {
        std::fs::write(path, b"head").unwrap();
        let mut expected = b"head".to_vec();
        let mut segment = open(path, direct);
        for (number, length) in lengths.iter().enumerate() {
            if anew {
                segment = open(path, direct);
            }
            let piece: Vec<u8> = (0..*length).map(|at| (at * 7 + number) as u8 | 1).collect();
            let (one, other) = piece.split_at(length / 3);
            let mut slices = [IoSlice::new(one), IoSlice::new(other)];
            segment.write_at(&mut slices, expected.len() as u64).unwrap();
            expected.extend_from_slice(&piece);
        }
        expected
    }

    #[test]
    fn pieces_of_any_length_follow_each_other_and_the_rest_of_the_block_is_zero() {
        let folder = folder();
        let path = folder.path().join("file");
        let lengths = [1, 4091, 4092, 4096, 0, 3, 8192, 100_000, APPEND_BYTES * 2 + 5, 7, 4096];
        for (direct, anew) in [(true, false), (true, true), (false, false), (false, true)] {
            let expected = append(&path, &lengths, direct, anew);
            let found = std::fs::read(&path).unwrap();
            assert_eq!(found.len(), expected.len().next_multiple_of(BLOCK_ALIGNMENT));
            let (content, filling) = found.split_at(expected.len());
            assert!(content == expected, "the content differs");
            assert!(filling.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn any_part_is_read_up_to_the_end_of_the_file() {
        let folder = folder();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..10_000).map(|at| (at / 3) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        for direct in [true, false] {
            let segment = open(&path, direct);
            for offset in [0, 1, 4095, 4096, 8191, 9999, 10_000, 20_000] {
                for len in [0, 1, 4096, 5000, 9999, 30_000] {
                    let mut buffer = vec![0; len];
                    let read = segment.read_at(&mut buffer, offset as u64).unwrap();
                    let expected = content.get(offset..).unwrap_or_default();
                    let expected = &expected[..len.min(expected.len())];
                    assert_eq!(buffer[..read], *expected, "{len} at {offset}");
                }
            }
        }
    }

    #[test]
    fn what_was_cut_back_is_written_on() {
        let folder = folder();
        let path = folder.path().join("file");
        let expected = append(&path, &[5000], true, false);
        let segment = open(&path, true);
        segment.write_at(&mut [IoSlice::new(b"gone")], 5004).unwrap();
        segment.set_len(4500).unwrap();
        segment.write_at(&mut [IoSlice::new(b"new")], 4500).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found[..4500], expected[..4500]);
        assert_eq!(found[4500..4503], *b"new");
        assert!(found.len() == 8192 && found[4503..].iter().all(|byte| *byte == 0));
    }
}
