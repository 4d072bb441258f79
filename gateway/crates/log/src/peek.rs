//! Looking at a log without opening it: what `offtake check` needs to know of the source.
//!
//! Nothing is locked, cut off or written, so a gateway may be running on the folder. Every segment
//! opens with a checkpoint of the control state, so only the newest is read.

use std::path::Path;

use crate::control::ControlState;
use crate::disk::{Disk, RealDisk};
use crate::error::LogError;
use crate::recover::{Recovered, read_meta, recovered, segment_names};
use crate::scan::{Scan, read_head};

/// Attempts to read a tail that a running gateway may be writing at that moment.
const ATTEMPTS: u32 = 3;

/// What the log in a folder holds; `None`: no log was begun there. `truncated_bytes` is what an
/// opening would cut off, or what a running gateway is about to make durable.
///
/// # Errors
/// The folder cannot be read, or its newest segment is damaged or of a later version.
pub fn peek(dir: &Path) -> Result<Option<Recovered>, LogError> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let disk = RealDisk::existing(dir);
    let mut attempt = 1;
    loop {
        match newest(&disk) {
            Err(LogError::Damaged(_)) if attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// What the newest segment says.
fn newest(disk: &RealDisk) -> Result<Option<Recovered>, LogError> {
    let Some(meta) = read_meta(disk)? else { return Ok(None) };
    let names = disk.list().map_err(LogError::io("list", "the folder"))?;
    let Some(newest) = segment_names(&names).pop() else { return Ok(None) };
    let name = newest.log_file();
    let file = disk.open(&name).map_err(LogError::io("open", name.clone()))?;
    let head = read_head(file.as_ref(), &name, Some(meta.log_id))?;
    let len = file.len().map_err(LogError::io("read", name.clone()))?;
    let scan = Scan { file: file.as_ref(), name: &name, head, len };
    let mut state = ControlState::default();
    let scanned =
        scan.run(|controls| controls.into_iter().for_each(|control| state.apply(control)))?;
    let mut unfinished = 0;
    if let Some(wrong) = scanned.wrong {
        scan.check_tail(&scanned, wrong)?;
        unfinished = len.saturating_sub(scanned.index.bytes);
    }
    Ok(Some(recovered(&state, scanned.next_sequence, unfinished)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Control, LogOptions, open};
    use offtake_proto::v1;

    #[test]
    fn a_running_log_is_read_and_nothing_is_made_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        assert!(peek(&nowhere).unwrap().is_none());
        assert!(!nowhere.exists());
        let dir = folder.path().join("data");
        let mut opened = open(LogOptions::new(&dir)).unwrap();
        assert!(peek(&dir).unwrap().unwrap().is_empty);
        opened.writer.control(Control::SourcePosition(v1::SourcePosition {
            last_commit_unix_us: 7,
            ..Default::default()
        }));
        opened.writer.flush().unwrap();
        let seen = peek(&dir).unwrap().unwrap();
        assert!(!seen.is_empty);
        assert_eq!(seen.position.unwrap().last_commit_unix_us, 7);
    }
}
