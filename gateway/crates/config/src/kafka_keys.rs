//! The keys of messages and topics under `[kafka]`, documented; see [`crate::keys`].

use crate::keys::{Key, Kind, key};

/// The formats, by the words of [`crate::kafka_model::MessageFormat`].
pub(crate) const FORMATS: &[&str] = &[
    "debezium_json",
    "json",
    "avro",
    "protobuf",
    "json_schema",
    "cloudevents",
    "cloudevents_binary",
    "payload",
];
const NAME_ADJUSTMENTS: &[&str] = &["none", "avro", "avro_unicode"];

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        default: Some("\"debezium_json\""),
        example: "\"avro\"",
        text: "The format of messages, for every stream for which no [[kafka.topic]] and no \
               [[route]] names one. `debezium_json`: what Debezium's connector and its JSON \
               converter write. `avro`, `protobuf`, `json_schema`: the same with Confluent's \
               converters and a schema registry. `json`: the row alone. `cloudevents`: CloudEvents \
               1.0 in structured mode; `cloudevents_binary`: with the attributes in headers. \
               `payload`: the bytes that a plugin put out, as they are.",
        ..key("kafka", "format", Kind::Choice(FORMATS))
    },
    Key {
        default: Some("\"halt\""),
        example: "\"dead_letter\"",
        text: "What becomes of a message that is larger than its topic takes. `halt`: the sink \
               stops and says so. `dead_letter`: the change goes to the stream `NAME.dead_letters`, \
               durable in the log before the sink passes the change, and the sink goes on.",
        ..key("kafka", "oversize", Kind::Choice(&["halt", "dead_letter"]))
    },
    Key {
        default: Some("[]"),
        example: "[\"event_id\"]",
        text: "Headers that every message gets. `position`: `offtake.position`, where the row stands \
               in the source's log, and `offtake.commit_position`, where its commit does. \
               `event_id`: `offtake.event_id`, unique and the same however often the message is \
               sent. `transaction` puts a source transaction together again over partitions and \
               topics: `offtake.transaction` (its name in the database), \
               `offtake.commit_position`, `offtake.order` (the row's place in it), \
               `offtake.sequence` (the change's number in the log, the same on every message of a \
               change), and on its last published change `offtake.last`, how many of its changes are \
               published: it is whole when that many different sequences are there.",
        ..key("kafka", "headers", Kind::Choices(&["position", "transaction", "event_id"]))
    },
    Key {
        default: Some("none"),
        example: "[{ streams = [\"shop.public.*\"], partitions = 12 }]",
        text: "What differs for some streams; see [[kafka.topic]].",
        ..key("kafka", "topic", Kind::Tables)
    },
    Key {
        default: Some("see there"),
        example: "{ decimal = \"string\" }",
        text: "What changes the bytes of Debezium's messages; see [kafka.debezium].",
        ..key("kafka", "debezium", Kind::Table)
    },
    Key {
        default: Some("no schema registry"),
        example: "{ url = \"http://localhost:8081\" }",
        text: "The schema registry; see [kafka.registry].",
        ..key("kafka", "registry", Kind::Table)
    },
    Key {
        range: "at least one pattern; `*` stands for any characters, dots too, `?` for one",
        example: "[\"shop.public.*\"]",
        text: "The streams that are meant, by their names: topics and streams have one name.",
        ..key("kafka.topic", "streams", Kind::Texts)
    },
    Key {
        default: Some("as in [kafka.topics]"),
        example: "false",
        text: "Whether missing topics are created.",
        ..key("kafka.topic", "create", Kind::Flag)
    },
    Key {
        default: Some("as in [kafka.topics]"),
        range: "1 to 10000",
        example: "12",
        text: "Partitions.",
        ..key("kafka.topic", "partitions", Kind::Number)
    },
    Key {
        default: Some("as in [kafka.topics]"),
        range: "1 to 100",
        example: "3",
        text: "Copies (replication factor).",
        ..key("kafka.topic", "replication", Kind::Number)
    },
    Key {
        default: Some("as in [kafka.topics]"),
        range: "at least 1s, or `\"forever\"`",
        example: "\"30d\"",
        text: "How long Kafka keeps a change (`retention.ms`).",
        ..key("kafka.topic", "retention", Kind::Duration)
    },
    Key {
        default: Some("as in [kafka.topics]"),
        range: "Kafka's topic configuration",
        example: "{ \"cleanup.policy\" = \"compact\" }",
        text: "Further topic configuration, each key over that of [kafka.topics].",
        ..key("kafka.topic", "config", Kind::Free)
    },
    Key {
        default: Some("the route's"),
        example: "\"avro\"",
        text: "The format of the messages; see `kafka.format`.",
        ..key("kafka.topic", "format", Kind::Choice(FORMATS))
    },
    Key {
        default: Some("the table's primary key, or what a plugin chooses"),
        range: "columns that every table of these streams has",
        example: "[\"tenant\", \"id\"]",
        text: "The columns of the message's key, in this order; they come before a plugin's choice. \
               Debezium calls it `message.key.columns`.",
        ..key("kafka.topic", "key", Kind::Texts)
    },
    Key {
        default: Some("the key"),
        range: "columns that every table of these streams has",
        example: "[\"tenant\"]",
        text: "The columns that decide the partition instead of the key: murmur2, as Java's client \
               uses it, over their values as text with a zero byte between two. Changes of one key \
               keep their order only while these columns keep their values. Each column must be \
               in the replica identity, for a delete carries nothing else.",
        ..key("kafka.topic", "partition_by", Kind::Texts)
    },
    Key {
        default: Some("\"NAME\""),
        range: "letters, digits, `_`, `-` and `.`",
        example: "\"shop\"",
        text: "`topic.prefix`: `source.name` and the beginning of schema names. Topics are named by \
               the routes. The default is the pipeline's `name`.",
        ..debezium("topic_prefix", Kind::Text)
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "`schemas.enable` of the JSON converter: every message carries its schema.",
        ..debezium("schemas", Kind::Flag)
    },
    Key {
        default: Some("\"precise\""),
        example: "\"string\"",
        text: "`decimal.handling.mode`.",
        ..debezium("decimal", Kind::Choice(&["precise", "string", "double"]))
    },
    Key {
        default: Some("\"adaptive\""),
        example: "\"connect\"",
        text: "`time.precision.mode`.",
        ..debezium("time_precision", Kind::Choice(TIME_PRECISIONS))
    },
    Key {
        default: Some("\"bytes\""),
        example: "\"base64\"",
        text: "`binary.handling.mode`.",
        ..debezium("binary", Kind::Choice(&["bytes", "base64", "base64-url-safe", "hex"]))
    },
    Key {
        default: Some("\"numeric\""),
        example: "\"string\"",
        text: "`interval.handling.mode`.",
        ..debezium("interval", Kind::Choice(&["numeric", "string"]))
    },
    Key {
        default: Some("\"json\""),
        example: "\"map\"",
        text: "`hstore.handling.mode`.",
        ..debezium("hstore", Kind::Choice(&["json", "map"]))
    },
    Key {
        default: Some("2"),
        range: "0 to 10",
        example: "0",
        text: "`money.fraction.digits`.",
        ..debezium("money_fraction_digits", Kind::Number)
    },
    Key {
        default: Some("\"__debezium_unavailable_value\""),
        range: "up to 256 bytes; bytes as `hex:` and digits",
        example: "\"unknown\"",
        text: "`unavailable.value.placeholder`: what stands where an update left a large value alone.",
        ..debezium("unavailable_value", Kind::Text)
    },
    Key {
        default: Some("\"text\""),
        example: "\"omit\"",
        text: "Columns of types that Debezium does not know and leaves out: as text, or left out \
               too.",
        ..debezium("unknown_types", Kind::Choice(&["text", "omit"]))
    },
    Key {
        default: Some("\"keep\""),
        example: "\"null\"",
        text: "Values that their schema cannot hold, such as `NaN` in a `numeric` with `decimal = \
               \"precise\"`. `keep`: as text in JSON without schemas; in every other format the \
               sink halts and names the column. `null`: null, as Debezium does.",
        ..debezium("unfit_values", Kind::Choice(&["keep", "null"]))
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "`replace.null.with.default` of the JSON converter: a null in a column that has a \
               default shows the default.",
        ..debezium("replace_null_with_default", Kind::Flag)
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "`tombstones.on.delete`: a message without a value after each delete, so that a \
               compacted topic forgets the key.",
        ..debezium("tombstones", Kind::Flag)
    },
    Key {
        default: Some("\"none\""),
        example: "\"avro\"",
        text: "`field.name.adjustment.mode`.",
        ..debezium("field_names", Kind::Choice(NAME_ADJUSTMENTS))
    },
    Key {
        default: Some("\"none\""),
        example: "\"avro\"",
        text: "`schema.name.adjustment.mode`.",
        ..debezium("schema_names", Kind::Choice(NAME_ADJUSTMENTS))
    },
    Key {
        default: Some("[\"t\"]"),
        example: "[\"none\"]",
        text: "`skipped.operations`: creates, updates, deletes, truncates, or none. Kafka alone is \
               meant; subscribers get every operation.",
        ..debezium("skipped_operations", Kind::Choices(&["c", "u", "d", "t", "none"]))
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "`provide.transaction.metadata`: the topic `PREFIX.transaction`, and `transaction` in \
               every message.",
        ..debezium("transactions", Kind::Flag)
    },
    Key {
        default: Some("\"0s\""),
        range: "0s to 1d; 0s: none",
        example: "\"10s\"",
        text: "`heartbeat.interval.ms`: how often a message goes to \
               `__debezium-heartbeat.PREFIX`.",
        ..debezium("heartbeat_interval", Kind::Duration)
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "`extended.headers.enabled`: the headers `__debezium.context.*`. Debezium writes them \
               by default.",
        ..debezium("context_headers", Kind::Flag)
    },
];

const TIME_PRECISIONS: &[&str] = &[
    "adaptive",
    "adaptive_time_microseconds",
    "connect",
    "isostring",
    "microseconds",
    "nanoseconds",
];

const fn debezium(name: &'static str, kind: Kind) -> Key {
    key("kafka.debezium", name, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_model::MessageFormat;

    #[test]
    fn the_documented_formats_are_those_that_are_read() {
        let words: Vec<&str> = MessageFormat::WORDS.iter().map(|(word, _)| *word).collect();
        assert_eq!(FORMATS, words);
    }
}
