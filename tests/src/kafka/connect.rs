//! Kafka Connect with its file sink and Debezium's unwrap, as a consumer of topics: what a pipeline
//! of somebody else makes of our messages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::node::{self, Folder};
use crate::debezium::Debezium;
use crate::ports::free_port;

/// Heap of Connect's Java machine.
const HEAP: &str = "256m";
/// Jars of Debezium's wheel that the unwrap needs, by how their names begin.
const UNWRAP: [&str; 6] = [
    "debezium-api-",
    "debezium-config-",
    "debezium-connect-plugins-",
    "debezium-connector-common-",
    "debezium-openlineage-api-",
    "debezium-util-",
];
/// The same for the file sink.
const FILE_SINK: [&str; 1] = ["connect-file-"];

/// A worker that writes a topic's unwrapped rows to a file, until it is dropped.
#[derive(Debug)]
pub struct FileSink {
    process: Child,
    folder: Folder,
}

impl FileSink {
    /// Starts it. The topic's keys and values are JSON with their schemas; a delete becomes a row
    /// whose `__deleted` is true.
    ///
    /// # Errors
    /// Java or Debezium's jars cannot be had.
    pub fn start(brokers: &str, topic: &str) -> Result<FileSink> {
        let folder = Folder::new()?;
        let jars = Debezium::get()?.libraries();
        link(&jars, &folder.path().join("plugins/unwrap"), &UNWRAP)?;
        link(&jars, &folder.path().join("plugins/file"), &FILE_SINK)?;
        let place = folder.path().display();
        let worker = format!(
            "bootstrap.servers={brokers}\n\
             key.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             key.converter.schemas.enable=true\n\
             value.converter.schemas.enable=true\n\
             offset.storage.file.filename={place}/offsets\n\
             offset.flush.interval.ms=500\n\
             plugin.path={place}/plugins\n\
             plugin.discovery=only_scan\n\
             consumer.isolation.level=read_committed\n\
             listeners=http://127.0.0.1:{}\n",
            free_port()?
        );
        let sink = format!(
            "name=file\n\
             connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\n\
             tasks.max=1\n\
             topics={topic}\n\
             file={place}/rows\n\
             consumer.override.auto.offset.reset=earliest\n\
             transforms=unwrap\n\
             transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState\n\
             transforms.unwrap.delete.tombstone.handling.mode=rewrite\n"
        );
        fs::write(folder.path().join("worker.properties"), worker)?;
        fs::write(folder.path().join("sink.properties"), sink)?;
        fs::write(folder.path().join("log4j2.properties"), node::LOGGING)?;
        let out = fs::File::create(folder.path().join("connect.log"))?;
        let mut command = node::java(&node::libraries()?, folder.path(), HEAP);
        command.arg("org.apache.kafka.connect.cli.ConnectStandalone");
        command.args(["worker.properties", "sink.properties"]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let process = node::spawn_from_lasting_thread(command)?;
        Ok(FileSink { process, folder })
    }

    /// Waits until that many rows are written, and gives them a line each, in order.
    ///
    /// # Errors
    /// They do not come, or the worker ends.
    pub fn rows(&mut self, count: usize, patience: Duration) -> Result<Vec<String>> {
        let until = Instant::now() + patience;
        loop {
            let text = fs::read_to_string(self.folder.path().join("rows")).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count && text.ends_with('\n') {
                return Ok(lines);
            }
            let ended = self.process.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < until,
                "Connect wrote {} of {count} rows (ended: {ended:?}): {}",
                lines.len(),
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("connect.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        // Nothing more can be done about one that does not end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Links jars into a plugin's folder.
fn link(jars: &Path, folder: &Path, begins: &[&str]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let names: Vec<PathBuf> = fs::read_dir(jars)?.flatten().map(|entry| entry.path()).collect();
    for begin in begins {
        let is = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin))
        };
        let jar = names.iter().find(is).with_context(|| format!("there is no {begin}*.jar"))?;
        std::os::unix::fs::symlink(jar, folder.join(jar.file_name().context("a jar's name")?))?;
    }
    Ok(())
}
