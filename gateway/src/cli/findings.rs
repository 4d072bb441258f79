//! The report of `offtake check`: one line an item, `ok`, `warning` or `error`, what was found, and
//! what to do.
//!
//! Rendering and the exit status are here, and what is found out about the log's folder. What is
//! found out about the database is the source's.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use offtake_source_postgres::{Finding, Level};

use super::exit::ExitCode;

/// Below this much room beyond what is needed, a disk is called nearly full.
const SPARE_BYTES: u64 = 1 << 30;
/// The item column is at least this wide, so that short reports line up as well.
const LEAST_ITEM_WIDTH: usize = 12;
/// An item longer than this does not push all others to the right.
const MOST_ITEM_WIDTH: usize = 32;

/// The findings as text for a person, with a summary line; `color` adds ANSI colours.
pub fn render_findings(findings: &[Finding], color: bool) -> String {
    let width = |finding: &Finding| clean(&finding.item).chars().count();
    let item_width =
        findings.iter().map(width).max().unwrap_or(0).clamp(LEAST_ITEM_WIDTH, MOST_ITEM_WIDTH);
    let mut out = String::new();
    for finding in findings {
        // Writing into a String cannot fail, here and below.
        let _ = write!(
            out,
            "{} {:item_width$}  {}",
            label(finding.level, color),
            clean(&finding.item),
            clean(&finding.text)
        );
        if !finding.code.is_empty() {
            let _ = write!(out, " [{}]", finding.code);
        }
        if !finding.next_step.is_empty() {
            let _ = write!(out, "; {}: {}", paint("next", "1", color), clean(&finding.next_step));
        }
        out.push('\n');
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (warnings, errors) = (count(Level::Warning), count(Level::Error));
    let _ = writeln!(
        out,
        "\n{} ok, {}, {}",
        count(Level::Ok),
        plural(warnings, "warning"),
        plural(errors, "error")
    );
    out
}

/// The exit status of `check`: 0 when all is well, 1 with warnings only, 2 with an error.
pub fn exit_code(findings: &[Finding]) -> ExitCode {
    match findings.iter().map(|finding| finding.level).max() {
        None | Some(Level::Ok) => ExitCode::Done,
        Some(Level::Warning) => ExitCode::Failed,
        Some(Level::Error) => ExitCode::Configuration,
    }
}

/// What the log's folder has room for. `retain_bytes` is the log's limit, `held_bytes` what it has
/// already, `snapshot_bytes` what the initial snapshot is about to add. Nothing is created: the
/// nearest folder that exists is looked at.
pub fn disk_finding(
    dir: &Path,
    retain_bytes: u64,
    held_bytes: u64,
    snapshot_bytes: u64,
) -> Finding {
    let existing = nearest_existing(dir);
    match rustix::fs::statvfs(&existing) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            judge_disk(&existing, free, retain_bytes.saturating_sub(held_bytes), snapshot_bytes)
        }
        Err(error) => Finding::error(
            "disk",
            "LOG_DIR",
            format!("{} cannot be looked at: {error}", existing.display()),
            "correct `dir` under [log], or its permissions",
        ),
    }
}

fn judge_disk(folder: &Path, free: u64, may_grow: u64, snapshot_bytes: u64) -> Finding {
    let text = format!("{} free in {}", show_bytes(free), folder.display());
    let snapshot = snapshot_bytes.min(may_grow);
    if free < snapshot.saturating_add(SPARE_BYTES / 16) {
        Finding::error(
            "disk",
            "LOG_DISK_FULL",
            format!("{text}: less than the snapshot of {} needs", show_bytes(snapshot)),
            "make room, put `dir` under [log] on another disk, or lower `retain.size`",
        )
    } else if free < may_grow.saturating_add(SPARE_BYTES) {
        Finding::warning(
            "disk",
            "LOG_DISK_SMALL",
            format!("{text}, and the log may grow by {}", show_bytes(may_grow)),
            "lower `retain.size` under [log] to what the disk holds; a full one stops the source",
        )
    } else {
        Finding::ok("disk", text)
    }
}

/// The folder itself or the nearest above it that exists.
fn nearest_existing(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let found = absolute.ancestors().find(|folder| folder.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn label(level: Level, color: bool) -> String {
    match level {
        Level::Ok => paint("ok     ", "32", color),
        Level::Warning => paint("warning", "1;33", color),
        Level::Error => paint("error  ", "1;31", color),
    }
}

fn paint(text: &str, code: &str, color: bool) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Names come from the database: without control characters they cannot steer a terminal, and an
/// item stays one line.
fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn one_line_an_item_with_what_to_do() {
        let findings = [
            Finding::ok("wal_level", "logical"),
            Finding::warning("walsenders", "PG_X", "1 of 10 free", "raise it"),
            Finding::error("table public.a\nb", "PG_TABLE", "it has no key", "give it one"),
        ];
        let text = render_findings(&findings, false);
        let expected = "\
ok      wal_level         logical
warning walsenders        1 of 10 free [PG_X]; next: raise it
error   table public.a b  it has no key [PG_TABLE]; next: give it one

1 ok, 1 warning, 1 error
";
        assert_eq!(text, expected);
        assert!(render_findings(&findings, true).contains("\x1b[1;31merror"));
    }

    #[test]
    fn the_worst_finding_decides_the_exit_status() {
        let ok = Finding::ok("a", "b");
        let warning = Finding::warning("a", "X", "b", "c");
        let error = Finding::error("a", "X", "b", "c");
        assert_eq!(exit_code(&[]), ExitCode::Done);
        assert_eq!(exit_code(std::slice::from_ref(&ok)), ExitCode::Done);
        assert_eq!(exit_code(&[ok.clone(), warning.clone()]), ExitCode::Failed);
        assert_eq!(exit_code(&[error, warning, ok]), ExitCode::Configuration);
    }

    #[test]
    fn the_disk_is_judged_by_what_the_log_may_take() {
        let level =
            |free, grow, snapshot| judge_disk(Path::new("/data"), free, grow, snapshot).level;
        assert_eq!(level(100 * GIB, 20 * GIB, 5 * GIB), Level::Ok);
        assert_eq!(level(10 * GIB, 20 * GIB, 5 * GIB), Level::Warning);
        assert_eq!(level(4 * GIB, 20 * GIB, 5 * GIB), Level::Error);
        assert_eq!(level(10 * GIB, 2 * GIB, 500 * GIB), Level::Ok);
        assert_eq!(level(0, 20 * GIB, 0), Level::Error);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let folder = std::env::temp_dir();
        let missing = folder.join("offtake-not-there/deeper");
        assert_eq!(nearest_existing(&missing), std::path::absolute(&folder).unwrap());
        assert_eq!(disk_finding(&missing, 0, 0, 0).item, "disk");
        assert!(!missing.exists());
    }
}
