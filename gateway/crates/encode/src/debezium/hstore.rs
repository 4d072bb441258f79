//! `hstore`: its text, and its entries in the order in which the peer's `HashMap` gives them.
//!
//! The order of a JSON object has no meaning, but consumers compare bytes and hash them, so it is
//! kept, see [`java_map`].

use std::ops::Range;

use crate::java_map;

/// The entries of one value. Kept and used again, so that a value allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Keys and values with the escapes undone.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    bucket: u32,
    index: u32,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl Entries {
    /// Reads `"a"=>"1", "b"=>NULL`; `None`: it is no such text.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.clear();
        self.entries.clear();
        let mut rest = text;
        while !rest.is_empty() {
            if !self.entries.is_empty() {
                rest = rest.strip_prefix(b", ")?;
            }
            let (key, after) = self.quoted(rest)?;
            rest = after.strip_prefix(b"=>")?;
            let value = match rest.strip_prefix(b"NULL") {
                Some(after) => {
                    rest = after;
                    None
                }
                None => {
                    let (value, after) = self.quoted(rest)?;
                    rest = after;
                    Some(value)
                }
            };
            let text = String::from_utf8_lossy(self.bytes.get(key.clone())?);
            let bucket = java_map::spread_hash(&text);
            let index = u32::try_from(self.entries.len()).ok()?;
            self.entries.push(Entry { bucket, index, key, value });
        }
        let mask = java_map::mask(self.entries.len(), java_map::DEFAULT_CAPACITY);
        for entry in &mut self.entries {
            entry.bucket &= mask;
        }
        self.entries.sort_unstable_by_key(|entry| (entry.bucket, entry.index));
        Some(())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Key and value, in the order of the peer.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.entries.iter().map(move |entry| (bytes(&entry.key), entry.value.as_ref().map(bytes)))
    }

    /// Takes a quoted text with hstore's escapes undone.
    fn quoted<'a>(&mut self, text: &'a [u8]) -> Option<(Range<usize>, &'a [u8])> {
        let start = self.bytes.len();
        let mut rest = text.strip_prefix(b"\"")?;
        loop {
            let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            let (plain, special) = rest.split_at(at);
            self.bytes.extend_from_slice(plain);
            match special {
                [b'"', after @ ..] => return Some((start..self.bytes.len(), after)),
                [b'\\', escaped, after @ ..] => {
                    self.bytes.push(*escaped);
                    rest = after;
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Option<Vec<String>> {
        let mut entries = Entries::default();
        entries.read(text.as_bytes())?;
        Some(entries.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect())
    }

    #[test]
    fn entries_come_in_the_order_of_javas_table() {
        assert_eq!(keys(r#""key4"=>"val4", "key5"=>NULL"#).unwrap(), ["key5", "key4"]);
        // Recorded from the peer: `Aa` and `BB` have one hash.
        let text = r#""aa"=>"1", "bb"=>"2", "Aa"=>"3", "BB"=>"4", "č"=>"5", "quote\"d"=>"v", "sp ace"=>"b""#;
        let all = keys(text).unwrap();
        let place = |key: &str| all.iter().position(|other| other == key);
        assert!(place("Aa") < place("BB"));
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn escapes_are_undone_and_nulls_told() {
        let mut entries = Entries::default();
        entries.read(r#""a\"b\\c"=>"1 => \"2\"", "n"=>NULL, ""=>"NULL""#.as_bytes()).unwrap();
        let mut all: Vec<_> = entries.iter().collect();
        all.sort_unstable();
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"", Some(b"NULL")), (b"a\"b\\c", Some(b"1 => \"2\"")), (b"n", None)];
        assert_eq!(all, expected);
        entries.read(b"").unwrap();
        assert_eq!(entries.len(), 0);
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in ["\"a\"", "a=>b", "\"a\"=>\"b", "\"a\"=>\"b\"x", "\"a\"=>\"b\\"] {
            assert_eq!(keys(text), None, "{text}");
        }
    }
}
