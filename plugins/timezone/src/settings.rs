//! The configuration, and which conversions there are.

use offtake_sdk::{ColumnInfo, Config, Failure, Fields, Json, Kind};

use crate::pattern::Pattern;
use crate::zone::{Doubtful, Zone};

/// What a column becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Text,
    Timestamp,
    TimestampTz,
    Date,
    Time,
    /// A number that counts from 1970.
    Unix(Unit),
}

/// What numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    pub(crate) fn per_second(self) -> i64 {
        match self {
            Unit::Seconds => 1,
            Unit::Milliseconds => 1000,
            Unit::Microseconds => 1_000_000,
            Unit::Nanoseconds => 1_000_000_000,
        }
    }

    fn parse(name: &str) -> Option<Unit> {
        Some(match name {
            "s" => Unit::Seconds,
            "ms" => Unit::Milliseconds,
            "us" => Unit::Microseconds,
            "ns" => Unit::Nanoseconds,
            _ => return None,
        })
    }
}

impl Target {
    fn parse(name: &str) -> Option<Target> {
        Some(match name {
            "text" => Target::Text,
            "timestamp" => Target::Timestamp,
            "timestamptz" => Target::TimestampTz,
            "date" => Target::Date,
            "time" => Target::Time,
            _ => Target::Unix(Unit::parse(name.strip_prefix("unix_")?)?),
        })
    }

    /// The type in a table's definition.
    pub(crate) fn logical(self) -> &'static str {
        match self {
            Target::Text => "text",
            Target::Timestamp => "timestamp",
            Target::TimestampTz => "timestamptz",
            Target::Date => "date",
            Target::Time => "time",
            Target::Unix(_) => "int8",
        }
    }
}

/// Which columns are converted.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    /// These, each to a form of its own.
    Named(Vec<(String, Target)>),
    /// Every `timestamptz` to text: of these or all, without those.
    Zoned { include: Option<Vec<String>>, exclude: Vec<String> },
}

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Fail,
    Null,
}

/// The configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// In which times are shown.
    pub(crate) zone: Zone,
    /// In which times without an offset are read.
    pub(crate) from_zone: Option<Zone>,
    pub(crate) doubtful: Doubtful,
    pub(crate) format: Option<Pattern>,
    pub(crate) from_format: Option<Pattern>,
    pub(crate) from_unix: Option<Unit>,
    pub(crate) columns: Columns,
    pub(crate) on_failure: OnFailure,
    /// A column that a table lacks is an error.
    pub(crate) needs_columns: bool,
}

impl Settings {
    pub(crate) fn read(config: &Config) -> Result<Settings, Failure> {
        let mut fields = config.fields()?;
        let columns = columns(&mut fields)?;
        let settings = Settings {
            zone: zone(&mut fields, "zone")?.unwrap_or(Zone::Fixed(0)),
            from_zone: zone(&mut fields, "from_zone")?,
            doubtful: match fields.text("doubtful")?.as_deref() {
                None | Some("compatible") => Doubtful::Compatible,
                Some("earlier") => Doubtful::Earlier,
                Some("later") => Doubtful::Later,
                Some("fail") => Doubtful::Fail,
                Some(_) => {
                    let reason = "must be \"compatible\", \"earlier\", \"later\" or \"fail\"";
                    return Err(fields.refuse("doubtful", reason));
                }
            },
            format: pattern(&mut fields, "format")?,
            from_format: pattern(&mut fields, "from_format")?,
            from_unix: match fields.text("from_unix")? {
                None => None,
                Some(name) => Some(Unit::parse(&name).ok_or_else(|| {
                    fields.refuse("from_unix", "must be \"s\", \"ms\", \"us\" or \"ns\"")
                })?),
            },
            columns,
            on_failure: match fields.text("on_failure")?.as_deref() {
                None | Some("fail") => OnFailure::Fail,
                Some("null") => OnFailure::Null,
                Some(_) => return Err(fields.refuse("on_failure", "must be \"fail\" or \"null\"")),
            },
            needs_columns: match fields.text("missing_columns")?.as_deref() {
                None | Some("ignore") => false,
                Some("error") => true,
                Some(_) => {
                    let reason = "must be \"ignore\" or \"error\"";
                    return Err(fields.refuse("missing_columns", reason));
                }
            },
        };
        fields.finish()?;
        if settings.from_format.as_ref().is_some_and(|pattern| !pattern.has_day()) {
            return Err(fields.refuse("from_format", "must have yyyy, MM and dd"));
        }
        Ok(settings)
    }

    /// Why there is no conversion of a column. `None`: there is.
    pub(crate) fn refusal(&self, column: &ColumnInfo, target: Target) -> Option<&'static str> {
        let has_zone = match base(&column.logical) {
            "timestamptz" => true,
            "date" if target == Target::Time => return Some("a date has no time of day"),
            "timestamp" | "date" => self.from_zone.is_some(),
            _ if matches!(column.kind, Kind::Int64 | Kind::Uint64) => {
                if self.from_unix.is_none() {
                    return Some("what its numbers count has to be said by `from_unix`");
                }
                true
            }
            // Every text says for itself whether it has an offset.
            _ if column.is_free_text() => true,
            _ => return Some("it is no date, timestamp, number or text"),
        };
        let shows_zone =
            target == Target::Text && self.format.as_ref().is_some_and(Pattern::has_offset);
        if !has_zone && (shows_zone || matches!(target, Target::TimestampTz | Target::Unix(_))) {
            return Some("it has no zone: say by `from_zone` in which one it is");
        }
        None
    }
}

/// A type's name without numbers.
fn base(logical: &str) -> &str {
    logical.split('(').next().unwrap_or(logical)
}

fn zone(fields: &mut Fields, key: &str) -> Result<Option<Zone>, Failure> {
    let Some(name) = fields.text(key)? else { return Ok(None) };
    match Zone::parse(&name) {
        Some(zone) => Ok(Some(zone)),
        None => {
            let reason = "must be a zone of the IANA database, as in \"Europe/Paris\", or an offset, \
                          as in \"+05:30\"";
            Err(fields.refuse(key, reason))
        }
    }
}

fn pattern(fields: &mut Fields, key: &str) -> Result<Option<Pattern>, Failure> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    Pattern::parse(&text).map(Some).map_err(|reason| fields.refuse(key, reason))
}

fn columns(fields: &mut Fields) -> Result<Columns, Failure> {
    const WANTED: &str = "must be a table of forms, { created = \"text\" }: text, timestamp, \
                          timestamptz, date, time, unix_s, unix_ms, unix_us, unix_ns";
    let include = fields.texts("include")?;
    let exclude = fields.texts("exclude")?;
    let members = match fields.take("columns") {
        None => {
            return Ok(Columns::Zoned { include, exclude: exclude.unwrap_or_default() });
        }
        Some(Json::Object(members)) if !members.is_empty() => members,
        Some(_) => return Err(fields.refuse("columns", WANTED)),
    };
    if include.is_some() || exclude.is_some() {
        return Err(fields.refuse("columns", "stands without `include` and `exclude`"));
    }
    let target = |(name, form): (String, Json)| match form {
        Json::Text(form) => Target::parse(&form).map(|target| (name, target)),
        _ => None,
    };
    let named: Option<Vec<_>> = members.into_iter().map(target).collect();
    named.map(Columns::Named).ok_or_else(|| fields.refuse("columns", WANTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Result<Settings, Failure> {
        Settings::read(&Config::from_json(json))
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        for (json, part) in [
            (r#"{"zone":"Paris"}"#, "`zone` must be a zone of the IANA database"),
            (r#"{"from_zone":"+25"}"#, "`from_zone` must be a zone"),
            (r#"{"columns":{"a":"int8"}}"#, "`columns` must be a table of forms"),
            (r#"{"columns":{"a":"text"},"include":["b"]}"#, "stands without `include`"),
            (r#"{"format":"EEE"}"#, "`format` has letters other than yyyy"),
            (r#"{"from_format":"HH:mm"}"#, "`from_format` must have yyyy, MM and dd"),
            (r#"{"from_unix":"h"}"#, "`from_unix` must be \"s\""),
            (r#"{"doubtful":"no"}"#, "`doubtful` must be"),
            (r#"{"on_failure":"drop"}"#, "`on_failure` must be"),
            (r#"{"missing_columns":"no"}"#, "`missing_columns` must be"),
            (r#"{"converted.timezone":"UTC"}"#, "unknown key `converted.timezone`"),
        ] {
            let message = settings(json).expect_err(json).message;
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn conversions_that_a_zone_is_missing_for_are_refused() {
        let refusal = |json: &str, logical: &str, target| {
            settings(json).expect(json).refusal(&ColumnInfo::new("c", logical), target)
        };
        let zoned = r#"{"from_zone":"UTC","from_unix":"ms"}"#;
        for logical in ["timestamptz(3)", "timestamp", "date", "int8", "text"] {
            assert_eq!(refusal(zoned, logical, Target::TimestampTz), None, "{logical}");
        }
        let wants = Some("it has no zone: say by `from_zone` in which one it is");
        assert_eq!(refusal("{}", "timestamp(3)", Target::TimestampTz), wants);
        assert_eq!(refusal("{}", "date", Target::Unix(Unit::Seconds)), wants);
        assert_eq!(refusal(r#"{"format":"yyyy XXX"}"#, "timestamp", Target::Text), wants);
        assert_eq!(refusal("{}", "timestamp", Target::Text), None);
        assert!(refusal("{}", "int8", Target::Text).is_some());
        assert!(refusal("{}", "uuid", Target::Text).is_some());
        assert!(refusal("{}", "date", Target::Time).is_some());
    }
}
