//! `offtake dead-letters replay`: asks the running gateway to send again what letters stand for.

use clap::Args;

use super::super::{ConfigArgs, Exit, ExitCode, confirm, render, run};
use super::{Filters, PlaceArgs};
use crate::control::{Answer, MOST_LETTERS, ReplayedLetter, Request, ask, other_answer};

/// What has to be typed before changes are sent out of order.
const WORD: &str = "reorder";

/// Arguments of `dead-letters replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads each row again by its key and sends it as a read (op r) through the plugins as they are now, to
the stream of its letter. It comes exactly where it belongs between the changes, so no consumer sees an
older row after a newer one, and a replay that was cut off can be run again. A row that is gone is not
sent: its delete came or comes by itself. Where the letter is itself of a delete, and nothing has the
key now, the delete is sent. The stream waits meanwhile: as long as the oldest open transaction of the
database lasts, 10 s at most.

With --as-it-was the change itself is sent again, after everything that came since: consumers that
apply it go back to an older row. A letter that holds no change cannot be replayed.

Runs on the gateway's machine, under the gateway's user. The letters stay in the log.

Examples:
  offtake dead-letters replay 4711 4712
  offtake dead-letters replay --plugin hide --since 1h
  offtake dead-letters replay 4711 --as-it-was

Exit status: 0 each was sent, is gone, or was left out by a plugin; 1 one was refused or failed again,
or nobody answers; 2 wrong usage or configuration.")]
pub struct ReplayArgs {
    /// The letters' own sequences, as `list` prints them.
    #[arg(value_name = "SEQUENCE")]
    sequences: Vec<u64>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    config: ConfigArgs,
    /// Send the changes as they were, after newer ones of the same rows.
    #[arg(long)]
    as_it_was: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON object a letter.
    #[arg(long)]
    json: bool,
}

/// Runs `dead-letters replay`.
pub async fn execute(args: &ReplayArgs) -> Result<Exit, Exit> {
    let config = run::load(&args.config)?;
    let sequences = sequences(args).await?;
    if sequences.is_empty() {
        say!("no dead letters");
        return Ok(Exit::done());
    }
    if args.as_it_was && !confirmed(args, sequences.len()) {
        return Ok(Exit::code(ExitCode::Failed));
    }
    let mut is_well = true;
    for chunk in sequences.chunks(MOST_LETTERS) {
        let request =
            Request::ReplayDeadLetters { sequences: chunk.to_vec(), as_it_was: args.as_it_was };
        let answer = ask(&config.log.dir, &request).map_err(|halt| Exit::failed(&halt))?;
        let Answer::Replayed { letters } = answer else {
            return Err(Exit::failed(&other_answer()));
        };
        for letter in letters {
            is_well &= matches!(&*letter.outcome, "sent" | "gone" | "left_out");
            match args.json {
                true => say!("{}", serde_json::to_string(&letter).unwrap_or_default()),
                false => say!("{}", line(&letter)),
            }
        }
    }
    Ok(if is_well { Exit::done() } else { Exit::code(ExitCode::Failed) })
}

/// Those that are named, or those that the filters choose.
async fn sequences(args: &ReplayArgs) -> Result<Vec<u64>, Exit> {
    match (args.sequences.is_empty(), args.filters.is_empty()) {
        (true, true) => Err(Exit::configuration(
            "which letters? name their sequences, or choose by --stream, --table, --plugin, --code \
             or --since",
        )),
        (false, false) => Err(Exit::configuration("name sequences or choose by filters, not both")),
        (false, true) => {
            let mut sequences = args.sequences.clone();
            sequences.sort_unstable();
            sequences.dedup();
            Ok(sequences)
        }
        (true, false) => {
            let mut sequences = Vec::new();
            let filters = args.filters.compile();
            let place = PlaceArgs { config: args.config.clone(), address: None };
            place
                .read(0, &mut |letter| {
                    if filters.take(&letter) {
                        sequences.push(letter.sequence);
                    }
                    true
                })
                .await?;
            Ok(sequences)
        }
    }
}

fn confirmed(args: &ReplayArgs, count: usize) -> bool {
    let what = format!(
        "Sends {count} changes again as they were. They come after newer changes of the same rows, so \
         consumers\nthat apply them go back to older rows, or remove rows that are there. Without \
         --as-it-was the rows are read\nagain and nothing is reordered."
    );
    // With --json the output is for a program.
    (args.json && args.yes) || confirm::confirmed(args.yes, &what, WORD)
}

fn line(answer: &ReplayedLetter) -> String {
    let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let (sequence, entered) = (answer.sequence, list(&answer.entered));
    let letters = list(&answer.dead_letters);
    match &*answer.outcome {
        "sent" => format!("{sequence}  sent, op {}, sequence {entered}", answer.operations),
        "gone" => format!(
            "{sequence}  gone: the table has no such row, and nothing was sent; its delete came or \
             comes by itself"
        ),
        "left_out" => format!("{sequence}  left out: a plugin takes no such row"),
        "failed_again" if entered.is_empty() => {
            format!("{sequence}  failed again: dead letter {letters}")
        }
        "failed_again" => {
            format!("{sequence}  failed again: dead letter {letters}; sequence {entered} was sent")
        }
        _ => {
            let refusal = answer.refusal.clone().unwrap_or_default();
            format!(
                "{sequence}  refused [{}]: {}\n  next: {}",
                refusal.code,
                render::visible(&refusal.cause),
                refusal.next_step
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::replay::RefusedLetter;

    #[test]
    fn every_outcome_is_told_with_what_came_of_it() {
        let answer = |outcome: &str, entered: &[u64], dead_letters: &[u64]| ReplayedLetter {
            sequence: 7,
            outcome: outcome.into(),
            operations: "r".into(),
            entered: entered.to_vec(),
            dead_letters: dead_letters.to_vec(),
            refusal: Some(RefusedLetter {
                code: "REPLAY_NO_KEY".into(),
                cause: "no key".into(),
                next_step: "do it".into(),
            }),
        };
        for (answer, expected) in [
            (answer("sent", &[8, 9], &[]), "7  sent, op r, sequence 8, 9"),
            (answer("left_out", &[], &[]), "7  left out: a plugin takes no such row"),
            (answer("failed_again", &[], &[9]), "7  failed again: dead letter 9"),
            (answer("refused", &[], &[]), "7  refused [REPLAY_NO_KEY]: no key\n  next: do it"),
        ] {
            assert_eq!(line(&answer), expected);
        }
        assert!(line(&answer("gone", &[], &[])).contains("nothing was sent"));
    }
}
