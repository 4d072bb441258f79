//! A value that takes the place of every other.

use std::borrow::Cow;

use offtake_sdk::Value;

/// A value of any kind that is kept by whoever has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owned {
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'static, str>),
    Bytes(Vec<u8>),
}

impl Owned {
    /// The value as the SDK takes it.
    pub(crate) fn borrow(&self) -> Value<'_> {
        match self {
            Owned::Boolean(value) => Value::Boolean(*value),
            Owned::Integer(value) => Value::Integer(*value),
            Owned::Unsigned(value) => Value::Unsigned(*value),
            Owned::Float(value) => Value::Float(*value),
            Owned::Text(text) => Value::Text(text),
            Owned::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}
