//! Arrays whose lower bounds are not 1, `[0:1]={7,8}`: the log keeps their text. The peer drops the
//! bounds, so they are read here. Rare, so elements are copied out first.

use offtake_change::ValueRef;

use super::convert::Encoding;
use super::value::{Fault, Scratch, put_value};
use crate::connect::{Format, Kind, Node};

/// Appends the elements of an array's text; those of more than one dimension do not fit.
pub(super) fn put_bounded<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    text: &[u8],
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let (elements, element) = elements(text).zip(node.children.first()).ok_or(Fault::Unfit)?;
    let mark = F::begin_array(out, &node.prepared, elements.len());
    for (index, text) in elements.iter().enumerate() {
        F::element(out, &node.prepared, index);
        let bytes;
        let value = match text {
            None if F::takes_null(&element.prepared) => ValueRef::Null,
            None => return Err(Fault::Unfit),
            Some(text) => match (&element.schema.kind, encoding) {
                (_, Encoding::Bytes(_)) => {
                    bytes = unhex(text).ok_or(Fault::Unfit)?;
                    ValueRef::Bytes(&bytes)
                }
                (kind, Encoding::Scalar) => scalar(kind, text).ok_or(Fault::Unfit)?,
                _ => ValueRef::Text(text),
            },
        };
        put_value(out, element, encoding, &value, scratch)?;
    }
    F::end_array(out, &node.prepared, mark);
    Ok(())
}

/// The elements of a one-dimensional array with bounds; `None` for NULL.
fn elements(text: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let at = text.iter().position(|&byte| byte == b'=')?;
    let bounds = text.get(..at)?;
    if !bounds.starts_with(b"[") || !bounds.ends_with(b"]") {
        return None;
    }
    let mut rest = text.get(at + 1..)?.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let (element, after) = unquote(quoted)?;
                (Some(element), after)
            }
            None => {
                let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
                let (element, after) = rest.split_at(end);
                // A brace begins a further dimension.
                if element.first()? == &b'{' {
                    return None;
                }
                let is_null = element.eq_ignore_ascii_case(b"NULL");
                ((!is_null).then(|| element.to_vec()), after)
            }
        };
        elements.push(element);
        rest = match after {
            [] => after,
            [b',', next @ ..] if !next.is_empty() => next,
            _ => return None,
        };
    }
    Some(elements)
}

fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut element = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((element, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                element.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn scalar(kind: &Kind, text: &[u8]) -> Option<ValueRef<'static>> {
    let text = std::str::from_utf8(text).ok()?;
    Some(match kind {
        Kind::Boolean => ValueRef::Boolean(text == "t"),
        Kind::Float32 => ValueRef::Single(text.parse().ok()?),
        Kind::Float64 => ValueRef::Number(text.parse().ok()?),
        _ => ValueRef::Integer(text.parse().ok()?),
    })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.strip_prefix(b"\\x")?.as_chunks::<2>() else { return None };
    let byte = |&[high, low]: &[u8; 2]| Some((digit(high)? << 4 | digit(low)?) as u8);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_dropped_and_elements_read() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(elements(b"[0:1]={5,6}"), Some(vec![some("5"), some("6")]));
        assert_eq!(elements(b"[-1:0]={\"a,\\\"b\",NULL}"), Some(vec![some("a,\"b"), None]));
        assert_eq!(elements(b"[2:2]={\"NULL\"}"), Some(vec![some("NULL")]));
        for text in
            ["{5,6}", "[0:1]{5}", "[0:0][1:1]={{5}}", "[0:1]={5,", "[0:1]={\"a}", "[0:1]={,}"]
        {
            assert_eq!(elements(text.as_bytes()), None, "{text}");
        }
    }
}
