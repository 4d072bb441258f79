//! The messages that a Connect schema becomes, with the converter's names, before they are text.
//!
//! What the converter or a registry would refuse is refused here: names that are no identifiers,
//! two things of one name in a message, arrays of arrays. A schema that comes out can be registered.

use std::borrow::Cow;

use super::{FORMAT, Logical};
use crate::EncodeError;
use crate::connect::{self, Kind, Schema};

/// The stand-in for a name that a schema does not have; numbered.
const UNNAMED: &str = "ConnectDefault";
/// Types that are no messages.
const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];
/// Parameters that steer the converter; Debezium sets none.
const STEERING: &str = "io.confluent.connect.protobuf.";

/// A `.proto` file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) package: Option<String>,
    /// In the order in which they were needed first.
    pub(super) imports: Vec<&'static str>,
    pub(super) message: Message,
}

/// A message type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) nested: Vec<Message>,
    /// How many names had been given when it was begun.
    unnamed: u32,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) repeated: bool,
    pub(super) type_name: Cow<'static, str>,
    pub(super) name: String,
    pub(super) number: usize,
    /// What of the Connect schema the type does not say.
    pub(super) meta: Vec<(&'static str, String)>,
}

/// The file of a whole schema, which is a struct.
pub(super) fn file(schema: &Schema) -> Result<File, EncodeError> {
    let Kind::Struct(fields) = &schema.kind else {
        return refuse("its outermost value is no struct".to_owned());
    };
    let mut builder = Builder { package: None, imports: Vec::new(), unnamed: 0 };
    let full_name = builder.name(schema);
    let name = match full_name.rsplit_once('.') {
        Some((package, name)) => {
            check_package(package)?;
            builder.package = Some(package.to_owned());
            name.to_owned()
        }
        None => full_name,
    };
    let message = builder.message(name, fields)?;
    Ok(File { package: builder.package, imports: builder.imports, message })
}

struct Builder {
    package: Option<String>,
    imports: Vec<&'static str>,
    /// Names given so far.
    unnamed: u32,
}

impl Builder {
    fn name(&mut self, schema: &Schema) -> String {
        match schema.name.as_deref() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => {
                self.unnamed += 1;
                format!("{UNNAMED}{}", self.unnamed)
            }
        }
    }

    fn message(&mut self, name: String, fields: &[connect::Field]) -> Result<Message, EncodeError> {
        let unnamed = self.unnamed;
        let mut message = Message { name, fields: Vec::new(), nested: Vec::new(), unnamed };
        for (index, field) in fields.iter().enumerate() {
            let field = self.field(&mut message, &field.name, index + 1, &field.schema)?;
            message.fields.push(field);
        }
        check_names(&message)?;
        Ok(message)
    }

    /// A field of `message`, and the message type that it needs.
    fn field(
        &mut self,
        message: &mut Message,
        name: &str,
        number: usize,
        schema: &Schema,
    ) -> Result<Field, EncodeError> {
        let (array, schema) = match &schema.kind {
            Kind::Array(element) => (true, element.as_ref()),
            _ => (false, schema),
        };
        let repeated = array || matches!(schema.kind, Kind::Map(..));
        if schema.parameters.iter().any(|(name, _)| name.starts_with(STEERING)) {
            return refuse(format!("field `{name}` has a parameter of Confluent's converter"));
        }
        if array && matches!(schema.kind, Kind::Map(..)) {
            return refuse(format!("field `{name}` is an array of maps"));
        }
        // Of a message type the converter does not register the default.
        let scalar = Logical::of(schema).is_none() && !matches!(schema.kind, Kind::Struct(_));
        if array && scalar && schema.default.is_some() {
            return refuse(format!("the elements of field `{name}` have a default"));
        }
        let mut meta = Vec::new();
        let type_name = match Logical::of(schema) {
            Some(logical) => self.logical(logical, name, schema, &mut meta)?,
            None => self.plain(message, name, schema, &mut meta)?,
        };
        Ok(Field { repeated, type_name, name: name.to_owned(), number, meta })
    }

    fn logical(
        &mut self,
        logical: Logical,
        name: &str,
        schema: &Schema,
        meta: &mut Vec<(&'static str, String)>,
    ) -> Result<Cow<'static, str>, EncodeError> {
        let (type_name, file, kind) = match logical {
            Logical::Decimal => {
                ("confluent.type.Decimal", "confluent/type/decimal.proto", Kind::Bytes)
            }
            Logical::Date => ("google.type.Date", "google/type/date.proto", Kind::Int32),
            Logical::Time => ("google.type.TimeOfDay", "google/type/timeofday.proto", Kind::Int32),
            Logical::Timestamp => {
                ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto", Kind::Int64)
            }
        };
        if schema.kind != kind {
            return refuse(format!("field `{name}` has a logical type of another kind"));
        }
        // Protobuf looks a name up from the inside out, so a package of the same name hides it.
        let root = type_name.split('.').next();
        let mut around = self.package.as_deref().unwrap_or_default().split('.').skip(1);
        if around.any(|part| Some(part) == root) {
            return refuse(format!("a part of the package hides the type of field `{name}`"));
        }
        if logical == Logical::Decimal {
            let parameters = [("precision", "connect.decimal.precision"), ("scale", "scale")];
            for (key, parameter) in parameters {
                let found = schema.parameters.iter().find(|(name, _)| name == parameter);
                let Some((_, value)) = found else { continue };
                if value.parse::<i32>().is_err() {
                    return refuse(format!("the {key} of field `{name}` is no number"));
                }
                meta.push((key, value.clone()));
            }
        }
        if !self.imports.contains(&file) {
            self.imports.push(file);
        }
        Ok(Cow::Borrowed(type_name))
    }

    fn plain(
        &mut self,
        message: &mut Message,
        name: &str,
        schema: &Schema,
        meta: &mut Vec<(&'static str, String)>,
    ) -> Result<Cow<'static, str>, EncodeError> {
        let mut narrow = |kind: &str| meta.push(("connect.type", kind.to_owned()));
        Ok(Cow::Borrowed(match &schema.kind {
            Kind::Int8 => {
                narrow("int8");
                "int32"
            }
            Kind::Int16 => {
                narrow("int16");
                "int32"
            }
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::Boolean => "bool",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(_) => return refuse(format!("field `{name}` is an array of arrays")),
            Kind::Map(key, value) => {
                return self.map(message, schema, key, value).map(Cow::Owned);
            }
            Kind::Struct(fields) => {
                return self.nested(message, name, schema, fields).map(Cow::Owned);
            }
        }))
    }

    fn unqualified(&mut self, schema: &Schema) -> String {
        let name = self.name(schema);
        name.rsplit_once('.').map_or(name.as_str(), |(_, name)| name).to_owned()
    }

    fn nested(
        &mut self,
        message: &mut Message,
        field: &str,
        schema: &Schema,
        fields: &[connect::Field],
    ) -> Result<String, EncodeError> {
        let mut name = self.unqualified(schema);
        // A message and a field may not have one name.
        if name == field {
            name.push_str("Message");
        }
        if name == message.name {
            return refuse(format!("field `{field}` has the name of the message around it"));
        }
        if let Some(known) = message.nested.iter().find(|nested| nested.name == name) {
            // Schemas without names are numbered: those of a copy would be others.
            let unnamed = std::mem::replace(&mut self.unnamed, known.unnamed);
            let same = self.message(name.clone(), fields)? == *known;
            self.unnamed = unnamed;
            if !same {
                return refuse(format!("two different structs are called `{name}`"));
            }
        } else {
            let nested = self.message(name.clone(), fields)?;
            message.nested.push(nested);
        }
        Ok(name)
    }

    fn map(
        &mut self,
        message: &mut Message,
        schema: &Schema,
        key: &Schema,
        value: &Schema,
    ) -> Result<String, EncodeError> {
        let name = entry_name(&self.unqualified(schema));
        let unnamed = self.unnamed;
        let mut entry =
            Message { name: name.clone(), fields: Vec::new(), nested: Vec::new(), unnamed };
        for (number, (field, schema)) in [("key", key), ("value", value)].into_iter().enumerate() {
            let mut field = self.field(&mut entry, field, number + 1, schema)?;
            // The converter does not say more of an entry's fields than their types.
            field.meta.clear();
            entry.fields.push(field);
        }
        check_names(&entry)?;
        message.nested.push(entry);
        Ok(name)
    }
}

/// `some_map` as `SomeMapEntry`.
fn entry_name(name: &str) -> String {
    if !name.contains('_') {
        return format!("{name}Entry");
    }
    let mut camel = String::with_capacity(name.len() + 5);
    for word in name.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    camel + "Entry"
}

fn is_identifier(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// A message's own name, and those in it: each an identifier, none twice.
fn check_names(message: &Message) -> Result<(), EncodeError> {
    let nested = message.nested.iter().map(|nested| nested.name.as_str());
    let mut names: Vec<&str> = message.fields.iter().map(|field| field.name.as_str()).collect();
    names.extend(nested.clone());
    if let Some(name) =
        names.iter().chain([&message.name.as_str()]).find(|name| !is_identifier(name))
    {
        return refuse(format!("`{name}` is no name: letters, digits and `_` are"));
    }
    if let Some(name) = nested.into_iter().find(|name| SCALARS.contains(name)) {
        return refuse(format!("a struct has the name of the type `{name}`"));
    }
    names.sort_unstable();
    if let Some(pair) = names.array_windows().find(|[one, other]| one == other) {
        return refuse(format!("`{}` names two things in message `{}`", pair[0], message.name));
    }
    Ok(())
}

/// The converter takes more than identifiers here, and so do registries.
fn check_package(package: &str) -> Result<(), EncodeError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if package.split('.').all(|part| !part.is_empty()) && package.bytes().all(allowed) {
        return Ok(());
    }
    refuse(format!("`{package}` is no package: letters, digits, `_` and `-` are"))
}

fn refuse<T>(reason: String) -> Result<T, EncodeError> {
    Err(EncodeError::Schema { format: FORMAT, reason })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn schema(name: &str, fields: &[(&str, Schema)]) -> Schema {
        let fields = fields.iter().map(|(name, schema)| connect::Field {
            name: (*name).to_owned(),
            schema: Arc::new(schema.clone()),
        });
        let mut schema = Schema::new(Kind::Struct(fields.collect()));
        schema.name = Some(name.to_owned());
        schema
    }

    #[test]
    fn what_cannot_be_registered_is_refused_with_its_name() {
        let int = || Schema::new(Kind::Int32);
        let array = |schema: Schema| Schema::new(Kind::Array(Arc::new(schema)));
        let map = || Schema::new(Kind::Map(Arc::new(int()), Arc::new(int())));
        let moment = Schema::new(Kind::Int64).named("org.apache.kafka.connect.data.Timestamp", 1);
        for (schema, expected) in [
            (int(), "its outermost value is no struct"),
            (schema("a.B", &[("c d", int())]), "`c d` is no name: letters, digits and `_` are"),
            (schema("a.B", &[("1c", int())]), "`1c` is no name: letters, digits and `_` are"),
            (schema("a.B-C", &[]), "`B-C` is no name: letters, digits and `_` are"),
            (schema("a b.C", &[]), "`a b` is no package: letters, digits, `_` and `-` are"),
            (schema("a..C", &[]), "`a.` is no package: letters, digits, `_` and `-` are"),
            (schema("a.B", &[("c", array(array(int())))]), "field `c` is an array of arrays"),
            (schema("a.B", &[("c", array(map()))]), "field `c` is an array of maps"),
            (
                schema("a.B", &[("P", int()), ("q", schema("x.P", &[]))]),
                "`P` names two things in message `B`",
            ),
            (
                schema("a.B", &[("p", schema("x.P", &[])), ("q", schema("y.P", &[("r", int())]))]),
                "two different structs are called `P`",
            ),
            (
                schema("a.B", &[("c", schema("x.B", &[]))]),
                "field `c` has the name of the message around it",
            ),
            (
                schema("a.google.B", &[("c", moment)]),
                "a part of the package hides the type of field `c`",
            ),
        ] {
            let error = file(&schema).unwrap_err();
            let expected = format!("a schema cannot be written as Protobuf: {expected}");
            assert_eq!((error.code(), error.to_string()), ("ENCODE_SCHEMA", expected));
        }
    }
}
