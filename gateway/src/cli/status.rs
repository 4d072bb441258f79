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
  offtake status --json | jq .source         for scripts
  offtake status --address 127.0.0.1:7071    without a configuration file

Exit status: 0 while changes make progress, 1 when starting, halted, blocked, stopping or not there.")]
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
        return Exit::with(ExitCode::Failed, format!("{address} answered something else"));
    };
    if args.json {
        println!("{status}");
    } else {
        print!("{}", readable(&value, std::io::stdout().is_terminal()));
    }
    let state = text(&value, "state");
    let runs = state == "RUNNING" || state == "SNAPSHOT";
    let well = runs && value["log"]["blocked"].is_null();
    Exit::code(if well { ExitCode::Done } else { ExitCode::Failed })
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
    let (paint, reset) = match (color, state.as_str()) {
        (false, _) => ("", ""),
        (true, "RUNNING" | "SNAPSHOT") => ("\x1b[32m", "\x1b[0m"),
        (true, _) => ("\x1b[31m", "\x1b[0m"),
    };
    let name = text(status, "name");
    let uptime = text(status, "uptime_seconds");
    let _ = writeln!(out, "{name}: {paint}{state}{reset}, up {uptime} s");
    if state == "HALTED" {
        let _ = writeln!(out, "  {}: {}", text(status, "code"), text(status, "cause"));
        let _ = writeln!(out, "  next: {}", text(status, "next_step"));
    }
    source(&mut out, &status["source"]);
    log(&mut out, &status["log"]);
    for plugin in status["plugins"].as_array().into_iter().flatten() {
        let changes = plugin["changes"].as_u64().unwrap_or(0);
        let each = plugin["nanoseconds"].as_u64().unwrap_or(0) / changes.max(1);
        let _ = writeln!(
            out,
            "plugin  {}: {changes} changes, {each} ns each, digest {:.12}",
            text(plugin, "name"),
            text(plugin, "digest"),
        );
    }
    sinks(&mut out, status);
    out
}

fn source(out: &mut String, source: &Value) {
    let _ = writeln!(
        out,
        "source  {}, slot {}: durable {}, server at {}, lag {} in {:.1} s",
        text(source, "state"),
        text(source, "slot"),
        text(source, "durable_lsn"),
        text(source, "server_lsn"),
        size(&source["slot_lag_bytes"]),
        source["slot_lag_seconds"].as_f64().unwrap_or(0.0),
    );
    let _ = writeln!(
        out,
        "        retained WAL {}, wal_status {}, reconnected {} times",
        size(&source["retained_wal_bytes"]),
        text(source, "wal_status"),
        text(source, "reconnects"),
    );
    if !source["last_error"].is_null() {
        let _ = writeln!(out, "        last error {}", text(source, "last_error"));
    }
    let snapshot = &source["snapshot"];
    if !snapshot.is_null() {
        let _ = writeln!(
            out,
            "        snapshot of {}: {} of about {} rows, {} tables left",
            text(snapshot, "table"),
            text(snapshot, "rows"),
            text(snapshot, "estimate"),
            text(snapshot, "tables_left"),
        );
    }
}

fn log(out: &mut String, log: &Value) {
    let _ = writeln!(
        out,
        "log     {} in {} segments, sequences {} to {}",
        size(&log["bytes"]),
        text(log, "segments"),
        text(log, "earliest_sequence"),
        text(log, "last_sequence"),
    );
    if !log["blocked"].is_null() {
        let _ = writeln!(out, "        BLOCKED: {}", text(log, "blocked"));
    }
}

fn sinks(out: &mut String, status: &Value) {
    let kafka = &status["kafka"];
    if !kafka.is_null() {
        let _ = writeln!(
            out,
            "kafka   {}: sequence {}, {} changes behind, {} records",
            text(kafka, "state"),
            text(kafka, "sequence"),
            text(kafka, "lag_changes"),
            text(kafka, "acknowledged"),
        );
        for key in ["last_error", "halt"] {
            if !kafka[key].is_null() {
                let _ = writeln!(out, "        {}", text(kafka, key));
            }
        }
    }
    for subscriber in status["subscribers"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "gRPC    {} from {}: sequence {}, {} changes behind",
            subscriber["streams"],
            text(subscriber, "peer"),
            text(subscriber, "sequence"),
            text(subscriber, "lag_changes"),
        );
    }
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
}
