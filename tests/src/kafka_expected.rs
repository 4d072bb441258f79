//! What Kafka should hold: the messages that follow from the changes of a log.
//!
//! A change becomes one message in Debezium's form; a delete has a tombstone behind it; an update
//! that moves the key is a delete of the old one, a tombstone, and a create of the new one. A
//! message's partition is the one that Java's client would choose. Each expected message can say
//! what is wrong with a record that should be it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use offtake_change::Lsn;
use offtake_encode::partition_of;
use offtake_proto::v1::{Operation, Snapshot};
use serde_json::Value;

use crate::kafka::Record;
use crate::subscriber::{Image, Received, Seen, text};

/// What stands where an unchanged large value was not sent, as Debezium writes it.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// A message that a topic should hold.
#[derive(Clone, Debug)]
pub struct Expected<'c> {
    /// The change that it follows from.
    pub change: &'c Received,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's partition.
    pub partition: i32,
    /// `op` of the envelope; `None`: a tombstone.
    pub operation: Option<&'static str>,
    /// The before image.
    pub before: Option<&'c Image>,
    /// The after image.
    pub after: Option<&'c Image>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The last change of each transaction, by its sequence, and how many changes it has.
pub type Ends = BTreeMap<u64, u64>;

/// Where the transactions of a log end. `changes` are all of it.
pub fn ends(changes: &[Received]) -> Ends {
    let mut transactions: BTreeMap<(u64, &str), (u64, u64)> = BTreeMap::new();
    for change in changes.iter().filter(|change| !change.transaction.is_empty()) {
        let (last, count) =
            transactions.entry((change.commit, change.transaction.as_str())).or_default();
        *last = change.sequence.max(*last);
        *count += 1;
    }
    transactions.into_values().collect()
}

/// The headers that put a transaction together.
fn transaction_headers(change: &Received, ends: &Ends) -> Vec<(String, Vec<u8>)> {
    if change.transaction.is_empty() {
        return Vec::new();
    }
    let mut headers = vec![
        ("offtake.commit_position", Lsn(change.commit).to_string()),
        ("offtake.transaction", change.transaction.clone()),
        ("offtake.order", change.order.to_string()),
        ("offtake.sequence", change.sequence.to_string()),
    ];
    if let Some(count) = ends.get(&change.sequence) {
        headers.push(("offtake.last", count.to_string()));
    }
    headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect()
}

/// The messages of a topic with so many partitions, in the log's order. `changes` are all changes
/// of its stream; `ends` where transactions end, if the headers tell of them.
pub fn expected<'c>(
    changes: &[&'c Received],
    partitions: i32,
    ends: Option<&Ends>,
) -> Result<Vec<Expected<'c>>> {
    let mut all = Vec::new();
    for change in changes {
        let begin = all.len();
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let old = before.map(|image| key_of(&change.table, image)).transpose()?;
        let new = after.map(|image| key_of(&change.table, image)).transpose()?;
        let message = |key: &[u8], operation, before, after| Expected {
            change,
            key: key.to_vec(),
            partition: partition_of(key, partitions),
            operation,
            before,
            after,
            headers: Vec::new(),
        };
        match (change.operation, old, new) {
            (Operation::Read, _, Some(new)) => all.push(message(&new, Some("r"), None, after)),
            (Operation::Create, _, Some(new)) => all.push(message(&new, Some("c"), None, after)),
            (Operation::Delete, Some(old), _) => {
                all.push(message(&old, Some("d"), before, None));
                all.push(message(&old, None, None, None));
            }
            (Operation::Update, Some(old), Some(new)) if old != new => {
                let mut gone = message(&old, Some("d"), before, None);
                gone.headers.push(("__debezium.newkey".to_owned(), new.clone()));
                let mut tombstone = message(&old, None, None, None);
                tombstone.headers.clone_from(&gone.headers);
                let mut come = message(&new, Some("c"), None, after);
                come.headers.push(("__debezium.oldkey".to_owned(), old.clone()));
                all.extend([gone, tombstone, come]);
            }
            (Operation::Update, _, Some(new)) => {
                all.push(message(&new, Some("u"), before, after));
            }
            (Operation::Message, _, Some(key)) => all.push(message(&key, Some("m"), None, None)),
            (operation, ..) => bail!("no message is known for {operation:?}: {change:?}"),
        }
        if let Some(ends) = ends {
            let headers = transaction_headers(change, ends);
            all[begin..].iter_mut().for_each(|it| it.headers.extend_from_slice(&headers));
        }
    }
    Ok(all)
}

/// The key of a row of the load's tables, or of a message, as JSON.
fn key_of(table: &str, image: &Image) -> Result<Vec<u8>> {
    if table.is_empty() {
        let prefix = text(image, "prefix").context("a message without a prefix")?;
        return Ok(format!("{{\"prefix\":\"{prefix}\"}}").into_bytes());
    }
    let column = match table {
        "kv" | "bank" | "doc" => "id",
        "journal" => "tx",
        _ => bail!("table {table} is none of the load's"),
    };
    let value = text(image, column).with_context(|| format!("{table}.{column} has no value"))?;
    Ok(format!("{{\"{column}\":{value}}}").into_bytes())
}

impl Expected<'_> {
    /// What tells a record from this message; `None`: it is this one.
    pub fn mismatch(&self, record: &Record) -> Option<String> {
        if record.key.as_deref() != Some(&self.key[..]) {
            return Some("another key".to_owned());
        }
        match (self.operation, &record.value) {
            (None, None) => None,
            (None, Some(_)) => Some("a value where a tombstone is due".to_owned()),
            (Some(_), None) => Some("a tombstone where a value is due".to_owned()),
            (Some(operation), Some(value)) => match serde_json::from_slice(value) {
                Err(error) => Some(format!("no JSON: {error}")),
                Ok(envelope) => self.envelope(operation, &envelope),
            },
        }
        .or_else(|| (record.headers != self.headers).then(|| "other headers".to_owned()))
    }

    fn envelope(&self, operation: &str, envelope: &Value) -> Option<String> {
        let source = &envelope["source"];
        let transaction = match self.change.transaction.as_str() {
            "" => Value::Null,
            number => number.parse::<u64>().map_or(Value::Null, Value::from),
        };
        let snapshot = source["snapshot"].as_str() != Some("false");
        if envelope["op"] != operation {
            Some(format!("op {} where {operation} is due", envelope["op"]))
        } else if source["txId"] != transaction {
            Some(format!("txId {} where {transaction} is due", source["txId"]))
        } else if source["table"] != self.change.table.as_str() {
            Some(format!("table {}", source["table"]))
        } else if snapshot != (self.change.snapshot != Snapshot::None) {
            Some(format!("snapshot {}", source["snapshot"]))
        } else if !transaction.is_null() && source["ts_us"] != self.change.commit_unix_us {
            Some("another commit time".to_owned())
        } else if operation == "m" {
            let after = self.change.after.as_ref();
            let prefix = after.and_then(|image| text(image, "prefix"));
            let differs = envelope["message"]["prefix"].as_str() != prefix;
            differs.then(|| "another prefix".to_owned())
        } else {
            differs("before", self.before, &envelope["before"])
                .or_else(|| differs("after", self.after, &envelope["after"]))
        }
    }
}

fn differs(name: &str, image: Option<&Image>, json: &Value) -> Option<String> {
    let Some(image) = image else {
        return (!json.is_null()).then(|| format!("{name} is not null"));
    };
    for (column, seen) in image {
        let same = match (seen, &json[column]) {
            (Seen::Null, value) => value.is_null(),
            (Seen::Unchanged, value) => value == UNAVAILABLE,
            (Seen::Value(text), Value::String(value)) => value == text,
            (Seen::Value(text), Value::Number(value)) => value.to_string() == *text,
            _ => false,
        };
        if !same {
            return Some(format!("{name}.{column} differs"));
        }
    }
    None
}
