//! The language a second time, written for clarity alone: owned values, no compiler, no order of
//! evaluation. What it says the evaluator must say.

use std::cmp::Ordering;

use offtake_expression::{
    Field, Function, Image, Literal, Metadata, Node, Relation, Term, Truth, Value,
};

use crate::row::{Change, ordinal};

#[derive(Clone, Debug)]
pub(crate) enum Naive {
    Boolean(bool),
    /// A number in hundredths.
    Hundredths(i128),
    Float(f64),
    Text(String),
    Null,
    Unknown,
}

fn of(truth: Truth) -> Naive {
    match truth {
        Truth::True => Naive::Boolean(true),
        Truth::False => Naive::Boolean(false),
        Truth::Null => Naive::Null,
        Truth::Unknown => Naive::Unknown,
    }
}

pub(crate) fn truth(node: &Node, change: &Change) -> Truth {
    match value(node, change) {
        Naive::Boolean(value) => Truth::from(value),
        Naive::Null => Truth::Null,
        Naive::Unknown => Truth::Unknown,
        other => panic!("{other:?} is no condition"),
    }
}

fn hundredths(digits: &str) -> i128 {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let negative = whole.starts_with('-');
    let whole: i128 = whole.trim_start_matches('-').parse().unwrap();
    let fraction: i128 = format!("{fraction:0<2}").parse().unwrap();
    let value = whole * 100 + fraction;
    if negative { -value } else { value }
}

fn field(field: Field<'_>, name: &str) -> Naive {
    match field {
        Field::Null => Naive::Null,
        Field::Absent | Field::Unchanged => Naive::Unknown,
        Field::Value(Value::Boolean(value)) => Naive::Boolean(value),
        Field::Value(Value::Integer(value)) => Naive::Hundredths(i128::from(value) * 100),
        Field::Value(Value::Float(value)) => Naive::Float(value),
        Field::Value(Value::Text(text)) if name == "total" => Naive::Hundredths(hundredths(text)),
        Field::Value(Value::Text(text)) => Naive::Text(text.to_owned()),
        Field::Value(other) => panic!("no test has {other:?}"),
    }
}

fn column(image: Option<Image>, name: &str, change: &Change) -> Naive {
    let exists = |image| match image {
        Image::Before => matches!(change.operation, b'u' | b'd'),
        Image::After => change.operation != b'd',
    };
    let of_row = if change.operation == b'd' { Image::Before } else { Image::After };
    let image = match image {
        Some(image) if !exists(image) => return Naive::Null,
        Some(image) => image,
        None => of_row,
    };
    let (before, after) = (change.before[ordinal(name)], change.after[ordinal(name)]);
    match image {
        Image::After if after == Field::Unchanged => field(before, name),
        Image::After => field(after, name),
        Image::Before => field(before, name),
    }
}

fn order(left: &Naive, right: &Naive) -> Ordering {
    let nan_last = |left: f64, right: f64| {
        left.partial_cmp(&right).unwrap_or(left.is_nan().cmp(&right.is_nan()))
    };
    match (left, right) {
        (Naive::Hundredths(left), Naive::Hundredths(right)) => left.cmp(right),
        (Naive::Float(left), Naive::Float(right)) => nan_last(*left, *right),
        // The whole numbers of the tests are small.
        (Naive::Float(left), Naive::Hundredths(right)) => nan_last(*left, *right as f64 / 100.0),
        (Naive::Hundredths(left), Naive::Float(right)) => nan_last(*left as f64 / 100.0, *right),
        (Naive::Text(left), Naive::Text(right)) => left.cmp(right),
        other => panic!("no test compares {other:?}"),
    }
}

fn compare(relation: Relation, left: &Naive, right: &Naive) -> Truth {
    match (left, right) {
        (Naive::Null, _) | (_, Naive::Null) => Truth::Null,
        (Naive::Unknown, _) | (_, Naive::Unknown) => Truth::Unknown,
        _ => Truth::from(match (relation, order(left, right)) {
            (Relation::Equal, order) => order == Ordering::Equal,
            (Relation::NotEqual, order) => order != Ordering::Equal,
            (Relation::Less, order) => order == Ordering::Less,
            (Relation::AtMost, order) => order != Ordering::Greater,
            (Relation::Greater, order) => order == Ordering::Greater,
            (Relation::AtLeast, order) => order != Ordering::Less,
        }),
    }
}

fn negated(truth: Truth, negated: bool) -> Naive {
    of(if negated { truth.negated() } else { truth })
}

/// Of a text, or NULL or not known where it is that.
fn text(value: Naive, make: impl FnOnce(String) -> Naive) -> Naive {
    match value {
        Naive::Text(text) => make(text),
        none => none,
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [one, rest @ ..] => text.first() == Some(one) && like(&text[1..], rest),
    }
}

fn call(function: Function, arguments: &[Node], change: &Change) -> Naive {
    let mut values =
        arguments.iter().map(|node| value(node, change)).collect::<Vec<_>>().into_iter();
    let first = values.next().unwrap();
    let test = |test: fn(&str, &str) -> bool, second: Naive| match (first.clone(), second) {
        (Naive::Null, _) | (_, Naive::Null) => Naive::Null,
        (Naive::Text(text), Naive::Text(part)) => Naive::Boolean(test(&text, &part)),
        _ => Naive::Unknown,
    };
    match function {
        Function::StartsWith => test(|text, part| text.starts_with(part), values.next().unwrap()),
        Function::EndsWith => test(|text, part| text.ends_with(part), values.next().unwrap()),
        Function::Contains => test(|text, part| text.contains(part), values.next().unwrap()),
        Function::Lower => text(first, |text| Naive::Text(text.to_lowercase())),
        Function::Upper => text(first, |text| Naive::Text(text.to_uppercase())),
        Function::Length => {
            text(first, |text| Naive::Hundredths(text.chars().count() as i128 * 100))
        }
        Function::Substring => {
            let mut bound = || match values.next() {
                Some(Naive::Hundredths(value)) => (value / 100) as usize,
                other => panic!("{other:?} is no bound"),
            };
            let (start, count) = (bound(), bound());
            let part = |text: String| text.chars().skip(start - 1).take(count).collect();
            text(first, |text| Naive::Text(part(text)))
        }
        Function::Coalesce => match first {
            Naive::Null => values.next().unwrap(),
            first => first,
        },
    }
}

pub(crate) fn value(node: &Node, change: &Change) -> Naive {
    let of_node = |node: &Node| value(node, change);
    match &node.term {
        Term::Literal(Literal::Null) => Naive::Null,
        Term::Literal(Literal::Boolean(value)) => Naive::Boolean(*value),
        Term::Literal(Literal::Integer(value)) => Naive::Hundredths(i128::from(*value) * 100),
        Term::Literal(Literal::Decimal(digits)) => Naive::Hundredths(hundredths(digits)),
        Term::Literal(Literal::Float(value)) => Naive::Float(*value),
        Term::Literal(Literal::Text(text)) => Naive::Text(text.clone()),
        Term::Column { image, name } => column(*image, name, change),
        Term::Metadata(Metadata::Operation) => {
            Naive::Text(char::from(change.operation).to_string())
        }
        Term::Call { function, arguments } => call(*function, arguments, change),
        Term::Compare { relation, left, right } => {
            of(compare(*relation, &of_node(left), &of_node(right)))
        }
        Term::In { value, list, negated: not } => {
            let value = of_node(value);
            let equal = |node| compare(Relation::Equal, &value, &of_node(node));
            negated(list.iter().map(equal).fold(Truth::False, Truth::or), *not)
        }
        Term::Between { value, low, high, negated: not } => {
            let value = of_node(value);
            let least = compare(Relation::AtLeast, &value, &of_node(low));
            negated(least.and(compare(Relation::AtMost, &value, &of_node(high))), *not)
        }
        Term::Like { value, pattern, folded, negated: not } => text(of_node(value), |text| {
            let characters = |text: &str| -> Vec<char> {
                let text = if *folded { text.to_lowercase() } else { text.to_owned() };
                text.chars().collect()
            };
            negated(Truth::from(like(&characters(&text), &characters(pattern))), *not)
        }),
        Term::IsNull { value, negated: not } => match of_node(value) {
            Naive::Unknown => Naive::Unknown,
            value => Naive::Boolean(matches!(value, Naive::Null) != *not),
        },
        Term::IsDistinct { left, right, negated: not } => {
            let distinct = match (of_node(left), of_node(right)) {
                (Naive::Unknown, _) | (_, Naive::Unknown) => Truth::Unknown,
                (Naive::Null, Naive::Null) => Truth::False,
                (Naive::Null, _) | (_, Naive::Null) => Truth::True,
                (left, right) => compare(Relation::NotEqual, &left, &right),
            };
            negated(distinct, *not)
        }
        Term::IsChanged { name, negated: not } => {
            let (before, after) = (change.before[ordinal(name)], change.after[ordinal(name)]);
            let known = |field| !matches!(field, Field::Absent | Field::Unchanged);
            let changed = match () {
                () if change.operation != b'u' || after == Field::Unchanged => Truth::False,
                () if known(before) && known(after) => Truth::from(before != after),
                () => Truth::Unknown,
            };
            negated(changed, *not)
        }
        Term::Not(condition) => of(truth(condition, change).negated()),
        Term::And(conditions) => {
            of(conditions.iter().map(|one| truth(one, change)).fold(Truth::True, Truth::and))
        }
        Term::Or(conditions) => {
            of(conditions.iter().map(|one| truth(one, change)).fold(Truth::False, Truth::or))
        }
        other => panic!("no test has {other:?}"),
    }
}
