//! The capture: what plugins took in, kept over restarts for trials, where a person asked for it.
//!
//! It holds rows as they come from the source, before any plugin removes a thing, so nothing of it is
//! ever plain on the disk. A ring of files in the log's folder, bounded as a whole; a thread of its
//! own writes what the in-memory inputs keep too, and loses rather than delays: nothing waits for it
//! and nothing but a trial reads it.
//!
//! A file is `OFTKCAPT`, version u16 (little-endian), a salt, an empty sealed record that tells a
//! wrong secret, then records: length u32, a sealed batch. What a crash cut off at its end is not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use offtake_change::Batch;

use super::super::halt::Halt;
use seal::{NotOpened, SALT_BYTES, Sealer};

mod record;
mod seal;

/// The folder in the log's.
const FOLDER: &str = "capture";
const MAGIC: &[u8; 8] = b"OFTKCAPT";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 2 + SALT_BYTES + TAG_BYTES;
/// What proves a record.
const TAG_BYTES: usize = 16;
/// Files of the ring: so much of it goes at once.
const FILES: u64 = 8;
/// Memory that a trial gives to what is read back: the newest of it.
const MOST_BYTES: usize = 64 << 20;

/// Where the capture is and who may read it.
#[derive(Clone)]
pub struct Capture {
    folder: PathBuf,
    bytes: u64,
    secret: offtake_config::Secret,
}

/// A file cannot be read.
const DAMAGED: &str = "CAPTURE_DAMAGED";

impl Capture {
    /// The capture of a log's folder; what is there has to be of this secret.
    ///
    /// # Errors
    /// It is of another, or cannot be read.
    pub fn open(log_folder: &Path, config: &offtake_config::Capture) -> Result<Capture, Halt> {
        let capture = Capture {
            folder: log_folder.join(FOLDER),
            bytes: config.bytes,
            secret: config.secret.clone(),
        };
        for (_, path) in capture.files().map_err(|error| capture.unusable(&error))? {
            capture.read_whole(&path, true)?;
        }
        Ok(capture)
    }

    /// Starts the thread that writes it. It ends when the sender is dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(&self) -> Result<flume::Sender<Batch>, Halt> {
        let (batches, given) = flume::bounded(1);
        let capture = self.clone();
        std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || capture.run(&given))
            .map_err(|error| {
            Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
        })?;
        Ok(batches)
    }

    /// What it holds, oldest first.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn batches(&self) -> Result<Vec<Batch>, Halt> {
        let mut newest_first = Vec::new();
        let mut bytes = 0;
        for (_, path) in self.files().map_err(|error| self.unusable(&error))?.into_iter().rev() {
            for batch in self.read_whole(&path, false)?.into_iter().rev() {
                bytes += batch.size_bytes();
                if bytes > MOST_BYTES {
                    newest_first.reverse();
                    return Ok(newest_first);
                }
                newest_first.push(batch);
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    fn run(&self, batches: &flume::Receiver<Batch>) {
        let mut file = None;
        let mut has_failed = false;
        while let Ok(batch) = batches.recv() {
            let outcome = self.write(&mut file, &batch);
            match &outcome {
                Ok(()) => has_failed = false,
                Err(error) => {
                    // What is half written ends its file.
                    file = None;
                    if !has_failed {
                        tracing::warn!(
                            code = "CAPTURE_UNUSABLE",
                            folder = %self.folder.display(),
                            %error,
                            "changes are not captured for trials until this ends"
                        );
                    }
                    has_failed = true;
                }
            }
        }
    }

    fn write(&self, file: &mut Option<Writing>, batch: &Batch) -> io::Result<()> {
        let mut record = record::encode(batch);
        let bytes = (record.len() + 4 + TAG_BYTES) as u64;
        let most = self.bytes / FILES;
        if bytes + HEADER_BYTES as u64 > most {
            return Ok(());
        }
        let mut writing = match file.take().filter(|it| it.bytes + bytes <= most) {
            Some(writing) => writing,
            None => self.begin(most)?,
        };
        writing.sealer.seal(&mut record).map_err(|NotOpened| io::ErrorKind::Other)?;
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        writing.file.write_all(&[&length.to_le_bytes()[..], &record].concat())?;
        writing.bytes += bytes;
        *file = Some(writing);
        Ok(())
    }

    /// Begins a file, once there is room for a whole one.
    fn begin(&self, most: u64) -> io::Result<Writing> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let files = self.files()?;
        let mut sizes = Vec::with_capacity(files.len());
        for (_, path) in &files {
            sizes.push(fs::metadata(path)?.len());
        }
        let mut total: u64 = sizes.iter().sum();
        for ((_, path), bytes) in files.iter().zip(sizes) {
            if total + most <= self.bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        let number = files.last().map_or(1, |(number, _)| number + 1);
        let path = self.folder.join(format!("{number:020}.{FOLDER}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let other = |NotOpened| io::Error::other("cannot encrypt");
        let salt = seal::new_salt().map_err(other)?;
        let mut sealer = Sealer::new(self.secret.expose(), &salt).map_err(other)?;
        let mut proof = Vec::new();
        sealer.seal(&mut proof).map_err(other)?;
        let header = [&MAGIC[..], &VERSION.to_le_bytes(), &salt, &proof].concat();
        if let Err(error) = file.write_all(&header) {
            // On a full disk there would be another one with every batch.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Writing { file, sealer, bytes: HEADER_BYTES as u64 })
    }

    /// The files with their numbers, oldest first.
    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let is_ours = path.extension().is_some_and(|extension| extension == FOLDER);
            files.extend(number.filter(|_| is_ours).map(|number| (number, path)));
        }
        files.sort();
        Ok(files)
    }

    /// The batches of a file; none of them where only its header is looked at.
    /// As [`Capture::read`]; a file that is damaged is left out: it holds inputs for trials and
    /// nothing else, and a pipeline does not stand still for these.
    fn read_whole(&self, path: &Path, header_only: bool) -> Result<Vec<Batch>, Halt> {
        match self.read(path, header_only) {
            Err(halt) if halt.code == DAMAGED => {
                tracing::warn!(code = DAMAGED, cause = halt.cause, next = halt.next_step);
                Ok(Vec::new())
            }
            outcome => outcome,
        }
    }

    fn read(&self, path: &Path, header_only: bool) -> Result<Vec<Batch>, Halt> {
        let mut bytes = match fs::read(path) {
            // The ring has gone on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes.map_err(|error| self.unusable(&error))?,
        };
        if bytes.len() < HEADER_BYTES {
            // A crash left it at its beginning.
            return Ok(Vec::new());
        }
        let (header, mut rest) = bytes.split_at_mut(HEADER_BYTES);
        let (fixed, proof) = header.split_at_mut(HEADER_BYTES - TAG_BYTES);
        let known = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        let salt = fixed.strip_prefix(&known[..]).and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or_else(|| self.damaged(path))?;
        let sealer = Sealer::new(self.secret.expose(), salt);
        let mut sealer = sealer.map_err(|NotOpened| self.damaged(path))?;
        sealer.open(proof).map_err(|NotOpened| self.of_another_secret(path))?;
        let mut batches = Vec::new();
        while !header_only && let Some((length, after)) = rest.split_first_chunk_mut::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((sealed, after)) = after.split_at_mut_checked(length) else { break };
            let record = sealer.open(sealed).map_err(|NotOpened| self.damaged(path))?;
            batches.push(record::decode(record).map_err(|_| self.damaged(path))?);
            rest = after;
        }
        Ok(batches)
    }

    fn of_another_secret(&self, path: &Path) -> Halt {
        Halt::new(
            "CAPTURE_SECRET",
            format!("{} was written with another secret than `capture.secret`", path.display()),
            format!(
                "put the former secret back, or remove {}: it holds inputs for trials and nothing else",
                self.folder.display()
            ),
        )
    }

    fn damaged(&self, path: &Path) -> Halt {
        Halt::new(
            DAMAGED,
            format!("{} is damaged, or of a later release", path.display()),
            "remove it: it holds inputs for trials and nothing else",
        )
    }

    fn unusable(&self, error: &io::Error) -> Halt {
        Halt::new(
            "CAPTURE_UNUSABLE",
            format!("the capture in {}: {error}", self.folder.display()),
            "give the gateway's user the folder to read and write",
        )
    }
}

/// The file that is written.
struct Writing {
    file: File,
    sealer: Sealer,
    bytes: u64,
}

#[cfg(test)]
mod tests;
