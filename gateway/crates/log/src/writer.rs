//! The pipeline thread's end of the log: builds one group at a time from encoded changes.
//!
//! A change is encoded straight into the group's buffer; the only other work a change costs is its
//! length. Checksums are taken once a run, while it is still in the processor's cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use offtake_change::TableSchema;
use offtake_change::wire::{FRAME_CHANGES_TAG, varint_len};

use crate::LogError;
use crate::control::{Control, ControlState};
use crate::format::{DirectoryEntry, ENTRY_BYTES, FLAG_PIECE, GROUP_HEADER_BYTES, GroupHeader};
use crate::log::Shared;
use crate::queue::PendingGroup;

/// A run ends when a change would take it past this, so that a cache block holds whole runs.
pub(crate) const RUN_BYTES: usize = 64 << 10;

/// Largest group that the format is used for; its lengths are 32 bits.
pub(crate) const MAX_GROUP_BYTES: usize = 1 << 30;

/// Schemas remembered by address before the memory is given back: far more than a source keeps.
const MAX_ADDRESSES: usize = 4096;

/// Builds groups and hands them to the writer thread. Dropping it writes what was submitted, closes
/// the log and waits for the thread; an open group that was not submitted is forgotten.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    group: PendingGroup,
    controls: Vec<u8>,
    control_count: u32,
    is_piece: bool,
    /// The run being built; its offset counts from the data's start.
    run: Option<DirectoryEntry>,
    /// Bytes that the last change's length took: the next one's most likely take as many.
    length_bytes: usize,
    next_sequence: u64,
    streams: HashMap<Box<str>, u32>,
    schemas: HashMap<Arc<TableSchema>, u32>,
    /// The same by address, so that asking again costs no comparison; holds each alive.
    by_address: HashMap<usize, (Arc<TableSchema>, u32)>,
    next_stream: u32,
    next_schema: u32,
}

impl LogWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        thread: JoinHandle<()>,
        state: &ControlState,
        next_sequence: u64,
    ) -> LogWriter {
        let streams = state.streams.values();
        let read = |(id, schema): (&u32, &Arc<_>)| {
            // A schema with codes of a later version equals none of ours and is not shared.
            TableSchema::from_proto(schema).ok().map(|schema| (Arc::new(schema), *id))
        };
        LogWriter {
            shared,
            thread: Some(thread),
            group: PendingGroup::default(),
            controls: Vec::new(),
            control_count: 0,
            is_piece: false,
            run: None,
            length_bytes: 2,
            next_sequence,
            streams: streams.map(|stream| (stream.name.as_str().into(), stream.id)).collect(),
            schemas: state.schemas.iter().filter_map(read).collect(),
            by_address: HashMap::new(),
            next_stream: state.streams.last_key_value().map_or(1, |(id, _)| id + 1),
            next_schema: state.schemas.last_key_value().map_or(1, |(id, _)| id + 1),
        }
    }

    /// The log-wide id of a stream; a new one is announced in the open group.
    pub fn register_stream(&mut self, name: &str) -> u32 {
        if let Some(id) = self.streams.get(name) {
            return *id;
        }
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(name.into(), id);
        self.control(Control::Stream(offtake_proto::v1::Stream { id, name: name.to_owned() }));
        id
    }

    /// The log-wide id of a schema, shared by equal ones; a new one is announced in the open group.
    pub fn register_schema(&mut self, schema: &Arc<TableSchema>) -> u32 {
        let address = Arc::as_ptr(schema).addr();
        if let Some((_, id)) = self.by_address.get(&address) {
            return *id;
        }
        let id = match self.schemas.get(schema) {
            Some(id) => *id,
            None => {
                let id = self.next_schema;
                self.next_schema += 1;
                self.schemas.insert(Arc::clone(schema), id);
                self.control(Control::Schema(schema.to_proto(id)));
                id
            }
        };
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.clear();
        }
        self.by_address.insert(address, (Arc::clone(schema), id));
        id
    }

    /// The sequence that the next change gets.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Appends one change to the open group and gives its sequence. `encode` appends the body of
    /// the `Change` message, which must carry the sequence that it is given.
    pub fn push(
        &mut self,
        stream: u32,
        schema: u32,
        encode: impl FnOnce(u64, &mut Vec<u8>),
    ) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let start = self.group.data.len();
        self.put_change(sequence, encode);
        let end = self.group.data.len();
        match &mut self.run {
            Some(run)
                if run.stream == stream
                    && run.schema == schema
                    && end - run.offset as usize <= RUN_BYTES =>
            {
                run.count += 1;
            }
            _ => {
                self.end_run(start);
                self.run = Some(DirectoryEntry {
                    stream,
                    schema,
                    first_sequence: sequence,
                    count: 1,
                    // A group that has outgrown 32 bits is refused when it is submitted.
                    offset: start as u32,
                    length: 0,
                    crc32c: 0,
                });
            }
        }
        sequence
    }

    /// Adds a control record to the open group. A source position that is in the middle of a
    /// transaction marks the group as a piece.
    pub fn control(&mut self, control: Control) {
        if let Control::SourcePosition(position) = &control {
            self.is_piece = position.partial.is_some();
        }
        control.encode(&mut self.controls);
        self.control_count += 1;
        if control.is_state() {
            self.group.state.push(control);
        }
    }

    /// Size of the open group so far.
    pub fn group_bytes(&self) -> usize {
        let directory = (self.group.entries.len() + usize::from(self.run.is_some())) * ENTRY_BYTES;
        match self.is_empty() {
            true => 0,
            false => GROUP_HEADER_BYTES + self.controls.len() + directory + self.group.data.len(),
        }
    }

    /// Hands the open group to the writer thread. Waits while its queue is full or the log is
    /// blocked. Does nothing when the group is empty.
    ///
    /// # Errors
    /// The writer thread has stopped, the log was closed, or the group is larger than the format
    /// allows (it is kept then, and the log can take nothing further).
    pub fn submit(&mut self) -> Result<(), LogError> {
        if self.is_empty() {
            return Ok(());
        }
        let bytes = self.group_bytes();
        if bytes > MAX_GROUP_BYTES {
            let (bytes, limit) = (bytes as u64, MAX_GROUP_BYTES as u64);
            return Err(LogError::GroupTooLarge { bytes, limit });
        }
        self.end_run(self.group.data.len());
        self.seal_group();
        let group = std::mem::take(&mut self.group);
        self.group = self.shared.queue.push(group)?;
        Ok(())
    }

    /// Hands the open group over and waits until everything is durable.
    ///
    /// # Errors
    /// As [`LogWriter::submit`].
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.submit()?;
        self.wait_durable()
    }

    /// Waits until what was handed over is durable. The open group is left as it is.
    ///
    /// # Errors
    /// The writer thread has stopped, or the log was closed.
    pub fn wait_durable(&mut self) -> Result<(), LogError> {
        self.shared.queue.wait_durable()
    }

    fn is_empty(&self) -> bool {
        self.control_count == 0 && self.run.is_none() && self.group.entries.is_empty()
    }

    /// Appends tag, length and body. The length is known after the body is written, so room is
    /// left for as many bytes as the last one took and the body is moved when that was wrong.
    #[inline]
    fn put_change(&mut self, sequence: u64, encode: impl FnOnce(u64, &mut Vec<u8>)) {
        const ROOM: [u8; 10] = [0; 10];
        let data = &mut self.group.data;
        let room = self.length_bytes;
        data.push(FRAME_CHANGES_TAG);
        let length_at = data.len();
        data.extend_from_slice(ROOM.get(..room).unwrap_or(&ROOM));
        let body_at = data.len();
        encode(sequence, data);
        let length = data.len().saturating_sub(body_at) as u64;
        let needed = varint_len(length);
        if needed != room {
            self.length_bytes = needed;
            move_body(data, body_at, length_at + needed);
        }
        let mut rest = length;
        for slot in data.iter_mut().skip(length_at).take(needed) {
            let more = if rest >= 0x80 { 0x80 } else { 0 };
            *slot = (rest & 0x7f) as u8 | more;
            rest >>= 7;
        }
    }

    fn end_run(&mut self, end: usize) {
        let Some(mut run) = self.run.take() else {
            return;
        };
        let bytes = self.group.data.get(run.offset as usize..end).unwrap_or_default();
        run.length = bytes.len() as u32;
        run.crc32c = crc32c::crc32c(bytes);
        self.group.entries.push(run);
    }

    /// Writes control records and directory behind the room for the head.
    fn seal_group(&mut self) {
        let group = &mut self.group;
        let changes: u64 = group.entries.iter().map(|entry| u64::from(entry.count)).sum();
        let mut header = GroupHeader {
            flags: if self.is_piece { FLAG_PIECE } else { 0 },
            control_bytes: self.controls.len() as u32,
            control_count: self.control_count,
            directory_count: group.entries.len() as u32,
            first_sequence: self.next_sequence - changes,
            change_count: changes as u32,
            ..GroupHeader::default()
        };
        let index_end = header.index_end();
        header.total_bytes = (index_end + group.data.len() as u64) as u32;
        group.index.clear();
        group.index.resize(GROUP_HEADER_BYTES, 0);
        group.index.extend_from_slice(&self.controls);
        for entry in &mut group.entries {
            entry.offset += index_end as u32;
            entry.encode(&mut group.index);
        }
        let covered = group.index.get(GROUP_HEADER_BYTES..).unwrap_or_default();
        header.index_crc32c = crc32c::crc32c(covered);
        group.header = header;
        self.controls.clear();
        self.control_count = 0;
        self.is_piece = false;
    }
}

#[cold]
fn move_body(data: &mut Vec<u8>, from: usize, to: usize) {
    let end = data.len();
    if to > from {
        data.resize(end + (to - from), 0);
    }
    data.copy_within(from..end, to);
    data.truncate(to + (end - from));
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_moves_both_ways() {
        let mut data = b"tLLbody".to_vec();
        move_body(&mut data, 3, 2);
        assert_eq!(data, b"tLbody");
        move_body(&mut data, 2, 4);
        assert_eq!(&data[4..], b"body");
    }
}
