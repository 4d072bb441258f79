//! What a subscription is about to hand to HTTP/2: whole frames as chunks of bytes, and the changes
//! frame that is being gathered.
//!
//! Long runs are handed on as they lie in the log. Short ones are copied together, because a chunk
//! of its own costs more than copying it, and because a short slice would keep a whole block of the
//! log's cache in memory for as long as a subscriber does not read.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::frame::{self, PREFIX_BYTES, prefix};

/// Runs below this size are copied, bytes.
const COPY_BELOW_BYTES: usize = 8 << 10;

/// Bytes of one frame, or some of them.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// The first of its frame.
    pub(crate) first: bool,
    /// On the last chunk of a frame.
    pub(crate) done: Option<Done>,
}

/// What a client has when the frame has arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Last sequence in the frame; none where it completes no change.
    pub(crate) sequence: Option<u64>,
    /// Changes that it completes.
    pub(crate) changes: u64,
}

#[derive(Debug)]
enum Part {
    Copied(Vec<u8>),
    Shared(Bytes),
}

/// Frames to be sent, in order.
#[derive(Debug)]
pub(crate) struct Outbox {
    ready: VecDeque<Chunk>,
    /// The frame being gathered. Its first part is a copied one that begins with room for the
    /// prefix.
    open: Vec<Part>,
    open_bytes: usize,
    open_done: Done,
    max_frame_bytes: usize,
}

impl Outbox {
    pub(crate) fn new(max_frame_bytes: usize) -> Outbox {
        Outbox {
            ready: VecDeque::new(),
            open: Vec::new(),
            open_bytes: 0,
            open_done: Done::default(),
            max_frame_bytes,
        }
    }

    /// Whether a whole frame is ready to be sent.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Last sequence in the frames that wait here, if they complete any change.
    pub(crate) fn last_sequence(&self) -> Option<u64> {
        let ready = self.ready.iter().filter_map(|chunk| chunk.done?.sequence).max();
        ready.max(self.open_done.sequence)
    }

    /// Bytes that the changes frame being gathered can still take.
    pub(crate) fn room(&self) -> usize {
        self.max_frame_bytes.saturating_sub(self.open_bytes)
    }

    /// Whether no changes frame is being gathered.
    pub(crate) fn is_closed(&self) -> bool {
        self.open_bytes == 0
    }

    /// Adds changes to the frame being gathered, and closes it when it is full.
    pub(crate) fn push_changes(&mut self, bytes: Bytes, count: u32, last_sequence: u64) {
        self.open_bytes += bytes.len();
        self.open_done.changes += u64::from(count);
        self.open_done.sequence = Some(last_sequence);
        if self.open.is_empty() {
            self.open.push(Part::Copied(vec![0; PREFIX_BYTES]));
        }
        if bytes.len() >= COPY_BELOW_BYTES {
            self.open.push(Part::Shared(bytes));
        } else if let Some(Part::Copied(copied)) = self.open.last_mut() {
            copied.extend_from_slice(&bytes);
        } else {
            self.open.push(Part::Copied(bytes.to_vec()));
        }
        if self.open_bytes >= self.max_frame_bytes {
            self.close();
        }
    }

    /// Ends the changes frame being gathered, if any.
    pub(crate) fn close(&mut self) {
        if self.open_bytes == 0 {
            return;
        }
        if let Some(Part::Copied(head)) = self.open.first_mut() {
            head[..PREFIX_BYTES].copy_from_slice(&prefix(self.open_bytes));
        }
        let last = self.open.len() - 1;
        for (index, part) in self.open.drain(..).enumerate() {
            let bytes = match part {
                Part::Copied(copied) => copied.into(),
                Part::Shared(bytes) => bytes,
            };
            let done = (index == last).then_some(self.open_done);
            self.ready.push_back(Chunk { bytes, first: index == 0, done });
        }
        self.open_bytes = 0;
        self.open_done = Done::default();
    }

    /// Adds a control frame after everything so far.
    pub(crate) fn push_control(&mut self, control: offtake_proto::v1::frame::Control) {
        self.close();
        let bytes = frame::control(control);
        self.ready.push_back(Chunk { bytes, first: true, done: Some(Done::default()) });
    }

    /// Adds a change that travels in parts.
    pub(crate) fn push_parts(&mut self, sequence: u64, change: &Bytes) {
        self.close();
        let mut parts = frame::parts(sequence, change).peekable();
        while let Some((head, bytes)) = parts.next() {
            let done = match parts.peek() {
                None => Done { sequence: Some(sequence), changes: 1 },
                Some(_) => Done::default(),
            };
            self.ready.push_back(Chunk { bytes: head, first: true, done: None });
            self.ready.push_back(Chunk { bytes, first: false, done: Some(done) });
        }
    }

    /// The next chunk to be sent.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// Whether the next chunk begins a frame.
    pub(crate) fn at_frame_start(&self) -> bool {
        self.ready.front().is_none_or(|chunk| chunk.first)
    }

    /// Forgets every frame of which no chunk was taken; one that was begun stays to its end.
    pub(crate) fn forget_unsent(&mut self) {
        let begun = self.ready.iter().take_while(|chunk| !chunk.first).count();
        self.ready.truncate(begun);
        self.open.clear();
        self.open_bytes = 0;
        self.open_done = Done::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox) -> Vec<Chunk> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn short_runs_are_one_chunk_and_long_ones_are_shared() {
        let mut outbox = Outbox::new(1 << 20);
        let long = Bytes::from(vec![7; COPY_BELOW_BYTES]);
        outbox.push_changes(Bytes::from_static(b"ab"), 1, 1);
        outbox.push_changes(Bytes::from_static(b"cd"), 1, 2);
        outbox.push_changes(long.clone(), 3, 5);
        outbox.push_changes(Bytes::from_static(b"ef"), 1, 9);
        assert!(!outbox.is_ready());
        outbox.close();
        let chunks = drain(&mut outbox);
        let len = COPY_BELOW_BYTES + 6;
        let mut head = prefix(len).to_vec();
        head.extend_from_slice(b"abcd");
        assert_eq!(chunks[0].bytes, head);
        assert_eq!(chunks[1].bytes.as_ptr(), long.as_ptr());
        assert_eq!(chunks[2].bytes, &b"ef"[..]);
        let done = chunks[2].done.unwrap();
        assert_eq!((chunks.len(), done.sequence, done.changes), (3, Some(9), 6));
    }

    #[test]
    fn a_full_frame_closes_itself_and_a_control_comes_after_what_was_gathered() {
        let mut outbox = Outbox::new(4);
        outbox.push_changes(Bytes::from_static(b"abcd"), 1, 1);
        assert!(outbox.is_ready() && outbox.is_closed());
        outbox.push_changes(Bytes::from_static(b"e"), 1, 2);
        assert_eq!(outbox.last_sequence(), Some(2));
        assert_eq!(outbox.room(), 3);
        outbox.push_control(offtake_proto::v1::frame::Control::Token(Default::default()));
        let frames = drain(&mut outbox);
        assert_eq!(frames.len(), 3);
        assert_eq!(&frames[1].bytes[..], [0, 0, 0, 0, 1, b'e']);
        assert!(!outbox.is_ready() && outbox.is_closed());
    }

    #[test]
    fn forgetting_keeps_the_frame_that_was_begun() {
        let mut outbox = Outbox::new(1 << 20);
        outbox.push_changes(Bytes::from(vec![1; COPY_BELOW_BYTES]), 1, 1);
        outbox.close();
        outbox.push_changes(Bytes::from_static(b"x"), 1, 2);
        outbox.close();
        outbox.push_changes(Bytes::from_static(b"y"), 1, 3);
        assert!(outbox.pop().unwrap().first);
        assert!(!outbox.at_frame_start());
        outbox.forget_unsent();
        assert_eq!(drain(&mut outbox).len(), 1);
        assert!(!outbox.is_ready() && outbox.is_closed());
    }
}
