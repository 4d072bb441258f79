//! What is measured with: rows of a table of 12 columns, two of them integers and ten texts of
//! 30 bytes, so that a mask of any column is the same work; and the same rows as rivals hand them
//! over, a text of JSON each.

use std::sync::Arc;

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};

/// Rows of a pass: two full calls, for a pipeline's batch is closed at 256 KiB, which some 430 of these
/// rows take.
pub(crate) const ROWS: usize = 512;
/// Ordinals of the columns that the shapes read.
pub(crate) const AMOUNT: usize = 1;
pub(crate) const EMAIL: usize = 2;
pub(crate) const PHONE: usize = 3;
pub(crate) const NAME: usize = 4;

const NAMES: [&str; 12] = [
    "id", "amount", "email", "phone", "name", "street", "city", "region", "country", "company",
    "language", "remark",
];

/// Which images the rows have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Images {
    /// Created rows: an after image.
    One,
    /// Updated rows: both.
    Both,
}

/// The table and its rows' texts.
pub(crate) struct Changes {
    pub(crate) table: Arc<TableSchema>,
    /// A table of one column, which is a record as JSON.
    pub(crate) records: Arc<TableSchema>,
    texts: Vec<Vec<String>>,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        let mut columns = NAMES.map(|name| Column::new(name, Kind::Text, "text"));
        columns[0] = Column::new("id", Kind::Integer, "int8");
        columns[AMOUNT] = Column::new("amount", Kind::Integer, "int8");
        let table = TableSchema {
            replica_identity: ReplicaIdentity::Full,
            ..TableSchema::new("shop", "public", "customers", columns.to_vec(), &[0])
        };
        let record = vec![Column::new("record", Kind::Text, "text")];
        let records = TableSchema::new("shop", "public", "records", record, &[]);
        let texts = (0..ROWS).map(|row| (EMAIL..NAMES.len()).map(|at| text(row, at)).collect());
        Changes { table: Arc::new(table), records: Arc::new(records), texts: texts.collect() }
    }

    /// Every row anew, as the source would give them.
    pub(crate) fn fill(&self, batch: &mut Batch, images: Images) {
        batch.clear();
        let schema = batch.schema_index(&self.table);
        for row in 0..ROWS {
            let after = self.image(batch, row);
            let (operation, before) = match images {
                Images::One => (Operation::Create, Image::NONE),
                Images::Both => (Operation::Update, self.image(batch, row)),
            };
            let head = Row::new(operation, before, after);
            batch.rows.push(Row { schema, lsn: Lsn(row as u64 + 1), ..head });
        }
    }

    fn image(&self, batch: &mut Batch, row: usize) -> Image {
        let begin = batch.begin_image();
        batch.push_cell(Cell::integer(row as i64));
        batch.push_cell(Cell::integer(amount(row)));
        for text in &self.texts[row] {
            let cell = batch.text(text.as_bytes());
            batch.push_cell(cell);
        }
        batch.end_image(begin)
    }

    /// The text of a row's column.
    pub(crate) fn text(&self, row: usize, ordinal: usize) -> &str {
        &self.texts[row][ordinal - EMAIL]
    }

    /// A row as a text of JSON.
    pub(crate) fn write_json(&self, batch: &Batch, row: &Row, out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        for (name, value) in NAMES.iter().zip(batch.values(row.after)) {
            out.push(if out.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, name).ok()?;
            out.push(b':');
            match value {
                ValueRef::Integer(number) => serde_json::to_writer(&mut *out, &number).ok()?,
                value => serde_json::to_writer(&mut *out, value.as_str()?).ok()?,
            }
        }
        out.push(b'}');
        Some(())
    }
}

/// From 0 to 1999, half of them below 1000, in no simple order.
pub(crate) fn amount(row: usize) -> i64 {
    (row * 1237 % 2000) as i64
}

fn text(row: usize, ordinal: usize) -> String {
    match ordinal {
        EMAIL => format!("somebody.{row:04}@mail.example.com"),
        PHONE => format!("+44 20 7946 {row:04} extension 012"),
        _ => format!("thirty bytes of {:9}{row:04}.", NAMES[ordinal]),
    }
}

/// What every plugin makes of a text that it masks.
pub(crate) fn masked(text: &str) -> String {
    let first: String = text.chars().take(1).collect();
    first + &"*".repeat(text.chars().count().saturating_sub(1))
}
