//! From a configuration to parts: the log opened, plugins loaded, routes resolved.
//!
//! Everything that can be wrong without touching the source is found here.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use offtake_config::{Config, PluginSource, PostgresSource, RouteOperation, Snapshot, Source};
use offtake_log::{Beginning, Log, LogOptions, LogWriter, Recovered};
use offtake_proto::v1;
use offtake_source_postgres::{ConnectOptions, SnapshotMode, SourceError, SourceOptions};
use offtake_state::Keyspace;
use offtake_transform::{Engine, EngineOptions, Limits, Plugin, PluginSpec};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::chain::{Configured, plugin_halt};
use super::chosen::{finishing, load_chosen, record_versions};
use super::failure::{FailurePolicy, OnError};
use super::halt::Halt;
use super::messages::warn_of_unprotected_messages;
use super::named_columns::NamedColumns;
use super::plugin_config::check_configs;
use super::plugin_state::{self, Kept};
use super::reload::{Capture, Components, RecentInputs};
use super::router::{Router, router};
use super::worker::{Switch, log_halt};

/// Bytes of a batch between source and worker. Large enough that a channel send is nothing a
/// change, small enough that a handful in flight is little memory.
const BATCH_BYTES: usize = 256 << 10;

/// What a pipeline is made of, ready to run.
pub struct Parts {
    /// The source's options.
    pub source: SourceOptions,
    /// Routes.
    pub router: Router,
    /// Plugins, in the order of the configuration.
    pub plugins: Vec<Configured>,
    /// The log's writing end.
    pub writer: LogWriter,
    /// The log's shared handle.
    pub log: Log,
    /// What the log held.
    pub recovered: Recovered,
    /// See [`digest`].
    pub digest: Vec<u8>,
    /// The rest of a transaction that is in the log in part is taken by other plugins or routes
    /// than its beginning, as a person decided.
    pub accepted_midway: bool,
    /// The components that are kept.
    pub components: Components,
    /// Where a transaction that is in the log in part was begun by other versions of the plugins:
    /// `plugins` are those, and these take over after it.
    pub switching: Option<Switch>,
    /// What the sinks have made durable, where the source waits for that too.
    pub published: Option<watch::Receiver<Option<v1::SourcePosition>>>,
    /// Nothing may be taken in: what a person must decide first. The log is served all the same.
    pub halt: Option<Halt>,
    /// What plugins keep, where one does.
    pub kept: Option<Kept>,
    /// Threads that run plugins.
    pub workers: NonZeroUsize,
    /// What trials run over.
    pub inputs: RecentInputs,
}

/// What a person said at the start to take, though it would be refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepted<'a> {
    /// A transaction whose first rows other plugins took.
    pub midway: Option<&'a str>,
    /// The plugins' files, also those that were rolled back or that a reload refused.
    pub files: bool,
}

impl Parts {
    /// Opens and loads everything but the source. `accept.midway` names a transaction whose rest
    /// may be taken by other plugins or routes than its beginning. `beginning`: where a log begins
    /// that is not there yet.
    ///
    /// # Errors
    /// What the user has to put right: a plugin, a route, the log's folder.
    pub fn open(
        config: &Config,
        accept: Accepted<'_>,
        beginning: Option<Beginning>,
    ) -> Result<Parts, Halt> {
        let source = source_options(config)?;
        let router = router(config)?;
        let mut components = Components::open(&config.log.dir)?;
        let plugins = load_chosen(config, &components, accept.files)?;
        warn_of_unprotected_messages(config, &router, plugins.iter().map(|it| &it.plugin));
        let opened = offtake_log::open(LogOptions { beginning, ..log_options(config) })
            .map_err(|error| log_halt(&error))?;
        let digest = digest(config, plugins.iter().map(|loaded| &loaded.plugin));
        let inputs = match &config.capture {
            Some(capture) => RecentInputs::captured(Capture::open(&config.log.dir, capture)?)?,
            None => RecentInputs::default(),
        };
        let (mut accepted_midway, mut halt, mut switching) = (false, None, None);
        let mut at_work = plugins;
        match check_partial(&opened.recovered, &digest, accept.midway) {
            Ok(accepted) => accepted_midway = accepted,
            Err(changed) => match finishing(config, &components, &at_work, &opened.recovered)? {
                Some(before) => {
                    let next = at_work.iter().zip(&before);
                    let plugins = next.map(|(next, before)| next.in_place_of(before)).collect();
                    at_work = before;
                    switching =
                        Some(Switch { plugins, digest: digest.clone(), beside: None, asked: None });
                }
                None => halt = Some(changed),
            },
        }
        let folder = &config.log.dir;
        let (kept, halt) =
            match plugin_state::open(&at_work, &opened.log, &opened.recovered, folder) {
                Ok(kept) => (kept, halt),
                Err(other) => (None, halt.or(Some(other))),
            };
        if halt.is_none() {
            record_versions(&mut components, &at_work, switching.as_ref())?;
        }
        let digest = self::digest(config, at_work.iter().map(|loaded| &loaded.plugin));
        Ok(Parts {
            accepted_midway,
            components,
            switching,
            published: None,
            halt,
            kept,
            workers: config.workers,
            inputs,
            digest,
            source,
            router,
            plugins: at_work,
            writer: opened.writer,
            log: opened.log,
            recovered: opened.recovered,
        })
    }
}

/// The PostgreSQL source's options from the configuration.
///
/// # Errors
/// A URL that cannot be read.
pub fn source_options(config: &Config) -> Result<SourceOptions, Halt> {
    let Source::Postgres(postgres) = &config.source;
    Ok(SourceOptions {
        tables: postgres.tables.clone(),
        exclude: postgres.exclude.clone(),
        slot: postgres.slot.clone(),
        publication: postgres.publication.clone(),
        create_publication: postgres.create_publication,
        messages: postgres.messages,
        snapshot: match postgres.snapshot {
            Snapshot::Initial => SnapshotMode::Initial,
            Snapshot::Never => SnapshotMode::Never,
        },
        idle_interval: postgres.idle_interval,
        batch_bytes: BATCH_BYTES,
        max_row_bytes: usize::try_from(postgres.max_row_bytes).unwrap_or(usize::MAX),
        ..SourceOptions::new(connect_options(postgres)?, &config.name)
    })
}

fn connect_options(postgres: &PostgresSource) -> Result<ConnectOptions, Halt> {
    let mut connect: ConnectOptions =
        postgres.url.expose().parse().map_err(|error: SourceError| source_halt(&error))?;
    if let Some(password) = &postgres.password {
        connect.password = Some(offtake_source_postgres::Secret::new(password.expose()));
    }
    Ok(connect)
}

/// SHA-256 over everything that decides what becomes of a row: plugins, their configuration, and
/// the routes.
pub fn digest<'p>(config: &Config, plugins: impl ExactSizeIterator<Item = &'p Plugin>) -> Vec<u8> {
    let mut hash = Sha256::new();
    put(&mut hash, config.name.as_bytes());
    put_count(&mut hash, plugins.len());
    for plugin in plugins {
        put(&mut hash, &plugin.digest());
        put(&mut hash, &plugin.config_digest());
    }
    put_routes(&mut hash, &config.routes);
    hash.finalize().to_vec()
}

/// Field by field, so that the digest changes when a route does and not when the program does.
fn put_routes(hash: &mut Sha256, routes: &[offtake_config::Route]) {
    put_count(hash, routes.len());
    for route in routes {
        let offtake_config::Route {
            tables,
            exclude,
            messages,
            plugins,
            stream,
            operations,
            continues,
        } = route;
        for globs in [tables, exclude] {
            put_count(hash, globs.len());
            globs.iter().for_each(|glob| put(hash, glob.as_bytes()));
        }
        put_count(hash, plugins.len());
        plugins.iter().for_each(|index| put_count(hash, *index));
        put(hash, stream.as_bytes());
        put_count(hash, usize::from(*continues));
        if *operations != RouteOperation::ALL {
            put_count(hash, operations.len());
            operations.iter().for_each(|operation| put(hash, operation.word().as_bytes()));
        }
        // Only where it is so, as above: other routes keep the digest that logs have of them.
        if *messages {
            put(hash, b"messages");
        }
    }
}

/// With its length before it, so that no two lists of fields read alike.
fn put(hash: &mut Sha256, field: &[u8]) {
    put_count(hash, field.len());
    hash.update(field);
}

fn put_count(hash: &mut Sha256, count: usize) {
    hash.update((count as u64).to_le_bytes());
}

/// Whether `offtake run` without a word about it would halt, for these plugins and the routes would
/// finish a transaction that others began. `plugins`: all of them, in the configuration's order.
///
/// # Errors
/// What it would halt with.
pub fn check_midway(
    config: &Config,
    plugins: &[Plugin],
    recovered: &Recovered,
) -> Result<(), Halt> {
    check_partial(recovered, &digest(config, plugins.iter()), None).map(|_| ())
}

/// A transaction of which the first rows are in the log is finished by the same plugins and routes,
/// unless a person decided otherwise for this very transaction: then this gives `true`. Left in
/// place, that decision does not reach any other transaction.
pub(super) fn check_partial(
    recovered: &Recovered,
    digest: &[u8],
    accept: Option<&str>,
) -> Result<bool, Halt> {
    let partial = recovered.position.as_ref().and_then(|position| position.partial.as_ref());
    let Some(partial) = partial.filter(|partial| partial.pipeline_digest != digest) else {
        if let Some(transaction) = accept {
            tracing::info!(transaction, "no transaction waits for other plugins to be accepted");
        }
        return Ok(false);
    };
    let (transaction, rows) = (&partial.transaction_id, partial.next_row);
    if accept == Some(transaction) {
        tracing::warn!(
            code = "PIPELINE_CHANGED_MIDWAY_ACCEPTED",
            transaction,
            rows,
            "the rest of a transaction is taken by other plugins or routes than its first rows, as \
             decided"
        );
        return Ok(true);
    }
    Err(Halt::new(
        "PIPELINE_CHANGED_MIDWAY",
        format!(
            "the first {rows} rows of transaction {transaction} are in the log, and plugins or \
             routes are others than those that took them"
        ),
        format!(
            "put the previous plugins and routes back and run until the transaction's end is in \
             the log; or have the new ones take its rest: offtake run --accept-plugins-midway \
             {transaction}; or start over with `offtake resync`"
        ),
    ))
}

/// A source's error as a halt.
pub fn source_halt(error: &SourceError) -> Halt {
    Halt::new(error.code(), super::halt::chain(error), error.next_step())
}

/// The log's options from the configuration.
pub fn log_options(config: &Config) -> LogOptions {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    LogOptions {
        segment_bytes: config.log.segment_bytes,
        retain_age: config.log.retain_age,
        retain_bytes: config.log.retain_bytes,
        cache_bytes: bytes(config.log.cache_bytes),
        reserve_bytes: config.log.reserve_bytes,
        ..LogOptions::new(&config.log.dir)
    }
}

/// Loads and configures every plugin; compiled code is kept in `cache_dir`, where there is one.
///
/// # Errors
/// The first plugin that cannot be used.
pub fn load_plugins(config: &Config, cache_dir: Option<PathBuf>) -> Result<Vec<Configured>, Halt> {
    load_all(config, cache_dir, |plugin, _| read_component(plugin))
}

/// The same, with what `component` gives for each.
pub(super) fn load_all(
    config: &Config,
    cache_dir: Option<PathBuf>,
    mut component: impl FnMut(&offtake_config::Plugin, usize) -> Result<Vec<u8>, Halt>,
) -> Result<Vec<Configured>, Halt> {
    if config.plugins.is_empty() {
        return Ok(Vec::new());
    }
    let engine = Engine::new(EngineOptions { cache_dir }).map_err(|error| plugin_halt(&error))?;
    let plugins = config.plugins.iter().enumerate();
    let components = plugins.map(|(index, plugin)| component(plugin, index));
    let components = components.collect::<Result<Vec<_>, _>>()?;
    let slices = components.iter().map(Vec::as_slice);
    check_configs(config, config.plugins.iter().zip(slices))?;
    let plugins = config.plugins.iter().zip(components);
    plugins.map(|(plugin, component)| configured(&engine, config, plugin, component)).collect()
}

/// A plugin's component, as its file has it now.
///
/// # Errors
/// It cannot be read.
pub fn read_component(plugin: &offtake_config::Plugin) -> Result<Vec<u8>, Halt> {
    match &plugin.wasm {
        PluginSource::Builtin(name) => offtake_transform::builtin(name)
            .ok_or_else(|| {
                Halt::new(
                    "PLUGIN_UNKNOWN_BUILTIN",
                    format!("plugin {:?}: there is no builtin:{name}", plugin.name),
                    "report this as a defect: the configuration should have refused the name",
                )
            })
            .map(<[u8]>::to_vec),
        PluginSource::Path(path) => std::fs::read(path).map_err(|error| {
            Halt::new(
                "PLUGIN_UNREADABLE",
                format!("plugin {:?}: cannot read {}: {error}", plugin.name, path.display()),
                "check the path and its permissions",
            )
        }),
    }
}

/// A plugin of `config` with its configuration, limits and policy, of this component.
///
/// # Errors
/// It cannot be used.
pub fn configured(
    engine: &Engine,
    config: &Config,
    plugin: &offtake_config::Plugin,
    component: Vec<u8>,
) -> Result<Configured, Halt> {
    let limits = Limits {
        deadline: plugin.deadline.max(Duration::from_millis(1)),
        memory_bytes: usize::try_from(plugin.memory_bytes).unwrap_or(usize::MAX),
        stack_bytes: usize::try_from(plugin.stack_bytes).unwrap_or(usize::MAX),
        table_elements: plugin.table_elements as usize,
        output_bytes: usize::try_from(plugin.output_bytes).unwrap_or(usize::MAX),
        fan_out: plugin.fan_out,
        host_calls: plugin.host_calls,
        log_lines_per_second: plugin.log_lines,
        isolation: plugin.isolation,
        reserved_streams: Router::own_streams(&config.name).into(),
        ..Limits::default()
    };
    check_configs(config, std::iter::once((plugin, component.as_slice())))?;
    let (policy, in_file) = (policy(plugin), plugin);
    let spec = PluginSpec {
        name: plugin.name.clone(),
        component,
        config_json: plugin.config_json.clone(),
        limits,
        state: plugin.state_quota.map(Keyspace::new),
    };
    let plugin = Plugin::load(engine, spec).map_err(|error| plugin_halt(&error))?;
    if policy.on_error == OnError::Pass && plugin.info().protects {
        return Err(Halt::new(
            "PLUGIN_PASS_REFUSED",
            format!(
                "plugin {:?} keeps something secret, and with `on_error = \"pass\"` a change that it \
                 fails at would go on as it is",
                plugin.name()
            ),
            "set `on_error` to \"halt\", \"dead_letter\" or \"drop\"",
        ));
    }
    let columns = Arc::new(NamedColumns::new(config, in_file, &plugin));
    Ok(Configured { plugin, counters: Arc::default(), policy, columns })
}

fn policy(plugin: &offtake_config::Plugin) -> FailurePolicy {
    FailurePolicy {
        on_error: match plugin.on_error {
            offtake_config::OnError::Halt => OnError::Halt,
            offtake_config::OnError::DeadLetter => OnError::DeadLetter,
            offtake_config::OnError::Drop => OnError::Drop,
            offtake_config::OnError::Pass => OnError::Pass,
        },
        breaker_percent: plugin.breaker_percent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_proto::v1;

    fn recovered(partial: Option<v1::Partial>) -> Recovered {
        Recovered {
            is_empty: false,
            next_sequence: 1,
            schemas: vec![],
            streams: vec![],
            position: Some(v1::SourcePosition { partial, ..Default::default() }),
            snapshots: vec![],
            plugins: vec![],
            truncated_bytes: 0,
        }
    }

    #[test]
    fn other_plugins_finish_a_transaction_only_when_it_is_named() {
        let partial = v1::Partial {
            transaction_id: "812".into(),
            next_row: 40,
            pipeline_digest: vec![1].into(),
            ..Default::default()
        };
        let midway = recovered(Some(partial));
        assert_eq!(check_partial(&midway, &[1], None), Ok(false));
        assert_eq!(check_partial(&midway, &[1], Some("812")), Ok(false));
        assert_eq!(check_partial(&recovered(None), &[2], Some("812")), Ok(false));
        for accept in [None, Some("811"), Some("")] {
            let halt = check_partial(&midway, &[2], accept).unwrap_err();
            assert_eq!(halt.code, "PIPELINE_CHANGED_MIDWAY");
            assert!(halt.next_step.contains("--accept-plugins-midway 812"), "{}", halt.next_step);
        }
        assert_eq!(check_partial(&midway, &[2], Some("812")), Ok(true));
    }

    #[test]
    fn the_configuration_takes_the_plugins_that_there_are() {
        assert_eq!(offtake_config::BUILTIN_PLUGINS, offtake_transform::BUILTIN_NAMES);
        for name in offtake_config::BUILTIN_PLUGINS {
            assert!(offtake_transform::builtin(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_field_of_a_route_is_in_the_digest_and_none_runs_into_the_next() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let route =
            |tables: &[&str], exclude: &[&str], plugins: &[usize], stream: &str, continues| {
                let (tables, exclude) = (texts(tables), texts(exclude));
                let (plugins, stream) = (plugins.to_vec(), stream.to_owned());
                let operations = RouteOperation::ALL.to_vec();
                offtake_config::Route {
                    tables,
                    exclude,
                    messages: false,
                    plugins,
                    stream,
                    operations,
                    continues,
                }
            };
        let with_messages = |route| vec![offtake_config::Route { messages: true, ..route }];
        let only = |operations: &[RouteOperation]| {
            let operations = operations.to_vec();
            let all = route(&["a", "b"], &[], &[0], "s", false);
            offtake_config::Route { operations, ..all }
        };
        let lists = [
            vec![],
            vec![route(&["a", "b"], &[], &[0], "s", false)],
            vec![route(&["a"], &["b"], &[0], "s", false)],
            with_messages(route(&["a"], &["b"], &[0], "s", false)),
            with_messages(only(&[RouteOperation::Create])),
            vec![route(&["ab"], &[], &[0], "s", false)],
            vec![route(&["a", "b"], &[], &[0, 1], "s", false)],
            vec![route(&["a", "b"], &[], &[1], "s", false)],
            vec![route(&["a", "b"], &[], &[0], "t", false)],
            vec![route(&["a", "b"], &[], &[0], "s", true)],
            vec![only(&[RouteOperation::Create])],
            vec![only(&[RouteOperation::Create, RouteOperation::Read])],
            vec![route(&["a", "b"], &[], &[0], "s", false), route(&[], &[], &[], "", false)],
        ];
        let digests: std::collections::BTreeSet<Vec<u8>> = lists
            .iter()
            .map(|routes| {
                let mut hash = Sha256::new();
                put_routes(&mut hash, routes);
                hash.finalize().to_vec()
            })
            .collect();
        assert_eq!(digests.len(), lists.len());
    }
}
