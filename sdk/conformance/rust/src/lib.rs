//! The conformance plugin in Rust; ../../README.md says what it does. Here: configuration, interests,
//! and the actions on values.

mod rows;

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Field, Image, Info, Interest, Json, Kind, Operation,
    Output, Schema, Transform, Value, Verdict, each_newest,
};

enum Action {
    Echo,
    Mask { column: String, keep_first: usize },
    Drop { column: String },
    Add,
    FanOut,
    Route { stream: Option<String>, partition: Option<String>, header: Option<String> },
    Fail { whole: bool },
    Operation,
}

struct Conformance {
    action: Action,
}

/// The configuration's keys, taken one by one.
struct Settings(Vec<(String, Json)>);

impl Settings {
    fn read(config: &Config) -> Result<Settings, Failure> {
        match Json::parse(config.as_json()) {
            Ok(Json::Object(members)) => Ok(Settings(members)),
            _ => Err(Failure::permanent("config: it is no table")),
        }
    }

    fn take(&mut self, key: &str) -> Option<Json> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::permanent(format!("config: `{key}` is no text"))),
        }
    }

    fn required(&mut self, key: &str) -> Result<String, Failure> {
        let missing = || Failure::permanent(format!("config: `{key}` is missing"));
        self.text(key)?.ok_or_else(missing)
    }

    fn count(&mut self, key: &str) -> Result<usize, Failure> {
        let count = match self.take(key) {
            None => Some(0),
            Some(Json::Number(number)) => number.parse::<u32>().ok(),
            Some(_) => None,
        };
        let refused = || Failure::permanent(format!("config: `{key}` is no count of characters"));
        count.map(|count| count as usize).ok_or_else(refused)
    }

    fn boolean(&mut self, key: &str) -> Result<bool, Failure> {
        match self.take(key) {
            None => Ok(false),
            Some(Json::Boolean(value)) => Ok(value),
            Some(_) => {
                Err(Failure::permanent(format!("config: `{key}` is neither true nor false")))
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(Failure::permanent(format!("config: `{key}` is unknown"))),
        }
    }
}

impl Transform for Conformance {
    fn configure(config: Config) -> Result<Conformance, Failure> {
        let mut settings = Settings::read(&config)?;
        let action = match settings.required("action")?.as_str() {
            "echo" => Action::Echo,
            "mask" => Action::Mask {
                column: settings.required("column")?,
                keep_first: settings.count("keep_first")?,
            },
            "drop" => {
                Action::Drop { column: settings.text("column")?.unwrap_or_else(|| "id".to_owned()) }
            }
            "add" => Action::Add,
            "fan-out" => Action::FanOut,
            "route" => Action::Route {
                stream: settings.text("stream")?,
                partition: settings.text("partition")?,
                header: settings.text("header")?,
            },
            "fail" => Action::Fail { whole: settings.boolean("whole")? },
            "op" => Action::Operation,
            _ => {
                return Err(Failure::permanent(
                    "config: `action` is none of echo, mask, drop, add, fan-out, route, fail, op",
                ));
            }
        };
        settings.finish()?;
        Ok(Conformance { action })
    }

    fn info(&self) -> Info {
        let info = Info::new("conformance", "1.0.0");
        match &self.action {
            Action::Mask { column, .. } => info.protecting([column]),
            _ => info,
        }
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if let Action::Mask { column, .. } = &self.action {
            match schema.column(column) {
                None => return Ok(Interest::none()),
                Some((_, found)) if found.kind != Kind::Text => {
                    return Err(schema.refuse(found, "mask works on text columns only"));
                }
                Some(_) => {}
            }
        }
        let every = schema.columns.iter().map(|column| column.name.as_str());
        let interest =
            Interest::in_columns(schema, every).with_before_images().with_headers().with_metadata();
        Ok(match self.action {
            Action::Add if !schema.is_message() => {
                interest.with_column(ColumnInfo::new("seen", "text"))
            }
            Action::FanOut => interest.with_output(seen()),
            _ => interest,
        })
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        match &self.action {
            Action::Echo => echo(batch, verdict),
            Action::Mask { column, keep_first } => mask(batch, verdict, column, *keep_first),
            Action::Drop { column } => drop_odd(batch, verdict, column),
            Action::Add => rows::add(batch, verdict),
            Action::FanOut => rows::fan_out(batch, verdict),
            Action::Route { stream, partition, header } => {
                rows::route(batch, verdict, [stream, partition, header].map(Option::as_deref))
            }
            Action::Fail { whole } => rows::fail(batch, verdict, *whole),
            Action::Operation => {
                for (row, operation) in (0..).zip(batch.operations()) {
                    if operation == Operation::Update {
                        verdict.set_operation(row, Operation::Delete);
                    }
                }
                Ok(())
            }
        }
    }
}

offtake_sdk::export!(Conformance);

fn seen() -> Output {
    Output::new(
        "seen",
        [
            ColumnInfo::new("operation", "text").required(),
            ColumnInfo::new("position", "bytes"),
            ColumnInfo::new("committed", "int8"),
            ColumnInfo::new("order", "uint8"),
            ColumnInfo::new("created", "bool"),
            ColumnInfo::new("half", "float8"),
        ],
    )
}

/// The image of a row that counts; a truncate has none, and nothing in either.
fn image_of(operation: Operation) -> Image {
    if operation == Operation::Delete { Image::Before } else { Image::After }
}

fn echo(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    for image in Image::BOTH {
        for info in &batch.schema().columns {
            let Some(column) = batch.column(image, &info.name)? else { continue };
            for row in 0..batch.rows() {
                verdict.set_field(column.id(), row, column.field(row));
            }
        }
    }
    Ok(())
}

fn mask(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    name: &str,
    keep_first: usize,
) -> Result<(), Failure> {
    for image in Image::BOTH {
        let Some(column) = batch.text(image, name)? else { continue };
        for (row, text) in column.values() {
            let characters = text.chars().count();
            let kept = if characters > keep_first { keep_first } else { 0 };
            let end = text.char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
            let mut writer = verdict.write_text(column.id(), row);
            writer.push_str(&text[..end]);
            writer.push_repeated('*', characters - kept);
        }
    }
    Ok(())
}

fn drop_odd(batch: &Batch<'_>, verdict: &mut Verdict<'_>, name: &str) -> Result<(), Failure> {
    each_newest(batch, verdict, |row| {
        if let Field::Value(Value::Integer(value)) = row.field(name)?
            && value & 1 == 1
        {
            row.drop_row();
        }
        Ok(())
    })
}

/// What a field without a value is called.
fn missing(field: Field<Value<'_>>) -> Result<Value<'_>, &'static str> {
    match field {
        Field::Value(value) => Ok(value),
        Field::Null => Err("null"),
        Field::Unchanged => Err("unchanged"),
        Field::Absent => Err("absent"),
    }
}
