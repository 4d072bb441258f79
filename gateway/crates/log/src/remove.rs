//! Removing a log for good, as `offtake resync` does.
//!
//! Only what this crate, the sinks and the plugins' state made in the folder is removed; anything else stays, and so
//! do the folder and the key of the subscribers' tokens.

use std::path::Path;

use crate::disk::{Disk, RealDisk};
use crate::error::LogError;
use crate::segment::SegmentName;

/// Removes every file of the log in a folder and gives their number; 0 where there is none.
///
/// `meta` goes first: cut off after it, what is left counts as a log that never began.
///
/// # Errors
/// The log is in use, or a file cannot be removed.
pub fn remove(dir: &Path) -> Result<usize, LogError> {
    if !dir.exists() {
        return Ok(0);
    }
    let in_folder = || dir.display().to_string();
    let disk = RealDisk::new(dir).map_err(LogError::io("open", in_folder()))?;
    let Some(_lock) = disk.lock().map_err(LogError::io("lock", "lock"))? else {
        return Err(LogError::Locked { dir: in_folder() });
    };
    let mut names = disk.list().map_err(LogError::io("list", in_folder()))?;
    names.retain(|name| belongs_to_log(name));
    names.sort_by_key(|name| name != "meta");
    for name in &names {
        disk.remove(name).map_err(LogError::io("remove", name.clone()))?;
    }
    disk.sync_dir().map_err(LogError::io("sync", in_folder()))?;
    Ok(names.len())
}

fn belongs_to_log(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let is_segment =
        [".log", ".idx"].iter().any(|ending| SegmentName::parse(name, ending).is_some());
    let is_kept_beside = name.ends_with(".cursor") || name.ends_with(".state");
    is_segment || is_kept_beside || name == "meta" || name == "reserve"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogOptions, open};

    #[test]
    fn a_removed_log_is_begun_anew_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(LogOptions::new(folder.path())).unwrap();
        assert!(matches!(remove(folder.path()), Err(LogError::Locked { .. })));
        let id = first.log.id();
        drop(first);
        std::fs::write(folder.path().join("mine.log"), "stays").unwrap();
        assert!(remove(folder.path()).unwrap() > 0);
        assert!(folder.path().join("mine.log").exists());
        let again = open(LogOptions::new(folder.path())).unwrap();
        assert!(again.recovered.is_empty);
        assert_ne!(again.log.id(), id);
        assert_eq!(remove(&folder.path().join("nowhere")).unwrap(), 0);
    }
}
