//! Dead letters that are to come again: the letters are read from the log, the rows are asked for at
//! the source, and the answer tells what became durable for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use offtake_change::{Operation, TableSchema};
use offtake_log::{Log, ReadError, Selection};
use offtake_proto::v1;
use offtake_source_postgres::{Entered, Refusal, ReplayRequest, ReplayRow, Replayed, SentPart};
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::dead_letter::Letter;
use crate::pipeline::Halt;

/// Letters of one request.
pub const MOST_LETTERS: usize = 500;
/// How long a request may wait for the source and the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// What answers requests for dead letters to come again.
pub struct ReplayDesk {
    /// The log with the letters.
    pub log: Log,
    /// Name of the dead-letter stream.
    pub stream: String,
    /// Where rows are asked for.
    pub replays: mpsc::Sender<ReplayRequest>,
}

/// What became of a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayedLetter {
    /// The letter's own.
    pub sequence: u64,
    /// `sent`, `gone`, `left_out`, `failed_again` or `refused`.
    pub outcome: String,
    /// What the row was sent as: Debezium's letters.
    pub operations: String,
    /// Sequences that entered the log.
    pub entered: Vec<u64>,
    /// Dead letters that were written for it.
    pub dead_letters: Vec<u64>,
    /// Of one that was refused: why, and what to do.
    #[serde(flatten)]
    pub refusal: Option<RefusedLetter>,
}

/// Why a letter was not replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLetter {
    /// Stable code.
    pub code: String,
    /// What is in the way.
    pub cause: String,
    /// What to do.
    pub next_step: String,
}

impl ReplayDesk {
    /// Replays letters, and tells of each. `as_it_was`: the change itself instead of the row as it
    /// is now.
    ///
    /// # Errors
    /// More letters than one request may name.
    pub async fn replay(
        &self,
        sequences: &[u64],
        as_it_was: bool,
    ) -> Result<Vec<ReplayedLetter>, Halt> {
        if sequences.len() > MOST_LETTERS {
            return Err(Halt::new(
                "REPLAY_TOO_MANY",
                format!(
                    "{} letters, and one request names at most {MOST_LETTERS}",
                    sequences.len()
                ),
                "use an `offtake` of the running gateway's version",
            ));
        }
        // The letters are few, and read from the cache or a few blocks.
        let rows = tokio::task::block_in_place(|| self.rows(sequences, as_it_was));
        Ok(self.ask(sequences, rows).await)
    }

    async fn ask(
        &self,
        sequences: &[u64],
        rows: Vec<Result<ReplayRow, Refusal>>,
    ) -> Vec<ReplayedLetter> {
        let (wanted, mut answers) = split(sequences, rows);
        if wanted.is_empty() {
            return answers;
        }
        let places: Vec<u64> = wanted.iter().map(|(sequence, _)| *sequence).collect();
        let rows = wanted.into_iter().map(|(_, row)| row).collect();
        match self.send(rows).await {
            Ok(replayed) => {
                for (sequence, replayed) in places.into_iter().zip(replayed) {
                    answers.push(self.outcome(sequence, replayed).await);
                }
            }
            Err(refusal) => {
                answers.extend(places.into_iter().map(|it| refused(it, refusal.clone())));
            }
        }
        answers.sort_by_key(|answer| answer.sequence);
        answers
    }

    /// Asks the source for the rows.
    async fn send(&self, rows: Vec<ReplayRow>) -> Result<Vec<Replayed>, Refusal> {
        let (answer, answered) = flume::bounded(1);
        let stopped = || {
            Refusal::new(
                "REPLAY_NOT_RUNNING",
                "the pipeline is halted or stopping; rows that were handed over may still come",
                "`offtake status` says why; run the replay again when it runs",
            )
        };
        let asked = async {
            let request = ReplayRequest { rows, answer };
            self.replays.send(request).await.map_err(|_| stopped())?;
            answered.recv_async().await.map_err(|_| stopped())
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(Refusal::new(
                "REPLAY_TIMED_OUT",
                format!(
                    "the source did not answer within {} s: tables are being copied, it is \
                     reconnecting, or it is far behind; rows may still come",
                    PATIENCE.as_secs()
                ),
                "look at `offtake status`, and run the replay again when it keeps up",
            ))
        })
    }

    /// What the letters ask for, in the order of the sequences.
    fn rows(&self, sequences: &[u64], as_it_was: bool) -> Vec<Result<ReplayRow, Refusal>> {
        let letters = match self.letters(sequences) {
            Ok(letters) => letters,
            Err(error) => {
                let unread = Refusal::new(
                    error.code(),
                    error.to_string(),
                    "nothing was sent; `offtake status` tells of the log",
                );
                return sequences.iter().map(|_| Err(unread.clone())).collect();
            }
        };
        let mut schemas = HashMap::new();
        let row = |sequence: &u64| {
            let letter = letters.get(sequence).ok_or_else(|| {
                Refusal::new(
                    "DEAD_LETTER_UNKNOWN",
                    format!("{sequence} is not the sequence of a dead letter that the log holds"),
                    "`offtake dead-letters list` prints the sequences that there are",
                )
            })?;
            self.row(letter, as_it_was, &mut schemas)
        };
        sequences.iter().map(row).collect()
    }

    fn letters(&self, sequences: &[u64]) -> Result<HashMap<u64, Letter>, ReadError> {
        let mut letters = HashMap::new();
        let (Some(first), Some(&last)) = (sequences.iter().min(), sequences.iter().max()) else {
            return Ok(letters);
        };
        let earliest = self.log.earliest_sequence().saturating_sub(1);
        let latest = self.log.durable().borrow().sequence;
        let after = first.saturating_sub(1).clamp(earliest, latest.max(earliest));
        let mut reader = self.log.reader(after, Selection::globs([&self.stream]))?;
        while reader.sequence() < last
            && let Some(group) = reader.next_group()?
        {
            for run in &group.runs {
                let Some(schema) = self.log.schema(run.schema) else { continue };
                for view in run.changes().map_while(Result::ok) {
                    if sequences.contains(&view.sequence)
                        && let Ok(change) = v1::Change::decode(view.encoded)
                        && let Some(letter) = Letter::read(&change, &schema)
                    {
                        letters.insert(view.sequence, letter);
                    }
                }
            }
        }
        Ok(letters)
    }

    fn row(
        &self,
        letter: &Letter,
        as_it_was: bool,
        schemas: &mut HashMap<u32, Arc<TableSchema>>,
    ) -> Result<ReplayRow, Refusal> {
        let change = letter.change.clone().ok_or_else(|| {
            Refusal::new(
                "REPLAY_CHANGE_NOT_KEPT",
                "the letter holds neither the row nor its key, because a plugin on its route \
                 protects something",
                "find the row by the hash of its key (OPERATING.md, \"Dead letters\") and write it again \
                 (an UPDATE that sets a column to itself comes through the stream), or read \
                 everything again: offtake resync",
            )
        })?;
        if letter.is_of_kafka() && letter.operation == "m" {
            return Err(Refusal::new(
                "REPLAY_MESSAGE",
                "the change is a logical message that has been through the plugins and is in the \
                 log; Kafka alone refused it, and nobody can read it again",
                "correct the topic, and emit the message anew: pg_logical_emit_message",
            ));
        }
        if as_it_was && letter.is_of_kafka() {
            return Err(Refusal::new(
                "REPLAY_ALREADY_IN_LOG",
                "the change has been through the plugins and is in the log; Kafka alone refused it",
                "replay it without --as-it-was: the row is read again and sent",
            ));
        }
        let damaged =
            |cause: String| Refusal::new("DEAD_LETTER_DAMAGED", cause, "report this as a defect");
        let id = v1::Change::decode(change.clone()).map_err(|error| damaged(error.to_string()))?;
        let id = id.schema;
        let schema = match schemas.get(&id) {
            Some(schema) => Arc::clone(schema),
            None => {
                let known = self.log.schema(id).ok_or_else(|| {
                    Refusal::new(
                        "REPLAY_DEFINITION_UNKNOWN",
                        format!("the log no longer knows definition {id} of the table"),
                        "write the row again in the database, or read everything again: offtake \
                         resync",
                    )
                })?;
                if !known.changed_by.is_empty() {
                    return Err(Refusal::new(
                        "REPLAY_KEY_OF_PLUGIN",
                        format!(
                            "the letter holds what {} made of the row, so its key may not be the \
                             table's",
                            known.changed_by.join(", ")
                        ),
                        "write the row again in the database, or read everything again: offtake \
                         resync",
                    ));
                }
                let schema =
                    TableSchema::from_proto(&known).map_err(|error| damaged(error.to_string()))?;
                let schema = Arc::new(schema);
                schemas.insert(id, Arc::clone(&schema));
                schema
            }
        };
        let is_alone = letter.is_of_kafka();
        Ok(ReplayRow { schema, change, stream: letter.stream.as_str().into(), as_it_was, is_alone })
    }

    async fn outcome(&self, sequence: u64, replayed: Replayed) -> ReplayedLetter {
        match replayed {
            Replayed::Sent(parts) => match self.sent(sequence, parts).await {
                Ok(answer) => answer,
                Err(refusal) => refused(sequence, refusal),
            },
            Replayed::Gone => {
                ReplayedLetter { sequence, outcome: "gone".to_owned(), ..ReplayedLetter::default() }
            }
            Replayed::Refused(refusal) => refused(sequence, refusal),
        }
    }

    /// Waits until what was handed over is durable, and looks what it became.
    async fn sent(&self, sequence: u64, parts: Vec<SentPart>) -> Result<ReplayedLetter, Refusal> {
        let mut answer = ReplayedLetter { sequence, ..ReplayedLetter::default() };
        let mut is_routed = true;
        for SentPart { operation, entered } in parts {
            let entered = entered.recv_async().await.map_err(|_| {
                Refusal::new(
                    "REPLAY_HALTED",
                    "the pipeline halted at the row or before it",
                    "`offtake status` says why; run the replay again when it runs",
                )
            })?;
            is_routed &= entered.is_routed;
            if entered.keeps_state {
                return Err(Refusal::new(
                    "REPLAY_STATEFUL",
                    "a plugin on the way to the letter's stream keeps state and has taken the change \
                     in before: sent again it would be left out, or counted twice",
                    "write the row again in the database, and it goes its way as a new change",
                ));
            }
            self.read(entered, operation, &mut answer).await?;
        }
        if !is_routed {
            return Err(Refusal::new(
                "REPLAY_NO_ROUTE",
                "no route of the table leads to the letter's stream",
                "write the row again in the database, and it goes where the routes lead now",
            ));
        }
        answer.outcome = match (answer.entered.is_empty(), answer.dead_letters.is_empty()) {
            (_, false) => "failed_again",
            (false, true) => "sent",
            (true, true) => "left_out",
        }
        .to_owned();
        Ok(answer)
    }

    async fn read(
        &self,
        entered: Entered,
        operation: Operation,
        answer: &mut ReplayedLetter,
    ) -> Result<(), Refusal> {
        answer.operations.push(char::from(operation.letter()));
        let Some(last) = entered.end_sequence.checked_sub(1) else { return Ok(()) };
        if last < entered.first_sequence {
            return Ok(());
        }
        let waiting = || {
            Refusal::new(
                "REPLAY_NOT_DURABLE",
                "the row was handed over and the log has not made it durable: it is full or closed",
                "it comes by itself when `offtake status` no longer says BLOCKED",
            )
        };
        let mut durable = self.log.durable();
        let durable = durable.wait_for(|durable| durable.sequence >= last);
        let reached = tokio::time::timeout(PATIENCE, durable).await;
        if !reached.is_ok_and(|reached| reached.is_ok()) {
            return Err(waiting());
        }
        let unread = |error: ReadError| {
            Refusal::new(error.code(), error.to_string(), "`offtake tail` shows what came")
        };
        let after = entered.first_sequence.saturating_sub(1);
        let mut reader = self.log.reader(after, Selection::all()).map_err(unread)?;
        while reader.sequence() < last
            && let Some(group) = reader.next_group().map_err(unread)?
        {
            for run in &group.runs {
                let name = self.log.stream_name(run.stream);
                let is_letter = name.is_some_and(|name| *name == *self.stream);
                let end = run.first_sequence + u64::from(run.count);
                let here = run.first_sequence.max(entered.first_sequence)..end.min(last + 1);
                let told = match is_letter {
                    true => &mut answer.dead_letters,
                    false => &mut answer.entered,
                };
                told.extend(here);
            }
        }
        Ok(())
    }
}

/// Parts those that can be asked for from those that are refused already.
fn split(
    sequences: &[u64],
    rows: Vec<Result<ReplayRow, Refusal>>,
) -> (Vec<(u64, ReplayRow)>, Vec<ReplayedLetter>) {
    let (mut wanted, mut answers) = (Vec::new(), Vec::new());
    for (&sequence, row) in sequences.iter().zip(rows) {
        match row {
            Ok(row) => wanted.push((sequence, row)),
            Err(refusal) => answers.push(refused(sequence, refusal)),
        }
    }
    (wanted, answers)
}

fn refused(sequence: u64, refusal: Refusal) -> ReplayedLetter {
    ReplayedLetter {
        sequence,
        outcome: "refused".to_owned(),
        refusal: Some(RefusedLetter {
            code: refusal.code.to_owned(),
            cause: refusal.cause,
            next_step: refusal.next_step,
        }),
        ..ReplayedLetter::default()
    }
}
