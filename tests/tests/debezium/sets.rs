//! The sets of options under which both sides are compared: what Debezium calls them, and what
//! Offtake does.
//!
//! Several options share a set where they touch different columns, so that few engines see all.

/// Options that both sides run with.
#[derive(Debug)]
pub(crate) struct Set {
    /// As it is called in topics, slots and reports.
    pub(crate) name: &'static str,
    /// The engine's properties beside those that every run has.
    pub(crate) debezium: &'static [(&'static str, &'static str)],
    /// Lines of `[kafka.debezium]`.
    pub(crate) offtake: &'static str,
    /// Lines of `[[kafka.topic]]` tables, with `PREFIX` for the pipeline's name.
    pub(crate) topics: &'static str,
    /// Tables that one side cannot capture under these options.
    pub(crate) exclude: &'static [&'static str],
    /// The pipeline's name is another than Debezium's `topic.prefix`, which `topic_prefix` gives it.
    pub(crate) renamed: bool,
    /// With these values of `schemas.enable` in every run of the tests; with both in a full one,
    /// save the set of Offtake's own defaults.
    pub(crate) schemas: &'static [bool],
}

/// What every set has where it says nothing else.
const PLAIN: Set = Set {
    name: "plain",
    debezium: &[("extended.headers.enabled", "false")],
    offtake: "",
    topics: "",
    exclude: &[],
    renamed: false,
    schemas: &[false],
};

/// All of them.
pub(crate) const SETS: [Set; 8] = [
    PLAIN,
    Set {
        name: "default",
        debezium: &[],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true",
        schemas: &[false, true],
        ..PLAIN
    },
    Set {
        name: "strings",
        debezium: &[
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "connect"),
            ("binary.handling.mode", "base64"),
            ("interval.handling.mode", "string"),
            ("hstore.handling.mode", "map"),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true\ndecimal = \"string\"\ntime_precision = \"connect\"\n\
                  binary = \"base64\"\ninterval = \"string\"\nhstore = \"map\"",
        ..PLAIN
    },
    Set {
        name: "doubles",
        debezium: &[
            ("decimal.handling.mode", "double"),
            ("time.precision.mode", "adaptive_time_microseconds"),
            ("binary.handling.mode", "hex"),
            ("money.fraction.digits", "0"),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true\ndecimal = \"double\"\n\
                  time_precision = \"adaptive_time_microseconds\"\nbinary = \"hex\"\n\
                  money_fraction_digits = 0",
        schemas: &[true],
        ..PLAIN
    },
    Set {
        name: "iso",
        debezium: &[
            ("time.precision.mode", "isostring"),
            ("binary.handling.mode", "base64-url-safe"),
            ("field.name.adjustment.mode", "avro"),
            ("schema.name.adjustment.mode", "avro"),
            ("unavailable.value.placeholder", "gone"),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true\ntime_precision = \"isostring\"\n\
                  binary = \"base64-url-safe\"\nfield_names = \"avro\"\nschema_names = \"avro\"\n\
                  unavailable_value = \"gone\"",
        schemas: &[true],
        ..PLAIN
    },
    Set {
        name: "micro",
        debezium: &[
            ("time.precision.mode", "microseconds"),
            ("field.name.adjustment.mode", "avro_unicode"),
            ("schema.name.adjustment.mode", "avro_unicode"),
            ("unavailable.value.placeholder", "hex:00ff10"),
            ("tombstones.on.delete", "false"),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true\ntime_precision = \"microseconds\"\n\
                  field_names = \"avro_unicode\"\nschema_names = \"avro_unicode\"\n\
                  unavailable_value = \"hex:00ff10\"\ntombstones = false",
        renamed: true,
        schemas: &[true],
        ..PLAIN
    },
    Set {
        name: "nano",
        debezium: &[
            ("time.precision.mode", "nanoseconds"),
            ("money.fraction.digits", "4"),
            ("skipped.operations", "none"),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ncontext_headers = true\ntime_precision = \"nanoseconds\"\n\
                  money_fraction_digits = 4\nskipped_operations = [\"none\"]",
        // Debezium ends where a NOT NULL column does not fit 64 bits of nanoseconds.
        exclude: &["old_times", "extreme_times"],
        ..PLAIN
    },
    Set {
        name: "transactions",
        debezium: &[
            ("provide.transaction.metadata", "true"),
            ("heartbeat.interval.ms", "500"),
            ("extended.headers.enabled", "false"),
            ("skipped.operations", "t,u"),
            (
                "message.key.columns",
                "public.no_key:id;public.no_key_full:note,id;public.key_order:note;\
                 public.identity_full:a",
            ),
        ],
        offtake: "unknown_types = \"omit\"\nunfit_values = \"null\"\ntransactions = true\nheartbeat_interval = \"500ms\"\n\
                  skipped_operations = [\"t\", \"u\"]",
        topics: "[[kafka.topic]]\nstreams = [\"PREFIX.public.no_key\"]\nkey = [\"id\"]\n\
                 [[kafka.topic]]\nstreams = [\"PREFIX.public.no_key_full\"]\n\
                 key = [\"note\", \"id\"]\n\
                 [[kafka.topic]]\nstreams = [\"PREFIX.public.key_order\"]\nkey = [\"note\"]\n\
                 [[kafka.topic]]\nstreams = [\"PREFIX.public.identity_full\"]\nkey = [\"a\"]\n",
        renamed: true,
        schemas: &[false, true],
        ..PLAIN
    },
];
