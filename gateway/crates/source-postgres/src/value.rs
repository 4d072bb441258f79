//! Values: from the server's text output to canonical cells, by the column's kind.
//!
//! There is one path. The stream (`pgoutput`) and the snapshot (`COPY`) both hand in the text that
//! the type's output function made under the session settings that the source pins (`DateStyle`,
//! `IntervalStyle`, `TimeZone`, `extra_float_digits`, `bytea_output`, `client_encoding`), so one row
//! has one value, whichever way it came. Kinds without a form of their own stay as that text,
//! byte for byte: numeric with its scale, dates with `infinity` and `BC`, json with its spacing.
//!
//! A text that does not read as its kind, or that is no UTF-8, is an error that names table and
//! column. It never carries the value.

use std::sync::Arc;

use offtake_change::{Batch, Cell, Column, ValueRef};

use crate::array::{ListForm, encode_list, is_bounded};
use crate::copy_text::{CopyField, unescape};

/// A value or row that cannot be decoded. The pipeline halts: nothing is skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A text in the column is no UTF-8, which a database in SQL_ASCII can hold.
    #[error("a text in column {column:?} of table {table} is no valid UTF-8")]
    InvalidText {
        /// The table with its schema.
        table: Box<str>,
        /// The column.
        column: Box<str>,
    },
    /// A text does not read as the column's type.
    #[error("a value in column {column:?} of table {table} does not read as {native}")]
    InvalidValue {
        /// The table with its schema.
        table: Box<str>,
        /// The column.
        column: Box<str>,
        /// The column's type.
        native: Box<str>,
    },
    /// The server sent a binary value though text was asked for.
    #[error("a value in column {column:?} of table {table} came in binary form")]
    Binary {
        /// The table with its schema.
        table: Box<str>,
        /// The column.
        column: Box<str>,
    },
    /// A row has more or fewer values than its table has columns.
    #[error("a row of table {table} has {found} values for {expected} columns")]
    ColumnCount {
        /// The table with its schema.
        table: Box<str>,
        /// Columns of the definition in use.
        expected: usize,
        /// Values of the row.
        found: usize,
    },
}

impl ValueError {
    /// The error's stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ValueError::InvalidText { .. } => "PG_INVALID_TEXT",
            ValueError::InvalidValue { .. } => "PG_INVALID_VALUE",
            ValueError::Binary { .. } => "PG_BINARY_VALUE",
            ValueError::ColumnCount { .. } => "PG_COLUMN_COUNT",
        }
    }

    /// What an operator does about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            ValueError::InvalidText { .. } => {
                "correct the text in the database, or leave the table out (exclude) and start over \
                 with `offtake resync`; nothing after this row was acknowledged"
            }
            ValueError::InvalidValue { .. } => {
                "the type's text output is not what this version of offtake reads: report it with \
                 the server's version and the column's type, or leave the table out (exclude)"
            }
            ValueError::Binary { .. } | ValueError::ColumnCount { .. } => {
                "restart the pipeline, which reads the row again; if it stays, report it with the \
                 server's version"
            }
        }
    }
}

/// How a column's text is read. Derived from its type, see `types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// `t` or `f`.
    Boolean,
    /// int2, int4, int8, oid.
    Integer,
    /// float4.
    Single,
    /// float8.
    Number,
    /// Kept as it is.
    Text,
    /// bytea in hexadecimal output.
    Bytes,
    /// An array.
    List(Box<ListForm>),
}

/// Why a text cannot be read; where, is the caller's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No UTF-8.
    Text,
    /// Not the type's text output.
    Value,
}

/// Reads the values of one column.
#[derive(Clone, Debug)]
pub struct ColumnDecoder {
    table: Arc<str>,
    name: Box<str>,
    native: Box<str>,
    form: ValueForm,
}

impl ColumnDecoder {
    /// The decoder of a table's column; `form` goes with the column's kind.
    pub(crate) fn new(table: &Arc<str>, column: &Column, form: ValueForm) -> ColumnDecoder {
        ColumnDecoder {
            table: Arc::clone(table),
            name: column.name.as_str().into(),
            native: column.native.as_str().into(),
            form,
        }
    }

    #[cold]
    fn error(&self, fault: Fault) -> ValueError {
        let (table, column) = (Box::from(&*self.table), self.name.clone());
        match fault {
            Fault::Text => ValueError::InvalidText { table, column },
            Fault::Value => ValueError::InvalidValue { table, column, native: self.native.clone() },
        }
    }

    /// The error for a value in binary form.
    #[cold]
    pub(crate) fn binary(&self) -> ValueError {
        ValueError::Binary { table: Box::from(&*self.table), column: self.name.clone() }
    }
}

/// Reads one value from its text and stores it in the batch.
///
/// # Errors
/// [`ValueError::InvalidText`] and [`ValueError::InvalidValue`].
#[inline]
pub fn decode_text(
    column: &ColumnDecoder,
    text: &[u8],
    batch: &mut Batch,
) -> Result<Cell, ValueError> {
    let cell = match &column.form {
        ValueForm::Text => check_text(text).map(|()| batch.text(text)),
        ValueForm::Bytes => try_store(|write| batch.bytes_with(write), |out| unhex(text, out)),
        ValueForm::List(_) if is_bounded(text) => check_text(text).map(|()| batch.text(text)),
        ValueForm::List(list) => {
            try_store(|write| batch.list_with(write), |out| encode_list(list, text, out))
        }
        scalar => read_scalar(scalar, text).map(|value| store_scalar(value, batch)),
    };
    cell.map_err(|fault| column.error(fault))
}

/// Reads one field of a `COPY` line: [`decode_text`] after the line's escapes are undone. A text is
/// undone straight into the batch.
///
/// # Errors
/// As [`decode_text`].
#[inline]
pub(crate) fn decode_copy_field(
    column: &ColumnDecoder,
    field: CopyField<'_>,
    batch: &mut Batch,
) -> Result<Cell, ValueError> {
    match field {
        CopyField::Null => Ok(Cell::NULL),
        CopyField::Plain(text) => decode_text(column, text, batch),
        CopyField::Escaped(field) if column.form == ValueForm::Text => {
            let write = |out: &mut Vec<u8>| {
                let start = out.len();
                unescape(field, out);
                check_text(out.get(start..).unwrap_or_default())
            };
            try_store(|write| batch.text_with(write), write).map_err(|fault| column.error(fault))
        }
        CopyField::Escaped(field) => {
            // Arrays whose elements are quoted; nothing else that is common has escapes.
            let mut text = Vec::with_capacity(field.len());
            unescape(field, &mut text);
            decode_text(column, &text, batch)
        }
    }
}

/// Stores what `write` appends, or nothing where it fails.
#[inline]
fn try_store(
    store: impl FnOnce(&mut dyn FnMut(&mut Vec<u8>)) -> Cell,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
) -> Result<Cell, Fault> {
    let mut write = Some(write);
    let mut result = Ok(());
    let cell = store(&mut |out| {
        let start = out.len();
        if let Some(write) = write.take() {
            result = write(out);
        }
        if result.is_err() {
            out.truncate(start);
        }
    });
    result.map(|()| cell)
}

#[inline]
fn store_scalar(value: ValueRef<'_>, batch: &mut Batch) -> Cell {
    match value {
        ValueRef::Boolean(value) => Cell::boolean(value),
        ValueRef::Integer(value) => Cell::integer(value),
        ValueRef::Single(value) => Cell::single(value),
        ValueRef::Number(value) => Cell::number(value),
        ValueRef::Text(text) => batch.text(text),
        // `read_scalar` gives no other.
        _ => Cell::NULL,
    }
}

/// Reads a value whose form is neither bytes nor a list; those need a place to be written to.
#[inline]
pub(crate) fn read_scalar<'t>(form: &ValueForm, text: &'t [u8]) -> Result<ValueRef<'t>, Fault> {
    match form {
        ValueForm::Boolean => match text {
            b"t" => Ok(ValueRef::Boolean(true)),
            b"f" => Ok(ValueRef::Boolean(false)),
            _ => Err(Fault::Value),
        },
        ValueForm::Integer => parse_integer(text).map(ValueRef::Integer).ok_or(Fault::Value),
        ValueForm::Single => parse_float(text).map(ValueRef::Single),
        ValueForm::Number => parse_float(text).map(ValueRef::Number),
        ValueForm::Text => check_text(text).map(|()| ValueRef::Text(text)),
        ValueForm::Bytes | ValueForm::List(_) => Err(Fault::Value),
    }
}

#[inline]
pub(crate) fn check_text(text: &[u8]) -> Result<(), Fault> {
    // The standard library looks at a machine word at a time while the text is ASCII.
    std::str::from_utf8(text).map(|_| ()).map_err(|_| Fault::Text)
}

#[inline]
fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    // Summed below zero, where the range reaches one further.
    let mut value = 0_i64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(digit.into())?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// The server writes floats so that they read back to the same bits (`extra_float_digits` is
/// pinned), and the standard library reads them so, `NaN` and `Infinity` included.
fn parse_float<F: std::str::FromStr>(text: &[u8]) -> Result<F, Fault> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Value)
}

/// Appends the bytes of a bytea's hexadecimal output, `\x` and two digits a byte.
pub(crate) fn unhex(text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let digits = text.strip_prefix(b"\\x").ok_or(Fault::Value)?;
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(Fault::Value) };
    out.reserve(pairs.len());
    let mut invalid = 0;
    for &[high, low] in pairs {
        let (high, low) = (HEX_DIGITS[usize::from(high)], HEX_DIGITS[usize::from(low)]);
        invalid |= high | low;
        out.push(high << 4 | low);
    }
    // No digit has one of the upper bits.
    if invalid > 0x0f { Err(Fault::Value) } else { Ok(()) }
}

/// The value of each byte as a hexadecimal digit; 0xff: none.
const HEX_DIGITS: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use offtake_change::Kind;

    use super::*;

    fn decoder(form: ValueForm) -> ColumnDecoder {
        let column = Column::new("amount", Kind::Text, "a type");
        ColumnDecoder::new(&Arc::from("public.orders"), &column, form)
    }

    fn decode(form: ValueForm, text: &[u8]) -> Result<String, ValueError> {
        let mut batch = Batch::new();
        let cell = decode_text(&decoder(form), text, &mut batch)?;
        Ok(format!("{:?}", batch.value(cell)))
    }

    #[test]
    fn scalars_read_to_their_kind() {
        for (form, text, expected) in [
            (ValueForm::Boolean, "t", "Boolean(true)"),
            (ValueForm::Boolean, "f", "Boolean(false)"),
            (ValueForm::Integer, "0", "Integer(0)"),
            (ValueForm::Integer, "-32768", "Integer(-32768)"),
            (ValueForm::Integer, "4294967295", "Integer(4294967295)"),
            (ValueForm::Integer, "9223372036854775807", "Integer(9223372036854775807)"),
            (ValueForm::Integer, "-9223372036854775808", "Integer(-9223372036854775808)"),
            (ValueForm::Single, "0.1", "Single(0.1)"),
            (ValueForm::Single, "3.4028235e+38", "Single(3.4028235e38)"),
            (ValueForm::Single, "NaN", "Single(NaN)"),
            (ValueForm::Number, "-Infinity", "Number(-inf)"),
            (ValueForm::Number, "Infinity", "Number(inf)"),
            (ValueForm::Number, "-0", "Number(-0.0)"),
            (ValueForm::Number, "5e-324", "Number(5e-324)"),
            (ValueForm::Number, "1e+20", "Number(1e20)"),
            (ValueForm::Bytes, "\\x", "Bytes([])"),
            (ValueForm::Bytes, "\\x00fFA0", "Bytes([0, 255, 160])"),
            (ValueForm::Text, "", "Text([])"),
        ] {
            assert_eq!(decode(form, text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn texts_stay_byte_for_byte() {
        let mut batch = Batch::new();
        for text in [
            "NaN",
            "-Infinity",
            "0.100",
            "123456789012345678901234567890.5",
            "infinity",
            "0044-03-15 BC",
            "4713-01-01 00:00:00+00 BC",
            "294276-12-31 23:59:59.999999",
            "1 year 2 mons -3 days +04:05:06.7",
            "{\"a\" :  1}",
            "(1,\"x y\")",
            "[1,5)",
            "äöü\u{1f600}",
        ] {
            let cell = decode_text(&decoder(ValueForm::Text), text.as_bytes(), &mut batch).unwrap();
            assert_eq!(batch.value(cell), ValueRef::Text(text.as_bytes()));
        }
    }

    #[test]
    fn texts_that_do_not_read_name_place_and_type_but_not_the_value() {
        for (form, text) in [
            (ValueForm::Boolean, &b"true"[..]),
            (ValueForm::Integer, b""),
            (ValueForm::Integer, b"-"),
            (ValueForm::Integer, b"+1"),
            (ValueForm::Integer, b"9223372036854775808"),
            (ValueForm::Integer, b"-9223372036854775809"),
            (ValueForm::Integer, b"77-secret"),
            (ValueForm::Single, b""),
            (ValueForm::Number, b"\xff"),
            (ValueForm::Bytes, b"abc"),
            (ValueForm::Bytes, b"\\x0"),
            (ValueForm::Bytes, b"\\x0g"),
        ] {
            let error = decode(form, text).unwrap_err();
            assert_eq!(error.code(), "PG_INVALID_VALUE", "{}", text.escape_ascii());
            assert_eq!(
                error.to_string(),
                "a value in column \"amount\" of table public.orders does not read as a type"
            );
            assert!(!format!("{error:?}").contains("secret"));
        }
        let error = decode(ValueForm::Text, b"secret\xff").unwrap_err();
        assert_eq!(error.code(), "PG_INVALID_TEXT");
        assert_eq!(
            error.to_string(),
            "a text in column \"amount\" of table public.orders is no valid UTF-8"
        );
        assert!(!error.next_step().is_empty());
    }

    #[test]
    fn a_copy_field_that_is_no_text_after_its_escapes_leaves_nothing_behind() {
        let mut batch = Batch::new();
        let before = batch.size_bytes();
        let field = CopyField::Escaped(b"a\\377");
        let error = decode_copy_field(&decoder(ValueForm::Text), field, &mut batch).unwrap_err();
        assert_eq!(error.code(), "PG_INVALID_TEXT");
        assert_eq!(batch.size_bytes(), before);
    }
}
