//! A few rows of tables as they are now, for a trial of plugins: the first by the key, as a snapshot
//! would hand them over.
//!
//! It is a connection of its own that reads and does nothing else: no slot, a transaction for each
//! table, and it gives up where the server takes too long. Places in the log are not known, so
//! rows have none.

use std::sync::Arc;

use offtake_change::{Batch, Image, Lsn, Operation, Row, Snapshot as Marker, TableSchema};

use crate::SourceError;
use crate::catalog::{Table, matching_tables, read_server};
use crate::definitions::Definitions;
use crate::glob::Selection;
use crate::publication::{Publication, read_publication};
use crate::relation::Relation;
use crate::run::{SourceOptions, unix_now_ns};
use crate::session::{Session, quote_identifier, quote_table};
use crate::snapshot::published_columns;

/// Memory of all rows that are read.
const MOST_BYTES: usize = 64 << 20;
/// How long tables are read; the last may take what a statement may.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
const BEGIN: [&str; 3] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL statement_timeout = '20s'",
    "SET LOCAL lock_timeout = '5s'",
];
const DOING: &str = "read rows for a trial";

/// What was read.
#[derive(Debug, Default)]
pub struct Sample {
    /// The tables that were meant, `schema.table`.
    pub tables: Vec<String>,
    /// Their rows, table after table.
    pub batches: Vec<Batch>,
    /// There was more than may be read at once.
    pub is_cut: bool,
}

/// Reads so many rows at most of each captured table that one of the globs takes. `known`:
/// definitions that the pipeline has.
///
/// # Errors
/// The server's, or a value that cannot be read.
pub async fn sample(
    options: &SourceOptions,
    globs: &[String],
    known: &[Arc<TableSchema>],
    rows: u64,
) -> Result<Sample, SourceError> {
    let wanted = Selection::new(globs, &[""; 0])?;
    let captured = Selection::new(&options.tables, &options.exclude)?;
    let mut session = Session::connect_for_copy(&options.connect, options.max_row_bytes).await?;
    let server = read_server(&mut session).await?;
    let began = std::time::Instant::now();
    let mut tables = matching_tables(&mut session, &wanted).await?;
    tables.retain(|table| captured.matches(&table.namespace, &table.name));
    let publication = read_publication(&mut session, server.version, &options.publication).await?;
    let publication = publication.unwrap_or_default();
    let definitions = Definitions::new(&server.database, known);
    let mut sample = Sample::default();
    let mut bytes = 0;
    for table in &tables {
        if began.elapsed() > PATIENCE {
            sample.is_cut = true;
            break;
        }
        // A transaction a table: no lock is held while others are read.
        for statement in BEGIN {
            session.query(DOING, statement).await?;
        }
        sample.tables.push(table.qualified_name());
        let columns = published_columns(table, &publication, server.version);
        let relation = definitions.of_table(&mut session, table, &columns).await?;
        session.copy_out(DOING, &statement(table, &columns, &publication, rows)).await?;
        let is_whole =
            read(&mut session, &relation, options.batch_bytes, &mut bytes, &mut sample).await?;
        if !is_whole {
            // What is still to come is not waited for.
            sample.is_cut = true;
            return Ok(sample);
        }
        session.query(DOING, "COMMIT").await?;
    }
    session.close().await;
    Ok(sample)
}

/// Reads to the end, or `false` where it becomes too much.
async fn read(
    session: &mut Session,
    relation: &Relation,
    batch_bytes: usize,
    bytes: &mut usize,
    sample: &mut Sample,
) -> Result<bool, SourceError> {
    let mut batch = Batch::new();
    let mut order = 0;
    while let Some(frame) = session.copy_line(DOING).await? {
        let line = session.wire.body(frame);
        let after = relation
            .decoder
            .decode_copy_line(line, &mut batch)
            .map_err(|error| SourceError::Value { lsn: Lsn::ZERO, error })?;
        order += 1;
        let schema = batch.schema_index(&relation.schema);
        let row = Row::new(Operation::Read, Image::NONE, after);
        let snapshot = Marker::Row;
        batch.rows.push(Row { schema, snapshot, order, order_in_table: order, ..row });
        if batch.size_bytes() >= batch_bytes {
            *bytes += batch.size_bytes();
            sample.push(std::mem::take(&mut batch));
            if *bytes >= MOST_BYTES {
                return Ok(false);
            }
        }
    }
    *bytes += batch.size_bytes();
    sample.push(batch);
    Ok(true)
}

impl Sample {
    fn push(&mut self, mut batch: Batch) {
        if !batch.rows.is_empty() {
            batch.processed_unix_ns = unix_now_ns();
            self.batches.push(batch);
        }
    }
}

/// The first rows by the key, of what is published.
fn statement(table: &Table, columns: &[String], publication: &Publication, rows: u64) -> String {
    let quoted = |names: &[String]| -> String {
        let names: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
        names.join(", ")
    };
    let only = if table.partitioned { "" } else { "ONLY " };
    let published = publication.table(&table.namespace, &table.name);
    let filter = published.and_then(|published| published.row_filter.as_deref());
    let filter = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
    let key = if table.key.is_empty() { &table.unique_key } else { &table.key };
    let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", quoted(key)) };
    format!(
        "COPY (SELECT {} FROM {only}{}{filter}{order} LIMIT {rows}) TO STDOUT",
        quoted(columns),
        quote_table(&table.namespace, &table.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_asked_for_by_the_key_and_no_more_than_are_wanted() {
        let mut orders = crate::catalog::table(7, "orders");
        let columns = ["id".to_owned(), "no\"te".to_owned()];
        orders.key = vec!["id".to_owned()];
        let sql = statement(&orders, &columns, &Publication::default(), 10);
        let select = "SELECT \"id\", \"no\"\"te\" FROM ONLY \"public\".\"orders\"";
        assert_eq!(sql, format!("COPY ({select} ORDER BY \"id\" LIMIT 10) TO STDOUT"));
        orders.key.clear();
        let sql = statement(&orders, &columns, &Publication::default(), 10);
        assert_eq!(sql, format!("COPY ({select} LIMIT 10) TO STDOUT"));
    }
}
