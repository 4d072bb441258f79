//! A log folder that was lost: going on from the cursor that Kafka holds.
//!
//! Only where there is no log at all, and exactly-once delivery left a cursor in Kafka. The new log
//! begins after the cursor's sequence and at its place in the source; the source then checks, as at
//! any start, that the server still has what follows. Subscribers' cursors are of the lost log and
//! end with a code.

use std::time::Duration;

use offtake_config::Config;
use offtake_log::{Beginning, LogError};
use offtake_sink_kafka::{KafkaError, KafkaOptions};

use super::halt::Halt;
use super::plugin_state;
use super::worker::log_halt;

/// How long the first start of all waits for a broker to say whether it is one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a new log begins; `None`: there is a log, or nothing to go on from.
///
/// # Errors
/// The cursor in Kafka cannot be gone on from; the log's folder cannot be used.
pub fn beginning(config: &Config, kafka: Option<&KafkaOptions>) -> Result<Option<Beginning>, Halt> {
    let wanted = config.kafka.as_ref().is_some_and(|it| it.delivery.exactly_once != Some(false));
    let Some(options) = kafka.filter(|_| wanted) else { return Ok(None) };
    let log = offtake_log::peek(&config.log.dir).map_err(|error| log_halt(&error))?;
    if log.is_some() {
        return Ok(None);
    }
    let cursor = match offtake_sink_kafka::published_cursor(options, PATIENCE) {
        Ok(cursor) => cursor,
        // A first start needs no Kafka. Where it is none, the slot that is there says so.
        Err(KafkaError::Unreachable { reason }) => {
            tracing::info!(reason, "kafka was not asked whether it holds a cursor");
            return Ok(None);
        }
        Err(error) => {
            return Err(Halt::new(error.code(), error.to_string(), error.next_step()));
        }
    };
    let Some(cursor) = cursor else { return Ok(None) };
    if let Some(plugin) = config.plugins.iter().find(|plugin| plugin.state_quota.is_some()) {
        return Err(plugin_state::lost(&plugin.name));
    }
    let Some(position) = cursor.position() else { return Ok(None) };
    if cursor.is_in_snapshot() {
        return Err(Halt::new(
            "LOG_LOST_IN_SNAPSHOT",
            "the log is gone, and Kafka's cursor stands inside the copy of a table",
            "give back the log folder, or start over with `offtake resync`",
        ));
    }
    let log_id = offtake_log::new_id().map_err(|error| log_halt(&error))?;
    prepare_folder(config)?;
    cursor
        .adopt(options, log_id)
        .map_err(|error| Halt::new(error.code(), error.to_string(), error.next_step()))?;
    tracing::warn!(
        sequence = cursor.sequence(),
        "there is no log, going on from the cursor that kafka holds"
    );
    Ok(Some(Beginning {
        log_id,
        after: cursor.sequence(),
        snapshots: vec![offtake_source_postgres::adopted(position)],
        position: position.clone(),
    }))
}

/// The folder as the log would make it: nobody else reads what changes hold.
fn prepare_folder(config: &Config) -> Result<(), Halt> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = &config.log.dir;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| {
        log_halt(&LogError::Io { action: "make", file: dir.display().to_string(), source })
    })
}
