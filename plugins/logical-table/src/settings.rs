//! The configuration: which tables are one, where they go, and how their keys stay apart.

use offtake_plugin_streams::{Names, Rewrite};
use offtake_sdk::{Config, Failure, Fields, Schema};

/// The column's name that Debezium gives it.
const KEY_COLUMN: &str = "__dbz__physicalTableIdentifier";

/// What becomes of a truncate of one of the tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Truncates {
    Fail,
    Drop,
    Pass,
}

#[derive(Debug)]
pub(crate) struct Settings {
    stream: Rewrite,
    table: Rewrite,
    names: Names,
    /// `None`: the tables' keys are unique as they are.
    key_column: Option<String>,
    identifier: Option<Rewrite>,
    pub(crate) truncates: Truncates,
}

/// Where a table's changes go, and how sinks name it.
#[derive(Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) stream: String,
    pub(crate) namespace: String,
    pub(crate) table: String,
}

impl Settings {
    pub(crate) fn read(config: &Config) -> Result<Settings, Failure> {
        let mut fields = config.fields()?;
        let regex = fields.text("regex")?;
        let stream = fields.text("stream")?;
        let table = fields.text("table")?;
        let unique = fields.boolean("unique_key")?.unwrap_or(true);
        let key_column = fields.text("key_column")?;
        let key_regex = fields.text("key_regex")?;
        let key_replacement = fields.text("key_replacement")?;
        let names = Names::read(&mut fields)?;
        let truncates = match fields.text("truncates")?.as_deref() {
            None | Some("fail") => Truncates::Fail,
            Some("drop") => Truncates::Drop,
            Some("pass") => Truncates::Pass,
            Some(_) => {
                return Err(fields.refuse("truncates", "must be \"fail\", \"drop\" or \"pass\""));
            }
        };
        fields.finish()?;
        let needed =
            |key: &str, text: Option<String>| text.ok_or_else(|| fields.refuse(key, "is missing"));
        let (regex, stream) = (needed("regex", regex)?, needed("stream", stream)?);
        let table = needed("table", table)?;
        if !unique && (key_column.is_some() || key_regex.is_some() || key_replacement.is_some()) {
            let reason =
                "is false, so `key_column`, `key_regex` and `key_replacement` mean nothing";
            return Err(fields.refuse("unique_key", reason));
        }
        if key_column.as_ref().is_some_and(String::is_empty) {
            return Err(fields.refuse("key_column", "must not be empty"));
        }
        let identifier = match (key_regex, key_replacement) {
            (None, None) => None,
            (Some(regex), Some(replacement)) if !replacement.is_empty() => {
                Some(rewrite(&fields, ["key_regex", "key_replacement"], &regex, &replacement)?)
            }
            _ => return Err(fields.refuse("key_regex", "and `key_replacement` go together")),
        };
        Ok(Settings {
            stream: rewrite(&fields, ["regex", "stream"], &regex, &stream)?,
            table: rewrite(&fields, ["regex", "table"], &regex, &table)?,
            names,
            key_column: unique.then(|| key_column.unwrap_or_else(|| KEY_COLUMN.to_owned())),
            identifier,
            truncates,
        })
    }

    /// Where a table goes, by its namespace and name; `None`: it stays where it is.
    pub(crate) fn target(&self, table: &str) -> Option<Result<Target, String>> {
        let (stream, name) = (self.stream.apply(table)?, self.table.apply(table)?);
        let stream = match self.names.stream(stream) {
            Ok(stream) => stream,
            Err(reason) => return Some(Err(format!("`stream`: {reason}"))),
        };
        let Some((namespace, table)) = name.split_once('.').filter(|(_, table)| !table.is_empty())
        else {
            let reason = "`table` gives no name of the form namespace.table";
            return Some(Err(reason.to_owned()));
        };
        let (namespace, table) = (namespace.to_owned(), table.to_owned());
        Some(Ok(Target { stream, namespace, table }))
    }

    /// The column that a table's key is made unique by. A table without a key stays without one.
    pub(crate) fn key_column(&self, schema: &Schema) -> Option<&str> {
        let has_key = !schema.key.is_empty() && self.target(&schema.qualified_name()).is_some();
        self.key_column.as_deref().filter(|_| has_key)
    }

    /// What the key's column says of a table.
    pub(crate) fn identifier(&self, table: &str) -> String {
        let rewritten = self.identifier.as_ref().and_then(|rewrite| rewrite.apply(table));
        rewritten.unwrap_or_else(|| table.to_owned())
    }
}

fn rewrite(
    fields: &Fields,
    [regex_key, replacement_key]: [&str; 2],
    regex: &str,
    replacement: &str,
) -> Result<Rewrite, Failure> {
    Rewrite::new(regex, replacement).map_err(|reason| {
        let is_regex = reason.starts_with("is no regular");
        fields.refuse(if is_regex { regex_key } else { replacement_key }, &reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, Failure> {
        Settings::read(&Config::from_json(json))
    }

    fn with(more: &str) -> Result<Settings, Failure> {
        read(&format!(
            r#"{{"regex":"(\\w+)\\.orders_(\\w+)","stream":"all.$1.orders","table":"$1.orders"{more}}}"#
        ))
    }

    fn refused(json: &str) -> String {
        read(json).expect_err("it was accepted").message
    }

    #[test]
    fn tables_that_match_have_one_stream_and_one_name() {
        let settings = with("").expect("it is right");
        for table in ["public.orders_1", "public.orders_eu"] {
            let target = settings.target(table).expect("it matches").expect("it is a name");
            assert_eq!(target.stream, "all.public.orders");
            assert_eq!((target.namespace.as_str(), target.table.as_str()), ("public", "orders"));
        }
        assert!(settings.target("public.customers").is_none());
        assert!(settings.target("public.orders_1_old.x").is_none());
    }

    #[test]
    fn a_key_says_its_table_or_what_is_made_of_its_name() {
        assert_eq!(with("").expect("right").identifier("public.orders_1"), "public.orders_1");
        let more = r#","key_regex":"(?:.*)_(\\d+)","key_replacement":"shard-$1""#;
        let settings = with(more).expect("it is right");
        assert_eq!(settings.identifier("public.orders_17"), "shard-17");
        assert_eq!(settings.identifier("public.orders_eu"), "public.orders_eu", "no match");
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `regex` is missing");
        assert_eq!(refused(r#"{"regex":"a","stream":"b"}"#), "config: `table` is missing");
        assert!(refused(r#"{"regex":"(","stream":"b","table":"c"}"#).contains("`regex` is no reg"));
        assert_eq!(
            refused(r#"{"regex":"a","stream":"b","table":"$1.c"}"#),
            "config: `table` names the group 1, which `regex` does not have"
        );
        let of = |more: &str| with(more).expect_err("it was accepted").message;
        assert_eq!(
            of(r#","key_regex":"a""#),
            "config: `key_regex` and `key_replacement` go together"
        );
        let message = of(r#","unique_key":false,"key_column":"a""#);
        assert!(message.starts_with("config: `unique_key` is false, so"), "{message}");
        let message = of(r#","truncates":"warn""#);
        assert_eq!(message, "config: `truncates` must be \"fail\", \"drop\" or \"pass\"");
        let no_name = r#"{"regex":"a.b","stream":"s","table":"c"}"#;
        let target = read(no_name).expect("it is a rule").target("a.b").expect("it matches");
        assert!(target.expect_err("no table").contains("namespace.table"));
        let no_stream = r#"{"regex":"a.b","stream":"s t","table":"c.d"}"#;
        let target = read(no_stream).expect("it is a rule").target("a.b").expect("it matches");
        assert!(target.expect_err("no stream").starts_with("`stream`: "));
    }
}
