//! The text of a schema, as Confluent's `ProtobufSchema` prints it: two spaces a level, lines that
//! are empty but for those spaces included. Registries compare schemas by this text.

use super::definition::{self, Field, Message};
use crate::EncodeError;
use crate::connect::Schema;

/// The schema that Confluent's converter registers for a Connect schema.
///
/// # Errors
/// Names that Protobuf does not allow, arrays of arrays, and what else the converter refuses: see
/// the error's text. A schema whose outermost value is no struct.
pub fn schema_text(schema: &Schema) -> Result<String, EncodeError> {
    let file = definition::file(schema)?;
    let mut out = String::from("syntax = \"proto3\";\n");
    if let Some(package) = &file.package {
        out.push_str("package ");
        out.push_str(package);
        out.push_str(";\n");
    }
    if !file.imports.is_empty() {
        out.push('\n');
    }
    for import in &file.imports {
        out.push_str("import \"");
        out.push_str(import);
        out.push_str("\";\n");
    }
    out.push('\n');
    put_message(&mut out, &file.message, 0);
    Ok(out)
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

fn put_message(out: &mut String, message: &Message, level: usize) {
    indent(out, level);
    out.push_str("message ");
    out.push_str(&message.name);
    out.push_str(" {");
    if !message.fields.is_empty() {
        out.push('\n');
    }
    for field in &message.fields {
        put_field(out, field, level + 1);
    }
    if !message.nested.is_empty() {
        // The empty line is indented as those around it.
        indent(out, level);
        out.push('\n');
    }
    for nested in &message.nested {
        put_message(out, nested, level + 1);
    }
    if !message.fields.is_empty() {
        indent(out, level);
    }
    out.push_str("}\n");
}

fn put_field(out: &mut String, field: &Field, level: usize) {
    indent(out, level);
    if field.repeated {
        out.push_str("repeated ");
    }
    out.push_str(&format!("{} {} = {}", field.type_name, field.name, field.number));
    if !field.meta.is_empty() {
        put_meta(out, &field.meta, level);
    }
    out.push_str(";\n");
}

fn put_meta(out: &mut String, meta: &[(&'static str, String)], level: usize) {
    out.push_str(" [(confluent.field_meta) = {\n");
    let mut line = |depth: usize, text: &str| {
        indent(out, level + depth);
        out.push_str(text);
        out.push('\n');
    };
    line(1, "params: [");
    for (index, (key, value)) in meta.iter().enumerate() {
        let key_line = format!("key: \"{key}\"");
        let value_line = format!("value: \"{value}\"");
        line(2, "{");
        // Older versions of the converter wrote these two the other way round.
        if matches!(*key, "precision" | "scale") {
            line(3, &format!("{value_line},"));
            line(3, &key_line);
        } else {
            line(3, &format!("{key_line},"));
            line(3, &value_line);
        }
        line(2, if index + 1 < meta.len() { "}," } else { "}" });
    }
    line(1, "]");
    indent(out, level);
    out.push_str("}]");
}
