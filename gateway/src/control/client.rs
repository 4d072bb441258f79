//! Asking a running gateway.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::socket::Place;
use super::{Answer, Request};
use crate::pipeline::Halt;

/// Longer than anything that is asked may take: compiling a large component, and a minute until a
/// transaction ends.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks the gateway whose log is in this folder, and waits for its answer.
///
/// # Errors
/// No gateway runs there, or what it refused.
pub fn ask(log_folder: &Path, request: &Request) -> Result<Answer, Halt> {
    let answer = exchange(log_folder, request).map_err(|error| unreachable(log_folder, &error))?;
    match answer {
        Answer::Refused { code, cause, next_step } => Err(Halt::new(code, cause, next_step)),
        answer => Ok(answer),
    }
}

/// What a command says to an answer of another kind than it asked for.
pub fn other_answer() -> Halt {
    Halt::new(
        "CONTROL_ANSWER",
        "the gateway answered something else than was asked",
        "use an `offtake` of the running gateway's version",
    )
}

fn exchange(log_folder: &Path, request: &Request) -> io::Result<Answer> {
    let place = Place::of(log_folder)?;
    let mut stream = UnixStream::connect(&place.path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    serde_json::to_writer(&mut stream, request)?;
    stream.write_all(b"\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

fn unreachable(log_folder: &Path, error: &io::Error) -> Halt {
    let folder = log_folder.display();
    let (cause, next) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => (
            format!("no gateway runs on the log in {folder}"),
            "start it with `offtake run`, or name its configuration with -c",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("the gateway on the log in {folder} is another user's"),
            "run this as the gateway's user",
        ),
        _ => (
            format!("the gateway on the log in {folder} did not answer: {error}"),
            "see its log lines",
        ),
    };
    Halt::new("CONTROL_UNREACHABLE", cause, next)
}
