//! `offtake status`: what a running gateway says about itself.

use std::fmt::Write;
use std::io::IsTerminal;
use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;

use super::{ConfigArgs, Exit, ExitCode, http};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offtake status                             what the gateway of ./offtake.toml is doing
  offtake status --json | jq .source         for scripts; the admin page /status is the same
  offtake status --address 127.0.0.1:7071    without a configuration file

What a state, a code or a figure means is in gateway/OPERATING.md.

Exit status: 0 while changes make progress; 1 when they do not: starting, reconnecting to the
database, log blocked, Kafka waiting for its brokers, pipeline or Kafka halted, stopping, or no
gateway answers; 2 wrong usage or configuration.")]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The gateway's admin address; default: [admin] listen of the configuration file.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,
    /// Print the JSON of `/status`.
    #[arg(long)]
    json: bool,
}

/// Runs `status`.
pub fn execute(args: &StatusArgs) -> Exit {
    let address = match args.address {
        Some(address) => address,
        None => match super::run::load(&args.config) {
            Ok(config) => match config.admin {
                Some(admin) => admin.listen,
                None => {
                    return Exit::configuration(
                        "this configuration has no [admin] listener; name one with --address",
                    );
                }
            },
            Err(exit) => return exit,
        },
    };
    let status = match http::get(address, "/status") {
        Ok(body) => body,
        Err(error) => {
            return Exit::with(
                ExitCode::Failed,
                format!(
                    "error[STATUS_UNREACHABLE]: no gateway answers at {address}: {error}\n  next: \
                     start it with `offtake run`, or name its address with --address"
                ),
            );
        }
    };
    let Ok(value) = serde_json::from_str::<Value>(&status) else {
        let text = format!(
            "error[STATUS_MALFORMED]: {address} answers, and is no gateway's admin listener\n  next: \
             name its address with --address ([admin] listen, not [grpc] listen)"
        );
        return Exit::with(ExitCode::Failed, text);
    };
    if args.json {
        say!("{status}");
    } else {
        say!("{}", readable(&value, std::io::stdout().is_terminal()).trim_end());
    }
    Exit::code(if makes_progress(&value) { ExitCode::Done } else { ExitCode::Failed })
}

/// Whether changes go from the database into the log, and on to Kafka.
fn makes_progress(status: &Value) -> bool {
    let runs = status["state"] == "RUNNING" || status["state"] == "SNAPSHOT";
    runs && status["log"]["blocked"].is_null()
        && status["source"]["disconnected_seconds"].is_null()
        && status["kafka"]["state"] != "HALTED"
        && status["kafka"]["state"] != "WAITING"
}

fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn readable(status: &Value, color: bool) -> String {
    let mut out = String::new();
    let state = text(status, "state");
    let (paint, reset) = match (color, makes_progress(status)) {
        (false, _) => ("", ""),
        (true, true) => ("\x1b[32m", "\x1b[0m"),
        (true, false) => ("\x1b[31m", "\x1b[0m"),
    };
    let name = text(status, "name");
    let uptime = text(status, "uptime_seconds");
    let _ = writeln!(out, "{name}: {paint}{state}{reset}, up {uptime} s");
    if state == "HALTED" {
        halt(&mut out, "  ", status);
    }
    source(&mut out, &status["source"]);
    log(&mut out, &status["log"]);
    for it in status["plugins"].as_array().into_iter().flatten() {
        plugin(&mut out, it);
    }
    sinks(&mut out, status);
    out
}

fn plugin(out: &mut String, plugin: &Value) {
    let changes = plugin["changes"].as_u64().unwrap_or(0);
    let each = plugin["nanoseconds"].as_u64().unwrap_or(0) / changes.max(1);
    let _ = writeln!(
        out,
        "plugin  {}: {}, {each} ns each, digest {:.12}",
        text(plugin, "name"),
        count(&plugin["changes"], "change"),
        text(plugin, "digest"),
    );
    limits(out, &plugin["limits"]);
    if let Some(state) = plugin.get("state").filter(|state| state.is_object()) {
        let (bytes, quota) = (size(&state["bytes"]), size(&state["quota"]));
        let _ = writeln!(out, "        keeps {}, {bytes} of {quota}", count(&state["keys"], "key"));
    }
    let failed = plugin["failed"].as_u64().unwrap_or(0);
    if failed > 0 {
        let restarts = count(&plugin["restarts"], "time");
        let next = match plugin["on_error"].as_str() {
            Some("dead_letter") => "; next: offtake dead-letters list",
            _ => "",
        };
        let _ = writeln!(
            out,
            "        failed at {}, restarted {restarts}{next}",
            count(&plugin["failed"], "change")
        );
    }
}

/// What a plugin may take, by the keys of the configuration; an older gateway tells none of it.
fn limits(out: &mut String, limits: &Value) {
    if !limits.is_object() {
        return;
    }
    let number = |key: &str| limits[key].as_u64().unwrap_or(0);
    let _ = write!(
        out,
        "        deadline {} ms, memory {}, stack {}, table {}, output {}, fan_out {}, host_calls {}, \
         log_lines {}, isolation {} ms, ",
        number("deadline_ms"),
        size(&limits["memory"]),
        size(&limits["stack"]),
        number("table"),
        size(&limits["output"]),
        number("fan_out"),
        number("host_calls"),
        number("log_lines"),
        number("isolation_ms"),
    );
    let _ = match limits["breaker_percent"].as_u64() {
        Some(percent) => writeln!(out, "breaker {percent}%"),
        None => writeln!(out, "breaker off"),
    };
}

fn halt(out: &mut String, indent: &str, halted: &Value) {
    let _ = writeln!(out, "{indent}{}: {}", text(halted, "code"), text(halted, "cause"));
    let _ = writeln!(out, "{indent}next: {}", text(halted, "next_step"));
}

fn source(out: &mut String, source: &Value) {
    let slot = text(source, "slot");
    let (durable, server) = (text(source, "durable_lsn"), text(source, "server_lsn"));
    let lag = size(&source["slot_lag_bytes"]);
    match source["disconnected_seconds"].as_u64() {
        Some(seconds) => {
            let error = text(source, "last_error");
            let _ = writeln!(
                out,
                "source  reconnecting to the database since {seconds} s: {error}\n        slot \
                 {slot}: durable {durable}; before that the server was at {server}, lag {lag}",
            );
        }
        None => {
            let state = text(source, "state");
            let seconds = source["slot_lag_seconds"].as_f64().unwrap_or(0.0);
            let _ = writeln!(
                out,
                "source  {state}, slot {slot}: durable {durable}, server at {server}, lag {lag}, \
                 {seconds:.1} s",
            );
        }
    }
    // Until the server was first asked about the slot, there is nothing to tell.
    if source["wal_status"].is_string() {
        let _ = writeln!(
            out,
            "        retained WAL {}, wal_status {}",
            size(&source["retained_wal_bytes"]),
            text(source, "wal_status"),
        );
    }
    if source["reconnects"].as_u64() > Some(0) {
        let times = count(&source["reconnects"], "time");
        let _ = match &source["overcome_error"] {
            Value::String(error) => {
                writeln!(out, "        reconnected {times}, last after {error}")
            }
            _ => writeln!(out, "        tried to reconnect {times} since the start"),
        };
    }
    let late = names(&source["late_tables"]);
    if !late.is_empty() {
        let late = late.join(", ");
        let _ = writeln!(out, "        created since the start, captured after a restart: {late}");
    }
    snapshot(out, &source["snapshot"]);
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn snapshot(out: &mut String, snapshot: &Value) {
    if snapshot.is_null() {
        return;
    }
    let _ = writeln!(
        out,
        "        snapshot of {}: {} of {}, {} left",
        text(snapshot, "table"),
        count(&snapshot["rows"], "row"),
        match snapshot["estimate"].as_u64() {
            // The server estimates nothing for a table that was never analysed.
            None | Some(0) => "an unknown number".to_owned(),
            Some(estimate) => format!("about {estimate}"),
        },
        count(&snapshot["tables_left"], "table"),
    );
}

fn log(out: &mut String, log: &Value) {
    let _ =
        write!(out, "log     {} in {}", size(&log["bytes"]), count(&log["segments"], "segment"));
    // Sequences begin at 1: before the first change there is none.
    let _ = match log["last_sequence"].as_u64() {
        None | Some(0) => writeln!(out, ", no change yet"),
        Some(last) => writeln!(out, ", sequences {} to {last}", text(log, "earliest_sequence")),
    };
    if !log["blocked"].is_null() {
        let _ = writeln!(out, "        BLOCKED {}", text(log, "blocked"));
    }
}

fn sinks(out: &mut String, status: &Value) {
    let kafka = &status["kafka"];
    if !kafka.is_null() {
        let _ = writeln!(
            out,
            "kafka   {}: sequence {}, {} behind, {} acknowledged",
            text(kafka, "state"),
            text(kafka, "sequence"),
            count(&kafka["lag_changes"], "change"),
            count(&kafka["acknowledged"], "record"),
        );
        let throttle = kafka["client"]["throttle_ms"].as_u64().unwrap_or_default();
        if throttle > 0 {
            let _ = writeln!(out, "        held back by the brokers' quota, up to {throttle} ms");
        }
        if !kafka["code"].is_null() {
            halt(out, "        ", kafka);
        }
        if let Some(delivery) = kafka["delivery"].as_str() {
            let _ = writeln!(
                out,
                "        delivers {} (transactions {}): {} committed, {} aborted, {} cut",
                delivery.replace('_', " "),
                text(kafka, "eos"),
                text(&kafka["transactions"], "committed"),
                text(&kafka["transactions"], "aborted"),
                text(&kafka["transactions"], "cut"),
            );
        }
        if kafka["state"] != "HALTED" && !kafka["last_error"].is_null() {
            let _ = writeln!(out, "        waits because of {}", text(kafka, "last_error"));
        }
    }
    for subscriber in status["subscribers"].as_array().into_iter().flatten() {
        let streams = names(&subscriber["streams"]);
        let streams =
            if streams.is_empty() { "all streams".to_owned() } else { streams.join(", ") };
        let _ = writeln!(
            out,
            "gRPC    {streams} to {}: sequence {}, {} behind",
            text(subscriber, "peer"),
            text(subscriber, "sequence"),
            count(&subscriber["lag_changes"], "change"),
        );
    }
}

/// A number with what it counts.
fn count(number: &Value, what: &str) -> String {
    let number = number.as_u64().unwrap_or(0);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: &Value) -> String {
    let bytes = bytes.as_u64().unwrap_or(0);
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_halt_is_shown_with_code_cause_and_next_step() {
        let status = json!({
            "name": "shop", "state": "HALTED", "code": "PG_SLOT_MISSING", "cause": "the slot is gone",
            "next_step": "offtake resync", "uptime_seconds": 3, "source": {}, "log": {"bytes": 2048},
        });
        let text = readable(&status, false);
        assert!(text.contains("PG_SLOT_MISSING: the slot is gone"), "{text}");
        assert!(text.contains("next: offtake resync"), "{text}");
        assert!(text.contains("log     2.0 KiB"), "{text}");
    }

    fn running() -> Value {
        json!({
            "name": "shop", "state": "RUNNING", "uptime_seconds": 3,
            "source": {
                "state": "streaming", "slot": "offtake_shop", "durable_lsn": "0/10",
                "server_lsn": "0/20", "slot_lag_bytes": 16, "slot_lag_seconds": 0.0,
                "retained_wal_bytes": 0, "wal_status": null, "reconnects": 0,
                "disconnected_seconds": null, "last_error": null, "overcome_error": null,
            },
            "log": {"bytes": 2048, "segments": 1, "earliest_sequence": 1, "last_sequence": 0},
            "kafka": null,
            "subscribers": [
                {"streams": [], "peer": "127.0.0.1:1", "sequence": 1, "lag_changes": 1},
            ],
        })
    }

    #[test]
    fn a_lost_connection_is_told_with_its_time_and_error_and_is_no_progress() {
        let mut status = running();
        assert!(makes_progress(&status));
        status["source"]["disconnected_seconds"] = json!(12);
        status["source"]["last_error"] = json!("PG_UNREACHABLE: refused");
        status["source"]["reconnects"] = json!(3);
        assert!(!makes_progress(&status));
        let text = readable(&status, false);
        let told = "reconnecting to the database since 12 s: PG_UNREACHABLE: refused";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("tried to reconnect 3 times"), "{text}");
        // Afterwards it is past.
        status["source"]["disconnected_seconds"] = Value::Null;
        status["source"]["overcome_error"] = status["source"]["last_error"].take();
        assert!(makes_progress(&status));
        let text = readable(&status, false);
        assert!(text.contains("reconnected 3 times, last after PG_UNREACHABLE"), "{text}");
        assert!(!text.contains("reconnecting"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_one_is_no_plural() {
        let text = readable(&running(), false);
        assert!(!text.contains("wal_status") && !text.contains("[]"), "{text}");
        assert!(text.contains("all streams to 127.0.0.1:1"), "{text}");
        assert!(text.contains("1 segment, no change yet"), "{text}");
        assert!(text.contains("1 change behind"), "{text}");
        let mut status = running();
        status["source"]["snapshot"] =
            json!({"table": "public.t", "rows": 5, "estimate": 0, "tables_left": 1});
        let text = readable(&status, false);
        assert!(text.contains("5 rows of an unknown number, 1 table left"), "{text}");
    }

    #[test]
    fn a_halt_of_kafka_is_shown_as_one_of_the_pipeline_and_is_no_progress() {
        let mut status = running();
        status["kafka"] = json!({
            "state": "HALTED", "code": "KAFKA_TOPIC", "cause": "it is not there",
            "next_step": "create it", "sequence": 1, "lag_changes": 2, "acknowledged": 1,
        });
        assert!(!makes_progress(&status));
        let text = readable(&status, false);
        assert!(text.contains("KAFKA_TOPIC: it is not there"), "{text}");
        assert!(text.contains("next: create it") && text.contains("1 record "), "{text}");
        status["kafka"] = json!({
            "state": "WAITING", "code": "KAFKA_NO_LEADER", "cause": "partition 1 has no leader",
            "next_step": "start the brokers", "client": {"throttle_ms": 850},
        });
        assert!(!makes_progress(&status));
        let text = readable(&status, false);
        assert!(text.contains("KAFKA_NO_LEADER: partition 1 has no leader"), "{text}");
        assert!(text.contains("quota, up to 850 ms"), "{text}");
    }
}
