//! Expressions and changes at random.

use offtake_expression::{
    Field, Function, Image, Literal, Metadata, Node, Relation, Span, Term, Value,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::row::Change;

pub(crate) fn node(term: Term) -> Node {
    Node { term, at: Span::default() }
}

fn boxed(node: Node) -> Box<Node> {
    Box::new(node)
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,6}",
        select(vec!["and", "NULL", "before", "after", "lower", "changed", "x", "a b", "\"", "é"])
            .prop_map(str::to_owned),
        any::<String>().prop_filter("a name is not empty", |name| !name.is_empty()),
    ]
}

fn any_literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        any::<i64>().prop_map(Literal::Integer),
        "-?[0-9]{1,25}\\.[0-9]{1,9}".prop_map(Literal::Decimal),
        any::<f64>()
            .prop_filter("the language has finite floats", |value| value.is_finite())
            .prop_map(Literal::Float),
        any::<String>().prop_map(Literal::Text),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Literal::Bytes),
    ]
}

/// Any tree that a text can have, whether its types make sense or not.
pub(crate) fn any_tree() -> impl Strategy<Value = Node> {
    let image = select(vec![None, Some(Image::Before), Some(Image::After)]);
    let leaf = prop_oneof![
        any_literal().prop_map(Term::Literal),
        (image, any_name()).prop_map(|(image, name)| Term::Column { image, name }),
        select(Metadata::ALL.to_vec()).prop_map(Term::Metadata),
        any::<String>().prop_map(Term::Header),
        (any_name(), any::<bool>()).prop_map(|(name, negated)| Term::IsChanged { name, negated }),
    ];
    leaf.prop_map(node).prop_recursive(5, 48, 4, |inner| {
        let one = inner.clone().prop_map(boxed);
        let many = proptest::collection::vec(inner, 2..4);
        let pair = (one.clone(), one.clone());
        prop_oneof![
            one.clone().prop_map(Term::Not),
            many.clone().prop_map(Term::And),
            many.clone().prop_map(Term::Or),
            (select(Relation::ALL.to_vec()), pair.clone())
                .prop_map(|(relation, (left, right))| { Term::Compare { relation, left, right } }),
            (one.clone(), many.clone(), any::<bool>())
                .prop_map(|(value, list, negated)| Term::In { value, list, negated }),
            (one.clone(), pair.clone(), any::<bool>()).prop_map(|(value, (low, high), negated)| {
                Term::Between { value, low, high, negated }
            }),
            (one.clone(), "[a%_' ]{0,5}", any::<bool>(), any::<bool>()).prop_map(
                |(value, pattern, folded, negated)| Term::Like { value, pattern, folded, negated }
            ),
            (one.clone(), any::<bool>())
                .prop_map(|(value, negated)| Term::IsNull { value, negated }),
            (pair, any::<bool>())
                .prop_map(|((left, right), negated)| { Term::IsDistinct { left, right, negated } }),
            (one, any::<String>()).prop_map(|(value, name)| Term::Member { value, name }),
            (select(Function::ALL.to_vec()), many).prop_map(|(function, mut arguments)| {
                arguments.truncate(function.arity().1);
                Term::Call { function, arguments }
            }),
        ]
        .prop_map(node)
    })
}

fn column(image: Option<Image>, name: &str) -> Node {
    node(Term::Column { image, name: name.to_owned() })
}

fn literal_text(text: &str) -> Node {
    node(Term::Literal(Literal::Text(text.to_owned())))
}

const TEXTS: [&str; 7] = ["", "a", "ab", "B", "ba", "Aß", "%"];
const DECIMALS: [&str; 6] = ["0.0", "1.5", "-2.25", "10.00", "1.50", "-0.5"];

fn any_image() -> impl Strategy<Value = Option<Image>> {
    select(vec![None, None, Some(Image::Before), Some(Image::After)])
}

/// A value whose type is text and that is no literal.
fn any_text() -> impl Strategy<Value = Node> {
    let leaf = any_image().prop_map(|image| column(image, "status"));
    leaf.prop_recursive(2, 6, 2, |inner| {
        let call = |function, arguments| node(Term::Call { function, arguments });
        let whole = |value| node(Term::Literal(Literal::Integer(value)));
        prop_oneof![
            inner.clone().prop_map(move |text| call(Function::Lower, vec![text])),
            inner.clone().prop_map(move |text| call(Function::Upper, vec![text])),
            (inner.clone(), 1..3_i64, 0..3_i64).prop_map(move |(text, start, count)| {
                call(Function::Substring, vec![text, whole(start), whole(count)])
            }),
            (inner, select(TEXTS.to_vec())).prop_map(move |(text, other)| {
                call(Function::Coalesce, vec![text, literal_text(other)])
            }),
        ]
    })
}

/// A number that is no literal, and a literal that may stand beside it.
fn any_number() -> impl Strategy<Value = (Node, Node)> {
    let whole = || (-3..4_i64).prop_map(|value| node(Term::Literal(Literal::Integer(value))));
    let decimal = select(DECIMALS.to_vec())
        .prop_map(|digits| node(Term::Literal(Literal::Decimal(digits.to_owned()))));
    let float = select(vec![0.0, 1.5, -2.5, 1e10])
        .prop_map(|value| node(Term::Literal(Literal::Float(value))));
    let named = |name: &'static str| any_image().prop_map(move |image| column(image, name));
    let length = any_text()
        .prop_map(|text| node(Term::Call { function: Function::Length, arguments: vec![text] }));
    prop_oneof![
        (named("id"), whole()),
        (length, whole()),
        (named("total"), prop_oneof![whole(), decimal]),
        (named("score"), prop_oneof![whole(), float]),
    ]
}

fn any_predicate() -> impl Strategy<Value = Node> {
    let relation = || select(Relation::ALL.to_vec());
    let texts = || (any_text(), select(TEXTS.to_vec()).prop_map(literal_text));
    let sides = || {
        prop_oneof![
            any_number(),
            texts(),
            (any_text(), any_text()),
            Just((column(None, "id"), column(None, "total"))),
        ]
    };
    let tests = vec![Function::StartsWith, Function::EndsWith, Function::Contains];
    prop_oneof![
        any_image().prop_map(|image| column(image, "flag")),
        (relation(), sides(), any::<bool>()).prop_map(|(relation, (left, right), turned)| {
            let (left, right) = if turned { (right, left) } else { (left, right) };
            node(Term::Compare { relation, left: boxed(left), right: boxed(right) })
        }),
        (sides(), any::<bool>()).prop_map(|((left, right), negated)| {
            node(Term::IsDistinct { left: boxed(left), right: boxed(right), negated })
        }),
        (any_text(), proptest::collection::vec(texts(), 1..3), any::<bool>()).prop_map(
            |(value, list, negated)| {
                let list = list.into_iter().flat_map(|(left, right)| [left, right]).collect();
                node(Term::In { value: boxed(value), list, negated })
            }
        ),
        (any_number(), -3..4_i64, any::<bool>()).prop_map(|((value, low), high, negated)| {
            let high = boxed(node(Term::Literal(Literal::Integer(high))));
            node(Term::Between { value: boxed(value), low: boxed(low), high, negated })
        }),
        (any_text(), "[abAß%_]{0,4}", any::<bool>(), any::<bool>()).prop_map(
            |(value, pattern, folded, negated)| {
                node(Term::Like { value: boxed(value), pattern, folded, negated })
            }
        ),
        (select(tests), any_text(), texts()).prop_map(|(function, text, (_, part))| {
            node(Term::Call { function, arguments: vec![text, part] })
        }),
        (prop_oneof![any_text(), any_number().prop_map(|(number, _)| number)], any::<bool>())
            .prop_map(|(value, negated)| node(Term::IsNull { value: boxed(value), negated })),
        (select(vec!["id", "status", "total"]), any::<bool>()).prop_map(|(name, negated)| {
            node(Term::IsChanged { name: name.to_owned(), negated })
        }),
        (relation(), select(vec!["c", "u", "d", "r"])).prop_map(|(relation, letter)| {
            let left = boxed(node(Term::Metadata(Metadata::Operation)));
            node(Term::Compare { relation, left, right: boxed(literal_text(letter)) })
        }),
    ]
}

/// A condition whose types are right.
pub(crate) fn any_condition() -> impl Strategy<Value = Node> {
    any_predicate().prop_recursive(3, 24, 3, |inner| {
        let many = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|condition| node(Term::Not(boxed(condition)))),
            many.clone().prop_map(|conditions| node(Term::And(conditions))),
            many.prop_map(|conditions| node(Term::Or(conditions))),
        ]
    })
}

fn any_field(values: Vec<Value<'static>>) -> impl Strategy<Value = Field<'static>> {
    prop_oneof![
        6 => select(values).prop_map(Field::Value),
        2 => Just(Field::Null),
        1 => Just(Field::Unchanged),
        1 => Just(Field::Absent),
    ]
}

fn any_fields() -> impl Strategy<Value = [Field<'static>; 5]> {
    (
        any_field(vec![Value::Boolean(true), Value::Boolean(false)]),
        any_field((-3..4).map(Value::Integer).collect()),
        any_field(DECIMALS.map(Value::Text).to_vec()),
        any_field(TEXTS.map(Value::Text).to_vec()),
        any_field([0.0, 1.5, -2.5, f64::NAN, f64::INFINITY].map(Value::Float).to_vec()),
    )
        .prop_map(|(flag, id, total, status, score)| [flag, id, total, status, score])
}

/// A change with something in the columns that the conditions name.
pub(crate) fn any_change() -> impl Strategy<Value = Change> {
    (select(vec![b'c', b'u', b'd', b'r']), any_fields(), any_fields()).prop_map(
        |(operation, before, after)| {
            let names = ["flag", "id", "total", "status", "score"];
            let mut change = Change::new(operation);
            for ((name, before), after) in names.into_iter().zip(before).zip(after) {
                if operation != b'd' {
                    change = change.after(name, after);
                }
                if matches!(operation, b'u' | b'd') {
                    change = change.before(name, before);
                }
            }
            change
        },
    )
}
