//! The rare answers of a core module, as JSON: what it says of itself and of a table.
//!
//! The names are those of the contract. What is left out is empty, none or false; a name that the
//! contract does not have is an error, so that a misspelt `subscribe` is not a table left unseen.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::reader::{Unreadable, malformed};
use crate::bindings as wit;
use crate::fault::guest_text;

/// Largest answer. What is made of one may be several times larger.
const ANSWER_BYTES: usize = 4 << 20;

/// Reads what the module answered to its configuration.
pub(super) fn info(bytes: &[u8]) -> Result<Result<wit::Info, wit::Failure>, Unreadable> {
    Ok(answer::<Info>(bytes)?.map(|info| wit::Info {
        name: info.name,
        version: info.version,
        protects: info.protects,
        required_columns: info.required_columns,
        stateful: info.stateful,
        extra: headers(info.extra),
    }))
}

/// Reads what the module answered to a schema. Its columns are always sent packed.
pub(super) fn interest(bytes: &[u8]) -> Result<Result<wit::Interest, wit::Failure>, Unreadable> {
    Ok(answer::<Interest>(bytes)?.map(|interest| wit::Interest {
        subscribe: interest.subscribe,
        columns: interest.columns,
        wants: wants(&interest.wants),
        shape: interest.shape.map(shape),
        form: interest.form.map(form),
        outputs: interest.outputs.into_iter().map(output).collect(),
        extra: headers(interest.extra),
    }))
}

/// A schema as the module is told it.
pub(super) fn schema(schema: &wit::Schema) -> Vec<u8> {
    let columns: Vec<_> = schema.columns.iter().map(column_json).collect();
    let subject = match schema.subject {
        wit::Subject::Table => "table",
        wit::Subject::Message => "message",
    };
    json!({
        "id": schema.id,
        "subject": subject,
        "database": schema.database,
        "namespace": schema.namespace,
        "table": schema.table,
        "version": schema.version,
        "columns": columns,
        "key": schema.key,
        "before-columns": schema.before_columns,
        "extra": [],
    })
    .to_string()
    .into_bytes()
}

fn column_json(column: &wit::ColumnInfo) -> serde_json::Value {
    let kind = match column.kind {
        wit::Kind::Boolean => "boolean",
        wit::Kind::Int64 => "int64",
        wit::Kind::Uint64 => "uint64",
        wit::Kind::Float64 => "float64",
        wit::Kind::Text => "text",
        wit::Kind::Bytes => "bytes",
    };
    json!({
        "name": column.name,
        "kind": kind,
        "logical": column.logical,
        "native": column.native,
        "nullable": column.nullable,
        "labels": column.labels,
    })
}

fn answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<Result<T, wit::Failure>, Unreadable> {
    if bytes.len() > ANSWER_BYTES {
        return Err(Unreadable::TooLarge);
    }
    match serde_json::from_slice(bytes) {
        Ok(Answer::Ok(value)) => Ok(Ok(value)),
        Ok(Answer::Error(Failure { message, permanent })) => {
            Ok(Err(wit::Failure { message, permanent }))
        }
        Err(error) => Err(malformed(format!(
            "its JSON is not as it must be: {}",
            guest_text(&error.to_string())
        ))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(Failure),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    message: String,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Info {
    name: String,
    version: String,
    #[serde(default)]
    protects: bool,
    #[serde(default)]
    required_columns: Vec<String>,
    #[serde(default)]
    stateful: bool,
    #[serde(default)]
    extra: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interest {
    #[serde(default)]
    subscribe: bool,
    #[serde(default)]
    columns: Vec<u32>,
    #[serde(default)]
    wants: Vec<Want>,
    shape: Option<Shape>,
    form: Option<Form>,
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    extra: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Want {
    BeforeImage,
    Headers,
    Positions,
    CommitTimes,
    Transactions,
    PackedText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    #[serde(default)]
    remove: Vec<u32>,
    #[serde(default)]
    retype: Vec<(u32, Column)>,
    #[serde(default)]
    add: Vec<Column>,
    key: Option<Vec<u32>>,
    stream: Option<String>,
    name: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    kind: Kind,
    logical: String,
    #[serde(default)]
    native: String,
    #[serde(default)]
    nullable: bool,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Boolean,
    Int64,
    Uint64,
    Float64,
    Text,
    Bytes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Envelope,
    Flat,
    Opaque(Opaque),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Opaque {
    payload: u32,
    content_type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    name: String,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    key: Vec<u32>,
    #[serde(default)]
    form: Form,
    stream: Option<String>,
}

fn headers(headers: Vec<Header>) -> Vec<wit::Header> {
    let header = |Header { name, value }| wit::Header { name, value: value.into_bytes() };
    headers.into_iter().map(header).collect()
}

fn wants(wants: &[Want]) -> wit::Wants {
    wants.iter().fold(wit::Wants::PACKED_TEXT, |all, want| {
        all | match want {
            Want::BeforeImage => wit::Wants::BEFORE_IMAGE,
            Want::Headers => wit::Wants::HEADERS,
            Want::Positions => wit::Wants::POSITIONS,
            Want::CommitTimes => wit::Wants::COMMIT_TIMES,
            Want::Transactions => wit::Wants::TRANSACTIONS,
            Want::PackedText => wit::Wants::PACKED_TEXT,
        }
    })
}

fn shape(shape: Shape) -> wit::Shape {
    wit::Shape {
        remove: shape.remove,
        retype: shape.retype.into_iter().map(|(ordinal, to)| (ordinal, column(to))).collect(),
        add: shape.add.into_iter().map(column).collect(),
        key: shape.key,
        stream: shape.stream,
        name: shape.name,
    }
}

fn column(column: Column) -> wit::ColumnInfo {
    wit::ColumnInfo {
        name: column.name,
        kind: match column.kind {
            Kind::Boolean => wit::Kind::Boolean,
            Kind::Int64 => wit::Kind::Int64,
            Kind::Uint64 => wit::Kind::Uint64,
            Kind::Float64 => wit::Kind::Float64,
            Kind::Text => wit::Kind::Text,
            Kind::Bytes => wit::Kind::Bytes,
        },
        logical: column.logical,
        native: column.native,
        nullable: column.nullable,
        labels: column.labels,
    }
}

fn form(form: Form) -> wit::Form {
    match form {
        Form::Envelope => wit::Form::Envelope,
        Form::Flat => wit::Form::Flat,
        Form::Opaque(Opaque { payload, content_type }) => {
            wit::Form::Opaque(wit::Opaque { payload, content_type })
        }
    }
}

fn output(output: Output) -> wit::Output {
    wit::Output {
        name: output.name,
        columns: output.columns.into_iter().map(column).collect(),
        key: output.key,
        form: form(output.form),
        stream: output.stream,
    }
}
