//! What a registry holds: schemas of three languages, each with an id, under subjects.

use std::fmt;

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaType {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers, as the text of a `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaType {
    /// All of them.
    pub const ALL: [SchemaType; 3] = [SchemaType::Avro, SchemaType::Protobuf, SchemaType::Json];

    /// As the API's `schemaType` names it.
    pub fn name(self) -> &'static str {
        match self {
            SchemaType::Avro => "AVRO",
            SchemaType::Protobuf => "PROTOBUF",
            SchemaType::Json => "JSON",
        }
    }

    /// The type of that name; a name that is left out stands for Avro.
    pub(crate) fn named(name: Option<&str>) -> Option<SchemaType> {
        let Some(name) = name else { return Some(SchemaType::Avro) };
        SchemaType::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The id of a schema, the same in every subject of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub i32);

impl fmt::Display for SchemaId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A schema that another one imports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reference {
    /// As the importing schema names it: the path of a `.proto` file, a record's full name, a URL.
    pub name: String,
    /// The subject that it is registered under.
    pub subject: String,
    /// Its version there.
    pub version: i32,
}

/// A schema as a registry gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its id.
    pub id: SchemaId,
    /// Its version under the subject that was asked for; `None` where it was asked for by its id.
    pub version: Option<i32>,
    /// Its language; `None`: one that is not known here.
    pub schema_type: Option<SchemaType>,
    /// Its text.
    pub schema: String,
    /// What it imports.
    pub references: Vec<Reference>,
}
