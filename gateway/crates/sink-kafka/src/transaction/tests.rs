//! When a transaction is closed, and what it stands for: the decisions alone, with times that lie back.
//! The producer behind them is never connected.

use super::*;
use crate::client::{self, Kind};
use crate::context::SinkContext;
use crate::deliveries::Pending;
use crate::status::StatusCell;
use crate::{KafkaError, KafkaOptions};

/// Long, so that no test is too slow for it.
const INTERVAL: Duration = Duration::from_secs(60);
/// So long that a third of it is no limit.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More than any test takes, and less than what it is taken off.
const A_LITTLE: Duration = Duration::from_secs(2);

fn committer() -> Result<Committer, KafkaError> {
    let brokers = vec!["127.0.0.1:1".to_owned()];
    let options = KafkaOptions::new("shop", brokers, "kafka.cursor");
    let context = SinkContext::new(Arc::new(Pending::new()), Arc::new(StatusCell::new()));
    let kind = Kind { one_by_one: false, transactional: true };
    Committer::start(Arc::new(client::producer(&options, context, kind)?))
}

fn transactions_of(interval: Duration, timeout: Duration) -> Transactions {
    let place = Place { topic: "cursors".to_owned(), partition: 0, key: "shop/kafka".to_owned() };
    Transactions::new(committer().unwrap(), place, Arc::from("this"), interval, timeout)
}

fn transactions() -> Transactions {
    let mut transactions = transactions_of(INTERVAL, TIMEOUT);
    transactions.phase = Phase::Open;
    transactions
}

fn ago(time: Duration) -> Option<Instant> {
    Some(Instant::now().checked_sub(time).expect("the clock began before"))
}

fn up_to(sequence: u64) -> Covered {
    Covered { sequence, ..Covered::default() }
}

/// A place inside a source transaction.
fn inside(sequence: u64) -> Covered {
    let partial = v1::Partial { transaction_id: "7".to_owned(), ..v1::Partial::default() };
    let source = v1::SourcePosition { partial: Some(partial), ..v1::SourcePosition::default() };
    Covered { source: Some(Arc::new(source)), ..up_to(sequence) }
}

/// A message and the end of its group, so long ago.
fn collected(transactions: &mut Transactions, age: Duration) {
    transactions.took(10);
    transactions.collect(up_to(1), true);
    transactions.collected.since = ago(age);
}

#[test]
fn nothing_is_due_before_something_is_collected() {
    let transactions = transactions();
    assert!(!transactions.is_due(true, true));
    assert_eq!(transactions.until_due(), None);
    assert_eq!(transactions.complete_up_to(), None);
    assert!(transactions.is_handed_over(), "of nothing, nothing is missing");
}

#[test]
fn what_is_caught_up_waits_for_the_interval_since_the_last_transaction_or_its_own_beginning() {
    let mut transactions = transactions();
    collected(&mut transactions, Duration::ZERO);
    assert!(transactions.is_due(true, false), "the first of all does not wait");
    transactions.closed_at = ago(Duration::ZERO);
    assert!(!transactions.is_due(true, false));
    assert!(!transactions.is_due(true, true), "urgent is what has no message");
    transactions.closed_at = ago(INTERVAL);
    assert!(transactions.is_due(true, false), "the interval has passed since the last one");
    transactions.closed_at = ago(Duration::ZERO);
    transactions.collected.since = ago(INTERVAL);
    assert!(transactions.is_due(true, false), "it has passed since its first message");
}

#[test]
fn what_is_behind_collects_for_four_intervals() {
    let mut transactions = transactions();
    transactions.closed_at = ago(10 * INTERVAL);
    collected(&mut transactions, INTERVAL);
    assert!(transactions.is_due(true, false));
    assert!(!transactions.is_due(false, false));
    transactions.collected.since = ago(INTERVAL * INTERVALS_BEHIND - A_LITTLE);
    assert!(!transactions.is_due(false, false));
    transactions.collected.since = ago(INTERVAL * INTERVALS_BEHIND);
    assert!(transactions.is_due(false, false));
}

#[test]
fn what_is_full_is_due_at_once_but_not_inside_a_source_transaction() {
    let full: [fn(&mut Collected); 2] =
        [|collected| collected.bytes = FULL_BYTES, |collected| collected.messages = FULL_MESSAGES];
    for fill in full {
        let mut transactions = transactions();
        transactions.closed_at = ago(Duration::ZERO);
        collected(&mut transactions, Duration::ZERO);
        assert!(!transactions.is_due(false, false));
        fill(&mut transactions.collected);
        assert!(transactions.is_due(false, false));
        transactions.collect(inside(2), true);
        assert!(!transactions.is_due(false, false));
        transactions.collect(up_to(3), false);
        assert!(!transactions.is_due(false, false), "the group goes on");
    }
    let mut transactions = transactions();
    collected(&mut transactions, Duration::ZERO);
    transactions.collected.bytes = FULL_BYTES - 1;
    transactions.collected.messages = FULL_MESSAGES - 1;
    assert!(!transactions.is_due(false, false));
}

#[test]
fn inside_a_source_transaction_it_is_cut_by_its_size_or_its_age_alone() {
    let mut transactions = transactions();
    transactions.closed_at = ago(10 * INTERVAL);
    transactions.took(10);
    transactions.collect(inside(1), true);
    transactions.collected.since = ago(CUT_AFTER - A_LITTLE);
    assert!(!transactions.is_due(true, true), "no interval cuts it");
    transactions.collected.since = ago(CUT_AFTER);
    assert!(transactions.is_due(false, false));
    transactions.collected.since = ago(Duration::ZERO);
    transactions.collected.bytes = CUT_BYTES - 1;
    assert!(!transactions.is_due(false, false));
    transactions.collected.bytes = CUT_BYTES;
    assert!(transactions.is_due(false, false));
    // A message past the last group that is covered.
    transactions.took(1);
    assert!(!transactions.is_due(false, false), "the cursor could not say where it ends");
}

#[test]
fn a_cut_comes_before_a_third_of_the_time_after_which_the_brokers_end_it() {
    let timeout = CUT_AFTER;
    let mut transactions = transactions_of(INTERVAL, timeout);
    transactions.took(10);
    transactions.collect(inside(1), true);
    transactions.collected.since = ago(timeout / 3 - A_LITTLE);
    assert!(!transactions.is_due(false, false));
    transactions.collected.since = ago(timeout / 3);
    assert!(transactions.is_due(false, false));
}

#[test]
fn a_place_without_a_message_waits_for_its_own_interval_and_the_end_of_the_log() {
    let mut transactions = transactions();
    transactions.collect(up_to(1), true);
    assert!(!transactions.is_due(true, false));
    assert!(transactions.is_due(true, true), "a copy that begins or ends is told at once");
    assert!(!transactions.is_due(false, true), "there is more to come with it");
    transactions.collected.since = ago(POSITION_INTERVAL);
    assert!(transactions.is_due(true, false));
    assert!(!transactions.is_due(false, false));
    transactions.collect(inside(2), true);
    assert!(!transactions.is_due(true, true), "inside a source transaction it is none");
}

#[test]
fn nothing_is_due_while_another_one_is_on_its_way() {
    let mut transactions = transactions();
    collected(&mut transactions, Duration::ZERO);
    transactions.close(v1::SinkCursor::default(), false);
    assert!(transactions.is_closing() && !transactions.is_open());
    collected(&mut transactions, 10 * INTERVAL);
    assert!(!transactions.is_due(true, true));
    assert_eq!(transactions.sequence(), 1, "it is collected meanwhile");
    transactions.phase = Phase::Closed;
    assert!(transactions.is_due(true, false));
}

#[test]
fn a_wait_ends_when_what_is_collected_becomes_due() {
    let mut transactions = transactions();
    collected(&mut transactions, Duration::ZERO);
    assert_eq!(transactions.until_due(), Some(Duration::ZERO), "there was none before");
    let within = |left: Option<Duration>, whole: Duration, passed: Duration| {
        let left = left.unwrap();
        assert!(left <= whole - passed, "{left:?} of {whole:?}, {passed:?} have passed");
        assert!(left + passed + A_LITTLE >= whole, "{left:?} of {whole:?}, {passed:?} have passed");
    };
    transactions.closed_at = ago(Duration::ZERO);
    within(transactions.until_due(), INTERVAL, Duration::ZERO);
    // The earlier of the two counts.
    transactions.closed_at = ago(INTERVAL * 3 / 4);
    within(transactions.until_due(), INTERVAL, INTERVAL * 3 / 4);
    transactions.closed_at = ago(Duration::ZERO);
    transactions.collected.since = ago(INTERVAL * 3 / 4);
    within(transactions.until_due(), INTERVAL, INTERVAL * 3 / 4);
    transactions.collected.since = ago(2 * INTERVAL);
    assert_eq!(transactions.until_due(), Some(Duration::ZERO));
    assert!(transactions.is_due(true, false));
    // A place alone.
    transactions.forget();
    transactions.collect(up_to(2), true);
    within(transactions.until_due(), POSITION_INTERVAL, Duration::ZERO);
    transactions.collected.since = ago(POSITION_INTERVAL);
    assert_eq!(transactions.until_due(), Some(Duration::ZERO));
    // The rest of a source transaction comes from the log.
    transactions.collect(inside(3), true);
    assert_eq!(transactions.until_due(), Some(Duration::MAX));
}

#[test]
fn it_is_complete_up_to_a_group_that_ends_with_a_source_transaction() {
    let mut transactions = transactions();
    transactions.collect(up_to(4), true);
    assert_eq!(transactions.complete_up_to(), Some(4));
    // What is taken beyond it does not count yet.
    transactions.took(10);
    assert!(!transactions.is_at_boundary());
    assert_eq!(transactions.complete_up_to(), Some(4));
    transactions.collect(up_to(5), false);
    assert_eq!(transactions.complete_up_to(), None, "a piece of a group");
    transactions.collect(inside(6), true);
    assert_eq!(transactions.complete_up_to(), None, "inside a source transaction");
    assert_eq!(transactions.sequence(), 6);
    transactions.collect(up_to(7), true);
    assert_eq!(transactions.complete_up_to(), Some(7));
    assert!(transactions.is_at_boundary());
}

#[test]
fn what_was_taken_and_not_given_to_the_library_is_missing() {
    let mut transactions = transactions();
    transactions.took(10);
    assert!(!transactions.is_handed_over());
    transactions.took(10);
    transactions.handed_over(1);
    transactions.collect(up_to(2), true);
    assert!(!transactions.is_handed_over(), "covered, and still one is missing");
    transactions.handed_over(1);
    assert!(transactions.is_handed_over());
    transactions.close(v1::SinkCursor::default(), false);
    assert!(transactions.is_handed_over(), "the next one begins with nothing");
}
