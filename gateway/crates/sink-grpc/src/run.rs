//! Cuts a run of the log into pieces that fit a frame, by slicing and not by copying.
//!
//! A run that fits is taken whole and never looked into; only a run that is too long, or that a
//! cursor points into, is walked, change by change, by tag and length. Nothing of a change itself is
//! read here.

use bytes::Bytes;
use offtake_change::wire::FRAME_CHANGES_TAG;
use offtake_log::Run;

use crate::options::PART_ABOVE_BYTES;

/// A run does not hold what the log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run of the log from sequence {first_sequence} cannot be read")]
pub(crate) struct DamagedRun {
    /// First sequence of the run.
    pub(crate) first_sequence: u64,
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole changes: the body of a changes frame, or a part of it.
    Changes { bytes: Bytes, count: u32, last_sequence: u64 },
    /// One change that travels in parts, without its tag and length.
    Large { change: Bytes, sequence: u64 },
    /// The next change does not fit the room that is left, but would fit an empty frame.
    NoRoom,
    /// Nothing is left.
    End,
}

/// A run and how far it has been cut.
#[derive(Debug)]
pub(crate) struct RunCutter {
    bytes: Bytes,
    first_sequence: u64,
    sequence: u64,
    count: u32,
}

/// One entry of a run: where the change begins, and where it ends.
struct Entry {
    body: usize,
    end: usize,
}

impl RunCutter {
    /// Cuts a run from the first change after a sequence.
    pub(crate) fn new(run: Run, after: u64) -> Result<RunCutter, DamagedRun> {
        let mut cutter = RunCutter {
            bytes: run.bytes,
            first_sequence: run.first_sequence,
            sequence: run.first_sequence,
            count: run.count,
        };
        while cutter.sequence <= after && cutter.count > 0 {
            let end = cutter.entry(0)?.end;
            cutter.advance(end, 1);
        }
        Ok(cutter)
    }

    /// Takes what fits into `room` bytes; where `room` is a whole empty frame, at least one change.
    pub(crate) fn take(&mut self, room: usize, empty: bool) -> Result<Piece, DamagedRun> {
        if self.count == 0 {
            return if self.bytes.is_empty() { Ok(Piece::End) } else { Err(self.damaged()) };
        }
        if self.bytes.len() <= room.min(PART_ABOVE_BYTES) {
            return Ok(self.changes(self.bytes.len(), self.count));
        }
        let (mut end, mut count) = (0, 0);
        while count < self.count {
            let entry = self.entry(end)?;
            if entry.end > room {
                if count > 0 {
                    break;
                }
                if entry.end - entry.body > PART_ABOVE_BYTES {
                    let (change, sequence) =
                        (self.bytes.slice(entry.body..entry.end), self.sequence);
                    self.advance(entry.end, 1);
                    return Ok(Piece::Large { change, sequence });
                }
                if !empty {
                    return Ok(Piece::NoRoom);
                }
                return Ok(self.changes(entry.end, 1));
            }
            end = entry.end;
            count += 1;
        }
        Ok(self.changes(end, count))
    }

    fn changes(&mut self, end: usize, count: u32) -> Piece {
        let bytes = self.bytes.slice(..end);
        self.advance(end, count);
        Piece::Changes { bytes, count, last_sequence: self.sequence - 1 }
    }

    fn advance(&mut self, end: usize, count: u32) {
        let _ = self.bytes.split_to(end);
        self.count -= count;
        self.sequence = self.sequence.saturating_add(count.into());
    }

    fn entry(&self, at: usize) -> Result<Entry, DamagedRun> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let (tag, mut rest) = rest.split_first().ok_or_else(|| self.damaged())?;
        if *tag != FRAME_CHANGES_TAG {
            return Err(self.damaged());
        }
        let len = prost::decode_length_delimiter(&mut rest).map_err(|_| self.damaged())?;
        if len > rest.len() {
            return Err(self.damaged());
        }
        let body = self.bytes.len() - rest.len();
        Ok(Entry { body, end: body + len })
    }

    fn damaged(&self) -> DamagedRun {
        DamagedRun { first_sequence: self.first_sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_change::wire::put_varint;
    use proptest::prelude::*;

    fn run(first_sequence: u64, lengths: &[usize]) -> Run {
        let mut bytes = Vec::new();
        for (index, len) in lengths.iter().enumerate() {
            bytes.push(FRAME_CHANGES_TAG);
            put_varint(&mut bytes, *len as u64);
            bytes.extend(std::iter::repeat_n(index as u8, *len));
        }
        let count = lengths.len() as u32;
        Run { stream: 1, schema: 1, first_sequence, count, bytes: bytes.into() }
    }

    /// Cuts all, checks every piece, and answers the sequences in order and the bytes again.
    fn cut(run: Run, after: u64, max: usize) -> (Vec<u64>, Vec<u8>) {
        let mut cutter = RunCutter::new(run, after).unwrap();
        let (mut sequences, mut bytes, mut next) = (Vec::new(), Vec::new(), cutter.sequence);
        loop {
            match cutter.take(max, true).unwrap() {
                Piece::Changes { bytes: piece, count, last_sequence } => {
                    assert!(piece.len() <= max || count == 1);
                    assert_eq!(last_sequence + 1, next + u64::from(count));
                    sequences.extend(next..=last_sequence);
                    bytes.extend_from_slice(&piece);
                    next = last_sequence + 1;
                }
                Piece::Large { change, sequence } => {
                    assert!(change.len() > PART_ABOVE_BYTES);
                    assert_eq!(sequence, next);
                    sequences.push(sequence);
                    bytes.push(FRAME_CHANGES_TAG);
                    put_varint(&mut bytes, change.len() as u64);
                    bytes.extend_from_slice(&change);
                    next += 1;
                }
                Piece::NoRoom => panic!("an empty frame has room"),
                Piece::End => return (sequences, bytes),
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_rest_of_the_run(
            lengths in prop::collection::vec(0usize..3000, 1..40),
            after in 0u64..60,
            max in 1usize..5000,
        ) {
            let whole = run(10, &lengths);
            let skipped = after.saturating_sub(9).min(lengths.len() as u64) as usize;
            let rest = run(10, &lengths[..skipped]).bytes.len();
            let (sequences, bytes) = cut(whole.clone(), after, max);
            let expected: Vec<u64> = (10 + skipped as u64..10 + lengths.len() as u64).collect();
            prop_assert_eq!(sequences, expected);
            prop_assert_eq!(&bytes[..], &whole.bytes[rest..]);
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            count in 0u32..20,
            after in 0u64..20,
            max in 1usize..200,
        ) {
            let run = Run { stream: 1, schema: 1, first_sequence: 1, count, bytes: bytes.into() };
            if let Ok(mut cutter) = RunCutter::new(run, after) {
                for _ in 0..400 {
                    match cutter.take(max, true) {
                        Ok(Piece::End) | Err(_) => return Ok(()),
                        Ok(_) => {}
                    }
                }
                prop_assert!(false, "cutting does not end");
            }
        }
    }

    #[test]
    fn a_change_over_the_limit_is_cut_out_alone() {
        let lengths = [10, PART_ABOVE_BYTES + 1, 20, PART_ABOVE_BYTES];
        let whole = run(1, &lengths);
        let mut cutter = RunCutter::new(whole.clone(), 0).unwrap();
        let mut kinds = Vec::new();
        loop {
            match cutter.take(4096, true).unwrap() {
                Piece::Changes { count, .. } => kinds.push(count),
                Piece::Large { .. } => kinds.push(1000),
                Piece::NoRoom => panic!("an empty frame has room"),
                Piece::End => break,
            }
        }
        assert_eq!(kinds, [1, 1000, 1, 1]);
        assert_eq!(cut(whole.clone(), 0, 4096).1, whole.bytes);
    }

    #[test]
    fn a_change_that_fits_only_an_empty_frame_waits_for_one() {
        let mut cutter = RunCutter::new(run(1, &[100]), 0).unwrap();
        assert_eq!(cutter.take(50, false), Ok(Piece::NoRoom));
        assert!(matches!(cutter.take(50, true), Ok(Piece::Changes { count: 1, .. })));
        assert_eq!(cutter.take(50, true), Ok(Piece::End));
    }
}
