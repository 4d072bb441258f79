//! Asks Confluent's converters: runs `java/ConvertersOracle.java` with the jars of Debezium's
//! wheel.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use offtake_tests::debezium::Debezium;

const CLASS: &str = "ConvertersOracle";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/ConvertersOracle.java");

/// The class path with our class, which is compiled once: no machine reads it meanwhile.
fn class_path() -> Result<String> {
    static CLASS_PATH: Mutex<Option<String>> = Mutex::new(None);
    let mut known = CLASS_PATH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(class_path) = &*known {
        return Ok(class_path.clone());
    }
    let class_path = Debezium::get()?.compile(Path::new(SOURCE))?;
    Ok(known.insert(class_path).clone())
}

/// The converter's answers to records, a line each. `libraries` come before the wheel's jars.
pub(crate) fn ask(
    converter: &str,
    libraries: Option<&Path>,
    records: &[String],
) -> Result<Vec<String>> {
    let mut class_path = class_path()?;
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
