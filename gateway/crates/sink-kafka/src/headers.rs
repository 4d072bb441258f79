//! The headers of a message: what plugins added, the link between the halves of a moved key, and
//! what was asked for in the configuration.
//!
//! A message without any costs nothing; otherwise the client library's own list is the only
//! allocation.

use std::fmt::Write as _;

use offtake_change::Lsn;
use offtake_change::wire::ChangeView;
use offtake_encode::EncodeError;
use offtake_encode::cloudevents::Headers;
use offtake_encode::debezium::Message;
use rdkafka::message::{Header, OwnedHeaders};

use crate::MessageHeaders;
use crate::transaction_ends::End;

/// Where the row stands in the source's log, as the source writes it.
const POSITION: &str = "offtake.position";
/// Where the row's transaction commits; not on rows of a snapshot.
const COMMIT_POSITION: &str = "offtake.commit_position";
/// The log's id and the change's sequence; of a change's further messages their number too.
const EVENT_ID: &str = "offtake.event_id";
/// The database's name of the row's transaction.
const TRANSACTION: &str = "offtake.transaction";
/// The row's place in its transaction, from 1: over all published tables, captured or not.
const ORDER: &str = "offtake.order";
/// The change's number in the log: it orders a transaction, and is the same on every message of a
/// change.
const SEQUENCE: &str = "offtake.sequence";
/// Only on messages of a transaction's last published change: how many of its changes are published,
/// over all streams. A transaction is whole when that many different sequences of it are there.
const LAST: &str = "offtake.last";
/// What a header takes in a request beside its name and value, at most.
const OVERHEAD_BYTES: usize = 10;

/// Makes the headers of messages.
#[derive(Debug)]
pub(crate) struct HeaderWriter {
    wanted: MessageHeaders,
    log_id: String,
    text: String,
    /// Of the transactions whose last published change is in the group that is sent.
    ends: Vec<End>,
}

/// Headers, and what they take in a request.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) headers: Option<OwnedHeaders>,
    pub(crate) bytes: usize,
}

impl Written {
    fn insert(&mut self, key: &str, value: &[u8]) {
        let headers = self.headers.take().unwrap_or_default();
        self.headers = Some(headers.insert(Header { key, value: Some(value) }));
        self.bytes += key.len() + value.len() + OVERHEAD_BYTES;
    }
}

impl HeaderWriter {
    pub(crate) fn new(wanted: MessageHeaders, log_id: [u8; 16]) -> HeaderWriter {
        let log_id = log_id.iter().map(|byte| format!("{byte:02x}")).collect();
        HeaderWriter { wanted, log_id, text: String::new(), ends: Vec::new() }
    }

    /// Whether messages tell the ends of transactions.
    pub(crate) fn tells_ends(&self) -> bool {
        self.wanted.transaction
    }

    /// Another group is sent, with these ends, in the log's order.
    pub(crate) fn tell_ends(&mut self, ends: Vec<End>) {
        self.ends = ends;
    }

    /// The headers of a change's message. `index`: its place among the messages of the change;
    /// `context`: those that every message of the table has.
    ///
    /// # Errors
    /// The change's headers are damaged.
    pub(crate) fn write(
        &mut self,
        change: &ChangeView<'_>,
        message: &Message<'_>,
        index: u32,
        context: &[(&'static str, Box<[u8]>)],
    ) -> Result<Written, EncodeError> {
        let mut written = Written::default();
        for header in change.headers() {
            let (name, value) = header?;
            let name = std::str::from_utf8(name).map_err(|_| EncodeError::HeaderName)?;
            written.insert(name, value);
        }
        if let Some((key, value)) = message.key_change {
            written.insert(key, value);
        }
        for (name, value) in context {
            written.insert(name, value);
        }
        for (name, value) in Headers::new(message.attributes) {
            written.insert(name, value);
        }
        if self.wanted.position {
            self.position(&mut written, POSITION, change.lsn);
        }
        let tells_commit = self.wanted.position || self.wanted.transaction;
        if let Some(transaction) = change.transaction.as_ref().filter(|_| tells_commit) {
            self.position(&mut written, COMMIT_POSITION, transaction.commit);
        }
        if self.wanted.transaction {
            self.transaction(&mut written, change);
        }
        if self.wanted.event_id {
            self.text.clear();
            // Writing into a String cannot fail, here and below.
            let _ = write!(self.text, "{}:{}", self.log_id, change.sequence);
            if index > 0 {
                let _ = write!(self.text, ":{index}");
            }
            written.insert(EVENT_ID, self.text.as_bytes());
        }
        Ok(written)
    }

    fn transaction(&mut self, written: &mut Written, change: &ChangeView<'_>) {
        let Some(transaction) = &change.transaction else { return };
        written.insert(TRANSACTION, transaction.id);
        self.number(written, ORDER, change.order);
        self.number(written, SEQUENCE, change.sequence);
        let at = self.ends.binary_search_by_key(&change.sequence, |(last, _)| *last);
        if let Some((_, changes)) = at.ok().and_then(|at| self.ends.get(at)) {
            let changes = *changes;
            self.number(written, LAST, changes);
        }
    }

    fn number(&mut self, written: &mut Written, name: &str, number: u64) {
        self.text.clear();
        let _ = write!(self.text, "{number}");
        written.insert(name, self.text.as_bytes());
    }

    fn position(&mut self, written: &mut Written, name: &str, lsn: Lsn) {
        if lsn == Lsn::ZERO {
            return;
        }
        self.text.clear();
        let _ = write!(self.text, "{lsn}");
        written.insert(name, self.text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::Batch;
    use offtake_change::{Image, NO_TRANSACTION, Operation, Row, Transaction};
    use rdkafka::message::Headers as _;

    use super::*;

    fn change(in_transaction: bool) -> Vec<u8> {
        let mut batch = Batch::new();
        let transaction = match in_transaction {
            true => batch.push_transaction(Transaction {
                commit: Lsn(0x16_b374_d848),
                ..Transaction::default()
            }),
            false => NO_TRANSACTION,
        };
        batch.rows.push(Row {
            transaction,
            lsn: Lsn(0x16_b374_d800),
            ..Row::new(Operation::Create, Image::NONE, Image::NONE)
        });
        batch.set_headers(0, [("tier", &b"gold"[..])].into_iter());
        let mut encoded = Vec::new();
        batch.encode(&batch.rows[0], 42, 1, 1, &mut encoded);
        encoded
    }

    fn written(wanted: MessageHeaders, encoded: &[u8], index: u32) -> Vec<(String, String)> {
        let change = ChangeView::parse(encoded).unwrap();
        let key_change = Some(("moved", b"k".as_slice()));
        // As the encoder writes an event's attribute in binary mode.
        let attributes = b"\x05\0\0\0ce_id\x01\0\0\0i";
        let message = Message { key: None, value: None, key_change, attributes };
        let headers = HeaderWriter::new(wanted, [0xab; 16]).write(&change, &message, index, &[]);
        let headers = headers.unwrap();
        let list = headers.headers.unwrap();
        let read: Vec<(String, String)> = list
            .iter()
            .map(|header| {
                let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
                (header.key.to_owned(), value)
            })
            .collect();
        let bytes: usize = read.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(headers.bytes, bytes + read.len() * OVERHEAD_BYTES);
        read
    }

    #[test]
    fn what_is_asked_for_comes_after_what_the_change_has() {
        let all = MessageHeaders { position: true, transaction: false, event_id: true };
        let id = "ab".repeat(16);
        let expected = [
            ("tier", "gold".to_owned()),
            ("moved", "k".to_owned()),
            ("ce_id", "i".to_owned()),
            ("offtake.position", "16/B374D800".to_owned()),
            ("offtake.commit_position", "16/B374D848".to_owned()),
            ("offtake.event_id", format!("{id}:42")),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(written(all, &change(true), 0), expected);
        let of_snapshot = written(all, &change(false), 1);
        assert!(!of_snapshot.iter().any(|(name, _)| name == COMMIT_POSITION));
        assert_eq!(of_snapshot.last().unwrap().1, format!("{id}:42:1"), "ids are unique");
        assert_eq!(written(MessageHeaders::default(), &change(true), 0).len(), 3);
    }

    #[test]
    fn a_transaction_can_be_put_together_and_its_last_change_tells_how_many_it_has() {
        let wanted = MessageHeaders { transaction: true, ..MessageHeaders::default() };
        let encoded = change(true);
        let view = ChangeView::parse(&encoded).unwrap();
        let message = Message { key: None, value: None, key_change: None, attributes: &[] };
        let mut writer = HeaderWriter::new(wanted, [0; 16]);
        let last = |writer: &mut HeaderWriter| {
            let headers = writer.write(&view, &message, 0, &[]).unwrap().headers.unwrap();
            let names: Vec<&str> = headers.iter().map(|header| header.key).collect();
            assert_eq!(names[1..5], [COMMIT_POSITION, TRANSACTION, ORDER, SEQUENCE]);
            let last = headers.iter().find(|header| header.key == LAST);
            last.map(|header| header.value.unwrap().to_vec())
        };
        assert_eq!(last(&mut writer), None);
        writer.tell_ends(vec![(40, 2), (42, 3)]);
        assert_eq!(last(&mut writer), Some(b"3".to_vec()));
        writer.tell_ends(Vec::new());
        assert_eq!(last(&mut writer), None);
        let of_snapshot = change(false);
        let of_snapshot = ChangeView::parse(&of_snapshot).unwrap();
        assert_eq!(
            writer.write(&of_snapshot, &message, 0, &[]).unwrap().headers.unwrap().count(),
            1
        );
    }
}
