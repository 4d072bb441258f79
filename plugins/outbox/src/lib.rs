//! `builtin:outbox` makes messages of the rows that an application inserts into its outbox table:
//! the payload as it is, keyed by the aggregate, on a stream that the row names.
//!
//! It does what Debezium's outbox event router does; README.md has the options, and what differs.
//! What is no insert is no event: deletes are the application's housekeeping, updates a mistake.

mod envelope;
mod event;
mod settings;

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Info, Interest, Kind, Level, Operation, Schema, Transform,
    Verdict,
};

use event::Columns;
use settings::{Missing, NullPayload, Settings, Updates};

#[derive(Debug)]
struct Outbox {
    settings: Settings,
    streams: event::Streams,
}

impl Transform for Outbox {
    fn configure(config: Config) -> Result<Outbox, Failure> {
        Ok(Outbox { settings: Settings::read(&config)?, streams: event::Streams::default() })
    }

    fn info(&self) -> Info {
        Info::new("outbox", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let settings = &self.settings;
        check(settings, schema)?;
        let read = [&settings.id, &settings.route_by, &settings.payload].into_iter();
        let interest = Interest::in_columns(schema, read.chain(settings.placed_columns()));
        let kept =
            |column: &ColumnInfo| column.name == settings.key || column.name == settings.payload;
        let gone = schema.columns.iter().filter(|column| !kept(column)).map(|column| &column.name);
        let interest = interest.without_columns(schema, gone).keyed_by(schema, [&settings.key])?;
        if settings.has_envelope() {
            let document = ColumnInfo::new(&settings.payload, "text").required();
            return interest.with_column_as(schema, &settings.payload, document)?.opaque(
                schema,
                &settings.payload,
                settings.content_type("application/json"),
            );
        }
        check_empty(settings, schema)?;
        let content_type = settings.content_type(content_type(schema, &settings.payload)?);
        interest.opaque(schema, &settings.payload, content_type)
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let columns = Columns::new(&self.settings, batch)?;
        let mut updates = 0_u32;
        for (row, operation) in (0..).zip(batch.operations()) {
            match operation {
                Operation::Create | Operation::Read => {
                    let event = columns.event(&self.settings, &mut self.streams, row);
                    match event {
                        Ok(Some(event)) => event.put(&self.settings, verdict, row),
                        Ok(None) => verdict.drop(row),
                        Err(reason) => verdict.fail(row, Failure::permanent(reason)),
                    }
                }
                Operation::Update if self.settings.updates == Updates::Fail => {
                    let reason = "a row of the outbox was updated, and rows of an outbox are only \
                                  inserted; `updates` says what becomes of such a change";
                    verdict.fail(row, Failure::permanent(reason));
                }
                Operation::Update => {
                    updates += 1;
                    verdict.drop(row);
                }
                Operation::Delete | Operation::Truncate => verdict.drop(row),
                Operation::Message | Operation::Other(_) => {}
            }
        }
        if updates > 0 {
            let level = match self.settings.updates {
                Updates::Warn => Level::Warn,
                Updates::Error | Updates::Fail => Level::Error,
            };
            let table = batch.schema().qualified_name();
            let message = format!("{table}: updates left out ({updates}): no events of an outbox");
            offtake_sdk::log(level, &message);
        }
        Ok(())
    }
}

/// Refuses a table that is no outbox by these settings.
fn check(settings: &Settings, schema: &Schema) -> Result<(), Failure> {
    for (key, name) in settings.required_columns() {
        let Some((_, column)) = schema.column(name) else {
            let table = schema.qualified_name();
            let message = format!("{table} has no column {name}, which `{key}` names");
            return Err(Failure::permanent(message));
        };
        if key == "route_by" && (column.kind == Kind::Bytes || is_list(column)) {
            return Err(schema.refuse(column, "no stream can be named by it"));
        }
    }
    for place in &settings.places {
        let Some((_, column)) = schema.column(&place.column) else {
            if settings.missing == Missing::Error {
                let table = schema.qualified_name();
                let message = format!("{table} has no column {}, which is placed", place.column);
                return Err(Failure::permanent(message));
            }
            continue;
        };
        let is_number = matches!(column.kind, Kind::Int64 | Kind::Uint64);
        if place.location == settings::Location::Partition && !is_number {
            return Err(schema.refuse(column, "a partition is chosen by a whole number"));
        }
    }
    Ok(())
}

/// Refuses an empty payload where it would be no value of the column's type.
fn check_empty(settings: &Settings, schema: &Schema) -> Result<(), Failure> {
    let Some((_, column)) = schema.column(&settings.payload) else { return Ok(()) };
    let takes_empty =
        column.kind == Kind::Bytes || column.is_free_text() || column.logical == "xml";
    if settings.null_payload == NullPayload::Empty && !takes_empty {
        let reason = "an empty text is no value of it, so `null_payload` is \"fail\" or \"drop\"";
        return Err(schema.refuse(column, reason));
    }
    Ok(())
}

fn is_list(column: &ColumnInfo) -> bool {
    column.logical.starts_with("list<")
}

/// What a payload that leaves as it is holds, by its column's type.
fn content_type(schema: &Schema, name: &str) -> Result<&'static str, Failure> {
    let Some((_, column)) = schema.column(name) else { return Ok("") };
    match (column.kind, column.logical.as_str()) {
        (Kind::Bytes, _) => Ok("application/octet-stream"),
        (Kind::Text, "json" | "jsonb") => Ok("application/json"),
        (Kind::Text, "xml") => Ok("application/xml"),
        (Kind::Text, _) if !is_list(column) => Ok("text/plain; charset=utf-8"),
        _ => Err(schema.refuse(column, "a payload is text or bytes")),
    }
}

offtake_sdk::export!(Outbox);
offtake_sdk::config_schema!("../config.schema.json");
