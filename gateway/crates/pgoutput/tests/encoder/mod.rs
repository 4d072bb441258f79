//! The other side of the decoder: writes messages as a server would, for the property tests. It
//! shares no code with the crate, so that a mistake in one is not a mistake in both.

use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) flags: u8,
    pub(crate) name: String,
    pub(crate) type_id: u32,
    pub(crate) type_modifier: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Begin { lsn: u64, time: i64, xid: u32 },
    Commit { lsn: u64, end: u64, time: i64 },
    Origin { lsn: u64, name: String },
    Message { transactional: bool, lsn: u64, prefix: String, content: Vec<u8> },
    Relation { id: u32, namespace: String, name: String, identity: u8, columns: Vec<Column> },
    Type { id: u32, namespace: String, name: String },
    Insert { relation: u32, new: Vec<Value> },
    Update { relation: u32, old: Option<(u8, Vec<Value>)>, new: Vec<Value> },
    Delete { relation: u32, old: (u8, Vec<Value>) },
    Truncate { options: u8, relations: Vec<u32> },
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn raw(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(self, name: &str) -> Writer {
        self.raw(name.as_bytes()).raw(&[0])
    }

    fn counted(self, bytes: &[u8]) -> Writer {
        self.raw(&(bytes.len() as i32).to_be_bytes()).raw(bytes)
    }

    fn tuple(self, values: &[Value]) -> Writer {
        let mut writer = self.raw(&(values.len() as u16).to_be_bytes());
        for value in values {
            writer = match value {
                Value::Null => writer.raw(b"n"),
                Value::Unchanged => writer.raw(b"u"),
                Value::Text(text) => writer.raw(b"t").counted(text),
                Value::Binary(bytes) => writer.raw(b"b").counted(bytes),
            };
        }
        writer
    }
}

/// The message as a server writes it; `xid` inside a streamed transaction.
pub(crate) fn encode(sent: &Sent, xid: Option<u32>) -> Vec<u8> {
    let start = |tag: u8| {
        let writer = Writer::default().raw(&[tag]);
        match xid {
            Some(xid) => writer.raw(&xid.to_be_bytes()),
            None => writer,
        }
    };
    let plain = |tag: u8| Writer::default().raw(&[tag]);
    match sent {
        Sent::Begin { lsn, time, xid } => {
            plain(b'B').raw(&lsn.to_be_bytes()).raw(&time.to_be_bytes()).raw(&xid.to_be_bytes())
        }
        Sent::Commit { lsn, end, time } => plain(b'C')
            .raw(&[0])
            .raw(&lsn.to_be_bytes())
            .raw(&end.to_be_bytes())
            .raw(&time.to_be_bytes()),
        Sent::Origin { lsn, name } => plain(b'O').raw(&lsn.to_be_bytes()).name(name),
        Sent::Message { transactional, lsn, prefix, content } => start(b'M')
            .raw(&[u8::from(*transactional)])
            .raw(&lsn.to_be_bytes())
            .name(prefix)
            .counted(content),
        Sent::Relation { id, namespace, name, identity, columns } => {
            let mut writer = start(b'R')
                .raw(&id.to_be_bytes())
                .name(namespace)
                .name(name)
                .raw(&[*identity])
                .raw(&(columns.len() as u16).to_be_bytes());
            for column in columns {
                writer = writer
                    .raw(&[column.flags])
                    .name(&column.name)
                    .raw(&column.type_id.to_be_bytes())
                    .raw(&column.type_modifier.to_be_bytes());
            }
            writer
        }
        Sent::Type { id, namespace, name } => {
            start(b'Y').raw(&id.to_be_bytes()).name(namespace).name(name)
        }
        Sent::Insert { relation, new } => {
            start(b'I').raw(&relation.to_be_bytes()).raw(b"N").tuple(new)
        }
        Sent::Update { relation, old, new } => {
            let mut writer = start(b'U').raw(&relation.to_be_bytes());
            if let Some((tag, old)) = old {
                writer = writer.raw(&[*tag]).tuple(old);
            }
            writer.raw(b"N").tuple(new)
        }
        Sent::Delete { relation, old: (tag, old) } => {
            start(b'D').raw(&relation.to_be_bytes()).raw(&[*tag]).tuple(old)
        }
        Sent::Truncate { options, relations } => {
            let mut writer =
                start(b'T').raw(&(relations.len() as i32).to_be_bytes()).raw(&[*options]);
            for relation in relations {
                writer = writer.raw(&relation.to_be_bytes());
            }
            writer
        }
    }
    .0
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Zäß\"._ ]{0,12}"
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let value = prop_oneof![
        1 => Just(Value::Null),
        1 => Just(Value::Unchanged),
        4 => bytes.clone().prop_map(Value::Text),
        1 => bytes.prop_map(Value::Binary),
    ];
    proptest::collection::vec(value, 0..12)
}

fn old() -> impl Strategy<Value = (u8, Vec<Value>)> {
    (prop_oneof![Just(b'K'), Just(b'O')], values())
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let column = (any::<u8>(), name(), any::<u32>(), any::<i32>()).prop_map(
        |(flags, name, type_id, type_modifier)| Column { flags, name, type_id, type_modifier },
    );
    proptest::collection::vec(column, 0..8)
}

/// Any message of protocol 1.
pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let content = proptest::collection::vec(any::<u8>(), 0..40);
    let identity = prop_oneof![Just(b'd'), Just(b'n'), Just(b'f'), Just(b'i')];
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(lsn, time, xid)| Sent::Begin { lsn, time, xid }),
        any::<(u64, u64, i64)>().prop_map(|(lsn, end, time)| Sent::Commit { lsn, end, time }),
        (any::<u64>(), name()).prop_map(|(lsn, name)| Sent::Origin { lsn, name }),
        (any::<bool>(), any::<u64>(), name(), content).prop_map(
            |(transactional, lsn, prefix, content)| {
                Sent::Message { transactional, lsn, prefix, content }
            }
        ),
        (any::<u32>(), name(), name(), identity, columns()).prop_map(
            |(id, namespace, name, identity, columns)| {
                Sent::Relation { id, namespace, name, identity, columns }
            }
        ),
        (any::<u32>(), name(), name()).prop_map(|(id, namespace, name)| Sent::Type {
            id,
            namespace,
            name
        }),
        (any::<u32>(), values()).prop_map(|(relation, new)| Sent::Insert { relation, new }),
        (any::<u32>(), proptest::option::of(old()), values())
            .prop_map(|(relation, old, new)| Sent::Update { relation, old, new }),
        (any::<u32>(), old()).prop_map(|(relation, old)| Sent::Delete { relation, old }),
        (0..4_u8, proptest::collection::vec(any::<u32>(), 0..5))
            .prop_map(|(options, relations)| Sent::Truncate { options, relations }),
    ]
}
