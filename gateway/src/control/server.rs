//! The gateway's side.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use super::replay::ReplayDesk;
use super::socket::Place;
use super::{Answer, Request};
use crate::pipeline::{Files, Halt, Reloader};

/// Longest request.
const REQUEST_BYTES: u64 = 1 << 20;

/// Who does what is asked.
pub struct Desk {
    /// New versions of plugins.
    pub reloader: Arc<Reloader>,
    /// Dead letters.
    pub letters: ReplayDesk,
    /// Held by a trial that was asked for: one at a time, for each takes memory and a core.
    pub trial: Mutex<()>,
}

/// A bound socket, not yet serving.
pub struct ControlServer {
    listener: UnixListener,
    _place: Place,
}

impl ControlServer {
    /// Makes the socket in the log's folder, which this process has locked: one that is there is an
    /// earlier process's.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn bind(log_folder: &Path) -> Result<ControlServer, Halt> {
        let bound = || {
            let place = Place::of(log_folder)?;
            match std::fs::remove_file(&place.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&place.path)?;
            let own = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&place.path, own)?;
            Ok(ControlServer { listener, _place: place })
        };
        bound().map_err(|error: io::Error| {
            Halt::new(
                "CONTROL_SOCKET",
                format!("cannot make a socket in {}: {error}", log_folder.display()),
                "put the log on a file system that has sockets, and give the gateway's user the \
                 folder to write",
            )
        })
    }

    /// Answers until `shutdown` is done.
    pub async fn serve(self, desk: Arc<Desk>, shutdown: impl Future<Output = ()> + Send + 'static) {
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let desk = Arc::clone(&desk);
            tokio::spawn(async move {
                if let Err(error) = answer(stream, desk).await {
                    tracing::debug!(%error, "a request to the control socket was not answered");
                }
            });
        }
    }
}

async fn answer(stream: UnixStream, desk: Arc<Desk>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(REQUEST_BYTES)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str(&line) {
        Ok(request) => desk.done(request).await,
        Err(error) => Err(Halt::new(
            "CONTROL_REQUEST",
            format!("the request cannot be read: {error}"),
            "use an `offtake` of the running gateway's version",
        )),
    };
    write.write_all(&serde_json::to_vec(&outcome.unwrap_or_else(Answer::from))?).await
}

impl Desk {
    /// Does what was asked. Compiling and trying take their time, on threads that may be kept.
    async fn done(&self, request: Request) -> Result<Answer, Halt> {
        let reloader = &self.reloader;
        match request {
            Request::Reload { plugins } => {
                let files = if plugins.is_empty() { Files::NotHeldBack } else { Files::All };
                tokio::task::block_in_place(|| reloader.reload(&plugins, files))
                    .map(Answer::Reloaded)
            }
            Request::RollBack { plugin } => {
                tokio::task::block_in_place(|| reloader.roll_back(&plugin)).map(Answer::Reloaded)
            }
            Request::Try { plugin, wasm, tables, rows } => {
                let Ok(_alone) = self.trial.try_lock() else { return Err(trial_is_busy()) };
                let component = read(&wasm)?;
                let sample = reloader.sample(&tables, rows).await?;
                tokio::task::block_in_place(|| reloader.attempt(&plugin, component, sample))
                    .map(Answer::Trial)
            }
            Request::Record(wanted) => {
                tokio::task::block_in_place(|| reloader.record(&wanted)).map(Answer::Recorded)
            }
            Request::ReplayDeadLetters { sequences, as_it_was } => {
                let letters = self.letters.replay(&sequences, as_it_was).await?;
                Ok(Answer::Replayed { letters })
            }
        }
    }
}

fn trial_is_busy() -> Halt {
    Halt::new("TRY_BUSY", "another trial is under way", "ask again when it is done")
}

fn read(wasm: &Path) -> Result<Vec<u8>, Halt> {
    std::fs::read(wasm).map_err(|error| {
        Halt::new(
            "PLUGIN_UNREADABLE",
            format!("cannot read {}: {error}", wasm.display()),
            "check the path and its permissions: the gateway reads it",
        )
    })
}
