//! Columns and values as they are written down: a logical type by its name, a value by its canonical
//! text. The forms are those in which plugins see them, so that what is written beside a plugin, in a
//! fixture for example, is read as the host reads what the plugin says.

use offtake_change::{Batch, Cell, Column, Kind, ListRef, ValueRef};

use crate::column::checked_cell;
use crate::fits::Rule;
use crate::{defined, list_text};

/// A nullable column of a logical type: `int8`, `decimal(12,2)`, `list<text>`. A type that is not
/// known travels as text.
///
/// # Errors
/// What is wrong with the name or the type.
pub fn column_of_type(name: &str, logical: &str) -> Result<Column, String> {
    defined::check_name(name)?;
    Ok(Column { name: name.to_owned(), ..defined::of_type(logical, defined::LIST_DEPTH)? })
}

/// Stores a value that is given as its canonical text; bytes have none.
///
/// # Errors
/// Why the column cannot hold it, as the end of a sentence about the value.
pub fn cell_of_text(batch: &mut Batch, column: &Column, text: &str) -> Result<Cell, String> {
    let wrong = || format!("is no value of the type {}", column.logical);
    let value = match column.kind {
        Kind::Boolean => match text {
            "true" | "t" => ValueRef::Boolean(true),
            "false" | "f" => ValueRef::Boolean(false),
            _ => return Err(wrong()),
        },
        Kind::Integer => ValueRef::Integer(text.parse().map_err(|_| wrong())?),
        Kind::Unsigned => ValueRef::Unsigned(text.parse().map_err(|_| wrong())?),
        // Read as what it is, for to read it as the wider type would round it twice.
        Kind::Single => ValueRef::Single(text.parse().map_err(|_| wrong())?),
        Kind::Number => ValueRef::Number(text.parse().map_err(|_| wrong())?),
        Kind::Text | Kind::List => ValueRef::Text(text.as_bytes()),
        Kind::Bytes => return Err("is text, where bytes are needed".to_owned()),
    };
    checked_cell(batch, column, Rule::of(column), value).map_err(|_| wrong())
}

/// Appends a list as text: `{1,NULL,"a b"}`.
///
/// # Errors
/// The list cannot be read, or nests too deeply.
pub fn put_list_text(list: ListRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    list_text::write(list, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_stored_by_its_text_or_refused_by_its_type() {
        let mut batch = Batch::new();
        for (logical, text, expected) in [
            ("int4", "-7", Some(ValueRef::Integer(-7))),
            ("int4", "2147483648", None),
            ("uint8", "18446744073709551615", Some(ValueRef::Unsigned(u64::MAX))),
            ("float4", "0.1", Some(ValueRef::Single(0.1))),
            ("float8", "-Infinity", Some(ValueRef::Number(f64::NEG_INFINITY))),
            ("bool", "t", Some(ValueRef::Boolean(true))),
            ("bool", "yes", None),
            ("decimal(12,2)", "12.50", Some(ValueRef::Text(b"12.50"))),
            ("decimal(12,2)", "12,50", None),
            ("bytes", "x", None),
            ("list<int4>", "{1,x}", None),
        ] {
            let column = column_of_type("c", logical).unwrap();
            let cell = cell_of_text(&mut batch, &column, text);
            assert_eq!(cell.ok().map(|cell| batch.value(cell)), expected, "{logical} {text}");
        }
    }

    #[test]
    fn a_list_comes_back_as_the_text_that_it_was_stored_by() {
        let mut batch = Batch::new();
        let column = column_of_type("c", "list<text>").unwrap();
        let cell = cell_of_text(&mut batch, &column, "{a,NULL,\"b c\"}").unwrap();
        let ValueRef::List(list) = batch.value(cell) else { panic!("no list") };
        let mut text = Vec::new();
        put_list_text(list, &mut text).unwrap();
        assert_eq!(text, b"{a,NULL,\"b c\"}");
    }
}
