//! Which values are compared how, and what a literal is beside a column.
//!
//! A literal takes the type of what it is compared with, so that a text beside a `timestamptz` is an
//! instant and `0.1` beside a 32-bit float is the nearest such float. What its type can never equal
//! is refused here, before a row is seen.

use crate::compile::{Compiler, Typed};
use crate::program::{By, Constant, Step};
use crate::tree::{Literal, Metadata, Node, Relation, Span, Term};
use crate::types::Type;
use crate::{Code, Error, number, time};

/// What two values are put beside each other for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    Equality,
    Order,
    /// NULL may stand there.
    Distinct,
    /// NULL may stand there, and literals stay texts.
    Coalesce,
}

/// Letters of `$op`.
const OPERATIONS: [&str; 6] = ["c", "u", "d", "r", "t", "m"];

fn by(ty: Type) -> By {
    match ty {
        Type::Boolean => By::Boolean,
        ty if ty.is_number() => By::Number,
        Type::Bytes => By::Bytes,
        Type::Uuid => By::Uuid,
        Type::Date | Type::Timestamp | Type::TimestampTz => By::Instant,
        Type::Time => By::Time,
        _ => By::Text,
    }
}

/// Whether values of two types can be compared exactly.
fn comparable(left: Type, right: Type) -> bool {
    use Type::{Char, Date, Decimal, List, Text, Timestamp};
    match (left, right) {
        (List, _) | (_, List) => false,
        (left, right) if left == right => true,
        (Decimal, other) | (other, Decimal) => other.is_whole(),
        (Text, Char) | (Char, Text) | (Date, Timestamp) | (Timestamp, Date) => true,
        (left, right) => left.is_number() && right.is_number(),
    }
}

fn literal(node: &Node) -> Option<&Literal> {
    match &node.term {
        Term::Literal(literal) => Some(literal),
        _ => None,
    }
}

impl Compiler<'_> {
    pub(crate) fn compare(
        &mut self,
        relation: Relation,
        left: &Node,
        right: &Node,
    ) -> Result<Step, Error> {
        let against = if relation.orders() { Against::Order } else { Against::Equality };
        let (by, left, right) = self.pair(left, right, against)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Step::Compare { by, relation, left, right })
    }

    /// Two sides of a comparison; a literal on either takes the type of the other.
    pub(crate) fn pair(
        &mut self,
        left: &Node,
        right: &Node,
        against: Against,
    ) -> Result<(By, Step, Step), Error> {
        if literal(left).is_some() && literal(right).is_none() {
            let (by, right, left) = self.pair(right, left, against)?;
            return Ok((by, left, right));
        }
        let Typed { step, ty } = self.value(left)?;
        let Some(ty) = ty else {
            self.refuse_null(left, against)?;
            self.refuse_null(right, against)?;
            let right = self.value(right)?;
            return Ok((right.ty.map_or(By::Text, by), step, right.step));
        };
        let (right, _) = self.beside(left, ty, right, against)?;
        // A literal on the left of another: `1.5 < 2e0`.
        let step = match literal(left) {
            Some(literal) => Step::Constant(self.adapt(literal, left.at, left, ty, against)?),
            None => step,
        };
        Ok((by(ty), step, right))
    }

    /// `value in (…)`.
    pub(crate) fn member_of(&mut self, value: &Node, list: &[Node]) -> Result<Step, Error> {
        if literal(value).is_some() {
            let equal = |node| self.compare(Relation::Equal, value, node);
            return Ok(Step::Or(list.iter().map(equal).collect::<Result<_, _>>()?));
        }
        let Typed { step, ty } = self.value(value)?;
        let mut steps = Vec::with_capacity(list.len());
        for node in list {
            steps.push(match ty {
                Some(ty) => self.beside(value, ty, node, Against::Equality)?.0,
                None => {
                    self.refuse_null(node, Against::Equality)?;
                    self.value(node)?.step
                }
            });
        }
        Ok(Step::In { by: ty.map_or(By::Text, by), value: Box::new(step), list: steps })
    }

    /// A node beside another of a known type, with its own type.
    pub(crate) fn beside(
        &mut self,
        subject: &Node,
        ty: Type,
        node: &Node,
        against: Against,
    ) -> Result<(Step, Type), Error> {
        if against == Against::Order && !ty.has_order() {
            let message = format!("{}, which has no order", self.subject(subject, ty));
            let hint = "it takes =, <>, in and is distinct from";
            return Err(self.error(Code::Type, subject.at, message).hint(hint));
        }
        self.refuse_null(node, against)?;
        if let Some(literal) = literal(node) {
            let constant = self.adapt(literal, node.at, subject, ty, against)?;
            return Ok((Step::Constant(constant), ty));
        }
        let value = self.value(node)?;
        self.admit(subject, ty, node, value)
    }

    /// A value beside another of a known type, where the two can be compared.
    pub(crate) fn admit(
        &self,
        subject: &Node,
        ty: Type,
        node: &Node,
        value: Typed,
    ) -> Result<(Step, Type), Error> {
        let found = value.ty.unwrap_or(ty);
        if comparable(ty, found) {
            return Ok((value.step, found));
        }
        let message = format!(
            "{} and cannot be compared: {}",
            self.subject(subject, ty),
            self.subject(node, found)
        );
        let error = self.error(Code::Type, subject.at.to(node.at), message);
        Err(match (ty, found) {
            (Type::List, _) | (_, Type::List) => {
                error.hint("lists take is null and is changed only")
            }
            (left, right) if left.is_number() && right.is_number() => {
                error.hint("decimals are compared exactly, and so not with floats")
            }
            (Type::TimestampTz, _) | (_, Type::TimestampTz) => {
                error.hint("a timestamp without a zone is no instant")
            }
            _ => error,
        })
    }

    fn refuse_null(&self, node: &Node, against: Against) -> Result<(), Error> {
        if matches!(against, Against::Distinct | Against::Coalesce)
            || literal(node) != Some(&Literal::Null)
        {
            return Ok(());
        }
        let error = self.error(Code::Type, node.at, "a comparison with null is never true");
        Err(error.hint("write is null, is not null or is distinct from"))
    }

    /// A literal as a value of the type that stands beside it.
    fn adapt(
        &self,
        literal: &Literal,
        at: Span,
        subject: &Node,
        ty: Type,
        against: Against,
    ) -> Result<Constant, Error> {
        let constant = match (literal, ty) {
            (Literal::Null, _) => Constant::Null,
            (Literal::Boolean(value), Type::Boolean) => Constant::Boolean(*value),
            (Literal::Bytes(bytes), Type::Bytes) => Constant::Bytes(bytes.clone()),
            (Literal::Text(text), ty) => return self.adapt_text(text, at, subject, ty, against),
            (_, ty) if ty.is_number() => {
                return self.adapt_number(literal, at, subject, ty, against);
            }
            _ => return Err(self.misfit(literal, at, subject, ty)),
        };
        Ok(constant)
    }

    fn adapt_number(
        &self,
        literal: &Literal,
        at: Span,
        subject: &Node,
        ty: Type,
        against: Against,
    ) -> Result<Constant, Error> {
        let constant = match (literal, ty) {
            (Literal::Integer(value), Type::Decimal) => Constant::Text(value.to_string()),
            (Literal::Integer(value), _) => Constant::Integer(*value),
            (Literal::Decimal(digits), Type::Float32) => {
                Constant::Float(digits.parse::<f32>().map_or(f64::NAN, f64::from))
            }
            (Literal::Decimal(digits), Type::Float64) => {
                Constant::Float(digits.parse().unwrap_or(f64::NAN))
            }
            (Literal::Decimal(digits), _) => Constant::Text(digits.clone()),
            (Literal::Float(value), Type::Float32) => Constant::Float(f64::from(*value as f32)),
            (Literal::Float(value), Type::Float64 | Type::Integer | Type::Unsigned) => {
                Constant::Float(*value)
            }
            _ => return Err(self.misfit(literal, at, subject, ty)),
        };
        let fraction = match &constant {
            Constant::Text(digits) => !number::is_whole(digits),
            Constant::Float(value) => value.fract() != 0.0,
            _ => false,
        };
        if ty.is_whole() && fraction && against != Against::Order {
            // As written: printing a tree is no part of what a plugin needs.
            let written = self.source.get(at.start..at.end).unwrap_or_default();
            let message = format!("{} and never equals {written}", self.subject(subject, ty));
            return Err(self.error(Code::Type, at, message));
        }
        Ok(constant)
    }

    fn adapt_text(
        &self,
        text: &str,
        at: Span,
        subject: &Node,
        ty: Type,
        against: Against,
    ) -> Result<Constant, Error> {
        let owned = || Constant::Text(text.to_owned());
        let special = || matches!(text, "NaN" | "Infinity" | "-Infinity");
        let constant = match ty {
            Type::Text if matches!(subject.term, Term::Metadata(Metadata::Operation)) => {
                OPERATIONS.contains(&text).then(owned)
            }
            Type::Text | Type::Canonical | Type::Json => Some(owned()),
            Type::Char => Some(Constant::Text(text.trim_end_matches(' ').to_owned())),
            Type::Uuid => is_uuid(text).then(owned),
            Type::Decimal => special().then(owned),
            ty if ty.is_float() => text.parse().ok().filter(|_| special()).map(Constant::Float),
            Type::Time => time::time_of_day(text).map(Constant::Time),
            Type::Date | Type::Timestamp | Type::TimestampTz => {
                let fits = |moment: &time::Moment| match ty {
                    Type::Date => !moment.has_clock,
                    Type::Timestamp => !moment.has_offset,
                    _ => true,
                };
                time::moment(text).filter(fits).map(|moment| Constant::Time(moment.nanoseconds))
            }
            _ => None,
        };
        match constant {
            Some(Constant::Time(_)) if against == Against::Coalesce => Ok(owned()),
            Some(constant) => Ok(constant),
            None => Err(self.misfit(&Literal::Text(text.to_owned()), at, subject, ty)),
        }
    }

    /// A literal that the type beside it can never equal.
    fn misfit(&self, literal: &Literal, at: Span, subject: &Node, ty: Type) -> Error {
        let message = format!("{} and never equals {}", self.subject(subject, ty), phrase(literal));
        let is_text = matches!(literal, Literal::Text(_));
        let hint = match ty {
            Type::Text if matches!(subject.term, Term::Metadata(Metadata::Operation)) => {
                "operations are 'c', 'u', 'd', 'r', 't' and 'm'"
            }
            Type::List => "lists take is null and is changed only",
            Type::Boolean => "write the condition itself, or not before it",
            Type::Decimal if matches!(literal, Literal::Float(_)) => {
                "write the number without an exponent"
            }
            ty if ty.is_number() && is_text => "write the number without quotes",
            Type::Uuid => "a UUID is written '6f9619ff-8b86-d011-b42d-00c04fc964ff'",
            Type::Date => "a date is written '2026-11-22'",
            Type::Time => "a time of day is written '18:00:00'",
            Type::Timestamp => "write '2026-11-22 18:00:00', without an offset",
            Type::TimestampTz => {
                "an instant is written '2026-11-22 18:00:00+00'; without an offset it is UTC"
            }
            Type::Bytes => "bytes are written x'00ff'",
            _ => "write it as a text in quotes",
        };
        self.error(Code::Type, at, message).hint(hint)
    }
}

fn phrase(literal: &Literal) -> &'static str {
    match literal {
        Literal::Null => "null",
        Literal::Boolean(_) => "true or false",
        Literal::Integer(_) | Literal::Decimal(_) | Literal::Float(_) => "a number like this",
        Literal::Text(_) => "a text like this",
        Literal::Bytes(_) => "bytes",
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
