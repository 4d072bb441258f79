//! Lists as text, in the grammar of PostgreSQL's array literals: `{1,NULL,"a b",{2}}`.
//!
//! The contract has no list type, for few languages' bindings carry nested values well. Elements
//! take the form that they have as columns; bytes are `\x` and hexadecimal digits.

use std::io::Write;

use offtake_change::wire::encode_value_into_list;
use offtake_change::{Column, Kind, ListRef, ValueRef};

/// Deepest nesting. PostgreSQL itself has six dimensions.
const DEPTH: usize = 16;

/// Appends a list's text.
pub(crate) fn write(list: ListRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    write_nested(list, out, DEPTH)
}

fn write_nested(list: ListRef<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err("a list is nested too deeply".to_owned());
    };
    out.push(b'{');
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match element.map_err(|error| error.to_string())? {
            ValueRef::List(inner) => write_nested(inner, out, depth)?,
            element => write_scalar(element, out),
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_scalar(value: ValueRef<'_>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match value {
        ValueRef::Boolean(value) => out.write_all(if value { b"t" } else { b"f" }),
        ValueRef::Integer(value) => write!(out, "{value}"),
        ValueRef::Unsigned(value) => write!(out, "{value}"),
        ValueRef::Single(value) if value.is_infinite() => write_infinity(value < 0.0, out),
        ValueRef::Number(value) if value.is_infinite() => write_infinity(value < 0.0, out),
        ValueRef::Single(value) => write!(out, "{value:?}"),
        ValueRef::Number(value) => write!(out, "{value:?}"),
        ValueRef::Text(text) => {
            write_quoted(text, out);
            Ok(())
        }
        ValueRef::Bytes(bytes) => {
            out.extend_from_slice(b"\"\\\\x");
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.write_all(b"\"")
        }
        // Nothing else is a list's element.
        _ => out.write_all(b"NULL"),
    };
}

fn write_infinity(negative: bool, out: &mut Vec<u8>) -> std::io::Result<()> {
    out.write_all(if negative { b"-Infinity" } else { b"Infinity" })
}

fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\')
            || byte.is_ascii_whitespace()
            || *byte == 0x0b
    };
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"null") && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Reads a list's text and appends the body of the encoded list. `element` is the list's element as
/// the column declares it.
pub(crate) fn parse(text: &str, element: &Column, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut innermost = element;
    while let (Kind::List, Some(inner)) = (innermost.kind, &innermost.element) {
        innermost = inner;
    }
    let mut reader = Reader { rest: text.as_bytes(), element: innermost, scratch: Vec::new() };
    reader.list(out, DEPTH)?;
    if reader.rest.is_empty() { Ok(()) } else { Err("text follows the list's end") }
}

struct Reader<'a> {
    rest: &'a [u8],
    element: &'a Column,
    scratch: Vec<u8>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn list(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        let depth = depth.checked_sub(1).ok_or("the list is nested too deeply")?;
        if self.next() != Some(b'{') {
            return Err("a list begins with {");
        }
        if self.rest.first() == Some(&b'}') {
            self.next();
            return Ok(());
        }
        loop {
            if self.rest.first() == Some(&b'{') {
                let mut inner = Vec::new();
                self.list(&mut inner, depth)?;
                encode_value_into_list(ValueRef::List(ListRef::from_encoded(&inner)), out);
            } else {
                self.scalar(out)?;
            }
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return Err("the list has no end"),
            }
        }
    }

    fn scalar(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.scratch.clear();
        let quoted = self.rest.first() == Some(&b'"');
        if quoted {
            self.next();
            loop {
                match self.next().ok_or("a quoted element has no end")? {
                    b'"' => break,
                    b'\\' => {
                        let byte = self.next().ok_or("a quoted element has no end")?;
                        self.scratch.push(byte);
                    }
                    byte => self.scratch.push(byte),
                }
            }
        } else {
            while let Some(&byte) = self.rest.first() {
                match byte {
                    b',' | b'}' => break,
                    b'{' | b'"' => return Err("an element needs quotes"),
                    b'\\' => {
                        self.next();
                        let byte = self.next().ok_or("an element has no end")?;
                        self.scratch.push(byte);
                    }
                    _ => {
                        self.scratch.push(byte);
                        self.next();
                    }
                }
            }
            if self.scratch.is_empty() {
                return Err("an element is empty");
            }
            if self.scratch.eq_ignore_ascii_case(b"null") {
                encode_value_into_list(ValueRef::Null, out);
                return Ok(());
            }
        }
        self.element(out)
    }

    /// The element in `scratch`, by the kind that the column declares.
    fn element(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let text = std::str::from_utf8(&self.scratch).map_err(|_| "an element is no UTF-8")?;
        let wrong = "an element does not fit the list's type";
        let mut bytes = Vec::new();
        let value = match self.element.kind {
            Kind::Boolean => match text {
                "t" | "true" => ValueRef::Boolean(true),
                "f" | "false" => ValueRef::Boolean(false),
                _ => return Err(wrong),
            },
            Kind::Integer => ValueRef::Integer(text.parse().map_err(|_| wrong)?),
            Kind::Unsigned => ValueRef::Unsigned(text.parse().map_err(|_| wrong)?),
            Kind::Single => ValueRef::Single(text.parse().map_err(|_| wrong)?),
            Kind::Number => ValueRef::Number(text.parse().map_err(|_| wrong)?),
            Kind::Text => ValueRef::Text(text.as_bytes()),
            Kind::Bytes => {
                decode_hex(text, &mut bytes).ok_or(wrong)?;
                ValueRef::Bytes(&bytes)
            }
            Kind::List => return Err(wrong),
        };
        crate::fits::check(self.element, value)?;
        encode_value_into_list(value, out);
        Ok(())
    }
}

fn decode_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    for pair in digits.chunks_exact(2) {
        out.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: Kind) -> Column {
        Column::new("e", kind, "any")
    }

    fn round(text: &str, kind: Kind) -> Result<String, &'static str> {
        let mut encoded = Vec::new();
        parse(text, &element(kind), &mut encoded)?;
        let mut out = Vec::new();
        write(ListRef::from_encoded(&encoded), &mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_list_reads_back_as_it_is_written() {
        for (text, kind) in [
            ("{}", Kind::Text),
            ("{1,NULL,-3}", Kind::Integer),
            ("{t,f}", Kind::Boolean),
            ("{{1,2},{3,4}}", Kind::Integer),
            (r#"{"a b","",x,"NULL","q\"b\\","{"}"#, Kind::Text),
            (r#"{"\\x00ff"}"#, Kind::Bytes),
            ("{1.5,NaN,-Infinity}", Kind::Number),
        ] {
            assert_eq!(round(text, kind).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_list_of_the_type_is_refused() {
        for (text, kind) in [
            ("", Kind::Text),
            ("{", Kind::Text),
            ("{a", Kind::Text),
            ("{a}}", Kind::Text),
            ("{a,}", Kind::Text),
            ("{\"a", Kind::Text),
            ("{\"a\\", Kind::Text),
            ("{x}", Kind::Integer),
            ("{\\x0}", Kind::Bytes),
            ("***", Kind::Text),
        ] {
            assert!(round(text, kind).is_err(), "{text}");
        }
        assert!(round(&"{".repeat(100_000), Kind::Text).is_err());
    }
}
