//! Conditions over changes of rows: a small language in SQL's words.
//!
//! ```
//! use offtake_expression::{Column, Expression, Missing, Program, Table, Type};
//!
//! let expression = Expression::parse("status <> 'cancelled' and total >= 10.50")?;
//! let columns = [
//!     Column { name: "status", ty: Type::Text, type_name: "text" },
//!     Column { name: "total", ty: Type::Decimal, type_name: "numeric" },
//! ];
//! let table =
//!     Table { database: "shop", schema: "public", name: "orders", columns: &columns };
//! let program = Program::compile(&expression, &table, Missing::Refused)?;
//! assert_eq!(program.columns(), [0, 1]);
//! # Ok::<(), offtake_expression::Error>(())
//! ```
//!
//! A text goes through three steps. [`Expression::parse`] makes a tree, once, and needs no table.
//! [`Program::compile`] resolves the names against a table's columns and checks the types, once a
//! table. [`Program::evaluate`] runs over borrowed values and gives a [`Truth`]; it allocates
//! nothing a row once its [`Scratch`] has grown.
//!
//! The language itself, with its grammar and its tables of truth, is described for its users in
//! `plugins/filter/README.md`. There are no regular expressions and no arithmetic.
//!
//! The text of an expression may come from a stranger (a subscriber's request): its length and its
//! depth have limits, and no text makes any of this panic. What a row holds never gets into an
//! error.

mod compare;
mod compile;
mod error;
mod evaluate;
mod json;
mod lexer;
mod names;
mod number;
mod parser;
mod pattern;
mod print;
mod program;
mod time;
mod tree;
mod truth;
mod types;

pub use error::{Code, Error};
pub use evaluate::{Field, Row, Scratch, Value};
pub use program::{Missing, Program, Reads};
pub use tree::{Expression, Function, Image, Literal, Metadata, Node, Relation, Span, Term};
pub use truth::Truth;
pub use types::{Column, Table, Type};

/// Longest text of an expression in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// How deep parentheses, `not` and calls may nest.
pub const MAX_DEPTH: usize = 64;

/// Longest pattern of `like` in bytes. Matching takes at most the product of its length and the
/// text's.
pub const MAX_PATTERN_LENGTH: usize = 1024;
