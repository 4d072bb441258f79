//! Random histories against a plain vector: nothing durable is lost, nothing is invented, order is
//! kept, groups are whole, and position and changes agree.

use proptest::prelude::*;

use super::disk::{Dice, FakeDisk};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Changes of a stream, of a size.
    Push { stream: u8, count: u8, size: u16 },
    /// The position that the changes so far amount to.
    Position,
    /// Hand the group over.
    Submit,
    /// ... and wait.
    Flush,
    /// Read everything from somewhere.
    Read { from: u16 },
    /// Hand the group over to a disk with that much room, then give it space or pull the plug.
    Squeeze { room: u16, crash: bool, seed: u64 },
    /// Pull the plug.
    Crash { seed: u64 },
    /// Stop and start.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..3, 1u8..6, prop_oneof![0u16..300, 0u16..9000])
            .prop_map(|(stream, count, size)| Step::Push { stream, count, size }),
        3 => Just(Step::Position),
        4 => Just(Step::Submit),
        2 => Just(Step::Flush),
        1 => any::<u16>().prop_map(|from| Step::Read { from }),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        1 => (0u16..5000, any::<bool>(), any::<u64>())
            .prop_map(|(room, crash, seed)| Step::Squeeze { room, crash, seed }),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What was submitted: group by group, how many changes there were after it and which position.
#[derive(Default)]
struct Model {
    changes: Vec<Seen>,
    submitted: Vec<(usize, Option<v1::SourcePosition>)>,
    open_position: Option<v1::SourcePosition>,
}

impl Model {
    fn submit(&mut self) {
        let position = self.open_position.take();
        let before = self.submitted.last().and_then(|(_, position)| position.clone());
        self.submitted.push((self.changes.len(), position.or(before)));
    }

    /// Takes over what a crash left, after checking that it is one of the states that could be.
    fn recover(&mut self, recovered: &crate::Recovered, durable: u64) {
        let last = recovered.next_sequence - 1;
        assert!(last >= durable, "lost: durable up to {durable}, recovered up to {last}");
        let state = (last as usize, recovered.position.clone());
        let empty = (0, None);
        let known = std::iter::once(&empty).chain(&self.submitted).any(|known| *known == state);
        assert!(known, "no group ended with {state:?}");
        self.changes.truncate(last as usize);
        self.submitted = vec![state];
        self.open_position = None;
    }

    fn check(&self, log: &Log, after: u64) {
        let durable = log.durable().borrow().sequence;
        let Ok(mut reader) = log.reader(after, Selection::all()) else {
            assert!(after + 1 < log.earliest_sequence() || after > durable);
            return;
        };
        let mut next = after as usize;
        loop {
            let group = match reader.next_group() {
                Ok(Some(group)) => group,
                Ok(None) => break,
                // The writer thread deleted what comes next while this was reading.
                Err(ReadError::TooOld { earliest }) => {
                    assert!(earliest > next as u64 + 1);
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            for run in group.runs {
                for change in run.changes() {
                    let change = change.unwrap();
                    let expected = &self.changes[next];
                    assert_eq!(change.sequence, expected.sequence);
                    assert_eq!(change.payload, expected.payload);
                    let name = log.stream_name(run.stream).unwrap();
                    assert_eq!(*name, *expected.stream);
                    next += 1;
                }
            }
        }
        assert!(next as u64 >= durable);
    }
}

fn run(mut disk: FakeDisk, steps: Vec<Step>, retain_bytes: u64) {
    let options = LogOptions { segment_bytes: 16 << 10, retain_bytes, ..options() };
    let mut opened = open_with(options.clone(), environment(&disk)).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Push { stream, count, size } => {
                for number in 0..count {
                    let stream = format!("stream {stream}");
                    let payload = vec![number; usize::from(size)];
                    let sequence = push(&mut opened.writer, &stream, &payload);
                    model.changes.push(Seen { sequence, stream, payload });
                }
            }
            Step::Position => {
                let at = position(model.changes.len() as u64);
                opened.writer.control(Control::SourcePosition(at.clone()));
                model.open_position = Some(at);
            }
            Step::Submit | Step::Flush if opened.writer.group_bytes() == 0 => {}
            Step::Submit => {
                model.submit();
                opened.writer.submit().unwrap();
            }
            Step::Flush => {
                model.submit();
                opened.writer.flush().unwrap();
                assert_eq!(opened.log.durable().borrow().sequence, model.changes.len() as u64);
            }
            Step::Read { from } => {
                let durable = opened.log.durable().borrow().sequence;
                model.check(&opened.log, u64::from(from) % (durable + 1));
            }
            Step::Squeeze { .. } if opened.writer.group_bytes() == 0 => {}
            Step::Squeeze { room, crash, seed } => {
                // What was submitted before must not meet the full disk: it would wait forever.
                opened.writer.flush().unwrap();
                model.submit();
                let changes = model.changes.len() as u64;
                push(&mut opened.writer, "squeezed", &[9; 3000]);
                let (stream, payload) = ("squeezed".to_owned(), vec![9; 3000]);
                model.changes.push(Seen { sequence: changes + 1, stream, payload });
                disk.set_capacity(Some(disk.used() + u64::from(room)));
                opened.writer.submit().unwrap();
                model.submit();
                let durable = opened.log.durable();
                eventually("written or blocked", || {
                    durable.borrow().sequence > changes || opened.log.stats().blocked.is_some()
                });
                if crash {
                    disk = disk.crash(&mut Dice(seed));
                    drop(opened);
                    let durable = durable.borrow().sequence;
                    opened = open_with(options.clone(), environment(&disk)).unwrap();
                    model.recover(&opened.recovered, durable);
                } else {
                    disk.set_capacity(None);
                    opened.writer.flush().unwrap();
                }
            }
            Step::Crash { seed } => {
                let durable = opened.log.durable();
                disk = disk.crash(&mut Dice(seed));
                drop(opened);
                let durable = durable.borrow().sequence;
                opened = open_with(options.clone(), environment(&disk)).unwrap();
                model.recover(&opened.recovered, durable);
            }
            Step::Restart => {
                drop(opened);
                opened = open_with(options.clone(), environment(&disk)).unwrap();
                let submitted = model.submitted.last().map_or(0, |(changes, _)| *changes);
                model.recover(&opened.recovered, submitted as u64);
            }
        }
    }
    model.check(&opened.log, opened.log.earliest_sequence() - 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_durable_is_lost_nothing_invented_and_order_is_kept(steps in steps()) {
        run(FakeDisk::new(), steps, 1 << 30);
    }

    #[test]
    fn the_same_when_segments_are_written_in_blocks(steps in steps()) {
        run(FakeDisk::new().in_blocks(), steps, 1 << 30);
    }

    #[test]
    fn the_same_while_old_segments_are_deleted(steps in steps()) {
        run(FakeDisk::new(), steps.clone(), 64 << 10);
        run(FakeDisk::new().in_blocks(), steps, 64 << 10);
    }
}

#[test]
fn the_model_notices_a_disk_that_does_not_sync() {
    let caught = (0..100).filter(|seed| {
        let disk = FakeDisk::new();
        let mut opened = open(&disk);
        append(&mut opened.writer, "a", &[1; 2000]);
        disk.lie();
        append(&mut opened.writer, "a", &[2; 2000]);
        let disk = disk.crash(&mut Dice(*seed));
        drop(opened);
        try_open(&disk).is_err_and(|error| error.code() == "LOG_DAMAGED")
            || try_open(&disk).is_ok_and(|opened| opened.recovered.next_sequence < 3)
    });
    assert!(caught.count() > 20);
}
