//! The Relation message: a table's name and columns, sent before the first change that needs them
//! and again after its definition has changed.

use crate::DecodeError;
use crate::reader::Reader;

/// What the server's log holds of a row before its change (`pg_class.relreplident`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// `d`: the primary key.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: the whole row.
    Full,
    /// `i`: the columns of a unique index.
    Index,
}

/// A table's definition at this place of the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The streamed transaction; `None` outside one.
    pub xid: Option<u32>,
    /// The relation's OID, which the changes refer to.
    pub id: u32,
    /// Its schema. On the wire `pg_catalog` is the empty string; here it is as well.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What old tuples hold.
    pub replica_identity: ReplicaIdentity,
    columns: u16,
    bytes: &'a [u8],
}

/// One column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity. Under [`ReplicaIdentity::Full`] every column is.
    pub is_key: bool,
    /// Its name.
    pub name: &'a str,
    /// OID of its type.
    pub type_id: u32,
    /// Its type modifier (`atttypmod`); -1: none.
    pub type_modifier: i32,
}

impl<'a> Relation<'a> {
    pub(crate) fn read(
        xid: Option<u32>,
        reader: &mut Reader<'a>,
    ) -> Result<Relation<'a>, DecodeError> {
        let id = reader.u32()?;
        let namespace = reader.name()?;
        let name = reader.name()?;
        let replica_identity = match reader.u8()? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            other => return Err(reader.field("replica identity", other.into())),
        };
        let columns = reader.u16()?;
        let start = reader.rest();
        for _ in 0..columns {
            read_column(reader)?;
        }
        let length = start.len() - reader.rest().len();
        let bytes = start.get(..length).unwrap_or_default();
        Ok(Relation { xid, id, namespace, name, replica_identity, columns, bytes })
    }

    /// Its columns in order; tuples have their values in the same order.
    pub fn columns(&self) -> RelationColumns<'a> {
        RelationColumns { reader: Reader::new(self.bytes, "Relation"), left: self.columns }
    }
}

impl std::fmt::Debug for Relation<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Relation")
            .field("xid", &self.xid)
            .field("id", &self.id)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("replica_identity", &self.replica_identity)
            .field("columns", &self.columns().collect::<Vec<_>>())
            .finish()
    }
}

/// Hands out a relation's columns in order.
#[derive(Clone, Debug)]
pub struct RelationColumns<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for RelationColumns<'a> {
    type Item = RelationColumn<'a>;

    fn next(&mut self) -> Option<RelationColumn<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The columns were walked when the message was read, so this does not fail.
        read_column(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for RelationColumns<'_> {}

/// Bit of a column's flags: part of the replica identity.
const COLUMN_IS_KEY: u8 = 1;

fn read_column<'a>(reader: &mut Reader<'a>) -> Result<RelationColumn<'a>, DecodeError> {
    Ok(RelationColumn {
        is_key: reader.u8()? & COLUMN_IS_KEY != 0,
        name: reader.name()?,
        type_id: reader.u32()?,
        type_modifier: reader.i32()?,
    })
}
