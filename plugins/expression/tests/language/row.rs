//! A table with a column of every type, and changes of it.

use offtake_expression::{
    Column, Error, Expression, Field, Image, Metadata, Missing, Program, Row, Scratch, Table,
    Truth, Type, Value,
};

pub(crate) const COLUMNS: [Column<'static>; 17] = [
    column("flag", Type::Boolean, "bool"),
    column("id", Type::Integer, "int8"),
    column("size", Type::Unsigned, "bigint unsigned"),
    column("ratio", Type::Float32, "float4"),
    column("score", Type::Float64, "float8"),
    column("total", Type::Decimal, "numeric"),
    column("status", Type::Text, "text"),
    column("code", Type::Char, "bpchar"),
    column("digest", Type::Bytes, "bytea"),
    column("ref", Type::Uuid, "uuid"),
    column("born", Type::Date, "date"),
    column("opens", Type::Time, "time"),
    column("seen", Type::Timestamp, "timestamp"),
    column("created_at", Type::TimestampTz, "timestamptz"),
    column("payload", Type::Json, "jsonb"),
    column("mood", Type::Canonical, "public.mood"),
    column("Odd \"Name\"", Type::List, "int4[]"),
];

const fn column(name: &'static str, ty: Type, type_name: &'static str) -> Column<'static> {
    Column { name, ty, type_name }
}

pub(crate) const TABLE: Table<'static> =
    Table { database: "shop", schema: "public", name: "orders", columns: &COLUMNS };

/// Place of a column.
pub(crate) fn ordinal(name: &str) -> usize {
    COLUMNS.iter().position(|column| column.name == name).unwrap_or_else(|| panic!("{name}"))
}

/// A change; columns that are not set are absent.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) operation: u8,
    pub(crate) before: [Field<'static>; COLUMNS.len()],
    pub(crate) after: [Field<'static>; COLUMNS.len()],
    pub(crate) commit_time: Field<'static>,
    pub(crate) transaction: Field<'static>,
    pub(crate) snapshot: bool,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Change {
    pub(crate) fn new(operation: u8) -> Change {
        Change {
            operation,
            before: [Field::Absent; COLUMNS.len()],
            after: [Field::Absent; COLUMNS.len()],
            commit_time: Field::Null,
            transaction: Field::Null,
            snapshot: false,
            headers: Vec::new(),
        }
    }

    pub(crate) fn before(mut self, name: &str, field: Field<'static>) -> Change {
        self.before[ordinal(name)] = field;
        self
    }

    pub(crate) fn after(mut self, name: &str, field: Field<'static>) -> Change {
        self.after[ordinal(name)] = field;
        self
    }
}

pub(crate) fn text(text: &'static str) -> Field<'static> {
    Field::Value(Value::Text(text))
}

pub(crate) fn integer(value: i64) -> Field<'static> {
    Field::Value(Value::Integer(value))
}

struct Asked<'p> {
    change: &'p Change,
    program: &'p Program,
}

impl<'p> Row<'p> for Asked<'p> {
    fn operation(&self) -> u8 {
        self.change.operation
    }

    fn column(&self, image: Image, slot: usize) -> Field<'p> {
        let ordinal = self.program.columns()[slot];
        match image {
            Image::Before => self.change.before[ordinal],
            Image::After => self.change.after[ordinal],
        }
    }

    fn metadata(&self, metadata: Metadata) -> Field<'p> {
        match metadata {
            Metadata::CommitTime => self.change.commit_time,
            Metadata::Transaction => self.change.transaction,
            Metadata::Snapshot => Field::Value(Value::Boolean(self.change.snapshot)),
            other => panic!("{other:?} is known without the row"),
        }
    }

    fn header(&self, slot: usize) -> Field<'p> {
        let name = &self.program.headers()[slot];
        let found = self.change.headers.iter().find(|(known, _)| known == name);
        found.map_or(Field::Null, |(_, value)| Field::Value(Value::Text(value)))
    }
}

pub(crate) fn compile(source: &str) -> Result<Program, Error> {
    Program::compile(&Expression::parse(source)?, &TABLE, Missing::Refused)
}

pub(crate) fn run(program: &Program, change: &Change) -> Truth {
    program.evaluate(&Asked { change, program }, &mut Scratch::default())
}

pub(crate) fn run_image(program: &Program, image: Image, change: &Change) -> Truth {
    program.evaluate_image(image, &Asked { change, program }, &mut Scratch::default())
}

/// Whether an expression is true of a change.
pub(crate) fn truth(source: &str, change: &Change) -> Truth {
    match compile(source) {
        Ok(program) => run(&program, change),
        Err(error) => panic!("{}", error.report(source)),
    }
}
