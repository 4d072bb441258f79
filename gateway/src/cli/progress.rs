//! How a snapshot goes: a bar on a terminal, log lines elsewhere. Subscribers are told of the
//! source's lag at the same pace.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::admin::Observed;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// Between two log lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows every snapshot until the process closes.
pub async fn show(observed: Arc<Observed>, mut closing: watch::Receiver<bool>) {
    let terminal = std::io::stderr().is_terminal();
    let mut bar: Option<ProgressBar> = None;
    let mut line_due = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        observed.pass_on_source_lag();
        let report = observed.source.report();
        let retained = report.slot.map_or(0, |slot| slot.retained_bytes);
        let Some(snapshot) = report.snapshot else {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            continue;
        };
        if terminal {
            let bar = bar.get_or_insert_with(new_bar);
            bar.set_length(snapshot.estimate.max(snapshot.rows));
            bar.set_position(snapshot.rows);
            bar.set_message(format!(
                "{} ({}/{})  {} rows/s  slot holds {}",
                snapshot.table,
                snapshot.tables_done + 1,
                snapshot.tables,
                HumanCount(snapshot.rows_per_second as u64),
                HumanBytes(retained),
            ));
        } else if Instant::now() >= line_due {
            line_due = Instant::now() + LINE_INTERVAL;
            tracing::info!(
                table = %snapshot.table,
                rows = snapshot.rows,
                estimate = snapshot.estimate,
                rows_per_second = snapshot.rows_per_second as u64,
                tables_done = snapshot.tables_done,
                tables = snapshot.tables,
                retained_wal_bytes = retained,
                "snapshot"
            );
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("snapshot {bar:30} {pos}/{len} rows  {msg}") {
        bar.set_style(style);
    }
    bar
}
