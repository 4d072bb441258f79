//! Every key of the configuration, documented: the one place.
//!
//! The parser takes no key that is not here, and `gateway/CONFIGURATION.md` is written from here,
//! so that the page can neither lack a key nor name one that does not exist. The order is the
//! page's.

use crate::{capture, kafka_keys, oauth_keys, plugin_keys, registry_keys, route_keys};

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// Text in which `${env:NAME}` and `${file:path}` are replaced.
    Secret,
    /// A list of texts.
    Texts,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A duration with its unit.
    Duration,
    /// A size with its unit.
    Size,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of some words.
    Choices(&'static [&'static str]),
    /// A table whose keys are documented.
    Table,
    /// A list of such tables.
    Tables,
    /// A table whose keys are not ours.
    Free,
}

impl Kind {
    /// As it is called in an error and on the page.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Kind::Text | Kind::Secret => "a text",
            Kind::Texts => "a list of texts",
            Kind::Flag => "true or false",
            Kind::Number => "a whole number",
            Kind::Duration => "a duration",
            Kind::Size => "a size",
            Kind::Choice(_) => "one of some words",
            Kind::Choices(_) => "a list of words",
            Kind::Table | Kind::Free => "a table",
            Kind::Tables => "a list of tables",
        }
    }
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// The table it stands in, such as `source`; empty at the top.
    pub(crate) section: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// What its value may be.
    pub(crate) kind: Kind,
    /// Default, as it would be written; `None`: the key must be given.
    pub(crate) default: Option<&'static str>,
    /// What is allowed, in words; empty: everything of the kind.
    pub(crate) range: &'static str,
    /// An example, as written.
    pub(crate) example: &'static str,
    /// The version that has it first.
    pub(crate) since: &'static str,
    /// What it does.
    pub(crate) text: &'static str,
}

/// A table and what it is for.
pub(crate) struct Section {
    /// As in [`Key::section`].
    pub(crate) path: &'static str,
    /// As a user writes it.
    pub(crate) header: &'static str,
    /// What it is for.
    pub(crate) text: &'static str,
}

/// The tables in the order of the page.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        path: "",
        header: "Top level",
        text: "One file describes one pipeline: one source, one log, and what reads from it.",
    },
    Section {
        path: "source",
        header: "[source]",
        text: "The database to read from. PostgreSQL 14 to 18.",
    },
    Section {
        path: "plugin",
        header: "[plugin.NAME]",
        text: "A WebAssembly component and its limits. Routes call it by its name (letters, digits, \
               `_` and `-`, up to 64).",
    },
    Section {
        path: "plugin.state",
        header: "[plugin.NAME.state]",
        text: "What the plugin may keep; the whole table grants it.",
    },
    Section {
        path: "route",
        header: "[[route]]",
        text: "Which tables go through which plugins into which stream. For each table the first \
               matching route wins; with `continue = true` later routes see the table too. A \
               captured table that no route takes is an error. Without any `[[route]]` every table \
               goes to its own stream.",
    },
    Section {
        path: "log",
        header: "[log]",
        text: "The durable log between the source and everything that reads from it.",
    },
    Section {
        path: "log.retain",
        header: "[log.retain]",
        text: "How much the log keeps. Nothing is deleted by age that Kafka has not been given yet. \
               A log at its size that may delete nothing stops the source (BLOCKED) and goes on by \
               itself.",
    },
    Section {
        path: "kafka",
        header: "[kafka]",
        text: "The Kafka sink. Leave the table out and no Kafka is needed.",
    },
    Section {
        path: "kafka.oauth",
        header: "[kafka.oauth]",
        text: "Where the token comes from that SASL's OAUTHBEARER shows to the brokers. It sets \
               `sasl.mechanisms`, and `security.protocol` to `sasl_ssl` unless that is among the \
               properties. A token is fetched anew before it expires.",
    },
    Section {
        path: "kafka.topics",
        header: "[kafka.topics]",
        text: "How a topic that does not exist is created. One that exists is not changed.",
    },
    Section {
        path: "kafka.topic",
        header: "[[kafka.topic]]",
        text: "What differs for some streams. The first whose `streams` match counts, and what it \
               leaves out is as in [kafka.topics]; only a `format` that it leaves out may come from \
               a later one, then from the stream's [[route]], then from [kafka].",
    },
    Section {
        path: "kafka.debezium",
        header: "[kafka.debezium]",
        text: "What changes the bytes of Debezium's messages, each by the name of Debezium's own \
               option. The defaults are Debezium's, but for three: `context_headers`, and \
               `unknown_types` and `unfit_values`, which are no options of Debezium's and leave \
               nothing out unless that is chosen.",
    },
    Section {
        path: "kafka.registry",
        header: "[kafka.registry]",
        text: "The schema registry, which the formats `avro`, `protobuf` and `json_schema` need: \
               Confluent's, Apicurio's or Karapace, any that speaks Confluent's API.",
    },
    Section {
        path: "grpc",
        header: "[grpc]",
        text: "The gRPC service for subscribers. It is on when the table is left out.",
    },
    Section {
        path: "admin",
        header: "[admin]",
        text: "HTTP for operators: `/livez`, `/readyz`, `/metrics`, `/status`. It is on when the \
               table is left out.",
    },
    Section { path: "capture", header: "[capture]", text: capture::TEXT },
];

/// A key with the values that most have.
pub(crate) const fn key(section: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { section, name, kind, default: None, range: "", example: "", since: "0.1", text: "" }
}

/// Every key but those of messages, topics and the schema registry, in the order of the page.
const KEYS: &[Key] = &[
    Key {
        range: "letters, digits, `_`, `-` and `.`, up to 48",
        example: "\"shop\"",
        text: "The pipeline's name: prefix of streams and topics, and part of the default names of \
               slot and publication. Debezium calls it `topic.prefix`.",
        ..key("", "name", Kind::Text)
    },
    Key {
        default: Some("\"stay\""),
        example: "\"exit\"",
        text: "What happens when the pipeline cannot go on without a decision of yours (HALTED). \
               `stay`: the process stays up, serves the log to subscribers and answers `/readyz` \
               with 503. `exit`: it ends with exit status 3.",
        ..key("", "on_halt", Kind::Choice(&["stay", "exit"]))
    },
    Key {
        default: Some("1"),
        range: "1 to 64",
        example: "4",
        text: "Threads that run plugins, each with an instance of every plugin. What leaves is the \
               same with any number, in the same order; more than one pays where plugins take more \
               CPU time than the rest. Plugins that keep state run in one, whatever is written.",
        ..key("", "workers", Kind::Number)
    },
    key_table("source", "The database; see [source]."),
    Key {
        default: Some("none"),
        ..key_table("plugin", "The plugins, one table each; see [plugin.NAME].")
    },
    Key {
        kind: Kind::Tables,
        default: Some("one route for every table"),
        ..key_table("route", "The routes in order; see [[route]].")
    },
    Key { default: Some("see there"), ..key_table("log", "The log; see [log].") },
    Key { default: Some("no Kafka"), ..key_table("kafka", "The Kafka sink; see [kafka].") },
    Key { default: Some("see there"), ..key_table("grpc", "The gRPC service; see [grpc].") },
    Key { default: Some("see there"), ..key_table("admin", "The admin listener; see [admin].") },
    Key {
        example: "\"postgres\"",
        text: "The kind of database.",
        ..key("source", "type", Kind::Choice(&["postgres"]))
    },
    Key {
        range: "`postgres://` or libpq's `key=value` words",
        example: "\"postgres://offtake@db.example.com/shop?sslmode=verify-full\"",
        text: "Server, database and user. The password may be in it, best as a reference: \
               `postgres://offtake:${env:DB_PASSWORD}@db/shop` (percent-encoded for you), or come \
               from `password`, `password_file` or the environment's PGPASSWORD.",
        ..key("source", "url", Kind::Secret)
    },
    Key {
        default: Some("none"),
        example: "\"${env:DB_PASSWORD}\"",
        text: "The user's password. Not together with `password_file` or a password in `url`.",
        ..key("source", "password", Kind::Secret)
    },
    Key {
        default: Some("none"),
        range: "a file of at most 64 KiB",
        example: "\"/run/secrets/db\"",
        text: "A file that holds the password; a line end after it does not count.",
        ..key("source", "password_file", Kind::Text)
    },
    Key {
        range: "at least one pattern `schema.table`",
        example: "[\"public.*\", \"sales.orders\"]",
        text: "The tables to capture. `*` stands for any characters, `?` for one; a name with other \
               characters goes in double quotes: `'public.\"Order.Lines\"'`. Debezium calls it \
               `table.include.list`, with regular expressions.",
        ..key("source", "tables", Kind::Texts)
    },
    Key {
        default: Some("[]"),
        range: "patterns as in `tables`",
        example: "[\"public.audit_*\"]",
        text: "Tables to leave out of those.",
        ..key("source", "exclude", Kind::Texts)
    },
    Key {
        default: Some("\"offtake_NAME\""),
        range: "lower-case letters, digits and `_`, up to 63",
        example: "\"offtake_shop\"",
        text: "The replication slot. Created when it is absent and the log is empty. The default is \
               made of `name` in lower case, with `_` for `-` and `.`.",
        ..key("source", "slot", Kind::Text)
    },
    Key {
        default: Some("\"offtake_NAME\""),
        range: "up to 63 bytes",
        example: "\"offtake_shop\"",
        text: "The publication. Created when it is absent, for exactly the captured tables.",
        ..key("source", "publication", Kind::Text)
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "Whether a missing publication is created, and a missing table added to it. With \
               `false` the gateway never runs DDL.",
        ..key("source", "create_publication", Kind::Flag)
    },
    Key {
        default: Some("\"initial\""),
        example: "\"never\"",
        text: "`initial`: the rows that are there at the first start are read first, then changes. \
               `never`: changes only. What it says when a table is first captured counts: \
               `never` changed to `initial` later copies nothing of the tables that were captured \
               with `never` (`offtake resync` copies everything).",
        ..key("source", "snapshot", Kind::Choice(&["initial", "never"]))
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "Whether logical messages (`pg_logical_emit_message`) are captured, in the stream \
               `NAME.message`, or where a route with `messages` sends them.",
        ..key("source", "messages", Kind::Flag)
    },
    Key {
        default: Some("\"1m\""),
        range: "100ms to 1h",
        example: "\"10s\"",
        text: "Shortest time between two idle positions: how often, while nothing of the captured \
               tables is written, the place that the server has reached is made durable and \
               confirmed, so that other traffic pins no write-ahead log. Every 64 MiB of it does \
               so as well.",
        ..key("source", "idle_interval", Kind::Duration)
    },
    Key {
        default: Some("\"64MiB\""),
        range: "1MiB to 1GiB",
        example: "\"256MiB\"",
        text: "The largest row. A larger one halts the pipeline; it is never skipped.",
        ..key("source", "max_row_bytes", Kind::Size)
    },
    Key {
        default: Some("\"log\""),
        example: "\"sinks\"",
        text: "What a change has to be durable in before the database may forget it. `log`: the \
               log, so that Kafka never holds up the database. `sinks`: Kafka too; the log is then \
               a cache, and the database keeps its write-ahead log while Kafka is down. A log \
               folder that is lost costs Kafka no change with `sinks` and exactly-once delivery \
               together; at least once, the lost log is a halt.",
        ..key("source", "ack", Kind::Choice(&["log", "sinks"]))
    },
    Key {
        default: Some("\"data\""),
        example: "\"/var/lib/offtake/shop\"",
        text: "The log's folder, created when it is absent. One pipeline, one folder.",
        ..key("log", "dir", Kind::Text)
    },
    Key {
        default: Some("see there"),
        kind: Kind::Table,
        example: "{ age = \"7d\", size = \"20GiB\" }",
        text: "How much is kept; see [log.retain].",
        ..key("log", "retain", Kind::Table)
    },
    Key {
        default: Some("\"64MiB\""),
        range: "1MiB to 1GiB, at most a quarter of `retain.size`",
        example: "\"128MiB\"",
        text: "Size of one file of the log. Retention deletes whole files.",
        ..key("log", "segment", Kind::Size)
    },
    Key {
        default: Some("\"32MiB\""),
        range: "1MiB to 16GiB",
        example: "\"128MiB\"",
        text: "Memory for blocks of the log that several readers share.",
        ..key("log", "cache", Kind::Size)
    },
    Key {
        default: Some("\"1MiB\""),
        range: "64KiB to 1GiB",
        example: "\"16MiB\"",
        text: "Disk space held back, so that a full disk still takes what recovery needs.",
        ..key("log", "reserve", Kind::Size)
    },
    Key {
        default: Some("\"7d\""),
        range: "at least 1s, or `\"forever\"`",
        example: "\"24h\"",
        text: "How long a change is kept.",
        ..key("log.retain", "age", Kind::Duration)
    },
    Key {
        default: Some("\"20GiB\""),
        range: "at least 4MiB",
        example: "\"100GiB\"",
        text: "The log's largest size.",
        ..key("log.retain", "size", Kind::Size)
    },
    Key {
        range: "at least one `host:port`",
        example: "[\"localhost:9092\"]",
        text: "Brokers to begin with (`bootstrap.servers`).",
        ..key("kafka", "brokers", Kind::Texts)
    },
    Key {
        default: Some("exactly_once where the brokers allow it"),
        example: "\"at_least_once\"",
        text: "How often a change may be in its topic. `exactly_once`: data and cursor are in one \
               Kafka transaction. It holds for consumers with \
               `isolation.level=read_committed`, which is not the default of Java's client, and \
               needs brokers of Kafka 3.6 or later with \
               `transaction.partition.verification.enable`; asked for and not to be had, the sink \
               halts, left out it delivers at least once and says so. `at_least_once`: after a \
               crash changes may come again, equal to the byte and in order. Switching loses and \
               doubles nothing.",
        ..key("kafka", "delivery", Kind::Choice(&["exactly_once", "at_least_once"]))
    },
    Key {
        default: Some("\"100ms\""),
        range: "1ms to 10s",
        example: "\"20ms\"",
        text: "How long a Kafka transaction collects. A change that comes after a pause of that \
               length is committed at once; while the sink is behind the log, four times as much is \
               collected. A transaction ends where one of the database ends; only one of more than \
               64 MiB or 10 s is cut.",
        ..key("kafka", "transaction_interval", Kind::Duration)
    },
    Key {
        default: Some("\"__offtake_cursors\""),
        range: "a topic's name",
        example: "\"cdc-cursors\"",
        text: "The topic that keeps the cursors of exactly-once delivery, for any number of \
               pipelines. Compacted; created when it is missing.",
        ..key("kafka", "cursor_topic", Kind::Text)
    },
    Key {
        default: Some("\"offtake.\""),
        example: "\"team-a.offtake.\"",
        text: "What stands before the pipeline's name in the `transactional.id`, for a cluster \
               that several installations share. Two gateways with the same id shut each other \
               out.",
        ..key("kafka", "transactional_id_prefix", Kind::Text)
    },
    Key {
        default: Some("{}"),
        range: "names of librdkafka's CONFIGURATION.md but those that would break a guarantee",
        example: "{ \"security.protocol\" = \"SASL_SSL\", \"sasl.password\" = \"${env:KAFKA_PW}\" }",
        text: "Passed to librdkafka as they are; references are replaced. Refused with the reason \
               are those that decide on order, acknowledgement and partitioning, those of consumers, \
               and names that librdkafka does not know.",
        ..key("kafka", "properties", Kind::Free)
    },
    Key {
        default: Some("see there"),
        text: "How missing topics are created; see [kafka.topics].",
        example: "{ partitions = 6 }",
        ..key("kafka", "topics", Kind::Table)
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "Whether missing topics are created.",
        ..key("kafka.topics", "create", Kind::Flag)
    },
    Key {
        default: Some("1"),
        range: "1 to 10000",
        example: "6",
        text: "Partitions. Changes of one primary key stay in one partition, chosen as Java's \
               client does.",
        ..key("kafka.topics", "partitions", Kind::Number)
    },
    Key {
        default: Some("the broker's"),
        range: "1 to 100",
        example: "3",
        text: "Copies (replication factor).",
        ..key("kafka.topics", "replication", Kind::Number)
    },
    Key {
        default: Some("the broker's"),
        range: "at least 1s, or `\"forever\"`",
        example: "\"7d\"",
        text: "How long Kafka keeps a change (`retention.ms`).",
        ..key("kafka.topics", "retention", Kind::Duration)
    },
    Key {
        default: Some("{}"),
        range: "Kafka's topic configuration",
        example: "{ \"cleanup.policy\" = \"compact\" }",
        text: "Further topic configuration, passed on as it is.",
        ..key("kafka.topics", "config", Kind::Free)
    },
    enabled("grpc"),
    listen("grpc", "\"127.0.0.1:7070\"", "\"0.0.0.0:7070\""),
    insecure("grpc"),
    enabled("admin"),
    listen("admin", "\"127.0.0.1:7071\"", "\"0.0.0.0:7071\""),
    insecure("admin"),
];

const fn key_table(name: &'static str, text: &'static str) -> Key {
    Key { text, ..key("", name, Kind::Table) }
}

const fn enabled(section: &'static str) -> Key {
    Key {
        default: Some("true"),
        example: "false",
        text: "Whether it runs at all.",
        ..key(section, "enabled", Kind::Flag)
    }
}

const fn listen(section: &'static str, default: &'static str, example: &'static str) -> Key {
    Key {
        default: Some(default),
        range: "an address and a port; port 0 takes a free one",
        example,
        text: "Where it listens. Beyond this machine (loopback) only with `insecure = true`.",
        ..key(section, "listen", Kind::Text)
    }
}

const fn insecure(section: &'static str) -> Key {
    Key {
        default: Some("false"),
        example: "true",
        text: "Allows listening beyond loopback in plain text, where anybody who reaches the port \
               can read. Put a proxy with TLS and a login in front of it.",
        ..key(section, "insecure", Kind::Flag)
    }
}

/// Every key.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    let others = [
        plugin_keys::KEYS,
        route_keys::KEYS,
        kafka_keys::KEYS,
        registry_keys::KEYS,
        oauth_keys::KEYS,
    ];
    KEYS.iter().chain(others.into_iter().chain([capture::KEYS]).flatten())
}

/// The keys of one table.
pub(crate) fn of(section: &str) -> impl Iterator<Item = &'static Key> {
    all().filter(move |key| key.section == section)
}

/// A key by its table and name.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    of(section).find(|key| key.name == name)
}

/// A table as a user writes it.
pub(crate) fn header(section: &str) -> &'static str {
    SECTIONS
        .iter()
        .find(|known| known.path == section)
        .map_or("", |known| if known.path.is_empty() { "top level" } else { known.header })
}
