//! A throw-away PostgreSQL in a folder of its own.
//!
//! Started from the machine's installed server programs, listening on loopback only, with no
//! password and without fsync: it holds nothing that matters and is removed at the end.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stop::Stop;
use crate::pipeline::Halt;

/// How long the server may take to answer.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to end: it gives its own children five seconds.
const ENDED: Duration = Duration::from_secs(7);

/// A running throw-away server; stopped and removed when dropped.
pub struct Postgres {
    server: Child,
    programs: Programs,
    folder: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// Where the server's programs are and as whom they run.
#[derive(Clone)]
struct Programs {
    folder: PathBuf,
    /// The server refuses to run as root.
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Makes a database cluster in `folder` and starts it.
    ///
    /// # Errors
    /// No server is installed, it does not come up, or `stop` was told.
    pub fn start(folder: &Path, stop: &Stop) -> Result<Postgres, Halt> {
        let programs = Programs::find()?;
        let data = folder.join("postgres");
        make_folder(&data, &programs)?;
        let port = free_port()?;
        let initdb = programs
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data)
            .output()
            .map_err(|error| failed("initdb", &error.to_string()))?;
        if !initdb.status.success() {
            return Err(failed("initdb", &String::from_utf8_lossy(&initdb.stderr)));
        }
        let server_log = std::fs::File::create(folder.join("postgres.log"))
            .map_err(|error| failed("the server's log file", &error.to_string()))?;
        let server = programs
            .command("postgres")
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "wal_level=logical",
                "-c",
                "fsync=off",
                "-c",
                "listen_addresses=127.0.0.1",
            ])
            .args(["-c", &format!("port={port}"), "-c", "unix_socket_directories="])
            .args(["-c", "max_replication_slots=4", "-c", "max_wal_senders=4"])
            .stdout(Stdio::null())
            .stderr(server_log)
            .spawn()
            .map_err(|error| failed("postgres", &error.to_string()))?;
        let mut postgres = Postgres { server, programs, folder: folder.to_path_buf(), port };
        postgres.wait_until_ready(stop)?;
        Ok(postgres)
    }

    /// `psql` on a database of this server.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.folder.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        command.args(["-p", &self.port.to_string(), "-d", database]);
        command
    }

    fn wait_until_ready(&mut self, stop: &Stop) -> Result<(), Halt> {
        let deadline = Instant::now() + READY;
        loop {
            let answer = self
                .psql("postgres")
                .args(["-c", "select 1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if answer.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if stop.is_told() {
                return Err(failed("postgres", "stopped while it started"));
            }
            let ended = self.server.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.join("postgres.log"));
                return Err(failed("postgres", &log.unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown takes the server's children along; nothing is to be saved.
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let deadline = Instant::now() + ENDED;
        while Instant::now() < deadline {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Programs {
    fn find() -> Result<Programs, Halt> {
        let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(version_of(folder)));
        let path = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&path));
        let found = folders.into_iter().find(|folder| {
            ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
        });
        let Some(folder) = found else {
            return Err(Halt::new(
                "DEMO_NO_POSTGRES",
                "no PostgreSQL server is installed (initdb, postgres and psql were looked for)",
                "install it, on Debian and Ubuntu: sudo apt-get install postgresql",
            ));
        };
        Ok(Programs { folder, user: unprivileged_user()? })
    }

    fn command(&self, program: &str) -> Command {
        let program = self.folder.join(program);
        match self.user {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.arg("--clear-groups").arg("--").arg(program);
                command
            }
        }
    }
}

fn version_of(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// Whom the server runs as when this process is root.
fn unprivileged_user() -> Result<Option<(u32, u32)>, Halt> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for name in ["postgres", "nobody"] {
        let ids = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let user = fields.nth(1)?.parse().ok()?;
            Some((user, fields.next()?.parse().ok()?))
        });
        if ids.is_some() {
            return Ok(ids);
        }
    }
    Err(Halt::new(
        "DEMO_NO_USER",
        "PostgreSQL refuses to run as root and there is no user postgres or nobody",
        "run the demo as an ordinary user",
    ))
}

fn make_folder(folder: &Path, programs: &Programs) -> Result<(), Halt> {
    let make = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = programs.user {
            chown(folder, Some(user), Some(group))?;
        }
        Ok(())
    };
    make().map_err(|error| failed(&folder.display().to_string(), &error.to_string()))
}

/// Whether the user that the server runs as can reach the folder.
pub fn can_reach(folder: &Path) -> bool {
    let Ok(programs) = Programs::find() else { return true };
    let Some((user, group)) = programs.user else { return true };
    Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={group}")])
        .args(["--clear-groups", "--", "test", "-x"])
        .arg(folder)
        .status()
        .is_ok_and(|status| status.success())
}

/// A port of 127.0.0.1 that nobody listens on now.
pub fn free_port() -> Result<u16, Halt> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| failed("a free port", &error.to_string()))
}

fn failed(what: &str, why: &str) -> Halt {
    Halt::new(
        "DEMO_POSTGRES",
        format!("{what} failed: {}", why.trim()),
        "see the lines above; `offtake run` works with any PostgreSQL 14 to 18 of your own",
    )
}
