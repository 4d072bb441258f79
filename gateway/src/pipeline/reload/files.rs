//! Plugins whose files are watched (`watch = true`): a changed file is a reload.
//!
//! The files are looked at once a second; one counts as changed when it is another than the last
//! one taken in and has stayed as it is for a look, so that a file which is still being written is
//! left alone. One that is refused is told and looked at again when it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::halt::Halt;
use super::{Files, Reloader, component_file};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What tells one content from the next.
type Look = Option<(SystemTime, u64)>;

struct Watched {
    plugin: String,
    path: std::path::PathBuf,
    taken: Look,
    last: Look,
}

impl Watched {
    /// It could not be taken in for now, and is tried again.
    fn take_again(&mut self) {
        self.taken = None;
    }

    /// Looks, and says whether there is something new to take in.
    fn changed(&mut self) -> bool {
        let now = look(&self.path);
        let is_new = now.is_some() && now == self.last && now != self.taken;
        self.last = now;
        if is_new {
            self.taken = now;
        }
        is_new
    }
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Whether what was refused now may be taken in later as it is.
fn is_passing(halt: &Halt) -> bool {
    matches!(&*halt.code, "RELOAD_BUSY" | "RELOAD_FINISHING" | "RELOAD_TIMED_OUT")
}

/// Watches until `shutdown` is done.
pub async fn watch_plugins(reloader: Arc<Reloader>, shutdown: impl Future<Output = ()> + Send) {
    let mut watched: Vec<Watched> = reloader
        .config
        .plugins
        .iter()
        .filter(|plugin| plugin.watch)
        .filter_map(|plugin| Some((plugin, component_file(plugin)?)))
        .map(|(plugin, path)| {
            let last = look(path);
            // It may have changed since it was loaded.
            let is_at_work = reloader.is_at_work(&plugin.name, path);
            let (plugin, path) = (plugin.name.clone(), path.clone());
            Watched { plugin, path, taken: last.filter(|_| is_at_work), last }
        })
        .collect();
    if watched.is_empty() {
        return;
    }
    let mut ticks = tokio::time::interval(INTERVAL);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        for file in watched.iter_mut().filter_map(|file| file.changed().then_some(file)) {
            let (reloader, names) = (Arc::clone(&reloader), vec![file.plugin.clone()]);
            let outcome =
                tokio::task::spawn_blocking(move || reloader.reload(&names, Files::NotHeldBack))
                    .await;
            match outcome {
                Ok(Ok(reloaded)) => {
                    tracing::info!(
                        plugin = file.plugin,
                        from_sequence = reloaded.from_sequence,
                        "the plugin's file changed and was looked at"
                    );
                    for warning in &reloaded.warnings {
                        tracing::warn!(plugin = file.plugin, "{warning}");
                    }
                }
                Ok(Err(halt)) if is_passing(&halt) => {
                    tracing::warn!(
                        code = %halt.code, cause = %halt.cause, plugin = file.plugin,
                        "the plugin's new file cannot take over yet, it is tried again"
                    );
                    file.take_again();
                }
                Ok(Err(halt)) => tracing::error!(
                    code = %halt.code, cause = %halt.cause, next = %halt.next_step,
                    plugin = file.plugin,
                    "the plugin's new file is refused; the version at work goes on"
                ),
                Err(error) => tracing::error!(%error, "a reload ended unexpectedly"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_in_once_and_not_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        std::fs::write(&path, b"one").unwrap();
        let taken = look(&path);
        let mut file = Watched { plugin: "p".to_owned(), path: path.clone(), taken, last: taken };
        assert!(!file.changed());
        std::fs::write(&path, b"half").unwrap();
        assert!(!file.changed(), "it may still be written");
        std::fs::write(&path, b"whole, at last").unwrap();
        assert!(!file.changed());
        assert!(file.changed());
        assert!(!file.changed(), "it was taken in");
        file.take_again();
        assert!(file.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!file.changed());
        assert!(!file.changed(), "a file that is gone is none to take in");
    }
}
