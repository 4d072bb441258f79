//! Where the socket is. A socket's path may have about a hundred bytes, and a log folder's is the
//! user's: so it is reached through the open folder.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const NAME: &str = "control.sock";

/// The socket of a log's folder. The path holds as long as the folder is open.
pub(super) struct Place {
    _folder: File,
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn of(log_folder: &Path) -> io::Result<Place> {
        let folder = File::open(log_folder)?;
        let path = format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()).into();
        Ok(Place { _folder: folder, path })
    }
}
