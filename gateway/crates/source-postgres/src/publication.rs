//! The publication: what it has, and making it have exactly the captured tables.
//!
//! It is created where there is none and extended where tables are missing; nothing is ever taken
//! out of it, and no setting of a publication that the user made is changed.

use crate::SourceError;
use crate::catalog::Table;
use crate::session::{Session, quote_identifier, quote_literal, quote_table};

/// First version with column lists and row filters.
const COLUMN_LISTS: u32 = 15_0000;

/// A publication as the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Publication {
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// Operations that it does not publish: `insert`, `update`, `delete`, `truncate`.
    pub missing_operations: Vec<&'static str>,
    /// Whether changes of partitions carry the root's name.
    pub via_partition_root: bool,
    /// Whether the connected role may alter it.
    pub owned: bool,
    /// Its tables.
    pub tables: Vec<PublishedTable>,
}

/// A table of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    /// Schema.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The condition that rows must meet, as SQL.
    pub row_filter: Option<String>,
    /// Columns that are published, unquoted; `None`: the server (14) publishes all.
    pub columns: Option<Vec<String>>,
}

impl Publication {
    /// The table as it is published.
    pub fn table(&self, namespace: &str, name: &str) -> Option<&PublishedTable> {
        self.tables.iter().find(|table| table.namespace == namespace && table.name == name)
    }
}

/// Those of the tables that the publication does not have: all of them where there is none.
pub(crate) fn unpublished<'t>(found: Option<&Publication>, tables: &'t [Table]) -> Vec<&'t Table> {
    let is_missing = |table: &&Table| {
        found.is_none_or(|found| found.table(&table.namespace, &table.name).is_none())
    };
    tables.iter().filter(is_missing).collect()
}

/// Reads a publication; `None`: there is none of that name.
///
/// # Errors
/// The server's error, or a broken connection.
pub async fn read_publication(
    session: &mut Session,
    server_version: u32,
    name: &str,
) -> Result<Option<Publication>, SourceError> {
    let literal = quote_literal(name);
    let sql = format!(
        "SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, \
         pg_has_role(pubowner, 'MEMBER') FROM pg_publication WHERE pubname = {literal}"
    );
    let rows = session.query("read the publication", &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut publication = Publication {
        all_tables: row.is_true(0),
        missing_operations: Vec::new(),
        via_partition_root: row.is_true(5),
        owned: row.is_true(6),
        tables: Vec::new(),
    };
    for (column, operation) in [(1, "insert"), (2, "update"), (3, "delete"), (4, "truncate")] {
        if !row.is_true(column) {
            publication.missing_operations.push(operation);
        }
    }
    // One row a column, so that no array text has to be taken apart.
    let sql = if server_version >= COLUMN_LISTS {
        format!(
            "SELECT schemaname, tablename, rowfilter, name FROM pg_publication_tables \
             LEFT JOIN LATERAL unnest(attnames) WITH ORDINALITY AS a(name, place) ON true \
             WHERE pubname = {literal} ORDER BY schemaname, tablename, place"
        )
    } else {
        format!(
            "SELECT schemaname, tablename, NULL, NULL FROM pg_publication_tables \
             WHERE pubname = {literal} ORDER BY schemaname, tablename"
        )
    };
    for row in session.query("read the publication's tables", &sql).await? {
        let same = publication
            .tables
            .last_mut()
            .filter(|table| table.namespace == row.text(0) && table.name == row.text(1));
        let column = row.get(3).map(str::to_owned);
        if let Some(table) = same {
            table.columns.get_or_insert_default().extend(column);
        } else {
            publication.tables.push(PublishedTable {
                namespace: row.text(0).to_owned(),
                name: row.text(1).to_owned(),
                row_filter: row.get(2).map(str::to_owned),
                columns: column.map(|column| vec![column]),
            });
        }
    }
    Ok(Some(publication))
}

/// Makes sure that the publication, as it was found, has the tables, and gives it as it is then.
pub(crate) async fn ensure_publication(
    session: &mut Session,
    server_version: u32,
    name: &str,
    found: Option<Publication>,
    tables: &[Table],
    may_change: bool,
) -> Result<Publication, SourceError> {
    let missing = unpublished(found.as_ref(), tables);
    for table in &missing {
        // Published, such a table would make the application's own UPDATE and DELETE fail.
        if let Some(reason) = table.identity_problem() {
            return Err(SourceError::Table { table: table.qualified_name(), reason });
        }
    }
    if let Some(found) = &found {
        check_settings(found, name, tables)?;
        if missing.is_empty() {
            return Ok(found.clone());
        }
    }
    let refused = |reason: String| SourceError::Publication {
        publication: name.to_owned(),
        tables: names(&missing),
        reason,
        statement: statement(name, found.is_some(), &missing),
    };
    if !may_change {
        return Err(refused("create_publication is false".to_owned()));
    }
    let listed: Vec<String> = missing
        .iter()
        .map(|table| format!("ONLY {}", quote_table(&table.namespace, &table.name)))
        .collect();
    let listed = listed.join(", ");
    let publication = quote_identifier(name);
    let sql = if found.is_some() {
        format!("ALTER PUBLICATION {publication} ADD TABLE {listed}")
    } else {
        format!(
            "CREATE PUBLICATION {publication} FOR TABLE {listed} \
             WITH (publish_via_partition_root = true)"
        )
    };
    session.query("change the publication", &sql).await.map_err(|error| match error {
        SourceError::Server { error, .. } if error.sqlstate == "42501" => refused(error.message),
        other => other,
    })?;
    tracing::info!(publication = name, tables = missing.len(), "tables added to the publication");
    let publication = read_publication(session, server_version, name).await?;
    publication.ok_or_else(|| refused("it was dropped meanwhile".to_owned()))
}

/// The statement by which the owner gives the publication the tables, given as schema and name.
pub(crate) fn add_statement<'t>(
    publication: &str,
    tables: impl IntoIterator<Item = (&'t str, &'t str)>,
) -> String {
    let tables: Vec<String> =
        tables.into_iter().map(|(namespace, name)| quote_table(namespace, name)).collect();
    format!("ALTER PUBLICATION {} ADD TABLE {};", quote_identifier(publication), tables.join(", "))
}

/// The statement by which an owner makes the publication have the tables.
fn statement(publication: &str, exists: bool, tables: &[&Table]) -> String {
    let names = tables.iter().map(|table| (table.namespace.as_str(), table.name.as_str()));
    if exists {
        return add_statement(publication, names);
    }
    let names: Vec<String> = names.map(|(namespace, name)| quote_table(namespace, name)).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true);",
        quote_identifier(publication),
        names.join(", ")
    )
}

/// Settings with which changes of captured tables would not come.
fn check_settings(found: &Publication, name: &str, tables: &[Table]) -> Result<(), SourceError> {
    let problem = |tables: String, reason: &str, setting: &str| {
        Err(SourceError::Publication {
            publication: name.to_owned(),
            tables,
            reason: reason.to_owned(),
            statement: format!("ALTER PUBLICATION {} SET ({setting});", quote_identifier(name)),
        })
    };
    let lost: Vec<&str> = found
        .missing_operations
        .iter()
        .copied()
        .filter(|&operation| operation != "truncate")
        .collect();
    if !lost.is_empty() {
        let lost = lost.join(", ");
        return problem(
            format!("every {lost}"),
            "its `publish` setting leaves them out",
            "publish = 'insert, update, delete, truncate'",
        );
    }
    if found.missing_operations.contains(&"truncate") {
        tracing::warn!(publication = name, "the publication leaves out truncates");
    }
    let partitioned: Vec<&Table> = tables.iter().filter(|table| table.partitioned).collect();
    if !partitioned.is_empty() && !found.via_partition_root {
        return problem(
            names(&partitioned),
            "they are partitioned and publish_via_partition_root is off",
            "publish_via_partition_root = true",
        );
    }
    Ok(())
}

pub(crate) fn names(tables: &[&Table]) -> String {
    let names: Vec<String> = tables.iter().map(|table| table.qualified_name()).collect();
    names.join(", ")
}
