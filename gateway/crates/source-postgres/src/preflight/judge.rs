//! The verdict on server, slot and publication.

use super::facts::Facts;
use super::{Finding, judge_tables};
use crate::SourceError;
use crate::progress::{Resume, SnapshotStates, lsn};
use crate::publication::Publication;
use crate::run::SourceOptions;
use crate::start_checks;
use offtake_change::Lsn;

/// A limit on retained log below this is used up by a short outage of a busy database.
const SMALL_WAL_LIMIT_MB: i64 = 1024;
/// Names that a line of the report lists before it says how many more there are.
const LISTED: usize = 8;

/// Judges everything.
pub(crate) fn judge(
    facts: &Facts,
    options: &SourceOptions,
    resume: &Resume,
    create_publication: bool,
) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "connection",
        format!("{}, database {}", facts.address, facts.server.database),
    )];
    findings.push(Finding::ok("version", format!("PostgreSQL {}", facts.server.version_text)));
    findings.extend(server(facts));
    findings.push(replication(facts, options, resume));
    findings.extend(capacity(facts));
    findings.extend(retention(facts));
    findings.extend(slot(facts, options, resume));
    findings.extend(judge_tables::tables(facts, options, resume));
    findings.extend(publication(facts, options, create_publication));
    findings
}

fn server(facts: &Facts) -> Vec<Finding> {
    let level = &facts.server.wal_level;
    let mut findings = vec![match level.as_str() {
        "logical" => Finding::ok("wal_level", "logical"),
        other => Finding::from_error("wal_level", &SourceError::WalLevel(other.to_owned())),
    }];
    if facts.settings.standby {
        findings.push(Finding::warning(
            "server",
            "PG_STANDBY",
            "it is a standby: no publication can be created here, and creating the slot waits for \
             the primary",
            "create the publication on the primary, and set hot_standby_feedback = on here",
        ));
    }
    if facts.settings.old_prepared > 0 {
        findings.push(Finding::warning(
            "prepared transactions",
            "PG_PREPARED_TRANSACTION",
            format!(
                "{} older than an hour: creating a slot waits for them, and a slot keeps the log \
                 that they need",
                facts.settings.old_prepared
            ),
            "finish them: SELECT gid, prepared FROM pg_prepared_xacts",
        ));
    }
    findings
}

fn replication(facts: &Facts, options: &SourceOptions, resume: &Resume) -> Finding {
    let item = "replication";
    let system = match &facts.replication {
        Ok(system) => system,
        Err(error) => {
            let step = match error.code() {
                "PG_LOGIN" | "PG_RIGHTS" => format!(
                    "allow it: ALTER ROLE {} REPLICATION (managed databases grant a role of their \
                     own instead), and a line for the database in pg_hba.conf",
                    options.connect.user
                ),
                _ => error.next_step().into_owned(),
            };
            let text = format!("no replication connection can be opened: {error}");
            return Finding::error(item, error.code(), text, step);
        }
    };
    let position = resume.position.as_ref();
    match start_checks::check_identity(options, position, system) {
        Ok(()) => Finding::ok(
            item,
            format!("may replicate; system {}, timeline {}", system.system_id, system.timeline),
        ),
        Err(error) => Finding::from_error(item, &error),
    }
}

/// Free slots and walsenders.
fn capacity(facts: &Facts) -> [Finding; 2] {
    let settings = &facts.settings;
    let free = |max: u32, used: u32| max.saturating_sub(used);
    let free_slots = free(settings.max_slots, settings.used_slots);
    let text = format!("{free_slots} of {} free", settings.max_slots);
    let raise = |name: &str| {
        format!("raise {name} (the server restarts for it), or drop what is not used any more")
    };
    let slots = match (free_slots, &facts.slot) {
        (0, None) => Finding::error(
            "replication slots",
            "PG_NO_FREE_SLOT",
            format!("{text}, and one is needed"),
            raise("max_replication_slots"),
        ),
        (0, Some(_)) => Finding::warning(
            "replication slots",
            "PG_NO_FREE_SLOT",
            format!("{text}: a cut-off snapshot or an added table needs one for a while"),
            raise("max_replication_slots"),
        ),
        _ => Finding::ok("replication slots", text),
    };
    let free_senders = free(settings.max_walsenders, settings.used_walsenders);
    let text = format!("{free_senders} of {} free", settings.max_walsenders);
    let ours = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    let walsenders = match (free_senders, ours) {
        (0, false) => Finding::error(
            "walsenders",
            "PG_NO_FREE_WALSENDER",
            format!("{text}, and one is needed"),
            raise("max_wal_senders"),
        ),
        (0 | 1, _) => Finding::warning(
            "walsenders",
            "PG_NO_FREE_WALSENDER",
            format!("{text}: a snapshot needs a second one for a while"),
            raise("max_wal_senders"),
        ),
        _ => Finding::ok("walsenders", text),
    };
    [slots, walsenders]
}

/// What makes the server keep or give up the log that a slot needs.
fn retention(facts: &Facts) -> Vec<Finding> {
    let limit = facts.settings.max_slot_wal_keep_mb;
    let mut findings = vec![match limit {
        ..0 => Finding::ok(
            "max_slot_wal_keep_size",
            "no limit: while the gateway is stopped, the server keeps all its log",
        ),
        0..SMALL_WAL_LIMIT_MB => Finding::warning(
            "max_slot_wal_keep_size",
            "PG_SMALL_WAL_LIMIT",
            format!("{limit} MB: a gateway that is behind by more loses its slot for good"),
            "raise it to what the database writes in the longest outage to be survived",
        ),
        _ => Finding::ok("max_slot_wal_keep_size", format!("{limit} MB")),
    }];
    match facts.settings.idle_slot_timeout.as_str() {
        "" => {}
        "0" => findings.push(Finding::ok("idle_replication_slot_timeout", "off")),
        timeout => findings.push(Finding::warning(
            "idle_replication_slot_timeout",
            "PG_IDLE_SLOT_TIMEOUT",
            format!("{timeout}: a gateway that is stopped for longer loses its slot for good"),
            "set it to 0, or to more than the longest outage to be survived",
        )),
    }
    findings
}

fn slot(facts: &Facts, options: &SourceOptions, resume: &Resume) -> Vec<Finding> {
    let item = format!("slot {}", options.slot);
    let states = SnapshotStates::new(&resume.snapshots);
    let durable = start_checks::durable(resume.position.as_ref());
    let end = resume.position.as_ref().map_or(Lsn::ZERO, |position| lsn(position.end.as_ref()));
    let announced = start_checks::is_slot_announced(end, &states, &facts.tables);
    let empty = resume.log_is_empty && states.is_empty();
    if let Err(error) =
        start_checks::check_slot(options, facts.slot.as_ref(), empty, announced, durable)
    {
        return vec![Finding::from_error(item, &error)];
    }
    let Some(slot) = &facts.slot else {
        return vec![Finding::ok(item, "does not exist yet, and will be created")];
    };
    let kept = format!("the server keeps {} for it", show_bytes(slot.retained_bytes));
    let mut findings = Vec::new();
    if let Some(pid) = slot.active_pid {
        findings.push(match facts.slot_reader.as_deref() {
            Some(reader) if reader == options.connect.application_name => Finding::warning(
                &item,
                "PG_SLOT_ACTIVE",
                format!("a running gateway reads from it (server process {pid})"),
                "nothing, if that is the one that you run; a second one would have to wait",
            ),
            reader => {
                let error = SourceError::SlotActive { slot: options.slot.clone(), pid };
                let who = reader.filter(|reader| !reader.is_empty()).unwrap_or("unknown");
                let text = format!("{error} (application {who})");
                Finding::error(&item, error.code(), text, error.next_step())
            }
        });
    }
    findings.push(match slot.wal_status.as_str() {
        "unreserved" => Finding::warning(
            item,
            "PG_SLOT_UNRESERVED",
            format!("wal_status unreserved: {kept}, and may lose it at its next checkpoint"),
            "start the gateway now, and raise max_slot_wal_keep_size",
        ),
        "extended" => Finding::warning(
            item,
            "PG_SLOT_EXTENDED",
            format!("wal_status extended: {kept}, more than max_wal_size"),
            "start the gateway; it catches up by itself",
        ),
        _ => Finding::ok(item, format!("fits the log; {kept}")),
    });
    findings
}

fn publication(facts: &Facts, options: &SourceOptions, create: bool) -> Vec<Finding> {
    let item = format!("publication {}", options.publication);
    let unowned: Vec<String> =
        names(facts, |table| facts.details.get(&table.oid).is_some_and(|details| !details.owned));
    let Some(found) = &facts.publication else {
        return vec![missing_publication(facts, options, create, item, &unowned)];
    };
    let mut findings = settings(facts, found, &item);
    let missing = names(facts, |table| found.table(&table.namespace, &table.name).is_none());
    if missing.is_empty() {
        findings.push(Finding::ok(&item, format!("has all {} tables", facts.tables.len())));
    } else if create && found.owned && !missing.iter().any(|table| unowned.contains(table)) {
        findings.push(Finding::ok(&item, format!("will be given {}", list(&missing))));
    } else {
        let reason = if !create {
            "create_publication is false"
        } else if !found.owned {
            "this role does not own it"
        } else {
            "this role does not own the tables"
        };
        findings.push(Finding::error(
            &item,
            "PG_PUBLICATION",
            format!("does not have {}, and {reason}", list(&missing)),
            format!(
                "run as its owner: ALTER PUBLICATION {} ADD TABLE {}; or exclude them",
                options.publication,
                missing.join(", ")
            ),
        ));
    }
    findings
}

fn missing_publication(
    facts: &Facts,
    options: &SourceOptions,
    create: bool,
    item: String,
    unowned: &[String],
) -> Finding {
    let reason = if !create {
        "create_publication is false".to_owned()
    } else if facts.settings.standby {
        "this server is a standby".to_owned()
    } else if !facts.may_create {
        format!("this role has no CREATE right on database {}", facts.server.database)
    } else if !unowned.is_empty() {
        format!("this role does not own {}", list(unowned))
    } else {
        return Finding::ok(
            item,
            "does not exist yet, and will be created for the captured tables",
        );
    };
    let tables: Vec<String> = names(facts, |_| true);
    Finding::error(
        item,
        "PG_PUBLICATION",
        format!("does not exist and cannot be created: {reason}"),
        format!(
            "run as owner of the tables: CREATE PUBLICATION {} FOR TABLE {} WITH \
             (publish_via_partition_root = true)",
            options.publication,
            if tables.is_empty() { "...".to_owned() } else { tables.join(", ") }
        ),
    )
}

/// Settings of a publication with which changes would not come, or not whole.
fn settings(facts: &Facts, found: &Publication, item: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (truncate, lost): (Vec<&str>, Vec<&str>) =
        found.missing_operations.iter().partition(|operation| **operation == "truncate");
    let alter = "ALTER PUBLICATION ... SET (publish = 'insert, update, delete, truncate')";
    if !lost.is_empty() {
        let text = format!("leaves out every {}: those changes would be lost", lost.join(", "));
        findings.push(Finding::error(item, "PG_PUBLICATION", text, alter));
    }
    if !truncate.is_empty() {
        let text = "leaves out TRUNCATE: readers keep rows that the database has not any more";
        findings.push(Finding::warning(item, "PG_PUBLICATION_TRUNCATE", text, alter));
    }
    let partitioned = names(facts, |table| table.partitioned);
    if !found.via_partition_root && !partitioned.is_empty() {
        findings.push(Finding::error(
            item,
            "PG_PUBLICATION",
            format!("publish_via_partition_root is off, and {} partitioned", are(&partitioned)),
            "ALTER PUBLICATION ... SET (publish_via_partition_root = true)",
        ));
    }
    if found.all_tables {
        findings.push(Finding::warning(
            item,
            "PG_PUBLICATION_ALL_TABLES",
            "is FOR ALL TABLES: UPDATE and DELETE fail on every table of the database without a \
             replica identity, captured or not",
            "publish the captured tables only",
        ));
    }
    findings.extend(narrowed(facts, found, item));
    findings
}

/// Row filters and column lists: what they leave out never arrives, and nothing tells.
fn narrowed(facts: &Facts, found: &Publication, item: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in &facts.tables {
        let Some(published) = found.table(&table.namespace, &table.name) else { continue };
        let name = table.qualified_name();
        if published.row_filter.is_some() {
            findings.push(Finding::warning(
                item,
                "PG_ROW_FILTER",
                format!("{name} has a row filter: other rows never arrive"),
                "remove it (ALTER PUBLICATION ... SET TABLE), unless that is what you want",
            ));
        }
        let Some(columns) = &published.columns else { continue };
        let left_out: Vec<String> = table
            .columns
            .iter()
            .filter(|column| !column.generated && !columns.contains(&column.name))
            .map(|column| column.name.clone())
            .collect();
        if !left_out.is_empty() {
            findings.push(Finding::warning(
                item,
                "PG_COLUMN_LIST",
                format!("{name} has a column list without {}", list(&left_out)),
                "remove it (ALTER PUBLICATION ... SET TABLE), unless that is what you want",
            ));
        }
    }
    findings
}

/// Qualified names of the captured tables with a property.
pub(crate) fn names(facts: &Facts, which: impl Fn(&crate::catalog::Table) -> bool) -> Vec<String> {
    facts.tables.iter().filter(|table| which(table)).map(|table| table.qualified_name()).collect()
}

/// Some names, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Some names with their verb.
fn are(names: &[String]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "is" } else { "are" })
}

/// Bytes as a person reads them.
pub(crate) fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}
