//! Under which subject a schema is registered: Confluent's three naming strategies.

/// The part of a message that a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A naming strategy (Confluent's `value.subject.name.strategy` and the key's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subjects {
    /// `TOPIC-key` and `TOPIC-value`: one line of schemas for a topic.
    #[default]
    TopicName,
    /// The record's full name: one line of schemas for a record, in whatever topic.
    RecordName,
    /// `TOPIC-` and the record's full name.
    TopicRecordName,
}

impl Subjects {
    /// The subject. `record_name` is the full name of an Avro record or a Protobuf message, or a
    /// JSON Schema's title.
    pub fn subject(self, topic: &str, record_name: &str, part: Part) -> String {
        match (self, part) {
            (Subjects::TopicName, Part::Key) => format!("{topic}-key"),
            (Subjects::TopicName, Part::Value) => format!("{topic}-value"),
            (Subjects::RecordName, _) => record_name.to_owned(),
            (Subjects::TopicRecordName, _) => format!("{topic}-{record_name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_as_confluents_strategies_name_them() {
        let named = |subjects: Subjects, part| subjects.subject("t.p.pay", "t.p.pay.Key", part);
        assert_eq!(named(Subjects::TopicName, Part::Key), "t.p.pay-key");
        assert_eq!(named(Subjects::TopicName, Part::Value), "t.p.pay-value");
        assert_eq!(named(Subjects::RecordName, Part::Key), "t.p.pay.Key");
        assert_eq!(named(Subjects::TopicRecordName, Part::Value), "t.p.pay-t.p.pay.Key");
    }
}
