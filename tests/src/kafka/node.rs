//! One broker process: its settings, its Java machine and its signals; and the folder it lies in.
//!
//! A broker ends with the test process that started it, however that ends. What such an end leaves
//! on the disk is removed by the next start: every folder is locked by the process that uses it.
//! What brokers are made of, and whom they know, is said by `mod`, `cluster` and `security`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::Consumer;

use super::clients::Clients;

/// Version of the broker; the one in `servers/kafka/pom.xml`.
const VERSION: &str = "4.3.1";
/// How long a broker may take to start or stop.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(90);
/// A fixed cluster id: 16 bytes in URL-safe base64.
const CLUSTER_ID: &str = "b2ZmdGFrZS10ZXN0czAxMQ";
/// What folders of running brokers begin with.
const FOLDER_PREFIX: &str = "kafka-run-";

/// Where Kafka's programs log to, and what.
pub(super) const LOGGING: &str = "rootLogger.level=WARN\n\
                   rootLogger.appenderRefs=out\n\
                   rootLogger.appenderRef.out.ref=OUT\n\
                   appender.out.type=Console\n\
                   appender.out.name=OUT\n\
                   appender.out.layout.type=PatternLayout\n\
                   appender.out.layout.pattern=%d %p %c{1} %m%n\n";

/// A broker's process, or where it was.
#[derive(Debug)]
pub struct Node {
    id: i32,
    address: String,
    folder: PathBuf,
    heap: &'static str,
    process: Mutex<Option<Child>>,
}

/// What a broker is told.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its id.
    pub(super) id: i32,
    /// Port of its plain listener, which the harness' own clients use.
    pub(super) port: u16,
    /// Ports of the controllers by node id; its own is among them.
    pub(super) controllers: Vec<(i32, u16)>,
    /// Further listeners: name, security protocol, port.
    pub(super) listeners: Vec<(&'static str, &'static str, u16)>,
    /// Replicas of the internal topics.
    pub(super) replication: u16,
    /// Further lines of its properties.
    pub(super) properties: String,
    /// Further arguments of the storage's formatting.
    pub(super) format: Vec<String>,
    /// Heap of its Java machine.
    pub(super) heap: &'static str,
}

impl Node {
    /// Writes the settings into the folder and formats the storage; starts nothing.
    pub(super) fn format(plan: &Plan, folder: PathBuf) -> Result<Node> {
        fs::create_dir_all(&folder)?;
        write_settings(&folder, plan)?;
        let output = java(&libraries()?, &folder, plan.heap)
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(folder.join("server.properties"))
            .args(&plan.format)
            .output()
            .context("java cannot be run; install a Java runtime of version 17 or later")?;
        ensure!(
            output.status.success(),
            "the broker's storage cannot be formatted: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let address = format!("127.0.0.1:{}", plan.port);
        Ok(Node { id: plan.id, address, folder, heap: plan.heap, process: Mutex::new(None) })
    }

    /// Its id.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// `host:port` of its plain listener.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts the process, on the same port and data as before, and waits for nothing.
    pub(super) fn begin(&self) -> Result<()> {
        let mut process = self.process.lock().expect("no holder of this lock panics");
        ensure!(process.is_none(), "broker {} runs already", self.id);
        let out = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = java(&libraries()?, &self.folder, self.heap);
        command.args(["kafka.Kafka"]).arg(self.folder.join("server.properties"));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        *process = Some(spawn_from_lasting_thread(command)?);
        Ok(())
    }

    /// Waits until the broker takes part in the cluster: ready is an answer that names it, not an
    /// open port.
    pub(super) fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let client = Clients::new(self.address.clone()).consumer(&[])?;
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_millis(500));
            let found = |broker: &rdkafka::metadata::MetadataBroker| broker.id() == self.id;
            if metadata.is_ok_and(|metadata| metadata.brokers().iter().any(found)) {
                return Ok(());
            }
            let ended = self.ended()?;
            if ended || Instant::now() > deadline {
                let _ = self.kill();
                bail!("broker {} did not start (ended: {ended}): {}", self.id, self.log_tail());
            }
        }
    }

    /// Starts a stopped broker again, on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn launch(&self) -> Result<()> {
        self.begin()?;
        self.wait_until_ready()
    }

    /// Stops the broker as an administrator does.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn stop(&self) -> Result<()> {
        self.end("-TERM")
    }

    /// Kills the broker, a paused one too.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        self.end("-KILL")
    }

    /// Lets the broker hang: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Ends [`Node::pause`].
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Whether it was launched and not stopped or killed since; a paused one counts.
    pub fn is_launched(&self) -> bool {
        self.process.lock().is_ok_and(|process| process.is_some())
    }

    /// The end of the broker's log, for a failing test to print.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn ended(&self) -> Result<bool> {
        let mut process = self.process.lock().expect("no holder of this lock panics");
        let child = process.as_mut().context("the broker does not run")?;
        Ok(child.try_wait()?.is_some())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let process = self.process.lock().expect("no holder of this lock panics");
        let child = process.as_ref().context("the broker does not run")?;
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status()?;
        ensure!(status.success(), "the broker cannot be signalled");
        Ok(())
    }

    fn end(&self, signal: &str) -> Result<()> {
        self.signal(signal)?;
        let child = self.process.lock().expect("no holder of this lock panics").take();
        let Some(mut child) = child else { return Ok(()) };
        let deadline = Instant::now() + START_DEADLINE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("broker {} did not stop within {START_DEADLINE:?}", self.id);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.is_launched() {
            // Nothing more can be done about a broker that does not end.
            let _ = self.kill();
        }
    }
}

/// A folder for servers, removed when it is dropped or, where the process ended without that, by
/// the next one that needs such a folder.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Folder {
    pub(crate) fn new() -> Result<Folder> {
        let servers = target_folder()?.join("servers");
        // A folder is made and locked in one step, as far as others can see.
        let one_at_a_time = File::create(servers.join("kafka-run.lock"))?;
        one_at_a_time.lock()?;
        remove_stale(&servers);
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir_in(&servers)?;
        let lock = File::create(folder.path().join("lock"))?;
        lock.lock()?;
        Ok(Folder { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose process has ended; its servers ended with it.
fn remove_stale(servers: &Path) {
    let Ok(entries) = fs::read_dir(servers) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX);
        let in_use = || File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if ours && path.is_dir() && !in_use() {
            // What cannot be removed now is tried again by the next start.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The broker's jars, fetched once a checkout.
pub(super) fn libraries() -> Result<PathBuf> {
    let folder = target_folder()?.join("servers").join(format!("kafka-{VERSION}"));
    let libs = folder.join("libs");
    static FETCH: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FETCH.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if libs.join(format!("kafka_2.13-{VERSION}.jar")).exists() {
        return Ok(libs);
    }
    fs::create_dir_all(&folder)?;
    // Into a folder of its own first, so that half of it is never taken for the whole.
    let fetched = tempfile::Builder::new().prefix("fetch-").tempdir_in(&folder)?;
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/kafka/pom.xml");
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", fetched.path().join("libs").display()))
        .output()
        .context("mvn cannot be run; install `maven`, or name a broker in OFFTAKE_TEST_KAFKA")?;
    ensure!(
        output.status.success(),
        "Kafka's jars cannot be fetched: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    if let Err(error) = fs::rename(fetched.path().join("libs"), &libs) {
        // Another process of this test run may have been first.
        ensure!(libs.exists(), "{}: {error}", libs.display());
    }
    Ok(libs)
}

/// A small Java machine with Kafka's classes that ends with this process, however that ends.
pub(super) fn java(libs: &Path, folder: &Path, heap: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Xms{heap}")).arg(format!("-Xmx{heap}"));
    command.args(["-Xss512k", "-XX:MaxMetaspaceSize=128m", "-XX:ReservedCodeCacheSize=48m"]);
    command
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()));
    // Where a listener may read the keys that tokens are signed with.
    let keys = format!("file://{}", folder.join("keys.json").display());
    command.arg(format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}"));
    command.arg(format!(
        "-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={}",
        folder.join("keys.json").display()
    ));
    command.arg("-cp").arg(format!("{}/*", libs.display())).current_dir(folder);
    command
}

fn write_settings(folder: &Path, plan: &Plan) -> Result<()> {
    let own = |(id, _): &&(i32, u16)| *id == plan.id;
    let controller = plan.controllers.iter().find(own).context("a node is its own controller")?.1;
    let quorum: Vec<String> =
        plan.controllers.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
    let mut listeners = vec![("PLAINTEXT", "PLAINTEXT", plan.port)];
    listeners.extend(&plan.listeners);
    let address = |(name, _, port): &(&str, &str, u16)| format!("{name}://127.0.0.1:{port}");
    let advertised: Vec<String> = listeners.iter().map(address).collect();
    let protocols: Vec<String> =
        listeners.iter().map(|(name, protocol, _)| format!("{name}:{protocol}")).collect();
    let settings = format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.bootstrap.servers={quorum}\n\
         controller.listener.names=CONTROLLER\n\
         listeners={advertised},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         offsets.topic.replication.factor={replication}\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor={replication}\n\
         transaction.state.log.min.isr={in_sync}\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor={replication}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         share.coordinator.state.topic.num.partitions=4\n\
         default.replication.factor={replication}\n\
         min.insync.replicas={in_sync}\n\
         group.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         broker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=300\n\
         {properties}",
        id = plan.id,
        quorum = quorum.join(","),
        advertised = advertised.join(","),
        protocols = protocols.join(","),
        data = folder.join("data").display(),
        replication = plan.replication,
        in_sync = plan.replication.div_ceil(2).min(2),
        properties = plan.properties,
    );
    fs::write(folder.join("server.properties"), settings)?;
    fs::write(folder.join("log4j2.properties"), LOGGING)?;
    Ok(())
}

/// Spawns from a thread that lives as long as this process: a child's death signal comes when the
/// thread that spawned it ends.
pub(crate) fn spawn_from_lasting_thread(mut command: Command) -> Result<Child> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if sender.send(command.spawn()).is_ok() {
            loop {
                thread::park();
            }
        }
    });
    Ok(receiver.recv()??)
}

/// One of Kafka's own tools, by class, run to its end.
pub(super) fn tool(folder: &Path, class: &str, arguments: &[&str]) -> Result<String> {
    let output = java(&libraries()?, folder, "64m").arg(class).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{class} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn target_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    fs::create_dir_all(target.join("servers"))?;
    Ok(target.canonicalize()?)
}
