//! A digest as a column's value: hexadecimal or base64 text, cut to a length, or a UUID.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use offtake_sdk::TextWriter;

use crate::digest::{BYTES, Digest};

/// Fewest characters (or bytes, in a bytea column) of a digest. 32 bits at least: with fewer,
/// different values soon have the same digest.
pub(crate) const SHORTEST: usize = 8;

/// Alphabet of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    /// Lower-case hexadecimal: 4 bits a character.
    Hex,
    /// RFC 4648 section 4 without padding: 6 bits a character.
    Base64,
    /// RFC 4648 section 5 without padding, for paths and file names.
    Base64Url,
}

impl Encoding {
    /// Characters of a whole digest.
    fn most(self) -> usize {
        match self {
            Encoding::Hex => 2 * BYTES,
            Encoding::Base64 | Encoding::Base64Url => (8 * BYTES).div_ceil(6),
        }
    }
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    encoding: Encoding,
    /// Characters, or bytes in a bytea column, where the digest is cut.
    pub(crate) length: Option<usize>,
}

impl Form {
    /// A form, or the greatest length where the given one is out of range.
    pub(crate) fn new(encoding: Encoding, length: Option<u32>) -> Result<Form, usize> {
        let length = length.map(|length| length as usize);
        match length {
            Some(length) if !(SHORTEST..=encoding.most()).contains(&length) => Err(encoding.most()),
            _ => Ok(Form { encoding, length }),
        }
    }

    /// Characters of a written digest.
    pub(crate) fn characters(&self) -> usize {
        self.length.unwrap_or_else(|| self.encoding.most())
    }

    /// Writes a digest as text.
    pub(crate) fn write(&self, digest: &Digest, out: &mut TextWriter<'_>) {
        out.push_str(self.text(digest, &mut [0; 2 * BYTES]));
    }

    fn text<'r>(&self, digest: &Digest, room: &'r mut [u8; 2 * BYTES]) -> &'r str {
        // Each fails on too little room alone, and there is enough for the longest.
        let text = match self.encoding {
            Encoding::Hex => base16ct::lower::encode_str(digest, room).unwrap_or_default(),
            Encoding::Base64 => Base64Unpadded::encode(digest, room).unwrap_or_default(),
            Encoding::Base64Url => Base64UrlUnpadded::encode(digest, room).unwrap_or_default(),
        };
        text.get(..self.characters()).unwrap_or(text)
    }
}

/// Writes the first 122 bits of a digest as a UUID of version 8, the version for such (RFC 9562,
/// section 5.8).
pub(crate) fn write_uuid(digest: &Digest, out: &mut TextWriter<'_>) {
    for (index, part) in uuid(digest).chunks(2).enumerate() {
        if matches!(index, 2..=5) {
            out.push('-');
        }
        let mut room = [0; 4];
        out.push_str(base16ct::lower::encode_str(part, &mut room).unwrap_or_default());
    }
}

fn uuid(digest: &Digest) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(digest).for_each(|(byte, digest)| *byte = *digest);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(encoding: Encoding, length: Option<u32>, digest: Digest) -> String {
        Form::new(encoding, length).unwrap().text(&digest, &mut [0; 64]).to_owned()
    }

    fn counted() -> Digest {
        std::array::from_fn(|at| 248 + (at as u8 & 7))
    }

    #[test]
    fn digests_are_written_whole_or_cut() {
        let hex = "f8f9fafbfcfdfeff".repeat(4);
        assert_eq!(text(Encoding::Hex, None, counted()), hex);
        assert_eq!(text(Encoding::Hex, Some(12), counted()), hex[..12]);
        let base64 = "+Pn6+/z9/v/4+fr7/P3+//j5+vv8/f7/+Pn6+/z9/v8";
        assert_eq!(text(Encoding::Base64, None, counted()), base64);
        assert_eq!(text(Encoding::Base64, Some(22), counted()), base64[..22]);
        let url = base64.replace('+', "-").replace('/', "_");
        assert_eq!(text(Encoding::Base64Url, None, counted()), url);
    }

    #[test]
    fn every_length_is_the_beginning_of_the_whole() {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            let whole = text(encoding, None, counted());
            assert_eq!(whole.len(), encoding.most());
            for length in SHORTEST..=encoding.most() {
                let cut = text(encoding, Some(length as u32), counted());
                assert_eq!((cut.len(), whole.starts_with(&cut)), (length, true));
            }
            assert_eq!(Form::new(encoding, Some(7)), Err(encoding.most()));
            assert_eq!(Form::new(encoding, Some(u32::MAX)), Err(encoding.most()));
        }
    }

    #[test]
    fn a_uuid_says_version_8_and_the_standard_variant() {
        let bytes = uuid(&[0xff; BYTES]);
        assert_eq!((bytes[6], bytes[8]), (0x8f, 0xbf));
        let bytes = uuid(&[0; BYTES]);
        assert_eq!((bytes[6], bytes[8]), (0x80, 0x80));
    }
}
