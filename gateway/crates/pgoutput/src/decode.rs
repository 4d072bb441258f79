//! Reads messages in the context of a protocol version. The version decides which tags exist, and
//! whether the decoder stands inside a streamed transaction decides whether row messages begin with
//! a transaction id.

use crate::DecodeError;
use crate::message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relations, RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate,
    Type, Update,
};
use crate::reader::Reader;
use crate::relation::Relation;
use crate::tuple::Tuple;

/// What was agreed with the server, and where in the stream the decoder stands. One a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    version: u8,
    parallel: bool,
    in_streamed_transaction: bool,
}

/// Protocol version that brought streaming of transactions in progress.
const STREAMING_SINCE: u8 = 2;
/// Protocol version that brought two-phase commit.
const TWO_PHASE_SINCE: u8 = 3;
/// Protocol version that brought parallel streaming.
const PARALLEL_SINCE: u8 = 4;

const TRANSACTIONAL: u8 = 1;
const TRUNCATE_CASCADE: u8 = 1;
const TRUNCATE_RESTART_IDENTITY: u8 = 2;

impl Protocol {
    /// The context at the start of a session with `proto_version` as given.
    ///
    /// # Errors
    /// A version other than 1 to 4.
    pub fn new(version: u8) -> Result<Protocol, DecodeError> {
        if (1..=PARALLEL_SINCE).contains(&version) {
            Ok(Protocol { version, parallel: false, in_streamed_transaction: false })
        } else {
            Err(DecodeError::Version { version })
        }
    }

    /// The context where `streaming 'parallel'` was asked for: Stream Abort then carries a place
    /// and a time.
    ///
    /// # Errors
    /// A version before 4, which has no parallel streaming.
    pub fn with_parallel_streaming(self) -> Result<Protocol, DecodeError> {
        if self.version < PARALLEL_SINCE {
            return Err(DecodeError::Version { version: self.version });
        }
        Ok(Protocol { parallel: true, ..self })
    }

    /// The version agreed on.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Whether the last message left the decoder inside a piece of a streamed transaction.
    pub fn in_streamed_transaction(&self) -> bool {
        self.in_streamed_transaction
    }

    /// Reads one message, the whole payload of an `XLogData`.
    ///
    /// # Errors
    /// A tag that this version does not have ([`DecodeError::UnknownMessage`]), or bytes that are
    /// not one whole message. The context is then as before.
    #[inline]
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let (&tag, body) =
            bytes.split_first().ok_or(DecodeError::Truncated { message: "pgoutput" })?;
        match tag {
            b'I' => self.insert(body),
            b'U' => self.update(body),
            b'D' => self.delete(body),
            _ => self.decode_rare(tag, body),
        }
    }

    /// Messages that come once a transaction or less.
    fn decode_rare<'a>(&mut self, tag: u8, body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut reader = Reader::new(body, message_name(tag));
        let reader = &mut reader;
        let message = match tag {
            b'B' => Message::Begin(begin(reader)?),
            b'C' => Message::Commit(commit(reader)?),
            b'O' => Message::Origin(Origin { commit_lsn: reader.u64()?, name: reader.name()? }),
            b'M' => Message::Message(logical_message(self.xid(reader)?, reader)?),
            b'R' => Message::Relation(Relation::read(self.xid(reader)?, reader)?),
            b'Y' => Message::Type(Type {
                xid: self.xid(reader)?,
                id: reader.u32()?,
                namespace: reader.name()?,
                name: reader.name()?,
            }),
            b'T' => Message::Truncate(truncate(self.xid(reader)?, reader)?),
            b'S' | b'E' | b'c' | b'A' if self.version >= STREAMING_SINCE => {
                self.streaming(tag, reader)?
            }
            b'b' | b'P' | b'K' | b'r' | b'p' if self.version >= TWO_PHASE_SINCE => {
                two_phase(tag, reader)?
            }
            _ => {
                let (length, version) = (body.len() + 1, self.version);
                return Err(DecodeError::UnknownMessage { tag, length, version });
            }
        };
        reader.end()?;
        match message {
            Message::StreamStart(_) => self.in_streamed_transaction = true,
            Message::StreamStop => self.in_streamed_transaction = false,
            _ => {}
        }
        Ok(message)
    }

    /// The transaction id that row messages carry inside a streamed transaction.
    #[inline]
    fn xid(&self, reader: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
        if self.in_streamed_transaction { reader.u32().map(Some) } else { Ok(None) }
    }

    #[inline]
    fn insert<'a>(&self, body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut reader = Reader::new(body, "Insert");
        let xid = self.xid(&mut reader)?;
        let relation = reader.u32()?;
        match reader.u8()? {
            b'N' => {}
            other => return Err(reader.field("tuple tag", other.into())),
        }
        let new = Tuple::read(&mut reader)?;
        reader.end()?;
        Ok(Message::Insert(Insert { xid, relation, new }))
    }

    #[inline]
    fn update<'a>(&self, body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut reader = Reader::new(body, "Update");
        let xid = self.xid(&mut reader)?;
        let relation = reader.u32()?;
        let (old, new_tag) = match reader.u8()? {
            b'K' => (Some(OldTuple::Key(Tuple::read(&mut reader)?)), reader.u8()?),
            b'O' => (Some(OldTuple::Row(Tuple::read(&mut reader)?)), reader.u8()?),
            other => (None, other),
        };
        if new_tag != b'N' {
            return Err(reader.field("tuple tag", new_tag.into()));
        }
        let new = Tuple::read(&mut reader)?;
        reader.end()?;
        Ok(Message::Update(Update { xid, relation, old, new }))
    }

    #[inline]
    fn delete<'a>(&self, body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut reader = Reader::new(body, "Delete");
        let xid = self.xid(&mut reader)?;
        let relation = reader.u32()?;
        let old = match reader.u8()? {
            b'K' => OldTuple::Key(Tuple::read(&mut reader)?),
            b'O' => OldTuple::Row(Tuple::read(&mut reader)?),
            other => return Err(reader.field("tuple tag", other.into())),
        };
        reader.end()?;
        Ok(Message::Delete(Delete { xid, relation, old }))
    }

    fn streaming<'a>(&self, tag: u8, reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
        // Only the end of a piece may come inside one, and only there.
        if (tag == b'E') != self.in_streamed_transaction {
            return Err(DecodeError::OutOfPlace { message: message_name(tag) });
        }
        Ok(match tag {
            b'S' => Message::StreamStart(StreamStart {
                xid: reader.u32()?,
                first_segment: reader.u8()? != 0,
            }),
            b'E' => Message::StreamStop,
            b'c' => {
                let xid = reader.u32()?;
                let Commit { commit_lsn, end_lsn, commit_time } = commit(reader)?;
                Message::StreamCommit(StreamCommit { xid, commit_lsn, end_lsn, commit_time })
            }
            _ => Message::StreamAbort(StreamAbort {
                xid: reader.u32()?,
                subxid: reader.u32()?,
                abort: if self.parallel { Some((reader.u64()?, reader.i64()?)) } else { None },
            }),
        })
    }
}

fn message_name(tag: u8) -> &'static str {
    match tag {
        b'B' => "Begin",
        b'C' => "Commit",
        b'O' => "Origin",
        b'M' => "Message",
        b'R' => "Relation",
        b'Y' => "Type",
        b'T' => "Truncate",
        b'S' => "Stream Start",
        b'E' => "Stream Stop",
        b'c' => "Stream Commit",
        b'A' => "Stream Abort",
        b'b' => "Begin Prepare",
        b'P' => "Prepare",
        b'K' => "Commit Prepared",
        b'r' => "Rollback Prepared",
        b'p' => "Stream Prepare",
        _ => "(unknown)",
    }
}

fn begin(reader: &mut Reader<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin { final_lsn: reader.u64()?, commit_time: reader.i64()?, xid: reader.u32()? })
}

fn commit(reader: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    unused_flags(reader)?;
    Ok(Commit { commit_lsn: reader.u64()?, end_lsn: reader.u64()?, commit_time: reader.i64()? })
}

/// Reads a flag byte that no version gives a meaning to. A bit there could change what the message
/// means, so it is refused, as PostgreSQL's own subscriber does.
fn unused_flags(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        0 => Ok(()),
        flags => Err(reader.field("flags", flags.into())),
    }
}

fn logical_message<'a>(
    xid: Option<u32>,
    reader: &mut Reader<'a>,
) -> Result<LogicalMessage<'a>, DecodeError> {
    Ok(LogicalMessage {
        xid,
        transactional: reader.u8()? & TRANSACTIONAL != 0,
        lsn: reader.u64()?,
        prefix: reader.name()?,
        content: reader.counted("content length")?,
    })
}

fn truncate<'a>(xid: Option<u32>, reader: &mut Reader<'a>) -> Result<Truncate<'a>, DecodeError> {
    let count = reader.i32()?;
    let options = reader.u8()?;
    let bytes = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(4))
        .ok_or_else(|| reader.field("relation count", count.into()))?;
    let (relations, _) = reader.bytes(bytes)?.as_chunks::<4>();
    Ok(Truncate {
        xid,
        cascade: options & TRUNCATE_CASCADE != 0,
        restart_identity: options & TRUNCATE_RESTART_IDENTITY != 0,
        relations: Relations(relations),
    })
}

fn two_phase<'a>(tag: u8, reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    if tag != b'b' {
        unused_flags(reader)?;
    }
    Ok(match tag {
        b'b' => Message::BeginPrepare(BeginPrepare {
            prepare_lsn: reader.u64()?,
            end_lsn: reader.u64()?,
            prepare_time: reader.i64()?,
            xid: reader.u32()?,
            gid: reader.name()?,
        }),
        b'P' => Message::Prepare(prepare(reader)?),
        b'p' => Message::StreamPrepare(prepare(reader)?),
        b'K' => Message::CommitPrepared(CommitPrepared {
            commit_lsn: reader.u64()?,
            end_lsn: reader.u64()?,
            commit_time: reader.i64()?,
            xid: reader.u32()?,
            gid: reader.name()?,
        }),
        _ => Message::RollbackPrepared(RollbackPrepared {
            prepare_end_lsn: reader.u64()?,
            rollback_end_lsn: reader.u64()?,
            prepare_time: reader.i64()?,
            rollback_time: reader.i64()?,
            xid: reader.u32()?,
            gid: reader.name()?,
        }),
    })
}

fn prepare<'a>(reader: &mut Reader<'a>) -> Result<Prepare<'a>, DecodeError> {
    Ok(Prepare {
        prepare_lsn: reader.u64()?,
        end_lsn: reader.u64()?,
        prepare_time: reader.i64()?,
        xid: reader.u32()?,
        gid: reader.name()?,
    })
}
