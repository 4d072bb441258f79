//! A value as canonical text: what is hashed where a value decides something outside its database,
//! such as the partition that it lies on.

use std::io::Write;

use crate::value::ValueRef;

impl ValueRef<'_> {
    /// Appends the value as text: numbers in decimal (floats in the shortest form that reads back,
    /// `NaN`, `inf`), `true` or `false`, text and bytes as they are, a list as it is encoded.
    /// NULL and what is not known are nothing at all.
    pub fn put_text(&self, out: &mut Vec<u8>) {
        // Writing into a vector cannot fail.
        let _ = match self {
            ValueRef::Null | ValueRef::Unchanged | ValueRef::Absent => Ok(()),
            ValueRef::Boolean(value) => write!(out, "{value}"),
            ValueRef::Integer(value) => write!(out, "{value}"),
            ValueRef::Unsigned(value) => write!(out, "{value}"),
            ValueRef::Single(value) => write!(out, "{value}"),
            ValueRef::Number(value) => write!(out, "{value}"),
            ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => out.write_all(bytes),
            ValueRef::List(list) => out.write_all(list.encoded()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_text() {
        let text = |value: ValueRef<'_>| {
            let mut out = b">".to_vec();
            value.put_text(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(ValueRef::Null), ">");
        assert_eq!(text(ValueRef::Boolean(true)), ">true");
        assert_eq!(text(ValueRef::Integer(i64::MIN)), ">-9223372036854775808");
        assert_eq!(text(ValueRef::Unsigned(u64::MAX)), ">18446744073709551615");
        assert_eq!(text(ValueRef::Single(0.1)), ">0.1");
        assert_eq!(text(ValueRef::Number(f64::NAN)), ">NaN");
        assert_eq!(text(ValueRef::Number(2.0)), ">2");
        assert_eq!(text(ValueRef::Text("ä".as_bytes())), ">ä");
    }
}
