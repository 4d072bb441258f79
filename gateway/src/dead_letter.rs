//! A dead letter as a subscriber of its stream reads it.
//!
//! The stream's schema is the log's; its columns are found by name, so that later versions of this
//! program may add some.

use bytes::Bytes;
use offtake_proto::v1;
use offtake_proto::v1::value::Kind;
use serde_json::{Value, json};

/// One dead letter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Letter {
    /// Its own sequence in the log: what it is called by.
    pub sequence: u64,
    /// When it was written, nanoseconds since the Unix epoch.
    pub written_unix_ns: i64,
    /// `kafka`, or the plugin that failed at the change.
    pub origin: String,
    /// Sequence of the change; of one that a plugin failed at, the letter's own.
    pub of_sequence: i64,
    /// SHA-256 of the plugin's component.
    pub digest: Option<String>,
    /// Stable code of the error.
    pub code: String,
    /// The error.
    pub error: String,
    /// Where the row stands in the source's log.
    pub position: String,
    /// Where its transaction commits.
    pub commit_position: Option<String>,
    /// The stream that the change was for.
    pub stream: String,
    /// Schema of the table.
    pub namespace: String,
    /// The table.
    pub table: String,
    /// Debezium's letter of what happened.
    pub operation: String,
    /// SHA-256 of the key's columns.
    pub key_hash: Option<String>,
    /// Whether the letter holds the change.
    pub holds_change: bool,
    /// The change, encoded as in the log.
    pub change: Option<Bytes>,
}

impl Letter {
    /// Reads a change of a dead-letter stream; `None`: it is something else.
    pub fn read(change: &v1::Change, schema: &v1::Schema) -> Option<Letter> {
        let own = offtake_log::dead_letter_schema();
        if (schema.namespace.as_str(), schema.table.as_str()) != (&own.namespace, &own.table) {
            return None;
        }
        let after = change.after.as_ref()?;
        let mut letter = Letter {
            sequence: change.sequence,
            written_unix_ns: change.processed_unix_ns,
            ..Letter::default()
        };
        for (column, value) in schema.columns.iter().zip(&after.values) {
            let text = || match &value.kind {
                Some(Kind::Text(text)) => Some(text.clone()),
                _ => None,
            };
            let some = || text().unwrap_or_default();
            match column.name.as_str() {
                "origin" => letter.origin = some(),
                "digest" => letter.digest = text(),
                "code" => letter.code = some(),
                "error" => letter.error = some(),
                "position" => letter.position = some(),
                "commit_position" => letter.commit_position = text(),
                "stream" => letter.stream = some(),
                "namespace" => letter.namespace = some(),
                "table" => letter.table = some(),
                "operation" => letter.operation = some(),
                "key_hash" => letter.key_hash = text(),
                _ => match (&value.kind, column.name.as_str()) {
                    (Some(Kind::Integer(number)), "sequence") => letter.of_sequence = *number,
                    (Some(Kind::Bytes(bytes)), "change") => letter.change = Some(bytes.clone()),
                    _ => {}
                },
            }
        }
        letter.holds_change = letter.change.is_some();
        Some(letter)
    }

    /// Whether Kafka, and no plugin, could not take the change: it is in the log, as plugins left it.
    pub fn is_of_kafka(&self) -> bool {
        self.digest.is_none()
    }

    /// The letter without what it holds of the row.
    pub fn without_change(self) -> Letter {
        Letter { change: None, ..self }
    }

    /// `schema.table`.
    pub fn qualified_table(&self) -> String {
        match (self.namespace.as_str(), self.table.as_str()) {
            ("", "") => "logical messages".to_owned(),
            (namespace, table) => format!("{namespace}.{table}"),
        }
    }

    /// When it was written, as RFC 3339 in UTC.
    pub fn written(&self) -> String {
        utc(self.written_unix_ns.div_euclid(1_000_000_000))
    }

    /// Everything but the change, as JSON.
    pub fn json(&self) -> Value {
        json!({
            "sequence": self.sequence,
            "time": self.written(),
            "origin": self.origin,
            "of_sequence": self.of_sequence,
            "digest": self.digest,
            "code": self.code,
            "error": self.error,
            "op": self.operation,
            "table": self.qualified_table(),
            "stream": self.stream,
            "position": self.position,
            "commit_position": self.commit_position,
            "key_hash": self.key_hash,
            "holds_change": self.holds_change,
        })
    }
}

/// Seconds since the Unix epoch as RFC 3339.
fn utc(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    // Years that begin in March: the leap day is their last.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let era = (days + 719_468).div_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn a_letter_is_read_by_the_names_of_its_columns_and_a_table_of_that_stream_name_is_none() {
        let schema = offtake_log::dead_letter_schema().to_proto(7);
        let text = |text: &str| v1::Value { kind: Some(Kind::Text(text.into())) };
        let mut values: Vec<v1::Value> =
            schema.columns.iter().map(|column| text(&column.name)).collect();
        values[1].kind = Some(Kind::Integer(41));
        values[12].kind = Some(Kind::Bytes(Bytes::from_static(b"row")));
        let change =
            v1::Change { sequence: 42, after: Some(v1::Row { values }), ..v1::Change::default() };
        let letter = Letter::read(&change, &schema).unwrap();
        assert_eq!((letter.sequence, letter.of_sequence), (42, 41));
        assert_eq!((&*letter.origin, &*letter.code, &*letter.error), ("origin", "code", "error"));
        assert_eq!(letter.key_hash.as_deref(), Some("key_hash"));
        assert_eq!(letter.qualified_table(), "namespace.table");
        assert!(letter.holds_change && letter.change.is_some());
        assert!(!letter.json().to_string().contains("row"), "{}", letter.json());
        let table = v1::Schema { namespace: "public".into(), ..schema };
        assert_eq!(Letter::read(&change, &table), None);
    }
}
