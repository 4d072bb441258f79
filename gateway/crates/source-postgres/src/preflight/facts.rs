//! What the server says, read in one go and without a verdict.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use offtake_change::TableSchema;

use super::Finding;
use super::absent::{Absent, read_absent};
use crate::SourceError;
use crate::catalog::{Server, Table, matching_tables, names_of, read_server};
use crate::definitions::Definitions;
use crate::glob::Selection;
use crate::progress::Resume;
use crate::publication::{Publication, read_publication};
use crate::run::SourceOptions;
use crate::session::{Session, SqlRow, quote_identifier, quote_table};
use crate::slot::{SlotFacts, SystemIdentity, identify_system, slot_facts};

/// Most tables whose rights are tried; beyond, it would take minutes and say the same.
const TRIED_TABLES: usize = 2_000;

/// Everything that is judged.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) server: Server,
    pub(crate) settings: Settings,
    /// What opening a replication connection and IDENTIFY_SYSTEM gave.
    pub(crate) replication: Result<SystemIdentity, SourceError>,
    pub(crate) slot: Option<SlotFacts>,
    /// Name of the application that reads from the slot.
    pub(crate) slot_reader: Option<String>,
    pub(crate) publication: Option<Publication>,
    /// Whether the role may create a publication in this database.
    pub(crate) may_create: bool,
    pub(crate) selection: Selection,
    pub(crate) tables: Vec<Table>,
    /// What the source would hand over of these tables at its start, in the same order.
    pub(crate) definitions: Vec<Arc<TableSchema>>,
    /// Schema and name of the tables that the log knows, by OID.
    pub(crate) names: HashMap<u32, (String, String)>,
    /// More about each table, by OID.
    pub(crate) details: HashMap<u32, TableDetails>,
    /// Tables that cannot be read, and the server's words.
    pub(crate) unreadable: Vec<(String, SourceError)>,
    /// Leaves of captured partitioned tables without an identity of their own: root and leaf.
    pub(crate) weak_leaves: Vec<(String, String)>,
    /// What matches the globs and cannot be captured: kind and name.
    pub(crate) unfit: Vec<(Unfit, String)>,
    /// What `tables` names and the database has not.
    pub(crate) absent: Absent,
}

/// Settings and use of the whole server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) max_slots: u32,
    pub(crate) used_slots: u32,
    pub(crate) max_walsenders: u32,
    pub(crate) used_walsenders: u32,
    /// In MB; -1: no limit.
    pub(crate) max_slot_wal_keep_mb: i64,
    /// As the server prints it; empty before 18.
    pub(crate) idle_slot_timeout: String,
    pub(crate) standby: bool,
    /// Prepared transactions older than an hour.
    pub(crate) old_prepared: u32,
}

/// What the catalogue's first look leaves out.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableDetails {
    /// Whether the role owns it, which adding it to a publication needs.
    pub(crate) owned: bool,
    /// Whether row-level security hides rows from the role.
    pub(crate) row_security: bool,
    /// Generated columns of the replica identity.
    pub(crate) generated_identity: Vec<String>,
    /// Whether a value may be stored out of line.
    pub(crate) toast: bool,
    /// Bytes on disk, partitions included.
    pub(crate) bytes: u64,
}

/// Why something that matches a glob is not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    /// Its changes are not in the server's log.
    Unlogged,
    /// Its rows are on another server.
    Foreign,
    /// A partition whose root is not captured.
    Partition,
}

/// Why no more facts can be had.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// What was known before.
    pub(crate) before: Vec<Finding>,
    pub(crate) item: &'static str,
    pub(crate) error: SourceError,
}

fn stopped(item: &'static str) -> impl Fn(SourceError) -> Stopped {
    move |error| Stopped { before: Vec::new(), item, error }
}

/// Reads the facts.
pub(crate) async fn read(
    session: &mut Session,
    options: &SourceOptions,
    resume: &Resume,
) -> Result<Facts, Stopped> {
    let server = read_server(session).await.map_err(stopped("server"))?;
    if let Err(error @ SourceError::Version(_)) = server.check() {
        return Err(stopped("version")(error));
    }
    let settings = read_settings(session).await.map_err(stopped("settings"))?;
    // Counted above, before this connection is one of them.
    let replication = try_replication(options).await;
    let slot = slot_facts(session, server.version, &options.slot).await.map_err(stopped("slot"))?;
    let slot_reader = match slot.as_ref().and_then(|slot| slot.active_pid) {
        Some(pid) => read_application(session, pid).await.map_err(stopped("slot"))?,
        None => None,
    };
    let selection = Selection::new(&options.tables, &options.exclude)
        .map_err(|error| stopped("tables")(SourceError::Connection(error.to_string())))?;
    let tables = matching_tables(session, &selection).await.map_err(stopped("tables"))?;
    let known = resume.snapshots.iter().map(|known| known.relation_id);
    let names = names_of(session, known).await.map_err(stopped("tables"))?;
    let publication = read_publication(session, server.version, &options.publication)
        .await
        .map_err(stopped("publication"))?;
    // One that is not there yet will publish what a table publishes by itself.
    let published = publication.clone().unwrap_or_default();
    let definitions = Definitions::new(&server.database, &resume.schemas)
        .of_tables(session, &tables, &published, server.version)
        .await
        .map_err(stopped("tables"))?;
    let may_create = session
        .query_one(
            "ask for the right to create",
            "SELECT has_database_privilege(current_database(), 'CREATE')",
        )
        .await
        .map_err(stopped("publication"))?
        .is_true(0);
    Ok(Facts {
        address: options.connect.address(),
        server,
        settings,
        replication,
        slot,
        slot_reader,
        publication,
        may_create,
        details: read_details(session, &tables).await.map_err(stopped("tables"))?,
        unreadable: try_reading(session, &tables).await.map_err(stopped("tables"))?,
        weak_leaves: read_weak_leaves(session, &tables).await.map_err(stopped("tables"))?,
        unfit: read_unfit(session, &selection, &tables).await.map_err(stopped("tables"))?,
        absent: read_absent(session, &options.tables, &selection, &tables)
            .await
            .map_err(stopped("tables"))?,
        selection,
        names,
        tables,
        definitions,
    })
}

async fn read_settings(session: &mut Session) -> Result<Settings, SourceError> {
    let row = session
        .query_one(
            "read the settings of replication",
            "SELECT current_setting('max_replication_slots'), \
             (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders'), \
             (SELECT count(*) FROM pg_stat_replication), \
             (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), \
             coalesce(current_setting('idle_replication_slot_timeout', true), ''), \
             pg_is_in_recovery(), (SELECT count(*) FROM pg_prepared_xacts \
              WHERE prepared < now() - interval '1 hour')",
        )
        .await?;
    Ok(Settings {
        max_slots: row.number(0).unwrap_or(0),
        used_slots: row.number(1).unwrap_or(0),
        max_walsenders: row.number(2).unwrap_or(0),
        used_walsenders: row.number(3).unwrap_or(0),
        max_slot_wal_keep_mb: row.number(4).unwrap_or(-1),
        idle_slot_timeout: row.text(5).to_owned(),
        standby: row.is_true(6),
        old_prepared: row.number(7).unwrap_or(0),
    })
}

async fn try_replication(options: &SourceOptions) -> Result<SystemIdentity, SourceError> {
    let limit = options.message_limit();
    let mut replication = Session::connect_for_replication(&options.connect, limit).await?;
    let identity = identify_system(&mut replication).await;
    replication.close().await;
    identity
}

async fn read_application(session: &mut Session, pid: i32) -> Result<Option<String>, SourceError> {
    let sql = format!("SELECT application_name FROM pg_stat_activity WHERE pid = {pid}");
    let rows = session.query("ask who reads from the slot", &sql).await?;
    Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
}

fn oids(tables: &[Table]) -> Option<String> {
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    (!oids.is_empty()).then(|| oids.join(","))
}

async fn read_details(
    session: &mut Session,
    tables: &[Table],
) -> Result<HashMap<u32, TableDetails>, SourceError> {
    let mut details = HashMap::new();
    let Some(oids) = oids(tables) else { return Ok(details) };
    // The identity's index: the primary key, or the one that REPLICA IDENTITY USING INDEX names.
    let sql = format!(
        "SELECT c.oid, pg_has_role(c.relowner, 'USAGE'), row_security_active(c.oid), \
         EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
          AND NOT a.attisdropped AND a.attlen = -1 AND a.attstorage <> 'p'), \
         (SELECT coalesce(sum(pg_table_size(part.relid)), 0)::bigint \
          FROM (SELECT c.oid AS relid WHERE c.relkind = 'r' UNION ALL \
           SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf AND c.relkind = 'p') AS part) \
         FROM pg_class c WHERE c.oid IN ({oids})"
    );
    for row in session.query("read the tables' state", &sql).await? {
        details.insert(row.number(0).unwrap_or(0), table_details(&row));
    }
    let sql = format!(
        "SELECT c.oid, a.attname FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) \
         WHERE c.oid IN ({oids}) AND a.attgenerated <> '' AND (c.relreplident = 'd' \
          AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident) ORDER BY 1, 2"
    );
    for row in session.query("read the tables' identity", &sql).await? {
        let of_table: Option<&mut TableDetails> =
            row.number(0).and_then(|oid: u32| details.get_mut(&oid));
        if let Some(of_table) = of_table {
            of_table.generated_identity.push(row.text(1).to_owned());
        }
    }
    Ok(details)
}

fn table_details(row: &SqlRow) -> TableDetails {
    TableDetails {
        owned: row.is_true(1),
        row_security: row.is_true(2),
        toast: row.is_true(3),
        bytes: row.number(4).unwrap_or(0),
        generated_identity: Vec::new(),
    }
}

/// Reads no row of each table, as the snapshot would read all.
async fn try_reading(
    session: &mut Session,
    tables: &[Table],
) -> Result<Vec<(String, SourceError)>, SourceError> {
    let mut unreadable = Vec::new();
    for table in tables.iter().take(TRIED_TABLES) {
        let columns: Vec<String> = table
            .columns
            .iter()
            .filter(|column| !column.generated)
            .map(|column| quote_identifier(&column.name))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} LIMIT 0",
            columns.join(", "),
            quote_table(&table.namespace, &table.name)
        );
        match session.query("read from the table", &sql).await {
            Ok(_) => {}
            Err(error @ SourceError::Server { .. }) => {
                unreadable.push((table.qualified_name(), error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(unreadable)
}

/// The server judges UPDATE and DELETE by the identity of the partition that they hit.
async fn read_weak_leaves(
    session: &mut Session,
    tables: &[Table],
) -> Result<Vec<(String, String)>, SourceError> {
    let roots: Vec<Table> = tables.iter().filter(|table| table.partitioned).cloned().collect();
    let Some(oids) = oids(&roots) else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT root.oid, n.nspname, c.relname FROM pg_class root, \
         pg_partition_tree(root.oid) AS tree JOIN pg_class c ON c.oid = tree.relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE root.oid IN ({oids}) AND tree.isleaf AND c.oid <> root.oid AND c.relkind = 'r' \
         AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index i \
          WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate \
          AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)) \
         ORDER BY 2, 3"
    );
    let rows = session.query("read the partitions' identity", &sql).await?;
    let name_of = |oid: Option<u32>| roots.iter().find(|root| Some(root.oid) == oid);
    Ok(rows
        .iter()
        .filter_map(|row| {
            let root = name_of(row.number(0))?.qualified_name();
            Some((root, format!("{}.{}", row.text(1), row.text(2))))
        })
        .collect())
}

async fn read_unfit(
    session: &mut Session,
    selection: &Selection,
    tables: &[Table],
) -> Result<Vec<(Unfit, String)>, SourceError> {
    let sql = "SELECT n.nspname, c.relname, c.relkind = 'f', c.relispartition, \
         CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (c.relkind = 'f' OR c.relkind IN ('r', 'p') \
          AND (c.relpersistence = 'u' OR c.relispartition)) \
         AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
         ORDER BY n.nspname, c.relname";
    let rows = session.query("list the tables that cannot be captured", sql).await?;
    let captured: HashSet<u32> = tables.iter().map(|table| table.oid).collect();
    Ok(rows
        .iter()
        .filter(|row| selection.matches(row.text(0), row.text(1)))
        .filter_map(|row| {
            let root: Option<u32> = row.number(4);
            let unfit = match (row.is_true(3), row.is_true(2)) {
                // Captured through its root.
                (true, false) if root.is_some_and(|root| captured.contains(&root)) => return None,
                (true, false) => Unfit::Partition,
                (_, true) => Unfit::Foreign,
                (false, false) => Unfit::Unlogged,
            };
            Some((unfit, format!("{}.{}", row.text(0), row.text(1))))
        })
        .collect())
}
