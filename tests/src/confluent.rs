//! A consumer that nobody here wrote: Confluent's Python client with its own Avro, Protobuf and JSON
//! Schema deserialisers, installed by pip at pinned versions, once a checkout.
//!
//! It reads what is in a topic and hands it over as JSON, so that a test sees what a user's program
//! would see. It can write as well, with the client's own serialisers, which proves the harness.
//! Only `SKIP_KAFKA=1` leaves these tests out, as with the broker (`kafka`).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kafka::target_folder;

/// The packages, each with its version.
const REQUIREMENTS: &str = include_str!("../servers/confluent/requirements.txt");
/// How long the program may take for a topic.
const DEADLINE: Duration = Duration::from_secs(90);

/// How a part of a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Avro with Confluent's framing.
    Avro,
    /// Protobuf with Confluent's framing.
    Protobuf,
    /// JSON under a JSON Schema, with Confluent's framing.
    Json,
    /// Text without a schema.
    Text,
}

/// A message as the client gave it to a program.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Message {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key; null where there is none.
    #[serde(default)]
    pub key: Value,
    /// The id of the key's schema.
    pub key_id: Option<i32>,
    /// The value; null: a tombstone.
    #[serde(default)]
    pub value: Value,
    /// The id of the value's schema.
    pub value_id: Option<i32>,
    /// Why the client's deserialisers refuse the message.
    pub error: Option<String>,
}

/// A message to write: a key as text and a value, null for a tombstone.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
}

/// The program's input.
#[derive(Serialize)]
struct Task<'a> {
    mode: &'static str,
    brokers: &'a str,
    registry: &'a str,
    topic: &'a str,
    seconds: u64,
    value: Form,
    #[serde(flatten)]
    more: More<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum More<'a> {
    Consume { key: Form, count: usize },
    Produce { schema: &'a str, records: &'a [Record] },
}

/// The client with a cluster and a registry.
#[derive(Clone, Debug)]
pub struct Confluent {
    packages: PathBuf,
    brokers: String,
    registry: String,
}

impl Confluent {
    /// The client for these brokers and the registry at this base URL; installed when it is not yet.
    ///
    /// # Errors
    /// It cannot be installed; the text says why.
    pub fn new(brokers: &str, registry: &str) -> Result<Confluent> {
        let (brokers, registry) = (brokers.to_owned(), registry.to_owned());
        Ok(Confluent { packages: packages()?, brokers, registry })
    }

    /// Reads a topic to its end, and on until there are at least `count` messages; each partition
    /// in order.
    ///
    /// # Errors
    /// A message cannot be read, or there are too few in time.
    pub fn consume(
        &self,
        topic: &str,
        key: Form,
        value: Form,
        count: usize,
    ) -> Result<Vec<Message>> {
        let messages = self.try_consume(topic, key, value, count)?;
        let refused = messages.iter().find_map(|message| {
            Some((message.partition, message.offset, message.error.as_deref()?))
        });
        match refused {
            Some((partition, offset, error)) => bail!("{topic}/{partition}, {offset}: {error}"),
            None => Ok(messages),
        }
    }

    /// The same, where a message that the client's deserialisers refuse comes with its error.
    ///
    /// # Errors
    /// There are too few messages in time.
    pub fn try_consume(
        &self,
        topic: &str,
        key: Form,
        value: Form,
        count: usize,
    ) -> Result<Vec<Message>> {
        let output = self.run("consume", topic, value, More::Consume { key, count })?;
        let mut messages = Vec::new();
        for line in output.lines() {
            messages.push(serde_json::from_str::<Message>(line).context("a line of the client")?);
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        Ok(messages)
    }

    /// Writes records with the client's own serialiser, under that schema.
    ///
    /// # Errors
    /// A record does not fit the schema, or cannot be delivered.
    pub fn produce(&self, topic: &str, form: Form, schema: &str, records: &[Record]) -> Result<()> {
        self.run("produce", topic, form, More::Produce { schema, records }).map(drop)
    }

    fn run(&self, mode: &'static str, topic: &str, value: Form, more: More<'_>) -> Result<String> {
        let (brokers, registry) = (self.brokers.as_str(), self.registry.as_str());
        let seconds = DEADLINE.as_secs();
        let task = Task { mode, brokers, registry, topic, seconds, value, more };
        // What it compiles goes with the folder.
        let folder = tempfile::tempdir()?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "python3"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/confluent/client.py"))
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("python3 cannot be run; install `python3`")?;
        let mut input = child.stdin.take().context("standard input is piped")?;
        input.write_all(&serde_json::to_vec(&task)?)?;
        drop(input);
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "Confluent's client, {mode} {topic}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The client's packages.
fn packages() -> Result<PathBuf> {
    let servers = target_folder()?.join("servers");
    let folder = servers.join("confluent-python");
    // A copy of the list lies with the packages, so that another list is another installation.
    let is_current = || {
        fs::read_to_string(folder.join("requirements.txt")).is_ok_and(|text| text == REQUIREMENTS)
    };
    static INSTALL: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if is_current() {
        return Ok(folder);
    }
    // Into a folder of its own first, so that half of it is never taken for the whole.
    let fetched = tempfile::Builder::new().prefix("fetch-confluent-").tempdir_in(&servers)?;
    let packages = fetched.path().join("packages");
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--root-user-action=ignore", "--only-binary=:all:", "--target"])
        .arg(&packages)
        .arg("-r")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/confluent/requirements.txt"))
        .output()
        .context("python3 cannot be run; install `python3` and `python3-pip`")?;
    ensure!(
        output.status.success(),
        "Confluent's client cannot be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(packages.join("requirements.txt"), REQUIREMENTS)?;
    if folder.exists() && !is_current() {
        fs::remove_dir_all(&folder)?;
    }
    if let Err(error) = fs::rename(&packages, &folder) {
        // Another process of this test run may have been first.
        ensure!(is_current(), "{}: {error}", folder.display());
    }
    Ok(folder)
}
