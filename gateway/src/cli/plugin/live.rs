//! `offtake plugin reload`, `rollback` and `try`: what is asked of the gateway that runs.

use std::path::PathBuf;

use clap::Args;

use super::super::render::visible;
use super::super::{ConfigArgs, Exit, ExitCode, run};
use crate::control::{Answer, Request, ask, other_answer};
use crate::pipeline::{MOST_ROWS, Reloaded, TrialReport};

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the configuration again; what plugins are made of, their `config`, limits and `on_error` are
taken over. Each is compiled, told every table and tried over recent changes first; one that fails
where the version at work does not is refused, and that one goes on. The switch is between two
transactions and recorded in the log. Files that were rolled back or refused are taken only where the
plugin is named.

Examples:
  offtake plugin reload              every plugin that differs
  offtake plugin reload mask_people  this one alone")]
pub struct ReloadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Names of plugins; none: all that differ.
    #[arg(value_name = "NAME")]
    plugins: Vec<String>,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
#[command(after_help = "\
The component before works on with the configuration as it is now, also after a restart, until the
plugin's file is another one.

Example:
  offtake plugin rollback mask_people

Exit status: 0 done, 1 refused.")]
pub struct RollbackArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Name of the plugin.
    #[arg(value_name = "NAME")]
    plugin: String,
}

/// Arguments of `try`.
#[derive(Debug, Args)]
#[command(after_help = "\
The running gateway keeps a few recent changes in its memory, one batch a second at most. Both
versions take them, and with --tables rows that the gateway then reads from the database, the first
by the key; differences are printed, values of rows included. Nothing else is touched.

Examples:
  offtake plugin try mask_people --new mask.wasm
  offtake plugin try mask_people --new mask.wasm --tables 'public.*' --rows 200

Exit status: 0 no difference, 1 differences or an error.")]
pub struct TryArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Name of the plugin.
    #[arg(value_name = "NAME")]
    plugin: String,
    /// The new component.
    #[arg(long = "new", value_name = "FILE")]
    wasm: PathBuf,
    /// Tables whose rows are read for it, as globs; repeated or parted by commas.
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Vec<String>,
    /// Rows that are read of each table, at most.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        requires = "tables",
        value_parser = clap::value_parser!(u64).range(1..=MOST_ROWS)
    )]
    rows: u64,
    /// One document of JSON.
    #[arg(long)]
    json: bool,
}

/// Does a reload.
pub fn reload(args: &ReloadArgs) -> Exit {
    let request = Request::Reload { plugins: args.plugins.clone() };
    switched(&args.config, &request)
}

/// Does a rollback.
pub fn roll_back(args: &RollbackArgs) -> Exit {
    switched(&args.config, &Request::RollBack { plugin: args.plugin.clone() })
}

/// Does a try.
pub fn attempt(args: &TryArgs) -> Exit {
    let wasm = match std::path::absolute(&args.wasm) {
        Ok(wasm) => wasm,
        Err(error) => return Exit::with(ExitCode::Failed, error.to_string()),
    };
    let (plugin, tables) = (args.plugin.clone(), args.tables.clone());
    match asked(&args.config, &Request::Try { plugin, wasm, tables, rows: args.rows }) {
        Ok(Answer::Trial(report)) if args.json => {
            println!("{}", serde_json::to_string(&report).unwrap_or_default());
            outcome(&report)
        }
        Ok(Answer::Trial(report)) => {
            print_differences(&report);
            println!("{}", summary(&report));
            print_without_state(&report);
            outcome(&report)
        }
        Ok(_) => Exit::failed(&other_answer()),
        Err(exit) => exit,
    }
}

fn outcome(report: &TrialReport) -> Exit {
    if report.different == 0 { Exit::done() } else { Exit::code(ExitCode::Failed) }
}

fn switched(config: &ConfigArgs, request: &Request) -> Exit {
    match asked(config, request) {
        Ok(Answer::Reloaded(reloaded)) => {
            print_reloaded(&reloaded);
            Exit::done()
        }
        Ok(_) => Exit::failed(&other_answer()),
        Err(exit) => exit,
    }
}

fn asked(config: &ConfigArgs, request: &Request) -> Result<Answer, Exit> {
    let config = run::load(config)?;
    ask(&config.log.dir, request).map_err(|halt| Exit::failed(&halt))
}

fn print_reloaded(reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        eprintln!("warning: {warning}");
    }
    for changed in &reloaded.changed {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        if changed.before == changed.after {
            println!("{}: the same component, other settings", visible(&changed.plugin));
        } else {
            let (before, after) = (short(&changed.before), short(&changed.after));
            println!("{}: {before} -> {after}", visible(&changed.plugin));
        }
    }
    if let Some(trial) = &reloaded.trial {
        println!("{}", summary(trial));
        print_without_state(trial);
    }
    match reloaded.from_sequence {
        Some(sequence) => println!("at work from sequence {sequence} on"),
        None => println!("nothing differs"),
    }
}

fn summary(trial: &TrialReport) -> String {
    let TrialReport { tables, changes, different, failed_before, failed_after, .. } = trial;
    if *changes == 0 {
        return format!("tried on the definitions of {tables} tables; there are no recent changes");
    }
    let recent = changes.saturating_sub(trial.rows_read);
    let read = match (trial.rows_read, trial.is_cut) {
        (0, _) => String::new(),
        (rows, false) => format!(" and {rows} rows of tables"),
        (rows, true) => format!(" and {rows} rows of tables (there were more than 64 MiB)"),
    };
    format!(
        "tried on the definitions of {tables} tables and on {recent} recent changes{read}: \
         {different} come out otherwise, failures {failed_before} -> {failed_after}, ns a change \
         {} -> {}",
        trial.nanoseconds_before, trial.nanoseconds_after
    )
}

fn print_without_state(report: &TrialReport) {
    for plugin in &report.without_state {
        println!("{}: keeps state, and was tried with none", visible(plugin));
    }
}

fn print_differences(report: &TrialReport) {
    for difference in &report.differences {
        println!("{} at {}", visible(&difference.table), difference.position);
        difference.before.iter().for_each(|line| println!("- {}", visible(line)));
        difference.after.iter().for_each(|line| println!("+ {}", visible(line)));
    }
    let hidden = report.different.saturating_sub(report.differences.len() as u64);
    if hidden > 0 {
        println!("({hidden} more)");
    }
}
