//! The keys of `[[route]]`, documented; see [`crate::keys`].

use crate::kafka_keys;
use crate::keys::{Key, Kind, key};
use crate::model::RouteOperation;

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        range: "at least one pattern as in `source.tables`",
        example: "[\"public.customers\"]",
        text: "The tables that this route takes. May be left out with `messages`.",
        ..key("route", "tables", Kind::Texts)
    },
    Key {
        default: Some("[]"),
        range: "patterns as in `source.tables`",
        example: "[\"public.test_*\"]",
        text: "Tables that it leaves to later routes.",
        ..key("route", "exclude", Kind::Texts)
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "Whether this route takes logical messages (`pg_logical_emit_message`): they pass \
               through its `plugins` as rows with the columns `prefix` (a text) and `content` \
               (bytes), and leave with both. With `tables` it takes both. The first such route \
               counts, as with tables; messages that no route takes go to `NAME.message` without \
               plugins, and `offtake check` warns (`MESSAGES_UNPROTECTED`) where plugins protect \
               and messages go past them.",
        ..key("route", "messages", Kind::Flag)
    },
    Key {
        default: Some("[]"),
        range: "names of `[plugin.NAME]`",
        example: "[\"mask_people\"]",
        text: "The plugins that changes pass through, in order.",
        ..key("route", "plugins", Kind::Texts)
    },
    Key {
        default: Some("\"{name}.{schema}.{table}\""),
        range: "letters, digits, `.`, `_`, `-`, `{name}`, `{schema}`, `{table}`",
        example: "\"{name}.raw.{table}\"",
        text: "The stream's name: a Kafka topic and a gRPC subscription at once. Every table needs \
               a stream of its own, and so do logical messages: they go to `NAME.message` where \
               this is left out, and a route that names a stream takes either tables or messages.",
        ..key("route", "stream", Kind::Text)
    },
    Key {
        default: Some("[\"create\", \"read\", \"update\", \"delete\", \"truncate\"]"),
        example: "[\"create\", \"read\"]",
        text: "The operations that this route takes, decided before any plugin is called; `read` \
               is a snapshot's row. Changes of other operations go to later routes, and those that \
               no route takes leave nowhere: a warning in `offtake check` names them. Logical messages \
               are none of these and are always taken whole.",
        ..key("route", "operations", Kind::Choices(RouteOperation::WORDS))
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "Whether later routes see these tables too: one table in two streams.",
        ..key("route", "continue", Kind::Flag)
    },
    Key {
        default: Some("that of [kafka]"),
        example: "\"avro\"",
        text: "The format in which Kafka gets this route's streams; see `kafka.format`. A \
               [[kafka.topic]] that names one comes first.",
        ..key("route", "format", Kind::Choice(kafka_keys::FORMATS))
    },
];
