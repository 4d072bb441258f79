//! Whether a schema is one that can be used: every keyword of a shape that makes sense, and none whose
//! meaning would be left out silently.
//!
//! JSON Schema of draft 2020-12, but for `unevaluatedItems`, `unevaluatedProperties`, anchors,
//! dynamic references and references to other documents: a schema that has one is refused, for
//! without it it would allow what it was to forbid. Keywords that the draft does not know mean
//! nothing, as the draft says; `format` is an annotation.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{SchemaMistake, escaped};

/// Patterns of one schema.
const PATTERNS: usize = 64;
/// Size of a pattern as it is written, and once compiled.
const PATTERN_BYTES: usize = 1024;
const COMPILED_BYTES: usize = 64 << 10;

/// What the value of a keyword has to be.
#[derive(Clone, Copy)]
enum Shape {
    Schema,
    Schemas,
    SchemasByKey,
    SchemasByPattern,
    Type,
    Count,
    Number,
    Factor,
    Flag,
    Pattern,
    Keys,
    KeysByKey,
    Values,
    Reference,
}

const KEYWORDS: &[(&str, Shape)] = &[
    ("$defs", Shape::SchemasByKey),
    ("$ref", Shape::Reference),
    ("additionalProperties", Shape::Schema),
    ("allOf", Shape::Schemas),
    ("anyOf", Shape::Schemas),
    ("contains", Shape::Schema),
    ("definitions", Shape::SchemasByKey),
    ("dependentRequired", Shape::KeysByKey),
    ("dependentSchemas", Shape::SchemasByKey),
    ("else", Shape::Schema),
    ("enum", Shape::Values),
    ("exclusiveMaximum", Shape::Number),
    ("exclusiveMinimum", Shape::Number),
    ("if", Shape::Schema),
    ("items", Shape::Schema),
    ("maxContains", Shape::Count),
    ("maxItems", Shape::Count),
    ("maxLength", Shape::Count),
    ("maxProperties", Shape::Count),
    ("maximum", Shape::Number),
    ("minContains", Shape::Count),
    ("minItems", Shape::Count),
    ("minLength", Shape::Count),
    ("minProperties", Shape::Count),
    ("minimum", Shape::Number),
    ("multipleOf", Shape::Factor),
    ("not", Shape::Schema),
    ("oneOf", Shape::Schemas),
    ("pattern", Shape::Pattern),
    ("patternProperties", Shape::SchemasByPattern),
    ("prefixItems", Shape::Schemas),
    ("properties", Shape::SchemasByKey),
    ("propertyNames", Shape::Schema),
    ("required", Shape::Keys),
    ("then", Shape::Schema),
    ("type", Shape::Type),
    ("uniqueItems", Shape::Flag),
    ("writeOnly", Shape::Flag),
];

/// Keywords that mean something and are not offered, and what to write instead.
const REFUSED: &[(&str, &str)] = &[
    ("$anchor", "refer by `#/$defs/NAME`"),
    ("$dynamicAnchor", "refer by `#/$defs/NAME`"),
    ("$dynamicRef", "refer by `#/$defs/NAME`"),
    ("$recursiveRef", "refer by `#/$defs/NAME`"),
    ("additionalItems", "write `prefixItems` and `items`"),
    ("dependencies", "write `dependentRequired` or `dependentSchemas`"),
    ("unevaluatedItems", "write `items` where the list is described"),
    ("unevaluatedProperties", "write `additionalProperties` where the keys are described"),
];

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Checks a schema, and gives its patterns compiled.
pub(super) fn check(document: &Value) -> Result<BTreeMap<String, Regex>, SchemaMistake> {
    let mut walk = Walk {
        document,
        open: vec![(String::new(), document)],
        referred: BTreeSet::new(),
        patterns: BTreeMap::new(),
        schemas: 0,
    };
    while let Some((at, schema)) = walk.open.pop() {
        walk.schema(&at, schema)?;
    }
    Ok(walk.patterns)
}

struct Walk<'s> {
    document: &'s Value,
    /// Schemas that are still to be looked at, with their places.
    open: Vec<(String, &'s Value)>,
    /// What was referred to. It may stand where no schema does otherwise.
    referred: BTreeSet<&'s str>,
    patterns: BTreeMap<String, Regex>,
    /// Schemas so far.
    schemas: usize,
}

/// Schemas within a schema.
const SCHEMAS: usize = 20_000;
/// Longest place of one.
const PLACE_BYTES: usize = 1 << 10;

impl<'s> Walk<'s> {
    fn schema(&mut self, at: &str, schema: &'s Value) -> Result<(), SchemaMistake> {
        let keywords = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(keywords) => keywords,
            _ => return Err(SchemaMistake::new(at, "a schema is an object, or true or false")),
        };
        for (keyword, value) in keywords {
            let refused = REFUSED.iter().find(|(name, _)| name == keyword);
            if let Some((_, instead)) = refused {
                let message = format!("`{keyword}` is not offered: {instead}");
                return Err(SchemaMistake::new(at, message));
            }
            if keyword == "$id" && !at.is_empty() {
                return Err(SchemaMistake::new(at, "`$id` may stand at the beginning only"));
            }
            if let Some((_, shape)) = KEYWORDS.iter().find(|(name, _)| name == keyword) {
                self.keyword(&format!("{at}/{}", escaped(keyword)), *shape, value)?;
            }
        }
        Ok(())
    }

    /// Has a schema looked at. Each has its place as a text of its own, so both are bounded.
    fn open(&mut self, at: String, schema: &'s Value) -> Result<(), SchemaMistake> {
        if at.len() > PLACE_BYTES {
            let message = "a schema is nested too deeply, or under keys that are too long";
            return Err(SchemaMistake::new("", message));
        }
        self.schemas += 1;
        if self.schemas > SCHEMAS {
            let message = format!("it has more than {SCHEMAS} schemas within schemas");
            return Err(SchemaMistake::new("", message));
        }
        self.open.push((at, schema));
        Ok(())
    }

    fn keyword(&mut self, at: &str, shape: Shape, value: &'s Value) -> Result<(), SchemaMistake> {
        let expect = |fits: bool, wanted: &str| match fits {
            true => Ok(()),
            false => Err(SchemaMistake::new(at, format!("must be {wanted}"))),
        };
        match shape {
            Shape::Schema => self.open(at.to_owned(), value)?,
            Shape::Schemas => {
                let schemas = value.as_array().filter(|schemas| !schemas.is_empty());
                expect(schemas.is_some(), "a list of at least one schema")?;
                for (index, schema) in schemas.into_iter().flatten().enumerate() {
                    self.open(format!("{at}/{index}"), schema)?;
                }
            }
            Shape::SchemasByKey | Shape::SchemasByPattern => {
                let schemas = object(at, value)?;
                for (key, schema) in schemas {
                    let at = format!("{at}/{}", escaped(key));
                    if matches!(shape, Shape::SchemasByPattern) {
                        self.pattern(&at, key)?;
                    }
                    self.open(at, schema)?;
                }
            }
            Shape::Type => {
                let is_type = |value: &Value| value.as_str().is_some_and(|it| TYPES.contains(&it));
                let fits = match value {
                    Value::Array(types) => !types.is_empty() && types.iter().all(is_type),
                    other => is_type(other),
                };
                expect(fits, &format!("one of {}, or a list of them", TYPES.join(", ")))?;
            }
            Shape::Count => expect(value.is_u64(), "a whole number of 0 or more")?,
            Shape::Number => expect(value.is_number(), "a number")?,
            Shape::Factor => {
                expect(value.as_f64().is_some_and(|it| it > 0.0), "a number above 0")?;
            }
            Shape::Flag => expect(value.is_boolean(), "true or false")?,
            Shape::Pattern => match value.as_str() {
                Some(pattern) => self.pattern(at, pattern)?,
                None => expect(false, "a text")?,
            },
            Shape::Keys => expect(is_texts(value), "a list of texts")?,
            Shape::KeysByKey => {
                expect(object(at, value)?.values().all(is_texts), "lists of texts by key")?;
            }
            Shape::Values => expect(value.is_array(), "a list")?,
            Shape::Reference => self.reference(at, value)?,
        }
        Ok(())
    }

    fn reference(&mut self, at: &str, value: &'s Value) -> Result<(), SchemaMistake> {
        let Some(reference) = value.as_str() else {
            return Err(SchemaMistake::new(at, "must be a text"));
        };
        let pointer = pointer(reference).ok_or_else(|| {
            let message = "refers to something outside the schema, which is never read: it must be \
                           `#` or begin with `#/`, without percent-encoding";
            SchemaMistake::new(at, message)
        })?;
        let target = self.document.pointer(pointer).ok_or_else(|| {
            SchemaMistake::new(at, format!("refers to {reference}, which the schema lacks"))
        })?;
        if self.referred.insert(pointer) {
            self.open.push((pointer.to_owned(), target));
        }
        Ok(())
    }

    fn pattern(&mut self, at: &str, pattern: &str) -> Result<(), SchemaMistake> {
        if self.patterns.contains_key(pattern) {
            return Ok(());
        }
        if self.patterns.len() == PATTERNS || pattern.len() > PATTERN_BYTES {
            let message =
                format!("more than {PATTERNS} patterns, or one of more than {PATTERN_BYTES} bytes");
            return Err(SchemaMistake::new(at, message));
        }
        let compiled = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES).build();
        let compiled = compiled.map_err(|error| {
            SchemaMistake::new(at, format!("the pattern cannot be used: {error}"))
        })?;
        self.patterns.insert(pattern.to_owned(), compiled);
        Ok(())
    }
}

/// The JSON Pointer of a reference within the document.
pub(super) fn pointer(reference: &str) -> Option<&str> {
    let pointer = reference.strip_prefix('#')?;
    let is_pointer = pointer.is_empty() || pointer.starts_with('/');
    (is_pointer && !pointer.contains('%')).then_some(pointer)
}

fn object<'s>(at: &str, value: &'s Value) -> Result<&'s Map<String, Value>, SchemaMistake> {
    value.as_object().ok_or_else(|| SchemaMistake::new(at, "must be an object"))
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string))
}
