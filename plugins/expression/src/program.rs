//! A compiled expression: names are places, literals are values of their column's type.

use crate::pattern::Pattern;
use crate::tree::{Image, Metadata, Relation};

/// What a column means that a table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A mistake: the expression is refused for the table.
    Refused,
    /// Nothing: the column's value is not known in any row.
    Unknown,
}

/// What an expression reads beside columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// `$commit_time`
    pub commit_time: bool,
    /// `$transaction`
    pub transaction: bool,
    /// `$snapshot`
    pub snapshot: bool,
    /// `$header('name')`
    pub headers: bool,
}

/// An expression that was compiled for a table.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) step: Step,
    pub(crate) columns: Vec<usize>,
    pub(crate) headers: Vec<String>,
    pub(crate) reads: Reads,
    pub(crate) is_of_row: bool,
}

impl Program {
    /// Ordinals of the columns that it reads, each once. A *slot* of [`crate::Row::column`] is a
    /// place in this list.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Names of the headers that it reads, each once. A *slot* of [`crate::Row::header`] is a place
    /// in this list.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// What it reads beside columns.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Whether it asks about a row alone: columns without `before.` and `after.`, and where the
    /// table is. Then [`Program::evaluate_image`] says of either image whether it holds; every other
    /// expression is about the change.
    pub fn is_of_row(&self) -> bool {
        self.is_of_row
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Boolean,
    Number,
    Text,
    Bytes,
    Uuid,
    Instant,
    Time,
}

/// A value of the text in the form in which it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Decimals and UUIDs too.
    Text(String),
    Bytes(Vec<u8>),
    /// Nanoseconds: an instant, or a time of day.
    Time(i128),
}

/// One of the tests of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    StartsWith,
    EndsWith,
    Contains,
}

/// A node of the program. Everything gives a value; conditions give a boolean.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Constant(Constant),
    /// A column that the table does not have.
    Missing,
    Column {
        image: Option<Image>,
        slot: usize,
        blanks: bool,
    },
    Metadata(Metadata),
    Header(usize),
    Compare {
        by: By,
        relation: Relation,
        left: Box<Step>,
        right: Box<Step>,
    },
    In {
        by: By,
        value: Box<Step>,
        list: Vec<Step>,
    },
    Like {
        value: Box<Step>,
        pattern: Pattern,
    },
    IsNull(Box<Step>),
    Distinct {
        by: By,
        left: Box<Step>,
        right: Box<Step>,
    },
    Changed(usize),
    Not(Box<Step>),
    And(Vec<Step>),
    Or(Vec<Step>),
    Test {
        test: Test,
        text: Box<Step>,
        part: Box<Step>,
    },
    Case {
        upper: bool,
        text: Box<Step>,
    },
    Length(Box<Step>),
    /// In characters from 0; `None`: to the end.
    Substring {
        text: Box<Step>,
        start: usize,
        count: Option<usize>,
    },
    Coalesce(Vec<Step>),
    Member {
        json: Box<Step>,
        name: String,
    },
}
