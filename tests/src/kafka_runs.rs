//! Lays the records of a partition against the messages that it should hold.
//!
//! A sink that delivers at least once goes back to its cursor after a crash and sends the same
//! messages again. So a partition is a sequence of runs: each is a piece of the expected messages
//! without a gap, begins nowhere beyond the first message that was not there yet, and what it
//! repeats is equal to the first time to the byte. Anything else is a loss, a change of order or an
//! invention.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};

use crate::kafka::Record;
use crate::kafka_expected::Expected;

/// How a partition is made up.
#[derive(Debug, Default)]
pub struct Runs<'r> {
    /// The record of each expected message that was there first, in order.
    pub first: Vec<&'r Record>,
    /// Records beyond those.
    pub resent: usize,
    /// Times that a run broke off and another began earlier.
    pub restarts: usize,
}

/// What must be equal to the byte.
type Content<'r> = (&'r Option<Vec<u8>>, &'r Option<Vec<u8>>, &'r [(String, Vec<u8>)]);

fn content(record: &Record) -> Content<'_> {
    (&record.key, &record.value, &record.headers)
}

/// Lays the records of one partition against its expected messages, both in order.
pub fn runs<'r>(expected: &[&Expected<'_>], records: &[&'r Record]) -> Result<Runs<'r>> {
    let mut runs = Runs::default();
    let mut places: HashMap<Content<'r>, Vec<usize>> = HashMap::new();
    // Where the last record may stand; more than one place only after a tombstone, which is equal
    // to every other of its key.
    let mut at: Vec<usize> = Vec::new();
    for record in records {
        let next: Vec<usize> = at
            .iter()
            .map(|place| place + 1)
            .filter(|&place| {
                runs.first.get(place).is_some_and(|was| content(was) == content(record))
            })
            .collect();
        let front = runs.first.len();
        let is_due = || expected.get(front).is_some_and(|due| due.mismatch(record).is_none());
        match places.get(&content(record)) {
            _ if !next.is_empty() => {
                runs.resent += 1;
                at = next;
            }
            // Looked at before what is due: a snapshot that began anew has the same rows twice, and
            // only the bytes, in which their times are, tell them apart. Tombstones have none.
            Some(earlier) if record.value.is_some() || !is_due() => {
                runs.resent += 1;
                runs.restarts += 1;
                at.clone_from(earlier);
            }
            _ if is_due() => {
                runs.first.push(record);
                places.entry(content(record)).or_default().push(front);
                at = vec![front];
            }
            _ => bail!(explain(expected, &runs.first, &at, record)),
        }
    }
    if let Some(missing) = expected.get(runs.first.len()) {
        bail!(
            "lost: {} of {} messages did not arrive, the first of sequence {}",
            expected.len() - runs.first.len(),
            expected.len(),
            missing.change.sequence
        );
    }
    stale(expected, records)?;
    Ok(runs)
}

/// After everything a consumer that keeps the last value of a key must have the last one.
fn stale(expected: &[&Expected<'_>], records: &[&Record]) -> Result<()> {
    let mut last: HashMap<&[u8], &Record> = HashMap::new();
    for record in records {
        last.insert(record.key.as_deref().unwrap_or_default(), record);
    }
    let due: HashMap<&[u8], &Expected<'_>> =
        expected.iter().map(|message| (&message.key[..], *message)).collect();
    for (key, message) in due {
        let mismatch = last.get(key).and_then(|record| message.mismatch(record));
        ensure!(
            mismatch.is_none(),
            "stale: the last record of key {} is not the one of sequence {}: {}",
            String::from_utf8_lossy(key),
            message.change.sequence,
            mismatch.unwrap_or_default()
        );
    }
    Ok(())
}

fn explain(expected: &[&Expected<'_>], first: &[&Record], at: &[usize], record: &Record) -> String {
    let front = first.len();
    let place = format!(
        "offset {}, key {}",
        record.offset,
        String::from_utf8_lossy(record.key.as_deref().unwrap_or_default())
    );
    let is = |message: &&Expected<'_>| message.mismatch(record).is_none();
    let due = expected.get(front);
    if let Some(ahead) = expected.iter().skip(front).position(is) {
        let (due, ahead) = (expected[front].change, expected[front + ahead].change);
        return format!(
            "lost or out of order: {place} is of sequence {} where {} is due",
            ahead.sequence, due.sequence
        );
    }
    if let Some(again) = expected.iter().take(front).rposition(is) {
        let bytes = |record: &Record| {
            record.value.as_deref().map(String::from_utf8_lossy).map(String::from)
        };
        return format!(
            "sent again with other bytes: {place} is of sequence {}: {:?} was {:?} at offset {}",
            expected[again].change.sequence,
            bytes(record),
            bytes(first[again]),
            first[again].offset
        );
    }
    let reason = due.and_then(|due| due.mismatch(record));
    format!(
        "invented: {place} is no message of the log; due is one of sequence {:?}: {}; the last \
         record stands at {at:?} of {}",
        due.map(|due| due.change.sequence),
        reason.unwrap_or_default(),
        expected.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_expected::expected;
    use crate::subscriber::{Image, Received, Seen};
    use offtake_proto::v1::{Operation, Snapshot};

    fn image(id: i64, version: i64) -> Image {
        let value = |number: i64| Seen::Value(number.to_string());
        Image::from([("id".to_owned(), value(id)), ("ver".to_owned(), value(version))])
    }

    fn change(
        sequence: u64,
        operation: Operation,
        before: Option<Image>,
        after: Option<Image>,
    ) -> Received {
        Received {
            sequence,
            stream: "s.public.kv".to_owned(),
            table: "kv".to_owned(),
            operation,
            before,
            after,
            transaction: "7".to_owned(),
            commit: 100,
            commit_unix_us: 5,
            order: sequence,
            snapshot: Snapshot::None,
            position: 0,
        }
    }

    /// Create, two updates, a move from 1 to 2, an update, a delete.
    fn changes() -> Vec<Received> {
        use Operation::{Create, Delete, Update};
        vec![
            change(1, Create, None, Some(image(1, 1))),
            change(2, Update, Some(image(1, 1)), Some(image(1, 2))),
            change(3, Update, Some(image(1, 2)), Some(image(1, 3))),
            change(4, Update, Some(image(1, 3)), Some(image(2, 4))),
            change(5, Update, Some(image(2, 4)), Some(image(2, 5))),
            change(6, Delete, Some(image(2, 5)), None),
        ]
    }

    fn json(image: Option<&Image>) -> serde_json::Value {
        image.map_or(serde_json::Value::Null, |image| {
            let number = |seen: &Seen| match seen {
                Seen::Value(text) => text.parse::<i64>().unwrap(),
                other => panic!("{other:?}"),
            };
            image.iter().map(|(name, seen)| (name.clone(), number(seen))).collect()
        })
    }

    fn records(messages: &[Expected<'_>]) -> Vec<Record> {
        let record = |(offset, message): (usize, &Expected<'_>)| {
            Record {
            partition: 0,
            offset: offset as i64,
            key: Some(message.key.clone()),
            value: message.operation.map(|operation| {
                let source = serde_json::json!({
                    "txId": message.change.transaction.parse::<u64>().ok(),
                    "table": "kv",
                    "snapshot": (message.change.snapshot != Snapshot::None).to_string(),
                    "ts_us": 5,
                    "lsn": message.change.sequence,
                });
                let (before, after) = (json(message.before), json(message.after));
                serde_json::json!({"op": operation, "source": source, "before": before, "after": after})
                    .to_string()
                    .into_bytes()
            }),
            headers: message.headers.clone(),
        }
        };
        messages.iter().enumerate().map(record).collect()
    }

    /// Lays the records at these places against what is expected.
    fn lay(order: &[usize], spoil: impl Fn(&mut Vec<Record>)) -> Result<(usize, usize)> {
        lay_of(&changes(), order, spoil)
    }

    fn lay_of(
        changes: &[Received],
        order: &[usize],
        spoil: impl Fn(&mut Vec<Record>),
    ) -> Result<(usize, usize)> {
        let messages = expected(&changes.iter().collect::<Vec<_>>(), 1, None).unwrap();
        let all = records(&messages);
        let mut sent: Vec<Record> = order.iter().map(|&place| all[place].clone()).collect();
        spoil(&mut sent);
        let messages: Vec<&Expected<'_>> = messages.iter().collect();
        let sent: Vec<&Record> = sent.iter().collect();
        runs(&messages, &sent).map(|runs| (runs.resent, runs.restarts))
    }

    fn refused(order: &[usize], spoil: impl Fn(&mut Vec<Record>), expected: &str) {
        let error = lay(order, spoil).expect_err("it went unnoticed").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn runs_that_begin_at_or_before_the_front_are_taken() {
        let all = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(lay(&all, |_| ()).unwrap(), (0, 0));
        assert_eq!(lay(&[0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8], |_| ()).unwrap(), (3, 1));
        // Cut off twice, once in the middle of a run that was itself sent again.
        assert_eq!(lay(&[0, 1, 2, 3, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8], |_| ()).unwrap(), (5, 2));
        // From a tombstone.
        assert_eq!(lay(&[0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8], |_| ()).unwrap(), (2, 1));
    }

    #[test]
    fn rows_of_a_snapshot_that_began_anew_are_told_from_those_that_were_sent_again() {
        let row = |sequence, id| Received {
            transaction: String::new(),
            snapshot: Snapshot::Row,
            ..change(sequence, Operation::Read, None, Some(image(id, 1)))
        };
        let changes = [row(1, 1), row(2, 2), row(3, 1), row(4, 2)];
        assert_eq!(lay_of(&changes, &[0, 1, 0, 1, 2, 3], |_| ()).unwrap(), (2, 1));
        assert_eq!(lay_of(&changes, &[0, 1, 2, 2, 3], |_| ()).unwrap(), (1, 1));
        let lost = lay_of(&changes, &[0, 1, 0, 1], |_| ()).expect_err("it went unnoticed");
        assert!(lost.to_string().contains("lost: 2 of 4"), "{lost}");
    }

    #[test]
    fn a_gap_a_swap_and_an_end_that_is_missing_are_noticed() {
        refused(&[0, 1, 3, 4, 5, 6, 7, 8], |_| (), "lost or out of order");
        refused(&[0, 2, 1, 3, 4, 5, 6, 7, 8], |_| (), "lost or out of order");
        refused(&[0, 1, 2, 3, 4, 5, 6, 7], |_| (), "lost: 1 of 9");
        refused(&[0, 1, 2, 3, 5, 6, 7, 8], |_| (), "lost or out of order");
        // A gap in what is sent again, and then beyond the front.
        refused(&[0, 1, 2, 0, 3, 1, 5, 4, 6, 7, 8], |_| (), "lost or out of order");
    }

    #[test]
    fn other_bytes_at_the_second_time_are_noticed() {
        let order = [0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        let later = |records: &mut Vec<Record>| records[3].value.as_mut().unwrap().push(b' ');
        refused(&order, later, "sent again with other bytes");
        let wrong = |records: &mut Vec<Record>| records[5].headers.clear();
        refused(&order, wrong, "invented");
    }

    #[test]
    fn an_old_value_at_the_end_is_noticed() {
        refused(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 6], |_| (), "stale");
        refused(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 0], |_| (), "stale");
    }
}
