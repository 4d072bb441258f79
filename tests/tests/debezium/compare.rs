//! Two recordings of one topic, compared byte for byte after what must differ is taken out.
//!
//! Records are paired in order; where one side has more or fewer, by operation and position, so
//! that one record too many does not make all after it differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::{at, items, masked, members};

/// A record as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: Option<String>,
    /// The value; `None`: a tombstone.
    pub(crate) value: Option<String>,
    /// Headers in order.
    pub(crate) headers: Vec<(String, Option<String>)>,
}

/// The records of each topic in order. The prefix is not part of the names.
pub(crate) type Topics = BTreeMap<String, Vec<Record>>;

/// Something that differs.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// The topic without the prefix.
    pub(crate) topic: String,
    /// Where in the record: `value.after.amount`, `key`, `headers`; `record` where one side has
    /// none.
    pub(crate) path: String,
    /// Which record: operation and position.
    pub(crate) record: String,
    /// Debezium's text.
    pub(crate) debezium: String,
    /// Offtake's.
    pub(crate) offtake: String,
}

/// What stands where something that must differ was.
const MASK: &str = "\"*\"";
/// Clocks of the process that publishes.
const PROCESSED: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];
/// Of a snapshot's row: the snapshots are taken at two places of the log, in two transactions, at
/// two times.
const OF_SNAPSHOT: [&str; 6] = ["ts_ms", "ts_us", "ts_ns", "txId", "lsn", "sequence"];

/// The topic that grows by itself, its prefix taken off.
const HEARTBEAT: &str = "__debezium-heartbeat";

/// Compares all topics.
pub(crate) fn differences(debezium: &Topics, offtake: &Topics) -> Vec<Difference> {
    let none = Vec::new();
    let names: BTreeSet<&String> = debezium.keys().chain(offtake.keys()).collect();
    let mut found = Vec::new();
    for topic in names {
        let mut theirs = debezium.get(topic).unwrap_or(&none).as_slice();
        let mut ours = offtake.get(topic).unwrap_or(&none).as_slice();
        if topic == HEARTBEAT {
            // How many there are is a matter of time.
            (theirs, ours) = (&theirs[..theirs.len().min(1)], &ours[..ours.len().min(1)]);
        }
        compare_topic(topic, theirs, ours, &mut found);
    }
    found
}

/// The topic that tells where transactions begin and end, its prefix taken off.
pub(crate) const TRANSACTIONS: &str = "transaction";

/// Takes out the records of transactions of which Debezium tells that nothing is in them and Offtake
/// tells nothing.
pub(crate) fn remove_empty_transactions(theirs: &mut Vec<Record>, ours: &[Record]) {
    fn of<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
        let value = record.value.as_deref()?;
        at(value, &["payload", name]).or_else(|| at(value, &[name]))
    }
    // A position follows the number of the transaction, at its begin another one than at its end.
    fn transaction(record: &Record) -> Option<&str> {
        of(record, "id")?.trim_matches('"').split(':').next()
    }
    let told: BTreeSet<&str> = ours.iter().filter_map(transaction).collect();
    let empty: BTreeSet<String> = theirs
        .iter()
        .filter(|record| of(record, "event_count") == Some("0"))
        .filter_map(transaction)
        .filter(|number| !told.contains(number))
        .map(str::to_owned)
        .collect();
    theirs.retain(|record| transaction(record).is_none_or(|number| !empty.contains(number)));
}

fn compare_topic(topic: &str, theirs: &[Record], ours: &[Record], found: &mut Vec<Difference>) {
    let signatures = |records: &[Record]| records.iter().map(signature).collect::<Vec<String>>();
    let (their_names, our_names) = (signatures(theirs), signatures(ours));
    for (their, our) in pairs(&their_names, &our_names) {
        let mut add = |path: &str, debezium: &str, offtake: &str| {
            found.push(Difference {
                topic: topic.to_owned(),
                path: path.to_owned(),
                record: their.map_or_else(
                    || our.map_or_else(String::new, |our| our_names[our].clone()),
                    |their| their_names[their].clone(),
                ),
                debezium: debezium.to_owned(),
                offtake: offtake.to_owned(),
            });
        };
        match (their.map(|their| &theirs[their]), our.map(|our| &ours[our])) {
            (Some(their), Some(our)) => compare_records(topic, their, our, &mut add),
            (Some(their), None) => add("record", &text_of(their), "none"),
            (None, Some(our)) => add("record", "none", &text_of(our)),
            (None, None) => {}
        }
    }
}

fn compare_records(
    topic: &str,
    their: &Record,
    our: &Record,
    add: &mut impl FnMut(&str, &str, &str),
) {
    let text = |part: &Option<String>| part.clone().unwrap_or_else(|| "null".to_owned());
    compare_text("key", &text(&their.key), &text(&our.key), add);
    let value = |record: &Record| {
        record.value.as_ref().map_or_else(|| "null".to_owned(), |value| without(topic, value))
    };
    compare_text("value", &value(their), &value(our), add);
    if their.headers.len() != our.headers.len() {
        add("headers", &format!("{:?}", their.headers), &format!("{:?}", our.headers));
        return;
    }
    for (their, our) in their.headers.iter().zip(&our.headers) {
        let is_run = their.0 == "__debezium.context.runId" && their.0 == our.0;
        if their != our && !(is_run && our.1.is_some()) {
            add(&format!("headers.{}", their.0), &format!("{their:?}"), &format!("{our:?}"));
        }
    }
}

/// The value without what must differ.
fn without(topic: &str, value: &str) -> String {
    let with_schema = members(value).is_some_and(|members| {
        members.len() == 2 && members[0].0 == "schema" && members[1].0 == "payload"
    });
    let prefix: &[&str] = if with_schema { &["payload"] } else { &[] };
    let at_payload = |path: &[&str]| at(value, &[prefix, path].concat());
    let mut paths: Vec<Vec<&str>> = Vec::new();
    let mut mask = |path: &[&'static str]| paths.push([prefix, path].concat());
    // The time in a transaction's record is the database's.
    if topic != "transaction" {
        PROCESSED.iter().for_each(|name| mask(&[name]));
    }
    mask(&["source", "version"]);
    if at_payload(&["op"]) == Some("\"r\"") {
        OF_SNAPSHOT.iter().for_each(|name| mask(&["source", name]));
    }
    masked(value, &paths, MASK)
}

/// Walks both texts down to what differs.
fn compare_text(path: &str, their: &str, our: &str, add: &mut impl FnMut(&str, &str, &str)) {
    if their == our {
        return;
    }
    if let (Some(theirs), Some(ours)) = (members(their), members(our)) {
        let names = |members: &[(&str, &str)]| {
            members.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<String>>()
        };
        compare_lists(path, &names(&theirs), &names(&ours), add);
        for (name, their) in &theirs {
            if let Some((_, our)) = ours.iter().find(|(found, _)| found == name) {
                compare_text(&format!("{path}.{name}"), their, our, add);
            }
        }
        return;
    }
    // Fields of a schema, by their names.
    if let (Some(theirs), Some(ours)) = (fields(their), fields(our)) {
        let names = |fields: &[(String, &str)]| {
            fields.iter().map(|(name, _)| name.clone()).collect::<Vec<String>>()
        };
        compare_lists(path, &names(&theirs), &names(&ours), add);
        for (name, their) in &theirs {
            if let Some((_, our)) = ours.iter().find(|(found, _)| found == name) {
                compare_text(&format!("{path}.{name}"), their, our, add);
            }
        }
        return;
    }
    add(path, their, our);
}

/// Which names are missing, too many or in another order.
fn compare_lists(
    path: &str,
    theirs: &[String],
    ours: &[String],
    add: &mut impl FnMut(&str, &str, &str),
) {
    for name in theirs.iter().filter(|name| !ours.contains(name)) {
        add(&format!("{path}.{name}"), "there", "missing");
    }
    for name in ours.iter().filter(|name| !theirs.contains(name)) {
        add(&format!("{path}.{name}"), "missing", "there");
    }
    let common = |names: &[String], others: &[String]| {
        names.iter().filter(|name| others.contains(name)).cloned().collect::<Vec<String>>()
    };
    let (their, our) = (common(theirs, ours), common(ours, theirs));
    if their != our {
        add(&format!("{path} (order)"), &their.join(","), &our.join(","));
    }
}

/// The items of an array of a schema's fields, by name.
fn fields(text: &str) -> Option<Vec<(String, &str)>> {
    let named = |item| Some((at(item, &["field"])?.trim_matches('"').to_owned(), item));
    items(text)?.into_iter().map(named).collect()
}

/// Operation and position, by which records of both sides are paired.
fn signature(record: &Record) -> String {
    let Some(value) = &record.value else { return "tombstone".to_owned() };
    let payload = at(value, &["payload"]).unwrap_or(value);
    let part = |path: &[&str]| at(payload, path).unwrap_or("").trim_matches('"').to_owned();
    let operation = part(&["op"]);
    match operation.as_str() {
        "" => part(&["status"]),
        "r" => operation,
        _ => format!("{operation} {}", part(&["source", "lsn"])),
    }
}

fn text_of(record: &Record) -> String {
    format!(
        "{} = {}",
        record.key.as_deref().unwrap_or("null"),
        record.value.as_deref().unwrap_or("null")
    )
}

/// The longest common subsequence as pairs, with what only one side has in between.
fn pairs(theirs: &[String], ours: &[String]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut longest = vec![vec![0_usize; ours.len() + 1]; theirs.len() + 1];
    for their in (0..theirs.len()).rev() {
        for our in (0..ours.len()).rev() {
            longest[their][our] = if theirs[their] == ours[our] {
                longest[their + 1][our + 1] + 1
            } else {
                longest[their + 1][our].max(longest[their][our + 1])
            };
        }
    }
    let (mut their, mut our) = (0, 0);
    let mut pairs = Vec::new();
    while their < theirs.len() || our < ours.len() {
        if their < theirs.len() && our < ours.len() && theirs[their] == ours[our] {
            pairs.push((Some(their), Some(our)));
            (their, our) = (their + 1, our + 1);
        } else if our == ours.len()
            || (their < theirs.len() && longest[their + 1][our] >= longest[their][our + 1])
        {
            pairs.push((Some(their), None));
            their += 1;
        } else {
            pairs.push((None, Some(our)));
            our += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: Option<&str>) -> Record {
        Record { key: Some(key.to_owned()), value: value.map(str::to_owned), headers: Vec::new() }
    }

    fn topics(records: &[Record]) -> Topics {
        Topics::from([("t".to_owned(), records.to_vec())])
    }

    #[test]
    fn only_what_must_differ_may_differ() {
        let their = r#"{"before":null,"after":{"a":1},"source":{"version":"3","lsn":7,"txId":1},"op":"c","ts_ms":5}"#;
        let our = r#"{"before":null,"after":{"a":1},"source":{"version":"o","lsn":7,"txId":1},"op":"c","ts_ms":6}"#;
        let compare = |our: &str| {
            differences(&topics(&[record("k", Some(their))]), &topics(&[record("k", Some(our))]))
        };
        assert_eq!(compare(our).len(), 0);
        for (from, to, path) in [
            (r#""a":1"#, r#""a":1.0"#, "value.after.a"),
            (r#""txId":1"#, r#""txId":2"#, "value.source.txId"),
            (r#""before":null,"#, "", "value.before"),
            (r#""lsn":7,"txId":1"#, r#""txId":1,"lsn":7"#, "value.source (order)"),
        ] {
            let found = compare(&our.replace(from, to));
            assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), [path]);
        }
    }

    #[test]
    fn a_missing_record_is_one_difference() {
        let value = |lsn: u32| format!(r#"{{"source":{{"lsn":{lsn}}},"op":"c"}}"#);
        let all: Vec<Record> = (0..5).map(|lsn| record("k", Some(&value(lsn)))).collect();
        let mut fewer = all.clone();
        fewer.remove(2);
        let found = differences(&topics(&all), &topics(&fewer));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].record.as_str()), ("record", "c 2"));
        assert_eq!(differences(&topics(&fewer), &topics(&all)).len(), 1);
    }

    #[test]
    fn fields_of_a_schema_are_told_apart_by_name() {
        let schema = |field: &str| {
            format!(
                r#"{{"schema":{{"fields":[{{"type":"int32","field":"a"}},{field}]}},"payload":{{"op":"c"}}}}"#
            )
        };
        let their = schema(r#"{"type":"int64","field":"b"}"#);
        let our = schema(r#"{"type":"int32","field":"b"}"#);
        let found =
            differences(&topics(&[record("k", Some(&their))]), &topics(&[record("k", Some(&our))]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "value.schema.fields.b.type");
    }
}
