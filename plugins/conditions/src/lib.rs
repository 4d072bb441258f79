//! An expression of the filter's language, compiled once for every table and asked of the changes of
//! a batch as a plugin has them.
//!
//! What is done with the answer is the plugin's: `filter` leaves out rows, `route` sends them
//! elsewhere. The language itself is in `offtake_expression`, which knows no plugin.

use offtake_expression::{Expression, Metadata, Program, Row, Scratch, Table};
use offtake_expression::{Field as Found, Value as Term};
use offtake_sdk::{Batch, Column, Failure, Field, Interest, Kind, Operation, Schema, Value};

pub use offtake_expression::{Image, Missing, Truth};

/// Tables whose programs are kept; beyond it they are compiled anew.
const PROGRAMS: usize = 1024;

/// An expression with its programs.
#[derive(Debug)]
pub struct Condition {
    expression: Expression,
    missing: Missing,
    /// By the schema's id.
    programs: Vec<(u32, Program)>,
    scratch: Scratch,
}

impl Condition {
    /// Reads an expression. `missing`: what a column means that a table does not have.
    ///
    /// # Errors
    /// It is none; the message follows the name of the key.
    pub fn parse(source: &str, missing: Missing) -> Result<Condition, String> {
        let expression = Expression::parse(source)
            .map_err(|error| format!("is no condition: {}", error.in_one_line(source)))?;
        Ok(Condition { expression, missing, programs: Vec::new(), scratch: Scratch::default() })
    }

    /// Names of the columns of a table that it reads.
    ///
    /// # Errors
    /// The table does not go with it.
    pub fn columns<'s>(
        &mut self,
        schema: &'s Schema,
    ) -> Result<impl Iterator<Item = &'s str>, Failure> {
        Ok(names(self.program(schema)?, schema))
    }

    /// Adds the metadata that it reads to what a plugin wants of a table.
    ///
    /// # Errors
    /// The table does not go with it.
    pub fn with_metadata(
        &mut self,
        schema: &Schema,
        mut interest: Interest,
    ) -> Result<Interest, Failure> {
        let reads = self.program(schema)?.reads();
        if reads.commit_time {
            interest = interest.with_commit_times();
        }
        if reads.transaction {
            interest = interest.with_transactions();
        }
        if reads.snapshot {
            interest = interest.with_positions();
        }
        if reads.headers {
            interest = interest.with_headers();
        }
        Ok(interest)
    }

    /// Makes ready to ask it of a batch's changes.
    ///
    /// # Errors
    /// The gateway sent text that is none.
    pub fn of<'b>(&'b mut self, batch: &'b Batch<'b>) -> Result<Asked<'b>, Failure> {
        self.program(batch.schema())?;
        let scratch = &mut self.scratch;
        let known = self.programs.iter().rev().find(|(id, _)| *id == batch.schema().id);
        let Some((_, program)) = known else { return Err(lost()) };
        let columns = names(program, batch.schema())
            .map(|name| {
                let column = |image| batch.column(image, name);
                Ok([column(offtake_sdk::Image::Before)?, column(offtake_sdk::Image::After)?])
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        Ok(Asked { program, scratch, batch, columns })
    }

    /// The program of a table, compiled where it is not there.
    fn program(&mut self, schema: &Schema) -> Result<&Program, Failure> {
        let known = self.programs.iter().rposition(|(id, _)| *id == schema.id);
        let at = match known {
            Some(at) => at,
            None => {
                let program = compile(&self.expression, schema, self.missing)?;
                if self.programs.len() == PROGRAMS {
                    self.programs.clear();
                }
                self.programs.push((schema.id, program));
                self.programs.len() - 1
            }
        };
        self.programs.get(at).map(|(_, program)| program).ok_or_else(lost)
    }
}

fn lost() -> Failure {
    Failure::transient("where: a program was lost")
}

/// Names of the columns that a program reads, slot by slot.
fn names<'p, 's>(
    program: &'p Program,
    schema: &'s Schema,
) -> impl Iterator<Item = &'s str> + use<'p, 's> {
    program
        .columns()
        .iter()
        .filter_map(|&ordinal| schema.columns.get(ordinal))
        .map(|column| column.name.as_str())
}

/// An expression with the batch that it is asked of.
#[derive(Debug)]
pub struct Asked<'b> {
    program: &'b Program,
    scratch: &'b mut Scratch,
    batch: &'b Batch<'b>,
    /// Slot by slot, before and after.
    columns: Vec<[Option<Column<'b>>; 2]>,
}

impl Asked<'_> {
    /// Whether it asks about a row alone, and not about its change; see [`Program::is_of_row`].
    pub fn is_of_row(&self) -> bool {
        self.program.is_of_row()
    }

    /// Whether it holds of one image of a row.
    pub fn image(&mut self, image: Image, row: u32, operation: Operation) -> Truth {
        let changes =
            Changes { batch: self.batch, columns: &self.columns, headers: self.program.headers() };
        let change = Change { changes: &changes, row, operation };
        self.program.evaluate_image(image, &change, self.scratch)
    }

    /// Whether it holds of a change.
    pub fn change(&mut self, row: u32, operation: Operation) -> Truth {
        let changes =
            Changes { batch: self.batch, columns: &self.columns, headers: self.program.headers() };
        let change = Change { changes: &changes, row, operation };
        self.program.evaluate(&change, self.scratch)
    }
}

fn compile(expression: &Expression, schema: &Schema, missing: Missing) -> Result<Program, Failure> {
    use offtake_expression::{Column, Type};
    let columns: Vec<Column<'_>> = schema
        .columns
        .iter()
        .map(|column| Column {
            name: &column.name,
            ty: match column.kind {
                Kind::Boolean => Type::Boolean,
                Kind::Int64 => Type::Integer,
                Kind::Uint64 => Type::Unsigned,
                Kind::Float64 if column.logical == "float4" => Type::Float32,
                Kind::Float64 => Type::Float64,
                Kind::Bytes => Type::Bytes,
                Kind::Text => Type::of_text(&column.logical),
            },
            type_name: &column.native,
        })
        .collect();
    let table = Table {
        database: &schema.database,
        schema: &schema.namespace,
        name: &schema.table,
        columns: &columns,
    };
    Program::compile(expression, &table, missing).map_err(|error| {
        Failure::permanent(format!("where: {}", error.in_one_line(expression.source())))
    })
}

/// The changes of a batch with what a program reads of them.
struct Changes<'b, 's> {
    batch: &'s Batch<'b>,
    /// Slot by slot, before and after.
    columns: &'s [[Option<Column<'b>>; 2]],
    headers: &'s [String],
}

/// One of them.
struct Change<'b, 's> {
    changes: &'s Changes<'b, 's>,
    row: u32,
    operation: Operation,
}

impl<'b> Row<'b> for Change<'b, '_> {
    fn operation(&self) -> u8 {
        match self.operation {
            Operation::Create => b'c',
            Operation::Update => b'u',
            Operation::Delete => b'd',
            Operation::Read => b'r',
            Operation::Truncate => b't',
            Operation::Message => b'm',
            Operation::Other(letter) => letter,
        }
    }

    fn column(&self, image: Image, slot: usize) -> Found<'b> {
        let Some([before, after]) = self.changes.columns.get(slot) else { return Found::Absent };
        let column = match image {
            Image::Before => before,
            Image::After => after,
        };
        let field = column.as_ref().map_or(Field::Absent, |column| column.field(self.row));
        let value = match field {
            Field::Value(value) => value,
            Field::Null => return Found::Null,
            Field::Unchanged => return Found::Unchanged,
            Field::Absent => return Found::Absent,
        };
        Found::Value(match value {
            Value::Boolean(value) => Term::Boolean(value),
            Value::Integer(value) => Term::Integer(value),
            Value::Unsigned(value) => Term::Unsigned(value),
            Value::Float(value) => Term::Float(value),
            Value::Text(value) => Term::Text(value),
            Value::Bytes(value) => Term::Bytes(value),
        })
    }

    fn metadata(&self, metadata: Metadata) -> Found<'b> {
        let Some(all) = self.changes.batch.metadata() else { return Found::Absent };
        let at = self.row as usize;
        match metadata {
            Metadata::CommitTime => match all.commit_times.get(at) {
                // A row of a snapshot.
                Some(0) => Found::Null,
                Some(&time) => Found::Value(Term::Microseconds(time)),
                None => Found::Absent,
            },
            Metadata::Transaction => {
                let range =
                    all.transactions.offsets.get(at).zip(all.transactions.offsets.get(at + 1));
                let range = range.map(|(&start, &end)| start as usize..end as usize);
                match range.and_then(|range| all.transactions.data.get(range)) {
                    Some([]) => Found::Null,
                    Some(text) => of_bytes(text),
                    None => Found::Absent,
                }
            }
            Metadata::Snapshot => match all.snapshot.get(at) {
                Some(&marker) => Found::Value(Term::Boolean(marker != 0)),
                None => Found::Absent,
            },
            _ => Found::Absent,
        }
    }

    fn header(&self, slot: usize) -> Found<'b> {
        let Some(all) = self.changes.batch.metadata() else { return Found::Absent };
        let Some(name) = self.changes.headers.get(slot) else { return Found::Absent };
        // Rows that have headers, ascending.
        let Ok(at) = all.headers.binary_search_by_key(&self.row, |headers| headers.row) else {
            return Found::Null;
        };
        let headers = all.headers.get(at).map(|row| row.headers.as_slice()).unwrap_or_default();
        match headers.iter().rfind(|header| header.name == *name) {
            Some(header) => of_bytes(&header.value),
            None => Found::Null,
        }
    }
}

/// Bytes that are no UTF-8 are not known as text.
fn of_bytes(bytes: &[u8]) -> Found<'_> {
    std::str::from_utf8(bytes).map_or(Found::Absent, |text| Found::Value(Term::Text(text)))
}
