//! From a tree and a table to a program: names become places, and every type is checked.

use crate::compare::Against;
use crate::names::nearest;
use crate::pattern::Pattern;
use crate::program::{Constant, Missing, Program, Reads, Step, Test};
use crate::tree::{Expression, Function, Image, Literal, Metadata, Node, Relation, Span, Term};
use crate::types::{Column, Table, Type};
use crate::{Code, Error};

impl Program {
    /// Compiles an expression for a table.
    ///
    /// # Errors
    /// The table has no such column, unless `missing` allows it, or types do not go together.
    pub fn compile(
        expression: &Expression,
        table: &Table<'_>,
        missing: Missing,
    ) -> Result<Program, Error> {
        let mut compiler = Compiler {
            source: &expression.source,
            table,
            missing,
            columns: Vec::new(),
            headers: Vec::new(),
            reads: Reads::default(),
            is_of_row: true,
        };
        let step = compiler.condition(&expression.root)?;
        let Compiler { columns, headers, reads, is_of_row, .. } = compiler;
        Ok(Program { step, columns, headers, reads, is_of_row })
    }
}

/// What is known so far of the program in the making.
pub(crate) struct Compiler<'c> {
    pub(crate) source: &'c str,
    pub(crate) table: &'c Table<'c>,
    missing: Missing,
    columns: Vec<usize>,
    headers: Vec<String>,
    reads: Reads,
    is_of_row: bool,
}

/// A step with the type of what it gives; `None`: NULL, or a column that the table does not have.
pub(crate) struct Typed {
    pub(crate) step: Step,
    pub(crate) ty: Option<Type>,
}

fn typed(step: Step, ty: Type) -> Typed {
    Typed { step, ty: Some(ty) }
}

fn boolean(step: Step, negated: bool) -> Typed {
    typed(if negated { Step::Not(Box::new(step)) } else { step }, Type::Boolean)
}

impl Compiler<'_> {
    pub(crate) fn error(&self, code: Code, at: Span, message: impl Into<String>) -> Error {
        Error::new(code, self.source, at, message)
    }

    /// What a node is, for messages: a column with its table and its type.
    pub(crate) fn subject(&self, node: &Node, ty: Type) -> String {
        match &node.term {
            Term::Column { name, .. } => {
                let column = self.table.columns.iter().find(|column| column.name == name);
                let type_name = column.map_or(ty.phrase(), |column| column.type_name);
                format!("{}.{name} has type {type_name}", self.table.qualified_name())
            }
            Term::Metadata(metadata) => format!("${} is {}", metadata.word(), ty.phrase()),
            _ => format!("this is {}", ty.phrase()),
        }
    }

    /// A node that must be a condition.
    fn condition(&mut self, node: &Node) -> Result<Step, Error> {
        let Typed { step, ty } = self.value(node)?;
        match ty {
            None | Some(Type::Boolean) => Ok(step),
            Some(ty) => {
                let message = format!("{} and is no condition", self.subject(node, ty));
                let hint = "compare it with something, for example with = or is not null";
                Err(self.error(Code::Type, node.at, message).hint(hint))
            }
        }
    }

    fn conditions(&mut self, nodes: &[Node]) -> Result<Vec<Step>, Error> {
        nodes.iter().map(|node| self.condition(node)).collect()
    }

    /// A node of any type.
    pub(crate) fn value(&mut self, node: &Node) -> Result<Typed, Error> {
        Ok(match &node.term {
            Term::Literal(literal) => natural(literal),
            Term::Column { image, name } => self.column(*image, name, node.at)?,
            Term::Metadata(metadata) => self.metadata(*metadata),
            Term::Header(name) => {
                self.reads.headers = true;
                self.is_of_row = false;
                typed(Step::Header(slot(&mut self.headers, name.clone())), Type::Text)
            }
            Term::Call { function, arguments } => self.call(*function, arguments)?,
            Term::Member { value, name } => {
                let json = self.textual(value, "->> takes a JSON text")?;
                typed(Step::Member { json, name: name.clone() }, Type::Text)
            }
            Term::Compare { relation, left, right } => {
                boolean(self.compare(*relation, left, right)?, false)
            }
            Term::In { value, list, negated } => boolean(self.member_of(value, list)?, *negated),
            Term::Between { value, low, high, negated } => {
                let low = self.compare(Relation::AtLeast, value, low)?;
                let high = self.compare(Relation::AtMost, value, high)?;
                boolean(Step::And(vec![low, high]), *negated)
            }
            Term::Like { value, pattern, folded, negated } => {
                let value = self.textual(value, "like takes a text")?;
                let pattern = Pattern::new(pattern, *folded);
                boolean(Step::Like { value, pattern }, *negated)
            }
            Term::IsNull { value, negated } => {
                boolean(Step::IsNull(Box::new(self.value(value)?.step)), *negated)
            }
            Term::IsDistinct { left, right, negated } => {
                let (by, left, right) = self.pair(left, right, Against::Distinct)?;
                let (left, right) = (Box::new(left), Box::new(right));
                boolean(Step::Distinct { by, left, right }, *negated)
            }
            Term::IsChanged { name, negated } => {
                self.is_of_row = false;
                let step = match self.column(None, name, node.at)?.step {
                    Step::Column { slot, .. } => Step::Changed(slot),
                    other => other,
                };
                boolean(step, *negated)
            }
            Term::Not(condition) => boolean(self.condition(condition)?, true),
            Term::And(conditions) => boolean(Step::And(self.conditions(conditions)?), false),
            Term::Or(conditions) => boolean(Step::Or(self.conditions(conditions)?), false),
        })
    }

    fn column(&mut self, image: Option<Image>, name: &str, at: Span) -> Result<Typed, Error> {
        self.is_of_row &= image.is_none();
        let columns = self.table.columns;
        let Some(ordinal) = columns.iter().position(|column| column.name == name) else {
            return match self.missing {
                Missing::Unknown => Ok(Typed { step: Step::Missing, ty: None }),
                Missing::Refused => Err(self.no_column(name, at)),
            };
        };
        let ty = columns.get(ordinal).map_or(Type::Canonical, |column| column.ty);
        let slot = slot(&mut self.columns, ordinal);
        Ok(typed(Step::Column { image, slot, blanks: ty == Type::Char }, ty))
    }

    fn no_column(&self, name: &str, at: Span) -> Error {
        let table = self.table.qualified_name();
        let error = self.error(Code::Column, at, format!("{table} has no column {name}"));
        let names = || self.table.columns.iter().map(|&Column { name, .. }| name);
        let written = self.source.get(at.start..at.end).unwrap_or_default();
        match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None if written.contains('"') => {
                error.hint("a text is written in single quotes, a name in double quotes")
            }
            None => error,
        }
    }

    fn metadata(&mut self, metadata: Metadata) -> Typed {
        let known = |text: &str| typed(Step::Constant(Constant::Text(text.to_owned())), Type::Text);
        let ty = match metadata {
            Metadata::Table => return known(self.table.name),
            Metadata::Schema => return known(self.table.schema),
            Metadata::Database => return known(self.table.database),
            Metadata::Operation => Type::Text,
            Metadata::CommitTime => {
                self.reads.commit_time = true;
                Type::TimestampTz
            }
            Metadata::Transaction => {
                self.reads.transaction = true;
                Type::Text
            }
            Metadata::Snapshot => {
                self.reads.snapshot = true;
                Type::Boolean
            }
        };
        self.is_of_row = false;
        typed(Step::Metadata(metadata), ty)
    }

    fn call(&mut self, function: Function, arguments: &[Node]) -> Result<Typed, Error> {
        let takes = || format!("{} takes a text", function.word());
        let (first, rest) = match arguments {
            [first, rest @ ..] => (first, rest),
            // The parser counted them.
            [] => return Ok(Typed { step: Step::Constant(Constant::Null), ty: None }),
        };
        let test = match function {
            Function::StartsWith => Test::StartsWith,
            Function::EndsWith => Test::EndsWith,
            Function::Contains => Test::Contains,
            Function::Lower | Function::Upper => {
                let text = self.textual(first, &takes())?;
                let upper = function == Function::Upper;
                return Ok(typed(Step::Case { upper, text }, Type::Text));
            }
            Function::Length => {
                let Typed { step, ty } = self.value(first)?;
                let step = match ty {
                    Some(Type::Bytes) => Box::new(step),
                    _ => self.textual(first, "length takes a text or bytes")?,
                };
                return Ok(typed(Step::Length(step), Type::Integer));
            }
            Function::Substring => return self.substring(first, rest),
            Function::Coalesce => return self.coalesce(arguments),
        };
        let text = self.textual(first, &takes())?;
        let part = match rest {
            [part, ..] => self.textual(part, &takes())?,
            [] => Box::new(Step::Missing),
        };
        Ok(boolean(Step::Test { test, text, part }, false))
    }

    /// A node whose values are texts.
    fn textual(&mut self, node: &Node, expected: &str) -> Result<Box<Step>, Error> {
        let Typed { step, ty } = self.value(node)?;
        match ty {
            Some(ty) if !ty.is_textual() => {
                let message = format!("{} and {expected}", self.subject(node, ty));
                Err(self.error(Code::Type, node.at, message))
            }
            _ => Ok(Box::new(step)),
        }
    }

    fn substring(&mut self, text: &Node, bounds: &[Node]) -> Result<Typed, Error> {
        let text = self.textual(text, "substring takes a text")?;
        let whole = |node: &Node, least: i64| match &node.term {
            Term::Literal(Literal::Integer(value)) if *value >= least => {
                Ok(usize::try_from(*value).unwrap_or(usize::MAX))
            }
            _ => {
                let message = format!("substring takes a whole number from {least} here");
                Err(self.error(Code::Function, node.at, message))
            }
        };
        let start = bounds.first().map_or(Ok(1), |node| whole(node, 1))? - 1;
        let count = bounds.get(1).map(|node| whole(node, 0)).transpose()?;
        Ok(typed(Step::Substring { text, start, count }, Type::Text))
    }

    /// All arguments must be comparable with the first that has a type. Each is compiled once: they
    /// nest.
    fn coalesce(&mut self, arguments: &[Node]) -> Result<Typed, Error> {
        let is_literal = |node: &Node| matches!(node.term, Term::Literal(_));
        let mut values = Vec::new();
        let mut first: Option<(&Node, Type)> = None;
        for node in arguments.iter().filter(|node| !is_literal(node)) {
            let value = self.value(node)?;
            first = first.or(value.ty.map(|ty| (node, ty)));
            values.push(value);
        }
        let Some((subject, ty)) = first else { return self.coalesce_untyped(arguments, values) };
        let mut values = values.into_iter();
        let mut result = ty;
        let mut steps = Vec::new();
        for node in arguments {
            let value = if is_literal(node) { None } else { values.next() };
            let (step, found) = match value {
                Some(value) => self.admit(subject, ty, node, value)?,
                None => self.beside(subject, ty, node, Against::Coalesce)?,
            };
            // A decimal among whole numbers makes the result a decimal, a float makes it a float.
            if found.is_number() && (found.is_float() || result.is_whole()) {
                result = found;
            }
            steps.push(step);
        }
        Ok(typed(Step::Coalesce(steps), result))
    }

    /// Arguments of which none has a type but literals.
    fn coalesce_untyped(&mut self, arguments: &[Node], values: Vec<Typed>) -> Result<Typed, Error> {
        let mut values = values.into_iter();
        let mut ty = None;
        let mut steps = Vec::new();
        for node in arguments {
            let value = match &node.term {
                Term::Literal(literal) => natural(literal),
                _ => match values.next() {
                    Some(value) => value,
                    None => continue,
                },
            };
            if let (Some(before), Some(found)) = (ty, value.ty)
                && before != found
            {
                let phrase = self.subject(node, found);
                let message = format!("{phrase}, and before it stands another type");
                return Err(self.error(Code::Type, node.at, message));
            }
            ty = ty.or(value.ty);
            steps.push(value.step);
        }
        Ok(Typed { step: Step::Coalesce(steps), ty })
    }
}

/// The place of an element, which is added where it is new.
fn slot<T: PartialEq>(list: &mut Vec<T>, element: T) -> usize {
    list.iter().position(|known| *known == element).unwrap_or_else(|| {
        list.push(element);
        list.len() - 1
    })
}

/// A literal beside nothing that would give it another type.
fn natural(literal: &Literal) -> Typed {
    let (constant, ty) = match literal {
        Literal::Null => (Constant::Null, None),
        Literal::Boolean(value) => (Constant::Boolean(*value), Some(Type::Boolean)),
        Literal::Integer(value) => (Constant::Integer(*value), Some(Type::Integer)),
        Literal::Decimal(digits) => (Constant::Text(digits.clone()), Some(Type::Decimal)),
        Literal::Float(value) => (Constant::Float(*value), Some(Type::Float64)),
        Literal::Text(text) => (Constant::Text(text.clone()), Some(Type::Text)),
        Literal::Bytes(bytes) => (Constant::Bytes(bytes.clone()), Some(Type::Bytes)),
    };
    Typed { step: Step::Constant(constant), ty }
}
