//! The log's folder as a small interface, and the real one.
//!
//! Everything that must hold over a crash goes through here, so that the tests can put a disk in
//! its place that forgets what was not synced. Names are plain file names in one folder.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::direct::{SegmentFile, Spare};

/// Kept as long as the folder is to stay locked.
pub(crate) type Lock = Box<dyn Any + Send + Sync>;

/// One folder.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Opens an existing file to read and write.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing segment, which is large and only grows: what goes through here is best not
    /// kept in memory by the system. Less than a block of zeros may stand behind what was written.
    fn open_segment(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file (0600), or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames, replacing the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Takes the folder for this process; `None` when another holds it.
    fn lock(&self) -> io::Result<Option<Lock>>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Makes a file that takes disk space without writing it.
    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()>;
}

/// One open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Writes all parts, one behind the other, from an offset on. After an error any of it may have
    /// been written.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;
    /// Reads until the buffer is full or the file ends; gives the bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Shows exactly so many bytes where they were read to, or fails as a file that ended does.
    fn show(&self, offset: u64, len: usize, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; len];
        if self.read_at(&mut buffer, offset)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        look(&buffer);
        Ok(())
    }
    /// Reads exactly so many bytes, or fails as a file that ended does.
    fn read_exact(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        self.show(offset, len, &mut |bytes| read.extend_from_slice(bytes))?;
        Ok(read)
    }
    /// Makes data and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub(crate) struct RealDisk {
    dir: PathBuf,
    spare: Spare,
}

impl RealDisk {
    /// Makes the folder (0700) when it is absent, and closes it to others when it is open to them.
    pub(crate) fn new(dir: &Path) -> io::Result<RealDisk> {
        if !dir.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        let mut permissions = std::fs::metadata(dir)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o700);
            std::fs::set_permissions(dir, permissions)?;
        }
        Ok(RealDisk::existing(dir))
    }

    /// A folder that exists already and is left as it is.
    pub(crate) fn existing(dir: &Path) -> RealDisk {
        RealDisk { dir: dir.to_owned(), spare: Spare::default() }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open_segment(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(SegmentFile::open(&self.dir.join(name), &self.spare)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile { file: create(&self.dir.join(name))? }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            // A name that is no text is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn lock(&self) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = rustix::fs::statvfs(&self.dir)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = create(&self.dir.join(name))?;
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn write_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for part in parts {
            self.file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while !buffer.is_empty() {
            match self.file.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(count) => {
                    read += count;
                    offset += count as u64;
                    buffer = buffer.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Replaces a file so that a crash leaves the old or the new one: written aside, synced, renamed,
/// folder synced.
pub(crate) fn replace_file(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let aside = format!("{name}.tmp");
    let file = disk.create(&aside)?;
    file.write_at(&[content], 0)?;
    file.sync_data()?;
    disk.rename(&aside, name)?;
    disk.sync_dir()
}
