//! One row of the outbox as an event: where it goes, its headers, its payload.
//!
//! Everything is worked out before anything is said of the row, so that a row that fails is touched
//! by nothing else.

use std::collections::HashMap;

use offtake_plugin_streams::{put_bytes, put_text};
use offtake_sdk::{Batch, Column, Failure, Field, Image, Kind, Value, Verdict};

use crate::envelope;
use crate::settings::{ID_HEADER, Location, NullPayload, PAYLOAD_MEMBER, Place, Settings};

/// Bytes of the longest value that a stream's name is made of; a longer one is not even tried, for an
/// expression takes its time over it.
const LONGEST_ROUTE: usize = 4096;

/// Streams that are remembered by what they were made of.
const REMEMBERED: usize = 1024;

/// Streams by the values that name them: a cache.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    known: HashMap<String, Result<String, &'static str>>,
}

impl Streams {
    fn of(&mut self, settings: &Settings, value: &str) -> Result<String, &'static str> {
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        // As Kafka Connect's router does: what the expression does not match stays.
        let name = settings.rewrite.apply(value).unwrap_or_else(|| value.to_owned());
        let stream = settings.names.stream(name);
        if self.known.len() == REMEMBERED {
            self.known.clear();
        }
        self.known.insert(value.to_owned(), stream.clone());
        stream
    }
}

/// The columns of a batch that events are made of.
pub(crate) struct Columns<'b, 's> {
    id: Option<Column<'b>>,
    route_by: Option<Column<'b>>,
    payload: Option<Column<'b>>,
    payload_kind: Option<Kind>,
    places: Vec<(&'s Place, Column<'b>)>,
}

/// What becomes of a row.
pub(crate) struct Event {
    stream: String,
    headers: Vec<(String, Vec<u8>)>,
    partition: Option<u32>,
    /// Set in place of the column's own value.
    payload: Option<Payload>,
}

enum Payload {
    Text(String),
    EmptyBytes,
}

impl<'b, 's> Columns<'b, 's> {
    pub(crate) fn new(settings: &'s Settings, batch: &Batch<'b>) -> Result<Self, Failure> {
        let column = |name: &str| batch.column(Image::After, name);
        let mut places = Vec::new();
        for place in &settings.places {
            // A table without it is refused, or its lack is meant to be ignored.
            if let Some(column) = column(&place.column)? {
                places.push((place, column));
            }
        }
        Ok(Columns {
            id: column(&settings.id)?,
            route_by: column(&settings.route_by)?,
            payload: column(&settings.payload)?,
            payload_kind: batch.schema().column(&settings.payload).map(|(_, column)| column.kind),
            places,
        })
    }

    /// The event of a row; `None`: it is left out.
    ///
    /// # Errors
    /// Why the row is no event; the reason has no values.
    pub(crate) fn event(
        &self,
        settings: &Settings,
        streams: &mut Streams,
        row: u32,
    ) -> Result<Option<Event>, String> {
        let stream = self.stream(settings, streams, row)?;
        let mut headers = Vec::new();
        if let Some(value) = present(self.id, row, &settings.id)? {
            headers.push((ID_HEADER.to_owned(), bytes(value)));
        }
        let mut partition = None;
        for (place, column) in &self.places {
            let value = present(Some(*column), row, &place.column)?;
            match (place.location, value) {
                (Location::Header, Some(value)) => {
                    headers.push((place.name.clone(), bytes(value)));
                }
                (Location::Partition, Some(value)) => {
                    partition = Some(self::partition(value).ok_or_else(|| {
                        format!("column {} is no partition: from 0 to 4294967295", place.column)
                    })?);
                }
                (Location::Envelope, _) | (_, None) => {}
            }
        }
        let payload = present(self.payload, row, &settings.payload)?;
        let payload = if settings.has_envelope() {
            Some(Payload::Text(self.document(settings, payload, row)?))
        } else {
            match (payload, settings.null_payload) {
                (Some(_), _) => None,
                (None, NullPayload::Drop) => return Ok(None),
                (None, NullPayload::Empty) => Some(match self.payload_kind {
                    Some(Kind::Bytes) => Payload::EmptyBytes,
                    _ => Payload::Text(String::new()),
                }),
                (None, NullPayload::Fail) => {
                    return Err(format!(
                        "column {} is NULL, and an event has a payload; `null_payload` says what \
                         becomes of such a row",
                        settings.payload
                    ));
                }
            }
        };
        Ok(Some(Event { stream, headers, partition, payload }))
    }

    fn stream(
        &self,
        settings: &Settings,
        streams: &mut Streams,
        row: u32,
    ) -> Result<String, String> {
        let name = &settings.route_by;
        let Some(value) = present(self.route_by, row, name)? else {
            return Err(format!("column {name} is NULL, and it names the stream"));
        };
        if matches!(value, Value::Text(text) if text.len() > LONGEST_ROUTE) {
            return Err(format!(
                "column {name} is longer than {LONGEST_ROUTE} bytes: it names no stream"
            ));
        }
        let mut text = String::new();
        let stream = match value {
            Value::Text(text) => streams.of(settings, text),
            other => {
                put_text(&mut text, other);
                streams.of(settings, &text)
            }
        };
        stream.map_err(|reason| format!("column {name} names no stream: {reason}"))
    }

    /// The payload and further columns as one JSON document.
    fn document(
        &self,
        settings: &Settings,
        payload: Option<Value<'_>>,
        row: u32,
    ) -> Result<String, String> {
        let mut out = String::from("{");
        envelope::put_string(&mut out, PAYLOAD_MEMBER);
        out.push(':');
        match payload {
            Some(Value::Text(text)) if settings.expand_json && envelope::is_document(text) => {
                out.push_str(text);
            }
            other => envelope::put_value(&mut out, other),
        }
        let members = self.places.iter().filter(|(place, _)| place.location == Location::Envelope);
        for (place, column) in members {
            out.push(',');
            envelope::put_string(&mut out, &place.name);
            out.push(':');
            envelope::put_value(&mut out, present(Some(*column), row, &place.column)?);
        }
        out.push('}');
        Ok(out)
    }
}

impl Event {
    /// Says it of a row.
    pub(crate) fn put(self, settings: &Settings, verdict: &mut Verdict<'_>, row: u32) {
        verdict.set_stream(row, &self.stream);
        for (name, value) in &self.headers {
            verdict.set_header(row, name, value);
        }
        if let Some(partition) = self.partition {
            verdict.set_partition(row, partition);
        }
        let Some(payload) = self.payload else { return };
        if let Some(column) = verdict.column(Image::After, &settings.payload) {
            let value = match &payload {
                Payload::Text(text) => Value::Text(text),
                Payload::EmptyBytes => Value::Bytes(&[]),
            };
            verdict.set(column, row, value);
        }
    }
}

/// The value of a column, `None` for NULL. What an insert has no value of is not there to be told.
fn present<'b>(
    column: Option<Column<'b>>,
    row: u32,
    name: &str,
) -> Result<Option<Value<'b>>, String> {
    match column.map_or(Field::Absent, |column| column.field(row)) {
        Field::Value(value) => Ok(Some(value)),
        Field::Null => Ok(None),
        Field::Unchanged | Field::Absent => Err(format!(
            "the row has no value of column {name}; every value of an insert is needed"
        )),
    }
}

fn bytes(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, value);
    out
}

fn partition(value: Value<'_>) -> Option<u32> {
    match value {
        Value::Integer(number) => u32::try_from(number).ok(),
        Value::Unsigned(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Config;

    #[test]
    fn a_value_that_the_expression_does_not_match_is_the_stream_itself() {
        let config = Config::from_json(r#"{"regex":"(.*)-v\\d","stream":"events.$1"}"#);
        let settings = Settings::read(&config).expect("it is right");
        let mut streams = Streams::default();
        assert_eq!(streams.of(&settings, "order-v2").as_deref(), Ok("events.order"));
        assert_eq!(streams.of(&settings, "order").as_deref(), Ok("order"));
        assert!(streams.of(&settings, "two words").is_err());
        assert!(streams.of(&settings, "two words").is_err(), "remembered");
    }

    #[test]
    fn the_cache_is_bounded() {
        let settings = Settings::read(&Config::from_json("")).expect("it is right");
        let mut streams = Streams::default();
        for number in 0..3 * REMEMBERED {
            let stream = streams.of(&settings, &number.to_string());
            assert_eq!(stream, Ok(format!("outbox.event.{number}")));
        }
        assert!(streams.known.len() <= REMEMBERED);
    }

    #[test]
    fn a_partition_is_a_number_that_a_plugin_can_name() {
        assert_eq!(partition(Value::Integer(7)), Some(7));
        assert_eq!(partition(Value::Unsigned(u64::from(u32::MAX))), Some(u32::MAX));
        assert_eq!(partition(Value::Integer(-1)), None);
        assert_eq!(partition(Value::Integer(1 << 32)), None);
    }
}
