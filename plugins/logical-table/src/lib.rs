//! `builtin:logical-table` brings the tables of one logical table, its shards, onto one stream under
//! one name, and keeps their keys apart by a column that says which table a row is of.
//!
//! It does what Debezium's router by logical table does; README.md has the options, and what
//! differs. Tables whose names the expression does not match pass as they are.

mod settings;

use offtake_sdk::{
    Batch, Column, ColumnInfo, Config, Failure, Field, Image, Info, Interest, Operation, Schema,
    Transform, Verdict,
};

use settings::{Settings, Truncates};

#[derive(Debug)]
struct LogicalTable {
    settings: Settings,
}

impl Transform for LogicalTable {
    fn configure(config: Config) -> Result<LogicalTable, Failure> {
        Ok(LogicalTable { settings: Settings::read(&config)? })
    }

    fn info(&self) -> Info {
        Info::new("logical-table", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let table = schema.qualified_name();
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let Some(target) = self.settings.target(&table) else { return Ok(Interest::none()) };
        let target = target.map_err(|reason| Failure::permanent(format!("{table}: {reason}")))?;
        let interest = match self.settings.key_column(schema) {
            None if self.settings.truncates == Truncates::Pass => Interest::none(),
            None => Interest::in_operations(),
            Some(name) => self.keyed(schema, name)?,
        };
        Ok(interest.on_stream(&target.stream).named(&target.namespace, &target.table))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let schema = batch.schema();
        for (row, operation) in (0..).zip(batch.operations()) {
            if operation != Operation::Truncate {
                continue;
            }
            match self.settings.truncates {
                Truncates::Pass => {}
                Truncates::Drop => verdict.drop(row),
                Truncates::Fail => {
                    let reason = "one of the tables was emptied, and on their stream it would be \
                                  all of them; `truncates` says what becomes of such a change";
                    verdict.fail(row, Failure::permanent(reason));
                }
            }
        }
        let Some(name) = self.settings.key_column(schema) else { return Ok(()) };
        let identifier = self.settings.identifier(&schema.qualified_name());
        let before = witnesses(schema)
            .filter_map(|column| batch.column(Image::Before, &column.name).transpose())
            .collect::<Result<Vec<_>, Failure>>()?;
        for image in Image::BOTH {
            let Some(column) = verdict.column(image, name) else { continue };
            for (row, operation) in (0..).zip(batch.operations()) {
                if has_image(image, operation, &before, row) {
                    verdict.write_text(column, row).push_str(&identifier);
                }
            }
        }
        Ok(())
    }
}

impl LogicalTable {
    /// The table's own key, and behind it the column that says which table a row is of.
    fn keyed(&self, schema: &Schema, name: &str) -> Result<Interest, Failure> {
        if let Some((_, column)) = schema.column(name) {
            let reason = "`key_column` adds a column of this name; choose another";
            return Err(schema.refuse(column, reason));
        }
        let key = schema.key.iter().filter_map(|&ordinal| schema.columns.get(ordinal as usize));
        let names: Vec<&str> = key.map(|column| column.name.as_str()).chain([name]).collect();
        Interest::in_columns(schema, witnesses(schema).map(|column| &column.name))
            .with_before_images()
            .with_column(ColumnInfo::new(name, "text").required())
            .keyed_by(schema, names)
    }
}

/// Columns one of which every before image has: of an update one cannot tell otherwise whether there
/// is one. One alone where it is known which the source sends.
fn witnesses(schema: &Schema) -> impl Iterator<Item = &ColumnInfo> {
    let known = &schema.before_columns;
    let of_key = schema.key.iter().find(|ordinal| known.contains(ordinal));
    let one = of_key.or(known.first()).copied();
    let whole = if one.is_none() { schema.key.as_slice() } else { &[] };
    let ordinals = one.into_iter().chain(whole.iter().copied());
    ordinals.filter_map(|ordinal| schema.columns.get(ordinal as usize))
}

/// Whether a row has an image.
fn has_image(image: Image, operation: Operation, before: &[Column<'_>], row: u32) -> bool {
    match (image, operation) {
        (Image::After, Operation::Create | Operation::Read | Operation::Update) => true,
        (Image::Before, Operation::Update | Operation::Delete) => {
            before.iter().any(|column| column.field(row) != Field::Absent)
        }
        _ => false,
    }
}

offtake_sdk::export!(LogicalTable);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Subject;

    fn schema(key: &[u32], before: &[u32]) -> Schema {
        Schema {
            id: 1,
            subject: Subject::Table,
            database: "shop".to_owned(),
            namespace: "public".to_owned(),
            table: "orders_1".to_owned(),
            version: 1,
            columns: ["id", "tenant", "note"].map(|name| ColumnInfo::new(name, "text")).to_vec(),
            key: key.to_vec(),
            before_columns: before.to_vec(),
            extra: Vec::new(),
        }
    }

    #[test]
    fn an_image_is_told_by_one_column_where_it_is_known_which_are_sent() {
        let of = |key: &[u32], before: &[u32]| -> Vec<String> {
            witnesses(&schema(key, before)).map(|column| column.name.clone()).collect()
        };
        assert_eq!(of(&[0], &[0]), ["id"]);
        assert_eq!(of(&[1, 0], &[0, 1, 2]), ["tenant"]);
        assert_eq!(of(&[0], &[2]), ["note"], "the identity is another index");
        assert_eq!(of(&[1, 0], &[]), ["tenant", "id"]);
    }
}
