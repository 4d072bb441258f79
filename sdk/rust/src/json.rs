//! A small JSON reader for a plugin's configuration.
//!
//! It exists for its size: a plugin is tens of kilobytes, and a general JSON library would double
//! that. Numbers stay text until someone asks for one. It does not write JSON.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it was written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, its members in the order written.
    Object(Vec<(String, Json)>),
}

/// How deep arrays and objects may nest.
const MAX_DEPTH: u32 = 32;

impl Json {
    /// Reads a whole text.
    ///
    /// # Errors
    /// What is wrong, with the byte where.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text, at: 0 };
        let parsed = reader.value(0).and_then(|value| {
            reader.skip_space();
            if reader.at == text.len() { Ok(value) } else { Err("something after the value") }
        });
        parsed.map_err(|reason| format!("{reason} at byte {}", reader.at))
    }

    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Boolean(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What was read since a place. Without slicing by index, whose panic message alone would be
    /// kilobytes of a component.
    fn since(&self, start: usize) -> &str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes the byte if it comes next after white space.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, &'static str> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err("unknown word")
        }
    }

    fn value(&mut self, depth: u32) -> Result<Json, &'static str> {
        if depth > MAX_DEPTH {
            return Err("nested too deeply");
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b't') => self.word("true", Json::Boolean(true)),
            Some(b'f') => self.word("false", Json::Boolean(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err("unexpected character"),
            None => Err("unexpected end"),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Json, &'static str> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        if self.eat(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err("expected a name in quotes");
            }
            let name = self.string()?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err("name given twice");
            }
            if !self.eat(b':') {
                return Err("expected a colon");
            }
            members.push((name, self.value(depth + 1)?));
            if self.eat(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.eat(b',') {
                return Err("expected a comma or a brace");
            }
        }
    }

    fn list(&mut self, depth: u32) -> Result<Json, &'static str> {
        self.at += 1;
        let mut values = Vec::new();
        if self.eat(b']') {
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Ok(Json::List(values));
            }
            if !self.eat(b',') {
                return Err("expected a comma or a bracket");
            }
        }
    }

    /// A number in JSON's own grammar, which is stricter than Rust's.
    fn number(&mut self) -> Result<Json, &'static str> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Json::Number(self.since(start).to_owned()))
    }

    fn digits(&mut self) -> Result<(), &'static str> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err("expected a digit") }
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.at += 1;
        let mut out = String::new();
        loop {
            // Stops at ASCII only, so the slice ends on a character.
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(self.since(start));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err("control character in a string"),
                None => return Err("string without an end"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        self.at += 1;
        let letter = self.peek().ok_or("string without an end")?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.code_unit()?;
                if (0xd800..0xdc00).contains(&code) {
                    let low = match (self.peek(), self.text.as_bytes().get(self.at + 1)) {
                        (Some(b'\\'), Some(b'u')) => {
                            self.at += 2;
                            self.code_unit()?
                        }
                        _ => 0,
                    };
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err("half of a surrogate pair");
                    }
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or("half of a surrogate pair")?
            }
            _ => return Err("unknown escape"),
        })
    }

    fn code_unit(&mut self) -> Result<u32, &'static str> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or("expected four hexadecimal digits")?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let parsed = Json::parse(" {\"a\": [1, -2.5e+3, true, false, null], \"b\": {}, \"c\":[]} ");
        let list = vec![
            Json::Number("1".to_owned()),
            Json::Number("-2.5e+3".to_owned()),
            Json::Boolean(true),
            Json::Boolean(false),
            Json::Null,
        ];
        let expected = Json::Object(vec![
            ("a".to_owned(), Json::List(list)),
            ("b".to_owned(), Json::Object(vec![])),
            ("c".to_owned(), Json::List(vec![])),
        ]);
        assert_eq!(parsed, Ok(expected));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(Json::parse(r#""\"\\\/\b\f\n\r\t""#), Ok(text("\"\\/\u{8}\u{c}\n\r\t")));
        assert_eq!(Json::parse(r#""\u00e9\ud83d\ude00Ω""#), Ok(text("é😀Ω")));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for wrong in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "1e",
            "-",
            "tru",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "1 2",
            "{\"a\":1,\"a\":2}",
            "\"\\u12g4\"",
            "[1 2]",
            "{\"a\" 1}",
        ] {
            assert!(Json::parse(wrong).is_err(), "{wrong:?} was read");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }
}
