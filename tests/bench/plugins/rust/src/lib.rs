//! The benchmark's plugin in Rust; ../README.md says what its shapes do.

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Image, Info, Interest, Operation, Output, Schema,
    Transform, Value, Verdict,
};

const MASKED: [&str; 3] = ["email", "phone", "name"];

enum Shape {
    Empty,
    Mask(Vec<String>),
    Filter,
    Add,
    FanOut,
    Json,
}

struct Bench {
    shape: Shape,
    both_images: bool,
}

impl Transform for Bench {
    fn configure(config: Config) -> Result<Bench, Failure> {
        let mut fields = config.fields()?;
        let column = fields.text("column")?.unwrap_or_else(|| "email".to_owned());
        let shape = match fields.required_text("shape")?.as_str() {
            "empty" => Shape::Empty,
            "mask1" => Shape::Mask(vec![column]),
            "mask3" => Shape::Mask(MASKED.map(str::to_owned).to_vec()),
            "filter" => Shape::Filter,
            "add" => Shape::Add,
            "fan_out" => Shape::FanOut,
            "json" => Shape::Json,
            _ => return Err(fields.refuse("shape", "is unknown")),
        };
        let both_images = fields.boolean("both_images")?.unwrap_or(false);
        fields.finish()?;
        Ok(Bench { shape, both_images })
    }

    fn info(&self) -> Info {
        Info::new("bench", "1.0.0")
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let interest = match &self.shape {
            Shape::Empty => Interest::in_columns(schema, ["email"]),
            Shape::Mask(columns) => Interest::in_columns(schema, columns),
            Shape::Filter => Interest::in_columns(schema, ["amount"]),
            Shape::Add => Interest::in_columns(schema, ["email"])
                .with_column(ColumnInfo::new("domain", "text")),
            Shape::FanOut => {
                let columns = [ColumnInfo::new("id", "int8"), ColumnInfo::new("email", "text")];
                Interest::in_columns(schema, ["id", "email"])
                    .with_output(Output::new("contacts", columns))
            }
            Shape::Json => Interest::in_columns(schema, ["record"]),
        };
        Ok(if self.both_images { interest.with_before_images() } else { interest })
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        match &self.shape {
            Shape::Empty => Ok(()),
            Shape::Mask(columns) => {
                columns.iter().try_for_each(|column| mask(batch, verdict, column))
            }
            Shape::Filter => filter(batch, verdict),
            Shape::Add => add(batch, verdict),
            Shape::FanOut => fan_out(batch, verdict),
            Shape::Json => json(batch, verdict),
        }
    }
}

offtake_sdk::export!(Bench);

/// Where the first character ends, and how many follow.
fn split(text: &str) -> (usize, usize) {
    let end = text.chars().next().map_or(0, char::len_utf8);
    (end, text[end..].chars().count())
}

fn mask(batch: &Batch<'_>, verdict: &mut Verdict<'_>, name: &str) -> Result<(), Failure> {
    for image in Image::BOTH {
        let Some(column) = batch.text(image, name)? else { continue };
        for (row, text) in column.values() {
            let (end, covered) = split(text);
            let mut writer = verdict.write_text(column.id(), row);
            writer.push_str(&text[..end]);
            writer.push_repeated('*', covered);
        }
    }
    Ok(())
}

fn filter(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    let Some(column) = batch.column(Image::After, "amount")? else { return Ok(()) };
    for row in 0..batch.rows() {
        if let Some(Value::Integer(amount)) = column.field(row).value()
            && amount < 1000
        {
            verdict.drop(row);
        }
    }
    Ok(())
}

fn add(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    let domain = verdict.column(Image::After, "domain");
    let (Some(column), Some(domain)) = (batch.text(Image::After, "email")?, domain) else {
        return Ok(());
    };
    for (row, text) in column.values() {
        let (_, found) = text.split_once('@').unwrap_or_default();
        verdict.write_text(domain, row).push_str(found);
    }
    Ok(())
}

fn fan_out(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    let (Some(ids), Some(emails)) =
        (batch.column(Image::After, "id")?, batch.column(Image::After, "email")?)
    else {
        return Ok(());
    };
    for row in 0..batch.rows() {
        if let (Some(id), Some(email)) = (ids.field(row).value(), emails.field(row).value()) {
            verdict.emit(0, row, Operation::Create).set("id", id).set("email", email);
        }
    }
    Ok(())
}

fn json(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
    let Some(column) = batch.text(Image::After, "record")? else { return Ok(()) };
    for (row, text) in column.values() {
        let mut record: serde_json::Value =
            serde_json::from_str(text).map_err(|_| Failure::permanent("the record is no JSON"))?;
        if let Some(serde_json::Value::String(email)) = record.get_mut("email") {
            let (end, covered) = split(email);
            email.replace_range(end.., &"*".repeat(covered));
        }
        verdict.write_text(column.id(), row).push_str(&record.to_string());
    }
    Ok(())
}
