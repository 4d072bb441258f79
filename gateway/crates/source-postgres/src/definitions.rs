//! Definitions of tables, with what only the catalogue knows looked up when it is needed.
//!
//! Shared by the stream and a snapshot that is prepared beside it, so that one definition has one
//! version. The lock is held to look and to note, never over a question to the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offtake_change::{ReplicaIdentity, TableSchema};
use offtake_pgoutput as pgoutput;

use crate::SourceError;
use crate::catalog::{Table, table_of_oid};
use crate::publication::Publication;
use crate::relation::{Relation, RelationCache, TableFacts};
use crate::session::{Session, SqlRow};
use crate::snapshot::published_columns;
use crate::types::{ColumnFacts, TypeCatalog, TypeFacts};

/// Rounds of looking up types that types are made of.
const MAX_ROUNDS: usize = 20;

#[derive(Clone, Debug)]
pub(crate) struct Definitions(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    cache: RelationCache,
    types: TypeCatalog,
}

impl Definitions {
    /// `schemas` are those that the log has: versions go on from them.
    pub(crate) fn new(database: &str, schemas: &[Arc<TableSchema>]) -> Definitions {
        let mut cache = RelationCache::new(database);
        for schema in schemas {
            cache.seed(Arc::clone(schema));
        }
        Definitions(Arc::new(Mutex::new(Known { cache, types: TypeCatalog::new() })))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A holder only looks and notes, so a poisoned lock still holds whole values.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Types may have changed while there was no connection.
    pub(crate) fn reconnected(&self) {
        let mut known = self.known();
        known.cache.clear_session();
        known.types.forget_user_types();
    }

    /// The relation of a table as the catalogue has it, with the given columns.
    pub(crate) async fn of_table(
        &self,
        catalogue: &mut Session,
        table: &Table,
        columns: &[String],
    ) -> Result<Arc<Relation>, SourceError> {
        let facts = table_facts(table, |name| columns.iter().any(|column| column == name));
        let type_ids: Vec<u32> = facts.columns.iter().map(|column| column.type_id).collect();
        self.learn_types(catalogue, &type_ids).await?;
        let mut known = self.known();
        let Known { cache, types } = &mut *known;
        Ok(cache.describe(&facts, types))
    }

    /// The schemas of tables as the catalogue has them, with the columns that are published.
    pub(crate) async fn of_tables(
        &self,
        catalogue: &mut Session,
        tables: &[Table],
        publication: &Publication,
        server_version: u32,
    ) -> Result<Vec<Arc<TableSchema>>, SourceError> {
        let mut schemas = Vec::with_capacity(tables.len());
        for table in tables {
            let columns = published_columns(table, publication, server_version);
            let relation = self.of_table(catalogue, table, &columns).await?;
            schemas.push(Arc::clone(&relation.schema));
        }
        Ok(schemas)
    }

    /// Looks up what a Relation message does not tell: the table as it is now (`None`: it was
    /// dropped) and its columns' types.
    pub(crate) async fn look_up(
        &self,
        catalogue: &mut Session,
        id: u32,
        type_ids: &[u32],
    ) -> Result<Option<TableFacts>, SourceError> {
        self.learn_types(catalogue, type_ids).await?;
        let table = table_of_oid(catalogue, id).await?;
        Ok(table.map(|table| table_facts(&table, |_| true)))
    }

    /// The relation of a Relation message, with what was looked up.
    pub(crate) fn announce(
        &self,
        message: &pgoutput::Relation<'_>,
        facts: Option<&TableFacts>,
    ) -> Arc<Relation> {
        let mut known = self.known();
        let Known { cache, types } = &mut *known;
        cache.announce(message, facts, types)
    }

    /// Keeps the stream's name of a type, for when the catalogue no longer has it.
    pub(crate) fn note_name(&self, message: &pgoutput::Type<'_>) {
        self.known().types.note_name(message);
    }

    async fn learn_types(
        &self,
        catalogue: &mut Session,
        type_ids: &[u32],
    ) -> Result<(), SourceError> {
        let mut asked = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let mut missing = self.known().types.missing(type_ids.iter().copied());
            // What the server does not know is not asked for again.
            missing.retain(|oid| !asked.contains(oid));
            if missing.is_empty() {
                break;
            }
            for facts in read_types(catalogue, &missing).await? {
                self.known().types.insert(facts);
            }
            asked.extend(missing);
        }
        Ok(())
    }
}

fn table_facts(table: &Table, is_published: impl Fn(&str) -> bool) -> TableFacts {
    let columns = table.columns.iter().filter(|column| is_published(&column.name));
    TableFacts {
        namespace: table.namespace.clone(),
        table: table.name.clone(),
        replica_identity: match table.replica_identity {
            'n' => ReplicaIdentity::Nothing,
            'f' => ReplicaIdentity::Full,
            'i' => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Key,
        },
        columns: columns
            .map(|column| ColumnFacts {
                name: column.name.clone(),
                type_id: column.type_id,
                type_modifier: column.type_modifier,
                nullable: !column.not_null,
                default: column.default.clone(),
            })
            .collect(),
        primary_key: table.key.clone(),
        identity_index: table.identity_index.clone(),
        unique_key: table.unique_key.clone(),
    }
}

async fn read_types(catalogue: &mut Session, oids: &[u32]) -> Result<Vec<TypeFacts>, SourceError> {
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    let oids = oids.join(",");
    let types = format!(
        "SELECT t.oid, t.typname, n.nspname, t.typtype, t.typcategory, t.typelem, t.typbasetype, \
         t.typtypmod, t.typdelim FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE t.oid IN ({oids})"
    );
    let types = catalogue.query("read the types", &types).await?;
    let labels = format!(
        "SELECT enumtypid, enumlabel FROM pg_enum WHERE enumtypid IN ({oids}) \
         ORDER BY enumtypid, enumsortorder"
    );
    let mut labels_of: HashMap<u32, Vec<String>> = HashMap::new();
    for row in catalogue.query("read the enums' labels", &labels).await? {
        labels_of.entry(row.number(0).unwrap_or(0)).or_default().push(row.text(1).to_owned());
    }
    let byte = |row: &SqlRow, column| row.text(column).bytes().next().unwrap_or(b' ');
    let facts = types.iter().map(|row| {
        let oid = row.number(0).unwrap_or(0);
        TypeFacts {
            oid,
            name: row.text(1).to_owned(),
            namespace: row.text(2).to_owned(),
            typtype: byte(row, 3),
            typcategory: byte(row, 4),
            typelem: row.number(5).unwrap_or(0),
            typbasetype: row.number(6).unwrap_or(0),
            typtypmod: row.number(7).unwrap_or(-1),
            typdelim: byte(row, 8),
            labels: labels_of.remove(&oid).unwrap_or_default(),
        }
    });
    Ok(facts.collect())
}
