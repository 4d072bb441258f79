//! Whether what was built is older than what it was built of: a build that failed or was forgotten
//! leaves the module of before in its place, and a test of it would tell about code that is no more.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{SDK, found_in};

/// How files of which plugins are built end.
const SOURCES: [&str; 11] = ["rs", "go", "py", "ts", "js", "mjs", "c", "h", "json", "toml", "mod"];
/// Folders with other things, beside those whose names begin with a full stop: what tools fetched or
/// made, and fixtures.
const OTHERS: [&str; 5] = ["target", "node_modules", "__pycache__", "fixtures", SDK];
/// Folders within folders that are looked into.
const DEPTH: usize = 8;

/// The plugin's source that was changed last, where that was after the module was built. `None`: the
/// module is of now, or lies in no plugin's folder.
pub fn newer_source(module: &Path) -> Option<PathBuf> {
    let folder = match module.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    if found_in(folder).is_empty() {
        return None;
    }
    let built = module.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let (changed, path) = last_changed(folder, DEPTH)?;
    (changed > built).then(|| path.strip_prefix("./").map(Path::to_owned).unwrap_or(path))
}

/// The source in a folder that was changed last.
fn last_changed(folder: &Path, depth: usize) -> Option<(SystemTime, PathBuf)> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let of = entries.filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Of a link it is the link itself: what it leads to is not the plugin's.
        let metadata = entry.metadata().ok()?;
        if name.starts_with('.') || OTHERS.contains(&name.as_ref()) {
            return None;
        }
        if metadata.is_dir() {
            return last_changed(&entry.path(), depth.checked_sub(1)?);
        }
        let path = entry.path();
        let is_source = path.extension().is_some_and(|end| SOURCES.iter().any(|of| end == *of));
        Some((metadata.modified().ok()?, path)).filter(|_| is_source && metadata.is_file())
    });
    of.max()
}
