//! The messages of the `pgoutput` plugin. Fields are as on the wire: an LSN is the byte position
//! that `pg_lsn` prints, a time is microseconds since the PostgreSQL epoch
//! ([`crate::postgres_to_unix_us`] converts it), and `xid` is set only inside a streamed
//! transaction (protocol 2 and later), where the message carries one.

use crate::relation::Relation;
use crate::tuple::Tuple;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`: a transaction begins.
    Begin(Begin),
    /// `M`: a logical decoding message.
    Message(LogicalMessage<'a>),
    /// `C`: the transaction ends.
    Commit(Commit),
    /// `O`: the transaction was replicated into this server from another.
    Origin(Origin<'a>),
    /// `R`: a table's definition.
    Relation(Relation<'a>),
    /// `Y`: the name of a type that is not built in.
    Type(Type<'a>),
    /// `I`: a row was inserted.
    Insert(Insert<'a>),
    /// `U`: a row was updated.
    Update(Update<'a>),
    /// `D`: a row was deleted.
    Delete(Delete<'a>),
    /// `T`: tables were emptied.
    Truncate(Truncate<'a>),
    /// `S` (protocol 2): a piece of a transaction that is still in progress begins.
    StreamStart(StreamStart),
    /// `E` (protocol 2): that piece ends.
    StreamStop,
    /// `c` (protocol 2): a streamed transaction committed.
    StreamCommit(StreamCommit),
    /// `A` (protocol 2): a streamed transaction or subtransaction was rolled back.
    StreamAbort(StreamAbort),
    /// `b` (protocol 3): a prepared transaction begins.
    BeginPrepare(BeginPrepare<'a>),
    /// `P` (protocol 3): a transaction was prepared.
    Prepare(Prepare<'a>),
    /// `K` (protocol 3): a prepared transaction committed.
    CommitPrepared(CommitPrepared<'a>),
    /// `r` (protocol 3): a prepared transaction was rolled back.
    RollbackPrepared(RollbackPrepared<'a>),
    /// `p` (protocol 3): a streamed transaction was prepared.
    StreamPrepare(Prepare<'a>),
}

/// A transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit record.
    pub final_lsn: u64,
    /// Commit time.
    pub commit_time: i64,
    /// The transaction's id.
    pub xid: u32,
}

/// A logical decoding message (`pg_logical_emit_message`). `Debug` does not show its content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// Whether it is part of a transaction; otherwise it comes at once, outside of one.
    pub transactional: bool,
    /// LSN of the message.
    pub lsn: u64,
    /// The application's prefix.
    pub prefix: &'a str,
    /// Its content, any bytes.
    pub content: &'a [u8],
}

impl std::fmt::Debug for LogicalMessage<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LogicalMessage")
            .field("xid", &self.xid)
            .field("transactional", &self.transactional)
            .field("lsn", &self.lsn)
            .field("prefix", &self.prefix)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

/// The transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// LSN of the commit record; equals [`Begin::final_lsn`].
    pub commit_lsn: u64,
    /// Just past the commit record: what a client confirms and resumes from.
    pub end_lsn: u64,
    /// Commit time.
    pub commit_time: i64,
}

/// Where the transaction was first made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// LSN of the commit on the origin server.
    pub commit_lsn: u64,
    /// Name of the replication origin.
    pub name: &'a str,
}

/// The name of a type that is not built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// OID of the type.
    pub id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// A row was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// OID of the relation.
    pub relation: u32,
    /// The new row.
    pub new: Tuple<'a>,
}

/// What an update or delete tells of the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: the replica identity's columns; every other column is sent as NULL and is not known.
    Key(Tuple<'a>),
    /// `O`: the whole row (REPLICA IDENTITY FULL).
    Row(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The tuple, whichever it is.
    pub fn tuple(&self) -> Tuple<'a> {
        match self {
            OldTuple::Key(tuple) | OldTuple::Row(tuple) => *tuple,
        }
    }
}

/// A row was updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// OID of the relation.
    pub relation: u32,
    /// The row before; none where the identity's columns did not change (and it is not FULL).
    pub old: Option<OldTuple<'a>>,
    /// The row after.
    pub new: Tuple<'a>,
}

/// A row was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// OID of the relation.
    pub relation: u32,
    /// The row before.
    pub old: OldTuple<'a>,
}

/// Tables were emptied, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// The streamed transaction.
    pub xid: Option<u32>,
    /// `CASCADE` was given.
    pub cascade: bool,
    /// `RESTART IDENTITY` was given.
    pub restart_identity: bool,
    /// OIDs of the relations.
    pub relations: Relations<'a>,
}

/// OIDs of relations, in the order of the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relations<'a>(pub(crate) &'a [[u8; 4]]);

impl<'a> Relations<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The OIDs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.iter().map(|id| u32::from_be_bytes(*id))
    }
}

impl std::fmt::Debug for Relations<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

/// A piece of a transaction in progress begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction's id.
    pub xid: u32,
    /// Whether this is its first piece.
    pub first_segment: bool,
}

/// A streamed transaction committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCommit {
    /// The transaction's id.
    pub xid: u32,
    /// LSN of the commit record.
    pub commit_lsn: u64,
    /// Just past the commit record.
    pub end_lsn: u64,
    /// Commit time.
    pub commit_time: i64,
}

/// A streamed transaction, or a part of one, was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction's id.
    pub xid: u32,
    /// The subtransaction's id; equals `xid` where the whole transaction was rolled back.
    pub subxid: u32,
    /// LSN and time of the abort; only where `streaming = parallel` was asked for (protocol 4).
    pub abort: Option<(u64, i64)>,
}

/// A prepared transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginPrepare<'a> {
    /// LSN of the prepare record.
    pub prepare_lsn: u64,
    /// Just past the prepare record.
    pub end_lsn: u64,
    /// Prepare time.
    pub prepare_time: i64,
    /// The transaction's id.
    pub xid: u32,
    /// The application's name of the transaction.
    pub gid: &'a str,
}

/// A transaction was prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// LSN of the prepare record.
    pub prepare_lsn: u64,
    /// Just past the prepare record.
    pub end_lsn: u64,
    /// Prepare time.
    pub prepare_time: i64,
    /// The transaction's id.
    pub xid: u32,
    /// The application's name of the transaction.
    pub gid: &'a str,
}

/// A prepared transaction committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPrepared<'a> {
    /// LSN of the commit record.
    pub commit_lsn: u64,
    /// Just past the commit record.
    pub end_lsn: u64,
    /// Commit time.
    pub commit_time: i64,
    /// The transaction's id.
    pub xid: u32,
    /// The application's name of the transaction.
    pub gid: &'a str,
}

/// A prepared transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackPrepared<'a> {
    /// Just past the prepare record.
    pub prepare_end_lsn: u64,
    /// Just past the rollback record.
    pub rollback_end_lsn: u64,
    /// Prepare time.
    pub prepare_time: i64,
    /// Rollback time.
    pub rollback_time: i64,
    /// The transaction's id.
    pub xid: u32,
    /// The application's name of the transaction.
    pub gid: &'a str,
}
