//! `offtake check`: everything that can be known before anything is touched, one line an item.

use std::borrow::Cow;
use std::io::IsTerminal;

use clap::Args;
use offtake_change::{Form, ReplicaIdentity, Subject, TableSchema};
use offtake_config::Config;
use offtake_log::Recovered;
use offtake_sink_kafka::ProbeOutcome;
use offtake_source_postgres::{Finding, Preflight, Resume, Selection, Table};

use super::findings::{disk_finding, exit_code, render_findings};
use super::{ConfigArgs, Exit, ExitCode, run};
use crate::pipeline::{Halt, Router, chain_text, load_plugins, resume, router, source_options};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the configuration, the log's folder, the plugins, the live database and Kafka. Creates
nothing, changes nothing, and may be run beside a running gateway.

Exit status: 0 all well, 1 warnings only, 2 an error.")]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `check`.
pub fn execute(args: &CheckArgs) -> Exit {
    let color = std::io::stdout().is_terminal();
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let warnings = config.warnings.to_string();
    if !warnings.is_empty() {
        eprintln!("{}", warnings.trim_end());
    }
    let mut findings = vec![configuration_finding(&config)];
    let recovered = log_findings(&config, &mut findings);
    let streams = match database_findings(&config, recovered.as_ref(), &mut findings) {
        Ok(streams) => streams,
        Err(halt) => {
            findings.push(error("source", &halt));
            Vec::new()
        }
    };
    kafka_findings(&config, &streams, &mut findings);
    print!("{}", render_findings(&findings, color));
    let code = match exit_code(&findings) {
        ExitCode::Done if !warnings.is_empty() => ExitCode::Failed,
        code => code,
    };
    Exit::code(code)
}

fn configuration_finding(config: &Config) -> Finding {
    Finding::ok(
        "configuration",
        format!("{} routes, {} plugins", config.routes.len(), config.plugins.len()),
    )
}

fn log_findings(config: &Config, findings: &mut Vec<Finding>) -> Option<Recovered> {
    match offtake_log::peek(&config.log.dir) {
        Ok(Some(recovered)) => {
            let held = recovered.next_sequence - 1;
            let text = format!("{} holds a log up to sequence {held}", config.log.dir.display());
            findings.push(Finding::ok("log", text));
            Some(recovered)
        }
        Ok(None) => {
            let text = format!("{} holds no log yet", config.log.dir.display());
            findings.push(Finding::ok("log", text));
            None
        }
        Err(error) => {
            findings.push(Finding::error(
                "log",
                error.code(),
                chain_text(&error),
                error.next_step(),
            ));
            None
        }
    }
}

/// Looks at the database, the disk, the plugins and the routes; gives the streams that would be
/// written.
fn database_findings(
    config: &Config,
    recovered: Option<&Recovered>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<String>, Halt> {
    let options = source_options(config)?;
    let router = router(config)?;
    let nothing = Resume { log_is_empty: true, ..Resume::default() };
    let resume = recovered.map_or(nothing, resume);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Halt::new("RUNTIME", format!("cannot start the runtime: {error}"), "try again")
    })?;
    let preflight = runtime.block_on(offtake_source_postgres::check(
        &options,
        &resume,
        options.create_publication,
    ));
    findings.extend(preflight.findings.iter().cloned());
    let streams = |namespace: &str, table: &str| -> Vec<String> {
        router.targets(&bare(namespace, table)).into_iter().map(|target| target.stream).collect()
    };
    findings.extend(preflight.judge_routes(streams));
    findings.extend(pattern_findings(config, &preflight));
    findings.push(disk_finding(
        &config.log.dir,
        config.log.retain_bytes,
        folder_bytes(&config.log.dir),
        preflight.snapshot_bytes,
    ));
    plugin_findings(config, &router, &preflight, findings);
    let mut names: Vec<String> =
        preflight.tables.iter().flat_map(|table| streams(&table.namespace, &table.name)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Patterns of routes that match no table: a misspelt one lets its table fall through to a later
/// route, past the plugins that were meant for it.
fn pattern_findings(config: &Config, preflight: &Preflight) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Without a look at the database there is nothing to compare with.
    if preflight.tables.is_empty() {
        return findings;
    }
    for pattern in config.routes.iter().flat_map(|route| &route.tables) {
        let matches = Selection::new(std::slice::from_ref(pattern), &[""; 0]).is_ok_and(|glob| {
            preflight.tables.iter().any(|table| glob.matches(&table.namespace, &table.name))
        });
        if !matches {
            findings.push(Finding::warning(
                format!("route {pattern}"),
                "ROUTE_MATCHES_NOTHING",
                "no captured table matches it, so a table that was meant goes by a later route, \
                 without this one's plugins",
                "correct the pattern under [[route]], or remove it",
            ));
        }
    }
    findings
}

fn plugin_findings(
    config: &Config,
    router: &Router,
    preflight: &Preflight,
    findings: &mut Vec<Finding>,
) {
    let plugins = match load_plugins(config, None) {
        Ok(plugins) => plugins,
        Err(halt) => {
            findings.push(error("plugin", &halt));
            return;
        }
    };
    for (index, (plugin, _)) in plugins.iter().enumerate() {
        let item = format!("plugin {}", plugin.name());
        let info = plugin.info();
        let tables: Vec<&Table> = preflight
            .tables
            .iter()
            .filter(|table| router.uses_plugin(&bare(&table.namespace, &table.name), index))
            .collect();
        let missing: Vec<&str> = info
            .required_columns
            .iter()
            .map(String::as_str)
            .filter(|wanted| {
                let has =
                    |table: &&&Table| table.columns.iter().any(|column| column.name == *wanted);
                !tables.iter().any(|table| has(&table))
            })
            .collect();
        // Without a look at the database there is nothing to compare with.
        if missing.is_empty() || preflight.tables.is_empty() {
            let text = format!("{} {}, on {} tables", info.name, info.version, tables.len());
            findings.push(Finding::ok(item, text));
        } else {
            findings.push(Finding::error(
                item,
                "PLUGIN_COLUMN_MISSING",
                format!("it is to protect {}, which none of its tables has", missing.join(", ")),
                format!("correct the spelling in [plugin.{}] config", plugin.name()),
            ));
        }
    }
}

fn kafka_findings(config: &Config, streams: &[String], findings: &mut Vec<Finding>) {
    let Some(options) = run::kafka_options(config) else { return };
    for item in offtake_sink_kafka::probe(&options, streams) {
        let name = format!("kafka {}", item.name);
        findings.push(match item.outcome {
            ProbeOutcome::Ok => Finding::ok(name, item.text),
            ProbeOutcome::Warning => Finding::warning(name, item.code, item.text, item.next_step),
            ProbeOutcome::Error => Finding::error(name, item.code, item.text, item.next_step),
        });
    }
}

fn error(item: &str, halt: &Halt) -> Finding {
    let code = match &halt.code {
        Cow::Borrowed(code) => code,
        Cow::Owned(_) => "CHECK",
    };
    Finding::error(item, code, halt.cause.clone(), halt.next_step.clone())
}

/// Size of the files in a folder; 0 where there is none.
fn folder_bytes(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// What a router needs to know of a table.
fn bare(namespace: &str, table: &str) -> TableSchema {
    TableSchema {
        database: String::new(),
        namespace: namespace.to_owned(),
        table: table.to_owned(),
        version: 1,
        columns: Vec::new(),
        key: Vec::new(),
        replica_identity: ReplicaIdentity::Unknown,
        form: Form::Envelope,
        changed_by: Vec::new(),
        content_type: String::new(),
        subject: Subject::Table,
    }
}
