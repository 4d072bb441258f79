//! JSON text as Jackson writes it: strings, base64 and floating point numbers. Appends to a byte
//! buffer; nothing is allocated but the buffer's growth.

use std::io::Write as _;

pub(crate) mod format;
pub(crate) mod schema;
mod stretch;

pub(crate) use stretch::Stretch;

/// 0: as it is; `u`: as `\u00XX`; else: the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends UTF-8 text as a JSON string, as Jackson writes it to text: only control characters, the
/// quote and the backslash are escaped, everything else stays UTF-8.
#[inline]
pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_quoted::<false>(out, text);
}

/// Appends UTF-8 text as a JSON string, as Jackson writes it to bytes: what takes two of Java's
/// characters is escaped too, `\uD83D\uDE00`.
#[inline]
pub(crate) fn put_byte_string(out: &mut Vec<u8>, text: &[u8]) {
    put_quoted::<true>(out, text);
}

#[inline]
fn put_quoted<const PAIRS: bool>(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    put_inside::<PAIRS>(out, text);
    out.push(b'"');
}

/// Appends the inside of a JSON string, as [`put_string`] does.
pub(crate) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    put_inside::<false>(out, text);
}

/// With `PAIRS`, characters beyond 16 bits are escaped.
#[inline]
fn put_inside<const PAIRS: bool>(out: &mut Vec<u8>, text: &[u8]) {
    match first_special::<PAIRS>(text) {
        None => out.extend_from_slice(text),
        Some(at) => put_with_escapes::<PAIRS>(out, text, at),
    }
}

fn put_with_escapes<const PAIRS: bool>(out: &mut Vec<u8>, text: &[u8], first: usize) {
    let mut rest = text;
    let mut next = Some(first);
    while let Some(at) = next {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        rest = if PAIRS && byte >= FIRST_OF_PAIR {
            let taken = put_pair(out, byte, after);
            after.get(taken..).unwrap_or_default()
        } else {
            put_escaped_byte(out, byte);
            after
        };
        next = first_special::<PAIRS>(rest);
    }
    if next.is_none() {
        out.extend_from_slice(rest);
    }
}

/// First byte of a character beyond 16 bits.
const FIRST_OF_PAIR: u8 = 0xf0;

/// Appends such a character as its two halves; gives how many bytes follow its first.
fn put_pair(out: &mut Vec<u8>, first: u8, after: &[u8]) -> usize {
    let Some(&[second, third, fourth]) = after.first_chunk::<3>() else {
        // The text is UTF-8, so this cannot be; what is there stays.
        out.push(first);
        return 0;
    };
    let six = |byte: u8| u32::from(byte & 0x3f);
    let head = (u32::from(first & 7) << 18) | (six(second) << 12);
    let above = (head | (six(third) << 6) | six(fourth)).wrapping_sub(0x1_0000) & 0xf_ffff;
    for half in [0xd800 + (above >> 10), 0xdc00 + (above & 0x3ff)] {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(HEX[((half >> shift) & 15) as usize]);
        }
    }
    3
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn put_escaped_byte(out: &mut Vec<u8>, byte: u8) {
    match ESCAPES[usize::from(byte)] {
        0 => out.push(byte),
        b'u' => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
        letter => out.extend_from_slice(&[b'\\', letter]),
    }
}

/// Where the first byte is that has to be escaped. Thirty-two bytes at a time, which compiles to a
/// few vector instructions, then eight: nearly all text has none.
#[inline]
fn first_special<const PAIRS: bool>(text: &[u8]) -> Option<usize> {
    let (blocks, tail) = text.as_chunks::<32>();
    for (index, block) in blocks.iter().enumerate() {
        let special = block.iter().fold(false, |found, &byte| {
            found
                | (byte < 0x20)
                | (byte == b'"')
                | (byte == b'\\')
                | (PAIRS && byte >= FIRST_OF_PAIR)
        });
        if special {
            return first_in_words::<PAIRS>(block).map(|at| index * 32 + at);
        }
    }
    first_in_words::<PAIRS>(tail).map(|at| text.len() - tail.len() + at)
}

#[inline]
fn first_in_words<const PAIRS: bool>(text: &[u8]) -> Option<usize> {
    let (words, bytes) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = specials::<PAIRS>(u64::from_le_bytes(*word));
        if special != 0 {
            return Some(index * 8 + special.trailing_zeros() as usize / 8);
        }
    }
    if let (Some(last), false) = (text.last_chunk::<8>(), bytes.is_empty()) {
        // The last eight, of which the first were looked at and found plain.
        let special = specials::<PAIRS>(u64::from_le_bytes(*last));
        return (special != 0).then(|| text.len() - 8 + special.trailing_zeros() as usize / 8);
    }
    let special = |&byte: &u8| ESCAPES[usize::from(byte)] != 0 || (PAIRS && byte >= FIRST_OF_PAIR);
    bytes.iter().position(special).map(|at| words.len() * 8 + at)
}

/// The top bit of each byte of a word that has to be escaped; after the first such, perhaps of
/// others too, for a borrow may have marked them.
#[inline]
fn specials<const PAIRS: bool>(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    // The four highest bits of a byte, all in the place of the highest.
    let pair = if PAIRS { word & (word << 1) & (word << 2) & (word << 3) } else { 0 };
    (below_space | quote | backslash | pair) & TOPS
}

/// Appends bytes as a JSON string of base64 with padding.
pub(crate) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_base64_inside(out, bytes);
    out.push(b'"');
}

/// Appends bytes in base64 with padding.
pub(crate) fn put_base64_inside(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| ALPHABET[(bits & 63) as usize];
    out.reserve(bytes.len().div_ceil(3) * 4 + 1);
    let (groups, tail) = bytes.as_chunks::<3>();
    for &[first, second, third] in groups {
        let bits = u32::from_be_bytes([0, first, second, third]);
        out.extend_from_slice(&[
            letter(bits >> 18),
            letter(bits >> 12),
            letter(bits >> 6),
            letter(bits),
        ]);
    }
    match *tail {
        [first] => {
            let bits = u32::from(first) << 16;
            out.extend_from_slice(&[letter(bits >> 18), letter(bits >> 12), b'=', b'=']);
        }
        [first, second] => {
            let bits = u32::from(first) << 16 | u32::from(second) << 8;
            out.extend_from_slice(&[
                letter(bits >> 18),
                letter(bits >> 12),
                letter(bits >> 6),
                b'=',
            ]);
        }
        _ => {}
    }
}

/// Appends an integer.
pub(crate) fn put_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an integer. Eight digits at a time in one word: numbers are written far more often than
/// anything else, and a copy of a length that is known costs a fraction of one that is not.
#[inline]
pub(crate) fn put_int64(out: &mut Vec<u8>, value: i64) {
    const BLOCK: u64 = 100_000_000;
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs();
    if value < BLOCK {
        put_first_digits(out, value);
    } else if value < BLOCK * BLOCK {
        put_first_digits(out, value / BLOCK);
        put_eight_digits(out, value % BLOCK);
    } else {
        put_first_digits(out, value / (BLOCK * BLOCK));
        put_eight_digits(out, value / BLOCK % BLOCK);
        put_eight_digits(out, value % BLOCK);
    }
}

/// Below 100,000,000, without leading zeros.
#[inline]
fn put_first_digits(out: &mut Vec<u8>, value: u64) {
    let digits = eight_digits(value);
    // Zero itself has one digit.
    let zeros = (digits.trailing_zeros() / 8).min(7);
    let text = (digits | ASCII_ZEROS) >> (8 * zeros);
    let end = out.len() + 8 - zeros as usize;
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

#[inline]
fn put_eight_digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&(eight_digits(value) | ASCII_ZEROS).to_le_bytes());
}

const ASCII_ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// The digits of a number below 100,000,000, the highest in the lowest byte: halves, then pairs,
/// then single digits, all of a word at once.
#[inline]
fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

/// Appends a double as Java's `Double.toString` writes it since Java 19 (the shortest digits that
/// read back), special values as strings.
pub(crate) fn put_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let mut digits = Scientific::default();
        // Writing to this buffer cannot fail: the longest form has 24 characters.
        let _ = write!(digits, "{value:e}");
        put_java_float(out, digits.text());
    } else {
        put_special(out, value);
    }
}

/// Appends a float as Java's `Float.toString` writes it, see [`put_double`].
pub(crate) fn put_single(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        let mut digits = Scientific::default();
        let _ = write!(digits, "{value:e}");
        put_java_float(out, digits.text());
    } else {
        put_special(out, value.into());
    }
}

fn put_special(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        value if value.is_nan() => b"\"NaN\"",
        value if value > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    });
}

/// Room for a number in scientific notation.
#[derive(Default)]
struct Scientific {
    bytes: [u8; 32],
    len: usize,
}

impl Scientific {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl std::io::Write for Scientific {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let len = text.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), text.get(..len)) {
            to.copy_from_slice(from);
        }
        self.len += len;
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Rust's `d.ddde±n` laid out as Java lays it out: plain from 0.001 up to 10,000,000, else with an
/// `E`, and always with a digit after the point.
fn put_java_float(out: &mut Vec<u8>, scientific: &[u8]) {
    let (negative, number) = match scientific.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, scientific),
    };
    let at = number.iter().position(|&byte| byte == b'e').unwrap_or(number.len());
    let (mantissa, exponent) = number.split_at(at);
    let exponent: i32 = exponent
        .get(1..)
        .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        .unwrap_or(0);
    let (first, fraction) = mantissa.split_at(mantissa.len().min(1));
    let fraction = fraction.get(1..).unwrap_or_default();
    if negative {
        out.push(b'-');
    }
    if !(-3..7).contains(&exponent) {
        out.extend_from_slice(first);
        out.push(b'.');
        out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
        out.push(b'E');
        put_integer(out, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(first);
        out.extend_from_slice(fraction);
    } else {
        let before = exponent.unsigned_abs() as usize;
        let (integer, rest) = fraction.split_at(fraction.len().min(before));
        out.extend_from_slice(first);
        out.extend_from_slice(integer);
        out.extend(std::iter::repeat_n(b'0', before - integer.len()));
        out.push(b'.');
        out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_control_characters_quote_and_backslash_are_escaped() {
        assert_eq!(
            text(|out| put_string(
                out,
                "\u{0}\u{1f}\u{8}\t\n\u{c}\r\"\\/\u{7f}é\u{2028}😀".as_bytes()
            )),
            "\"\\u0000\\u001F\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}é\u{2028}😀\""
        );
    }

    #[test]
    fn what_java_has_in_two_characters_is_escaped_in_bytes() {
        for length in 0..40 {
            let before = "é".repeat(length);
            let written = text(|out| put_byte_string(out, format!("{before}😀a𝄞\"").as_bytes()));
            assert_eq!(written, format!("\"{before}\\uD83D\\uDE00a\\uD834\\uDD1E\\\"\""));
        }
        assert_eq!(text(|out| put_byte_string(out, "\u{10ffff}".as_bytes())), "\"\\uDBFF\\uDFFF\"");
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in [
            (&b""[..], "\"\""),
            (b"f", "\"Zg==\""),
            (b"fo", "\"Zm8=\""),
            (b"foo", "\"Zm9v\""),
            (b"foobar", "\"Zm9vYmFy\""),
            (&[0, 255], "\"AP8=\""),
        ] {
            assert_eq!(text(|out| put_base64(out, bytes)), expected);
        }
    }

    #[test]
    fn doubles_are_laid_out_as_java_does() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-3.25, "-3.25"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (1.234_567_89e10, "1.23456789E10"),
            (0.001, "0.001"),
            (0.012_5, "0.0125"),
            (0.000_999, "9.99E-4"),
            (5e-324, "5.0E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(text(|out| put_double(out, value)), expected);
        }
        assert_eq!(text(|out| put_single(out, 3.3)), "3.3");
        assert_eq!(text(|out| put_single(out, f32::MAX)), "3.4028235E38");
    }

    #[test]
    fn an_escape_may_stand_anywhere() {
        for length in 0..80 {
            for at in 0..length {
                let mut plain = vec![b'a'; length];
                plain[at] = b'"';
                let written = text(|out| put_escaped(out, &plain));
                let expected = format!("{}\\\"{}", "a".repeat(at), "a".repeat(length - at - 1));
                assert_eq!(written, expected);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn an_integer_has_its_digits(value: i64, shift in 0u32..64) {
            for value in [value, value >> shift, 0, i64::MIN, i64::MAX] {
                proptest::prop_assert_eq!(text(|out| put_int64(out, value)), value.to_string());
            }
        }

        #[test]
        fn a_number_reads_back_as_itself(double: f64, single: f32) {
            if double.is_finite() {
                let read: f64 = text(|out| put_double(out, double)).parse().unwrap();
                proptest::prop_assert_eq!(read.to_bits(), double.to_bits());
            }
            if single.is_finite() {
                let read: f32 = text(|out| put_single(out, single)).parse().unwrap();
                proptest::prop_assert_eq!(read.to_bits(), single.to_bits());
            }
        }
    }
}
