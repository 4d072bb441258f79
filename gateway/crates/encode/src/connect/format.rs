//! How a format writes values: one small call a value, no tree between.
//!
//! A [`Format`] says what it has to know of a place in a schema ([`Format::prepare`], once) and how
//! it writes each kind of value there. The driver walks a change and calls exactly one method for
//! each place, in the schema's order, so formats need neither look-ups nor allocations. Everything
//! is associated functions over a byte buffer: constant stretches can be written once at planning
//! time and copied (`Protobuf` and Avro are concatenative as JSON is).

use std::sync::Arc;

use super::schema::{Kind, Schema, Value};

/// Where in its parent a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The outermost value.
    Root,
    /// A struct's field: its name and index.
    Field(&'a str, usize),
    /// An array's element.
    Element,
    /// A map's key.
    MapKey,
    /// A map's value.
    MapValue,
}

/// What a format remembers between the beginning and the end of a struct, array or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub usize);

/// A way of writing Connect data.
///
/// For each value the driver calls one of the scalar methods, [`Format::null`], or a `begin` and
/// its `end` with the children between. Integers of all widths come as `i64`, in range. Text is
/// UTF-8. Connect's `Decimal` is bytes: unscaled, big endian, two's complement; a format that writes
/// it otherwise looks at the schema in `prepare`.
pub trait Format: Clone + std::fmt::Debug {
    /// What is prepared of a place.
    type Prepared: Clone + std::fmt::Debug;

    /// Prepares a place. `parent` is the schema around it.
    fn prepare(place: Place<'_>, schema: &Schema, parent: Option<&Schema>) -> Self::Prepared;

    /// Whether the place takes a null. The driver asks before it writes a null into an array: some
    /// formats have no such thing, and a change that holds one cannot be written.
    fn takes_null(_at: &Self::Prepared) -> bool {
        true
    }
    /// Whether the place takes that integer. The driver asks before it writes one: a logical type
    /// may be narrower in a format than in Connect's data.
    fn takes_integer(_at: &Self::Prepared, _value: i64) -> bool {
        true
    }

    /// A null; the place's schema is optional.
    fn null(out: &mut Vec<u8>, at: &Self::Prepared);
    /// A boolean.
    fn boolean(out: &mut Vec<u8>, at: &Self::Prepared, value: bool);
    /// An integer of any width.
    fn integer(out: &mut Vec<u8>, at: &Self::Prepared, value: i64);
    /// A 32-bit float.
    fn single(out: &mut Vec<u8>, at: &Self::Prepared, value: f32);
    /// A 64-bit float.
    fn double(out: &mut Vec<u8>, at: &Self::Prepared, value: f64);
    /// Text, UTF-8.
    fn text(out: &mut Vec<u8>, at: &Self::Prepared, value: &[u8]);
    /// Bytes.
    fn bytes(out: &mut Vec<u8>, at: &Self::Prepared, value: &[u8]);

    /// A struct begins; its fields follow in order, each once.
    fn begin_struct(out: &mut Vec<u8>, at: &Self::Prepared) -> Mark;
    /// The struct ends.
    fn end_struct(out: &mut Vec<u8>, at: &Self::Prepared, mark: Mark);
    /// An array of so many elements begins.
    fn begin_array(out: &mut Vec<u8>, at: &Self::Prepared, length: usize) -> Mark;
    /// Before the element of that index.
    fn element(out: &mut Vec<u8>, at: &Self::Prepared, index: usize);
    /// The array ends.
    fn end_array(out: &mut Vec<u8>, at: &Self::Prepared, mark: Mark);
    /// A map of so many entries begins; key and value of each follow.
    fn begin_map(out: &mut Vec<u8>, at: &Self::Prepared, length: usize) -> Mark;
    /// Before the entry of that index. Gives what [`Format::end_entry`] gets back.
    fn begin_entry(out: &mut Vec<u8>, at: &Self::Prepared, index: usize) -> Mark;
    /// Between an entry's key and its value.
    fn between_entry(out: &mut Vec<u8>, at: &Self::Prepared);
    /// After the entry.
    fn end_entry(out: &mut Vec<u8>, at: &Self::Prepared, mark: Mark);
    /// The map ends.
    fn end_map(out: &mut Vec<u8>, at: &Self::Prepared, mark: Mark);
}

/// A schema with what a format prepared of it, place by place.
#[derive(Clone, Debug)]
pub struct Node<F: Format> {
    /// The schema of the place.
    pub schema: Arc<Schema>,
    /// What the format prepared.
    pub prepared: F::Prepared,
    /// A struct's fields; an array's element; a map's key and value.
    pub children: Vec<Node<F>>,
}

impl<F: Format> Node<F> {
    /// Prepares a whole schema.
    pub fn root(schema: &Arc<Schema>) -> Node<F> {
        Node::at(Place::Root, schema, None)
    }

    fn at(place: Place<'_>, schema: &Arc<Schema>, parent: Option<&Schema>) -> Node<F> {
        let below = |place, child: &Arc<Schema>| Node::at(place, child, Some(schema));
        let children = match &schema.kind {
            Kind::Struct(fields) => fields
                .iter()
                .enumerate()
                .map(|(index, field)| below(Place::Field(&field.name, index), &field.schema))
                .collect(),
            Kind::Array(element) => vec![below(Place::Element, element)],
            Kind::Map(key, value) => {
                vec![below(Place::MapKey, key), below(Place::MapValue, value)]
            }
            _ => Vec::new(),
        };
        let prepared = F::prepare(place, schema, parent);
        Node { schema: Arc::clone(schema), prepared, children }
    }

    /// Whether the format can write the tree value, see [`Format::takes_null`].
    pub fn takes(&self, value: &Value) -> bool {
        match value {
            Value::Null => F::takes_null(&self.prepared),
            Value::Integer(value) => F::takes_integer(&self.prepared, *value),
            Value::Struct(values) => {
                self.children.iter().zip(values).all(|(node, value)| node.takes(value))
            }
            Value::Array(values) => values.iter().all(|value| self.children[0].takes(value)),
            Value::Map(entries) => entries
                .iter()
                .all(|(key, value)| self.children[0].takes(key) && self.children[1].takes(value)),
            _ => true,
        }
    }

    /// Appends a tree value. For defaults, constant parts and tests.
    pub fn put(&self, out: &mut Vec<u8>, value: &Value) {
        let at = &self.prepared;
        match value {
            Value::Null => F::null(out, at),
            Value::Boolean(value) => F::boolean(out, at, *value),
            Value::Integer(value) => F::integer(out, at, *value),
            Value::Single(value) => F::single(out, at, *value),
            Value::Double(value) => F::double(out, at, *value),
            Value::Text(text) => F::text(out, at, text.as_bytes()),
            Value::Bytes(bytes) => F::bytes(out, at, bytes),
            Value::Struct(values) => {
                let mark = F::begin_struct(out, at);
                for (node, value) in self.children.iter().zip(values) {
                    node.put(out, value);
                }
                F::end_struct(out, at, mark);
            }
            Value::Array(values) => {
                let mark = F::begin_array(out, at, values.len());
                for (index, value) in values.iter().enumerate() {
                    F::element(out, at, index);
                    self.children[0].put(out, value);
                }
                F::end_array(out, at, mark);
            }
            Value::Map(entries) => {
                let mark = F::begin_map(out, at, entries.len());
                for (index, (key, value)) in entries.iter().enumerate() {
                    let entry = F::begin_entry(out, at, index);
                    self.children[0].put(out, key);
                    F::between_entry(out, at);
                    self.children[1].put(out, value);
                    F::end_entry(out, at, entry);
                }
                F::end_map(out, at, mark);
            }
        }
    }
}
