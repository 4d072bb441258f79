//! The one definition of logical messages (`pg_logical_emit_message`): they have no table that could
//! tell it.

use offtake_change::{Column, Kind, ReplicaIdentity, Subject, TableSchema};

/// The definition of a database's logical messages.
pub fn message_schema(database: &str) -> TableSchema {
    let mut prefix = Column::new("prefix", Kind::Text, "text");
    let mut content = Column::new("content", Kind::Bytes, "bytes");
    prefix.nullable = false;
    content.nullable = false;
    TableSchema {
        replica_identity: ReplicaIdentity::Unknown,
        subject: Subject::Message,
        ..TableSchema::new(database, "", "", vec![prefix, content], &[])
    }
}
