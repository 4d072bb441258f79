//! FF1, the format-preserving encryption of NIST SP 800-38G: digits of a radix to as many digits of
//! the same radix, reversible with the key.
//!
//! The rounds are those of the crate `fpe`; the number type is ours. `fpe` has one of its own, but
//! it needs an allocating big-integer library, which would be most of a plugin's size. The
//! arithmetic here is schoolbook on the digits themselves, see `digits`.
//!
//! Limits. NIST SP 800-38G Rev. 1 requires radix^length to be at least 1,000,000: fewer values can
//! be tried one by one ([`Ff1::shortest`]). At most [`LONGEST`] digits, so that a call has a bound.

mod digits;

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use fpe::ff1::FF1;

use digits::Digits;

/// The most digits of a text. FF1 has no such limit; its cost grows with the square.
pub const LONGEST: usize = 128;

/// The largest radix. FF1 goes to 65,536; a digit here is a byte.
pub const LARGEST_RADIX: u32 = 256;

/// The fewest values that texts of one length must be able to have (SP 800-38G Rev. 1, section 5).
const FEWEST_VALUES: u64 = 1_000_000;

/// A key with a radix.
pub struct Ff1 {
    cipher: Cipher,
    radix: u32,
    shortest: usize,
}

enum Cipher {
    Aes128(FF1<Aes128>),
    Aes192(FF1<Aes192>),
    Aes256(FF1<Aes256>),
}

/// What cannot be encrypted, or with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key's length in bytes is none of AES's.
    KeyLength(usize),
    /// A radix below 2 or above [`LARGEST_RADIX`].
    Radix(u32),
    /// A digit that is not below the radix.
    Digit,
    /// Fewer digits than [`Ff1::shortest`].
    TooShort,
    /// More digits than [`LONGEST`], or a tweak beyond 2^31 bytes.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::KeyLength(bytes) => {
                write!(out, "a key of {bytes} bytes, where AES takes 16, 24 or 32")
            }
            Error::Radix(radix) => write!(out, "a radix of {radix}, not of 2 to {LARGEST_RADIX}"),
            Error::Digit => out.write_str("a digit that is not below the radix"),
            Error::TooShort => out.write_str("too few digits: one could try all values"),
            Error::TooLong => write!(out, "more than {LONGEST} digits"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Debug for Ff1 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ff1").field("radix", &self.radix).finish_non_exhaustive()
    }
}

impl Ff1 {
    /// FF1 with AES-128, -192 or -256 by the key's length.
    ///
    /// # Errors
    /// The key has another length, or the radix is out of range.
    pub fn new(key: &[u8], radix: u32) -> Result<Ff1, Error> {
        if !(2..=LARGEST_RADIX).contains(&radix) {
            return Err(Error::Radix(radix));
        }
        let wrong = |_| Error::Radix(radix);
        // The library panics on a key of another length.
        let cipher = match key.len() {
            16 => Cipher::Aes128(FF1::new(key, radix).map_err(wrong)?),
            24 => Cipher::Aes192(FF1::new(key, radix).map_err(wrong)?),
            32 => Cipher::Aes256(FF1::new(key, radix).map_err(wrong)?),
            bytes => return Err(Error::KeyLength(bytes)),
        };
        Ok(Ff1 { cipher, radix, shortest: shortest(radix) })
    }

    /// The fewest digits that are encrypted.
    pub fn shortest(&self) -> usize {
        self.shortest
    }

    /// Encrypts digits, most significant first, in place.
    ///
    /// # Errors
    /// A digit not below the radix, or too few or too many of them; nothing is changed then.
    pub fn encrypt(&self, tweak: &[u8], digits: &mut [u8]) -> Result<(), Error> {
        let text = self.checked(tweak, digits)?;
        let done = match &self.cipher {
            Cipher::Aes128(cipher) => cipher.encrypt(tweak, &text),
            Cipher::Aes192(cipher) => cipher.encrypt(tweak, &text),
            Cipher::Aes256(cipher) => cipher.encrypt(tweak, &text),
        };
        done.map_err(|_| Error::Digit)?.write(digits);
        Ok(())
    }

    /// Decrypts what [`Ff1::encrypt`] made with the same key, radix and tweak, in place.
    ///
    /// # Errors
    /// The same.
    pub fn decrypt(&self, tweak: &[u8], digits: &mut [u8]) -> Result<(), Error> {
        let text = self.checked(tweak, digits)?;
        let done = match &self.cipher {
            Cipher::Aes128(cipher) => cipher.decrypt(tweak, &text),
            Cipher::Aes192(cipher) => cipher.decrypt(tweak, &text),
            Cipher::Aes256(cipher) => cipher.decrypt(tweak, &text),
        };
        done.map_err(|_| Error::Digit)?.write(digits);
        Ok(())
    }

    fn checked(&self, tweak: &[u8], digits: &[u8]) -> Result<Digits, Error> {
        if digits.iter().any(|&digit| u32::from(digit) >= self.radix) {
            return Err(Error::Digit);
        }
        if digits.len() < self.shortest {
            return Err(Error::TooShort);
        }
        if digits.len() > LONGEST || i32::try_from(tweak.len()).is_err() {
            return Err(Error::TooLong);
        }
        Digits::of(digits).ok_or(Error::TooLong)
    }
}

/// The fewest digits with at least [`FEWEST_VALUES`] values.
fn shortest(radix: u32) -> usize {
    let (mut values, mut digits) = (1, 0);
    while values < FEWEST_VALUES {
        values *= u64::from(radix);
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_text_has_a_million_values() {
        let cases = [(2, 20), (10, 6), (16, 5), (26, 5), (36, 4), (62, 4), (100, 3), (256, 3)];
        for (radix, digits) in cases {
            assert_eq!(shortest(radix), digits, "radix {radix}");
        }
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let printed = format!("{:?}", Ff1::new(&[7; 16], 10).unwrap());
        assert_eq!(printed, "Ff1 { radix: 10, .. }");
    }
}
