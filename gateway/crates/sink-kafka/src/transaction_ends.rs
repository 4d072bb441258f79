//! Which change of a source transaction is the last one that is published, and how many are: what the
//! header `offtake.last` says.
//!
//! The log tells the end of a transaction behind its changes, and counts what Kafka is not given:
//! operations that are skipped, changes that became dead letters. So each group of the log is looked
//! through before it is sent, and one that ends inside a transaction is held until the next ones show
//! that more of it is published, or that it has ended. Of groups in between that publish nothing no
//! rows are kept. How many changes of an open transaction were not published stands in the cursor. How
//! the header is written is not decided here.

use offtake_change::Lsn;
use offtake_change::wire::ChangeView;
use offtake_encode::EncodeError;
use offtake_encode::debezium::Encoder;
use offtake_log::{Control, ReadGroup, Run};
use offtake_proto::v1;

use crate::flight::{Break, Flight};
use crate::session::Publisher;

/// The last published change of a transaction, and how many are published.
pub(crate) type End = (u64, u64);

/// A group of the log, and what its headers tell.
#[derive(Debug, Default)]
pub(crate) struct ToldGroup {
    pub(crate) group: ReadGroup,
    /// In the log's order.
    pub(crate) ends: Vec<End>,
    /// Changes of the transaction that is open at its end that are not published.
    pub(crate) unpublished: u64,
    /// The last published change of that transaction in this group.
    last: Option<u64>,
    is_open: bool,
}

impl ToldGroup {
    /// A group whose headers tell nothing.
    pub(crate) fn untold(group: ReadGroup) -> ToldGroup {
        ToldGroup { group, ..ToldGroup::default() }
    }

    /// Adds a group of which nothing of the open transaction is published.
    fn absorb(&mut self, next: ToldGroup) {
        let ReadGroup { mut controls, mut runs, last_sequence, ends_group } = next.group;
        // The last position counts, and there may be many groups.
        let is_position = |control: &Control| matches!(control, Control::SourcePosition(_));
        if controls.iter().any(is_position) {
            self.group.controls.retain(|control| !is_position(control));
        }
        self.group.controls.append(&mut controls);
        self.group.runs.append(&mut runs);
        self.group.last_sequence = last_sequence;
        self.group.ends_group = ends_group;
        self.unpublished = next.unpublished;
    }
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Some message of it is sent.
    Published,
    /// None is, and nothing is done about it.
    Skipped,
    /// None is, for it is a dead letter.
    Buried,
}

/// What a group says of the transaction that was open before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// Nothing of it is published, and it goes on.
    GoesOn,
    /// More of it is published, or the log has left it.
    HasMore,
    /// It ended, and so many changes of it are published, none of them in this group.
    Ended(u64),
}

/// A transaction that has not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    commit: Lsn,
    unpublished: u64,
}

/// Follows transactions from group to group.
#[derive(Debug, Default)]
pub(crate) struct TransactionEnds {
    open: Option<Open>,
    held: Option<ToldGroup>,
    /// For changes of which it has to be tried whether they have messages.
    encoder: Encoder,
}

impl TransactionEnds {
    /// Goes on where a cursor stands.
    pub(crate) fn resume(&mut self, source: Option<&v1::SourcePosition>, unpublished: u64) {
        let partial = source.and_then(|source| source.partial.as_ref());
        let commit = partial.map(|partial| lsn_of(partial.commit.as_ref()));
        self.open = commit.map(|commit| Open { commit, unpublished });
        self.held = None;
    }

    /// Takes the next group, and gives those that can be sent, in order.
    ///
    /// # Errors
    /// A damaged change, or what `fate` answers.
    pub(crate) fn take(
        &mut self,
        group: ReadGroup,
        mut fate: impl FnMut(&mut Encoder, &Run, &ChangeView<'_>) -> Result<Fate, Break>,
    ) -> Result<Vec<ToldGroup>, Break> {
        let (next, carried) = self.look_through(group, &mut fate)?;
        let mut ready = Vec::new();
        match (self.held.take(), carried) {
            (Some(mut held), Carried::GoesOn) => {
                held.absorb(next);
                self.held = Some(held);
                return Ok(ready);
            }
            (Some(mut held), Carried::Ended(count)) => {
                held.ends.extend(held.last.map(|last| (last, count)));
                ready.push(held);
            }
            (Some(held), Carried::HasMore) => ready.push(held),
            (None, _) => {}
        }
        if next.is_open && next.last.is_some() {
            self.held = Some(next);
        } else {
            ready.push(next);
        }
        Ok(ready)
    }

    /// Whether a group is held.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Gives the held group up. If nothing more of its transaction is published, its end is not told.
    pub(crate) fn release(&mut self) -> Option<ToldGroup> {
        self.held.take()
    }

    fn look_through(
        &mut self,
        mut group: ReadGroup,
        fate: &mut impl FnMut(&mut Encoder, &Run, &ChangeView<'_>) -> Result<Fate, Break>,
    ) -> Result<(ToldGroup, Carried), Break> {
        let mut pass = Pass { carried: self.open.map(|_| None), last: None, ends: Vec::new() };
        let mut ended = group
            .controls
            .iter()
            .filter_map(|control| match control {
                Control::TransactionEnd(end) => Some(end),
                _ => None,
            })
            .peekable();
        let mut is_kept = Vec::with_capacity(group.runs.len());
        for run in &group.runs {
            let mut keep = false;
            for change in run.changes() {
                let change = change.map_err(EncodeError::from)?;
                while let Some(end) = ended.next_if(|end| end.last_sequence < change.sequence) {
                    pass.end(&mut self.open, end);
                }
                let fate = fate(&mut self.encoder, run, &change)?;
                keep |= fate != Fate::Skipped;
                if let Some(transaction) = &change.transaction {
                    let is_published = fate == Fate::Published;
                    pass.change(&mut self.open, transaction.commit, change.sequence, is_published);
                } else {
                    keep = true;
                }
            }
            is_kept.push(keep);
        }
        for end in ended {
            pass.end(&mut self.open, end);
        }
        let carried = pass.carried.flatten().unwrap_or(Carried::GoesOn);
        if self.held.is_some() && carried == Carried::GoesOn {
            let mut is_kept = is_kept.into_iter();
            group.runs.retain(|_| is_kept.next().unwrap_or(true));
        }
        let unpublished = self.open.map_or(0, |open| open.unpublished);
        let is_open = self.open.is_some();
        Ok((ToldGroup { group, ends: pass.ends, unpublished, last: pass.last, is_open }, carried))
    }
}

/// One group, on the way through it.
struct Pass {
    /// Of the transaction that was open before the group, if one was: what is known of it.
    carried: Option<Option<Carried>>,
    /// The last published change of the open transaction in this group.
    last: Option<u64>,
    ends: Vec<End>,
}

impl Pass {
    fn change(&mut self, open: &mut Option<Open>, commit: Lsn, sequence: u64, is_published: bool) {
        let is_another = open.is_none_or(|open| open.commit != commit);
        if is_another {
            self.decide(Carried::HasMore);
            self.last = None;
        }
        let unpublished = if is_another { 0 } else { open.map_or(0, |open| open.unpublished) };
        let unpublished = unpublished + u64::from(!is_published);
        *open = Some(Open { commit, unpublished });
        if is_published {
            self.decide(Carried::HasMore);
            self.last = Some(sequence);
        }
    }

    fn end(&mut self, open: &mut Option<Open>, end: &v1::TransactionEnd) {
        let commit = end.transaction.as_ref().map(|it| lsn_of(it.commit.as_ref()));
        let last = self.last.take();
        let Some(ended) = open.take_if(|open| Some(open.commit) == commit) else { return };
        let count = end.logged_changes.saturating_sub(ended.unpublished);
        match last {
            Some(last) => self.ends.push((last, count)),
            None => self.decide(Carried::Ended(count)),
        }
    }

    /// The first thing that is known counts.
    fn decide(&mut self, known: Carried) {
        if let Some(carried) = &mut self.carried {
            carried.get_or_insert(known);
        }
    }
}

fn lsn_of(position: Option<&v1::Position>) -> Lsn {
    match position.and_then(|position| position.at.as_ref()) {
        Some(v1::position::At::Lsn(lsn)) => Lsn(*lsn),
        _ => Lsn::ZERO,
    }
}

impl Publisher<'_> {
    /// The groups that can be sent, with what their headers tell. The publications of this one are
    /// prepared.
    pub(crate) fn tell_ends(
        &mut self,
        flight: &mut Flight<'_>,
        group: ReadGroup,
    ) -> Result<Vec<ToldGroup>, Break> {
        if !flight.headers.tells_ends() {
            return Ok(vec![ToldGroup::untold(group)]);
        }
        let Publisher { publications, oversized, log, .. } = self;
        flight.ends.take(group, |encoder, run, change| {
            // Prepared, so nothing is waited for.
            let Ok(publication) = publications.step(log, run.stream, run.schema)? else {
                return Ok(Fate::Published);
            };
            let refused = !oversized.is_empty() && oversized.is_about(change.sequence);
            if !refused && publication.plan.publishes(change.operation) {
                return Ok(Fate::Published);
            }
            let (mut index, mut sent) = (0, 0);
            encoder.messages(&publication.plan, change, |_| {
                sent += u32::from(!refused || !oversized.is_refused(change.sequence, index));
                index += 1;
                Ok::<(), EncodeError>(())
            })?;
            Ok(match (sent, refused) {
                (0, true) => Fate::Buried,
                (0, false) => Fate::Skipped,
                _ => Fate::Published,
            })
        })
    }

    /// Sends what is held if the log waits for it: it is at its limit, so the rest of the transaction
    /// cannot come.
    pub(crate) fn release_held(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        if flight.ends.is_holding()
            && self.log.stats().blocked.is_some()
            && let Some(held) = flight.ends.release()
        {
            self.send_told(flight, held)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use offtake_change::{Batch, Image, NO_TRANSACTION, Operation, Row, Transaction};
    use offtake_log::{LogOptions, Selection};

    use super::*;

    /// What a group has: changes by their transactions' commits (0: none) and whether they are
    /// published, and the commits of the transactions that end in it with their counts.
    type Written<'g> = (&'g [(u64, bool)], &'g [(u64, u64)]);

    /// Groups of a log, as they are read, and the sequences of the changes that are published.
    fn groups(written: &[Written<'_>]) -> (Vec<ReadGroup>, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = offtake_log::open(LogOptions::new(folder.path().join("log"))).unwrap();
        let writer = &mut opened.writer;
        let (stream, mut published) = (writer.register_stream("t"), Vec::new());
        for (changes, ends) in written {
            for &(commit, is_published) in *changes {
                published.extend(is_published.then_some(writer.next_sequence()));
                let mut batch = Batch::new();
                let transaction = match commit {
                    0 => NO_TRANSACTION,
                    commit => batch.push_transaction(Transaction {
                        commit: Lsn(commit),
                        ..Default::default()
                    }),
                };
                batch.rows.push(Row {
                    transaction,
                    lsn: Lsn(1),
                    ..Row::new(Operation::Create, Image::NONE, Image::NONE)
                });
                writer.push(stream, 1, |sequence, out| {
                    batch.encode(&batch.rows[0], sequence, stream, 1, out);
                });
            }
            for &(commit, logged_changes) in *ends {
                let last = changes.iter().rposition(|(of, _)| *of == commit);
                let after = last.map_or(changes.len(), |last| changes.len() - last - 1) as u64;
                let at = v1::Position { at: Some(v1::position::At::Lsn(commit)) };
                writer.control(Control::TransactionEnd(v1::TransactionEnd {
                    transaction: Some(v1::Transaction { commit: Some(at), ..Default::default() }),
                    last_sequence: writer.next_sequence() - 1 - after,
                    logged_changes,
                    ..Default::default()
                }));
            }
            writer.flush().unwrap();
        }
        let mut reader = opened.log.reader(0, Selection::all()).unwrap();
        let groups = std::iter::from_fn(|| reader.next_group().unwrap());
        (
            groups.filter(|group| !group.runs.is_empty() || !group.controls.is_empty()).collect(),
            published,
        )
    }

    /// What each group that is sent tells: its last sequence, its rows, its ends.
    fn told(ends: &mut TransactionEnds, written: &[Written<'_>]) -> Vec<(u64, usize, Vec<End>)> {
        let (groups, published) = groups(written);
        let mut told = Vec::new();
        for group in groups {
            let fate = |_: &mut Encoder, _: &Run, change: &ChangeView<'_>| {
                let is_published = published.contains(&change.sequence);
                Ok(if is_published { Fate::Published } else { Fate::Skipped })
            };
            let Ok(ready) = ends.take(group, fate) else { panic!("the changes are well") };
            told.extend(ready.into_iter().map(|told| {
                let rows = told.group.runs.iter().map(|run| run.count as usize).sum();
                (told.group.last_sequence, rows, told.ends)
            }));
        }
        told
    }

    #[test]
    fn the_last_published_change_of_a_transaction_tells_how_many_are_published() {
        let mut ends = TransactionEnds::default();
        let written: [Written<'_>; 2] = [
            // Skipped first, in the middle, and last; a row of a snapshot between.
            (&[(9, false), (9, true), (0, true), (9, false), (9, true), (9, false)], &[(9, 5)]),
            // Two in a group, and one of which nothing is published.
            (&[(20, true), (30, false), (40, true)], &[(20, 1), (30, 1), (40, 1)]),
        ];
        let expected = [(6, 6, vec![(5, 2)]), (9, 3, vec![(7, 1), (9, 1)])];
        assert_eq!(told(&mut ends, &written), expected);
        assert!(!ends.is_holding());
    }

    #[test]
    fn a_group_inside_a_transaction_is_held_until_what_follows_tells_its_last_change() {
        let mut ends = TransactionEnds::default();
        // Nothing more of it is published, over two groups, and its end has no change.
        let written: [Written<'_>; 4] = [
            (&[(9, true), (9, true)], &[]),
            (&[(9, false), (9, false)], &[]),
            (&[(9, false)], &[]),
            (&[(20, true)], &[(9, 5), (20, 1)]),
        ];
        let expected = [(5, 2, vec![(2, 2)]), (6, 1, vec![(6, 1)])];
        assert_eq!(told(&mut ends, &written), expected);
        // More is published: the last of all tells it, with what was skipped before.
        let written: [Written<'_>; 3] =
            [(&[(9, true), (9, false)], &[]), (&[(9, true)], &[]), (&[(9, false)], &[(9, 4)])];
        let expected = [(2, 2, vec![]), (3, 1, vec![(3, 2)]), (4, 1, vec![])];
        assert_eq!(told(&mut ends, &written), expected);
    }

    #[test]
    fn what_is_published_beside_the_transaction_is_kept_while_a_group_is_held() {
        let mut ends = TransactionEnds::default();
        let written: [Written<'_>; 3] =
            [(&[(9, true)], &[]), (&[(0, true)], &[]), (&[(9, false)], &[(9, 2)])];
        assert_eq!(told(&mut ends, &written), [(2, 2, vec![(1, 1)]), (3, 1, vec![])]);
    }

    #[test]
    fn a_cursor_inside_a_transaction_goes_on_counting() {
        let at = v1::Position { at: Some(v1::position::At::Lsn(9)) };
        let partial = v1::Partial { commit: Some(at), ..Default::default() };
        let source = v1::SourcePosition { partial: Some(partial), ..Default::default() };
        let mut ends = TransactionEnds::default();
        ends.resume(Some(&source), 3);
        let written: [Written<'_>; 1] = [(&[(9, true), (9, false)], &[(9, 10)])];
        assert_eq!(told(&mut ends, &written), [(2, 2, vec![(1, 6)])]);
    }

    #[test]
    fn a_held_group_can_be_given_up() {
        let mut ends = TransactionEnds::default();
        assert_eq!(told(&mut ends, &[(&[(9, true), (9, false)], &[])]), []);
        let held = ends.release().unwrap();
        assert_eq!((held.unpublished, held.ends, ends.is_holding()), (1, vec![], false));
    }
}
