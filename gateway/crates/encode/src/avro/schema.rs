//! The text of the Avro schema of Connect data, as Confluent's converter registers it.
//!
//! What Avro has no word for goes into properties that begin with `connect.`, in the order in which
//! the converter adds them. Written at once, without a tree of Avro's own.

use super::default::{self, Numbers};
use super::names::{self, Defined, RecordName};
use crate::EncodeError;
use crate::connect::{Kind, Schema};
use crate::json;

/// Connect's name of a decimal.
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
/// Precision of a decimal whose parameters do not say it.
const DECIMAL_PRECISION: i64 = 64;
/// Parameter that says it.
const PRECISION_PARAMETER: &str = "connect.decimal.precision";
/// Other names of Connect's that have a logical type in Avro.
const LOGICAL_TYPES: [(&str, &str); 3] = [
    ("org.apache.kafka.connect.data.Time", "time-millis"),
    ("org.apache.kafka.connect.data.Timestamp", "timestamp-millis"),
    ("org.apache.kafka.connect.data.Date", "date"),
];
/// Name of a record that is a map's entry.
const MAP_ENTRY: &str = "MapEntry";
/// Parameter that says that a default came from Avro, so that it is not repeated.
const DEFAULT_FLAG: &str = "io.confluent.connect.avro.field.default";

/// The schema text of a key or a value: UTF-8 JSON without spaces.
///
/// # Errors
/// A name that Avro does not allow, one name for records with different fields, a decimal without a
/// scale.
pub fn schema_text(schema: &Schema) -> Result<String, EncodeError> {
    let mut writer = Writer { out: Vec::new(), defined: Defined::default(), namespace: None };
    writer.schema(schema)?;
    // Everything comes from text, escaped byte by byte outside of characters of several bytes.
    Ok(String::from_utf8_lossy(&writer.out).into_owned())
}

struct Writer<'s> {
    out: Vec<u8>,
    defined: Defined<'s>,
    /// Of the record that is being written.
    namespace: Option<String>,
}

impl<'s> Writer<'s> {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        json::put_string(&mut self.out, text.as_bytes());
    }

    /// `,"name":`
    fn key(&mut self, name: &str) {
        self.out.push(b',');
        self.string(name);
        self.out.push(b':');
    }

    fn property(&mut self, name: &str, value: &str) {
        self.key(name);
        self.string(value);
    }

    fn number(&mut self, name: &str, value: i64) {
        self.key(name);
        json::put_integer(&mut self.out, value);
    }

    fn schema(&mut self, schema: &'s Schema) -> Result<(), EncodeError> {
        if !schema.optional {
            return self.required(schema);
        }
        let null_first = super::null_is_first(schema);
        self.raw(if null_first { "[\"null\"," } else { "[" });
        self.required(schema)?;
        self.raw(if null_first { "]" } else { ",\"null\"]" });
        Ok(())
    }

    /// The schema itself, without the union that optional ones have.
    fn required(&mut self, schema: &'s Schema) -> Result<(), EncodeError> {
        let name = match &schema.kind {
            Kind::Int8 | Kind::Int16 | Kind::Int32 => "int",
            Kind::Int64 => "long",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::Boolean => "boolean",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(element) => {
                self.raw("{\"type\":\"array\",\"items\":");
                self.schema(element)?;
                return self.end_with_properties(schema);
            }
            Kind::Map(key, value) => {
                if key.kind == Kind::String && !key.optional {
                    self.raw("{\"type\":\"map\",\"values\":");
                    self.schema(value)?;
                } else {
                    self.raw("{\"type\":\"array\",\"items\":");
                    self.map_entry(schema, key, value)?;
                }
                return self.end_with_properties(schema);
            }
            Kind::Struct(_) => return self.record(schema),
        };
        self.raw("{\"type\":");
        self.string(name);
        let bare = self.out.len();
        self.properties(schema)?;
        if self.out.len() == bare {
            // Without properties the type's name says it all.
            self.out.truncate(bare - name.len() - 2 - "{\"type\":".len());
            self.string(name);
        } else {
            self.raw("}");
        }
        Ok(())
    }

    fn end_with_properties(&mut self, schema: &Schema) -> Result<(), EncodeError> {
        self.properties(schema)?;
        self.raw("}");
        Ok(())
    }

    fn record(&mut self, schema: &'s Schema) -> Result<(), EncodeError> {
        let name = self.defined.name_of(schema)?;
        if self.refer(&name, schema)? {
            return Ok(());
        }
        let outside = self.begin_record(name);
        if let Some(doc) = parameter(schema, "io.confluent.connect.avro.record.doc") {
            self.property("doc", doc);
        }
        self.raw(",\"fields\":[");
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            let doc = format!("io.confluent.connect.avro.field.doc.{}", field.name);
            self.field(&field.name, &field.schema, parameter(schema, &doc))?;
        }
        self.raw("]");
        self.properties(schema)?;
        self.raw("}");
        self.namespace = outside;
        Ok(())
    }

    /// The record of an entry of a map whose keys are no text.
    fn map_entry(
        &mut self,
        map: &'s Schema,
        key: &'s Schema,
        value: &'s Schema,
    ) -> Result<(), EncodeError> {
        let name = match &map.name {
            Some(name) => RecordName::split(name)?,
            None => RecordName::own(MAP_ENTRY),
        };
        if self.refer(&name, map)? {
            return Ok(());
        }
        let outside = self.begin_record(name);
        self.raw(",\"fields\":[");
        self.field("key", key, None)?;
        self.raw(",");
        self.field("value", value, None)?;
        self.raw("]");
        if map.name.is_some() {
            self.property("connect.internal.type", MAP_ENTRY);
        }
        self.raw("}");
        self.namespace = outside;
        Ok(())
    }

    /// Writes a reference where the record is defined already, and says whether it did.
    fn refer(&mut self, name: &RecordName, schema: &'s Schema) -> Result<bool, EncodeError> {
        let defined = self.defined.is_defined(name, schema)?;
        if defined {
            let reference = name.reference(self.namespace.as_deref());
            self.string(&reference);
        }
        Ok(defined)
    }

    /// Writes the beginning of a record. Gives the namespace to go back to at its end.
    fn begin_record(&mut self, name: RecordName) -> Option<String> {
        self.raw("{\"type\":\"record\"");
        self.property("name", &name.name);
        if name.namespace != self.namespace {
            self.property("namespace", name.namespace.as_deref().unwrap_or_default());
        }
        std::mem::replace(&mut self.namespace, name.namespace)
    }

    fn field(
        &mut self,
        name: &str,
        schema: &'s Schema,
        doc: Option<&str>,
    ) -> Result<(), EncodeError> {
        names::check(name)?;
        self.raw("{\"name\":");
        self.string(name);
        self.key("type");
        self.schema(schema)?;
        if let Some(doc) = doc {
            self.property("doc", doc);
        }
        if let Some(value) = &schema.default {
            if default::is_allowed(schema, value) {
                self.key("default");
                default::put(&mut self.out, schema, value, Numbers::Doubles);
            }
        } else if schema.optional {
            self.raw(",\"default\":null");
        }
        self.raw("}");
        Ok(())
    }

    /// What only Connect knows, each as `,"name":value`.
    fn properties(&mut self, schema: &Schema) -> Result<(), EncodeError> {
        let decimal = schema.kind == Kind::Bytes && has_name(schema, DECIMAL);
        if decimal {
            let (scale, precision) = decimal_parameters(schema)?;
            self.number("scale", scale);
            self.number("precision", precision);
        }
        if let Some(doc) = &schema.doc {
            self.property("connect.doc", doc);
        }
        if let Some(version) = schema.version {
            self.number("connect.version", version.into());
        }
        self.parameters(schema);
        if let Some(value) = &schema.default
            && parameter(schema, DEFAULT_FLAG).is_none()
        {
            self.key("connect.default");
            default::put(&mut self.out, schema, value, Numbers::AsTheyAre);
        }
        if let Some(name) = &schema.name {
            self.property("connect.name", name);
        }
        match schema.kind {
            Kind::Int8 => self.property("connect.type", "int8"),
            Kind::Int16 => self.property("connect.type", "int16"),
            _ => {}
        }
        let logical = LOGICAL_TYPES.iter().find(|(name, _)| has_name(schema, name));
        if decimal {
            self.property("logicalType", "decimal");
        } else if let Some((_, logical)) = logical {
            self.property("logicalType", logical);
        }
        for (name, value) in &schema.parameters {
            if name.starts_with("avro") {
                self.property(name, value);
            }
        }
        Ok(())
    }

    fn parameters(&mut self, schema: &Schema) {
        let mut first = true;
        for (name, value) in &schema.parameters {
            if name == DEFAULT_FLAG {
                continue;
            }
            if first {
                self.key("connect.parameters");
                self.raw("{");
            } else {
                self.raw(",");
            }
            first = false;
            self.string(name);
            self.raw(":");
            self.string(value);
        }
        if !first {
            self.raw("}");
        }
    }
}

fn parameter<'s>(schema: &'s Schema, name: &str) -> Option<&'s str> {
    let found = schema.parameters.iter().find(|(parameter, _)| parameter == name);
    found.map(|(_, value)| value.as_str())
}

fn has_name(schema: &Schema, name: &str) -> bool {
    schema.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

/// Scale and precision.
fn decimal_parameters(schema: &Schema) -> Result<(i64, i64), EncodeError> {
    let number = |name| parameter(schema, name).map(|text| text.parse::<i32>().map(i64::from));
    match (number("scale"), number(PRECISION_PARAMETER)) {
        (Some(Ok(scale)), None) => Ok((scale, DECIMAL_PRECISION)),
        (Some(Ok(scale)), Some(Ok(precision))) => Ok((scale, precision)),
        _ => Err(names::refused("a decimal's scale or precision is no number".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connect::Field;

    fn pair(first: Schema, second: Schema) -> Schema {
        let field = |name: &str, schema| Field { name: name.to_owned(), schema: Arc::new(schema) };
        Schema::new(Kind::Struct(vec![field("a", first), field("b", second)])).named("x.Pair", 1)
    }

    fn inner(kind: Kind) -> Schema {
        let field = Field { name: "i".to_owned(), schema: Arc::new(Schema::new(kind)) };
        Schema::new(Kind::Struct(vec![field])).named("x.Inner", 1)
    }

    // The converter fails here: it counts documentation as a difference.
    #[test]
    fn one_record_with_two_documentations_is_defined_once() {
        let documented = Schema { doc: Some("other".to_owned()), ..inner(Kind::Int32) };
        let text = schema_text(&pair(inner(Kind::Int32), documented)).unwrap();
        assert_eq!(text.matches("\"Inner\"").count(), 2, "{text}");
        assert!(text.contains(r#"{"name":"b","type":"Inner"}"#), "{text}");
    }

    #[test]
    fn one_name_for_records_with_different_fields_is_refused() {
        let error = schema_text(&pair(inner(Kind::Int32), inner(Kind::Int64))).unwrap_err();
        assert_eq!(error.code(), "ENCODE_SCHEMA");
        assert!(error.to_string().contains("\"x.Inner\""), "{error}");
    }

    #[test]
    fn a_decimal_without_a_scale_is_refused() {
        let error = schema_text(&Schema::new(Kind::Bytes).named(DECIMAL, 1)).unwrap_err();
        assert!(error.to_string().contains("scale"), "{error}");
    }
}
