//! JSON documents and key-value stores within a row, written as what they are instead of as text.
//!
//! A document is copied, not parsed into a tree; it is checked first, for a plugin may have set
//! the column's value, and one wrong byte would spoil the whole message.

use crate::json;

/// Deeper documents stay text: readers of JSON have limits of their own (Jackson's is 1,000).
const MAX_DEPTH: u32 = 512;

/// Appends a document as it is; `false`, and nothing written, where it is no JSON.
pub(super) fn put_json(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let valid = is_json(text);
    if valid {
        out.extend_from_slice(text);
    }
    valid
}

/// Appends an `hstore` as an object: `"a"=>"1", "b"=>NULL` as `{"a":"1","b":null}`. `false`, and
/// nothing written, where the text is none.
pub(super) fn put_pairs(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let begin = out.len();
    let written = pairs(out, text).is_some();
    if !written {
        out.truncate(begin);
    }
    written
}

fn pairs(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let mut rest = text;
    out.push(b'{');
    while !rest.is_empty() {
        if rest.len() < text.len() {
            out.push(b',');
            rest = rest.strip_prefix(b", ")?;
        }
        rest = put_quoted(out, rest)?.strip_prefix(b"=>")?;
        out.push(b':');
        rest = match rest.strip_prefix(b"NULL") {
            Some(rest) => {
                out.extend_from_slice(b"null");
                rest
            }
            None => put_quoted(out, rest)?,
        };
    }
    out.push(b'}');
    Some(())
}

/// Copies a quoted text, with hstore's escapes taken off and JSON's put on.
fn put_quoted<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    out.push(b'"');
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (plain, special) = rest.split_at(at);
        json::put_escaped(out, plain);
        match special {
            [b'"', after @ ..] => {
                out.push(b'"');
                return Some(after);
            }
            [b'\\', escaped, after @ ..] => {
                json::put_escaped(out, std::slice::from_ref(escaped));
                rest = after;
            }
            _ => return None,
        }
    }
}

/// Whether a text is one JSON value (RFC 8259) of a depth that readers can take.
fn is_json(text: &[u8]) -> bool {
    let mut check = Check { rest: text, open: [0; (MAX_DEPTH / 64) as usize], depth: 0 };
    check.document().is_some() && check.rest.is_empty()
}

/// Reads a document from the left. What is open is one bit each: an object, or an array.
struct Check<'a> {
    rest: &'a [u8],
    open: [u64; (MAX_DEPTH / 64) as usize],
    depth: u32,
}

impl Check<'_> {
    fn document(&mut self) -> Option<()> {
        loop {
            // A value begins.
            self.space();
            match self.next()? {
                b'{' => {
                    self.push(true)?;
                    self.space();
                    if self.eat(b'}').is_none() {
                        self.name()?;
                        continue;
                    }
                    self.depth -= 1;
                }
                b'[' => {
                    self.push(false)?;
                    self.space();
                    if self.eat(b']').is_none() {
                        continue;
                    }
                    self.depth -= 1;
                }
                first => self.scalar(first)?,
            }
            if self.close()? {
                return Some(());
            }
        }
    }

    /// What follows a value: the ends of what is open, then a comma. `true`: the document's end.
    fn close(&mut self) -> Option<bool> {
        loop {
            self.space();
            let Some(top) = self.depth.checked_sub(1) else { return Some(true) };
            let object = self.open[(top / 64) as usize] >> (top % 64) & 1 == 1;
            match self.next()? {
                b',' if object => {
                    self.space();
                    self.name()?;
                    return Some(false);
                }
                b',' => return Some(false),
                b'}' if object => self.depth = top,
                b']' if !object => self.depth = top,
                _ => return None,
            }
        }
    }

    fn push(&mut self, object: bool) -> Option<()> {
        let word = self.open.get_mut((self.depth / 64) as usize)?;
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    /// A member's name and the colon.
    fn name(&mut self) -> Option<()> {
        self.eat(b'"')?;
        self.string()?;
        self.space();
        self.eat(b':')
    }

    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            b'-' => {
                let first = self.next()?;
                self.number(first)
            }
            first => self.number(first),
        }
    }

    /// After the first quote.
    fn string(&mut self) -> Option<()> {
        loop {
            let special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            let at = self.rest.iter().position(special)?;
            self.rest = self.rest.get(at..)?;
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let (digits, rest) = self.rest.split_at_checked(4)?;
                        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                        self.rest = rest;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => {
                self.digits();
            }
            _ => return None,
        }
        if self.eat(b'.').is_some() {
            (self.digits() > 0).then_some(())?;
        }
        if self.eat(b'e').or_else(|| self.eat(b'E')).is_some() {
            let _sign = self.eat(b'+').or_else(|| self.eat(b'-'));
            (self.digits() > 0).then_some(())?;
        }
        Some(())
    }

    fn digits(&mut self) -> usize {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..).unwrap_or_default();
        count
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(rest)?;
        Some(())
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[wanted])?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_value_store_is_an_object() {
        let written = |text: &str| {
            let mut out = Vec::new();
            let done = put_pairs(&mut out, text.as_bytes());
            assert!(done || out.is_empty());
            done.then(|| String::from_utf8(out).unwrap())
        };
        assert_eq!(written("").as_deref(), Some("{}"));
        assert_eq!(
            written(r#""key4"=>"val4", "key5"=>NULL"#).as_deref(),
            Some(r#"{"key4":"val4","key5":null}"#)
        );
        assert_eq!(
            written(r#""a\"b\\c"=>"1 => \"2\"""#).as_deref(),
            Some(r#"{"a\"b\\c":"1 => \"2\""}"#)
        );
        for text in ["\"a\"", "a=>b", "\"a\"=>\"b", "\"a\"=>\"b\"x", "\"a\"=>\"b\\"] {
            assert_eq!(written(text), None, "{text}");
        }
    }

    #[test]
    fn a_document_that_is_too_deep_stays_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(nested(512).as_bytes()));
        assert!(!is_json(nested(513).as_bytes()));
    }

    #[test]
    fn what_is_no_document_is_recognised() {
        for text in ["", " ", "[1,]", "{\"a\":}", "{,}", "01", "1.", "-", "1e", "\"\n\"", "[", "]"]
        {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        for text in ["{}", " [ ] ", "{\"a\" : [1, {\"b\":null}] }", "-0.5E+3", "\"\\u00e9\\n\""] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_check_agrees_with_serde_json(text in "[\\[\\]{}:,\"\\\\0-9eE.+\\-truefalsnu a]{0,24}") {
            let expected = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers past a double's range and half surrogates are grammar all the same.
            if let Err(error) = &expected {
                let message = error.to_string();
                prop_assume!(!message.contains("out of range") && !message.contains("surrogate"));
            }
            prop_assert_eq!(is_json(text.as_bytes()), expected.is_ok(), "{}", text);
        }
    }
}
