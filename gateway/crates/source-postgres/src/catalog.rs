//! Questions to the server's catalogue: its version and settings, and the tables that match the
//! configured globs.
//!
//! Everything is read as it is now. What a change of the stream looked like when it was written is
//! told by the stream itself (`relation`); the catalogue adds what the stream does not tell.

use std::collections::HashMap;

use crate::SourceError;
use crate::glob::Selection;
use crate::session::{Session, SqlRow};

/// Oldest supported version, as `server_version_num`.
const OLDEST: u32 = 14_0000;

/// The server behind a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As `server_version_num`: 150004 is 15.4.
    pub version: u32,
    /// As the server prints it.
    pub version_text: String,
    /// `logical` is needed.
    pub wal_level: String,
    /// Milliseconds of silence after which a walsender gives up; 0: never.
    pub wal_sender_timeout_ms: u64,
    /// The connected database.
    pub database: String,
}

/// Reads the server's version and settings.
///
/// # Errors
/// The server's error, or a broken connection.
pub async fn read_server(session: &mut Session) -> Result<Server, SourceError> {
    let row = session
        .query_one(
            "read the server's settings",
            "SELECT current_setting('server_version_num'), current_setting('server_version'), \
             current_setting('wal_level'), current_database(), \
             (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout')",
        )
        .await?;
    Ok(Server {
        version: row.number(0).unwrap_or(0),
        version_text: row.text(1).to_owned(),
        wal_level: row.text(2).to_owned(),
        database: row.text(3).to_owned(),
        wal_sender_timeout_ms: row.number(4).unwrap_or(60_000),
    })
}

impl Server {
    /// What makes the server unfit as a source.
    ///
    /// # Errors
    /// [`SourceError::Version`] and [`SourceError::WalLevel`].
    pub fn check(&self) -> Result<(), SourceError> {
        if self.version < OLDEST {
            return Err(SourceError::Version(self.version_text.clone()));
        }
        if self.wal_level != "logical" {
            return Err(SourceError::WalLevel(self.wal_level.clone()));
        }
        Ok(())
    }
}

/// A table that can be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it is the root of a partitioned table: its partitions are captured through it.
    pub partitioned: bool,
    /// `relreplident`: `d` (primary key), `n` (nothing), `f` (whole row), `i` (an index).
    pub replica_identity: char,
    /// Rows, as the planner estimates.
    pub estimated_rows: u64,
    /// Columns in the table's order, dropped ones left out.
    pub columns: Vec<TableColumn>,
    /// Names of the primary key's columns, in key order.
    pub key: Vec<String>,
    /// Whether the primary key is deferrable, which makes it useless as an identity.
    pub key_deferrable: bool,
    /// Names of the columns of the identity's index; empty: there is none.
    pub identity_index: Vec<String>,
    /// Names of the columns of the first unique index, by its name, over columns that refuse NULL;
    /// empty: there is none.
    pub unique_key: Vec<String>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_id: u32,
    /// Type modifier; -1: none.
    pub type_modifier: i32,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The default as the server prints it.
    pub default: Option<String>,
    /// Whether it is generated: the stream does not carry it unless the publication says so.
    pub generated: bool,
}

impl Table {
    /// The table with its schema, as a person writes it.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// Why UPDATE and DELETE would fail on the table once it is published; `None`: they would not.
    pub fn identity_problem(&self) -> Option<String> {
        let advice = "its UPDATE and DELETE would fail once it is published; give it a primary key \
                      or ALTER TABLE ... REPLICA IDENTITY FULL";
        match self.replica_identity {
            'f' => None,
            'i' if !self.identity_index.is_empty() => None,
            'i' => Some(format!("the index of its replica identity was dropped: {advice}")),
            'n' => Some(format!("its replica identity is NOTHING: {advice}")),
            _ if self.key.is_empty() => Some(format!("it has no primary key: {advice}")),
            _ if self.key_deferrable => Some(format!("its primary key is deferrable: {advice}")),
            _ => None,
        }
    }
}

/// What a table is read by; conditions are added.
const TABLES: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relreplident, \
     (SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint FROM pg_class leaf \
      WHERE leaf.oid = c.oid AND leaf.relkind = 'r' OR c.relkind = 'p' AND leaf.oid IN \
      (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p')";

/// Tables that the selection takes, by schema and name: permanent ordinary tables and the roots of
/// partitioned ones.
///
/// # Errors
/// The server's error, or a broken connection.
pub async fn matching_tables(
    session: &mut Session,
    selection: &Selection,
) -> Result<Vec<Table>, SourceError> {
    let sql = format!(
        "{TABLES} AND c.relpersistence = 'p' AND NOT c.relispartition ORDER BY n.nspname, c.relname"
    );
    let rows = session.query("list the tables", &sql).await?;
    let mut tables: Vec<Table> = rows
        .iter()
        .filter(|row| selection.matches(row.text(1), row.text(2)))
        .map(bare_table)
        .collect();
    read_columns(session, &mut tables).await?;
    Ok(tables)
}

/// The table of that OID as it is now; `None`: it was dropped.
///
/// # Errors
/// The server's error, or a broken connection.
pub async fn table_of_oid(session: &mut Session, oid: u32) -> Result<Option<Table>, SourceError> {
    let rows = session.query("read a table", &format!("{TABLES} AND c.oid = {oid}")).await?;
    let mut tables: Vec<Table> = rows.iter().map(bare_table).collect();
    read_columns(session, &mut tables).await?;
    Ok(tables.pop())
}

/// Schema and name, as they are now, of the tables with these OIDs; one that was dropped is missing.
pub(crate) async fn names_of(
    session: &mut Session,
    oids: impl IntoIterator<Item = u32>,
) -> Result<HashMap<u32, (String, String)>, SourceError> {
    let oids: Vec<String> = oids.into_iter().map(|oid| oid.to_string()).collect();
    if oids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ({})",
        oids.join(",")
    );
    let rows = session.query("read the tables' names", &sql).await?;
    let named =
        |row: &SqlRow| Some((row.number(0)?, (row.text(1).to_owned(), row.text(2).to_owned())));
    Ok(rows.iter().filter_map(named).collect())
}

fn bare_table(row: &SqlRow) -> Table {
    Table {
        oid: row.number(0).unwrap_or(0),
        namespace: row.text(1).to_owned(),
        name: row.text(2).to_owned(),
        partitioned: row.is_true(3),
        replica_identity: row.text(4).chars().next().unwrap_or('d'),
        estimated_rows: row.number(5).unwrap_or(0),
        columns: Vec::new(),
        key: Vec::new(),
        key_deferrable: false,
        identity_index: Vec::new(),
        unique_key: Vec::new(),
    }
}

/// The unique index that serves as a key where a table has no primary key: of those that hold for
/// every row (no predicate, no expression, no column that takes NULL) the first by name, as
/// Debezium takes it.
const UNIQUE_KEYS: &str = "SELECT DISTINCT ON (x.indrelid) x.indrelid, x.indexrelid \
     FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid \
     WHERE x.indisunique AND NOT x.indisprimary AND x.indisvalid AND x.indimmediate \
     AND x.indpred IS NULL AND x.indexprs IS NULL \
     AND NOT EXISTS (SELECT FROM pg_attribute n WHERE n.attrelid = x.indrelid \
     AND n.attnum = ANY (x.indkey) AND NOT n.attnotnull) ORDER BY x.indrelid, c.relname";

/// Fills in columns and keys, as they are now.
pub(crate) async fn read_columns(
    session: &mut Session,
    tables: &mut [Table],
) -> Result<(), SourceError> {
    for table in tables.iter_mut() {
        table.columns.clear();
        table.key.clear();
        table.identity_index.clear();
        table.unique_key.clear();
    }
    if tables.is_empty() {
        return Ok(());
    }
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    let oids = oids.join(",");
    let columns = format!(
        "SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
         CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, \
         a.attgenerated <> '' FROM pg_attribute a \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid IN ({oids}) AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY a.attrelid, a.attnum"
    );
    let columns = session.query("read the tables' columns", &columns).await?;
    let keys = format!(
        "SELECT i.indrelid, a.attname, i.indimmediate, i.indisprimary, \
         i.indisreplident AND i.indisvalid, i.indexrelid = u.indexrelid FROM pg_index i \
         LEFT JOIN ({UNIQUE_KEYS}) u ON u.indrelid = i.indrelid, \
         unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_attribute a ON a.attnum = k.attnum \
         WHERE a.attrelid = i.indrelid \
         AND (i.indisprimary OR i.indisreplident OR i.indexrelid = u.indexrelid) \
         AND k.place <= i.indnkeyatts AND i.indrelid IN ({oids}) ORDER BY i.indrelid, k.place"
    );
    let keys = session.query("read the tables' keys", &keys).await?;
    let mut by_oid: HashMap<u32, &mut Table> =
        tables.iter_mut().map(|table| (table.oid, table)).collect();
    for row in &columns {
        if let Some(table) = row.number(0).and_then(|oid: u32| by_oid.get_mut(&oid)) {
            table.columns.push(table_column(row));
        }
    }
    for row in &keys {
        if let Some(table) = row.number(0).and_then(|oid: u32| by_oid.get_mut(&oid)) {
            if row.is_true(3) {
                table.key.push(row.text(1).to_owned());
                table.key_deferrable = !row.is_true(2);
            }
            if row.is_true(4) {
                table.identity_index.push(row.text(1).to_owned());
            }
            if row.is_true(5) {
                table.unique_key.push(row.text(1).to_owned());
            }
        }
    }
    Ok(())
}

fn table_column(row: &SqlRow) -> TableColumn {
    TableColumn {
        name: row.text(1).to_owned(),
        type_id: row.number(2).unwrap_or(0),
        type_modifier: row.number(3).unwrap_or(-1),
        not_null: row.is_true(4),
        default: row.get(5).map(str::to_owned),
        generated: row.is_true(6),
    }
}

/// A sound table of the schema public, for tests without a server.
#[cfg(test)]
pub(crate) fn table(oid: u32, name: &str) -> Table {
    let column = |name: &str| TableColumn {
        name: name.to_owned(),
        type_id: 23,
        type_modifier: -1,
        not_null: true,
        default: None,
        generated: false,
    };
    Table {
        oid,
        namespace: "public".to_owned(),
        name: name.to_owned(),
        partitioned: false,
        replica_identity: 'd',
        estimated_rows: 10,
        columns: vec![column("id"), column("note")],
        key: vec!["id".to_owned()],
        key_deferrable: false,
        identity_index: Vec::new(),
        unique_key: Vec::new(),
    }
}
