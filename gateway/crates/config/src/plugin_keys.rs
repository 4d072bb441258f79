//! The keys of `[plugin.NAME]`, documented; see [`crate::keys`].

use crate::keys::{Key, Kind, key};

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        range: "`builtin:NAME` or a path",
        example: "\"builtin:mask\"",
        text: "The component: one that comes with the gateway (`builtin:mask`, `builtin:filter`, `builtin:hash`, `builtin:project`, \
               `builtin:tokenise`, `builtin:outbox`, `builtin:route`, `builtin:logical-table`, \
               `builtin:cast`, `builtin:flatten`, `builtin:timezone`, `builtin:dedupe`), or \
               a `.wasm` file.",
        ..key("plugin", "wasm", Kind::Text)
    },
    Key {
        default: Some("{}"),
        example: "{ columns = [\"email\"], keep_last = 4 }",
        text: "The plugin's own configuration; it receives it as JSON. Where the plugin carries a JSON \
               Schema of it (`offtake plugin inspect` shows it), all mistakes are told at their places \
               before the plugin is started; what else is wrong it says itself. Dates become text. References in its texts are replaced, for plugins that \
               need a key: a plugin sees the secrets that its `config` names, and no others.",
        ..key("plugin", "config", Kind::Free)
    },
    Key {
        default: Some("\"100ms\""),
        range: "1ms to 60s",
        example: "\"250ms\"",
        text: "CPU time that one call (up to 256 changes) may take. A plugin that does not stop is \
               stopped within 10 ms of it; one filling of its memory, or the reading of what it puts \
               out, is not cut short, and takes up to 30 ms with the default limits.",
        ..key("plugin", "deadline", Kind::Duration)
    },
    Key {
        default: Some("\"64MiB\""),
        range: "1MiB to 4GiB",
        example: "\"128MiB\"",
        text: "Memory of the plugin's instance.",
        ..key("plugin", "memory", Kind::Size)
    },
    Key {
        default: Some("\"512KiB\""),
        range: "64KiB to 1MiB",
        example: "\"1MiB\"",
        text: "Stack of one call. What goes deeper has failed (`PLUGIN_TRAP`).",
        ..key("plugin", "stack", Kind::Size)
    },
    Key {
        default: Some("200000"),
        range: "1000 to 1000000",
        example: "50000",
        text: "Elements of all of the instance's tables, which hold the functions that it calls by number. \
               More is `PLUGIN_MEMORY`.",
        ..key("plugin", "table", Kind::Number)
    },
    Key {
        default: Some("\"8MiB\""),
        range: "64KiB to 1GiB",
        example: "\"32MiB\"",
        text: "What one call may put out.",
        ..key("plugin", "output", Kind::Size)
    },
    Key {
        default: Some("100"),
        range: "1 to 100000",
        example: "1000",
        text: "Rows that the plugin may emit for one change.",
        ..key("plugin", "fan_out", Kind::Number)
    },
    Key {
        default: Some("10000"),
        range: "0 to 1000000",
        example: "100",
        text: "Calls of the gateway (log lines, metrics) that the plugin may make during one call.",
        ..key("plugin", "host_calls", Kind::Number)
    },
    Key {
        default: Some("100"),
        range: "0 to 10000",
        example: "10",
        text: "The plugin's log lines a second; further ones are counted and left out.",
        ..key("plugin", "log_lines", Kind::Number)
    },
    Key {
        default: Some("\"halt\""),
        example: "\"dead_letter\"",
        text: "What becomes of a change that the plugin fails at: the pipeline halts before it; it \
               goes to the stream `NAME.dead_letters` instead of its own; it is left out; or it goes \
               on as if the plugin had not been there, which is refused for a plugin that keeps \
               something secret. All other changes go on, in order. A halt is the whole pipeline's, \
               other routes' too, for there is one log in one order; they go on behind it. What a \
               plugin fails at when it is told a table's columns is no change's fault, and halts \
               whatever this says.",
        ..key("plugin", "on_error", Kind::Choice(&["halt", "dead_letter", "drop", "pass"]))
    },
    Key {
        default: Some("\"10%\""),
        range: "1% to 100%, or `off`",
        example: "\"5%\"",
        text: "The share of changes, of the last 10,000 or so, above which the pipeline halts whatever \
               `on_error` says; 20 failures are allowed in any case.",
        ..key("plugin", "breaker", Kind::Text)
    },
    Key {
        default: Some("\"5s\""),
        range: "10ms to 10min",
        example: "\"2s\"",
        text: "CPU time that finding the guilty changes of one failed call may take, before the \
               pipeline halts.",
        ..key("plugin", "isolation", Kind::Duration)
    },
    Key {
        default: Some("\"warn\""),
        example: "\"error\"",
        text: "What becomes of a column in `config` that none of the plugin's tables has, as it is handed \
               them by the plugins before it: the start is refused, or it is told in the log and by \
               `offtake check`. A plugin that protects is always refused. Which texts are columns is in \
               the plugin's JSON Schema (`\"format\": \"column\"`).",
        ..key("plugin", "unknown_columns", Kind::Choice(&["error", "warn"]))
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "Whether a changed file is put to work by itself, as `offtake plugin reload` does. One that \
               is refused leaves the version at work in its place.",
        ..key("plugin", "watch", Kind::Flag)
    },
    Key {
        default: Some("not granted"),
        example: "{ quota = \"64MiB\" }",
        text: "Grants the plugin state: keys and values that it keeps from one change to the next and \
               over restarts, by the name in [plugin.NAME]. `state = {}` grants it with the default. A \
               plugin that keeps state and is not granted any is refused, and so is the grant to \
               one that keeps none. Not with `ack = \"sinks\"`.",
        ..key("plugin", "state", Kind::Table)
    },
    Key {
        default: Some("\"64MiB\""),
        range: "64KiB to 4GiB",
        example: "\"256MiB\"",
        text: "What the plugin may keep: its keys and values, and 64 bytes for each entry. A call that \
               would exceed it fails (`PLUGIN_STATE_QUOTA`). It is held in memory, and about as much \
               again for a moment whenever the log begins a segment.",
        ..key("plugin.state", "quota", Kind::Size)
    },
];
