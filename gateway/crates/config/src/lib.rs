//! The configuration file: model, parsing, diagnostics, secrets.
//!
//! [`load`] reads a TOML file and gives either a [`Config`], of which everything that can be said
//! without looking at the world is known to be right, or [`Diagnostics`]: every mistake at once,
//! each at its place in the file. The keys are documented in one table, from which
//! `gateway/CONFIGURATION.md` is made. What the database, the plugins and Kafka have to say about
//! a configuration is not looked at here.

mod capture;
mod debezium;
mod delivery;
mod diagnostic;
mod document;
mod glob;
mod json;
mod kafka;
mod kafka_keys;
mod kafka_model;
mod kafka_oauth;
mod kafka_properties;
mod keys;
mod model;
mod oauth_keys;
mod parse;
mod places;
mod plugin_keys;
mod reader;
mod redact;
mod reference;
mod registry;
mod registry_keys;
mod route_keys;
mod routes;
mod secret;
mod sections;
mod stream_glob;
mod suggest;
mod topic_rules;
mod unit;
mod written;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use document::configuration_reference;
pub use kafka_model::{
    Binary, Debezium, Decimal, Hstore, Interval, MessageFormat, MessageHeaders, NameAdjustment,
    Oversize, RouteFormat, SkippedOperations, TimePrecision, TopicRule, UnfitValues, UnknownTypes,
};
pub use model::{
    Ack, Admin, BUILTIN_PLUGINS, Capture, Config, Grpc, Kafka, KafkaDelivery, KafkaOauth,
    LogConfig, MESSAGE_STREAM, OnError, OnHalt, Plugin, PluginSource, PostgresSource, Route,
    RouteOperation, Snapshot, Source, Topics, UnknownColumns,
};
pub use parse::{load, parse, plugin_config};
pub use places::{Misfit, MisfitKind, Places};
pub use registry::{RegistryLogin, SchemaRegistry, SubjectNames};
pub use secret::Secret;
pub use sections::{plugin_deadline, plugin_memory};
pub use suggest::nearest;
pub use unit::duration;
pub use written::written_plugin_config;
