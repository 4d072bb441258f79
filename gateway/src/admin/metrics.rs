//! The Prometheus page: every metric once, with its help text, from one status.
//!
//! Names are listed in `gateway/OPERATING.md`; a label is a name from the configuration, never
//! a value of a row.

use std::fmt::Write;

use offtake_change::BOUNDS_SECONDS;

use offtake_sink_kafka::WaitReason;

use super::kafka;
use super::plugin::{PluginView, StateView};
use super::status::{HistogramView, Status};

/// Renders the page in Prometheus's text format.
pub fn render(status: &Status) -> String {
    let mut page = Page { text: String::with_capacity(8 << 10) };
    pipeline(&mut page, status);
    source(&mut page, status);
    log(&mut page, status);
    plugins(&mut page, status);
    sinks(&mut page, status);
    page.text
}

/// The page while it is written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Announces a metric.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One of its samples.
    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl std::fmt::Display,
    ) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, view: &HistogramView) {
        self.family(name, "histogram", help);
        let mut cumulative = 0;
        for (index, count) in view.counts.iter().enumerate() {
            cumulative += count;
            let bound = BOUNDS_SECONDS.get(index).map_or("+Inf".to_owned(), f64::to_string);
            self.sample(&format!("{name}_bucket"), &[("le", &bound)], cumulative);
        }
        self.sample(&format!("{name}_sum"), &[], view.sum_seconds);
        self.sample(&format!("{name}_count"), &[], cumulative);
    }

    /// A metric with one sample.
    pub(super) fn one(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        value: impl std::fmt::Display,
    ) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn pipeline(page: &mut Page, status: &Status) {
    page.family("offtake_state", "gauge", "1 for the state that the pipeline is in.");
    for state in ["STARTING", "SNAPSHOT", "RUNNING", "HALTED", "STOPPING"] {
        page.sample("offtake_state", &[("state", state)], u8::from(status.state.name() == state));
    }
    page.one(
        "offtake_source_changes_total",
        "counter",
        "Changes taken from the source.",
        status.changes.source,
    );
    page.one(
        "offtake_logged_changes_total",
        "counter",
        "Changes that entered the log, after plugins.",
        status.changes.logged,
    );
    page.one(
        "offtake_transactions_total",
        "counter",
        "Source transactions taken in whole.",
        status.changes.transactions,
    );
    page.histogram(
        "offtake_commit_to_log_seconds",
        "From commit in the source to durable in the log.",
        &status.commit_to_log,
    );
    if let Some(latency) = &status.commit_to_kafka {
        page.histogram(
            "offtake_commit_to_kafka_seconds",
            "From commit in the source to acknowledged by Kafka.",
            latency,
        );
    }
    if let Some(latency) = &status.commit_to_subscriber {
        page.histogram(
            "offtake_commit_to_subscriber_seconds",
            "From commit in the source to sent to a subscriber that has once caught up.",
            latency,
        );
    }
}

fn source(page: &mut Page, status: &Status) {
    let source = &status.source;
    page.one(
        "offtake_slot_lag_bytes",
        "gauge",
        "Write-ahead log between the server's end, as last heard, and what is durable here.",
        source.slot_lag_bytes,
    );
    page.one(
        "offtake_slot_lag_seconds",
        "gauge",
        "Age of the newest durable transaction while the source is ahead, and at least the time \
         without the database; 0 when caught up.",
        source.slot_lag_seconds,
    );
    page.one(
        "offtake_slot_retained_wal_bytes",
        "gauge",
        "Write-ahead log that the slot keeps on the database's disk.",
        source.retained_wal_bytes,
    );
    page.family("offtake_slot_wal_status", "gauge", "1 for the slot's wal_status.");
    if let Some(wal_status) = &source.wal_status {
        page.sample("offtake_slot_wal_status", &[("wal_status", wal_status)], 1);
    }
    page.one(
        "offtake_source_connected",
        "gauge",
        "1 while there is a connection to the database.",
        u8::from(source.connected),
    );
    page.one(
        "offtake_source_late_tables",
        "gauge",
        "Tables created since the start, captured from the next restart on.",
        source.late_tables.len(),
    );
    page.one(
        "offtake_source_reconnects_total",
        "counter",
        "Times that the connection to the database was lost and tried again.",
        source.reconnects,
    );
    if let Some(snapshot) = &source.snapshot {
        let labels = [("table", snapshot.table.as_str())];
        page.family("offtake_snapshot_rows", "gauge", "Rows of the table copied so far.");
        page.sample("offtake_snapshot_rows", &labels, snapshot.rows);
        page.family(
            "offtake_snapshot_rows_estimate",
            "gauge",
            "Rows of the table as the server estimates; 0 where it never analysed it.",
        );
        page.sample("offtake_snapshot_rows_estimate", &labels, snapshot.estimate);
    }
}

fn log(page: &mut Page, status: &Status) {
    let log = &status.log;
    page.one("offtake_log_bytes", "gauge", "Size of the log on disk.", log.bytes);
    page.one("offtake_log_segments", "gauge", "Segments of the log.", log.segments);
    page.one(
        "offtake_log_last_sequence",
        "gauge",
        "Sequence of the last durable change.",
        log.last_sequence,
    );
    page.one(
        "offtake_log_earliest_sequence",
        "gauge",
        "First sequence that the log still holds.",
        log.earliest_sequence,
    );
    page.one(
        "offtake_log_blocked",
        "gauge",
        "1 while the log takes nothing (size limit or no disk space).",
        u8::from(log.blocked.is_some()),
    );
    page.one("offtake_log_fsyncs_total", "counter", "Times that data was synced.", log.fsyncs);
    page.one(
        "offtake_log_fsync_seconds_total",
        "counter",
        "Time spent syncing.",
        log.fsync_seconds,
    );
}

fn plugins(page: &mut Page, status: &Status) {
    type Figure = fn(&PluginView) -> u64;
    let families: [(&str, &str, Figure); 5] = [
        ("offtake_plugin_changes_total", "Changes handed to the plugin.", |it| it.changes),
        (
            "offtake_plugin_nanoseconds_total",
            "Time in the plugin, copying included; divided by changes: nanoseconds a change.",
            |it| it.nanoseconds,
        ),
        ("offtake_plugin_emitted_total", "Changes that the plugin made of others.", |it| {
            it.emitted
        }),
        ("offtake_plugin_failed_total", "Changes that the plugin failed at.", |it| it.failed),
        (
            "offtake_plugin_restarts_total",
            "Instances of the plugin that were replaced after a fault.",
            |it| it.restarts,
        ),
    ];
    for (name, help, figure) in families {
        page.family(name, "counter", help);
        for plugin in &status.plugins {
            page.sample(name, &[("plugin", &plugin.name)], figure(plugin));
        }
    }
    states(page, status);
}

/// What plugins keep; nothing where none keeps anything.
fn states(page: &mut Page, status: &Status) {
    type Figure = fn(&StateView) -> u64;
    let families: [(&str, &str, Figure); 3] = [
        ("offtake_plugin_state_keys", "Entries that the plugin keeps.", |it| it.keys),
        ("offtake_plugin_state_bytes", "What they count against the quota.", |it| it.bytes),
        ("offtake_plugin_state_quota_bytes", "What the plugin may keep.", |it| it.quota),
    ];
    let kept = status.plugins.iter().filter_map(|plugin| Some((plugin, plugin.state.as_ref()?)));
    let kept: Vec<(&PluginView, &StateView)> = kept.collect();
    for (name, help, figure) in families.into_iter().filter(|_| !kept.is_empty()) {
        page.family(name, "gauge", help);
        for (plugin, state) in &kept {
            page.sample(name, &[("plugin", &plugin.name)], figure(state));
        }
    }
}

fn sinks(page: &mut Page, status: &Status) {
    if let Some(kafka) = &status.kafka {
        page.one(
            "offtake_kafka_cursor_sequence",
            "gauge",
            "Everything up to this sequence is acknowledged by Kafka.",
            kafka.sequence,
        );
        page.one(
            "offtake_kafka_lag_changes",
            "gauge",
            "Changes in the log that Kafka has not acknowledged.",
            kafka.lag_changes,
        );
        page.one(
            "offtake_kafka_records_total",
            "counter",
            "Records acknowledged by Kafka.",
            kafka.acknowledged,
        );
        page.one(
            "offtake_kafka_bytes_total",
            "counter",
            "Bytes of keys and values handed to the client, repetitions included.",
            kafka.bytes,
        );
        page.one(
            "offtake_kafka_dead_letters_total",
            "counter",
            "Changes whose message was larger than the topic takes and that became dead letters.",
            kafka.dead_letters,
        );
        page.one(
            "offtake_kafka_halted",
            "gauge",
            "1 when the sink has halted.",
            u8::from(kafka.halted.is_some()),
        );
        page.family("offtake_kafka_waiting", "gauge", "1 for the code of what the sink waits for.");
        let waits_for = kafka.waits.as_ref().map(|waits| waits.code.as_ref());
        for reason in WaitReason::ALL {
            let code = reason.code();
            let waits = u8::from(waits_for == Some(code));
            page.sample("offtake_kafka_waiting", &[("code", code)], waits);
        }
        page.one(
            "offtake_kafka_producers_replaced_total",
            "counter",
            "Times that the producer was built anew after an error.",
            kafka.producers_replaced,
        );
        kafka::metrics(page, &kafka.client);
        kafka.delivery.write(page);
    }
    page.one(
        "offtake_grpc_changes_total",
        "counter",
        "Changes sent to subscribers, each counted once a subscriber.",
        status.grpc.changes,
    );
    page.one(
        "offtake_grpc_bytes_total",
        "counter",
        "Bytes sent to subscribers.",
        status.grpc.bytes,
    );
    page.one("offtake_subscribers", "gauge", "Open gRPC subscriptions.", status.subscribers.len());
    page.family(
        "offtake_subscriber_lag_changes",
        "gauge",
        "Changes that a subscriber has not been sent.",
    );
    for subscriber in &status.subscribers {
        let id = subscriber.id.to_string();
        let labels = [("subscriber", id.as_str()), ("peer", subscriber.peer.as_str())];
        page.sample("offtake_subscriber_lag_changes", &labels, subscriber.lag_changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::Status;

    #[test]
    fn the_operators_page_lists_every_metric_and_no_other() {
        let page = render(&Status::sample());
        let mut rendered: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let guide = include_str!("../../OPERATING.md");
        let mut listed: Vec<&str> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("offtake_"))
            .collect();
        rendered.sort_unstable();
        listed.sort_unstable();
        assert_eq!(rendered, listed);
    }

    #[test]
    fn the_operators_page_says_where_each_figure_is_in_the_status() {
        let status = serde_json::to_value(Status::sample()).unwrap();
        let guide = include_str!("../../OPERATING.md");
        let rows = guide.lines().filter(|line| line.starts_with("| `offtake_"));
        for row in rows {
            let path = row.rsplit('`').nth(1).unwrap();
            let mut at = &status;
            for key in path.split('.') {
                let list = key.strip_suffix("[]");
                at = at.get(list.unwrap_or(key)).unwrap_or_else(|| panic!("no {path}: {row}"));
                if list.is_some() {
                    at = &at[0];
                }
            }
        }
    }

    #[test]
    fn a_label_value_cannot_break_out_of_its_quotes() {
        let mut page = Page { text: String::new() };
        page.sample("m", &[("l", "a\"b\\c\nd")], 1);
        assert_eq!(page.text, "m{l=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
