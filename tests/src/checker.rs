//! Whether what a subscriber received is what the database committed: nothing lost, doubled,
//! invented or out of order.
//!
//! The rules follow CockroachDB's cdctest and the version chains of the load; each has a mutation
//! of the gateway that it must catch (`tests/kill.rs`).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use offtake_proto::v1::{Operation, Snapshot};

use crate::subscriber::{Image, Received, text};
use crate::workload::{BANK_TOTAL, Journal, NEVER};

/// What the check counted, for the printed figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Changes received.
    pub changes: usize,
    /// Of those, rows of snapshots.
    pub snapshot_rows: usize,
    /// Transactions received.
    pub transactions: usize,
    /// Transactions that the load had acknowledged.
    pub committed: usize,
    /// Messages outside of transactions.
    pub messages: usize,
}

/// Checks everything that was received of all streams, in order, against the load's journal and
/// the tables' final content (`kv`: id → (gen, ver); `bank`: id → balance; `doc`: id → ver).
pub fn check(changes: &[Received], journal: &Journal, tables: &Tables) -> Result<Figures> {
    dense_sequences(changes)?;
    let transactions = whole_transactions(changes)?;
    let seen = journal_numbers(changes)?;
    for number in &journal.committed {
        if !seen.contains(number) {
            bail!("lost: transaction {number} was committed and did not arrive");
        }
    }
    for number in &seen {
        if !journal.committed.contains(number) && !journal.unknown.contains(number) {
            bail!("invented: transaction {number} was not committed and arrived");
        }
    }
    let messages = messages_outside(changes, journal)?;
    let mut state = State::default();
    let last_read = changes.iter().rposition(|change| change.operation == Operation::Read);
    for (index, change) in changes.iter().enumerate() {
        // Until the last snapshot row the stream may speak of rows that were not copied yet.
        state.strict = last_read.is_none_or(|last| index > last);
        state.apply(change).with_context(|| format!("at {change:?}"))?;
    }
    state.compare(tables)?;
    Ok(Figures {
        changes: changes.len(),
        snapshot_rows: changes.iter().filter(|c| c.snapshot != Snapshot::None).count(),
        transactions,
        committed: journal.committed.len(),
        messages,
    })
}

/// The load's tables as they are in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// id → (generation, version).
    pub kv: BTreeMap<i64, (i64, i64)>,
    /// id → balance.
    pub bank: BTreeMap<i64, i64>,
    /// id → version.
    pub doc: BTreeMap<i64, i64>,
}

impl Tables {
    /// Reads them from the database.
    pub async fn read(client: &tokio_postgres::Client) -> Result<Tables> {
        let mut tables = Tables::default();
        for row in client.query("select id::int8, gen, ver from kv", &[]).await? {
            tables.kv.insert(row.get(0), (row.get(1), row.get(2)));
        }
        for row in client.query("select id::int8, balance from bank", &[]).await? {
            tables.bank.insert(row.get(0), row.get(1));
        }
        for row in client.query("select id::int8, ver from doc", &[]).await? {
            tables.doc.insert(row.get(0), row.get(1));
        }
        Ok(tables)
    }
}

fn dense_sequences(changes: &[Received]) -> Result<()> {
    for (index, change) in changes.iter().enumerate() {
        let expected = index as u64 + 1;
        if change.sequence != expected {
            bail!("sequence {} where {expected} was expected", change.sequence);
        }
    }
    Ok(())
}

/// Rows of a transaction are together, ordered from 1, as many as its journal row says; commits
/// move forward.
fn whole_transactions(changes: &[Received]) -> Result<usize> {
    let mut count = 0;
    let mut last_commit = 0;
    let streamed: Vec<&Received> =
        changes.iter().filter(|change| !change.transaction.is_empty()).collect();
    for rows in streamed.chunk_by(|a, b| a.transaction == b.transaction && a.commit == b.commit) {
        let first = rows[0];
        count += 1;
        if first.commit <= last_commit {
            bail!("the commit of transaction {} is not after the one before", first.transaction);
        }
        last_commit = first.commit;
        for (index, row) in rows.iter().enumerate() {
            if row.order != index as u64 + 1 {
                bail!(
                    "row {} of transaction {} has order {}",
                    index + 1,
                    first.transaction,
                    row.order
                );
            }
        }
        if let Some(journal) = rows.iter().find(|row| row.table == "journal") {
            let image = journal.after.as_ref().context("a journal row without its image")?;
            let changed: usize = text(image, "changed").context("no count")?.parse()?;
            if rows.len() != changed + 1 {
                bail!(
                    "transaction {} changed {changed} rows and arrived with {}",
                    first.transaction,
                    rows.len() - 1
                );
            }
        }
    }
    Ok(count)
}

fn journal_numbers(changes: &[Received]) -> Result<BTreeSet<i64>> {
    let mut seen = BTreeSet::new();
    let mut streamed = BTreeSet::new();
    for change in changes.iter().filter(|change| change.table == "journal") {
        let image = change.after.as_ref().context("a journal row without its image")?;
        let number: i64 = text(image, "tx").context("a journal row without its number")?.parse()?;
        if change.operation == Operation::Create && !streamed.insert(number) {
            bail!("doubled: transaction {number} arrived twice");
        }
        seen.insert(number);
    }
    Ok(seen)
}

/// Messages outside of transactions come once and where they were written: behind every commit before
/// them and before every one after, the one of the transaction around them included.
fn messages_outside(changes: &[Received], journal: &Journal) -> Result<usize> {
    let mut seen = BTreeSet::new();
    // Of each writer, the first transaction that was not only copied: what was written before it may
    // be from before the slot.
    let mut first: BTreeMap<i64, i64> = BTreeMap::new();
    let mut place = 0;
    for change in changes.iter().filter(|change| change.snapshot == Snapshot::None) {
        if change.operation == Operation::Message && message_prefix(change)? == NEVER {
            bail!("a message arrived that was taken back");
        }
        if !change.transaction.is_empty() {
            if change.commit < place {
                bail!("a change committed at {:X} is behind {place:X}", change.commit);
            }
            place = change.commit;
            if change.table == "journal" {
                let number = number(change.after.as_ref().context("no image")?, "tx")?;
                first.entry(Journal::writer(number)).or_insert(number);
            }
            continue;
        }
        let number: i64 = message_prefix(change)?.parse()?;
        if change.position <= place {
            bail!("message {number} written at {:X} is behind {place:X}", change.position);
        }
        place = change.position;
        if !journal.messages.contains(&number) {
            bail!("invented: message {number} was not written and arrived");
        }
        if !seen.insert(number) {
            bail!("doubled: message {number} arrived twice");
        }
    }
    let is_due = |number: &i64| first.get(&Journal::writer(*number)).is_some_and(|it| it < number);
    if let Some(lost) = journal.messages.difference(&seen).find(|number| is_due(number)) {
        bail!("lost: message {lost} was written and did not arrive");
    }
    Ok(seen.len())
}

fn message_prefix(change: &Received) -> Result<&str> {
    change.after.as_ref().and_then(|row| text(row, "prefix")).context("a message without a prefix")
}

#[derive(Default)]
struct State {
    strict: bool,
    tables: Tables,
}

impl State {
    fn apply(&mut self, change: &Received) -> Result<()> {
        match change.table.as_str() {
            "kv" => self.apply_kv(change),
            "bank" => self.apply_bank(change),
            "doc" => self.apply_doc(change),
            _ => Ok(()),
        }
    }

    fn apply_kv(&mut self, change: &Received) -> Result<()> {
        let before = change.before.as_ref().map(kv_row).transpose()?;
        let after = change.after.as_ref().map(kv_row).transpose()?;
        if let Some((id, generation, version)) = before {
            let known = self.tables.kv.remove(&id);
            if self.strict && known != Some((generation, version)) {
                bail!("kv {id} was {known:?}, the before image says {generation}.{version}");
            }
            if let (Some((_, next_generation, next)), true) = (after, self.strict)
                && (next_generation, next) != (generation, version + 1)
            {
                bail!("kv {id} goes from {generation}.{version} to {next_generation}.{next}");
            }
        } else if change.operation != Operation::Read && change.operation != Operation::Create {
            bail!("no before image although the replica identity is full");
        }
        if let Some((id, generation, version)) = after {
            let known = self.tables.kv.insert(id, (generation, version));
            if self.strict && known.is_some() {
                bail!("kv {id} was there already: {known:?}");
            }
            if change.operation == Operation::Create && version != 1 {
                bail!("kv {id} begins with version {version}");
            }
        }
        Ok(())
    }

    fn apply_bank(&mut self, change: &Received) -> Result<()> {
        let row = change.after.as_ref().context("a bank row without its image")?;
        let (id, balance) = (number(row, "id")?, number(row, "balance")?);
        if let (Some(before), true) = (&change.before, self.strict)
            && self.tables.bank.get(&id) != Some(&number(before, "balance")?)
        {
            bail!("bank {id} was {:?}", self.tables.bank.get(&id));
        }
        self.tables.bank.insert(id, balance);
        // A transfer is one statement of two rows: the sum holds after every second one.
        let sum: i64 = self.tables.bank.values().sum();
        if self.strict && (sum - BANK_TOTAL).abs() > 20 {
            bail!("the bank holds {sum}");
        }
        Ok(())
    }

    fn apply_doc(&mut self, change: &Received) -> Result<()> {
        let row = change.after.as_ref().context("a doc row without its image")?;
        let (id, version) = (number(row, "id")?, number(row, "ver")?);
        let known = self.tables.doc.insert(id, version);
        if self.strict && known != Some(version - 1) {
            bail!("doc {id} goes from {known:?} to {version}");
        }
        Ok(())
    }

    fn compare(&self, tables: &Tables) -> Result<()> {
        if self.tables.bank.values().sum::<i64>() != BANK_TOTAL {
            bail!("the bank ends with {:?}", self.tables.bank);
        }
        if self.tables != *tables {
            bail!("the end differs:\nreceived {:?}\ntables   {:?}", self.tables, tables);
        }
        Ok(())
    }
}

fn kv_row(image: &Image) -> Result<(i64, i64, i64)> {
    Ok((number(image, "id")?, number(image, "gen")?, number(image, "ver")?))
}

fn number(image: &Image, column: &str) -> Result<i64> {
    let text = text(image, column).with_context(|| format!("{column} has no value"))?;
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriber::Seen;

    /// A message outside of a transaction, written at a place.
    fn message(number: &str, position: u64) -> Received {
        let after = Image::from([("prefix".to_owned(), Seen::Value(number.to_owned()))]);
        Received {
            sequence: 0,
            stream: "s.message".to_owned(),
            table: String::new(),
            operation: Operation::Message,
            before: None,
            after: Some(after),
            transaction: String::new(),
            commit: 0,
            commit_unix_us: 0,
            order: 1,
            snapshot: Snapshot::None,
            position,
        }
    }

    /// The journal's row of a transaction, committed at a place.
    fn journal(number: &str, commit: u64) -> Received {
        let after = Image::from([("tx".to_owned(), Seen::Value(number.to_owned()))]);
        Received {
            table: "journal".to_owned(),
            operation: Operation::Create,
            after: Some(after),
            transaction: number.to_owned(),
            commit,
            ..message("", 0)
        }
    }

    #[test]
    fn a_message_that_is_missing_doubled_invented_taken_back_or_out_of_place_is_noticed() {
        let written = Journal { messages: BTreeSet::from([2, 3]), ..Journal::default() };
        // The second one's commit begins where the message ends.
        let right = [journal("1", 10), message("2", 20), journal("2", 20), message("3", 30)];
        assert_eq!(messages_outside(&right, &written).unwrap(), 2);
        let refused = |spoil: &dyn Fn(&mut Vec<Received>), expected: &str| {
            let mut changes = right.to_vec();
            spoil(&mut changes);
            let error = messages_outside(&changes, &written).expect_err("it went unnoticed");
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused(&|all| drop(all.remove(3)), "lost: message 3");
        refused(&|all| all.insert(2, message("2", 20)), "message 2 written at 14 is behind 14");
        refused(&|all| all.push(message("3", 40)), "doubled: message 3");
        refused(&|all| all.push(message("4", 40)), "invented: message 4");
        refused(&|all| all.push(message(NEVER, 40)), "taken back");
        refused(&|all| all.swap(1, 2), "message 2 written at 14 is behind 14");
        refused(&|all| all.push(journal("4", 25)), "a change committed at 19 is behind 1E");
    }
}
