//! Protobuf beside Confluent's own converter, byte for byte, as the other formats.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use offtake_encode::connect::Node;
use offtake_encode::protobuf::{Protobuf, message_index, schema_text};
use offtake_tests::postgres::servers_folder;
use serde_json::Value;

use super::{connect_data, generate, generated, golden, lines, oracle, recorded};

const CONVERTER: &str = "io.confluent.connect.protobuf.ProtobufConverter";
/// What the converter needs in a newer version than Debezium's bundle has.
const JAR: &str = "proto-google-common-protos-2.22.1.jar";

/// The folder with the jar that is missing, fetched once a checkout.
fn libraries() -> Result<PathBuf> {
    static FETCH: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FETCH.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = servers_folder()?.join("confluent-7.0.16");
    if folder.join(JAR).exists() {
        return Ok(folder);
    }
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/confluent/pom.xml");
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DexcludeTransitive=true"])
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .output()
        .context("mvn cannot be run; install `maven`")?;
    ensure!(
        output.status.success(),
        "{JAR} cannot be fetched: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(folder)
}

/// Compares with the converter, record by record. Gives its answers.
fn compare(records: &[String]) -> Vec<String> {
    let answers = oracle::ask(CONVERTER, Some(&libraries().unwrap()), records).unwrap();
    assert_eq!(answers.len(), records.len());
    let mut written = 0;
    for (number, (record, answer)) in records.iter().zip(&answers).enumerate() {
        let record: Value = serde_json::from_str(record).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        let (schema, value) = connect_data::read(&record);
        let text = schema_text(&schema);
        let node = Node::<Protobuf>::root(&schema);
        if let Some(error) = answer["error"].as_str() {
            let refused = text.is_err() || !node.takes(&value);
            assert!(refused, "record {number}: the converter says {error}: {record}");
            continue;
        }
        let Some(expected) = answer["schema"].as_str() else {
            assert!(record["payload"].is_null(), "record {number}: {record}");
            continue;
        };
        assert_eq!(text.unwrap(), expected, "record {number}: {record}");
        assert!(node.takes(&value), "record {number}: {record}");
        let mut bytes = message_index().to_vec();
        node.put(&mut bytes, &value);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, answer["bytes"].as_str().unwrap(), "record {number}: {record}");
        written += 1;
    }
    println!("{} records, of which both write {written}", records.len());
    assert!(written * 4 > records.len(), "only {written} of {} are written", records.len());
    answers
}

/// Whether a schema is one that the gateway refuses and the converter takes, for values that do not
/// come: an outermost value that is no struct, arrays of maps (without elements).
fn is_refused_here(record: &Value) -> bool {
    fn has_array_of_maps(schema: &Value) -> bool {
        let inner = schema["fields"].as_array().into_iter().flatten();
        schema["items"]["type"] == "map"
            || inner
                .chain(["items", "keys", "values"].map(|key| &schema[key]))
                .any(|schema| schema.is_object() && has_array_of_maps(schema))
    }
    record["schema"]["type"] != "struct" || has_array_of_maps(&record["schema"])
}

fn without_refused(records: Vec<String>) -> Vec<String> {
    let kept = |record: &String| !is_refused_here(&serde_json::from_str(record).unwrap());
    records.into_iter().filter(kept).collect()
}

#[test]
fn protobuf_is_confluents_for_kept_records() {
    let answers = compare(&lines(&golden("protobuf.records.jsonl")));
    assert_eq!(answers, lines(&golden("protobuf.jsonl")), "the golden file is not what it was");
    let shared = without_refused(lines(&golden("connect.jsonl")));
    assert!(shared.len() > 20);
    compare(&shared);
}

#[test]
fn protobuf_is_confluents_for_generated_records() {
    compare(&without_refused(generated(generate::Names::Protobuf)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_is_confluents_for_debeziums_messages() {
    compare(&without_refused(recorded::records().await));
}
