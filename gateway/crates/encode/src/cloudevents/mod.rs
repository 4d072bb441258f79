//! CloudEvents 1.0: in structured mode as Debezium's `CloudEventsConverter` 3.6 writes them with
//! JSON outside, and in binary mode by the Kafka protocol binding, which that converter does not
//! have. `FORMATS.md` beside this crate is the reference.
//!
//! An event is attributes and data. The attributes of the change itself are written here, those of
//! the source and the transaction block through the formats [`Attributes`] (structured) and
//! [`HeaderAttributes`] (binary), which any driver of Connect data can write. The data is the
//! caller's: rows before and after, in JSON or in bytes that a registry knows.
//!
//! Sources: cloudevents/spec v1.0.2 (`spec.md`, `formats/json-format.md`,
//! `bindings/kafka-protocol-binding.md`).

mod attributes;
mod headers;

use std::sync::Arc;

use offtake_change::Operation;

pub use attributes::Attributes;
pub use headers::{HeaderAttributes, Headers};

use crate::calendar::put_moment;
use crate::connect::{Field, Kind, Schema};
use crate::json::{put_base64, put_byte_string, put_escaped, put_integer};

/// The value's content type in structured mode, for the header `content-type`.
pub const STRUCTURED_CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";
/// The header that tells the data's content type in binary mode.
pub const CONTENT_TYPE_HEADER: &str = "content-type";
/// Name of the schema of the data.
pub const DATA_SCHEMA_NAME: &str = "io.debezium.connector.postgresql.Data";

const SPECIFICATION: &str = "1.0";
const TYPE: &str = "io.debezium.connector.postgresql.DataChangeEvent";

/// What the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its media type: `application/json`, `application/avro` …
    pub media_type: String,
    /// Where its schema is, where a registry has it: see [`schema_uri`].
    pub schema: Option<String>,
}

impl Content {
    /// JSON, without a registry.
    pub fn json() -> Content {
        Content { media_type: "application/json".to_owned(), schema: None }
    }
}

/// Where a registry of Confluent's API has a schema, as Debezium writes it into `dataschema`.
pub fn schema_uri(registry: &str, id: u32) -> String {
    format!("{registry}/schemas/ids/{id}")
}

/// The schema of the data: the row before and the row after, of their optional row schema.
pub fn data_schema(row: &Arc<Schema>) -> Schema {
    let field = |name: &str| Field { name: name.to_owned(), schema: Arc::clone(row) };
    let mut schema = Schema::new(Kind::Struct(vec![field("before"), field("after")]));
    schema.name = Some(DATA_SCHEMA_NAME.to_owned());
    schema
}

/// What identifies a change; the same values as in its source block.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// `source.lsn`.
    pub lsn: Option<i64>,
    /// `source.txId`.
    pub transaction: Option<i64>,
    /// `source.sequence`.
    pub sequence: &'a [u8],
    /// `source.ts_ms`.
    pub unix_millis: i64,
    /// The operation of the envelope.
    pub operation: Operation,
}

/// What is the same for all events of a stream, prepared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `name:…;lsn:`
    id: String,
    /// From the beginning to there, as JSON.
    head: Vec<u8>,
    source: String,
    /// From the end of the id to the beginning of the time, as JSON.
    between: Vec<u8>,
    /// From the end of the time to the operation's letter, as JSON.
    after_time: Vec<u8>,
    content: Content,
}

impl Plan {
    /// Prepares the events of a pipeline; `prefix` is Debezium's `topic.prefix`.
    pub fn new(prefix: &str, content: Content) -> Plan {
        let source = format!("/debezium/postgresql/{prefix}");
        let mut between = b"\",\"source\":".to_vec();
        put_byte_string(&mut between, source.as_bytes());
        between.extend_from_slice(b",\"specversion\":\"");
        between.extend_from_slice(SPECIFICATION.as_bytes());
        between.extend_from_slice(b"\",\"type\":\"");
        between.extend_from_slice(TYPE.as_bytes());
        between.extend_from_slice(b"\",\"time\":\"");
        let mut after_time = b"\",\"datacontenttype\":".to_vec();
        put_byte_string(&mut after_time, content.media_type.as_bytes());
        if let Some(schema) = &content.schema {
            after_time.extend_from_slice(b",\"dataschema\":");
            put_byte_string(&mut after_time, schema.as_bytes());
        }
        after_time.extend_from_slice(b",\"iodebeziumop\":\"");
        let id = format!("name:{prefix};lsn:");
        let mut head = b"{\"id\":".to_vec();
        put_byte_string(&mut head, id.as_bytes());
        // The id goes on.
        head.pop();
        Plan { id, head, source, between, after_time, content }
    }

    /// Begins an event in structured mode. The source block and the transaction block follow, in
    /// the format [`Attributes`], then [`put_data`] or [`put_data_bytes`].
    pub fn put_begin(&self, out: &mut Vec<u8>, identity: &Identity<'_>) {
        out.extend_from_slice(&self.head);
        put_place(out, identity, put_escaped);
        out.extend_from_slice(&self.between);
        put_moment(out, identity.unix_millis.saturating_mul(1000), 3);
        out.extend_from_slice(&self.after_time);
        out.push(identity.operation.letter());
        out.push(b'"');
    }

    /// Appends the headers of an event in binary mode to a buffer that [`Headers`] reads. Those of
    /// the source and the transaction block follow, in the format [`HeaderAttributes`].
    pub fn put_headers(&self, out: &mut Vec<u8>, identity: &Identity<'_>) {
        headers::put_with(out, "ce_id", |out| {
            out.extend_from_slice(self.id.as_bytes());
            put_place(out, identity, |out, text| out.extend_from_slice(text));
        });
        headers::put(out, "ce_source", self.source.as_bytes());
        headers::put(out, "ce_specversion", SPECIFICATION.as_bytes());
        headers::put(out, "ce_type", TYPE.as_bytes());
        headers::put_with(out, "ce_time", |out| {
            put_moment(out, identity.unix_millis.saturating_mul(1000), 3);
        });
        headers::put(out, CONTENT_TYPE_HEADER, self.content.media_type.as_bytes());
        if let Some(schema) = &self.content.schema {
            headers::put(out, "ce_dataschema", schema.as_bytes());
        }
        headers::put(out, "ce_iodebeziumop", &[identity.operation.letter()]);
    }
}

/// Where in the database's log the change stands: the rest of the id. A re-send has the same.
fn put_place(out: &mut Vec<u8>, identity: &Identity<'_>, put_text: impl Fn(&mut Vec<u8>, &[u8])) {
    put_number(out, identity.lsn);
    out.extend_from_slice(b";txId:");
    put_number(out, identity.transaction);
    out.extend_from_slice(b";sequence:");
    put_text(out, identity.sequence);
}

/// Ends an event in structured mode with data that `write` appends as JSON.
///
/// # Errors
/// What `write` answers.
pub fn put_data<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.extend_from_slice(b",\"data\":");
    write(out)?;
    out.push(b'}');
    Ok(())
}

/// Ends an event in structured mode with data that is no JSON, framed as its registry wants it: in
/// base64, under the name that Debezium gives it.
pub fn put_data_bytes(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(b",\"data\":");
    put_base64(out, data);
    out.push(b'}');
}

fn put_number(out: &mut Vec<u8>, number: Option<i64>) {
    match number {
        Some(number) => put_integer(out, number),
        None => out.extend_from_slice(b"null"),
    }
}
