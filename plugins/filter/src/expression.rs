//! The rule of `where`: an expression, compiled once for every table.
//!
//! An expression about a row alone is asked of both images of an update, so that a row that moves
//! into or out of the filter can be created or deleted downstream. One that asks about the change
//! (`before.`, `after.`, `is changed`, most metadata) is asked once and lets pass or leaves out.

use offtake_expression::{
    Expression, Image, Metadata, Missing, Program, Row, Scratch, Table, Truth,
};
use offtake_expression::{Field as Found, Value as Term};
use offtake_sdk::{
    Batch, Column, Failure, Field, Fields, Interest, Kind, Operation, Schema, Value,
};

use crate::decision::{Decision, decide};
use crate::is_of_row;

/// Tables whose programs are kept; beyond it they are compiled anew.
const PROGRAMS: usize = 1024;

/// An expression with its programs.
#[derive(Debug)]
pub(crate) struct Where {
    expression: Expression,
    missing: Missing,
    /// By the schema's id.
    programs: Vec<(u32, Program)>,
    scratch: Scratch,
}

impl Where {
    /// Reads `where` and `missing_columns`; `None`: there is no `where`.
    pub(crate) fn read(fields: &mut Fields) -> Result<Option<Where>, Failure> {
        let Some(source) = fields.text("where")? else { return Ok(None) };
        if fields.take("drop").is_some() || fields.take("keep").is_some() {
            let reason = "`drop` or `keep` must be given, and one of them alone";
            return Err(Failure::permanent(format!("config: `where`, {reason}")));
        }
        let missing = match fields.text("missing_columns")?.as_deref() {
            None | Some("error") => Missing::Refused,
            Some("unknown") => Missing::Unknown,
            Some(_) => {
                return Err(fields.refuse("missing_columns", "must be \"error\" or \"unknown\""));
            }
        };
        let expression = Expression::parse(&source).map_err(|error| {
            fields.refuse("where", &format!("is no condition: {}", error.in_one_line(&source)))
        })?;
        Ok(Some(Where { expression, missing, programs: Vec::new(), scratch: Scratch::default() }))
    }

    pub(crate) fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let program = self.program(schema)?;
        let columns: Vec<&str> = names(program, schema).collect();
        let mut interest = match columns.is_empty() {
            true => Interest::in_operations(),
            false => Interest::in_columns(schema, columns).with_before_images(),
        };
        let reads = program.reads();
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
        match self.programs.get(at) {
            Some((_, program)) => Ok(program),
            None => Err(Failure::transient("where: a program was lost")),
        }
    }

    /// Decides of every row of a batch.
    pub(crate) fn decide(
        &mut self,
        batch: &Batch<'_>,
        mut each: impl FnMut(u32, Decision),
    ) -> Result<(), Failure> {
        self.program(batch.schema())?;
        let scratch = &mut self.scratch;
        let known = self.programs.iter().rev().find(|(id, _)| *id == batch.schema().id);
        let Some((_, program)) = known else { return Ok(()) };
        let columns = names(program, batch.schema())
            .map(|name| {
                let column = |image| batch.column(image, name);
                Ok([column(offtake_sdk::Image::Before)?, column(offtake_sdk::Image::After)?])
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let changes = Changes { batch, columns: &columns, headers: program.headers() };
        for (row, operation) in (0..).zip(batch.operations()) {
            if !is_of_row(operation) {
                continue;
            }
            let change = Change { changes: &changes, row, operation };
            let decision = if program.is_of_row() {
                let mut seen = |image| seen(program.evaluate_image(image, &change, scratch));
                // An image that there is not is not asked.
                let before = match operation {
                    Operation::Update | Operation::Delete => seen(Image::Before),
                    _ => None,
                };
                let after = match operation {
                    Operation::Delete => None,
                    _ => seen(Image::After),
                };
                decide(operation, before, after)
            } else {
                match seen(program.evaluate(&change, scratch)) {
                    Some(false) => Decision::Drop,
                    Some(true) | None => Decision::Pass,
                }
            };
            each(row, decision);
        }
        Ok(())
    }
}

/// Whether a row passes; `None`: not known.
fn seen(truth: Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False | Truth::Null => Some(false),
        Truth::Unknown => None,
    }
}

/// Names of the columns that a program reads, slot by slot.
fn names<'s>(program: &Program, schema: &'s Schema) -> impl Iterator<Item = &'s str> {
    program
        .columns()
        .iter()
        .filter_map(|&ordinal| schema.columns.get(ordinal))
        .map(|column| column.name.as_str())
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
