//! Runs a program over one change: borrowed values in, one of four truths out.
//!
//! Nothing is allocated a row. Texts that are computed (`lower`, a member of a JSON text with
//! escapes) go one behind the other into a [`Scratch`] that keeps its memory.

use std::cmp::Ordering;
use std::ops::Range;

use crate::json::{self, Member, Unescaped};
use crate::number::{self, Number};
use crate::program::{By, Constant, Program, Step, Test};
use crate::tree::{Image, Metadata, Relation};
use crate::{Truth, time};

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A float.
    Float(f64),
    /// A text, or the canonical text of a decimal, a time, a UUID …
    Text(&'a str),
    /// Bytes; of a list any form in which equal lists are equal bytes.
    Bytes(&'a [u8]),
    /// An instant in microseconds since 1970-01-01 UTC; for `$commit_time`.
    Microseconds(i64),
}

/// A column of a row: a value, or one of three ways to have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// There is a value.
    Value(Value<'a>),
    /// SQL NULL.
    Null,
    /// A large value that the update left alone.
    Unchanged,
    /// Not part of this image, or there is no such image.
    Absent,
}

/// One change, as a program asks for it.
pub trait Row<'a> {
    /// `c`, `u`, `d`, `r`, `t` or `m`.
    fn operation(&self) -> u8;

    /// A column of an image; `slot` is a place in [`Program::columns`].
    fn column(&self, image: Image, slot: usize) -> Field<'a>;

    /// `$commit_time` ([`Value::Microseconds`]), `$transaction` (text) or `$snapshot` (boolean).
    fn metadata(&self, metadata: Metadata) -> Field<'a>;

    /// A header; `slot` is a place in [`Program::headers`].
    fn header(&self, slot: usize) -> Field<'a>;
}

/// Memory for texts that an evaluation computes. Use one again and again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    text: String,
    /// Where a text is made before it is appended.
    spare: String,
}

impl Program {
    /// Whether the expression is true of a change. A column without `before.` and `after.` is the
    /// one of the image that the row has: after, and before for a delete.
    pub fn evaluate<'a>(&'a self, row: &impl Row<'a>, scratch: &mut Scratch) -> Truth {
        let image = if row.operation() == b'd' { Image::Before } else { Image::After };
        self.evaluate_image(image, row, scratch)
    }

    /// Whether the expression is true of one image of a change, which columns without `before.` and
    /// `after.` are then of.
    pub fn evaluate_image<'a>(
        &'a self,
        image: Image,
        row: &impl Row<'a>,
        scratch: &mut Scratch,
    ) -> Truth {
        scratch.text.clear();
        Run { row, image, scratch }.truth(&self.step)
    }
}

/// A value on its way.
#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
    /// A range of the scratch.
    Computed(usize, usize),
    Bytes(&'a [u8]),
    /// Nanoseconds. By reference, so that a value is two words.
    Time(&'a i128),
    Microseconds(i64),
    Null,
    Unknown,
}

impl From<Truth> for Found<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Found::Boolean(true),
            Truth::False => Found::Boolean(false),
            Truth::Null => Found::Null,
            Truth::Unknown => Found::Unknown,
        }
    }
}

struct Run<'r, R> {
    row: &'r R,
    image: Image,
    scratch: &'r mut Scratch,
}

impl<'a, R: Row<'a>> Run<'_, R> {
    /// A condition. What it computed is forgotten with it, so that the scratch stays as small as the
    /// texts of one comparison.
    fn truth(&mut self, step: &'a Step) -> Truth {
        let kept = self.scratch.text.len();
        let truth = self.condition(step);
        self.scratch.text.truncate(kept);
        truth
    }

    fn condition(&mut self, step: &'a Step) -> Truth {
        match step {
            Step::Compare { by, relation, left, right } => {
                let (left, right) = (self.find(left), self.find(right));
                self.compared(*by, left, right, |order| is_met(*relation, order))
            }
            Step::In { by, value, list } => {
                let value = self.find(value);
                // What the last element left in the scratch is of no use to the next.
                let kept = self.scratch.text.len();
                decide(list, Truth::True, Truth::or, |element| {
                    self.scratch.text.truncate(kept);
                    let element = self.find(element);
                    self.compared(*by, value, element, Ordering::is_eq)
                })
            }
            Step::And(steps) => decide(steps, Truth::False, Truth::and, |step| self.truth(step)),
            Step::Or(steps) => decide(steps, Truth::True, Truth::or, |step| self.truth(step)),
            Step::Not(step) => self.truth(step).negated(),
            Step::IsNull(step) => match self.find(step) {
                Found::Null => Truth::True,
                Found::Unknown => Truth::Unknown,
                _ => Truth::False,
            },
            Step::Distinct { by, left, right } => match (self.find(left), self.find(right)) {
                (Found::Unknown, _) | (_, Found::Unknown) => Truth::Unknown,
                (Found::Null, Found::Null) => Truth::False,
                (Found::Null, _) | (_, Found::Null) => Truth::True,
                (left, right) => self.compared(*by, left, right, Ordering::is_ne),
            },
            Step::Changed(slot) => self.changed(*slot),
            Step::Like { value, pattern } => {
                let value = self.find(value);
                self.of_text(value, |text| pattern.matches(text))
            }
            Step::Test { test, text, part } => {
                let (text, part) = (self.find(text), self.find(part));
                self.test(*test, text, part)
            }
            other => match self.find(other) {
                Found::Boolean(value) => Truth::from(value),
                Found::Null => Truth::Null,
                _ => Truth::Unknown,
            },
        }
    }

    fn find(&mut self, step: &'a Step) -> Found<'a> {
        match step {
            Step::Constant(constant) => of_constant(constant),
            Step::Column { image, slot, blanks } => {
                let found = self.column(*image, *slot);
                match found {
                    Found::Text(text) if *blanks => Found::Text(text.trim_end_matches(' ')),
                    found => found,
                }
            }
            Step::Missing => Found::Unknown,
            Step::Metadata(Metadata::Operation) => match self.row.operation() {
                b'c' => Found::Text("c"),
                b'u' => Found::Text("u"),
                b'd' => Found::Text("d"),
                b'r' => Found::Text("r"),
                b't' => Found::Text("t"),
                b'm' => Found::Text("m"),
                _ => Found::Unknown,
            },
            Step::Metadata(metadata) => of_field(self.row.metadata(*metadata)),
            Step::Header(slot) => of_field(self.row.header(*slot)),
            Step::Case { upper, text } => {
                let text = self.find(text);
                self.cased(*upper, text)
            }
            Step::Length(value) => match self.find(value) {
                Found::Bytes(bytes) => Found::Integer(bytes.len() as i64),
                value => match self.text(value) {
                    Ok(text) => Found::Integer(text.chars().count() as i64),
                    Err(none) => none,
                },
            },
            Step::Substring { text, start, count } => {
                let text = self.find(text);
                self.substring(text, *start, *count)
            }
            Step::Coalesce(steps) => {
                let found = |step| match self.find(step) {
                    Found::Null => None,
                    found => Some(found),
                };
                steps.iter().find_map(found).unwrap_or(Found::Null)
            }
            Step::Member { json, name } => {
                let json = self.find(json);
                self.member(json, name)
            }
            condition => self.truth(condition).into(),
        }
    }

    fn column(&self, named: Option<Image>, slot: usize) -> Found<'a> {
        let image = named.unwrap_or(self.image);
        // There is no such row: SQL's triggers have NULL there.
        match (named, self.row.operation()) {
            (Some(Image::Before), b'c' | b'r') | (Some(Image::After), b'd') => return Found::Null,
            _ => {}
        }
        match self.row.column(image, slot) {
            // It is what it was before.
            Field::Unchanged if image == Image::After => {
                of_field(self.row.column(Image::Before, slot))
            }
            field => of_field(field),
        }
    }

    /// Whether an update gave a column another value.
    fn changed(&self, slot: usize) -> Truth {
        if self.row.operation() != b'u' {
            return Truth::False;
        }
        let fields = (self.row.column(Image::Before, slot), self.row.column(Image::After, slot));
        match fields {
            (_, Field::Unchanged) => Truth::False,
            (Field::Absent | Field::Unchanged, _) | (_, Field::Absent) => Truth::Unknown,
            (Field::Value(Value::Float(before)), Field::Value(Value::Float(after))) => {
                let same = before == after || before.is_nan() && after.is_nan();
                Truth::from(!same)
            }
            (before, after) => Truth::from(before != after),
        }
    }

    /// The text of a value, or what stands for it.
    fn text<'s>(&'s self, found: Found<'a>) -> Result<&'s str, Found<'a>>
    where
        'a: 's,
    {
        match found {
            Found::Text(text) => Ok(text),
            Found::Computed(start, end) => self.scratch.text.get(start..end).ok_or(Found::Unknown),
            Found::Null => Err(Found::Null),
            _ => Err(Found::Unknown),
        }
    }

    fn of_text(&self, found: Found<'a>, test: impl FnOnce(&str) -> bool) -> Truth {
        match self.text(found) {
            Ok(text) => Truth::from(test(text)),
            Err(Found::Null) => Truth::Null,
            Err(_) => Truth::Unknown,
        }
    }

    fn compared(
        &self,
        by: By,
        left: Found<'a>,
        right: Found<'a>,
        met: impl FnOnce(Ordering) -> bool,
    ) -> Truth {
        match (left, right) {
            (Found::Null, _) | (_, Found::Null) => Truth::Null,
            (Found::Unknown, _) | (_, Found::Unknown) => Truth::Unknown,
            (left, right) => {
                self.order(by, left, right).map_or(Truth::Unknown, |order| Truth::from(met(order)))
            }
        }
    }

    /// `None`: a text does not read as its column's type.
    fn order(&self, by: By, left: Found<'a>, right: Found<'a>) -> Option<Ordering> {
        match by {
            By::Boolean => match (left, right) {
                (Found::Boolean(left), Found::Boolean(right)) => Some(left.cmp(&right)),
                _ => None,
            },
            By::Number => match (left, right) {
                (Found::Integer(left), Found::Integer(right)) => Some(left.cmp(&right)),
                (left, right) => number::compare(self.number(left)?, self.number(right)?),
            },
            By::Text => Some(self.text(left).ok()?.cmp(self.text(right).ok()?)),
            By::Bytes => match (left, right) {
                (Found::Bytes(left), Found::Bytes(right)) => Some(left.cmp(right)),
                _ => None,
            },
            By::Uuid => {
                let (left, right) = (self.text(left).ok()?, self.text(right).ok()?);
                let folded =
                    |text: &str, at: usize| text.as_bytes().get(at).map(u8::to_ascii_lowercase);
                (0..left.len().max(right.len()))
                    .map(|at| folded(left, at).cmp(&folded(right, at)))
                    .find(|order| order.is_ne())
                    .or(Some(Ordering::Equal))
            }
            By::Instant => {
                let read = |text: &str| time::moment(text).map(|moment| moment.nanoseconds);
                Some(self.time(left, read)?.cmp(&self.time(right, read)?))
            }
            By::Time => {
                Some(self.time(left, time::time_of_day)?.cmp(&self.time(right, time::time_of_day)?))
            }
        }
    }

    fn number<'s>(&'s self, found: Found<'a>) -> Option<Number<'s>>
    where
        'a: 's,
    {
        match found {
            Found::Integer(value) => Some(Number::Whole(value.into())),
            Found::Unsigned(value) => Some(Number::Whole(value.into())),
            Found::Float(value) => Some(Number::Float(value)),
            found => self.text(found).ok().map(Number::Decimal),
        }
    }

    fn time(&self, found: Found<'a>, read: impl FnOnce(&str) -> Option<i128>) -> Option<i128> {
        match found {
            Found::Time(value) => Some(*value),
            Found::Microseconds(value) => Some(time::of_microseconds(value)),
            found => read(self.text(found).ok()?),
        }
    }

    fn test(&self, test: Test, text: Found<'a>, part: Found<'a>) -> Truth {
        match (self.text(text), self.text(part)) {
            (Err(Found::Null), _) | (_, Err(Found::Null)) => Truth::Null,
            (Ok(text), Ok(part)) => Truth::from(match test {
                Test::StartsWith => text.starts_with(part),
                Test::EndsWith => text.ends_with(part),
                Test::Contains => text.contains(part),
            }),
            _ => Truth::Unknown,
        }
    }

    /// A text that is made of another, behind what the scratch holds. `write` gives whether it could.
    fn computed(
        &mut self,
        found: Found<'a>,
        write: impl FnOnce(&str, &mut String) -> Option<()>,
    ) -> Found<'a> {
        let mut spare = std::mem::take(&mut self.scratch.spare);
        spare.clear();
        let written = self.text(found).map(|text| write(text, &mut spare));
        if let Found::Computed(start, end) = found
            && end == self.scratch.text.len()
        {
            // Nobody asks for it again.
            self.scratch.text.truncate(start);
        }
        let start = self.scratch.text.len();
        self.scratch.text.push_str(&spare);
        self.scratch.spare = spare;
        match written {
            Ok(Some(())) => Found::Computed(start, self.scratch.text.len()),
            Ok(None) => Found::Unknown,
            Err(none) => none,
        }
    }

    /// Character by character, as Unicode maps one without its surroundings.
    fn cased(&mut self, upper: bool, found: Found<'a>) -> Found<'a> {
        self.computed(found, |text, out| {
            if upper {
                out.extend(text.chars().flat_map(char::to_uppercase));
            } else {
                out.extend(text.chars().flat_map(char::to_lowercase));
            }
            Some(())
        })
    }

    /// A part of a text that it has.
    fn part(found: Found<'a>, range: Range<usize>) -> Found<'a> {
        match found {
            Found::Text(text) => text.get(range).map_or(Found::Unknown, Found::Text),
            Found::Computed(from, _) => Found::Computed(from + range.start, from + range.end),
            _ => Found::Unknown,
        }
    }

    fn substring(&self, found: Found<'a>, start: usize, count: Option<usize>) -> Found<'a> {
        match self.text(found) {
            Ok(text) => Self::part(found, characters(text, start, count)),
            Err(none) => none,
        }
    }

    fn member(&mut self, found: Found<'a>, name: &str) -> Found<'a> {
        let (range, escaped) = match self.text(found) {
            Err(none) => return none,
            Ok(text) => match json::member(text, name) {
                Member::Raw(range) => (range, false),
                Member::Quoted(range) => {
                    let escaped =
                        text.get(range.clone()).is_none_or(|inside| inside.contains('\\'));
                    (range, escaped)
                }
                Member::None => return Found::Null,
                Member::Damaged => return Found::Unknown,
            },
        };
        let part = Self::part(found, range);
        if !escaped {
            return part;
        }
        self.computed(part, |quoted, out| {
            Unescaped::new(quoted).try_for_each(|character| {
                out.push(character?);
                Some(())
            })
        })
    }
}

/// The bytes of some characters of a text, as many of them as there are.
fn characters(text: &str, start: usize, count: Option<usize>) -> Range<usize> {
    let place = |text: &str, count| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    let begin = place(text, start);
    let rest = text.get(begin..).unwrap_or_default();
    begin..begin + count.map_or(rest.len(), |count| place(rest, count))
}

fn is_met(relation: Relation, order: Ordering) -> bool {
    match relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Less => order.is_lt(),
        Relation::AtMost => order.is_le(),
        Relation::Greater => order.is_gt(),
        Relation::AtLeast => order.is_ge(),
    }
}

/// Combines truths until one decides.
fn decide<'a>(
    steps: &'a [Step],
    decisive: Truth,
    combine: fn(Truth, Truth) -> Truth,
    mut truth: impl FnMut(&'a Step) -> Truth,
) -> Truth {
    let mut result = decisive.negated();
    for step in steps {
        result = combine(result, truth(step));
        if result == decisive {
            break;
        }
    }
    result
}

fn of_constant(constant: &Constant) -> Found<'_> {
    match constant {
        Constant::Null => Found::Null,
        Constant::Boolean(value) => Found::Boolean(*value),
        Constant::Integer(value) => Found::Integer(*value),
        Constant::Float(value) => Found::Float(*value),
        Constant::Text(text) => Found::Text(text),
        Constant::Bytes(bytes) => Found::Bytes(bytes),
        Constant::Time(value) => Found::Time(value),
    }
}

fn of_field(field: Field<'_>) -> Found<'_> {
    let value = match field {
        Field::Value(value) => value,
        Field::Null => return Found::Null,
        Field::Unchanged | Field::Absent => return Found::Unknown,
    };
    match value {
        Value::Boolean(value) => Found::Boolean(value),
        Value::Integer(value) => Found::Integer(value),
        Value::Unsigned(value) => Found::Unsigned(value),
        Value::Float(value) => Found::Float(value),
        Value::Text(text) => Found::Text(text),
        Value::Bytes(bytes) => Found::Bytes(bytes),
        Value::Microseconds(value) => Found::Microseconds(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Expression, Missing, Table, Type};

    struct Text(String);

    impl<'a> Row<'a> for &'a Text {
        fn operation(&self) -> u8 {
            b'c'
        }
        fn column(&self, _: Image, _: usize) -> Field<'a> {
            Field::Value(Value::Text(&self.0))
        }
        fn metadata(&self, _: Metadata) -> Field<'a> {
            Field::Null
        }
        fn header(&self, _: usize) -> Field<'a> {
            Field::Null
        }
    }

    #[test]
    fn the_scratch_holds_no_more_than_one_comparison_needs_and_is_used_again() {
        let call = |depth: usize| format!("{}a{}", "lower(".repeat(depth), ")".repeat(depth));
        let condition = format!("{} <> {}", call(30), call(30));
        let source = vec![condition; 100].join(" and not ");
        let columns = [Column { name: "a", ty: Type::Text, type_name: "text" }];
        let table = Table { database: "d", schema: "s", name: "t", columns: &columns };
        let expression = Expression::parse(&source).unwrap();
        let program = Program::compile(&expression, &table, Missing::Refused).unwrap();
        let row = Text("A".repeat(10_000));
        let mut scratch = Scratch::default();
        assert_eq!(program.evaluate(&&row, &mut scratch), Truth::False);
        let held = (scratch.text.capacity(), scratch.spare.capacity());
        assert!(held.0 <= 80_000 && held.1 <= 40_000, "{held:?}");
        let places = (scratch.text.as_ptr(), scratch.spare.as_ptr());
        assert_eq!(program.evaluate(&&row, &mut scratch), Truth::False);
        assert_eq!((scratch.text.as_ptr(), scratch.spare.as_ptr()), places);
    }
}
