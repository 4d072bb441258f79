//! Where in a JSON document a JSON Pointer (RFC 6901) points: serde_json keeps no places of what it has
//! read. Only for documents that serde_json has read: what is no JSON has no places here, nor an error.

/// The line, from 1, of the value that a pointer points at: where its key stands, or the item of a list.
pub(crate) fn line_of(document: &[u8], pointer: &str) -> Option<usize> {
    let mut scan = Scan { document, at: 0 };
    scan.space();
    let mut place = scan.at;
    for token in pointer.split('/').skip(1) {
        place = scan.enter(&token.replace("~1", "/").replace("~0", "~"))?;
    }
    let before = document.get(..place)?;
    Some(before.iter().filter(|byte| **byte == b'\n').count() + 1)
}

struct Scan<'d> {
    document: &'d [u8],
    at: usize,
}

impl Scan<'_> {
    fn byte(&self) -> Option<u8> {
        self.document.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes past that byte and what is white around it.
    fn past(&mut self, wanted: u8) -> Option<()> {
        self.space();
        if self.byte()? != wanted {
            return None;
        }
        self.at += 1;
        self.space();
        Some(())
    }

    /// Goes to a member of the value that begins here, and gives the place of its key.
    fn enter(&mut self, token: &str) -> Option<usize> {
        if self.byte()? == b'[' {
            self.past(b'[')?;
            for _ in 0..token.parse::<usize>().ok()? {
                self.skip()?;
                self.past(b',')?;
            }
            return Some(self.at);
        }
        self.past(b'{')?;
        loop {
            let place = self.at;
            self.text()?;
            let key: String = serde_json::from_slice(self.document.get(place..self.at)?).ok()?;
            self.past(b':')?;
            if key == token {
                return Some(place);
            }
            self.skip()?;
            self.past(b',')?;
        }
    }

    /// Goes past a text.
    fn text(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match self.byte()? {
                b'\\' => self.at += 1,
                b'"' => break,
                _ => {}
            }
        }
        self.at += 1;
        Some(())
    }

    /// Goes past a value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                b'"' => self.text()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                // A number, true, false or null.
                _ => {
                    while self.byte().is_some_and(|byte| !b" \t\r\n,:]}".contains(&byte)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const DOCUMENT: &str = r#"{
  "a\"b": [1, {"x": "]}"},
    {"y/z": [true,
      null, -1.5e3]}],
  "~": {"deep": {
    "type": "objekt"}}, "last":
  3
}"#;

    #[test]
    fn the_line_of_a_place_is_that_of_its_key() {
        for (pointer, line) in [
            ("", Some(1)),
            ("/a\"b", Some(2)),
            ("/a\"b/1/x", Some(2)),
            ("/a\"b/2", Some(3)),
            ("/a\"b/2/y~1z", Some(3)),
            ("/a\"b/2/y~1z/1", Some(4)),
            ("/a\"b/2/y~1z/2", Some(4)),
            ("/~0", Some(5)),
            ("/~0/deep/type", Some(6)),
            ("/last", Some(6)),
            ("/none", None),
            ("/a\"b/9", None),
            ("/last/x", None),
        ] {
            assert_eq!(line_of(DOCUMENT.as_bytes(), pointer), line, "{pointer}");
        }
    }

    #[test]
    fn what_is_cut_off_has_no_place_beyond_its_end() {
        for end in 0..DOCUMENT.len() {
            let _ = line_of(&DOCUMENT.as_bytes()[..end], "/~0/deep/type");
        }
        assert_eq!(line_of(b"", "/a"), None);
        assert_eq!(line_of(b"\xff", "/a"), None);
    }
}
