//! The member of a JSON object, as PostgreSQL's `->>` gives it, without a tree and without depth.
//!
//! The text is what a database accepted as JSON; it is scanned, not checked. Of names given twice
//! the last counts. Where the text turns out not to be an object, or not to be JSON, there is no
//! member or none that is known, and nothing panics.

use std::ops::Range;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Member {
    /// Where the text of a number, a boolean, an object or an array stands.
    Raw(Range<usize>),
    /// Where a string stands without its quotes, escapes included.
    Quoted(Range<usize>),
    /// `null`, or no such member, or no object.
    None,
    /// No JSON.
    Damaged,
}

/// Finds a member of the outermost object.
pub(crate) fn member(json: &str, name: &str) -> Member {
    let mut reader = Reader { text: json, at: 0 };
    reader.skip_space();
    if reader.peek() != Some(b'{') {
        return Member::None;
    }
    reader.at += 1;
    reader.skip_space();
    if reader.peek() == Some(b'}') {
        return Member::None;
    }
    reader.members(name).unwrap_or(Member::Damaged)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn members(&mut self, name: &str) -> Option<Member> {
        let mut found = Member::None;
        loop {
            self.skip_space();
            let key = self.string()?;
            let key = self.text.get(key)?;
            self.skip_space();
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            self.skip_space();
            let value = self.value()?;
            if Unescaped::new(key).eq(name.chars().map(Some)) {
                found = value;
            }
            self.skip_space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return Some(found),
                _ => return None,
            }
        }
    }

    /// Reads a string and gives where it stands without its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let range = start..self.at;
        self.at += 1;
        Some(range)
    }

    fn value(&mut self) -> Option<Member> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string().map(Member::Quoted),
            b'{' | b'[' => self.skip_nested()?,
            _ => {
                while !matches!(self.peek()?, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
                    self.at += 1;
                }
            }
        }
        Some(match self.text.get(start..self.at)? {
            "" => return None,
            "null" => Member::None,
            _ => Member::Raw(start..self.at),
        })
    }

    /// Skips an object or an array. Brackets of both kinds count alike: the text is JSON.
    fn skip_nested(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }
}

/// The characters of a string's inside; `None`: an escape that is none.
#[derive(Clone, Debug)]
pub(crate) struct Unescaped<'a> {
    rest: std::str::Chars<'a>,
}

impl<'a> Unescaped<'a> {
    pub(crate) fn new(quoted: &'a str) -> Unescaped<'a> {
        Unescaped { rest: quoted.chars() }
    }

    fn code_unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |code, _| Some(code * 16 + self.rest.next()?.to_digit(16)?))
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.rest.next()? {
            character @ ('"' | '\\' | '/') => character,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut code = self.code_unit()?;
                if (0xd800..0xdc00).contains(&code) {
                    if self.rest.next() != Some('\\') || self.rest.next() != Some('u') {
                        return None;
                    }
                    let low = self.code_unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + low;
                }
                char::from_u32(code)?
            }
            _ => return None,
        })
    }
}

impl Iterator for Unescaped<'_> {
    type Item = Option<char>;

    fn next(&mut self) -> Option<Option<char>> {
        match self.rest.next()? {
            '\\' => Some(self.escape()),
            character => Some(Some(character)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str, name: &str) -> Option<String> {
        match member(json, name) {
            Member::Raw(range) => Some(json[range].to_owned()),
            Member::Quoted(range) => Unescaped::new(&json[range]).collect(),
            Member::None => None,
            Member::Damaged => panic!("{json} was taken for damaged"),
        }
    }

    #[test]
    fn members_of_every_kind_are_found() {
        let json = r#" { "a" : 1.50, "b":"x\n\"y\u00e9\ud83d\ude00", "c" :{"a":[2,"]}"]} , "d":[{"a":3}],
            "e":true,"f":null,"\u0067":"g" } "#;
        assert_eq!(text(json, "a").as_deref(), Some("1.50"));
        assert_eq!(text(json, "b").as_deref(), Some("x\n\"yé😀"));
        assert_eq!(text(json, "c").as_deref(), Some(r#"{"a":[2,"]}"]}"#));
        assert_eq!(text(json, "d").as_deref(), Some(r#"[{"a":3}]"#));
        assert_eq!(text(json, "e").as_deref(), Some("true"));
        assert_eq!(text(json, "f"), None);
        assert_eq!(text(json, "g").as_deref(), Some("g"));
        assert_eq!(text(json, "h"), None);
        assert_eq!(text(r#"{"a":1,"a":2}"#, "a").as_deref(), Some("2"));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for json in ["[1]", "1", "\"a\"", "null", "{}", "", " { } "] {
            assert_eq!(member(json, "a"), Member::None, "{json:?}");
        }
    }

    #[test]
    fn a_damaged_text_ends_without_a_panic() {
        for json in [
            "{",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":{",
            "{a:1}",
            "{\"a\":\"\\",
            "{\"a\":}",
        ] {
            assert_eq!(member(json, "a"), Member::Damaged, "{json:?}");
        }
        assert_eq!(member(r#"{"a":]}"#, "a"), Member::Damaged);
        let nested = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(member(&nested, "a"), Member::Damaged);
        assert!(Unescaped::new("\\x").any(|character| character.is_none()));
        assert!(Unescaped::new("\\ud800\\u0041").any(|character| character.is_none()));
    }
}
