//! Source transactions put together from the headers of their messages, as a consumer does it.

use std::collections::{BTreeMap, BTreeSet};

use offtake_tests::kafka::Record;

/// What was found of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Numbers of its changes.
    sequences: BTreeSet<u64>,
    /// What its last change tells: how many there are.
    last: Option<u64>,
}

impl Gathered {
    /// How many changes it has, if they are all there.
    pub(crate) fn whole(&self) -> Option<u64> {
        self.last.filter(|last| *last == self.sequences.len() as u64)
    }
}

/// Transactions by the positions of their commits and their names.
pub(crate) type Transactions = BTreeMap<(String, String), Gathered>;

/// The transactions that these records are of. What is of none is left out.
#[track_caller]
pub(crate) fn gather(records: &[Record]) -> Transactions {
    let mut transactions = Transactions::new();
    for record in records {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        };
        let Some(id) = header("offtake.transaction") else { continue };
        let commit = header("offtake.commit_position").unwrap();
        let gathered = transactions.entry((commit, id)).or_default();
        gathered.sequences.insert(header("offtake.sequence").unwrap().parse().unwrap());
        if let Some(last) = header("offtake.last") {
            let last = last.parse().unwrap();
            assert!(gathered.last.is_none_or(|known| known == last), "{gathered:?} and {last}");
            gathered.last = Some(last);
        }
    }
    transactions
}
