//! Tables of a fixture: `tables.json` to definitions, and definitions that leave a plugin back to
//! the same form.

use std::path::Path;
use std::sync::Arc;

use offtake_change::{Column, Form, Kind, ReplicaIdentity, Subject, TableSchema};
use offtake_transform::column_of_type;
use serde_json::{Map, Value, json};

use crate::mistake::{Mistake, Place};

/// The database of a table that names none.
pub(crate) const DATABASE: &str = "shop";

const TABLE: &[&str] = &["schema", "table", "database", "columns", "key", "before"];
const COLUMN: &[&str] = &["name", "type", "nullable", "labels", "native"];

/// What `before` can be.
const BEFORE: [(&str, ReplicaIdentity); 4] = [
    ("key", ReplicaIdentity::Key),
    ("all", ReplicaIdentity::Full),
    ("nothing", ReplicaIdentity::Nothing),
    ("unknown", ReplicaIdentity::Unknown),
];

/// Names of types in SQL, and what the gateway calls them.
const SQL_NAMES: [(&str, &str); 19] = [
    ("bigint", "int8"),
    ("bigserial", "int8"),
    ("boolean", "bool"),
    ("bytea", "bytes"),
    ("character", "char"),
    ("character varying", "varchar"),
    ("double", "float8"),
    ("double precision", "float8"),
    ("float", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("numeric", "decimal"),
    ("real", "float4"),
    ("serial", "int4"),
    ("smallint", "int2"),
    ("string", "text"),
    ("time with time zone", "timetz"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

/// Reads `tables.json`.
///
/// # Errors
/// The first mistake.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Arc<TableSchema>>, Mistake> {
    let place = Place { file, line: None };
    let Value::Array(items) = place.json(text)? else {
        let help = "write [ {\"schema\": \"public\", \"table\": …} ]";
        return Err(place.mistake("FIXTURE_TYPE", "it is not a list of tables", help));
    };
    let mut tables: Vec<Arc<TableSchema>> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let table = table(place, &format!("table {}", at + 1), item)?;
        if tables.iter().any(|known| known.qualified_name() == table.qualified_name()) {
            let message = format!("the table {} is here twice", table.qualified_name());
            return Err(place.mistake("FIXTURE_TABLE", message, "keep one of them"));
        }
        tables.push(Arc::new(table));
    }
    Ok(tables)
}

fn table(place: Place<'_>, field: &str, item: &Value) -> Result<TableSchema, Mistake> {
    let object = place.object(field, item, TABLE)?;
    let Some(name) = place.text(object, "table")? else {
        let help = "write \"table\": \"orders\"";
        return Err(place.mistake("FIXTURE_TABLE", format!("{field} has no name"), help));
    };
    let namespace = place.text(object, "schema")?.unwrap_or("public");
    let database = place.text(object, "database")?.unwrap_or(DATABASE);
    let Some(Value::Array(items)) = object.get("columns") else {
        let help = "write \"columns\": [{\"name\": \"id\", \"type\": \"int8\"}]";
        return Err(place.mistake("FIXTURE_TYPE", format!("{field} has no columns"), help));
    };
    let mut columns: Vec<Column> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let made = column(place, &format!("{field}, column {}", at + 1), item)?;
        if columns.iter().any(|known| known.name == made.name) {
            let message = format!("{field} has two columns with the name {:?}", made.name);
            return Err(place.mistake("FIXTURE_TABLE", message, "keep one of them"));
        }
        columns.push(made);
    }
    let mut key = Vec::new();
    for name in place.texts(object, "key")? {
        let Some(ordinal) = columns.iter().position(|column| column.name == name) else {
            let message = format!("the key of {field} has {name:?}, which is no column of it");
            return Err(place.mistake("FIXTURE_TABLE", message, names(&columns)));
        };
        columns[ordinal].nullable &= says_nullable(&items[ordinal]);
        key.push(ordinal as u32);
    }
    let replica_identity = match place.text(object, "before")? {
        None => ReplicaIdentity::Key,
        Some(text) => {
            let found = BEFORE.iter().find(|(name, _)| *name == text);
            let Some((_, identity)) = found else {
                let message = format!("\"before\" of {field} is {text:?}");
                let help = "there are \"key\" (as without it), \"all\", \"nothing\", \"unknown\"";
                return Err(place.mistake("FIXTURE_TABLE", message, help));
            };
            *identity
        }
    };
    Ok(TableSchema {
        replica_identity,
        ..TableSchema::new(database, namespace, name, columns, &key)
    })
}

/// A column of the key is NOT NULL unless the fixture says otherwise.
fn says_nullable(item: &Value) -> bool {
    item["nullable"] == Value::Bool(true)
}

fn column(place: Place<'_>, field: &str, item: &Value) -> Result<Column, Mistake> {
    let object = place.object(field, item, COLUMN)?;
    let need = |name: &str, help: &str| {
        place.mistake("FIXTURE_TABLE", format!("{field} has no {name:?}"), help)
    };
    let name = place.text(object, "name")?;
    let name = name.ok_or_else(|| need("name", "write \"name\": \"id\""))?;
    let logical = place.text(object, "type")?;
    let logical = logical.ok_or_else(|| need("type", "write \"type\": \"int8\""))?;
    check_type(place, field, logical)?;
    let mut column = column_of_type(name, logical)
        .map_err(|message| place.mistake("FIXTURE_TABLE", format!("{field}: {message}"), TYPES))?;
    column.nullable = match object.get("nullable") {
        None => true,
        Some(Value::Bool(nullable)) => *nullable,
        Some(_) => {
            let message = format!("\"nullable\" of {field} is neither true nor false");
            return Err(place.mistake("FIXTURE_TYPE", message, "write \"nullable\": false"));
        }
    };
    column.labels = place.texts(object, "labels")?.into_iter().map(str::to_owned).collect();
    if column.labels.is_empty() == (logical == "enum") {
        let message = format!("{field}: labels belong to the type \"enum\", which has some");
        let help = "write \"type\": \"enum\", \"labels\": [\"sad\", \"ok\"]";
        return Err(place.mistake("FIXTURE_TABLE", message, help));
    }
    column.native = match place.text(object, "native")? {
        Some(native) => native.to_owned(),
        None => native_name(logical),
    };
    Ok(column)
}

const TYPES: &str = "types are named as plugins see them: bool, int4, int8, float8, text, \
                     varchar(20), bytes, decimal(12,2), timestamptz, uuid, json, enum, list<int4>";

/// Refuses SQL's own name of a type: it would be taken for a type that is not known.
fn check_type(place: Place<'_>, field: &str, logical: &str) -> Result<(), Mistake> {
    let Some(meant) = of_sql(&logical.to_lowercase()) else { return Ok(()) };
    let message = format!("{field} has the type {logical:?}, which is not what plugins see");
    Err(place.mistake("FIXTURE_TABLE", message, format!("write \"type\": \"{meant}\"")))
}

/// The logical type that SQL calls so; `None`: it is none of SQL's names.
fn of_sql(name: &str) -> Option<String> {
    if let Some(element) = name.strip_suffix("[]") {
        let meant = of_sql(element).unwrap_or_else(|| element.to_owned());
        return Some(format!("list<{meant}>"));
    }
    if let Some(element) = name.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return of_sql(element).map(|meant| format!("list<{meant}>"));
    }
    let (base, rest) = name.split_at(name.find('(').unwrap_or(name.len()));
    let known = SQL_NAMES.iter().find(|(name, _)| *name == base.trim());
    known.map(|(_, meant)| format!("{meant}{rest}"))
}

/// PostgreSQL's name of a logical type.
fn native_name(logical: &str) -> String {
    if let Some(element) = logical.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("{}[]", native_name(element));
    }
    match logical {
        "bytes" => "bytea".to_owned(),
        other => match other.strip_prefix("decimal") {
            Some(rest) => format!("numeric{rest}"),
            None => other.to_owned(),
        },
    }
}

/// The names of columns, as a proposal.
pub(crate) fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    format!("its columns are {}", names.join(", "))
}

/// The definition of logical messages.
pub(crate) fn messages() -> TableSchema {
    let column =
        |name, kind, logical| Column { nullable: false, ..Column::new(name, kind, logical) };
    let columns =
        vec![column("prefix", Kind::Text, "text"), column("content", Kind::Bytes, "bytes")];
    TableSchema {
        replica_identity: ReplicaIdentity::Unknown,
        subject: Subject::Message,
        ..TableSchema::new(DATABASE, "", "", columns, &[])
    }
}

fn column_name(schema: &TableSchema, ordinal: u32) -> &str {
    schema.columns.get(ordinal as usize).map_or("", |column| column.name.as_str())
}

/// What is told of a column in any case.
fn column_record(column: &Column) -> Map<String, Value> {
    let mut of = Map::new();
    of.insert("name".into(), column.name.as_str().into());
    of.insert("type".into(), column.logical.as_str().into());
    of.insert("nullable".into(), column.nullable.into());
    if !column.labels.is_empty() {
        of.insert("labels".into(), column.labels.clone().into());
    }
    of
}

/// A definition of a source, as `tables.json` has it.
pub(crate) fn record(schema: &TableSchema) -> Value {
    let name = |ordinal: &u32| column_name(schema, *ordinal);
    // A fixture tells the key's columns, whichever index they are of.
    let before = match schema.replica_identity {
        ReplicaIdentity::Index => ReplicaIdentity::Key,
        other => other,
    };
    let before = BEFORE.iter().find(|(_, identity)| *identity == before);
    let columns = schema.columns.iter().map(|column| {
        let mut of = column_record(column);
        of.insert("native".into(), column.native.as_str().into());
        Value::Object(of)
    });
    json!({
        "schema": schema.namespace,
        "table": schema.table,
        "database": schema.database,
        "key": schema.key.iter().map(name).collect::<Vec<&str>>(),
        "before": before.map_or("unknown", |(name, _)| name),
        "columns": columns.collect::<Vec<Value>>(),
    })
}

/// A definition that leaves a plugin, in the form of `tables.json`.
pub(crate) fn describe(schema: &TableSchema) -> Value {
    let name = |ordinal: &u32| column_name(schema, *ordinal);
    let mut object = Map::new();
    object.insert("schema".into(), schema.namespace.as_str().into());
    object.insert("table".into(), schema.table.as_str().into());
    let columns = schema.columns.iter().map(|column| Value::Object(column_record(column)));
    object.insert("columns".into(), columns.collect());
    object.insert("key".into(), schema.key.iter().map(name).collect());
    if schema.form == Form::Opaque {
        object.insert("payload".into(), name(&schema.payload).into());
        object.insert("content_type".into(), schema.content_type.as_str().into());
    } else if schema.form == Form::Flat {
        object.insert("form".into(), json!("flat"));
    }
    Value::Object(object)
}
