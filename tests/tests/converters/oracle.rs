//! Asks Confluent's converters: runs `java/ConvertersOracle.java` with the jars of Debezium's
//! wheel.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use offtake_tests::postgres::servers_folder;

const CLASS: &str = "ConvertersOracle";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/ConvertersOracle.java");

/// The converter's answers to records, a line each. `libraries` come before the wheel's jars.
pub(crate) fn ask(
    converter: &str,
    libraries: Option<&Path>,
    records: &[String],
) -> Result<Vec<String>> {
    let classes = tempfile::tempdir()?;
    let mut class_path = compile(classes.path())?;
    if let Some(libraries) = libraries {
        class_path = format!("{}/*:{class_path}", libraries.display());
    }
    let mut java = Command::new("java")
        // What the environment says about Java machines is meant for the broker.
        .env_remove("_JAVA_OPTIONS")
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-cp", &class_path, CLASS, converter])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("java cannot be run; install a Java runtime of version 17 or later")?;
    let mut input = java.stdin.take().context("standard input is piped")?;
    let text = records.iter().map(|record| format!("{record}\n")).collect::<String>();
    // Beside the reading: neither side waits for a full pipe.
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let output = java.wait_with_output()?;
    let written = writer.join().expect("writing does not panic");
    ensure!(output.status.success(), "{CLASS} ended with {}", output.status);
    written?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Compiles our class and gives the class path with it.
fn compile(classes: &Path) -> Result<String> {
    let jars = servers_folder()?.join("debezium/libs");
    ensure!(jars.is_dir(), "{}: Debezium's jars are not there", jars.display());
    let status = Command::new("javac")
        .args(["-cp", &format!("{}/*", jars.display()), "-d"])
        .arg(classes)
        .arg(SOURCE)
        .status()
        .context("javac cannot be run; install a Java development kit of version 17 or later")?;
    ensure!(status.success(), "javac ended with {status}");
    Ok(format!("{}:{}/*", classes.display(), jars.display()))
}
