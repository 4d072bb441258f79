//! pgoutput messages become batches: transactions, rows, counters, and what is skipped because the
//! log has it.
//!
//! No IO happens here. The stream hands in one message at a time and takes the batch out when it
//! sends it on; a table's definition, which needs the catalogue, is asked for and handed in.

use std::collections::HashMap;
use std::sync::Arc;

use offtake_change::{
    Batch, Boundary, HeaderRange, Image, Lsn, NO_TRANSACTION, Operation, Row, Snapshot,
    TableSchema, Transaction,
};
use offtake_pgoutput as pgoutput;
use offtake_pgoutput::{
    LogicalMessage, Message, OldTuple, Protocol, Tuple, XLogData, postgres_to_unix_us,
};

use crate::SourceError;
use crate::definitions::Definitions;
use crate::messages::message_schema;
use crate::progress::{PartialTransaction, Progress};
use crate::relation::{Relation, TableFacts};
use crate::types::qualified_namespace;

/// pgoutput's protocol version: committed transactions, whole.
pub(crate) const PROTOCOL_VERSION: u8 = 1;

/// What became of a message.
pub(crate) enum Taken {
    /// It is done.
    Done,
    /// It is not touched: the transaction is past the place where the stream is to wait.
    Held,
    /// A table's definition, not touched: look up what [`Assembler::looked_up`] wants and come
    /// again.
    Definition(Unknown),
}

/// A table of which the catalogue is to be asked.
pub(crate) struct Unknown {
    pub(crate) relation: u32,
    /// Its schema and name as the stream has them.
    pub(crate) namespace: String,
    pub(crate) table: String,
    pub(crate) type_ids: Vec<u32>,
}

/// What was looked up of a table.
pub(crate) enum LookedUp {
    NotCaptured,
    /// As it is now; `None`: it was dropped since.
    Captured {
        facts: Option<TableFacts>,
        /// Schema and name to take it under, where the stream tells of a name that it had for a
        /// while and has no more.
        under: Option<(String, String)>,
    },
}

struct Tracked {
    /// `None`: not captured.
    relation: Option<Arc<Relation>>,
    /// Changes of the table in the transaction of that serial.
    changes: u64,
    serial: u64,
}

struct Open {
    transaction: Transaction,
    /// Index in the current batch.
    index: Option<u32>,
    /// Rows so far as the server sent them, those that are skipped and those of published tables
    /// that are not captured included. So a place in the transaction means the same row whatever
    /// is captured by the next start: the server decides by the publication as it was when the row
    /// was written. A table that is captured only since then has none of its rows before the place
    /// skipped for good: it is copied, with all of them, at a place after the transaction's commit.
    rows: u64,
    /// Rows that the log has, or that were not captured before those.
    skip_rows: u64,
    /// Whether any row is of a captured table, or a message.
    any_captured: bool,
    /// The log has all of it.
    skip_all: bool,
}

pub(crate) struct Assembler {
    protocol: Protocol,
    definitions: Definitions,
    relations: HashMap<u32, Tracked>,
    looked_up: Option<(u32, LookedUp)>,
    pub(crate) batch: Batch,
    open: Option<Open>,
    serial: u64,
    pub(crate) progress: Progress,
    /// The end of the last commit or message outside of a transaction that came, captured or not.
    /// After a start it is where the stream begins again.
    previous_end: Lsn,
    /// Transactions that commit here or later wait.
    pub(crate) hold_at: Option<Lsn>,
    /// The end of a transaction without rows, or of a message outside of one: an idle position once
    /// everything is sent.
    pub(crate) passed: Lsn,
    /// Whether a message outside of a transaction made the last step of `passed`.
    pub(crate) message_passed: bool,
    messages: Arc<TableSchema>,
}

impl Assembler {
    pub(crate) fn new(
        progress: Progress,
        database: &str,
        definitions: Definitions,
    ) -> Result<Assembler, SourceError> {
        Ok(Assembler {
            protocol: protocol()?,
            definitions,
            relations: HashMap::new(),
            looked_up: None,
            batch: Batch::new(),
            open: None,
            serial: 0,
            previous_end: progress.start(),
            progress,
            hold_at: None,
            passed: Lsn::ZERO,
            message_passed: false,
            messages: Arc::new(message_schema(database)),
        })
    }

    /// Forgets what belongs to a connection. Rows that are assembled stay.
    pub(crate) fn reconnected(&mut self) -> Result<(), SourceError> {
        self.protocol = protocol()?;
        self.definitions.reconnected();
        self.relations.clear();
        self.looked_up = None;
        if let Some(open) = self.open.take()
            && !open.skip_all
            && open.rows > 0
        {
            self.progress.partial = Some(PartialTransaction {
                transaction_id: open.transaction.id,
                commit: open.transaction.commit,
                next_row: open.rows.max(open.skip_rows),
            });
        }
        Ok(())
    }

    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Hands in what was asked for by [`Taken::Definition`].
    pub(crate) fn looked_up(&mut self, relation: u32, found: LookedUp) {
        self.looked_up = Some((relation, found));
    }

    /// Takes in a definition, or says what is to be looked up for it.
    fn define(&mut self, message: &pgoutput::Relation<'_>) -> Taken {
        let found = match self.looked_up.take() {
            Some((relation, found)) if relation == message.id => found,
            _ => {
                let type_ids = message.columns().map(|column| column.type_id).collect();
                return Taken::Definition(Unknown {
                    relation: message.id,
                    namespace: qualified_namespace(message.namespace).to_owned(),
                    table: message.name.to_owned(),
                    type_ids,
                });
            }
        };
        // A definition in the middle of a transaction goes on counting.
        let (changes, serial) =
            self.relations.get(&message.id).map_or((0, 0), |known| (known.changes, known.serial));
        let relation = match found {
            LookedUp::NotCaptured => None,
            LookedUp::Captured { facts, under } => {
                let mut message = *message;
                if let Some((namespace, table)) = &under {
                    (message.namespace, message.name) = (namespace, table);
                }
                Some(self.definitions.announce(&message, facts.as_ref()))
            }
        };
        self.relations.insert(message.id, Tracked { relation, changes, serial });
        Taken::Done
    }

    /// The batch so far, to be sent; a transaction that is open goes on in the next one.
    pub(crate) fn take_batch(&mut self, processed_unix_ns: i64) -> Batch {
        if let Some(open) = &mut self.open {
            open.index = None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.processed_unix_ns = processed_unix_ns;
        batch
    }

    /// Takes one message.
    pub(crate) fn take(&mut self, data: XLogData<'_>) -> Result<Taken, SourceError> {
        let at = Lsn(data.wal_start);
        let message = self
            .protocol
            .decode(data.payload)
            .map_err(|error| SourceError::Decode { lsn: at, error })?;
        match message {
            Message::Insert(insert) => {
                self.row(at, insert.relation, Operation::Create, None, Some(insert.new))?;
            }
            Message::Update(update) => {
                self.row(at, update.relation, Operation::Update, update.old, Some(update.new))?;
            }
            Message::Delete(delete) => {
                self.row(at, delete.relation, Operation::Delete, Some(delete.old), None)?;
            }
            Message::Begin(begin) => {
                let commit = Lsn(begin.final_lsn);
                if self.hold_at.is_some_and(|hold_at| commit >= hold_at) {
                    return Ok(Taken::Held);
                }
                self.begin(at, commit, begin.xid, begin.commit_time)?;
            }
            Message::Commit(commit) => {
                self.commit(at, Lsn(commit.commit_lsn), Lsn(commit.end_lsn))?;
            }
            Message::Relation(relation) => return Ok(self.define(&relation)),
            Message::Truncate(truncate) => {
                for relation in truncate.relations.iter() {
                    self.row(at, relation, Operation::Truncate, None, None)?;
                }
            }
            Message::Message(message) => self.message(at, message)?,
            Message::Origin(origin) => {
                if let Some(open) = &mut self.open {
                    origin.name.clone_into(&mut open.transaction.origin);
                }
            }
            Message::Type(name) => self.definitions.note_name(&name),
            // Never asked for.
            other => {
                return Err(out_of_place(at, name_of(&other)));
            }
        }
        Ok(Taken::Done)
    }

    fn begin(&mut self, at: Lsn, commit: Lsn, xid: u32, time: i64) -> Result<(), SourceError> {
        if self.open.is_some() {
            return Err(out_of_place(at, "a transaction begins inside another"));
        }
        let id = xid.to_string();
        let partial = self.progress.partial.as_ref();
        // Transactions come in commit order: all before the one in part are done, those included
        // that have no row for us and did not move the end.
        let skip_all =
            commit < self.progress.end || partial.is_some_and(|partial| commit < partial.commit);
        let mut skip_rows = 0;
        if !skip_all && let Some(partial) = partial {
            // So the first that is not whole is this one.
            if partial.transaction_id != id || partial.commit != commit {
                return Err(SourceError::PartialMismatch {
                    transaction: partial.transaction_id.clone(),
                    commit: partial.commit,
                    rows: partial.next_row,
                    found: format!("transaction {id} committed at {commit}"),
                });
            }
            skip_rows = partial.next_row;
        }
        self.serial += 1;
        self.open = Some(Open {
            transaction: Transaction {
                id,
                commit,
                previous_commit: self.previous_end,
                commit_unix_us: postgres_to_unix_us(time),
                origin: String::new(),
                begin: at,
            },
            index: None,
            rows: 0,
            skip_rows,
            any_captured: false,
            skip_all,
        });
        Ok(())
    }

    fn commit(&mut self, at: Lsn, commit: Lsn, end: Lsn) -> Result<(), SourceError> {
        let Some(open) = self.open.take() else {
            return Err(out_of_place(at, "a transaction ends that did not begin"));
        };
        if open.transaction.commit != commit {
            return Err(out_of_place(at, "a transaction ends at another place than it said"));
        }
        self.previous_end = self.previous_end.max(end);
        if open.skip_all {
            return Ok(());
        }
        if open.rows < open.skip_rows {
            return Err(SourceError::PartialMismatch {
                transaction: open.transaction.id,
                commit,
                rows: open.skip_rows,
                found: format!("the same transaction with {} rows", open.rows),
            });
        }
        self.progress.partial = None;
        if !open.any_captured && open.skip_rows == 0 {
            // Nothing of it is ours: no boundary, its end is an idle position. One that the log
            // has in part ends there, also when none of its tables is captured any more.
            self.passed = self.passed.max(end);
            return Ok(());
        }
        let index = match open.index {
            Some(index) => index,
            None => self.batch.push_transaction(open.transaction),
        };
        self.batch.boundaries.push(Boundary {
            rows_end: self.batch.rows.len() as u32,
            transaction: index,
            end,
            source_rows: open.rows,
        });
        self.progress.end = end;
        Ok(())
    }

    /// Counts a row of the open transaction and gives its place. `None`: it is not captured, or
    /// the log has it.
    fn count(&mut self, at: Lsn, is_captured: bool) -> Result<Option<(u32, u64)>, SourceError> {
        let Some(open) = &mut self.open else {
            return Err(out_of_place(at, "a change outside of a transaction"));
        };
        open.rows += 1;
        open.any_captured |= is_captured;
        if !is_captured || open.skip_all || open.rows <= open.skip_rows {
            return Ok(None);
        }
        let index = match open.index {
            Some(index) => index,
            None => {
                let index = self.batch.push_transaction(open.transaction.clone());
                open.index = Some(index);
                index
            }
        };
        Ok(Some((index, open.rows)))
    }

    fn row(
        &mut self,
        at: Lsn,
        relation: u32,
        operation: Operation,
        old: Option<OldTuple<'_>>,
        new: Option<Tuple<'_>>,
    ) -> Result<(), SourceError> {
        let serial = self.serial;
        let Some(known) = self.relations.get_mut(&relation) else {
            return Err(out_of_place(at, "a change of a table that was not described"));
        };
        let Some(relation) = known.relation.clone() else {
            return self.count(at, false).map(|_| ());
        };
        if known.serial != serial {
            known.serial = serial;
            known.changes = 0;
        }
        known.changes += 1;
        let order_in_table = known.changes;
        let Some((transaction, order)) = self.count(at, true)? else { return Ok(()) };
        let batch = &mut self.batch;
        let wrong = |error| SourceError::Value { lsn: at, error };
        let decoder = &relation.decoder;
        let before = match old {
            Some(old) => decoder.decode_old(old, batch).map_err(wrong)?,
            None => Image::NONE,
        };
        let after = match new {
            Some(tuple) => decoder.decode_tuple(tuple, batch).map_err(wrong)?,
            None => Image::NONE,
        };
        decoder.complete_unchanged(before, after, batch);
        let schema = batch.schema_index(&relation.schema);
        batch.rows.push(Row {
            schema,
            transaction,
            operation,
            snapshot: Snapshot::None,
            dropped: false,
            before,
            after,
            lsn: at,
            order,
            order_in_table,
            headers: HeaderRange::default(),
            stream: None,
        });
        Ok(())
    }

    fn message(&mut self, at: Lsn, message: LogicalMessage<'_>) -> Result<(), SourceError> {
        let lsn = Lsn(message.lsn);
        let (transaction, order) = if message.transactional {
            let Some(counted) = self.count(at, true)? else { return Ok(()) };
            counted
        } else {
            // Comes where it was written, also again after a reconnect from an earlier place. The
            // server gives the end of its record, which is where the next one begins: that may be the
            // commit of the transaction around it, so not a byte more is passed.
            if lsn <= self.progress.start().max(self.passed) {
                return Ok(());
            }
            self.passed = lsn;
            self.message_passed = true;
            self.previous_end = self.previous_end.max(lsn);
            (NO_TRANSACTION, 1)
        };
        let batch = &mut self.batch;
        let begin = batch.begin_image();
        let prefix = batch.text(message.prefix.as_bytes());
        let content = batch.bytes(message.content);
        batch.push_cell(prefix);
        batch.push_cell(content);
        let after = batch.end_image(begin);
        let schema = batch.schema_index(&self.messages);
        batch.rows.push(Row {
            schema,
            transaction,
            operation: Operation::Message,
            snapshot: Snapshot::None,
            dropped: false,
            before: Image::NONE,
            after,
            lsn,
            order,
            order_in_table: 1,
            headers: HeaderRange::default(),
            stream: None,
        });
        Ok(())
    }
}

fn protocol() -> Result<Protocol, SourceError> {
    Protocol::new(PROTOCOL_VERSION).map_err(|error| SourceError::Protocol(error.to_string()))
}

fn out_of_place(at: Lsn, reason: &'static str) -> SourceError {
    SourceError::OutOfPlace { lsn: at, reason }
}

fn name_of(message: &Message<'_>) -> &'static str {
    match message {
        Message::StreamStart(_) => "the message Stream Start of a later protocol",
        Message::StreamStop => "the message Stream Stop of a later protocol",
        Message::StreamCommit(_) => "the message Stream Commit of a later protocol",
        Message::StreamAbort(_) => "the message Stream Abort of a later protocol",
        Message::BeginPrepare(_) => "the message Begin Prepare of a later protocol",
        Message::Prepare(_) => "the message Prepare of a later protocol",
        Message::CommitPrepared(_) => "the message Commit Prepared of a later protocol",
        Message::RollbackPrepared(_) => "the message Rollback Prepared of a later protocol",
        Message::StreamPrepare(_) => "the message Stream Prepare of a later protocol",
        _ => "a message of a later protocol",
    }
}
