//! Verdicts on facts, without a server.

use std::collections::HashMap;

use offtake_change::Lsn;
use offtake_proto::v1;

use super::absent::{Absent, AbsentTable};
use super::facts::{Facts, Settings, TableDetails, Unfit};
use super::{Finding, Level, judge::judge, judge_tables};
use crate::SourceError;
use crate::catalog::{Server, Table, table};
use crate::connect::ConnectOptions;
use crate::error::ServerError;
use crate::glob::Selection;
use crate::progress::{Resume, position};
use crate::publication::{Publication, PublishedTable};
use crate::run::{SnapshotMode, SourceOptions};
use crate::slot::{SlotFacts, SystemIdentity};

fn options() -> SourceOptions {
    let connect: ConnectOptions = "postgres://me@h/shop".parse().unwrap();
    SourceOptions::new(connect, "shop")
}

fn published(name: &str) -> PublishedTable {
    PublishedTable {
        namespace: "public".to_owned(),
        name: name.to_owned(),
        row_filter: None,
        columns: Some(vec!["id".to_owned(), "note".to_owned()]),
    }
}

/// A database with which nothing is wrong, before the first start.
fn sound() -> Facts {
    let tables = vec![table(1, "customers"), table(2, "orders")];
    let details = |_: &Table| TableDetails { owned: true, bytes: 8192, ..TableDetails::default() };
    Facts {
        address: "h:5432".to_owned(),
        server: Server {
            version: 180_001,
            version_text: "18.1".to_owned(),
            wal_level: "logical".to_owned(),
            wal_sender_timeout_ms: 60_000,
            database: "shop".to_owned(),
        },
        settings: Settings {
            max_slots: 10,
            used_slots: 0,
            max_walsenders: 10,
            used_walsenders: 0,
            max_slot_wal_keep_mb: -1,
            idle_slot_timeout: "0".to_owned(),
            standby: false,
            old_prepared: 0,
        },
        replication: Ok(SystemIdentity { system_id: "7".to_owned(), timeline: 1, end: Lsn(100) }),
        slot: None,
        slot_reader: None,
        publication: None,
        may_create: true,
        details: tables.iter().map(|table| (table.oid, details(table))).collect::<HashMap<_, _>>(),
        selection: Selection::new(&["public.*"], &[] as &[&str]).unwrap(),
        names: tables.iter().map(|it| (it.oid, (it.namespace.clone(), it.name.clone()))).collect(),
        tables,
        definitions: Vec::new(),
        unreadable: Vec::new(),
        weak_leaves: Vec::new(),
        unfit: Vec::new(),
        absent: Absent::default(),
    }
}

fn new_log() -> Resume {
    Resume { log_is_empty: true, ..Resume::default() }
}

/// A log that reaches to a place.
fn log_to(end: u64) -> Resume {
    let source = v1::SourceIdentity {
        kind: "postgres".to_owned(),
        system_id: "7".to_owned(),
        timeline: 1,
        database: "shop".to_owned(),
        slot: "offtake_shop".to_owned(),
        publication: "offtake_shop".to_owned(),
        ..Default::default()
    };
    let end = Some(position(Lsn(end)));
    let position = v1::SourcePosition { source: Some(source), end, ..Default::default() };
    Resume { position: Some(position), ..Resume::default() }
}

fn slot_at(confirmed: u64) -> SlotFacts {
    SlotFacts {
        plugin: "pgoutput".to_owned(),
        database: "shop".to_owned(),
        confirmed_flush: Lsn(confirmed),
        wal_status: "reserved".to_owned(),
        ..SlotFacts::default()
    }
}

/// The codes of what is not as it should be.
fn faults(findings: &[Finding]) -> Vec<(Level, &'static str)> {
    let faults = findings.iter().filter(|finding| finding.level != Level::Ok);
    for fault in faults.clone() {
        assert!(!fault.next_step.is_empty() && !fault.code.is_empty(), "{fault:?}");
    }
    faults.map(|finding| (finding.level, finding.code)).collect()
}

/// The faults after one change to a sound database with an empty log.
fn with(change: impl FnOnce(&mut Facts)) -> Vec<(Level, &'static str)> {
    let mut facts = sound();
    change(&mut facts);
    faults(&judge(&facts, &options(), &new_log(), true))
}

/// The faults of a slot when the log reaches to 100.
fn with_slot(change: impl FnOnce(&mut Facts, &mut SlotFacts)) -> Vec<(Level, &'static str)> {
    let (mut facts, mut slot) = (sound(), slot_at(100));
    change(&mut facts, &mut slot);
    facts.slot = Some(slot);
    faults(&judge(&facts, &options(), &log_to(100), true))
}

fn with_publication(
    change: impl FnOnce(&mut Facts, &mut Publication),
) -> Vec<(Level, &'static str)> {
    let mut facts = sound();
    let mut publication = Publication {
        owned: true,
        via_partition_root: true,
        tables: vec![published("customers"), published("orders")],
        ..Publication::default()
    };
    change(&mut facts, &mut publication);
    facts.publication = Some(publication);
    faults(&judge(&facts, &options(), &new_log(), true))
}

const NOTHING: [(Level, &str); 0] = [];

#[test]
fn a_sound_database_has_no_fault() {
    assert_eq!(with(|_| ()), NOTHING);
    assert_eq!(with_slot(|_, _| ()), NOTHING);
    assert_eq!(with_publication(|_, _| ()), NOTHING);
}

#[test]
fn settings_of_the_server_are_judged() {
    use Level::{Error, Warning};
    assert_eq!(with(|f| f.server.wal_level = "replica".into()), [(Error, "PG_WAL_LEVEL")]);
    assert_eq!(with(|f| f.settings.used_slots = 10), [(Error, "PG_NO_FREE_SLOT")]);
    assert_eq!(with(|f| f.settings.used_walsenders = 10), [(Error, "PG_NO_FREE_WALSENDER")]);
    assert_eq!(with(|f| f.settings.used_walsenders = 9), [(Warning, "PG_NO_FREE_WALSENDER")]);
    assert_eq!(with(|f| f.settings.max_slot_wal_keep_mb = 64), [(Warning, "PG_SMALL_WAL_LIMIT")]);
    assert_eq!(with(|f| f.settings.max_slot_wal_keep_mb = 65_536), NOTHING);
    let timeout = with(|f| f.settings.idle_slot_timeout = "1h".into());
    assert_eq!(timeout, [(Warning, "PG_IDLE_SLOT_TIMEOUT")]);
    assert_eq!(with(|f| f.settings.idle_slot_timeout = String::new()), NOTHING);
    assert_eq!(with(|f| f.settings.old_prepared = 1), [(Warning, "PG_PREPARED_TRANSACTION")]);
    let error = ServerError {
        severity: "FATAL".into(),
        sqlstate: "42501".into(),
        message: "must be superuser or replication role to start walsender".into(),
    };
    let refused = with(|f| f.replication = Err(SourceError::Server { doing: "log in", error }));
    assert_eq!(refused, [(Error, "PG_RIGHTS")]);
}

#[test]
fn the_slot_is_compared_with_the_log() {
    use Level::{Error, Warning};
    assert_eq!(with(|f| f.slot = Some(slot_at(1))), [(Error, "PG_SLOT_EXISTS")]);
    let missing = faults(&judge(&sound(), &options(), &log_to(100), true));
    assert_eq!(missing, [(Error, "PG_SLOT_MISSING")]);
    assert_eq!(with_slot(|_, s| s.confirmed_flush = Lsn(101)), [(Error, "PG_SLOT_AHEAD")]);
    assert_eq!(with_slot(|_, s| s.wal_status = "lost".into()), [(Error, "PG_SLOT_LOST")]);
    assert_eq!(
        with_slot(|_, s| s.wal_status = "unreserved".into()),
        [(Warning, "PG_SLOT_UNRESERVED")]
    );
    assert_eq!(with_slot(|_, s| s.wal_status = "extended".into()), [(Warning, "PG_SLOT_EXTENDED")]);
    assert_eq!(with_slot(|_, s| s.plugin = "wal2json".into()), [(Error, "PG_SLOT_UNUSABLE")]);
    assert_eq!(with_slot(|_, s| s.active_pid = Some(7)), [(Error, "PG_SLOT_ACTIVE")]);
    let ours = with_slot(|f, s| {
        s.active_pid = Some(7);
        f.slot_reader = Some(options().connect.application_name);
    });
    assert_eq!(ours, [(Warning, "PG_SLOT_ACTIVE")]);
    let other = with_slot(|f, _| {
        f.replication = Ok(SystemIdentity { system_id: "8".into(), timeline: 1, end: Lsn(1) });
    });
    assert_eq!(other, [(Error, "PG_SYSTEM_MISMATCH")]);
}

/// What the log says of a table's snapshot.
fn said_of(oid: u32, name: &str, point: Option<u64>) -> v1::SnapshotProgress {
    v1::SnapshotProgress {
        namespace: "public".to_owned(),
        table: name.to_owned(),
        state: v1::SnapshotState::Pending.into(),
        consistent_point: point.map(|point| position(Lsn(point))),
        relation_id: oid,
        ..Default::default()
    }
}

#[test]
fn a_slot_that_the_log_announced_is_its_own() {
    let mut facts = sound();
    facts.slot = Some(slot_at(150));
    let mut resume = log_to(100);
    let place = resume.position.as_mut().unwrap();
    place.idle = place.end.take();
    resume.snapshots = vec![said_of(1, "customers", None), said_of(2, "orders", None)];
    assert_eq!(faults(&judge(&facts, &options(), &resume, true)), NOTHING);
    // What was announced of a table that is not captured any more announces no slot.
    resume.snapshots = vec![said_of(1, "customers", Some(100)), said_of(3, "gone", None)];
    let ahead = faults(&judge(&facts, &options(), &resume, true));
    assert_eq!(ahead, [(Level::Error, "PG_SLOT_AHEAD")]);
}

#[test]
fn a_table_that_the_log_knows_by_another_name_is_an_error() {
    let mut facts = sound();
    facts.slot = Some(slot_at(100));
    let mut resume = log_to(100);
    resume.snapshots = vec![said_of(1, "clients", Some(50))];
    let renamed = faults(&judge(&facts, &options(), &resume, true));
    assert_eq!(renamed, [(Level::Error, "PG_TABLE_RENAMED")]);
    // Not hidden by there being no table left.
    let customers = facts.names[&1].clone();
    facts.names.insert(1, ("far".to_owned(), "customers".to_owned()));
    let tables = std::mem::take(&mut facts.tables);
    let renamed = faults(&judge(&facts, &options(), &resume, true));
    assert_eq!(renamed, [(Level::Error, "PG_TABLE_RENAMED")]);
    facts.names.insert(1, customers);
    facts.tables = tables;
    resume.snapshots[0].set_state(v1::SnapshotState::Removed);
    assert_eq!(faults(&judge(&facts, &options(), &resume, true)), NOTHING);
}

#[test]
fn a_name_that_no_table_has_is_not_told_again_where_its_table_was_renamed() {
    let mut facts = sound();
    facts.absent.tables = ["clients", "dropped", "never"]
        .map(|name| AbsentTable {
            pattern: name.to_owned(),
            namespace: "public".to_owned(),
            name: name.to_owned(),
        })
        .to_vec();
    let mut resume = log_to(100);
    resume.snapshots = vec![said_of(1, "clients", Some(50)), said_of(9, "dropped", Some(50))];
    let absent = judge_tables::not_renamed(&facts, &resume);
    let names: Vec<&str> = absent.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["dropped", "never"]);
    // Without a rename to be told of, nothing else tells of the name.
    facts.selection = Selection::new(&["public.*", "clients"], &["customers"]).unwrap();
    assert_eq!(judge_tables::not_renamed(&facts, &resume).tables.len(), 3);
}

#[test]
fn a_table_whose_update_would_fail_is_an_error() {
    use Level::{Error, Warning};
    assert_eq!(with(|f| f.tables[0].key.clear()), [(Error, "PG_TABLE")]);
    assert_eq!(with(|f| f.tables[0].key_deferrable = true), [(Error, "PG_TABLE")]);
    assert_eq!(with(|f| f.tables[0].replica_identity = 'n'), [(Error, "PG_TABLE")]);
    assert_eq!(with(|f| f.tables[0].replica_identity = 'i'), [(Error, "PG_TABLE")]);
    let full = with(|f| {
        f.tables[0].key.clear();
        f.tables[0].replica_identity = 'f';
    });
    assert_eq!(full, [(Warning, "PG_NO_KEY")]);
    let generated = with(|f| {
        f.details.get_mut(&1).unwrap().generated_identity = vec!["id".into()];
    });
    assert_eq!(generated, [(Error, "PG_GENERATED_KEY")]);
    let leaf = with(|f| f.weak_leaves = vec![("public.orders".into(), "public.orders_1".into())]);
    assert_eq!(leaf, [(Error, "PG_TABLE")]);
}

#[test]
fn what_a_snapshot_could_not_read_is_an_error_unless_there_is_none() {
    let denied = || SourceError::Server {
        doing: "read from the table",
        error: ServerError {
            severity: "ERROR".into(),
            sqlstate: "42501".into(),
            message: "permission denied for table orders".into(),
        },
    };
    let mut facts = sound();
    facts.unreadable = vec![("public.orders".to_owned(), denied())];
    facts.details.get_mut(&1).unwrap().row_security = true;
    let initial = faults(&judge(&facts, &options(), &new_log(), true));
    assert_eq!(initial, [(Level::Error, "PG_RIGHTS"), (Level::Error, "PG_ROW_SECURITY")]);
    let never = SourceOptions { snapshot: SnapshotMode::Never, ..options() };
    assert_eq!(faults(&judge(&facts, &never, &new_log(), true)), NOTHING);
    assert_eq!(judge_tables::snapshot_bytes(&facts, &options(), &new_log()), 16_384);
    assert_eq!(judge_tables::snapshot_bytes(&facts, &never, &new_log()), 0);
}

#[test]
fn tables_that_match_and_are_not_captured_are_named() {
    assert_eq!(with(|f| f.tables.clear()), [(Level::Error, "PG_NO_TABLES")]);
    let unfit = with(|f| {
        f.unfit = vec![
            (Unfit::Unlogged, "public.cache".into()),
            (Unfit::Foreign, "public.far".into()),
            (Unfit::Partition, "public.part".into()),
        ];
    });
    assert_eq!(unfit, [(Level::Warning, "PG_NOT_CAPTURED"); 3]);
}

#[test]
fn a_missing_publication_is_an_error_when_it_cannot_be_created() {
    let error = [(Level::Error, "PG_PUBLICATION")];
    assert_eq!(with(|f| f.may_create = false), error);
    assert_eq!(with(|f| f.details.get_mut(&2).unwrap().owned = false), error);
    assert_eq!(faults(&judge(&sound(), &options(), &new_log(), false)), error);
}

#[test]
fn a_publication_that_leaves_something_out_is_told() {
    use Level::{Error, Warning};
    let one = |_: &mut Facts, p: &mut Publication| p.tables.truncate(1);
    assert_eq!(with_publication(one), NOTHING);
    let not_owned = with_publication(|f, p| {
        one(f, p);
        p.owned = false;
    });
    assert_eq!(not_owned, [(Error, "PG_PUBLICATION")]);
    assert_eq!(
        with_publication(|_, p| p.missing_operations = vec!["delete"]),
        [(Error, "PG_PUBLICATION")]
    );
    assert_eq!(
        with_publication(|_, p| p.missing_operations = vec!["truncate"]),
        [(Warning, "PG_PUBLICATION_TRUNCATE")]
    );
    assert_eq!(
        with_publication(|f, p| {
            f.tables[0].partitioned = true;
            p.via_partition_root = false;
        }),
        [(Error, "PG_PUBLICATION")]
    );
    assert_eq!(
        with_publication(|_, p| p.all_tables = true),
        [(Warning, "PG_PUBLICATION_ALL_TABLES")]
    );
    assert_eq!(
        with_publication(|_, p| p.tables[0].row_filter = Some("(id > 1)".into())),
        [(Warning, "PG_ROW_FILTER")]
    );
    assert_eq!(
        with_publication(|_, p| p.tables[0].columns = Some(vec!["id".into()])),
        [(Warning, "PG_COLUMN_LIST")]
    );
}

#[test]
fn what_is_to_be_read_first_is_told_and_rows_that_nobody_estimated_are_unknown() {
    let told = |facts: &Facts, options: &SourceOptions| {
        let findings = judge_tables::tables(facts, options, &new_log());
        findings.into_iter().find(|finding| finding.item == "tables").unwrap().text
    };
    let mut facts = sound();
    let text = "2 tables captured, about 20 rows (16.0 KiB) to be read first";
    assert_eq!(told(&facts, &options()), text);
    let never = SourceOptions { snapshot: SnapshotMode::Never, ..options() };
    assert_eq!(told(&facts, &never), "2 tables captured, no rows to be read first");
    facts.tables.iter_mut().for_each(|table| table.estimated_rows = 0);
    let text = "2 tables captured, rows unknown (16.0 KiB) to be read first";
    assert_eq!(told(&facts, &options()), text);
}

#[test]
fn tables_without_a_route_and_shared_streams_are_errors() {
    let facts = sound();
    let own = |_: &str, table: &str| vec![format!("shop.{table}")];
    assert_eq!(faults(&judge_tables::routes(&facts.tables, own)), NOTHING);
    let none = |_: &str, table: &str| match table {
        "orders" => Vec::new(),
        table => vec![table.to_owned()],
    };
    let findings = judge_tables::routes(&facts.tables, none);
    assert_eq!(faults(&findings), [(Level::Error, "ROUTE_MISSING")]);
    assert!(findings[0].text.contains("public.orders"));
    let shared = |_: &str, _: &str| vec!["all".to_owned()];
    let findings = judge_tables::routes(&facts.tables, shared);
    assert_eq!(faults(&findings), [(Level::Error, "ROUTE_STREAM_SHARED")]);
    let twice = |_: &str, table: &str| vec![table.to_owned(); 2];
    let findings = judge_tables::routes(&facts.tables, twice);
    assert_eq!(faults(&findings), [(Level::Error, "ROUTE_STREAM_SHARED"); 2]);
}
