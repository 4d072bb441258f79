//! A real Kafka broker for a test: one node in KRaft mode, fetched by Maven, started in a folder
//! and on ports of its own, stopped on drop; and a consumer that reads a topic to its end.
//!
//! Nothing here knows the gateway. A broker that cannot be had is an error, so that the test fails
//! instead of skipping itself; only `SKIP_KAFKA=1` lets it be left out, and says so. An address in
//! `OFFTAKE_TEST_KAFKA` names a running broker instead, which can be neither stopped nor paused.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Version of the broker; the one in `servers/kafka/pom.xml`.
const VERSION: &str = "4.3.1";
/// How long a broker may take to start or stop.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// How long one request of the harness' own clients may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A fixed cluster id: 16 bytes in URL-safe base64.
const CLUSTER_ID: &str = "b2ZmdGFrZS10ZXN0czAxMQ";

static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// A broker that runs until it is dropped.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    folder: Option<tempfile::TempDir>,
    process: Mutex<Option<Child>>,
}

/// A record as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Whether the user left Kafka out; then a line says which test did not run.
pub fn skipped(test: &str) -> bool {
    let skip = std::env::var("SKIP_KAFKA").is_ok_and(|value| value == "1");
    if skip {
        println!("SKIP_KAFKA=1: {test} did not run");
    }
    skip
}

impl Kafka {
    /// Starts a broker in a folder of its own.
    ///
    /// # Errors
    /// It cannot be had or does not become ready; the text says why.
    pub fn start() -> Result<Kafka> {
        if let Ok(brokers) = std::env::var("OFFTAKE_TEST_KAFKA") {
            return Ok(Kafka { brokers, folder: None, process: Mutex::new(None) });
        }
        let libs = libraries()?;
        let folder = tempfile::Builder::new()
            .prefix("kafka-")
            .tempdir_in(target_folder()?.join("servers"))?;
        let (port, controller) = (free_port()?, free_port()?);
        write_settings(folder.path(), port, controller)?;
        let output = java(&libs, folder.path())
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "--standalone", "-c"])
            .arg(folder.path().join("server.properties"))
            .output()
            .context("java cannot be run; install a Java runtime of version 17 or later")?;
        ensure!(
            output.status.success(),
            "the broker's storage cannot be formatted: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let brokers = format!("127.0.0.1:{port}");
        let kafka = Kafka { brokers, folder: Some(folder), process: Mutex::new(None) };
        kafka.launch()?;
        Ok(kafka)
    }

    /// A broker that every test of this process shares; it ends with the process. Never stop it.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// `host:port`, as clients want it.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// A prefix for topics that nobody else uses: `hint`, the process and a number.
    pub fn prefix(&self, hint: &str) -> String {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        format!("{hint}-{}-{number}", std::process::id())
    }

    /// Starts a stopped broker again, on the same port and data.
    ///
    /// # Errors
    /// It does not become ready, or is not ours.
    pub fn launch(&self) -> Result<()> {
        let folder = self.folder()?;
        let log = folder.join("server.log");
        let out = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = java(&libraries()?, folder);
        command.args(["kafka.Kafka"]).arg(folder.join("server.properties"));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = spawn_from_lasting_thread(command)?;
        let deadline = Instant::now() + START_DEADLINE;
        let client = self.consumer()?;
        // Ready is an answer that names a broker, not an open port.
        while !client
            .fetch_metadata(None, Duration::from_millis(500))
            .is_ok_and(|metadata| !metadata.brokers().is_empty())
        {
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("Kafka did not start ({ended:?}): {}", tail(&log));
            }
        }
        *self.process.lock().expect("no holder of this lock panics") = Some(child);
        Ok(())
    }

    /// Stops the broker as an administrator does.
    ///
    /// # Errors
    /// It does not end in time, or is not ours.
    pub fn stop(&self) -> Result<()> {
        self.end("-TERM")
    }

    /// Kills the broker.
    ///
    /// # Errors
    /// See [`Kafka::stop`].
    pub fn kill(&self) -> Result<()> {
        self.end("-KILL")
    }

    /// Stops and starts the broker.
    ///
    /// # Errors
    /// See [`Kafka::stop`] and [`Kafka::launch`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Lets the broker hang: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// It is not ours, or not running.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Ends [`Kafka::pause`].
    ///
    /// # Errors
    /// See there.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// The end of the broker's log, for a failing test to print.
    pub fn log_tail(&self) -> String {
        self.folder.as_ref().map_or(String::new(), |folder| tail(&folder.path().join("server.log")))
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<()> {
        let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in config {
            wanted = wanted.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let answer = runtime()?.block_on(self.admin()?.create_topics([&wanted], &options))?;
        for result in answer {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Changes one entry of a topic's configuration; the others go back to their defaults.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn set_topic_config(&self, topic: &str, name: &str, value: &str) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let admin = self.admin()?;
        let answer = runtime()?.block_on(admin.alter_configs([&change], &AdminOptions::new()))?;
        for result in answer {
            result.map_err(|(_, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// A topic's configuration, by name.
    ///
    /// # Errors
    /// There is no such topic, or the broker does not answer.
    pub fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let resource = ResourceSpecifier::Topic(topic);
        let answer = runtime()?
            .block_on(self.admin()?.describe_configs([&resource], &AdminOptions::new()))?;
        let found = answer.into_iter().next().context("no answer")??;
        Ok(found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Number of a topic's partitions; 0: there is no such topic.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn partitions(&self, topic: &str) -> Result<usize> {
        let metadata = self.consumer()?.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none())
            .map_or(0, |found| found.partitions().len()))
    }

    /// Names of all topics that begin with a prefix, in order.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn topics(&self, prefix: &str) -> Result<Vec<String>> {
        let metadata = self.consumer()?.fetch_metadata(None, REQUEST_TIMEOUT)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        Ok(names)
    }

    /// All records of a topic up to its end of now, each partition in order; none where there is
    /// no such topic.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn read(&self, topic: &str) -> Result<Vec<Record>> {
        let consumer = self.consumer()?;
        let mut assignment = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..i32::try_from(self.partitions(topic)?)? {
            let (low, high) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
            if high > low {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
                ends.insert(partition, high);
            }
        }
        let mut records = Vec::new();
        if ends.is_empty() {
            return Ok(records);
        }
        consumer.assign(&assignment)?;
        let deadline = Instant::now() + START_DEADLINE;
        while !ends.is_empty() {
            ensure!(Instant::now() < deadline, "topic {topic} cannot be read to its end");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            let (partition, offset) = (message.partition(), message.offset());
            let Some(&end) = ends.get(&partition) else { continue };
            records.push(record(&message));
            if offset + 1 >= end {
                ends.remove(&partition);
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Reads a topic until `enough`, or fails with what there is.
    ///
    /// # Errors
    /// The deadline passed.
    pub fn read_until(
        &self,
        topic: &str,
        deadline: Duration,
        enough: impl Fn(&[Record]) -> bool,
    ) -> Result<Vec<Record>> {
        let until = Instant::now() + deadline;
        loop {
            let records = self.read(topic).unwrap_or_default();
            if enough(&records) {
                return Ok(records);
            }
            ensure!(
                Instant::now() < until,
                "topic {topic} has {} records after {deadline:?}",
                records.len()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "offtake-tests")
            .set("enable.auto.commit", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .set("fetch.wait.max.ms", "50")
            .set("log_level", "0")
            .create()?)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("log_level", "0")
            .create()?)
    }

    fn folder(&self) -> Result<&Path> {
        let folder = self.folder.as_ref().context("a broker from the environment is not ours")?;
        Ok(folder.path())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        self.folder()?;
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
                bail!("Kafka did not stop within {START_DEADLINE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.folder.is_some() && self.process.lock().is_ok_and(|process| process.is_some()) {
            // Nothing more can be done about a broker that does not end.
            let _ = self.kill();
        }
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The broker's jars, fetched once a checkout.
fn libraries() -> Result<PathBuf> {
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

/// A small Java machine with the broker's classes.
fn java(libs: &Path, folder: &Path) -> Command {
    // setpriv lets the broker end with this process, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "java", "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC"]);
    command.args(["-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxMetaspaceSize=128m"]);
    command.arg("-XX:ReservedCodeCacheSize=48m");
    command
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()));
    command.arg("-cp").arg(format!("{}/*", libs.display())).current_dir(folder);
    command
}

fn write_settings(folder: &Path, port: u16, controller: u16) -> Result<()> {
    let data = folder.join("data");
    let settings = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         broker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=300\n",
        data.display()
    );
    fs::write(folder.join("server.properties"), settings)?;
    let logging = "rootLogger.level=WARN\n\
                   rootLogger.appenderRefs=out\n\
                   rootLogger.appenderRef.out.ref=OUT\n\
                   appender.out.type=Console\n\
                   appender.out.name=OUT\n\
                   appender.out.layout.type=PatternLayout\n\
                   appender.out.layout.pattern=%d %p %c{1} %m%n\n";
    fs::write(folder.join("log4j2.properties"), logging)?;
    Ok(())
}

/// Spawns from a thread that lives as long as this process: a child's death signal comes when the
/// thread that spawned it ends.
fn spawn_from_lasting_thread(mut command: Command) -> Result<Child> {
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

fn target_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    fs::create_dir_all(target.join("servers"))?;
    Ok(target.canonicalize()?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
