//! Conditions: equality with a literal, and NULL tests, in three-valued logic.
//!
//! A condition on a row is true, false or not known. Not known is a column that the image lacks, or
//! a large value that the update left alone where no before image has it.

use offtake_sdk::{Column, ColumnInfo, Failure, Field, Fields, Image, Json, Kind, Schema, Value};

/// One condition.
#[derive(Debug)]
pub(crate) struct Condition {
    column: String,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    Null(bool),
    Boolean(bool),
    Text(String),
    /// The number as each kind of column has it, where that kind can.
    Number {
        signed: Option<i64>,
        unsigned: Option<u64>,
        float: f64,
    },
}

impl Condition {
    /// Reads `{ "column": …, "equals": … }` or `{ "column": …, "is_null": … }`.
    pub(crate) fn read(mut fields: Fields) -> Result<Condition, Failure> {
        let column = fields.required_text("column")?;
        let test = match (fields.take("equals"), fields.boolean("is_null")?) {
            (None, Some(null)) => Test::Null(null),
            (Some(Json::Boolean(value)), None) => Test::Boolean(value),
            (Some(Json::Text(value)), None) => Test::Text(value),
            (Some(Json::Number(text)), None) => Test::Number {
                signed: text.parse().ok(),
                unsigned: text.parse().ok(),
                float: text.parse().unwrap_or(f64::NAN),
            },
            (Some(_), None) => {
                let reason = "must be a string, a number or a boolean (for NULL use is_null)";
                return Err(fields.refuse("equals", reason));
            }
            _ => return Err(fields.refuse("equals", "or `is_null` must be given, and not both")),
        };
        fields.finish()?;
        Ok(Condition { column, test })
    }

    pub(crate) fn column(&self) -> &str {
        &self.column
    }

    /// Refuses a table whose column can never equal the literal because of its type.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), Failure> {
        let Some((_, column)) = schema.column(&self.column) else { return Ok(()) };
        match self.misfit(column) {
            None => Ok(()),
            Some(reason) => Err(schema.refuse(column, reason)),
        }
    }

    fn misfit(&self, column: &ColumnInfo) -> Option<&'static str> {
        let fits = match (&self.test, column.kind) {
            (Test::Null(_), _) | (Test::Boolean(_), Kind::Boolean) => true,
            (Test::Text(_), Kind::Text) => !column.logical.starts_with("list<"),
            (Test::Number { signed, .. }, Kind::Int64) => signed.is_some(),
            (Test::Number { unsigned, .. }, Kind::Uint64) => unsigned.is_some(),
            (Test::Number { float, .. }, Kind::Float64) => {
                // As the 32-bit column would hold it: 0.1 is another number there.
                column.native != "float4" || f64::from(*float as f32) == *float
            }
            _ => false,
        };
        if fits {
            return None;
        }
        Some(match (&self.test, column.kind) {
            (Test::Number { .. }, Kind::Text) => "write the number in quotes, as its text",
            _ => "filter cannot compare it with the value of `equals`",
        })
    }

    /// Whether the condition holds; `None`: not known.
    fn test(&self, field: Field<Value<'_>>) -> Option<bool> {
        let value = match field {
            Field::Absent | Field::Unchanged => return None,
            Field::Null => return Some(self.test == Test::Null(true)),
            Field::Value(value) => value,
        };
        Some(match (&self.test, value) {
            (Test::Null(null), _) => !null,
            (Test::Boolean(expected), Value::Boolean(value)) => *expected == value,
            (Test::Text(expected), Value::Text(value)) => expected == value,
            (Test::Number { signed, .. }, Value::Integer(value)) => *signed == Some(value),
            (Test::Number { unsigned, .. }, Value::Unsigned(value)) => *unsigned == Some(value),
            (Test::Number { float, .. }, Value::Float(value)) => *float == value,
            _ => return None,
        })
    }
}

/// A condition with its column of both images; none where the table has no such column.
pub(crate) struct TestedColumn<'b> {
    pub(crate) condition: &'b Condition,
    pub(crate) before: Option<Column<'b>>,
    pub(crate) after: Option<Column<'b>>,
}

impl TestedColumn<'_> {
    /// Whether the condition holds of an image; `None`: not known.
    pub(crate) fn test(&self, image: Image, row: u32) -> Option<bool> {
        let before = || self.before.map_or(Field::Absent, |column| column.field(row));
        let value = match image {
            Image::Before => before(),
            Image::After => match self.after.map_or(Field::Absent, |column| column.field(row)) {
                // The value before.
                Field::Unchanged => before(),
                other => other,
            },
        };
        self.condition.test(value)
    }
}

/// How conditions combine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Match {
    All,
    Any,
}

impl Match {
    /// `all` is false with one false, `any` true with one true; else one unknown leaves it unknown.
    pub(crate) fn combine(self, met: impl Iterator<Item = Option<bool>>) -> Option<bool> {
        let decisive = self == Match::Any;
        let mut unknown = false;
        for met in met {
            match met {
                Some(met) if met == decisive => return Some(decisive),
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(!decisive) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(test: Test) -> Condition {
        Condition { column: "c".to_owned(), test }
    }

    fn number(text: &str) -> Test {
        Test::Number {
            signed: text.parse().ok(),
            unsigned: text.parse().ok(),
            float: text.parse().unwrap(),
        }
    }

    #[test]
    fn equality_holds_for_equal_values_of_the_column_kind() {
        let holds = |test, value| condition(test).test(Field::Value(value));
        assert_eq!(holds(Test::Text("a".to_owned()), Value::Text("a")), Some(true));
        assert_eq!(holds(Test::Text("a".to_owned()), Value::Text("")), Some(false));
        assert_eq!(holds(Test::Boolean(true), Value::Boolean(true)), Some(true));
        assert_eq!(holds(number("-3"), Value::Integer(-3)), Some(true));
        assert_eq!(holds(number("3"), Value::Integer(4)), Some(false));
        let most = u64::MAX.to_string();
        assert_eq!(holds(number(&most), Value::Unsigned(u64::MAX)), Some(true));
        assert_eq!(holds(number("2.5"), Value::Float(2.5)), Some(true));
    }

    #[test]
    fn null_is_equal_to_nothing_and_met_by_a_null_test_only() {
        assert_eq!(condition(Test::Null(true)).test(Field::Null), Some(true));
        assert_eq!(condition(Test::Null(false)).test(Field::Null), Some(false));
        assert_eq!(condition(Test::Boolean(false)).test(Field::Null), Some(false));
        let value = Field::Value(Value::Text(""));
        assert_eq!(condition(Test::Null(true)).test(value), Some(false));
        assert_eq!(condition(Test::Null(false)).test(value), Some(true));
    }

    #[test]
    fn absent_and_unchanged_are_not_known() {
        assert_eq!(condition(Test::Null(true)).test(Field::Absent), None);
        assert_eq!(condition(Test::Boolean(true)).test(Field::Unchanged), None);
    }

    #[test]
    fn unknown_conditions_are_decided_by_the_others_only() {
        let all = |met: &[Option<bool>]| Match::All.combine(met.iter().copied());
        let any = |met: &[Option<bool>]| Match::Any.combine(met.iter().copied());
        assert_eq!(all(&[Some(true), Some(true)]), Some(true));
        assert_eq!(all(&[Some(true), None]), None);
        assert_eq!(all(&[None, Some(false)]), Some(false));
        assert_eq!(any(&[None, Some(true)]), Some(true));
        assert_eq!(any(&[Some(false), None]), None);
        assert_eq!(any(&[Some(false), Some(false)]), Some(false));
    }
}
