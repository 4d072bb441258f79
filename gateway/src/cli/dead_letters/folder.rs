//! Dead letters in the log's folder while no gateway runs on it.
//!
//! The folder is opened as a start would open it, locked meanwhile, and nothing is deleted by
//! retention: whoever looks for letters may be looking for the oldest.

use std::path::Path;

use offtake_log::{Log, LogError, LogOptions, LogWriter, ReadError, Selection};
use offtake_proto::v1;
use prost::Message;

use crate::dead_letter::Letter;
use crate::pipeline::{Halt, log_halt};

/// A log that nobody else has open.
pub struct Folder {
    log: Log,
    /// Holds the folder.
    _writer: LogWriter,
}

impl Folder {
    /// Opens the folder; `None`: there is no log, or a gateway has it.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn open(dir: &Path) -> Result<Option<Folder>, Halt> {
        let options = LogOptions {
            retain_age: None,
            retain_bytes: u64::MAX,
            reserve_bytes: 0,
            ..LogOptions::new(dir)
        };
        if offtake_log::peek(dir).map_err(|error| log_halt(&error))?.is_none() {
            return Ok(None);
        }
        match offtake_log::open(options) {
            Ok(opened) => Ok(Some(Folder { log: opened.log, _writer: opened.writer })),
            Err(LogError::Locked { .. }) => Ok(None),
            Err(error) => Err(log_halt(&error)),
        }
    }

    /// Gives the letters of a stream after a sequence, until `take` says that it was enough.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn read(
        &self,
        stream: &str,
        after: u64,
        take: &mut dyn FnMut(Letter) -> bool,
    ) -> Result<(), Halt> {
        let after = after.max(self.log.earliest_sequence().saturating_sub(1));
        let end = self.log.durable().borrow().sequence;
        let mut reader =
            self.log.reader(after, Selection::globs([stream])).map_err(|error| unread(&error))?;
        while reader.sequence() < end
            && let Some(group) = reader.next_group().map_err(|error| unread(&error))?
        {
            for run in &group.runs {
                let Some(schema) = self.schema(run.schema) else { continue };
                let frame = v1::Frame::decode(run.bytes.clone()).map_err(|error| {
                    Halt::new(
                        "DEAD_LETTERS_MALFORMED",
                        format!("the log holds a change that cannot be read: {error}"),
                        "report this as a defect",
                    )
                })?;
                let letters = frame.changes.iter().filter(|change| change.sequence > after);
                for letter in letters.filter_map(|change| Letter::read(change, &schema)) {
                    if !take(letter) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// A definition of the log; `None`: it has none of that number.
    pub fn schema(&self, id: u32) -> Option<v1::Schema> {
        self.log.schema(id).map(|schema| v1::Schema::clone(&schema))
    }
}

fn unread(error: &ReadError) -> Halt {
    Halt::new(error.code(), error.to_string(), "`offtake run` says what is wrong with the log")
}
