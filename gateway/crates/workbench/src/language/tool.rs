//! Calls of a language's own tools. What a tool says goes to the terminal; that it is missing or too
//! old becomes an obstacle with the command that installs it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Obstacle;

/// A call of a tool in a folder.
pub(super) struct Tool {
    command: Command,
    shown: String,
    install: &'static str,
}

impl Tool {
    /// `install`: what to do where the tool is missing.
    pub(super) fn new(folder: &Path, program: impl AsRef<OsStr>, install: &'static str) -> Tool {
        let mut command = Command::new(&program);
        command.current_dir(folder).stderr(Stdio::inherit());
        Tool { command, shown: program.as_ref().to_string_lossy().into_owned(), install }
    }

    /// Adds arguments.
    pub(super) fn with<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Tool {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of its environment.
    pub(super) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Tool {
        self.command.env(name, value);
        self
    }

    /// Runs it and gives what it printed.
    ///
    /// # Errors
    /// It is missing, or ended with a failure.
    pub(super) fn output(self) -> Result<String, Obstacle> {
        Ok(String::from_utf8_lossy(&self.ended()?.stdout).into_owned())
    }

    /// Runs it; what it prints goes to the terminal too.
    ///
    /// # Errors
    /// It is missing, or ended with a failure.
    pub(super) fn run(mut self) -> Result<(), Obstacle> {
        self.command.stdout(std::io::stderr());
        self.ended().map(|_| ())
    }

    fn ended(mut self) -> Result<Output, Obstacle> {
        let output = self.command.output().map_err(|error| {
            let program = self.command.get_program().to_string_lossy();
            let message = format!("{program} cannot be run: {error}");
            Obstacle::new("BUILD_TOOL_MISSING", message, self.install)
        })?;
        if !output.status.success() {
            let message = format!("{} ended with {}", self.shown, output.status);
            return Err(Obstacle::new("BUILD_FAILED", message, "correct what it says above"));
        }
        Ok(output)
    }
}

/// Refuses a tool that is missing, or older than a version (major, minor). `ask`: the argument at which
/// it tells its version.
///
/// # Errors
/// See above.
pub(super) fn require(
    folder: &Path,
    program: &str,
    ask: &str,
    least: (u32, u32),
    install: &'static str,
) -> Result<(), Obstacle> {
    let said = Tool::new(folder, program, install).with([ask]).output()?;
    match version(&said) {
        Some(found) if found < least => {
            let message = format!(
                "{program} is of version {}.{}, and {}.{} or later is needed",
                found.0, found.1, least.0, least.1
            );
            Err(Obstacle::new("BUILD_TOOL_TOO_OLD", message, install))
        }
        // One that does not tell will say itself what it cannot do.
        _ => Ok(()),
    }
}

/// The first major.minor in a text.
fn version(said: &str) -> Option<(u32, u32)> {
    said.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let (major, rest) = word.split_once('.')?;
        let minor = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_found_in_what_tools_say_of_themselves() {
        for (said, expected) in [
            ("v20.20.2\n", Some((20, 20))),
            ("go version go1.26.8 linux/amd64", Some((1, 26))),
            ("Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu", Some((14, 0))),
            ("Python 3.11.7", Some((3, 11))),
            ("10.9", Some((10, 9))),
            ("a tool of x86_64 that tells nothing", None),
            ("", None),
        ] {
            assert_eq!(version(said), expected, "{said:?}");
        }
    }
}
