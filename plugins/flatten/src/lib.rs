//! `builtin:flatten` makes a table's stream one of rows alone: what Debezium's
//! `ExtractNewRecordState` leaves of an envelope.
//!
//! The form of the stream is the gateway's matter: a message is the row after the change, and of a
//! delete a tombstone. The plugin asks for it, adds fields and headers about the change, and
//! decides what becomes of deletes. README.md has the configuration.

mod about;
mod rewrite;

use offtake_sdk::{
    Batch, Column, ColumnId, Config, Failure, Field, Fields, Image, Info, Interest, Operation,
    Schema, Transform, Value, Verdict,
};

use about::{About, Change, Known, Told};
use rewrite::Rewriter;

/// Tells deleted rows from others where deletes are rows.
const DELETED: &str = "__deleted";

/// What becomes of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    /// A tombstone.
    Tombstone,
    /// Nothing.
    Drop,
    /// The row before it, marked as deleted; with `then_tombstone` a tombstone after it.
    Rewrite { then_tombstone: bool },
}

/// A field or header, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    about: About,
    name: String,
}

/// The plugin.
#[derive(Debug)]
struct Flatten {
    deletes: Deletes,
    fields: Vec<Named>,
    headers: Vec<Named>,
}

impl Transform for Flatten {
    fn configure(config: Config) -> Result<Flatten, Failure> {
        let mut fields = config.fields()?;
        let deletes = match fields.text("deletes")?.as_deref() {
            None | Some("tombstone") => Deletes::Tombstone,
            Some("drop") => Deletes::Drop,
            Some("rewrite") => Deletes::Rewrite { then_tombstone: false },
            Some("rewrite_with_tombstone") => Deletes::Rewrite { then_tombstone: true },
            Some(_) => {
                let reason = "must be \"tombstone\", \"drop\", \"rewrite\" or \
                              \"rewrite_with_tombstone\"";
                return Err(fields.refuse("deletes", reason));
            }
        };
        let flatten = Flatten {
            deletes,
            fields: named(&mut fields, "add_fields", "add_fields_prefix")?,
            headers: named(&mut fields, "add_headers", "add_headers_prefix")?,
        };
        fields.finish()?;
        Ok(flatten)
    }

    fn info(&self) -> Info {
        Info::new("flatten", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let has_tombstones = self.deletes != Deletes::Drop
            && self.deletes != Deletes::Rewrite { then_tombstone: false };
        if has_tombstones && schema.key.is_empty() {
            let table = schema.qualified_name();
            return Err(Failure::permanent(format!(
                "{table} has no key, and a tombstone is nothing else: `deletes` must be \"drop\" or \
                 \"rewrite\""
            )));
        }
        let mut interest = self.asked(schema);
        if let Deletes::Rewrite { .. } = self.deletes {
            interest = rewrite::declare(interest, schema, &self.fields)?;
        } else {
            for field in &self.fields {
                interest = interest.with_column(field.about.column(&field.name));
            }
        }
        Ok(interest.flat())
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let told = Told::new(batch);
        let moved = MovedKeys::new(batch)?;
        let rewriter = match self.deletes {
            Deletes::Rewrite { then_tombstone } => Some(Rewriter::new(batch, then_tombstone)?),
            _ => None,
        };
        let ids = self.fields.iter().map(|it| verdict.column(Image::After, &it.name)).collect();
        let slots = Slots {
            fields: ids,
            deleted: verdict.column(Image::After, DELETED).filter(|_| rewriter.is_some()),
        };
        for (row, operation) in (0_u32..).zip(batch.operations()) {
            let operation = match operation {
                // Published as a tombstone of the old key, and the row created under its new one.
                Operation::Update if moved.is_moved(row) => Operation::Create,
                Operation::Create | Operation::Read | Operation::Update | Operation::Delete => {
                    operation
                }
                // There is no row.
                Operation::Truncate | Operation::Message | Operation::Other(_) => continue,
            };
            let done = match self.describe(&told.change(row, operation)) {
                Ok(described) => match (operation, &rewriter, self.deletes) {
                    (Operation::Delete, Some(rewriter), _) => {
                        rewriter.rewrite(row, &self.fields, &described, verdict)
                    }
                    (Operation::Delete, None, Deletes::Drop) => {
                        verdict.drop(row);
                        Ok(())
                    }
                    (Operation::Delete, None, _) => {
                        described.set_headers(row, verdict);
                        Ok(())
                    }
                    _ => {
                        slots.fill(row, &described, verdict);
                        Ok(())
                    }
                },
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                verdict.fail(row, failure);
            }
        }
        Ok(())
    }
}

impl Flatten {
    /// What is asked for of a table.
    fn asked(&self, schema: &Schema) -> Interest {
        let all = || self.fields.iter().chain(&self.headers).map(|it| it.about);
        let names = |ordinals: &[u32]| -> Vec<String> {
            let column = |&ordinal: &u32| schema.columns.get(ordinal as usize);
            ordinals.iter().filter_map(column).map(|column| column.name.clone()).collect()
        };
        let mut interest = if matches!(self.deletes, Deletes::Rewrite { .. }) {
            let names = schema.columns.iter().map(|column| &column.name);
            Interest::in_columns(schema, names).with_before_images()
        } else if all().any(|about| about == About::Operation) && !schema.key.is_empty() {
            // Whether an update moves its key.
            Interest::in_columns(schema, names(&schema.key)).with_before_images()
        } else if all().next().is_some() || self.deletes == Deletes::Drop {
            Interest::in_operations()
        } else {
            Interest::none()
        };
        if all().any(About::is_position) {
            interest = interest.with_positions();
        }
        if all().any(About::is_time) {
            interest = interest.with_commit_times();
        }
        if all().any(|about| about == About::Transaction) {
            interest = interest.with_transactions();
        }
        interest
    }

    /// The values of fields and headers for a change.
    fn describe<'n>(&'n self, change: &Change<'n>) -> Result<Described<'n>, Failure> {
        let fields = self.fields.iter().map(|it| it.about.of(change)).collect::<Result<_, _>>()?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            if let Some(known) = header.about.of(change)? {
                headers.push((header.name.as_str(), known));
            }
        }
        Ok(Described { fields, headers })
    }
}

/// What fields and headers say of a change.
struct Described<'n> {
    /// One a field; `None`: NULL.
    fields: Vec<Option<Known<'n>>>,
    headers: Vec<(&'n str, Known<'n>)>,
}

impl Described<'_> {
    fn set_headers(&self, row: u32, verdict: &mut Verdict<'_>) {
        for (name, known) in &self.headers {
            verdict.set_header(row, name, known.text().as_bytes());
        }
    }
}

/// Where the fields stand in a row.
struct Slots {
    fields: Vec<Option<ColumnId>>,
    deleted: Option<ColumnId>,
}

impl Slots {
    fn fill(&self, row: u32, described: &Described<'_>, verdict: &mut Verdict<'_>) {
        if let Some(deleted) = self.deleted {
            verdict.set(deleted, row, Value::Text("false"));
        }
        for (id, known) in self.fields.iter().zip(&described.fields) {
            match (id, known) {
                (Some(id), Some(known)) => verdict.set(*id, row, known.value()),
                (Some(id), None) => verdict.set_null(*id, row),
                (None, _) => {}
            }
        }
        described.set_headers(row, verdict);
    }
}

/// The key's columns before and after, where they were asked for.
struct MovedKeys<'b>(Vec<(Column<'b>, Column<'b>)>);

impl<'b> MovedKeys<'b> {
    fn new(batch: &Batch<'b>) -> Result<MovedKeys<'b>, Failure> {
        let schema = batch.schema();
        let mut pairs = Vec::new();
        for column in schema.key.iter().filter_map(|&key| schema.columns.get(key as usize)) {
            let before = batch.column(Image::Before, &column.name)?;
            let after = batch.column(Image::After, &column.name)?;
            pairs.extend(before.zip(after));
        }
        Ok(MovedKeys(pairs))
    }

    fn is_moved(&self, row: u32) -> bool {
        self.0.iter().any(|(before, after)| match (before.field(row), after.field(row)) {
            // Equal by bits, so that NaN is itself.
            (Field::Value(Value::Float(one)), Field::Value(Value::Float(other))) => {
                one.to_bits() != other.to_bits()
            }
            (Field::Value(one), Field::Value(other)) => one != other,
            _ => false,
        })
    }
}

/// `add_fields = ["op", "source.lsn:position"]`.
fn named(fields: &mut Fields, key: &str, prefix: &str) -> Result<Vec<Named>, Failure> {
    let references = fields.texts(key)?.unwrap_or_default();
    let prefix = fields.text(prefix)?.unwrap_or_else(|| "__".to_owned());
    let mut named: Vec<Named> = Vec::with_capacity(references.len());
    for reference in references {
        let (what, name) = match reference.split_once(':') {
            Some((what, name)) => (what, name.to_owned()),
            None => (reference.as_str(), reference.replace('.', "_")),
        };
        let about = About::parse(what)
            .map_err(|reason| fields.refuse(key, &format!("has {what:?}, {reason}")))?;
        let name = format!("{prefix}{name}");
        if name.is_empty() || name == DELETED || named.iter().any(|known| known.name == name) {
            let reason = format!("has {reference:?}, whose name {name:?} is taken or empty");
            return Err(fields.refuse(key, &reason));
        }
        named.push(Named { about, name });
    }
    Ok(named)
}

offtake_sdk::export!(Flatten);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Flatten::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn fields_are_named_as_debezium_names_them() {
        let json = r#"{"add_fields":["op","source.ts_ms","lsn:at"],"add_headers":["table"],
                       "add_headers_prefix":""}"#;
        let flatten = Flatten::configure(Config::from_json(json)).expect("it is right");
        let names = |named: &[Named]| -> Vec<(About, String)> {
            named.iter().map(|it| (it.about, it.name.clone())).collect()
        };
        let expected = [
            (About::Operation, "__op".to_owned()),
            (About::Milliseconds, "__source_ts_ms".to_owned()),
            (About::Lsn, "__at".to_owned()),
        ];
        assert_eq!(names(&flatten.fields), expected);
        assert_eq!(names(&flatten.headers), [(About::Table, "table".to_owned())]);
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        let message = refused(r#"{"deletes":"none"}"#);
        assert!(
            message.starts_with("config: `deletes` must be \"tombstone\", \"drop\""),
            "{message}"
        );
        for (json, part) in [
            (r#"{"add_fields":["ts_ms"]}"#, "`add_fields` has \"ts_ms\", the time of processing"),
            (
                r#"{"add_fields":["source.version"]}"#,
                "has \"source.version\", which is not one of: op,",
            ),
            (r#"{"add_headers":["source.op"]}"#, "`add_headers` has \"source.op\", which is not"),
            (r#"{"add_fields":["op","op"]}"#, "whose name \"__op\" is taken"),
            (r#"{"add_fields":["op:deleted"]}"#, "whose name \"__deleted\" is taken"),
            (r#"{"add_fields":["op:"],"add_fields_prefix":""}"#, "is taken or empty"),
            (r#"{"route_by_field":"x"}"#, "unknown key `route_by_field`"),
        ] {
            let message = refused(json);
            assert!(message.contains(part), "{message}");
        }
    }
}
