//! `offtake check`: everything that can be known before anything is touched, one line an item.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use offtake_change::{ReplicaIdentity, TableSchema};
use offtake_config::{Config, nearest};
use offtake_log::Recovered;
use offtake_proto::v1;
use offtake_sink_kafka::{ProbeOutcome, ProbeStream, ProbeTable};
use offtake_source_postgres::{Finding, Level, Preflight, Resume, Selection};
use offtake_transform::Plugin;

use super::findings::{disk_finding, exit_code, render_findings};
use super::kafka_options::kafka_options;
use super::{ConfigArgs, Exit, ExitCode, messages, plugins, run};
use crate::pipeline::{
    CONFIG_INVALID, Halt, NamedColumns, Outputs, Router, chain_text, check_midway,
    check_state_order, handed_to, held_back, message_definition, resume, router, source_options,
    with_messages,
};

/// Captured tables that are listed one by one; more would hide the findings.
const LISTED_TABLES: usize = 200;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the configuration, the log's folder, the live database, the plugins and Kafka, and lists
every captured table with its plugins and its stream. Creates nothing, changes nothing, and may be
run beside the running gateway. Run it after a change of the configuration or of the tables.

Examples:
  offtake check                            of ./offtake.toml
  offtake check -c shop.toml && offtake run -c shop.toml

Exit status: 0 all well, 1 warnings only, 2 an error: `offtake run` would not start or would halt.")]
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
    say!("{}", render_findings(&findings, color).trim_end());
    let code = match exit_code(&findings) {
        ExitCode::Done if !warnings.is_empty() => ExitCode::Failed,
        code => code,
    };
    Exit::code(code)
}

fn configuration_finding(config: &Config) -> Finding {
    Finding::ok(
        "configuration",
        format!(
            "{}, {}",
            count(config.routes.len(), "route"),
            count(config.plugins.len(), "plugin")
        ),
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
) -> Result<Vec<ProbeStream>, Halt> {
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
    let database = preflight.findings.iter().cloned();
    findings.extend(database.map(|finding| in_our_words(finding, &config.log.dir)));
    findings.extend(
        preflight
            .judge_absent(|given, names| nearest(given, names.iter().copied()).map(str::to_owned)),
    );
    let streams = |namespace: &str, table: &str| -> Vec<String> {
        router.targets(&bare(namespace, table)).into_iter().map(|target| target.stream).collect()
    };
    findings.extend(preflight.judge_routes(streams));
    findings.extend(pattern_findings(config, &preflight, recovered));
    findings.extend(table_findings(config, &router, &preflight));
    findings.push(disk_finding(
        &config.log.dir,
        config.log.retain_bytes,
        folder_bytes(&config.log.dir),
        preflight.snapshot_bytes,
    ));
    let plugins = load_plugins(config, findings);
    findings.extend(held_back(config).into_iter().map(|(plugin, held)| {
        let text = format!("its file {}: a start uses the component before it", held.why);
        let next = "put another file there; `offtake plugin reload NAME`, or `offtake run \
                    --accept-plugin-files`, takes it as it is";
        Finding::warning(format!("plugin {plugin}"), held.code, text, next)
    }));
    findings.extend(plugin_findings(config, &router, &preflight, recovered, &plugins));
    let mut streams = written_streams(&router, &preflight, &plugins);
    if options.messages && !preflight.tables.is_empty() {
        findings.extend(messages::judge(config, &router, &streams, &plugins));
        let targets = router.targets(&message_definition(""));
        streams.extend(targets.into_iter().map(|target| ProbeStream {
            stream: target.stream,
            is_optional: true,
            ..ProbeStream::default()
        }));
    }
    Ok(streams)
}

/// The streams that would be written, in the order of their names, with their tables.
fn written_streams(
    router: &Router,
    preflight: &Preflight,
    plugins: &[Option<Plugin>],
) -> Vec<ProbeStream> {
    let mut outputs = Outputs::new(plugins);
    let mut streams: BTreeMap<String, ProbeStream> = BTreeMap::new();
    for table in &preflight.tables {
        for target in router.targets(&bare(&table.namespace, &table.name)) {
            streams.entry(target.stream).or_default();
        }
    }
    for source in &preflight.definitions {
        for target in router.targets(source) {
            let output = outputs.after(&target.plugins, source);
            let stream = streams.entry(target.stream).or_default();
            stream.is_unknown |= output.is_none();
            let output = output.unwrap_or_else(|| Arc::clone(source));
            stream.tables.push(ProbeTable { source: Arc::clone(source), output });
        }
    }
    streams.into_iter().map(|(stream, found)| ProbeStream { stream, ..found }).collect()
}

/// A finding of the source with what only the command can know.
fn in_our_words(finding: Finding, dir: &Path) -> Finding {
    let is_warning = finding.level == Level::Warning;
    if finding.code == "PG_SLOT_ACTIVE" && is_warning && is_locked(dir) {
        // Our application name, and somebody holds our log: it is this pipeline's own gateway.
        let by = finding.text.split_once("server process ").map(|(_, rest)| rest);
        let by = by.map_or("unknown", |rest| rest.trim_end_matches(')'));
        return Finding::ok(
            finding.item,
            format!("in use by this pipeline's gateway, server process {by}"),
        );
    }
    finding
}

/// Whether a running gateway holds the log in the folder. Nothing is created.
fn is_locked(dir: &Path) -> bool {
    let Ok(file) = std::fs::File::open(dir.join("lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Patterns of routes that match no table: a misspelt one lets its table fall through to a later
/// route, past the plugins that were meant for it.
fn pattern_findings(
    config: &Config,
    preflight: &Preflight,
    recovered: Option<&Recovered>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Without a look at the database there is nothing to compare with.
    if preflight.tables.is_empty() {
        return findings;
    }
    for pattern in config.routes.iter().flat_map(|route| &route.tables) {
        let Ok(glob) = Selection::new(std::slice::from_ref(pattern), &[""; 0]) else { continue };
        if preflight.tables.iter().any(|table| glob.matches(&table.namespace, &table.name)) {
            continue;
        }
        let item = format!("route {pattern}");
        let code = "ROUTE_MATCHES_NOTHING";
        findings.push(match former_table(&glob, preflight, recovered) {
            Some(was) => Finding::warning(
                item,
                code,
                format!("{was}, so its changes go by a later route, without this one's plugins"),
                "name the table's new name under [[route]], or remove the pattern",
            ),
            None => Finding::warning(
                item,
                code,
                "no captured table matches it, so a table that was meant goes by a later route, \
                 without this one's plugins",
                "correct the pattern under [[route]], or remove it",
            ),
        });
    }
    findings
}

/// What became of a table that the log knows and that the glob matched.
fn former_table(
    glob: &Selection,
    preflight: &Preflight,
    recovered: Option<&Recovered>,
) -> Option<String> {
    let known = recovered?.snapshots.iter().find(|known| {
        known.state() != v1::SnapshotState::Removed && glob.matches(&known.namespace, &known.table)
    })?;
    let now = preflight.tables.iter().find(|table| table.oid == known.relation_id);
    let name = format!("{}.{}", known.namespace, known.table);
    Some(match now {
        Some(table) => format!("it matched {name}, which is called {} now", table.qualified_name()),
        None => format!("it matched {name}, which is not captured by this name any more"),
    })
}

/// One line a captured table: by which plugins it goes, and to which stream.
fn table_findings(config: &Config, router: &Router, preflight: &Preflight) -> Vec<Finding> {
    let name = |index: &usize| config.plugins.get(*index).map_or("?", |plugin| &plugin.name);
    let path = |stream: &str, plugins: &[usize]| {
        let plugins: Vec<&str> = plugins.iter().map(name).collect();
        let plugins = if plugins.is_empty() { "no plugin".to_owned() } else { plugins.join(", ") };
        format!("{plugins} -> stream {stream}")
    };
    let mut findings = Vec::new();
    for table in preflight.tables.iter().take(LISTED_TABLES) {
        let targets = router.targets(&bare(&table.namespace, &table.name));
        let paths: Vec<String> =
            targets.iter().map(|target| path(&target.stream, &target.plugins)).collect();
        // One that no route takes has its error already.
        if !paths.is_empty() {
            let item = format!("table {}", table.qualified_name());
            let untaken = Router::untaken(&targets);
            if !untaken.is_empty() {
                findings.push(Finding::warning(
                    item.clone(),
                    "ROUTE_OPERATIONS",
                    format!("no route takes its operations {}", untaken.join(", ")),
                    "such changes leave nowhere; name them in `operations` of a [[route]] if they \
                     should",
                ));
            }
            findings.push(Finding::ok(item, paths.join("; ")));
        }
    }
    let more = preflight.tables.len().saturating_sub(LISTED_TABLES);
    if more > 0 {
        findings.push(Finding::ok("tables", format!("and {}", count(more, "more table"))));
    }
    findings
}

/// Loads every plugin by itself; `None` for one that cannot be used, with a finding.
fn load_plugins(config: &Config, findings: &mut Vec<Finding>) -> Vec<Option<Plugin>> {
    let mut loaded = Vec::with_capacity(config.plugins.len());
    for (index, configured) in config.plugins.iter().enumerate() {
        loaded.push(match plugins::load(config, index) {
            Ok(plugin) => Some(plugin),
            Err(halt) if halt.code == CONFIG_INVALID => {
                eprintln!("{}", halt.cause);
                let summary = halt.cause.lines().last().unwrap_or_default();
                let cause = format!("its `config` is wrong, as shown at its place ({summary})");
                findings
                    .push(error(&format!("plugin {}", configured.name), &Halt { cause, ..halt }));
                None
            }
            Err(halt) => {
                findings.push(error(&format!("plugin {}", configured.name), &halt));
                None
            }
        });
    }
    loaded
}

fn plugin_findings(
    config: &Config,
    router: &Router,
    preflight: &Preflight,
    recovered: Option<&Recovered>,
    loaded: &[Option<Plugin>],
) -> Vec<Finding> {
    let looked_at = !preflight.tables.is_empty()
        || preflight.findings.iter().any(|finding| finding.code == "PG_NO_TABLES");
    let mut findings = Vec::new();
    let mut outputs = Outputs::new(loaded);
    let database = preflight.definitions.first().map_or("", |table| table.database.as_str());
    let definitions = with_messages(router, &preflight.definitions, database);
    for (index, configured) in config.plugins.iter().enumerate() {
        let Some(plugin) = loaded.get(index).and_then(Option::as_ref) else { continue };
        let tables = looked_at.then(|| handed_to(index, router, &definitions, &mut outputs));
        let seen = plugins::Seen { tables, recovered };
        let columns = NamedColumns::new(config, configured, plugin);
        findings.extend(plugins::judge(plugin, &columns, &seen));
    }
    // One that cannot be loaded is an error already, and without it nothing can be compared.
    let all: Option<Vec<Plugin>> = loaded.iter().cloned().collect();
    let in_order = all.as_ref().map(|all| all.iter().collect::<Vec<_>>());
    if let Some(Err(halt)) = in_order.map(|all| check_state_order(router, &all)) {
        findings.push(error("routes", &halt));
    }
    if let (Some(recovered), Some(all)) = (recovered, all)
        && let Err(halt) = check_midway(config, &all, recovered)
    {
        findings.push(error("log", &halt));
    }
    findings
}

fn kafka_findings(config: &Config, streams: &[ProbeStream], findings: &mut Vec<Finding>) {
    let Some(options) = kafka_options(config) else { return };
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

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Size of the files in a folder; 0 where there is none.
fn folder_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// What a router needs to know of a table.
fn bare(namespace: &str, table: &str) -> TableSchema {
    TableSchema {
        replica_identity: ReplicaIdentity::Unknown,
        ..TableSchema::new("", namespace, table, Vec::new(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_in_use_is_well_only_when_our_log_is_in_use_too() {
        let dir = std::env::temp_dir().join(format!("offtake-check-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let finding = || {
            let text = "a running gateway reads from it (server process 42)";
            Finding::warning("slot s", "PG_SLOT_ACTIVE", text, "stop it")
        };
        assert_eq!(in_our_words(finding(), &dir), finding(), "there is no log");
        let lock = std::fs::File::create(dir.join("lock")).unwrap();
        assert_eq!(in_our_words(finding(), &dir), finding(), "nobody has the log open");
        lock.try_lock().unwrap();
        let ours = in_our_words(finding(), &dir);
        assert_eq!(ours.level, Level::Ok);
        assert_eq!(ours.text, "in use by this pipeline's gateway, server process 42");
        let other = Finding { level: Level::Error, ..finding() };
        assert_eq!(in_our_words(other.clone(), &dir), other, "another application reads from it");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
