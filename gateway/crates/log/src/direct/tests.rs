//! Segments on the disk that is built on, and on a device that fails as devices do.

use proptest::prelude::*;

use super::*;

/// On the disk that is built on: a folder for temporary files may lie in memory.
fn folder() -> tempfile::TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}

fn open(path: &Path, direct: bool) -> SegmentFile {
    let segment = SegmentFile::open(path, &Spare::default()).unwrap();
    if !direct {
        segment.file.stop_direct().unwrap();
    } else if !rustix::fs::fcntl_getfl(&segment.file).unwrap().contains(OFlags::DIRECT) {
        eprintln!("no direct access in {}: only the page cache is tested", path.display());
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
        segment.write_at(&[one, other], expected.len() as u64).unwrap();
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
    segment.write_at(&[b"gone"], 5004).unwrap();
    segment.set_len(4500).unwrap();
    segment.write_at(&[b"new"], 4500).unwrap();
    let found = std::fs::read(&path).unwrap();
    assert_eq!(found[..4500], expected[..4500]);
    assert_eq!(found[4500..4503], *b"new");
    assert!(found.len() == 8192 && found[4503..].iter().all(|byte| *byte == 0));
}

/// A device that takes whole aligned blocks while it is direct, and fails as it is told.
#[derive(Debug, Default)]
struct Device {
    content: Mutex<Vec<u8>>,
    cached: std::sync::atomic::AtomicBool,
    /// Bytes that fit, if not any number.
    capacity: Option<usize>,
    /// What happens at the next writes and reads; nothing further does.
    faults: Mutex<Vec<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Only so many blocks are written or read.
    Short(usize),
    /// Only so many bytes are.
    Cut(usize),
    /// So many blocks are written, then the disk is full.
    Full(usize),
    Interrupted,
    /// Not to be done directly.
    Refused,
}

impl Device {
    fn fault(&self, bytes: &[u8], offset: u64) -> Fault {
        let cached = self.cached.load(std::sync::atomic::Ordering::SeqCst);
        let aligned = bytes.as_ptr().addr().is_multiple_of(BLOCK_ALIGNMENT)
            && bytes.len().is_multiple_of(BLOCK_ALIGNMENT)
            && offset.is_multiple_of(BLOCK_ALIGNMENT as u64);
        match self.faults.lock().pop().unwrap_or(Fault::None) {
            Fault::Refused if cached => Fault::None,
            _ if !cached && !aligned => Fault::Refused,
            fault => fault,
        }
    }
}

impl Raw for Device {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.fault(bytes, offset);
        let count = match fault {
            Fault::Refused => return Err(Errno::INVAL.into()),
            Fault::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Fault::Short(blocks) => bytes.len().min((blocks + 1) * BLOCK_ALIGNMENT),
            Fault::Cut(count) => bytes.len().min(count),
            Fault::Full(blocks) => bytes.len().min(blocks * BLOCK_ALIGNMENT),
            Fault::None => bytes.len(),
        };
        let room = self.capacity.map_or(usize::MAX, |all| all.saturating_sub(offset as usize));
        if room == 0 {
            return Err(Errno::NOSPC.into());
        }
        let count = count.min(room);
        let (mut content, end) = (self.content.lock(), offset as usize + count);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(&bytes[..count]);
        if let Fault::Full(_) = fault { Err(Errno::NOSPC.into()) } else { Ok(count) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let most = match self.fault(buffer, offset) {
            Fault::Refused => return Err(Errno::INVAL.into()),
            Fault::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Fault::Short(blocks) => (blocks + 1) * BLOCK_ALIGNMENT,
            Fault::Cut(count) => count,
            Fault::Full(_) | Fault::None => usize::MAX,
        };
        let content = self.content.lock();
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len()).min(most);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn stop_direct(&self) -> io::Result<()> {
        self.cached.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content.lock().resize(len as usize, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().len() as u64)
    }
}

#[test]
fn a_device_that_is_full_within_a_block_ends_the_write() {
    for cached in [false, true] {
        let file = Device { capacity: Some(5000), cached: cached.into(), ..Device::default() };
        let segment = SegmentFile { file, append: Mutex::default(), spare: Spare::default() };
        let error = segment.write_at(&[&[1; 9000]], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        segment.set_len(0).unwrap();
        segment.write_at(&[&[1; 10]], 0).unwrap();
    }
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        4 => Just(Fault::None),
        2 => (0usize..4).prop_map(Fault::Short),
        1 => (1usize..9000).prop_map(Fault::Cut),
        2 => (0usize..4).prop_map(Fault::Full),
        1 => Just(Fault::Interrupted),
        1 => Just(Fault::Refused),
    ];
    proptest::collection::vec(fault, 0..6)
}

proptest! {
    #[test]
    fn what_was_appended_stays_whatever_the_device_does(
        pieces in proptest::collection::vec((prop_oneof![1usize..9000, Just(APPEND_BYTES + 3)], faults()), 1..20),
    ) {
        let segment = SegmentFile { file: Device::default(), append: Mutex::default(), spare: Spare::default() };
        let mut expected: Vec<u8> = Vec::new();
        for (number, (length, faults)) in pieces.into_iter().enumerate() {
            let piece: Vec<u8> = (0..length).map(|at| (at * 5 + number) as u8 | 1).collect();
            *segment.file.faults.lock() = faults;
            let end = expected.len() as u64;
            // As the log's writer does: cut back what a full disk left, and try again.
            while let Err(error) = segment.write_at(&[&piece], end) {
                prop_assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                prop_assert!(segment.file.content.lock()[..end as usize] == expected[..]);
                segment.set_len(end).unwrap();
            }
            expected.extend_from_slice(&piece);
            let content = segment.file.content.lock().clone();
            prop_assert!(content[..expected.len()] == expected[..], "after piece {}", number);
            prop_assert!(content[expected.len()..].iter().all(|byte| *byte == 0));
            let from = expected.len() / 3;
            let mut buffer = vec![0; expected.len() - from];
            prop_assert_eq!(segment.read_at(&mut buffer, from as u64).unwrap(), buffer.len());
            prop_assert!(buffer == expected[from..], "read");
            prop_assert!(segment.read_exact(from as u64, buffer.len()).unwrap() == buffer, "exactly");
            prop_assert!(segment.read_exact(from as u64, buffer.len() + (1 << 13)).is_err());
        }
    }
}
