//! Table schemas and the small codes of a change, with their wire form.

use offtake_proto::v1;

/// A number on the wire that this version gives no meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {code}")]
pub struct UnknownCode {
    /// What was read.
    pub what: &'static str,
    /// The number found.
    pub code: i64,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)+ }

        impl TryFrom<u64> for $name {
            type Error = UnknownCode;

            fn try_from(code: u64) -> Result<$name, UnknownCode> {
                match code {
                    $($code => Ok($name::$variant),)+
                    _ => Err(UnknownCode { what: $what, code: code.cast_signed() }),
                }
            }
        }

        impl TryFrom<i32> for $name {
            type Error = UnknownCode;

            fn try_from(code: i32) -> Result<$name, UnknownCode> {
                u64::try_from(code)
                    .map_err(|_| UnknownCode { what: $what, code: code.into() })?
                    .try_into()
            }
        }
    };
}

codes! {
    /// What happened to the row.
    Operation, "operation", {
        /// Inserted.
        Create = 1,
        /// Updated.
        Update = 2,
        /// Deleted.
        Delete = 3,
        /// Read by a snapshot.
        Read = 4,
        /// The table was emptied; both images are missing.
        Truncate = 5,
        /// A logical message; the after image has the columns `prefix` and `content`.
        Message = 6,
        /// A definition changed.
        Define = 7,
    }
}

impl Operation {
    /// Debezium's letter, which the plugin interface uses too.
    pub fn letter(self) -> u8 {
        match self {
            Operation::Create => b'c',
            Operation::Update => b'u',
            Operation::Delete => b'd',
            Operation::Read => b'r',
            Operation::Truncate => b't',
            Operation::Message => b'm',
            Operation::Define => b's',
        }
    }

    /// The operation of a letter, see [`Operation::letter`].
    pub fn from_letter(letter: u8) -> Option<Operation> {
        Some(match letter {
            b'c' => Operation::Create,
            b'u' => Operation::Update,
            b'd' => Operation::Delete,
            b'r' => Operation::Read,
            b't' => Operation::Truncate,
            b'm' => Operation::Message,
            b's' => Operation::Define,
            _ => return None,
        })
    }
}

codes! {
    /// Whether a change is a row of a snapshot, and which.
    Snapshot, "snapshot marker", {
        /// A change of the stream.
        None = 0,
        /// The first row of the whole snapshot.
        First = 1,
        /// A row in the middle.
        Row = 2,
        /// The last row of its table.
        LastInTable = 3,
        /// The last row of the whole snapshot.
        Last = 4,
        /// The first row of its table.
        FirstInTable = 5,
    }
}

codes! {
    /// How a column's values travel.
    Kind, "kind", {
        /// True or false.
        Boolean = 1,
        /// Signed, up to 64 bits.
        Integer = 2,
        /// Unsigned, up to 64 bits.
        Unsigned = 3,
        /// A 32-bit float.
        Single = 4,
        /// A 64-bit float.
        Number = 5,
        /// Text, and every type without a kind of its own in its canonical text.
        Text = 6,
        /// Bytes.
        Bytes = 7,
        /// A list of the column's element; lists nest.
        List = 8,
    }
}

codes! {
    /// What the source's log holds of a row before its change.
    ReplicaIdentity, "replica identity", {
        /// Not known.
        Unknown = 0,
        /// The primary key.
        Key = 1,
        /// Nothing.
        Nothing = 2,
        /// The whole row.
        Full = 3,
        /// The columns of a unique index.
        Index = 4,
    }
}

codes! {
    /// Shape of what a stream carries.
    #[derive(Default)]
    Form, "form", {
        /// Before and after images.
        #[default]
        Envelope = 0,
        /// The row alone.
        Flat = 1,
        /// Bytes with a content type.
        Opaque = 2,
    }
}

codes! {
    /// What changes of a schema are about.
    Subject, "subject", {
        /// Rows of a table.
        Table = 0,
        /// Logical messages.
        Message = 1,
    }
}

/// One column, see `Column` in `change.proto`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Name as in the database, unquoted.
    pub name: String,
    /// How its values travel.
    pub kind: Kind,
    /// Type in terms that do not depend on the database.
    pub logical: String,
    /// The database's own name of the type.
    pub native: String,
    /// PostgreSQL: the type's OID; 0 elsewhere.
    pub type_id: u32,
    /// The database's type modifier; -1: none.
    pub type_modifier: i32,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The default as the database prints it.
    pub default: Option<String>,
    /// Native name of the type under a domain; empty: no domain.
    pub domain_base: String,
    /// A list's element.
    pub element: Option<Box<Column>>,
    /// An enum's labels in the enum's order.
    pub labels: Vec<String>,
    /// The column's character set where it is not the database's; empty otherwise.
    pub charset: String,
}

impl Column {
    /// A nullable column of a kind whose logical and native type have the same name.
    pub fn new(name: impl Into<String>, kind: Kind, logical: impl Into<String>) -> Column {
        let logical = logical.into();
        Column {
            name: name.into(),
            kind,
            native: logical.clone(),
            logical,
            type_id: 0,
            type_modifier: -1,
            nullable: true,
            default: None,
            domain_base: String::new(),
            element: None,
            labels: Vec::new(),
            charset: String::new(),
        }
    }

    fn to_proto(&self) -> v1::Column {
        v1::Column {
            name: self.name.clone(),
            kind: i32::from(self.kind as u8),
            logical: self.logical.clone(),
            native: self.native.clone(),
            type_id: self.type_id,
            type_modifier: self.type_modifier,
            nullable: self.nullable,
            default: self.default.clone(),
            domain_base: self.domain_base.clone(),
            element: self.element.as_ref().map(|element| Box::new(element.to_proto())),
            labels: self.labels.clone(),
            charset: self.charset.clone(),
        }
    }

    fn from_proto(column: &v1::Column) -> Result<Column, UnknownCode> {
        let element = column.element.as_ref().map(|element| Column::from_proto(element));
        Ok(Column {
            name: column.name.clone(),
            kind: Kind::try_from(column.kind)?,
            logical: column.logical.clone(),
            native: column.native.clone(),
            type_id: column.type_id,
            type_modifier: column.type_modifier,
            nullable: column.nullable,
            default: column.default.clone(),
            domain_base: column.domain_base.clone(),
            element: element.transpose()?.map(Box::new),
            labels: column.labels.clone(),
            charset: column.charset.clone(),
        })
    }
}

/// A table's definition at some place of the source's log. Changes refer to it by a log-wide id
/// that the log gives; two equal schemas share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableSchema {
    /// The database.
    pub database: String,
    /// PostgreSQL's schema; empty for logical messages.
    pub namespace: String,
    /// The table; empty for logical messages.
    pub table: String,
    /// Counts definitions of the same table, from 1.
    pub version: u32,
    /// The columns, in the table's order.
    pub columns: Vec<Column>,
    /// Ordinals of the key's columns, in key order. Empty: no key.
    pub key: Vec<u32>,
    /// What the source's log holds of a row before its change.
    pub replica_identity: ReplicaIdentity,
    /// Shape of what the stream carries.
    pub form: Form,
    /// Plugins that changed the schema.
    pub changed_by: Vec<String>,
    /// Of the payload where the form is opaque.
    pub content_type: String,
    /// Ordinal of the payload's column where the form is opaque.
    pub payload: u32,
    /// Rows of a table, or logical messages.
    pub subject: Subject,
}

impl TableSchema {
    /// The first definition of a table's rows, whose key the source's log holds before a change.
    /// `key`: ordinals of the key's columns, in key order.
    pub fn new(
        database: impl Into<String>,
        namespace: impl Into<String>,
        table: impl Into<String>,
        columns: Vec<Column>,
        key: &[u32],
    ) -> TableSchema {
        TableSchema {
            database: database.into(),
            namespace: namespace.into(),
            table: table.into(),
            version: 1,
            columns,
            key: key.to_vec(),
            replica_identity: ReplicaIdentity::Key,
            form: Form::Envelope,
            changed_by: Vec::new(),
            content_type: String::new(),
            payload: 0,
            subject: Subject::Table,
        }
    }

    /// The table with its schema, as a person writes it: `public.orders`. Logical messages have none
    /// and are called that.
    pub fn qualified_name(&self) -> String {
        match self.subject {
            Subject::Table => format!("{}.{}", self.namespace, self.table),
            Subject::Message => "logical messages".to_owned(),
        }
    }

    /// Ordinal of the column of that name.
    pub fn ordinal(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|candidate| candidate.name == column)
    }

    /// Whether the source sends the column with a delete, as far as it is known. Asked of a
    /// definition as the source made it: a key that somebody chose changes no replica identity.
    pub fn is_in_identity(&self, ordinal: u32) -> bool {
        match self.replica_identity {
            ReplicaIdentity::Full | ReplicaIdentity::Unknown => true,
            ReplicaIdentity::Nothing => false,
            ReplicaIdentity::Key | ReplicaIdentity::Index => self.key.contains(&ordinal),
        }
    }

    /// The wire form under a log-wide id.
    pub fn to_proto(&self, id: u32) -> v1::Schema {
        v1::Schema {
            id,
            database: self.database.clone(),
            namespace: self.namespace.clone(),
            table: self.table.clone(),
            version: self.version,
            columns: self.columns.iter().map(Column::to_proto).collect(),
            key: self.key.clone(),
            replica_identity: i32::from(self.replica_identity as u8),
            form: i32::from(self.form as u8),
            changed_by: self.changed_by.clone(),
            content_type: self.content_type.clone(),
            payload: self.payload,
            subject: i32::from(self.subject as u8),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A code of a later version.
    pub fn from_proto(schema: &v1::Schema) -> Result<TableSchema, UnknownCode> {
        Ok(TableSchema {
            database: schema.database.clone(),
            namespace: schema.namespace.clone(),
            table: schema.table.clone(),
            version: schema.version,
            columns: schema.columns.iter().map(Column::from_proto).collect::<Result<_, _>>()?,
            key: schema.key.clone(),
            replica_identity: ReplicaIdentity::try_from(schema.replica_identity)?,
            form: Form::try_from(schema.form)?,
            changed_by: schema.changed_by.clone(),
            content_type: schema.content_type.clone(),
            payload: schema.payload,
            subject: Subject::try_from(schema.subject)?,
        })
    }
}
