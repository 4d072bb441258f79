//! What a configuration says, once it is known to be right.
//!
//! Every value here was checked: names resolve, sizes are in range, addresses parse, relative
//! paths are joined to the file's folder and secrets are resolved. Nothing here reads a file. What
//! each key means to its user stands in `keys.rs`, from which `gateway/CONFIGURATION.md` is made.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Diagnostics;
use crate::kafka_model::{
    Debezium, MessageFormat, MessageHeaders, Oversize, RouteFormat, TopicRule,
};
use crate::places::{Misfit, Places};
use crate::registry::SchemaRegistry;
use crate::secret::Secret;

/// A whole configuration: one pipeline.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pipeline's name: prefix of streams and topics.
    pub name: String,
    /// Where changes come from.
    pub source: Source,
    /// The plugins, in the order of the file; routes refer to them by index.
    pub plugins: Vec<Plugin>,
    /// The routes, in the order of the file; never empty (without `[[route]]` one takes all).
    pub routes: Vec<Route>,
    /// The durable log.
    pub log: LogConfig,
    /// The Kafka sink, when `[kafka]` is there.
    pub kafka: Option<Kafka>,
    /// The gRPC service; `None` only with `enabled = false`.
    pub grpc: Option<Grpc>,
    /// The admin listener; `None` only with `enabled = false`.
    pub admin: Option<Admin>,
    /// What is kept of changes for trials, when `[capture]` is there.
    pub capture: Option<Capture>,
    /// What the process does when the pipeline halts.
    pub on_halt: OnHalt,
    /// Threads that run plugins.
    pub workers: NonZeroUsize,
    /// What is allowed but looks like a mistake; print it.
    pub warnings: Diagnostics,
}

impl Config {
    /// What somebody else found wrong in a plugin's `config`, shown as other mistakes of the file are.
    /// `secrets`: JSON Pointers of values that are not shown.
    pub fn diagnose(&self, plugin: &Plugin, misfits: &[Misfit], secrets: &[String]) -> Diagnostics {
        plugin.config_places.diagnose(&self.warnings, misfits, secrets)
    }

    /// Where a value of a plugin's `config` stands, as `file:line:column`.
    pub fn place_of(&self, plugin: &Plugin, pointer: &str) -> String {
        plugin.config_places.show(&self.warnings, pointer)
    }
}

/// Where changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A PostgreSQL database.
    Postgres(PostgresSource),
}

/// A PostgreSQL database and what to read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSource {
    /// `postgres://…` or libpq's `key=value …`; references are resolved. Secret, for it may hold
    /// the password.
    pub url: Secret,
    /// The password from `password`, `password_file` or, failing those, `PGPASSWORD`. `None` when
    /// the URL holds it or there is none.
    pub password: Option<Secret>,
    /// The file that the password came from, so that it can be read again after a rotation.
    pub password_file: Option<PathBuf>,
    /// Globs of the tables to capture, `schema.table`.
    pub tables: Vec<String>,
    /// Globs of the tables to leave out.
    pub exclude: Vec<String>,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Whether rows that exist already are read first.
    pub snapshot: Snapshot,
    /// Whether a missing publication is created, and tables are added to one that lacks them.
    pub create_publication: bool,
    /// Whether logical messages (`pg_logical_emit_message`) are captured.
    pub messages: bool,
    /// Shortest time between two idle positions (see `idle_interval` in the reference).
    pub idle_interval: Duration,
    /// The largest row that is taken, in bytes.
    pub max_row_bytes: u64,
    /// What a change has to be durable in before the database may forget it.
    pub ack: Ack,
}

/// What a change has to be durable in before the database may forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The log.
    Log,
    /// The log and Kafka.
    Sinks,
}

/// Whether rows that exist already are read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Read every table once, then stream.
    Initial,
    /// Stream only.
    Never,
}

/// A plugin: a WebAssembly component and its limits.
#[derive(Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The name in `[plugin.NAME]`.
    pub name: String,
    /// Where the component is.
    pub wasm: PluginSource,
    /// The `config` table as a JSON object, keys sorted; `{}` when left out.
    pub config_json: String,
    /// Where its values stand in the file.
    pub config_places: Places,
    /// CPU time that one call may take.
    pub deadline: Duration,
    /// Memory of one instance, in bytes.
    pub memory_bytes: u64,
    /// Stack of one call, in bytes.
    pub stack_bytes: u64,
    /// Elements of the instance's tables.
    pub table_elements: u32,
    /// What one call may put out, in bytes.
    pub output_bytes: u64,
    /// Rows that it may emit for one change.
    pub fan_out: u32,
    /// Calls of the gateway during one call.
    pub host_calls: u32,
    /// Log lines a second.
    pub log_lines: u32,
    /// CPU time that finding the changes may take at which a call failed.
    pub isolation: Duration,
    /// What becomes of a change that it fails at.
    pub on_error: OnError,
    /// Per cent of the changes that may fail; `None`: any number.
    pub breaker_percent: Option<u8>,
    /// What becomes of a column in its configuration that none of its tables has.
    pub unknown_columns: UnknownColumns,
    /// Bytes of state that it may keep; `None`: none, and it must keep none.
    pub state_quota: Option<u64>,
    /// Whether a change of its file is a reload.
    pub watch: bool,
}

/// What becomes of a change that a plugin fails at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The pipeline halts.
    Halt,
    /// It goes to the dead-letter stream.
    DeadLetter,
    /// It is left out.
    Drop,
    /// It goes on without the plugin.
    Pass,
}

/// What becomes of a column in a plugin's configuration that none of the plugin's tables has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownColumns {
    /// The pipeline does not start.
    Error,
    /// It is told; a plugin that protects does not start all the same.
    Warn,
}

impl fmt::Debug for Plugin {
    /// Without the configuration's content, which is the user's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("wasm", &self.wasm)
            .field("config_json", &format_args!("<{} bytes>", self.config_json.len()))
            .field("deadline", &self.deadline)
            .field("memory_bytes", &self.memory_bytes)
            .field("stack_bytes", &self.stack_bytes)
            .field("table_elements", &self.table_elements)
            .field("output_bytes", &self.output_bytes)
            .field("fan_out", &self.fan_out)
            .field("host_calls", &self.host_calls)
            .field("log_lines", &self.log_lines)
            .field("isolation", &self.isolation)
            .field("on_error", &self.on_error)
            .field("breaker_percent", &self.breaker_percent)
            .field("unknown_columns", &self.unknown_columns)
            .field("state_quota", &self.state_quota)
            .finish_non_exhaustive()
    }
}

/// The plugins that come with the gateway, as `builtin:NAME`. The components are the transform
/// crate's, which this one does not know; a test of the gateway holds both lists equal.
pub const BUILTIN_PLUGINS: &[&str] = &[
    "mask",
    "filter",
    "hash",
    "project",
    "tokenise",
    "outbox",
    "route",
    "logical-table",
    "cast",
    "flatten",
    "timezone",
    "dedupe",
];

/// Where a plugin's component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// `builtin:NAME`, one of [`BUILTIN_PLUGINS`].
    Builtin(String),
    /// A file that existed when the configuration was read.
    Path(PathBuf),
}

/// One `[[route]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Globs of the tables that it takes; none where it takes logical messages alone.
    pub tables: Vec<String>,
    /// Globs of tables that it leaves to later routes.
    pub exclude: Vec<String>,
    /// Whether it takes logical messages.
    pub messages: bool,
    /// Indices into [`Config::plugins`], in the order of the chain.
    pub plugins: Vec<usize>,
    /// Stream name with `{name}`, `{schema}` and `{table}`; see [`Route::message_stream`].
    pub stream: String,
    /// Operations on rows and tables that it takes, each once; the others it leaves to later routes.
    pub operations: Vec<RouteOperation>,
    /// Whether later routes see the tables too.
    pub continues: bool,
}

impl Route {
    /// The stream name of its logical messages, with `{name}`: its own where it takes nothing else.
    pub fn message_stream(&self) -> &str {
        if self.tables.is_empty() { &self.stream } else { MESSAGE_STREAM }
    }
}

/// The stream of logical messages that no route sends elsewhere, as Debezium names their topic.
pub const MESSAGE_STREAM: &str = "{name}.message";

/// An operation that a route can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteOperation {
    /// A row was inserted.
    Create,
    /// A snapshot read a row.
    Read,
    /// A row was updated.
    Update,
    /// A row was deleted.
    Delete,
    /// A table was emptied.
    Truncate,
}

impl RouteOperation {
    /// All of them: what a route takes that names none.
    pub const ALL: [RouteOperation; 5] = [
        RouteOperation::Create,
        RouteOperation::Read,
        RouteOperation::Update,
        RouteOperation::Delete,
        RouteOperation::Truncate,
    ];

    /// The words of the configuration, in the order of [`RouteOperation::ALL`].
    pub(crate) const WORDS: &'static [&'static str] =
        &["create", "read", "update", "delete", "truncate"];

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().position(|it| *it == self).map_or("", |at| Self::WORDS[at])
    }
}

/// The durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Its folder.
    pub dir: PathBuf,
    /// How long a change is kept at least as long as nothing else needs room; `None`: for ever.
    pub retain_age: Option<Duration>,
    /// The log's largest size in bytes.
    pub retain_bytes: u64,
    /// Size at which a segment is closed, in bytes.
    pub segment_bytes: u64,
    /// The block cache that readers share, in bytes.
    pub cache_bytes: u64,
    /// Disk space that is set aside for control records when the disk is full, in bytes.
    pub reserve_bytes: u64,
}

/// The Kafka sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port` of brokers to begin with.
    pub brokers: Vec<String>,
    /// librdkafka's own properties. Secrets, for passwords are among them.
    pub properties: BTreeMap<String, Secret>,
    /// How missing topics are created.
    pub topics: Topics,
    /// Where tokens come from, when `[kafka.oauth]` is there.
    pub oauth: Option<KafkaOauth>,
    /// At least once or exactly once.
    pub delivery: KafkaDelivery,
    /// What differs for some streams, in the order of the file.
    pub rules: Vec<TopicRule>,
    /// The formats that routes name, in the order of the file; empty when none does.
    pub route_formats: Vec<RouteFormat>,
    /// The format of every stream for which no rule and no route names one.
    pub format: MessageFormat,
    /// What becomes of a message that is larger than its topic takes.
    pub oversize: Oversize,
    /// Headers that messages get.
    pub headers: MessageHeaders,
    /// What changes the bytes of Debezium's messages.
    pub debezium: Debezium,
    /// The schema registry; there when a format needs one.
    pub registry: Option<SchemaRegistry>,
}

/// Where the tokens of SASL's OAUTHBEARER come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOauth {
    /// The token endpoint; `None`: tokens come from the file.
    pub token_url: Option<String>,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// What is asked for; empty: the endpoint's default.
    pub scope: String,
    /// Authorities that the endpoint's certificate is checked against; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// A file that something else keeps a fresh token in.
    pub token_file: Option<PathBuf>,
}

/// How changes are delivered to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaDelivery {
    /// Whether exactly once is asked for; `None`: where the brokers allow it.
    pub exactly_once: Option<bool>,
    /// How long a Kafka transaction collects.
    pub transaction_interval: Duration,
    /// The topic that keeps the cursors.
    pub cursor_topic: String,
    /// What stands before the pipeline's name in the transactional id.
    pub transactional_id_prefix: String,
}

/// How missing topics are created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Whether they are created at all.
    pub create: bool,
    /// Partitions of a topic, 1 when the file does not say; `None` would be the broker's default,
    /// which no file can ask for yet.
    pub partitions: Option<i32>,
    /// Copies of a topic; `None`: the broker's default.
    pub replication: Option<i32>,
    /// Topic configuration; `retention` is in it as `retention.ms`.
    pub config: BTreeMap<String, String>,
}

/// The gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it may listen beyond loopback without TLS.
    pub insecure: bool,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it may listen beyond loopback without TLS.
    pub insecure: bool,
}

/// What is kept of changes as they come in, for trials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// What all of it takes on the disk, in bytes.
    pub bytes: u64,
    /// What it is encrypted with.
    pub secret: Secret,
}

/// What the process does when the pipeline halts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHalt {
    /// Stays up and serves the log.
    Stay,
    /// Ends with an exit code of its own.
    Exit,
}
