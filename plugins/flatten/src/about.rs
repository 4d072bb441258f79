//! What fields and headers can say about a change, by Debezium's names.

use std::borrow::Cow;

use offtake_sdk::{Batch, ColumnInfo, Failure, Metadata, Operation, Schema, Value};

/// Something about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Operation,
    Table,
    Namespace,
    Database,
    /// The position as a number.
    Lsn,
    /// The position as the database writes it.
    Position,
    /// The commit's time, as of the following two.
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Transaction,
    Snapshot,
}

const KNOWN: &str = "which is not one of: op, and with or without `source.` before them table, \
                     schema, db, lsn, txId, snapshot, position; source.ts_ms, source.ts_us, \
                     source.ts_ns";

impl About {
    /// What a name stands for; the error says what is wrong with it.
    pub(crate) fn parse(name: &str) -> Result<About, &'static str> {
        let member = name.strip_prefix("source.");
        Ok(match (member.unwrap_or(name), member.is_some()) {
            ("op", false) => About::Operation,
            ("table", _) => About::Table,
            ("schema", _) => About::Namespace,
            ("db", _) => About::Database,
            ("lsn", _) => About::Lsn,
            ("position", _) => About::Position,
            ("txId", _) => About::Transaction,
            ("snapshot", _) => About::Snapshot,
            ("ts_ms", true) => About::Milliseconds,
            ("ts_us", true) => About::Microseconds,
            ("ts_ns", true) => About::Nanoseconds,
            ("ts_ms" | "ts_us" | "ts_ns", false) => {
                return Err("the time of processing, which no plugin is told: the commit's is \
                            source.ts_ms");
            }
            _ => return Err(KNOWN),
        })
    }

    /// The column of such a field.
    pub(crate) fn column(self, name: &str) -> ColumnInfo {
        let is_number = self.is_time() || matches!(self, About::Lsn | About::Transaction);
        ColumnInfo::new(name, if is_number { "int8" } else { "text" })
    }

    pub(crate) fn is_time(self) -> bool {
        matches!(self, About::Milliseconds | About::Microseconds | About::Nanoseconds)
    }

    /// Whether it is told with the position.
    pub(crate) fn is_position(self) -> bool {
        matches!(self, About::Lsn | About::Position | About::Snapshot)
    }

    /// What it is of a change; `None`: the change has none.
    pub(crate) fn of<'n>(self, change: &Change<'n>) -> Result<Option<Known<'n>>, Failure> {
        let time = |time: Option<i64>| Ok(time.map(Known::Integer));
        match self {
            About::Operation => Ok(Some(Known::Text(change.letter()))),
            About::Table => Ok(Some(Known::Text(&change.schema.table))),
            About::Namespace => Ok(Some(Known::Text(&change.schema.namespace))),
            About::Database => Ok(Some(Known::Text(&change.schema.database))),
            About::Snapshot => Ok(Some(Known::Text(change.snapshot()))),
            About::Position => Ok(change.position().map(Known::Text)),
            About::Lsn => change.position().map(lsn).transpose(),
            About::Transaction => change.transaction().map(transaction).transpose(),
            About::Milliseconds => time(change.committed().map(|time| time.div_euclid(1000))),
            About::Microseconds => time(change.committed()),
            About::Nanoseconds => match change.committed().map(|time| time.checked_mul(1000)) {
                Some(None) => Err(Failure::permanent("a commit's time is beyond nanoseconds")),
                time => Ok(time.flatten().map(Known::Integer)),
            },
        }
    }
}

/// `16/B374D848`: two halves in hexadecimal digits.
fn lsn<'n>(position: &str) -> Result<Known<'n>, Failure> {
    let half = |text: &str| u32::from_str_radix(text, 16).ok();
    let number = position
        .split_once('/')
        .and_then(|(high, low)| Some(u64::from(half(high)?) << 32 | u64::from(half(low)?)));
    match number {
        Some(number) => Ok(Known::Integer(number.cast_signed())),
        None => Err(Failure::permanent("a change's position is no log sequence number")),
    }
}

fn transaction<'n>(name: &str) -> Result<Known<'n>, Failure> {
    match name.parse() {
        Ok(number) => Ok(Known::Integer(number)),
        Err(_) => Err(Failure::permanent("a transaction's name is no number")),
    }
}

/// A value of a field or a header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known<'n> {
    Text(&'n str),
    Integer(i64),
}

impl<'n> Known<'n> {
    pub(crate) fn value(&self) -> Value<'n> {
        match *self {
            Known::Text(text) => Value::Text(text),
            Known::Integer(number) => Value::Integer(number),
        }
    }

    pub(crate) fn text(&self) -> Cow<'n, str> {
        match *self {
            Known::Text(text) => Cow::Borrowed(text),
            Known::Integer(number) => Cow::Owned(number.to_string()),
        }
    }
}

/// What a call tells beside the columns.
pub(crate) struct Told<'b> {
    schema: &'b Schema,
    metadata: Option<&'b Metadata>,
}

impl<'b> Told<'b> {
    pub(crate) fn new(batch: &Batch<'b>) -> Told<'b> {
        Told { schema: batch.schema(), metadata: batch.metadata() }
    }

    /// A change, as what it is published.
    pub(crate) fn change(&self, row: u32, operation: Operation) -> Change<'b> {
        Change { schema: self.schema, metadata: self.metadata, row, operation }
    }
}

/// A change, as what it is published.
pub(crate) struct Change<'b> {
    schema: &'b Schema,
    metadata: Option<&'b Metadata>,
    row: u32,
    operation: Operation,
}

impl<'b> Change<'b> {
    fn letter(&self) -> &'static str {
        match self.operation {
            Operation::Create => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Read => "r",
            Operation::Truncate => "t",
            Operation::Message | Operation::Other(_) => "m",
        }
    }

    fn position(&self) -> Option<&'b str> {
        let position = self.metadata.map(|told| told.position(self.row));
        position.filter(|position| !position.is_empty() && *position != "0/0")
    }

    fn transaction(&self) -> Option<&'b str> {
        self.metadata.and_then(|told| told.transaction(self.row))
    }

    /// Microseconds since 1970; rows of a snapshot have no commit.
    fn committed(&self) -> Option<i64> {
        let time = self.metadata.and_then(|told| told.commit_times.get(self.row as usize));
        time.copied().filter(|&time| time != 0)
    }

    fn snapshot(&self) -> &'static str {
        let marker = self.metadata.and_then(|told| told.snapshot.get(self.row as usize));
        match marker {
            Some(1) => "first",
            Some(2) => "true",
            Some(3) => "last_in_data_collection",
            Some(4) => "last",
            Some(5) => "first_in_data_collection",
            _ => "false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_number_of_64_bits() {
        assert_eq!(lsn("16/B374D848").expect("it is one"), Known::Integer(0x16_B374_D848));
        assert_eq!(lsn("FFFFFFFF/FFFFFFFF").expect("it is one"), Known::Integer(-1));
        for bad in ["", "1", "1/", "x/1", "1/100000000", "binlog.000001:4"] {
            assert!(lsn(bad).is_err(), "{bad}");
        }
        assert_eq!(transaction("771").expect("it is one"), Known::Integer(771));
        assert!(transaction("uuid:1-5").is_err());
    }

    #[test]
    fn names_are_debeziums() {
        for name in ["op", "table", "source.table", "source.schema", "db", "source.lsn", "txId"] {
            assert!(About::parse(name).is_ok(), "{name}");
        }
        for name in ["", "source.op", "source.name", "transaction.id", "before.id", "Table"] {
            assert_eq!(About::parse(name), Err(KNOWN), "{name}");
        }
        assert!(About::parse("ts_ms").expect_err("no clock").contains("source.ts_ms"));
    }
}
