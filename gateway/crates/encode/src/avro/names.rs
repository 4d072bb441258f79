//! Names in an Avro schema: how a Connect name becomes a namespace and a name, which are allowed,
//! and which records are defined already.
//!
//! Nothing is adjusted here: names that Avro refuses are refused.

use std::collections::HashMap;

use crate::EncodeError;
use crate::connect::{Kind, Schema};

/// Namespace of what the converter names itself.
pub(super) const NAMESPACE: &str = "io.confluent.connect.avro";
/// Name of a struct that has none; of the second and later ones with a number.
const DEFAULT_NAME: &str = "ConnectDefault";
/// Words that Avro reads as types, so that a record of that name is never referred to shortly.
const TYPES: [&str; 14] = [
    "record", "enum", "array", "map", "union", "fixed", "string", "bytes", "int", "long", "float",
    "double", "boolean", "null",
];

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordName {
    /// What is before the last dot.
    pub(super) namespace: Option<String>,
    /// What is after it.
    pub(super) name: String,
}

impl RecordName {
    /// Splits a full name.
    pub(super) fn split(full: &str) -> Result<RecordName, EncodeError> {
        let (namespace, name) = match full.rsplit_once('.') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, full),
        };
        check(name)?;
        let namespace = namespace.filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        Ok(RecordName { namespace, name: name.to_owned() })
    }

    /// A name in the converter's own namespace.
    pub(super) fn own(name: impl Into<String>) -> RecordName {
        RecordName { namespace: Some(NAMESPACE.to_owned()), name: name.into() }
    }

    /// As the record is referred to from within a namespace.
    pub(super) fn reference(&self, within: Option<&str>) -> String {
        match &self.namespace {
            Some(namespace)
                if Some(namespace.as_str()) != within || TYPES.contains(&self.name.as_str()) =>
            {
                format!("{namespace}.{}", self.name)
            }
            _ => self.name.clone(),
        }
    }
}

/// Checks the name of a record or a field: a letter or `_`, then letters, digits or `_`, where Java
/// counts the letters of every script.
pub(super) fn check(name: &str) -> Result<(), EncodeError> {
    let letter = |letter: char| letter == '_' || (letter.is_alphabetic() && letter <= '\u{ffff}');
    let mut letters = name.chars();
    let fits = letters.next().is_some_and(letter)
        && letters.all(|other| letter(other) || other.is_ascii_digit());
    if fits { Ok(()) } else { Err(refused(format!("{name:?} is no name in Avro"))) }
}

/// A schema that cannot be written.
pub(super) fn refused(reason: String) -> EncodeError {
    EncodeError::Schema { format: "Avro", reason }
}

/// What a schema text has defined so far.
#[derive(Debug, Default)]
pub(super) struct Defined<'s> {
    records: HashMap<RecordName, &'s Schema>,
    /// Structs without a name, in the order in which they got one.
    unnamed: Vec<&'s Schema>,
}

impl<'s> Defined<'s> {
    /// The name of a struct.
    pub(super) fn name_of(&mut self, schema: &'s Schema) -> Result<RecordName, EncodeError> {
        if let Some(name) = &schema.name {
            return RecordName::split(name);
        }
        let equal = |other: &&Schema| {
            // An optional struct is a union with the same struct, required.
            other.kind == schema.kind
                && other.default == schema.default
                && other.version == schema.version
                && other.doc == schema.doc
                && other.parameters == schema.parameters
        };
        let index = self.unnamed.iter().position(equal).unwrap_or_else(|| {
            self.unnamed.push(schema);
            self.unnamed.len() - 1
        });
        Ok(RecordName::own(match index {
            0 => DEFAULT_NAME.to_owned(),
            index => format!("{DEFAULT_NAME}{}", index + 1),
        }))
    }

    /// Whether the record is defined already and has to be referred to; it counts as defined from
    /// then on.
    ///
    /// The converter fails where one name has two definitions that differ in anything. Documentation
    /// and defaults within a record change no byte, so those are forgiven and the first one counts.
    ///
    /// # Errors
    /// The name is defined with other fields.
    pub(super) fn is_defined(
        &mut self,
        name: &RecordName,
        schema: &'s Schema,
    ) -> Result<bool, EncodeError> {
        match self.records.get(name) {
            None => {
                self.records.insert(name.clone(), schema);
                Ok(false)
            }
            Some(first) if same_kind(&first.kind, &schema.kind) => Ok(true),
            Some(_) => Err(refused(format!(
                "two records with different fields are called {:?}",
                name.reference(None)
            ))),
        }
    }
}

/// Whether both are written the same way and mean the same.
fn same_layout(one: &Schema, other: &Schema) -> bool {
    let order = |schema: &Schema| schema.optional && super::null_is_first(schema);
    one.optional == other.optional
        && order(one) == order(other)
        && one.name == other.name
        && one.parameters == other.parameters
        && same_kind(&one.kind, &other.kind)
}

fn same_kind(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Struct(one), Kind::Struct(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| {
                    one.name == other.name && same_layout(&one.schema, &other.schema)
                })
        }
        (Kind::Array(one), Kind::Array(other)) => same_layout(one, other),
        (Kind::Map(one_key, one), Kind::Map(other_key, other)) => {
            same_layout(one_key, other_key) && same_layout(one, other)
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores_and_do_not_begin_with_a_digit() {
        for name in ["a", "_a1", "größe"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "1a", "a-b", "a b", "a$", "😀"] {
            let message = check(name).unwrap_err().to_string();
            assert!(message.contains(&format!("{name:?}")), "{message}");
        }
    }

    #[test]
    fn a_reference_leaves_out_the_namespace_that_it_stands_in() {
        let name = RecordName::split("a.b.C").unwrap();
        assert_eq!(name.reference(Some("a.b")), "C");
        assert_eq!(name.reference(Some("a")), "a.b.C");
        assert_eq!(RecordName::split("a.map").unwrap().reference(Some("a")), "a.map");
        assert_eq!(RecordName::split("C").unwrap().reference(Some("a")), "C");
    }
}
