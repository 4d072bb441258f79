//! The ids that the registry gave, by what was asked. Bounded: the oldest entry makes room.
//!
//! A schema's text may be large, so its digest is kept instead. An id never changes: the registry
//! promises the same one for the same schema for as long as it is not deleted by hand.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

use crate::{Reference, SchemaId, SchemaType};

/// What a registration is remembered by.
pub(crate) type Asked = [u8; 32];

/// The digest of everything that a registration depends on.
pub(crate) fn asked(
    subject: &str,
    schema_type: SchemaType,
    schema: &str,
    references: &[Reference],
) -> Asked {
    let mut digest = Sha256::new();
    // Every text with its length, so that no two questions run into each other.
    let mut text = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    text(subject);
    text(schema_type.name());
    text(schema);
    for reference in references {
        text(&reference.name);
        text(&reference.subject);
        text(&reference.version.to_string());
    }
    digest.finalize().into()
}

/// Ids by question.
#[derive(Debug)]
pub(crate) struct Cache {
    ids: HashMap<Asked, SchemaId>,
    order: VecDeque<Asked>,
    limit: usize,
}

impl Cache {
    /// An empty cache of at most `limit` entries.
    pub(crate) fn new(limit: usize) -> Cache {
        Cache { ids: HashMap::new(), order: VecDeque::new(), limit }
    }

    /// The id that was given.
    pub(crate) fn get(&self, asked: &Asked) -> Option<SchemaId> {
        self.ids.get(asked).copied()
    }

    /// Remembers an id.
    pub(crate) fn put(&mut self, asked: Asked, id: SchemaId) {
        if self.ids.insert(asked, id).is_some() {
            return;
        }
        self.order.push_back(asked);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(subject: &str, schema: &str) -> Asked {
        asked(subject, SchemaType::Avro, schema, &[])
    }

    #[test]
    fn the_oldest_entry_makes_room() {
        let mut cache = Cache::new(2);
        for (number, schema) in [(1, "a"), (2, "b"), (2, "b"), (3, "c")] {
            cache.put(question("s", schema), SchemaId(number));
        }
        assert_eq!(cache.get(&question("s", "a")), None);
        assert_eq!(cache.get(&question("s", "b")), Some(SchemaId(2)));
        assert_eq!(cache.get(&question("s", "c")), Some(SchemaId(3)));
        assert_eq!((cache.ids.len(), cache.order.len()), (2, 2));
    }

    #[test]
    fn everything_that_is_asked_for_counts() {
        let reference =
            |version| Reference { name: "a.proto".to_owned(), subject: "a".to_owned(), version };
        let all = [
            question("s", "x"),
            question("sx", ""),
            question("", "sx"),
            asked("s", SchemaType::Json, "x", &[]),
            asked("s", SchemaType::Avro, "x", &[reference(1)]),
            asked("s", SchemaType::Avro, "x", &[reference(2)]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
    }
}
