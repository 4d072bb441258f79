//! Relations: what the stream and the catalogue say of a table, put together as its schema and the
//! decoder of its rows.
//!
//! The stream tells the columns as they were when a change was written; the catalogue, which only
//! knows today, adds what the stream leaves out: nullability, defaults, the key's order. Where the
//! two disagree the stream is right. Relations are known by id for one session of the stream, for
//! the server announces them anew in each; definitions are known by table for as long as the cache
//! lives, so that an unchanged table keeps its schema and version.

use std::collections::HashMap;
use std::sync::Arc;

use offtake_change::{ReplicaIdentity, Subject, TableSchema};
use offtake_pgoutput as pgoutput;

use crate::row::RowDecoder;
use crate::types::{ColumnFacts, TypeCatalog, qualified_namespace};
use crate::value::ColumnDecoder;

/// A table as the catalogue has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub table: String,
    /// What the server's log holds of a row before its change.
    pub replica_identity: ReplicaIdentity,
    /// Its columns as the publication sends them, in order.
    pub columns: Vec<ColumnFacts>,
    /// Names of the primary key's columns, in key order; empty: no primary key.
    pub primary_key: Vec<String>,
    /// Names of the columns of the index that is the replica identity; empty where it is none.
    pub identity_index: Vec<String>,
    /// Names of the columns of a unique index over columns that refuse NULL, the key of a table
    /// that has no primary key; empty: there is none.
    pub unique_key: Vec<String>,
}

/// A table's schema with the decoder of its rows.
#[derive(Clone, Debug)]
pub struct Relation {
    /// The definition, shared by the rows that were decoded under it.
    pub schema: Arc<TableSchema>,
    /// Reads its rows.
    pub decoder: RowDecoder,
}

/// Relations of the session and definitions of the tables.
#[derive(Debug)]
pub struct RelationCache {
    database: String,
    /// Owned by the session; emptied when it ends.
    by_id: HashMap<u32, Arc<Relation>>,
    /// The newest definition of each table, by schema and name.
    newest: HashMap<(String, String), Arc<TableSchema>>,
}

/// A definition before it has a version.
#[derive(Clone)]
struct Definition<'d> {
    namespace: &'d str,
    table: &'d str,
    replica_identity: ReplicaIdentity,
    columns: Vec<ColumnFacts>,
    identity: Vec<bool>,
    key: Vec<u32>,
}

impl RelationCache {
    /// An empty cache for tables of the database.
    pub fn new(database: impl Into<String>) -> RelationCache {
        RelationCache { database: database.into(), by_id: HashMap::new(), newest: HashMap::new() }
    }

    /// Takes in a definition that an earlier process recorded, so that versions go on from it. Only
    /// schemas as the source made them serve; one that a plugin changed is ignored.
    pub fn seed(&mut self, schema: Arc<TableSchema>) {
        if !schema.changed_by.is_empty() || schema.subject != Subject::Table {
            return;
        }
        let table = (schema.namespace.clone(), schema.table.clone());
        let newer = |known: &Arc<TableSchema>| known.version < schema.version;
        if self.newest.get(&table).is_none_or(newer) {
            self.newest.insert(table, schema);
        }
    }

    /// The relation that a change refers to; `None` where the session has not announced it.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&Arc<Relation>> {
        self.by_id.get(&id)
    }

    /// Forgets the session's relations: the next session announces its own.
    pub fn clear_session(&mut self) {
        self.by_id.clear();
    }

    /// Takes in a Relation message. `facts` are the table's in the catalogue, where it still
    /// exists; the facts of the columns' types are in `types`
    /// ([`TypeCatalog::missing`] says which are to be read).
    pub fn announce(
        &mut self,
        message: &pgoutput::Relation<'_>,
        facts: Option<&TableFacts>,
        types: &TypeCatalog,
    ) -> Arc<Relation> {
        let definition = announced(message, facts);
        let relation = match self.still_told(&definition, facts, types) {
            Some(relation) => relation,
            None => self.define(definition, types),
        };
        self.by_id.insert(message.id, Arc::clone(&relation));
        relation
    }

    /// The relation of a table as the catalogue has it, for a snapshot. It equals what the stream
    /// will announce while the definition does not change.
    pub fn describe(&mut self, facts: &TableFacts, types: &TypeCatalog) -> Arc<Relation> {
        self.define(described(facts), types)
    }

    /// The newest definition, where the message tells it once more and the catalogue is ahead of the
    /// log: a column that was renamed or dropped there since keeps what it said of it. The server
    /// repeats a relation now and then, after an analysis of the table for example.
    fn still_told(
        &self,
        definition: &Definition<'_>,
        facts: Option<&TableFacts>,
        types: &TypeCatalog,
    ) -> Option<Arc<Relation>> {
        let table = (definition.namespace.to_owned(), definition.table.to_owned());
        let newest = self.newest.get(&table)?;
        let is_there = |name: &str| {
            facts.is_some_and(|facts| facts.columns.iter().any(|known| known.name == name))
        };
        let mut columns = definition.columns.clone();
        for column in columns.iter_mut().filter(|column| !is_there(&column.name)) {
            let known = newest.columns.iter().find(|known| known.name == column.name)?;
            column.nullable = known.nullable;
            column.default.clone_from(&known.default);
        }
        let (mut schema, decoder) =
            self.schema(&Definition { columns, ..definition.clone() }, types);
        schema.version = newest.version;
        let schema = (schema == **newest).then(|| Arc::clone(newest))?;
        Some(Arc::new(Relation { schema, decoder }))
    }

    fn define(&mut self, definition: Definition<'_>, types: &TypeCatalog) -> Arc<Relation> {
        let (schema, decoder) = self.schema(&definition, types);
        Arc::new(Relation { schema: self.version(schema), decoder })
    }

    /// A definition as a schema that has no version yet, and what reads its rows.
    fn schema(
        &self,
        definition: &Definition<'_>,
        types: &TypeCatalog,
    ) -> (TableSchema, RowDecoder) {
        let name: Arc<str> = format!("{}.{}", definition.namespace, definition.table).into();
        let mut columns = Vec::with_capacity(definition.columns.len());
        let mut decoders = Vec::with_capacity(definition.columns.len());
        for facts in &definition.columns {
            let (column, form) = types.column(facts);
            decoders.push(ColumnDecoder::new(&name, &column, form));
            columns.push(column);
        }
        let schema = TableSchema {
            replica_identity: definition.replica_identity,
            ..TableSchema::new(
                self.database.clone(),
                definition.namespace,
                definition.table,
                columns,
                &definition.key,
            )
        };
        let identity = definition.replica_identity;
        let decoder = RowDecoder::new(name, decoders, definition.identity.clone(), identity);
        (schema, decoder)
    }

    /// Gives a definition its version: the newest one's where it says the same, else the next.
    fn version(&mut self, mut schema: TableSchema) -> Arc<TableSchema> {
        let table = (schema.namespace.clone(), schema.table.clone());
        if let Some(newest) = self.newest.get(&table) {
            schema.version = newest.version;
            if schema == **newest {
                return Arc::clone(newest);
            }
            schema.version = newest.version.saturating_add(1);
        }
        let schema = Arc::new(schema);
        self.newest.insert(table, Arc::clone(&schema));
        schema
    }
}

/// The definition of a Relation message, with what the catalogue adds by the columns' names.
fn announced<'d>(message: &pgoutput::Relation<'d>, facts: Option<&TableFacts>) -> Definition<'d> {
    let replica_identity = match message.replica_identity {
        pgoutput::ReplicaIdentity::Default => ReplicaIdentity::Key,
        pgoutput::ReplicaIdentity::Nothing => ReplicaIdentity::Nothing,
        pgoutput::ReplicaIdentity::Full => ReplicaIdentity::Full,
        pgoutput::ReplicaIdentity::Index => ReplicaIdentity::Index,
    };
    let identity: Vec<bool> = message.columns().map(|column| column.is_key).collect();
    let columns: Vec<ColumnFacts> = message
        .columns()
        .map(|column| {
            let known = facts
                .and_then(|facts| facts.columns.iter().find(|known| known.name == column.name));
            ColumnFacts {
                name: column.name.to_owned(),
                type_id: column.type_id,
                type_modifier: column.type_modifier,
                nullable: known.is_none_or(|known| known.nullable),
                default: known.and_then(|known| known.default.clone()),
            }
        })
        .collect();
    let key = key(replica_identity, &columns, facts, &identity);
    let namespace = qualified_namespace(message.namespace);
    Definition { namespace, table: message.name, replica_identity, columns, identity, key }
}

/// The definition of a table in the catalogue.
fn described(facts: &TableFacts) -> Definition<'_> {
    let names: &[String] = match facts.replica_identity {
        ReplicaIdentity::Key => &facts.primary_key,
        ReplicaIdentity::Index => &facts.identity_index,
        _ => &[],
    };
    let full = facts.replica_identity == ReplicaIdentity::Full;
    let identity: Vec<bool> =
        facts.columns.iter().map(|column| full || names.contains(&column.name)).collect();
    Definition {
        namespace: &facts.namespace,
        table: &facts.table,
        replica_identity: facts.replica_identity,
        columns: facts.columns.clone(),
        key: key(facts.replica_identity, &facts.columns, Some(facts), &identity),
        identity,
    }
}

/// Ordinals of the key's columns. The primary key's order is the catalogue's; which columns the
/// identity has is the stream's, and it wins where the two tell of different times. Under FULL the
/// stream marks every column, which is no key. A table without a primary key goes by a unique index
/// as Debezium has it: its inserts, and under FULL all its changes, have a key then.
fn key(
    replica_identity: ReplicaIdentity,
    columns: &[ColumnFacts],
    facts: Option<&TableFacts>,
    identity: &[bool],
) -> Vec<u32> {
    let ordinal = |name: &String| {
        let place = columns.iter().position(|column| column.name == *name)?;
        u32::try_from(place).ok()
    };
    // None where a column of the key is not among those published.
    let ordinals = |names: &[String]| -> Option<Vec<u32>> {
        names.iter().map(ordinal).collect::<Option<Vec<u32>>>().filter(|key| !key.is_empty())
    };
    let catalogued = facts.and_then(|facts| ordinals(&facts.primary_key));
    let without_primary_key = facts.filter(|facts| facts.primary_key.is_empty());
    let unique = without_primary_key.and_then(|facts| ordinals(&facts.unique_key));
    let marked: Vec<u32> =
        (0..).zip(identity).filter(|&(_, &is_key)| is_key).map(|(ordinal, _)| ordinal).collect();
    match replica_identity {
        ReplicaIdentity::Key => {
            let same = |key: &Vec<u32>| {
                key.len() == marked.len() && key.iter().all(|ordinal| marked.contains(ordinal))
            };
            let key = catalogued.filter(same).unwrap_or(marked);
            if key.is_empty() { unique.unwrap_or_default() } else { key }
        }
        ReplicaIdentity::Index => catalogued.unwrap_or(marked),
        _ => catalogued.or(unique).unwrap_or_default(),
    }
}
