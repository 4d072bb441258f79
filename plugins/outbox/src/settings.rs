//! The configuration: which columns an outbox has, where they go, and what becomes of the rest.

use offtake_plugin_streams::{Names, Rewrite};
use offtake_sdk::{Config, Failure, Fields};

/// Columns that can be placed. A row has room for 64 headers, other plugins' among them.
const PLACES: usize = 48;
/// The member of the envelope that is the payload.
pub(crate) const PAYLOAD_MEMBER: &str = "payload";
/// The header that the event's identifier is in.
pub(crate) const ID_HEADER: &str = "id";

/// What becomes of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Updates {
    Warn,
    Error,
    Fail,
}

/// What becomes of a row without a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NullPayload {
    Fail,
    Drop,
    Empty,
}

/// What becomes of a table without a column that is placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Missing {
    Error,
    Ignore,
}

/// Where a further column goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Location {
    Header,
    Envelope,
    Partition,
}

/// A further column of the table.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) column: String,
    pub(crate) location: Location,
    /// The header's name, or the member's.
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) payload: String,
    pub(crate) route_by: String,
    pub(crate) rewrite: Rewrite,
    pub(crate) names: Names,
    pub(crate) places: Vec<Place>,
    pub(crate) missing: Missing,
    /// Whether JSON in the payload's column is a value in the envelope, and not a text.
    pub(crate) expand_json: bool,
    pub(crate) updates: Updates,
    pub(crate) null_payload: NullPayload,
    content_type: Option<String>,
}

impl Settings {
    pub(crate) fn read(config: &Config) -> Result<Settings, Failure> {
        let mut fields = config.fields()?;
        let mut name = |key: &str, default: &str| match fields.text(key)? {
            Some(empty) if empty.is_empty() => Err(fields.refuse(key, "must not be empty")),
            Some(name) => Ok(name),
            None => Ok(default.to_owned()),
        };
        let id = name("id", "id")?;
        let key = name("key", "aggregateid")?;
        let payload = name("payload", "payload")?;
        let route_by = name("route_by", "aggregatetype")?;
        let regex = name("regex", "(?<routedByValue>.*)")?;
        let stream = name("stream", "outbox.event.${routedByValue}")?;
        let names = Names::read(&mut fields)?;
        let missing = choice(
            &mut fields,
            "missing_columns",
            &[("error", Missing::Error), ("ignore", Missing::Ignore)],
        )?;
        let updates = choice(
            &mut fields,
            "updates",
            &[("warn", Updates::Warn), ("error", Updates::Error), ("fail", Updates::Fail)],
        )?;
        let null_payload = choice(
            &mut fields,
            "null_payload",
            &[
                ("fail", NullPayload::Fail),
                ("drop", NullPayload::Drop),
                ("empty", NullPayload::Empty),
            ],
        )?;
        let expand_json = fields.boolean("expand_json")?.unwrap_or(false);
        let content_type = fields.text("content_type")?;
        let places = fields.objects("place")?.unwrap_or_default();
        fields.finish()?;
        if key == payload {
            return Err(fields.refuse("key", "and `payload` must be two columns"));
        }
        let rewrite = Rewrite::new(&regex, &stream).map_err(|reason| {
            let is_regex = reason.starts_with("is no regular");
            fields.refuse(if is_regex { "regex" } else { "stream" }, &reason)
        })?;
        if places.len() > PLACES {
            return Err(fields.refuse("place", "places more than 48 columns"));
        }
        let mut placed: Vec<Place> = Vec::new();
        for place in places {
            let place = read_place(place, &placed)?;
            placed.push(place);
        }
        let places = placed;
        Ok(Settings {
            id,
            key,
            payload,
            route_by,
            rewrite,
            names,
            places,
            missing,
            expand_json,
            updates,
            null_payload,
            content_type,
        })
    }

    /// Columns that a table must have to be an outbox, with the keys that name them.
    pub(crate) fn required_columns(&self) -> [(&'static str, &str); 4] {
        [
            ("id", &self.id),
            ("key", &self.key),
            ("payload", &self.payload),
            ("route_by", &self.route_by),
        ]
    }

    pub(crate) fn placed_columns(&self) -> impl Iterator<Item = &String> {
        self.places.iter().map(|place| &place.column)
    }

    /// Whether the payload leaves in a document with further columns.
    pub(crate) fn has_envelope(&self) -> bool {
        self.places.iter().any(|place| place.location == Location::Envelope)
    }

    /// What the payload is said to be, unless the configuration says otherwise.
    pub(crate) fn content_type<'s>(&'s self, otherwise: &'s str) -> &'s str {
        self.content_type.as_deref().unwrap_or(otherwise)
    }
}

/// Reads `{ column = …, in = …, name = … }`.
fn read_place(mut fields: Fields, others: &[Place]) -> Result<Place, Failure> {
    let column = fields.required_text("column")?;
    let location = match fields.required_text("in")?.as_str() {
        "header" => Location::Header,
        "envelope" => Location::Envelope,
        "partition" => Location::Partition,
        _ => {
            let reason = "must be \"header\", \"envelope\" or \"partition\"";
            return Err(fields.refuse("in", reason));
        }
    };
    let name = fields.text("name")?;
    fields.finish()?;
    if location == Location::Partition && name.is_some() {
        return Err(fields.refuse("name", "is of headers and members; a partition has none"));
    }
    let name = name.unwrap_or_else(|| column.clone());
    if name.is_empty() || name.len() > 255 {
        return Err(fields.refuse("name", "must have 1 to 255 bytes"));
    }
    let own = match location {
        Location::Header => name == ID_HEADER,
        Location::Envelope => name == PAYLOAD_MEMBER,
        Location::Partition => false,
    };
    let is_same = |other: &Place| {
        other.location == location && (location == Location::Partition || other.name == name)
    };
    if own || others.iter().any(is_same) {
        return Err(fields.refuse(
            "name",
            "is taken: give each header and member another name, and \
                                          the partition one column",
        ));
    }
    Ok(Place { column, location, name })
}

/// Takes one of a few words; without it the first.
fn choice<T: Copy>(fields: &mut Fields, key: &str, words: &[(&str, T)]) -> Result<T, Failure> {
    let given = fields.text(key)?;
    let found = match &given {
        None => words.first(),
        Some(given) => words.iter().find(|(word, _)| word == given),
    };
    found.map(|&(_, value)| value).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        fields.refuse(key, &format!("must be {}", words.join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, Failure> {
        Settings::read(&Config::from_json(json))
    }

    fn refused(json: &str) -> String {
        read(json).expect_err("it was accepted").message
    }

    #[test]
    fn the_defaults_are_debeziums() {
        let settings = read("").expect("nothing is needed");
        let columns = settings.required_columns().map(|(_, column)| column);
        assert_eq!(columns, ["id", "aggregateid", "payload", "aggregatetype"]);
        let stream = settings.rewrite.apply("order");
        assert_eq!(stream.as_deref(), Some("outbox.event.order"));
        assert_eq!(settings.updates, Updates::Warn);
        assert_eq!(settings.missing, Missing::Error);
        assert!(!settings.expand_json && !settings.has_envelope());
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused(r#"{"id":""}"#), "config: `id` must not be empty");
        assert_eq!(
            refused(r#"{"updates":"fatal"}"#),
            "config: `updates` must be \"warn\" or \"error\" or \"fail\""
        );
        assert_eq!(
            refused(r#"{"key":"payload"}"#),
            "config: `key` and `payload` must be two columns"
        );
        let message = refused(r#"{"regex":"("}"#);
        assert!(message.starts_with("config: `regex` is no regular expression: "), "{message}");
        assert_eq!(
            refused(r#"{"regex":"(.*)"}"#),
            "config: `stream` names the group `routedByValue`, which `regex` does not have"
        );
        assert_eq!(
            refused(r#"{"place":[{"column":"type","in":"body"}]}"#),
            "config: `place[0].in` must be \"header\", \"envelope\" or \"partition\""
        );
        assert!(refused(r#"{"payload_column":"a"}"#).starts_with("config: unknown key"));
    }

    #[test]
    fn two_columns_cannot_have_one_place() {
        for (first, second) in [
            (r#""in":"header","name":"a""#, r#""in":"header","name":"a""#),
            (r#""in":"envelope","name":"a""#, r#""in":"envelope","name":"a""#),
            (r#""in":"partition""#, r#""in":"partition""#),
            (r#""in":"header""#, r#""in":"header","name":"id""#),
            (r#""in":"header""#, r#""in":"envelope","name":"payload""#),
        ] {
            let json =
                format!(r#"{{"place":[{{"column":"x",{first}}},{{"column":"y",{second}}}]}}"#);
            assert!(refused(&json).starts_with("config: `place[1].name` is taken"), "{json}");
        }
        let both = r#"{"place":[{"column":"x","in":"header"},{"column":"x","in":"envelope"}]}"#;
        assert!(read(both).expect("two places").has_envelope());
    }
}
