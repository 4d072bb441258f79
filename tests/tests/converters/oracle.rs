//! Asks Confluent's converters and Debezium's own: runs a class of ours with the jars of Debezium's
//! wheel.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use offtake_tests::debezium::Debezium;

/// Our classes, in the folder `java`.
const CLASSES: [&str; 2] = ["ConvertersOracle", "CloudEventsOracle"];

/// The class path with our classes, which are compiled once: no machine reads them meanwhile.
fn class_path() -> Result<String> {
    static CLASS_PATH: Mutex<Option<String>> = Mutex::new(None);
    let mut known = CLASS_PATH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(class_path) = &*known {
        return Ok(class_path.clone());
    }
    let debezium = Debezium::get()?;
    let mut class_path = String::new();
    for class in CLASSES {
        let source = format!("{}/java/{class}.java", env!("CARGO_MANIFEST_DIR"));
        class_path = debezium.compile(Path::new(&source))?;
    }
    Ok(known.insert(class_path).clone())
}

/// A Confluent converter's answers to records, a line each. `libraries` come before the wheel's
/// jars.
pub(crate) fn ask(
    converter: &str,
    libraries: Option<&Path>,
    records: &[String],
) -> Result<Vec<String>> {
    ask_class("ConvertersOracle", converter, libraries, records)
}

/// What one of our classes answers to records, a line each.
pub(crate) fn ask_class(
    class: &str,
    argument: &str,
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
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-cp", &class_path, class, argument])
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
    ensure!(output.status.success(), "{class} ended with {}", output.status);
    written?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}
