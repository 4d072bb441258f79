//! Where the gateway's CPU time goes: `perf` on its process while it drains, the samples summed by
//! crate and by thread.
//!
//! Asked for by `--profile` or `BENCH_PROFILE=1`. It costs some per cent, so the figures of such a
//! run are not those to quote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Bench;

/// Samples a second; not a divisor of common timer rates.
const FREQUENCY: &str = "997";
/// Functions and crates below this share of all samples are not printed, in per cent.
const LEAST_SHARE: f64 = 0.7;
/// Functions that are printed.
const FUNCTIONS: usize = 40;

/// A running `perf record`.
#[derive(Debug)]
pub struct Profile {
    perf: Child,
    file: PathBuf,
}

impl Profile {
    /// Attaches to a process when profiles are asked for. Threads that begin later are missed, so
    /// it comes after the first change.
    ///
    /// # Errors
    /// `perf` cannot be run.
    pub fn start_if(bench: &Bench, pid: u32, name: &str) -> Result<Option<Profile>> {
        bench.profiles.then(|| Profile::start(pid, bench.folder(), name)).transpose()
    }

    fn start(pid: u32, folder: &Path, name: &str) -> Result<Profile> {
        let file = folder.join(format!("{name}.perf"));
        let perf = Command::new("perf")
            .args(["record", "--quiet", "-F", FREQUENCY, "-p", &pid.to_string(), "-o"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("perf cannot be run; install the `linux-perf` package")?;
        Ok(Profile { perf, file })
    }

    /// Ends the recording and gives a report to print.
    ///
    /// # Errors
    /// `perf` fails.
    pub fn finish(mut self, title: &str) -> Result<String> {
        Command::new("kill").args(["-INT", &self.perf.id().to_string()]).status()?;
        self.perf.wait()?;
        let output = Command::new("perf")
            .args([
                "report",
                "--stdio",
                "--no-children",
                "-g",
                "none",
                "-F",
                "overhead,comm,dso,sym",
            ])
            .args(["--field-separator", "\t", "-i"])
            .arg(&self.file)
            .stderr(Stdio::null())
            .output()?;
        ensure!(output.status.success(), "perf report: {}", output.status);
        Ok(summary(title, &String::from_utf8_lossy(&output.stdout)))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}

fn summary(title: &str, report: &str) -> String {
    let mut crates: BTreeMap<String, f64> = BTreeMap::new();
    let mut threads: BTreeMap<String, f64> = BTreeMap::new();
    let mut functions: BTreeMap<(String, String), f64> = BTreeMap::new();
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [share, thread, object, symbol] = columns[..] else { continue };
        let Ok(share) = share.trim_end_matches('%').parse::<f64>() else { continue };
        let group = group(object, symbol);
        *crates.entry(group.clone()).or_default() += share;
        *threads.entry(thread.to_owned()).or_default() += share;
        let name = symbol.trim_start_matches("[.] ").trim_start_matches("[k] ").to_owned();
        *functions.entry((thread.to_owned(), format!("{group}: {name}"))).or_default() += share;
    }
    let mut text = format!("\nProfile of: {title} (per cent of the process' samples)\n");
    for (heading, sums) in [("threads", &threads), ("crates", &crates)] {
        let _ = writeln!(text, "  by {heading}");
        for (name, share) in largest(sums.iter()) {
            let _ = writeln!(text, "    {share:>5.1}  {name}");
        }
    }
    let _ = writeln!(text, "  functions");
    for ((thread, name), share) in largest(functions.iter()).into_iter().take(FUNCTIONS) {
        let name: String = name.chars().take(130).collect();
        let _ = writeln!(text, "    {share:>5.1}  {thread:<16} {name}");
    }
    text
}

fn largest<'s, K: Ord + 's>(sums: impl Iterator<Item = (&'s K, &'s f64)>) -> Vec<(&'s K, f64)> {
    let mut sums: Vec<(&K, f64)> = sums.map(|(key, share)| (key, *share)).collect();
    sums.retain(|(_, share)| *share >= LEAST_SHARE);
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}

/// The crate of a symbol, `kernel`, or the library's name.
fn group(object: &str, symbol: &str) -> String {
    if symbol.starts_with("[k]") {
        return "kernel".to_owned();
    }
    let path = symbol.trim_start_matches("[.] ").trim_start_matches(['<', '&', '_', ' ', '(']);
    match path.split_once("::") {
        Some((first, _)) if first.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            first.to_owned()
        }
        _ if object == "offtake" => "C and unnamed".to_owned(),
        _ => object.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_grouped_by_crate() {
        assert_eq!(group("offtake", "[.] offtake_log::append::run"), "offtake_log");
        assert_eq!(group("offtake", "[.] <tokio::task as core::future>::poll"), "tokio");
        assert_eq!(group("[kernel.kallsyms]", "[k] copy_user"), "kernel");
        assert_eq!(group("libc.so.6", "[.] __memmove_avx"), "libc.so.6");
        let text =
            summary("x", "# head\n  60.00%\tmain\tofftake\t[.] a::b\n 40.0%\tw\t[kernel]\t[k] c\n");
        assert!(text.contains(" 60.0  a\n") && text.contains(" 40.0  kernel\n"));
    }
}
