//! `COPY … TO STDOUT` in text format: one line a row, fields between tabs, `\N` for NULL and
//! backslash escapes (PostgreSQL documentation, COPY, "Text Format"). A field is handed out without
//! its escapes where it has none, which is nearly always; what a field means is `value`'s.

/// One field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyField<'a> {
    /// `\N`: SQL NULL.
    Null,
    /// The type's text output as it is.
    Plain(&'a [u8]),
    /// The type's text output with escapes in it, see [`unescape`].
    Escaped(&'a [u8]),
}

/// Hands out the fields of a line in order; a line has at least one.
#[derive(Clone, Debug)]
pub(crate) struct CopyFields<'a> {
    /// What follows the last field; `None` after the last one.
    rest: Option<&'a [u8]>,
}

impl<'a> CopyFields<'a> {
    /// The fields of a line, with or without its newline.
    pub(crate) fn new(line: &'a [u8]) -> CopyFields<'a> {
        CopyFields { rest: Some(line.strip_suffix(b"\n").unwrap_or(line)) }
    }
}

impl<'a> Iterator for CopyFields<'a> {
    type Item = CopyField<'a>;

    #[inline]
    fn next(&mut self) -> Option<CopyField<'a>> {
        let line = self.rest?;
        let mut escapes = 0_usize;
        let mut at = 0;
        loop {
            let Some(found) = line
                .get(at..)
                .and_then(|rest| rest.iter().position(|&byte| byte == b'\t' || byte == b'\\'))
            else {
                self.rest = None;
                return Some(classify(line, escapes));
            };
            at += found;
            if line.get(at) == Some(&b'\t') {
                let (field, rest) = line.split_at_checked(at)?;
                self.rest = rest.get(1..);
                return Some(classify(field, escapes));
            }
            // A backslash takes the next byte with it, so an escaped tab does not end the field.
            escapes += 1;
            at += 2;
        }
    }
}

#[inline]
fn classify(field: &[u8], escapes: usize) -> CopyField<'_> {
    match (escapes, field) {
        (0, _) => CopyField::Plain(field),
        (1, b"\\N") => CopyField::Null,
        // The one backslash of a bytea's `\x`, doubled: the rest needs no copy.
        (1, [b'\\', rest @ ..]) if rest.first() == Some(&b'\\') => CopyField::Plain(rest),
        _ => CopyField::Escaped(field),
    }
}

/// Appends a field without its escapes.
pub(crate) fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, taken) = unescape_one(escape);
        out.push(byte);
        rest = escape.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The byte that an escape stands for, and the escape's length. A backslash at the very end stands
/// for itself, as the server reads it.
fn unescape_one(escape: &[u8]) -> (u8, usize) {
    let digits = |radix: u32, from: usize, most: usize| {
        escape
            .iter()
            .skip(from)
            .take(most)
            .map_while(|&byte| char::from(byte).to_digit(radix))
            .fold((0_u32, 0_usize), |(value, count), digit| (value * radix + digit, count + 1))
    };
    match escape.get(1) {
        None => (b'\\', 1),
        Some(b'b') => (0x08, 2),
        Some(b'f') => (0x0c, 2),
        Some(b'n') => (b'\n', 2),
        Some(b'r') => (b'\r', 2),
        Some(b't') => (b'\t', 2),
        Some(b'v') => (0x0b, 2),
        Some(b'0'..=b'7') => {
            let (value, count) = digits(8, 1, 3);
            // The server keeps the low byte of \400 to \777.
            ((value & 0xff) as u8, 1 + count)
        }
        Some(b'x') => match digits(16, 2, 2) {
            (_, 0) => (b'x', 2),
            (value, count) => (value as u8, 2 + count),
        },
        Some(&other) => (other, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &[u8]) -> Vec<Option<Vec<u8>>> {
        CopyFields::new(line)
            .map(|field| match field {
                CopyField::Null => None,
                CopyField::Plain(text) => Some(text.to_vec()),
                CopyField::Escaped(field) => {
                    let mut text = Vec::new();
                    unescape(field, &mut text);
                    Some(text)
                }
            })
            .collect()
    }

    #[test]
    fn fields_nulls_and_empty_texts_are_told_apart() {
        let found = fields(b"1\t\\N\t\tx\n");
        assert_eq!(found, [Some(b"1".to_vec()), None, Some(Vec::new()), Some(b"x".to_vec())]);
        assert_eq!(fields(b""), [Some(Vec::new())]);
        assert_eq!(fields(b"\t"), [Some(Vec::new()), Some(Vec::new())]);
        assert_eq!(fields(b"\\\\N"), [Some(b"\\N".to_vec())], "the text \\N is no NULL");
    }

    #[test]
    fn every_escape_of_the_documentation_is_read() {
        for (escaped, text) in [
            (&br"a\bb\fc\nd\re\tf\vg"[..], &b"a\x08b\x0cc\nd\re\tf\x0bg"[..]),
            (br"\\", b"\\"),
            (br"a\\tb", b"a\\tb"),
            (br"\101\7\60x", b"A\x070x"),
            (br"\x41\x4\xg", b"A\x04xg"),
            (br"\q\.", b"q."),
            (br"end\", b"end\\"),
            (b"a\\\tb", b"a\tb"),
            (b"a\\\nb", b"a\nb"),
        ] {
            assert_eq!(fields(escaped), [Some(text.to_vec())], "{}", escaped.escape_ascii());
        }
    }

    #[test]
    fn the_leading_backslash_of_a_bytea_needs_no_copy() {
        let found: Vec<_> = CopyFields::new(b"\\\\x00ff\t\\\\x\ta").collect();
        let plain = [&b"\\x00ff"[..], b"\\x", b"a"].map(CopyField::Plain);
        assert_eq!(found, plain);
    }

    #[test]
    fn a_line_that_ends_in_a_backslash_ends_there() {
        assert_eq!(fields(b"a\tb\\"), [Some(b"a".to_vec()), Some(b"b\\".to_vec())]);
    }
}
