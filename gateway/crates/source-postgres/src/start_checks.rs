//! Whether server and slot are the ones that the log was written from. Every mismatch halts: what
//! would follow is a silent gap or a second truth, and only a person knows which.

use std::time::Duration;

use offtake_change::Lsn;
use offtake_proto::v1::{SourceIdentity, SourcePosition};

use crate::SourceError;
use crate::catalog::{Server, Table};
use crate::progress::{SnapshotStates, lsn};
use crate::run::SourceOptions;
use crate::session::{Session, SqlRow, quote_identifier, quote_table};
use crate::slot::{SlotFacts, SystemIdentity, slot_facts};

/// How long a slot may be in use by somebody else, beyond the server's patience with a client that
/// is gone (`wal_sender_timeout`): a walsender left over ends within it, another gateway does not.
const ACTIVE_GRACE: Duration = Duration::from_secs(10);
/// The patience of a server that has none set.
const ENDLESS_PATIENCE: Duration = Duration::from_secs(120);
const ACTIVE_POLL: Duration = Duration::from_millis(100);

/// How far the log is durable.
pub(crate) fn durable(position: Option<&SourcePosition>) -> Lsn {
    let Some(position) = position else { return Lsn::ZERO };
    lsn(position.end.as_ref()).max(lsn(position.idle.as_ref()))
}

/// Compares server, database, slot and publication with those in the log.
pub(crate) fn check_identity(
    options: &SourceOptions,
    position: Option<&SourcePosition>,
    system: &SystemIdentity,
) -> Result<(), SourceError> {
    let Some(expected) = position.and_then(|position| position.source.as_ref()) else {
        return Ok(());
    };
    if expected.system_id != system.system_id {
        return Err(SourceError::SystemMismatch {
            expected: expected.system_id.clone(),
            found: system.system_id.clone(),
        });
    }
    if expected.timeline != system.timeline {
        return Err(SourceError::TimelineMismatch {
            expected: expected.timeline,
            found: system.timeline,
        });
    }
    for (what, expected, found) in [
        ("database", &expected.database, &options.connect.database),
        ("slot", &expected.slot, &options.slot),
        ("publication", &expected.publication, &options.publication),
    ] {
        if expected != found {
            return Err(SourceError::IdentityMismatch {
                what,
                expected: expected.clone(),
                found: found.clone(),
            });
        }
    }
    Ok(())
}

/// A transaction of which the log has the first rows is only skipped into while the server sends
/// it with the same rows.
pub(crate) fn check_partial(
    position: Option<&SourcePosition>,
    identity: &SourceIdentity,
) -> Result<(), SourceError> {
    let Some(position) = position else { return Ok(()) };
    let (Some(partial), Some(source)) = (&position.partial, &position.source) else {
        return Ok(());
    };
    if source.options == identity.options && source.publication == identity.publication {
        return Ok(());
    }
    Err(SourceError::PartialMismatch {
        rows: partial.next_row,
        transaction: partial.transaction_id.clone(),
        commit: lsn(partial.commit.as_ref()),
        found: "it with other options or another publication".to_owned(),
    })
}

/// Whether the log says that a slot is about to be created, and not yet that it was: the process
/// ended in between, and a slot that exists now is ours. `end`: the end of the last transaction in
/// the log; idle positions are there before the slot is. What the log says of tables that are not
/// captured any more, nobody will put right.
pub(crate) fn is_slot_announced(end: Lsn, states: &SnapshotStates, tables: &[Table]) -> bool {
    end == Lsn::ZERO
        && tables.iter().any(|table| {
            states
                .get(&table.namespace, &table.name)
                .is_some_and(|known| known.consistent_point.is_none())
        })
}

/// Compares the slot with the log. `announced`: the log says that the slot is about to be created.
pub(crate) fn check_slot(
    options: &SourceOptions,
    facts: Option<&SlotFacts>,
    log_is_empty: bool,
    announced: bool,
    durable: Lsn,
) -> Result<(), SourceError> {
    let slot = options.slot.clone();
    let Some(facts) = facts else {
        return if log_is_empty || announced {
            Ok(())
        } else {
            Err(SourceError::SlotMissing { slot })
        };
    };
    if log_is_empty {
        return Err(SourceError::SlotExists { slot });
    }
    if facts.plugin != "pgoutput" {
        let reason = match facts.plugin.as_str() {
            "" => "it is a physical slot".to_owned(),
            plugin => format!("its output plugin is {plugin}, pgoutput is needed"),
        };
        return Err(SourceError::SlotUnusable { slot, reason });
    }
    if facts.database != options.connect.database {
        let reason = format!("it belongs to database {}", facts.database);
        return Err(SourceError::SlotUnusable { slot, reason });
    }
    if facts.wal_status == "lost" || !facts.invalidation_reason.is_empty() {
        let reason = match facts.invalidation_reason.as_str() {
            "" => "the server removed the log that it needs".to_owned(),
            reason => format!("the server invalidated it ({reason})"),
        };
        return Err(SourceError::SlotLost { slot, reason });
    }
    if !announced && facts.confirmed_flush > durable {
        return Err(SourceError::SlotAhead { slot, confirmed: facts.confirmed_flush, durable });
    }
    Ok(())
}

/// Whether tables that are to be copied can be read, all of their rows: said before anything is
/// created, for a slot without a copy would hold the server's log for nothing.
pub(crate) async fn check_readable(
    session: &mut Session,
    user: &str,
    tables: &[Table],
) -> Result<(), SourceError> {
    if tables.is_empty() {
        return Ok(());
    }
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    let sql = format!(
        "SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE'), \
         has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ({}) \
         ORDER BY n.nspname, c.relname",
        oids.join(",")
    );
    let rows = session.query("ask for the right to read", &sql).await?;
    let names = |lacks: &dyn Fn(&SqlRow) -> bool, name: &dyn Fn(&SqlRow) -> String| {
        let mut names: Vec<String> = rows.iter().filter(|row| lacks(row)).map(name).collect();
        names.dedup();
        names.join(", ")
    };
    let plain = |row: &SqlRow| format!("{}.{}", row.text(0), row.text(1));
    let quoted = |row: &SqlRow| quote_table(row.text(0), row.text(1));
    let role = quote_identifier(user);
    let tables = names(&|row| !row.is_true(2) || !row.is_true(3), &plain);
    if !tables.is_empty() {
        let mut statement = String::new();
        let schemas = names(&|row| !row.is_true(2), &|row| quote_identifier(row.text(0)));
        if !schemas.is_empty() {
            statement.push_str(&format!("GRANT USAGE ON SCHEMA {schemas} TO {role}; "));
        }
        let refused = names(&|row| !row.is_true(3), &quoted);
        if !refused.is_empty() {
            statement.push_str(&format!("GRANT SELECT ON {refused} TO {role};"));
        }
        return Err(SourceError::Unreadable {
            user: user.to_owned(),
            tables,
            reason: "it lacks SELECT on them or USAGE on their schema",
            row_security: false,
            statement: statement.trim_end().to_owned(),
        });
    }
    let tables = names(&|row| row.is_true(4), &plain);
    if tables.is_empty() {
        return Ok(());
    }
    Err(SourceError::Unreadable {
        user: user.to_owned(),
        tables,
        reason: "row-level security hides rows from it",
        row_security: true,
        statement: format!("ALTER ROLE {role} BYPASSRLS;"),
    })
}

/// Waits for a walsender to leave the slot, and gives the slot as it is then.
pub(crate) async fn wait_until_free(
    session: &mut Session,
    server: &Server,
    slot: &str,
) -> Result<Option<SlotFacts>, SourceError> {
    let patience = match server.wal_sender_timeout_ms {
        0 => ENDLESS_PATIENCE,
        milliseconds => Duration::from_millis(milliseconds).min(ENDLESS_PATIENCE),
    };
    let deadline = tokio::time::Instant::now() + patience + ACTIVE_GRACE;
    loop {
        let facts = slot_facts(session, server.version, slot).await?;
        let Some(pid) = facts.as_ref().and_then(|facts| facts.active_pid) else {
            return Ok(facts);
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(SourceError::SlotActive { slot: slot.to_owned(), pid });
        }
        tokio::time::sleep(ACTIVE_POLL).await;
    }
}

/// What the server says when a stream cannot start, as the error that it means.
pub(crate) fn explain(error: SourceError, slot: &str) -> SourceError {
    let SourceError::Server { doing, error } = error else { return error };
    let slot = slot.to_owned();
    match error.sqlstate.as_str() {
        "42704" if error.message.contains("replication slot") => SourceError::SlotMissing { slot },
        // object_not_in_prerequisite_state: invalidated or without its log.
        "55000" => SourceError::SlotLost { slot, reason: error.message },
        "58P01" => SourceError::SlotLost { slot, reason: error.message },
        _ => SourceError::Server { doing, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ConnectOptions;

    fn options() -> SourceOptions {
        let connect: ConnectOptions = "postgres://me@h/shop".parse().unwrap();
        SourceOptions::new(connect, "shop")
    }

    fn facts(confirmed: u64) -> SlotFacts {
        SlotFacts {
            plugin: "pgoutput".to_owned(),
            database: "shop".to_owned(),
            confirmed_flush: Lsn(confirmed),
            ..SlotFacts::default()
        }
    }

    fn code(facts: Option<&SlotFacts>, empty: bool, announced: bool) -> &'static str {
        check_slot(&options(), facts, empty, announced, Lsn(100))
            .map_or_else(|error| error.code(), |()| "")
    }

    #[test]
    fn a_slot_must_fit_the_log() {
        assert_eq!(code(None, true, false), "");
        assert_eq!(code(None, false, true), "");
        assert_eq!(code(None, false, false), "PG_SLOT_MISSING");
        assert_eq!(code(Some(&facts(1)), true, false), "PG_SLOT_EXISTS");
        assert_eq!(code(Some(&facts(100)), false, false), "");
        assert_eq!(code(Some(&facts(101)), false, false), "PG_SLOT_AHEAD");
        assert_eq!(code(Some(&facts(101)), false, true), "");
        let lost = SlotFacts { wal_status: "lost".to_owned(), ..facts(1) };
        assert_eq!(code(Some(&lost), false, false), "PG_SLOT_LOST");
        let other = SlotFacts { database: "other".to_owned(), ..facts(1) };
        assert_eq!(code(Some(&other), false, false), "PG_SLOT_UNUSABLE");
        let other = SlotFacts { plugin: "test_decoding".to_owned(), ..facts(1) };
        assert_eq!(code(Some(&other), false, false), "PG_SLOT_UNUSABLE");
    }
}
