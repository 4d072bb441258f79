//! Source transactions as a consumer of committed records puts them together again: from the headers
//! alone, across topics and partitions, as `gateway/KAFKA.md` tells it to.
//!
//! What a transaction is and when it is whole is taken from the headers. That no transaction is
//! missing is checked against what the subscriber received; what their rows hold is known of the
//! bank alone: after every transaction the accounts add up to what they began with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use offtake_change::Lsn;
use offtake_proto::v1::Operation;
use serde_json::Value;

use crate::kafka::Record;
use crate::kafka_checker::Topic;
use crate::subscriber::Received;
use crate::workload::BANK_TOTAL;

/// A transaction as far as it was found.
#[derive(Debug, Default)]
struct Transaction {
    /// Its changes: for each sequence, the balance that it leaves an account with, if it is about one.
    changes: BTreeMap<u64, Option<(i64, i64)>>,
    /// How many changes it has, as its last one tells.
    last: Option<u64>,
}

/// Transactions by the position of their commits and their names.
type Transactions = BTreeMap<(String, String), Transaction>;

/// Puts every transaction together and adds the accounts up after each. Gives how many there are.
pub fn check(topics: &[Topic], changes: &[Received]) -> Result<usize> {
    // What comes before the last row that was copied may speak of rows that are copied later.
    let reads = changes.iter().filter(|change| change.operation == Operation::Read);
    let copied = reads.map(|change| change.sequence).max().unwrap_or(0);
    let mut transactions = Transactions::new();
    let mut accounts: BTreeMap<i64, i64> = BTreeMap::new();
    for topic in topics {
        let is_bank = topic.name.ends_with(".bank");
        for record in &topic.records {
            let balance = if is_bank { balance(record)? } else { None };
            let sequence = gather(&mut transactions, record, balance)
                .with_context(|| format!("topic {}, offset {}", topic.name, record.offset))?;
            if sequence.is_none_or(|sequence| sequence <= copied) {
                accounts.extend(balance);
            }
        }
    }
    whole(&transactions)?;
    complete(&transactions, changes)?;
    let mut in_order: Vec<&Transaction> = transactions.values().collect();
    in_order.sort_by_key(|transaction| transaction.changes.keys().next().copied());
    for transaction in in_order {
        let first = transaction.changes.keys().next().copied().unwrap_or_default();
        if first <= copied {
            continue;
        }
        accounts.extend(transaction.changes.values().copied().flatten());
        let sum: i64 = accounts.values().sum();
        ensure!(
            sum == BANK_TOTAL,
            "the bank holds {sum} after the transaction that begins with sequence {first}"
        );
    }
    Ok(transactions.len())
}

/// Adds a record to its transaction, and gives the sequence of its change; `None`: it belongs to no
/// transaction.
fn gather(
    transactions: &mut Transactions,
    record: &Record,
    balance: Option<(i64, i64)>,
) -> Result<Option<u64>> {
    let Some(id) = header(record, "offtake.transaction")? else { return Ok(None) };
    let commit = header(record, "offtake.commit_position")?.context("no commit position")?;
    let sequence = number(record, "offtake.sequence")?.context("no sequence")?;
    let transaction = transactions.entry((commit.to_owned(), id.to_owned())).or_default();
    let change = transaction.changes.entry(sequence).or_default();
    *change = change.or(balance);
    if let Some(last) = number(record, "offtake.last")? {
        ensure!(
            transaction.last.is_none_or(|known| known == last),
            "transaction {id} has {:?} changes and {last}",
            transaction.last
        );
        transaction.last = Some(last);
    }
    Ok(Some(sequence))
}

/// Every transaction has as many changes as its last one tells.
fn whole(transactions: &Transactions) -> Result<()> {
    for ((commit, id), transaction) in transactions {
        let Some(last) = transaction.last else {
            bail!("no message of transaction {id} at {commit} tells that it is the last");
        };
        ensure!(
            transaction.changes.len() as u64 == last,
            "transaction {id} at {commit} has {last} changes, of which {} are there",
            transaction.changes.len()
        );
    }
    Ok(())
}

/// No transaction is missing, and none is there that the log does not have.
fn complete(transactions: &Transactions, changes: &[Received]) -> Result<()> {
    let logged: BTreeSet<(String, String)> = changes
        .iter()
        .filter(|change| !change.transaction.is_empty())
        .map(|change| (Lsn(change.commit).to_string(), change.transaction.clone()))
        .collect();
    let found: BTreeSet<(String, String)> = transactions.keys().cloned().collect();
    let other = logged.symmetric_difference(&found).next();
    ensure!(other.is_none(), "transaction {other:?} is in the log or in Kafka, and not in both");
    Ok(())
}

/// An account and the balance that a record leaves it with.
fn balance(record: &Record) -> Result<Option<(i64, i64)>> {
    let Some(value) = &record.value else { return Ok(None) };
    let envelope: Value = serde_json::from_slice(value)?;
    let column = |name: &str| envelope["after"][name].as_i64().context("no number in an account");
    Ok(Some((column("id")?, column("balance")?)))
}

fn header<'r>(record: &'r Record, name: &str) -> Result<Option<&'r str>> {
    let found = record.headers.iter().find(|(key, _)| key == name);
    Ok(found.map(|(_, value)| std::str::from_utf8(value)).transpose()?)
}

fn number(record: &Record, name: &str) -> Result<Option<u64>> {
    let text = header(record, name)?;
    text.map(|text| text.parse().with_context(|| format!("{name} is no number"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_proto::v1::Snapshot;

    /// The sequence, transaction, account and balance of a change; `last` on the last of each.
    const TRANSFERS: [(u64, u64, i64, i64); 5] = [
        (3, 10, 1, 3_000),
        (4, 10, 2, 5_000),
        (5, 20, 1, 2_900),
        (6, 20, 2, 5_100),
        (7, 30, 1, 2_900),
    ];

    fn received(sequence: u64, commit: u64) -> Received {
        let is_read = commit == 0;
        Received {
            sequence,
            stream: "s.public.bank".to_owned(),
            table: "bank".to_owned(),
            operation: if is_read { Operation::Read } else { Operation::Update },
            before: None,
            after: None,
            transaction: if is_read { String::new() } else { format!("t{commit}") },
            commit,
            commit_unix_us: 5,
            order: 1,
            snapshot: if is_read { Snapshot::Row } else { Snapshot::None },
            position: 0,
        }
    }

    fn record(partition: i32, account: i64, balance: i64, headers: &[(&str, String)]) -> Record {
        let value = serde_json::json!({"after": {"id": account, "balance": balance}});
        let header =
            |(name, value): &(&str, String)| (name.to_string(), value.clone().into_bytes());
        Record {
            partition,
            offset: 0,
            key: None,
            value: Some(value.to_string().into_bytes()),
            headers: headers.iter().map(header).collect(),
        }
    }

    /// Two accounts are copied, then money moves; each account has a partition of its own.
    fn checked(spoil: impl Fn(&mut Vec<Record>)) -> Result<usize> {
        let mut changes = vec![received(1, 0), received(2, 0)];
        let mut records = vec![record(0, 1, 4_000, &[]), record(1, 2, 4_000, &[])];
        let ends = crate::kafka_expected::ends(
            &TRANSFERS.map(|(sequence, commit, ..)| received(sequence, commit)),
        );
        for (sequence, commit, account, balance) in TRANSFERS {
            changes.push(received(sequence, commit));
            let mut headers = vec![
                ("offtake.commit_position", Lsn(commit).to_string()),
                ("offtake.transaction", format!("t{commit}")),
                ("offtake.sequence", sequence.to_string()),
            ];
            headers.extend(ends.get(&sequence).map(|last| ("offtake.last", last.to_string())));
            records.push(record(account as i32 - 1, account, balance, &headers));
        }
        records.sort_by_key(|record| record.partition);
        spoil(&mut records);
        let topic = Topic { name: "s.public.bank".to_owned(), partitions: 2, records };
        check(&[topic], &changes)
    }

    #[test]
    fn transactions_are_put_together_across_partitions() {
        assert_eq!(checked(|_| ()).unwrap(), 3);
        // A repetition is no change of its own.
        assert_eq!(checked(|records| records.push(records[1].clone())).unwrap(), 3);
    }

    #[test]
    fn a_change_that_is_missing_a_sum_that_is_wrong_and_an_end_that_is_not_told_are_noticed() {
        let refused = |spoil: &dyn Fn(&mut Vec<Record>), expected: &str| {
            let error = format!("{:#}", checked(spoil).expect_err("it went unnoticed"));
            assert!(error.contains(expected), "{error}");
        };
        // The first of the second transaction; the last is in the other partition.
        refused(&|records| drop(records.remove(2)), "has 2 changes, of which 1 are there");
        refused(&|records| drop(records.remove(3)), "is in the log or in Kafka, and not in both");
        refused(
            &|records| records[2] = record(0, 1, 1, &header_list(&records[2])),
            "after the transaction that begins with sequence 5",
        );
        refused(&|records| drop(records[3].headers.pop()), "tells that it is the last");
    }

    fn header_list(record: &Record) -> Vec<(&'static str, String)> {
        let name = |name: &str| match name {
            "offtake.commit_position" => "offtake.commit_position",
            "offtake.transaction" => "offtake.transaction",
            "offtake.sequence" => "offtake.sequence",
            _ => "offtake.last",
        };
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        record.headers.iter().map(|(key, value)| (name(key), text(value))).collect()
    }
}
