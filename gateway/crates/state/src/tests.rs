//! The state against a model, over crashes, and its limits.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::*;

/// What a plugin would find with no limit and no crash: the plain meaning of the contract.
#[derive(Clone, Debug, Default)]
struct Model {
    /// By key: value, and seconds that it still has at `time`; ends count down once time is known.
    entries: BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>,
    time: i64,
}

impl Model {
    fn advance(&mut self, now: i64) {
        if now <= self.time {
            return;
        }
        let passed = if self.time == 0 { 0 } else { now - self.time };
        self.time = now;
        self.entries.retain(|_, (_, left)| match left {
            Some(left) => {
                *left -= passed;
                *left > 0
            }
            None => true,
        });
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8, Option<u32>),
    Delete(u8),
    Get(u8),
}

#[derive(Clone, Debug)]
enum Event {
    /// Seconds, writes, whether they are kept.
    Call(i64, Vec<Step>, bool),
    /// The deltas so far enter the log.
    Delta,
    /// A checkpoint is written, of what the log holds.
    Checkpoint,
    /// Everything that is not in the log is lost.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seconds = prop_oneof![Just(None), (0_u32..30).prop_map(Some)];
    let step = prop_oneof![
        (0_u8..12, any::<u8>(), seconds).prop_map(|(key, value, ttl)| Step::Put(key, value, ttl)),
        (0_u8..12).prop_map(Step::Delete),
        (0_u8..12).prop_map(Step::Get),
    ];
    prop::collection::vec(step, 0..12)
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0_i64..80, steps(), prop::bool::weighted(0.8))
            .prop_map(|(at, steps, kept)| Event::Call(at, steps, kept)),
        3 => Just(Event::Delta),
        1 => Just(Event::Checkpoint),
        1 => Just(Event::Crash),
    ];
    prop::collection::vec(event, 1..60)
}

fn key(number: u8) -> Vec<u8> {
    vec![b'k', number]
}

/// The log as far as state goes: deltas, one a place.
#[derive(Default)]
struct Log(Vec<offtake_proto::v1::StateDelta>);

/// The checkpoint with what the log has behind it.
fn recover(file: &CheckpointFile, log: &Log) -> States {
    let (from, mut states) = match file.load().unwrap() {
        Some(checkpoint) => (checkpoint.place.offset, checkpoint.states),
        None => (0, States::default()),
    };
    log.0[from as usize..].iter().for_each(|delta| states.apply(delta));
    states
}

fn run_call(space: &Keyspace, model: &mut Model, at: i64, steps: &[Step], kept: bool) {
    let mut draft = model.clone();
    draft.advance(at);
    space.begin(at);
    for step in steps {
        match step {
            Step::Put(number, value, seconds) => {
                space.put(&[(key(*number), vec![*value])], *seconds).unwrap();
                match seconds {
                    Some(0) => draft.entries.remove(&key(*number)),
                    _ => draft.entries.insert(key(*number), (vec![*value], seconds.map(i64::from))),
                };
            }
            Step::Delete(number) => {
                space.delete(&[key(*number)]).unwrap();
                draft.entries.remove(&key(*number));
            }
            Step::Get(number) => {
                let found = space.get(&[key(*number)]).unwrap().pop().unwrap();
                assert_eq!(found, draft.entries.get(&key(*number)).map(|it| it.0.clone()));
            }
        }
    }
    if kept {
        space.keep();
        *model = draft;
    } else {
        space.discard();
    }
}

fn check(space: &Keyspace, model: &Model) {
    let entries = space.entries();
    let seen: BTreeMap<Vec<u8>, Vec<u8>> =
        entries.iter().map(|(key, entry)| (key.to_vec(), entry.value.to_vec())).collect();
    let meant: BTreeMap<Vec<u8>, Vec<u8>> =
        model.entries.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
    assert_eq!(seen, meant);
    let weight = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.len() + value.len()) as u64 + 64;
    assert_eq!(space.usage().bytes, meant.iter().map(weight).sum::<u64>());
}

proptest! {
    #[test]
    fn what_is_recovered_is_what_the_log_had_taken_in(events in events()) {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::of_log(folder.path());
        let mut log = Log::default();
        let (mut model, mut durable) = (Model::default(), Model::default());
        let mut space = Keyspace::new(1 << 20);
        for event in events {
            match event {
                Event::Call(at, steps, kept) => run_call(&space, &mut model, at, &steps, kept),
                Event::Delta => {
                    log.0.extend(space.take_delta("p"));
                    durable = model.clone();
                }
                Event::Checkpoint => {
                    let place = Place { segment: 0, offset: log.0.len() as u64 };
                    let states = recover(&file, &log);
                    file.store(&Checkpoint { log_id: [7; 16], place, states }).unwrap();
                }
                Event::Crash => {
                    let entries = recover(&file, &log).take("p");
                    space = Keyspace::new(1 << 20);
                    space.restore(entries);
                    model = durable.clone();
                }
            }
            check(&space, &model);
        }
        log.0.extend(space.take_delta("p"));
        prop_assert_eq!(recover(&file, &log).take("p"), space.entries());
    }

    #[test]
    fn a_damaged_checkpoint_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::of_log(folder.path());
        let mut states = States::default();
        let put = offtake_proto::v1::StateEntry { key: vec![1].into(), value: vec![2; 40].into(), expires: Some(9) };
        states.apply(&offtake_proto::v1::StateDelta { plugin: "p".into(), put: vec![put], ..Default::default() });
        file.store(&Checkpoint { log_id: [7; 16], place: Place { segment: 1, offset: 2 }, states }).unwrap();
        let path = folder.path().join(CheckpointFile::NAME);
        let whole = std::fs::read(&path).unwrap();
        let at = at.index(whole.len());
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        std::fs::write(&path, flipped).unwrap();
        prop_assert!(file.load().is_err());
        std::fs::write(&path, &whole[..at]).unwrap();
        prop_assert!(file.load().is_err());
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        prop_assert!(file.load().is_err());
    }
}

#[test]
fn the_quota_counts_what_is_there_at_the_calls_time() {
    let space = Keyspace::new(2 * (2 + ENTRY_BYTES));
    let put = |key: u8| space.put(&[(vec![key], vec![0])], Some(10));
    space.begin(100);
    put(1).unwrap();
    put(2).unwrap();
    put(2).unwrap();
    let over = 3 * (2 + ENTRY_BYTES);
    assert_eq!(put(3), Err(StateError::Quota { bytes: over, quota: space.usage().quota }));
    space.delete(&[vec![1]]).unwrap();
    put(3).unwrap();
    space.keep();
    space.begin(109);
    assert!(put(4).is_err());
    space.begin(110);
    put(4).unwrap();
    put(5).unwrap();
    space.keep();
    assert_eq!(space.usage().keys, 2);
}

#[test]
fn ends_that_began_before_any_commit_time_count_from_the_first_one() {
    let space = Keyspace::new(1 << 20);
    let get = || space.get(&[vec![1]]).unwrap().pop().unwrap();
    space.begin(0);
    space.put(&[(vec![1], vec![1])], Some(10)).unwrap();
    space.keep();
    space.begin(1_700_000_000);
    assert_eq!(get(), Some(vec![1]));
    space.keep();
    space.begin(1_700_000_009);
    assert_eq!(get(), Some(vec![1]));
    space.begin(1_700_000_010);
    assert_eq!(get(), None);
    space.begin(5);
    assert_eq!(get(), Some(vec![1]), "time that was not kept did not pass, and none goes back");
}

#[test]
fn nothing_is_given_outside_a_call_and_nothing_beyond_its_limits() {
    let space = Keyspace::new(1 << 30);
    assert_eq!(space.get(&[vec![1]]), Err(StateError::OutsideCall));
    space.begin(1);
    let too_much = |outcome| matches!(outcome, Err(StateError::TooMuch { .. }));
    assert!(too_much(space.put(&[(vec![0; 4097], vec![])], None)));
    assert!(too_much(space.put(&[(vec![1], vec![0; (1 << 20) + 1])], None)));
    let large = |key: u8| (vec![key], vec![0; 1 << 20]);
    let writes: Vec<_> = (0..16).map(large).collect();
    assert!(too_much(space.put(&writes, None)));
    space.begin(1);
    space.put(&[large(1)], None).unwrap();
    assert!(space.get(&vec![vec![1]; 16]).is_err());
    space.keep();
    assert_eq!(space.get(&[vec![1]]), Err(StateError::OutsideCall));
}

#[test]
fn a_state_that_was_cleared_is_no_longer_there() {
    let space = Keyspace::new(1 << 20);
    space.begin(3);
    space.put(&[(vec![1], vec![1])], None).unwrap();
    space.keep();
    let mut states = States::default();
    states.apply(&space.take_delta("p").unwrap());
    assert_eq!(states.plugins().collect::<Vec<_>>(), ["p"]);
    let cleared =
        offtake_proto::v1::StateDelta { plugin: "p".into(), cleared: true, ..Default::default() };
    states.apply(&cleared);
    assert_eq!(states, States::default());
}

#[test]
fn a_delete_of_what_is_not_there_leaves_nothing_to_tell() {
    let space = Keyspace::new(1 << 20);
    space.begin(0);
    let keys: Vec<Vec<u8>> = (0..1000_u32).map(|key| key.to_le_bytes().to_vec()).collect();
    space.delete(&keys).unwrap();
    space.keep();
    assert_eq!(space.take_delta("p"), None);
    space.begin(0);
    space.put(&[(vec![1], vec![1])], None).unwrap();
    space.keep();
    space.begin(0);
    space.delete(&[vec![1]]).unwrap();
    space.keep();
    let delta = space.take_delta("p").unwrap();
    assert_eq!((delta.put.len(), delta.deleted.len()), (0, 1), "it was there for a while");
}

#[test]
fn what_is_written_between_two_groups_is_bounded_also_where_nothing_of_it_stays() {
    let space = Keyspace::new(1 << 30);
    let call = |from: u32| {
        let key = |at: u32| [(from + at).to_le_bytes().to_vec(), vec![0; 4000]].concat();
        let keys: Vec<Vec<u8>> = (0..1000).map(key).collect();
        space.begin(1);
        let puts: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
        let outcome = space.put(&puts, None).and_then(|()| {
            space.keep();
            space.begin(1);
            space.delete(&keys)
        });
        space.keep();
        outcome
    };
    let refused = (0..100).find_map(|at| call(at * 1000).err());
    assert!(matches!(refused, Some(StateError::TooMuch { .. })), "{refused:?}");
    assert!(space.take_delta("p").unwrap().deleted.len() < 20_000);
    call(0).unwrap();
}
