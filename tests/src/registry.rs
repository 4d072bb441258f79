//! A real schema registry for a test: Apicurio with its store in memory, fetched by Maven, started
//! on ports of its own, stopped on drop. It speaks Confluent's API under `/apis/ccompat/v7`.
//!
//! Nothing here knows the gateway or its client: what a test sets up and looks at goes over a
//! request of its own. As with the broker (`kafka.rs`), only `SKIP_KAFKA=1` leaves these tests out;
//! `OFFTAKE_TEST_REGISTRY` names the base URL of a running registry, which cannot be stopped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::kafka::{Folder, spawn_from_lasting_thread, target_folder};
use crate::ports::free_port;

/// Version of the registry; later ones want Java 21.
const VERSION: &str = "3.0.9";
/// Its archive for Maven.
const ARTIFACT: &str = "io.apicurio:apicurio-registry-app";
/// Where Confluent's API is.
const API: &str = "/apis/ccompat/v7";
/// How long it may take to start or stop.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// How long one request of the harness may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

static SUBJECTS: AtomicU32 = AtomicU32::new(0);

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct SchemaRegistry {
    /// `host:port`.
    address: String,
    /// The path of the API.
    path: String,
    folder: Option<Folder>,
    process: Mutex<Option<Child>>,
}

impl SchemaRegistry {
    /// Starts a registry without a schema.
    ///
    /// # Errors
    /// It cannot be had or does not become ready; the text says why.
    pub fn start() -> Result<SchemaRegistry> {
        if let Ok(url) = std::env::var("OFFTAKE_TEST_REGISTRY") {
            let rest = url.strip_prefix("http://").context("OFFTAKE_TEST_REGISTRY is http://…")?;
            let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = format!("/{path}").trim_end_matches('/').to_owned();
            let (address, process) = (address.to_owned(), Mutex::new(None));
            return Ok(SchemaRegistry { address, path, folder: None, process });
        }
        let registry = SchemaRegistry {
            address: format!("127.0.0.1:{}", free_port()?),
            path: API.to_owned(),
            folder: Some(Folder::new()?),
            process: Mutex::new(None),
        };
        registry.launch()?;
        Ok(registry)
    }

    /// A registry that every test of this process shares; it ends with the process. Never stop it,
    /// and leave its global configuration alone.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn shared() -> &'static SchemaRegistry {
        static SHARED: OnceLock<SchemaRegistry> = OnceLock::new();
        SHARED.get_or_init(|| SchemaRegistry::start().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// The base URL of Confluent's API.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The path of Confluent's API on it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A subject that nobody else uses: `hint`, the process and a number.
    pub fn subject(&self, hint: &str) -> String {
        let number = SUBJECTS.fetch_add(1, Ordering::Relaxed);
        format!("{hint}-{}-{number}-value", std::process::id())
    }

    /// Starts a stopped registry again on the same port. Its store was in memory: it is empty.
    ///
    /// # Errors
    /// It does not become ready, or is not ours.
    pub fn launch(&self) -> Result<()> {
        let folder = self.folder()?;
        let log = folder.join("registry.log");
        let out = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.command(folder)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = spawn_from_lasting_thread(command)?;
        let deadline = Instant::now() + START_DEADLINE;
        // Ready is an answer that lists languages of schemas, not an open port.
        while !self
            .request("GET", "/schemas/types", None)
            .is_ok_and(|(status, types)| status == 200 && types.is_array())
        {
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(20)..].join("\n");
                bail!("the schema registry did not start ({ended:?}): {last}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        *self.process.lock().expect("no holder of this lock panics") = Some(child);
        Ok(())
    }

    /// Kills the registry; what it held is gone.
    ///
    /// # Errors
    /// It is not ours, or not running.
    pub fn kill(&self) -> Result<()> {
        self.folder()?;
        let mut process = self.process.lock().expect("no holder of this lock panics");
        let mut child = process.take().context("the registry does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Lets the registry hang: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// It is not ours, or not running.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Ends [`SchemaRegistry::pause`].
    ///
    /// # Errors
    /// See there.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Sets a subject's compatibility level. It must have a schema.
    ///
    /// # Errors
    /// The registry refuses.
    pub fn set_compatibility(&self, subject: &str, level: &str) -> Result<()> {
        let body = json!({ "compatibility": level });
        let (status, answer) = self.request("PUT", &format!("/config/{subject}"), Some(&body))?;
        ensure!(status == 200, "compatibility of {subject}: {status} {answer}");
        Ok(())
    }

    /// The schema of an id: language and text.
    ///
    /// # Errors
    /// There is none.
    pub fn schema(&self, id: i32) -> Result<(String, String)> {
        let (status, answer) = self.request("GET", &format!("/schemas/ids/{id}"), None)?;
        ensure!(status == 200, "schema {id}: {status} {answer}");
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let schema = text("schema").context("a schema without its text")?;
        Ok((text("schemaType").unwrap_or("AVRO".to_owned()), schema))
    }

    /// The versions of a subject; none where there is no such subject.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn versions(&self, subject: &str) -> Result<Vec<i64>> {
        let (status, answer) =
            self.request("GET", &format!("/subjects/{subject}/versions"), None)?;
        if status == 404 {
            return Ok(Vec::new());
        }
        ensure!(status == 200, "versions of {subject}: {status} {answer}");
        Ok(answer.as_array().into_iter().flatten().filter_map(Value::as_i64).collect())
    }

    /// One request to Confluent's API: the status and the answer.
    ///
    /// # Errors
    /// No answer, or none that is JSON.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
        let body = body.map_or_else(String::new, Value::to_string);
        let head = format!(
            "{method} {}{path} HTTP/1.0\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.path,
            self.address,
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, content) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.context("no status")?, serde_json::from_str(content).unwrap_or(Value::Null)))
    }

    fn command(&self, folder: &Path) -> Result<Command> {
        let jar = program()?;
        let port = self.address.rsplit(':').next().context("an address has a port")?;
        let mut command = Command::new("setpriv");
        // setpriv lets the registry end with this process, however that ends.
        command.args(["--pdeathsig", "KILL", "java", "-Xmx384m", "-XX:+UseSerialGC"]);
        command.args(["-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"]);
        command.args(["-Dquarkus.management.host=127.0.0.1", "-Dquarkus.management.port=0"]);
        command.arg(format!("-Dquarkus.http.port={port}"));
        command.args(["-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2"]);
        command.arg("-Dapicurio.datasource.url=jdbc:h2:mem:registry;DB_CLOSE_DELAY=-1");
        command.args(["-Dapicurio.datasource.jdbc.initial-size=2"]);
        command.args(["-Dapicurio.datasource.jdbc.min-size=2"]);
        command.args(["-Dapicurio.datasource.jdbc.max-size=10", "-jar"]);
        command.arg(jar).current_dir(folder);
        Ok(command)
    }

    fn folder(&self) -> Result<&Path> {
        let folder = self.folder.as_ref().context("a registry of the environment is not ours")?;
        Ok(folder.path())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        self.folder()?;
        let process = self.process.lock().expect("no holder of this lock panics");
        let child = process.as_ref().context("the registry does not run")?;
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status()?;
        ensure!(status.success(), "the registry cannot be signalled");
        Ok(())
    }
}

impl Drop for SchemaRegistry {
    fn drop(&mut self) {
        if self.folder.is_some() && self.process.lock().is_ok_and(|process| process.is_some()) {
            // Nothing more can be done about a registry that does not end.
            let _ = self.kill();
        }
    }
}

/// The registry's program, fetched once a checkout.
fn program() -> Result<PathBuf> {
    let servers = target_folder()?.join("servers");
    let folder = servers.join(format!("apicurio-{VERSION}"));
    let jar = folder.join(format!("apicurio-registry-app-{VERSION}-runner.jar"));
    static FETCH: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FETCH.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if jar.exists() {
        return Ok(jar);
    }
    // Into a folder of its own first, so that half of it is never taken for the whole.
    let fetched = tempfile::Builder::new().prefix("fetch-registry-").tempdir_in(&servers)?;
    let mvn = |goal: &str, arguments: &[String]| -> Result<()> {
        let output =
            Command::new("mvn").args(["-q", "-B", goal]).args(arguments).output().context(
                "mvn cannot be run; install `maven`, or name a registry in OFFTAKE_TEST_REGISTRY",
            )?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "the schema registry cannot be fetched: {text}");
        Ok(())
    };
    let artifact = format!("{ARTIFACT}:{VERSION}:tar.gz:all");
    let to = format!("-DoutputDirectory={}", fetched.path().display());
    let artifact = format!("-Dartifact={artifact}");
    mvn("dependency:get", &[artifact.clone(), "-Dtransitive=false".to_owned()])?;
    mvn("dependency:copy", &[artifact, to])?;
    let unpacked = fetched.path().join("unpacked");
    fs::create_dir(&unpacked)?;
    let archive = fetched.path().join(format!("apicurio-registry-app-{VERSION}-all.tar.gz"));
    let output = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked).output()?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    if let Err(error) = fs::rename(&unpacked, &folder) {
        // Another process of this test run may have been first.
        ensure!(jar.exists(), "{}: {error}", folder.display());
    }
    Ok(jar)
}
