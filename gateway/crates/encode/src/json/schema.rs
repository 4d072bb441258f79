//! A schema as `JsonConverter` writes it beside the payload (`schemas.enable`): `asJsonSchema`.

use super::format::Json;
use super::put_byte_string;
use crate::connect::{Kind, Node, Schema};

/// Appends a schema: type and what it is made of, then optional, name, version, documentation,
/// parameters and default.
pub(crate) fn put_schema(out: &mut Vec<u8>, schema: &Schema) {
    put(out, schema, None);
}

fn put(out: &mut Vec<u8>, schema: &Schema, field: Option<&str>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(match &schema.kind {
        Kind::Int8 => b"int8",
        Kind::Int16 => b"int16",
        Kind::Int32 => b"int32",
        Kind::Int64 => b"int64",
        Kind::Float32 => b"float",
        Kind::Float64 => b"double",
        Kind::Boolean => b"boolean",
        Kind::String => b"string",
        Kind::Bytes => b"bytes",
        Kind::Array(_) => b"array",
        Kind::Map(..) => b"map",
        Kind::Struct(_) => b"struct",
    });
    out.push(b'"');
    put_parts(out, &schema.kind);
    out.extend_from_slice(if schema.optional {
        &b",\"optional\":true"[..]
    } else {
        b",\"optional\":false"
    });
    if let Some(name) = &schema.name {
        put_member(out, "name", name);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        out.extend_from_slice(version.to_string().as_bytes());
    }
    if let Some(doc) = &schema.doc {
        put_member(out, "doc", doc);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (index, (name, value)) in schema.parameters.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            put_byte_string(out, name.as_bytes());
            out.push(b':');
            put_byte_string(out, value.as_bytes());
        }
        out.push(b'}');
    }
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        Node::<Json>::root(&schema.clone().into()).put(out, default);
    }
    if let Some(field) = field {
        put_member(out, "field", field);
    }
    out.push(b'}');
}

fn put_parts(out: &mut Vec<u8>, kind: &Kind) {
    match kind {
        Kind::Array(element) => {
            out.extend_from_slice(b",\"items\":");
            put(out, element, None);
        }
        Kind::Map(key, value) => {
            out.extend_from_slice(b",\"keys\":");
            put(out, key, None);
            out.extend_from_slice(b",\"values\":");
            put(out, value, None);
        }
        Kind::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put(out, &field.schema, Some(&field.name));
            }
            out.push(b']');
        }
        _ => {}
    }
}

fn put_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    put_byte_string(out, value.as_bytes());
}
