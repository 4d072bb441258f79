//! Properties of the decoder: what a server writes reads back, a message cut anywhere is an error,
//! and no bytes at all make it panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encoder;

use encoder::{Column, Sent, Value, encode, sent};
use offtake_pgoutput::{
    DecodeError, Frame, Message, OldTuple, Protocol, ReplicaIdentity, Tuple, TupleValue,
};
use proptest::prelude::*;

fn values(tuple: Tuple<'_>) -> Vec<Value> {
    assert_eq!(tuple.values().len(), tuple.len());
    let values: Vec<Value> = tuple
        .values()
        .map(|value| match value {
            TupleValue::Null => Value::Null,
            TupleValue::Unchanged => Value::Unchanged,
            TupleValue::Text(text) => Value::Text(text.to_vec()),
            TupleValue::Binary(bytes) => Value::Binary(bytes.to_vec()),
        })
        .collect();
    assert_eq!(values.len(), tuple.len(), "the iterator gives every column");
    values
}

fn old(old: OldTuple<'_>) -> (u8, Vec<Value>) {
    match old {
        OldTuple::Key(tuple) => (b'K', values(tuple)),
        OldTuple::Row(tuple) => (b'O', values(tuple)),
    }
}

/// What was decoded, in the encoder's terms, with the transaction id where the message has one.
fn received(message: Message<'_>) -> Option<(Sent, Option<u32>)> {
    Some(match message {
        Message::Begin(begin) => {
            (Sent::Begin { lsn: begin.final_lsn, time: begin.commit_time, xid: begin.xid }, None)
        }
        Message::Commit(commit) => {
            let (lsn, end, time) = (commit.commit_lsn, commit.end_lsn, commit.commit_time);
            (Sent::Commit { lsn, end, time }, None)
        }
        Message::Origin(origin) => {
            (Sent::Origin { lsn: origin.commit_lsn, name: origin.name.to_owned() }, None)
        }
        Message::Message(message) => (
            Sent::Message {
                transactional: message.transactional,
                lsn: message.lsn,
                prefix: message.prefix.to_owned(),
                content: message.content.to_vec(),
            },
            message.xid,
        ),
        Message::Relation(relation) => {
            let columns = relation
                .columns()
                .map(|column| Column {
                    flags: column.is_key.into(),
                    name: column.name.to_owned(),
                    type_id: column.type_id,
                    type_modifier: column.type_modifier,
                })
                .collect();
            let identity = match relation.replica_identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            };
            let (namespace, name) = (relation.namespace.to_owned(), relation.name.to_owned());
            (Sent::Relation { id: relation.id, namespace, name, identity, columns }, relation.xid)
        }
        Message::Type(found) => {
            let (namespace, name) = (found.namespace.to_owned(), found.name.to_owned());
            (Sent::Type { id: found.id, namespace, name }, found.xid)
        }
        Message::Insert(insert) => {
            (Sent::Insert { relation: insert.relation, new: values(insert.new) }, insert.xid)
        }
        Message::Update(update) => (
            Sent::Update {
                relation: update.relation,
                old: update.old.map(old),
                new: values(update.new),
            },
            update.xid,
        ),
        Message::Delete(delete) => {
            (Sent::Delete { relation: delete.relation, old: old(delete.old) }, delete.xid)
        }
        Message::Truncate(truncate) => {
            let options = u8::from(truncate.cascade) | u8::from(truncate.restart_identity) << 1;
            let relations = truncate.relations.iter().collect();
            (Sent::Truncate { options, relations }, truncate.xid)
        }
        _ => return None,
    })
}

/// What is expected back: of a column's flags only the first bit has a meaning, and some messages
/// never carry a transaction id.
fn expected(sent: &Sent, xid: Option<u32>) -> (Sent, Option<u32>) {
    let mut sent = sent.clone();
    if let Sent::Relation { columns, .. } = &mut sent {
        for column in columns {
            column.flags &= 1;
        }
    }
    let carries = !matches!(sent, Sent::Begin { .. } | Sent::Commit { .. } | Sent::Origin { .. });
    (sent, xid.filter(|_| carries))
}

fn inside_a_stream() -> Protocol {
    let mut protocol = Protocol::new(2).unwrap();
    protocol.decode(&[b'S', 0, 0, 0, 9, 1]).unwrap();
    assert!(protocol.in_streamed_transaction());
    protocol
}

fn sessions() -> Vec<Protocol> {
    let mut sessions: Vec<Protocol> =
        (1..=4).map(|version| Protocol::new(version).unwrap()).collect();
    sessions.push(Protocol::new(4).unwrap().with_parallel_streaming().unwrap());
    sessions.push(inside_a_stream());
    sessions
}

/// Decodes and reads everything that the message hands out.
fn read_all(protocol: &mut Protocol, bytes: &[u8]) -> Result<(), DecodeError> {
    let message = protocol.decode(bytes)?;
    let _ = received(message);
    assert!(format!("{message:?}").len() > 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_a_server_writes_reads_back(sent in sent(), xid in any::<u32>()) {
        let bytes = encode(&sent, None);
        let message = Protocol::new(1).unwrap().decode(&bytes).unwrap();
        prop_assert_eq!(received(message), Some(expected(&sent, None)));

        let bytes = encode(&sent, Some(xid));
        let message = inside_a_stream().decode(&bytes).unwrap();
        prop_assert_eq!(received(message), Some(expected(&sent, Some(xid))));
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error(sent in sent(), xid in proptest::option::of(any::<u32>())) {
        let bytes = encode(&sent, xid);
        for end in 0..bytes.len() {
            let mut protocol =
                if xid.is_some() { inside_a_stream() } else { Protocol::new(1).unwrap() };
            let error = protocol.decode(&bytes[..end]).expect_err("cut");
            prop_assert_eq!(error.code(), "PG_MALFORMED_MESSAGE");
        }
    }

    #[test]
    fn a_message_with_a_byte_too_many_is_an_error(sent in sent(), extra in any::<u8>()) {
        let mut bytes = encode(&sent, None);
        bytes.push(extra);
        prop_assert!(Protocol::new(1).unwrap().decode(&bytes).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::parse(&bytes);
        for mut protocol in sessions() {
            let _ = read_all(&mut protocol, &bytes);
        }
    }

    #[test]
    fn random_bytes_after_a_known_tag_never_panic(
        tag in proptest::sample::select(&b"BMCORYIUDTSEcAbPKrpwk"[..]),
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let message: Vec<u8> = std::iter::once(tag).chain(bytes).collect();
        let _ = Frame::parse(&message);
        for mut protocol in sessions() {
            let _ = read_all(&mut protocol, &message);
        }
    }

    #[test]
    fn a_failed_message_leaves_the_session_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for before in sessions() {
            let mut after = before;
            if after.decode(&bytes).is_err() {
                prop_assert_eq!(after, before);
            }
        }
    }
}

/// A small generator of its own, so that a run is the same everywhere and says its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Changes a few places of a valid message: a byte, a length, a piece left out or doubled.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..(at + random.below(8)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            4 if bytes.len() >= at + 4 => {
                let extreme = [0xff, 0x7f, 0x80, 0x00][random.below(4)];
                bytes[at] = extreme;
                bytes[at + 1..at + 4].fill(random.next() as u8);
            }
            _ => bytes.push(random.next() as u8),
        }
    }
}

#[test]
fn mutated_captures_never_panic() {
    const SEED: u64 = 0x0ff7_a4e5;
    const ROUNDS: usize = 200_000;
    let captured: Vec<Vec<u8>> = ["protocol_1.txt", "protocol_3.txt", "constructed.txt"]
        .iter()
        .flat_map(|file| {
            let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            text.lines()
                .filter_map(|line| line.strip_prefix("> "))
                .filter(|hex| hex.len() < 2_000)
                .map(|hex| {
                    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                    (0..hex.len()).step_by(2).map(digit).collect()
                })
                .collect::<Vec<Vec<u8>>>()
        })
        .collect();
    assert!(captured.len() > 80, "the corpus is there");

    let mut random = Random(SEED);
    let mut sessions = sessions();
    let (mut accepted, mut refused) = (0_usize, 0_usize);
    for _ in 0..ROUNDS {
        let mut bytes = captured[random.below(captured.len())].clone();
        mutate(&mut bytes, &mut random);
        let session = random.below(sessions.len());
        // Sessions go on, so that streamed and plain states are both met.
        match read_all(&mut sessions[session], &bytes) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn an_unknown_tag_halts_with_its_tag_and_length() {
    let error = Protocol::new(1).unwrap().decode(b"Zxyz").unwrap_err();
    assert_eq!(error, DecodeError::UnknownMessage { tag: b'Z', length: 4, version: 1 });
    assert_eq!(error.code(), "PG_UNKNOWN_MESSAGE");
    assert!(!error.next_step().is_empty());
}

#[test]
fn debug_output_shows_no_value() {
    let bytes = encode(
        &Sent::Update {
            relation: 1,
            old: Some((b'O', vec![Value::Text(b"secret-old".to_vec())])),
            new: vec![Value::Text(b"secret-new".to_vec()), Value::Binary(b"secret".to_vec())],
        },
        None,
    );
    let message = Protocol::new(1).unwrap().decode(&bytes).map(|message| format!("{message:?}"));
    let shown = message.unwrap();
    assert!(shown.contains("Text(10 bytes)"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn versions_that_do_not_exist_are_refused() {
    for version in [0, 5, 255] {
        assert_eq!(Protocol::new(version).unwrap_err().code(), "PG_PROTOCOL_VERSION");
    }
    for version in 1..=3 {
        assert!(Protocol::new(version).unwrap().with_parallel_streaming().is_err());
    }
}
