//! Prints a tree so that it parses to the same tree: one spelling, parentheses only where needed.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::lexer::{begins_word, in_word};
use crate::parser::is_reserved;
use crate::tree::{Expression, Image, Literal, Node, Term};

impl Display for Expression {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.root.fmt(out)
    }
}

/// How tightly a term binds: `or`, `and`, `not`, a comparison, a value.
fn binding(term: &Term) -> u8 {
    match term {
        Term::Or(_) => 0,
        Term::And(_) => 1,
        Term::Not(_) => 2,
        Term::Literal(_)
        | Term::Column { .. }
        | Term::Metadata(_)
        | Term::Header(_)
        | Term::Call { .. }
        | Term::Member { .. } => 4,
        _ => 3,
    }
}

/// A node where something of at least that binding must stand.
struct At<'n>(u8, &'n Node);

impl Display for At<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if binding(&self.1.term) >= self.0 { self.1.fmt(out) } else { write!(out, "({})", self.1) }
    }
}

const OPERAND: u8 = 4;

impl Display for Node {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let not = |negated: bool| if negated { "not " } else { "" };
        match &self.term {
            Term::Literal(literal) => literal.fmt(out),
            Term::Column { image, name } => {
                out.write_str(match image {
                    None => "",
                    Some(Image::Before) => "before.",
                    Some(Image::After) => "after.",
                })?;
                name_into(out, name)
            }
            Term::Metadata(metadata) => write!(out, "${}", metadata.word()),
            Term::Header(name) => {
                out.write_str("$header(")?;
                quote(out, '\'', name)?;
                out.write_str(")")
            }
            Term::Call { function, arguments } => {
                write!(out, "{}(", function.word())?;
                separated(out, arguments, ", ", 0)?;
                out.write_str(")")
            }
            Term::Member { value, name } => {
                write!(out, "{} ->> ", At(OPERAND, value))?;
                quote(out, '\'', name)
            }
            Term::Compare { relation, left, right } => {
                write!(out, "{} {} {}", At(OPERAND, left), relation.word(), At(OPERAND, right))
            }
            Term::In { value, list, negated } => {
                write!(out, "{} {}in (", At(OPERAND, value), not(*negated))?;
                separated(out, list, ", ", 0)?;
                out.write_str(")")
            }
            Term::Between { value, low, high, negated } => {
                let (value, low, high) = (At(OPERAND, value), At(OPERAND, low), At(OPERAND, high));
                write!(out, "{value} {}between {low} and {high}", not(*negated))
            }
            Term::Like { value, pattern, folded, negated } => {
                let word = if *folded { "ilike" } else { "like" };
                write!(out, "{} {}{word} ", At(OPERAND, value), not(*negated))?;
                quote(out, '\'', pattern)
            }
            Term::IsNull { value, negated } => {
                write!(out, "{} is {}null", At(OPERAND, value), not(*negated))
            }
            Term::IsDistinct { left, right, negated } => {
                let (left, right) = (At(OPERAND, left), At(OPERAND, right));
                write!(out, "{left} is {}distinct from {right}", not(*negated))
            }
            Term::IsChanged { name, negated } => {
                name_into(out, name)?;
                write!(out, " is {}changed", not(*negated))
            }
            Term::Not(condition) => write!(out, "not {}", At(2, condition)),
            Term::And(conditions) => separated(out, conditions, " and ", 2),
            Term::Or(conditions) => separated(out, conditions, " or ", 1),
        }
    }
}

fn separated(out: &mut Formatter<'_>, nodes: &[Node], between: &str, least: u8) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        out.write_str(if index == 0 { "" } else { between })?;
        write!(out, "{}", At(least, node))?;
    }
    Ok(())
}

fn quote(out: &mut Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    out.write_char(quote)?;
    for (index, part) in text.split(quote).enumerate() {
        if index > 0 {
            out.write_char(quote)?;
            out.write_char(quote)?;
        }
        out.write_str(part)?;
    }
    out.write_char(quote)
}

fn name_into(out: &mut Formatter<'_>, name: &str) -> fmt::Result {
    let plain = name.starts_with(begins_word) && name.chars().all(in_word) && !is_reserved(name);
    if plain { out.write_str(name) } else { quote(out, '"', name) }
}

impl Display for Literal {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => out.write_str("null"),
            Literal::Boolean(value) => value.fmt(out),
            Literal::Integer(value) => value.fmt(out),
            Literal::Decimal(digits) => out.write_str(digits),
            // With an exponent, so that it reads as a float again.
            Literal::Float(value) => write!(out, "{value:e}"),
            Literal::Text(text) => quote(out, '\'', text),
            Literal::Bytes(bytes) => {
                out.write_str("x'")?;
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
                out.write_str("'")
            }
        }
    }
}
