//! Numbers as their digits, for the rounds of FF1.
//!
//! A round needs three things of a half: its bytes as a big-endian integer, and its sum or
//! difference with such an integer modulo radix^length. All are done digit by digit with a carry,
//! as on paper: the modulus is what does not fit the digits. No division of long numbers, nothing
//! allocated, and time that depends on lengths alone but for the processor's own division.

use fpe::ff1::{NumeralString, Operations};

use crate::LONGEST;

/// Most digits of a half.
const HALF: usize = LONGEST.div_ceil(2);

/// Most bytes of a half as an integer: a digit is at most a byte.
const HALF_BYTES: usize = HALF;

/// Most 32-bit words of the integer that a round adds: FF1's d is 4 * ceil(b / 4) + 4 bytes.
const WORDS: usize = HALF_BYTES.div_ceil(4) + 1;

/// A text of digits, most significant first.
pub(crate) struct Digits {
    digits: [u8; LONGEST],
    count: usize,
}

impl Digits {
    /// Takes digits; `None` where there are more than [`LONGEST`].
    pub(crate) fn of(given: &[u8]) -> Option<Digits> {
        let mut digits = [0; LONGEST];
        digits.get_mut(..given.len())?.copy_from_slice(given);
        Some(Digits { digits, count: given.len() })
    }

    /// Writes the digits to a place of as many.
    pub(crate) fn write(&self, out: &mut [u8]) {
        for (out, digit) in out.iter_mut().zip(self.given()) {
            *out = *digit;
        }
    }

    fn given(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

impl NumeralString for Digits {
    type Ops = Half;

    fn is_valid(&self, radix: u32) -> bool {
        self.given().iter().all(|&digit| u32::from(digit) < radix)
    }

    fn numeral_count(&self) -> usize {
        self.count
    }

    fn split(&self) -> (Half, Half) {
        let (left, right) = self.given().split_at(self.count / 2);
        (Half::of(left), Half::of(right))
    }

    fn concat(left: Half, right: Half) -> Digits {
        let mut digits = [0; LONGEST];
        let count = left.count + right.count;
        let both = left.given().iter().chain(right.given());
        digits.iter_mut().zip(both).for_each(|(place, digit)| *place = *digit);
        Digits { digits, count }
    }
}

/// Half of a text: a number, most significant digit first.
pub(crate) struct Half {
    digits: [u8; HALF],
    count: usize,
}

/// A half's big-endian bytes.
pub(crate) struct HalfBytes {
    bytes: [u8; HALF_BYTES],
    count: usize,
}

impl AsRef<[u8]> for HalfBytes {
    fn as_ref(&self) -> &[u8] {
        // At the end, so that the zeros before it are its leading ones.
        self.bytes.get(HALF_BYTES - self.count..).unwrap_or_default()
    }
}

impl Half {
    fn of(given: &[u8]) -> Half {
        let mut digits = [0; HALF];
        let count = given.len().min(HALF);
        digits.iter_mut().zip(given).for_each(|(place, digit)| *place = *digit);
        Half { digits, count }
    }

    fn given(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }

    /// The digits of a big-endian integer modulo radix^count: those that do not fit are its
    /// multiples of the modulus.
    fn reduced(bytes: impl Iterator<Item = u8>, radix: u32, count: usize) -> Half {
        let mut half = Half { digits: [0; HALF], count: count.min(HALF) };
        let (words, used) = words(bytes);
        for &word in words.get(..used).unwrap_or_default() {
            // half = half * 2^32 + word; a carry stays below 2^40.
            let mut carry = u64::from(word);
            for digit in half.digits.iter_mut().take(half.count).rev() {
                let sum = (u64::from(*digit) << 32) + carry;
                *digit = (sum % u64::from(radix)) as u8;
                carry = sum / u64::from(radix);
            }
        }
        half
    }
}

/// Big-endian words of an integer whose bytes are a multiple of four, as FF1's d is.
fn words(bytes: impl Iterator<Item = u8>) -> ([u32; WORDS], usize) {
    let mut words = [0; WORDS];
    let mut count = 0;
    for (at, byte) in bytes.take(4 * WORDS).enumerate() {
        let word = &mut words[at / 4];
        *word = *word << 8 | u32::from(byte);
        count = at / 4 + 1;
    }
    (words, count)
}

impl Operations for Half {
    type Bytes = HalfBytes;

    fn numeral_count(&self) -> usize {
        self.count
    }

    fn to_be_bytes(&self, radix: u32, count: usize) -> HalfBytes {
        let mut bytes = [0_u8; HALF_BYTES];
        let count = count.min(HALF_BYTES);
        for &digit in self.given() {
            let mut carry = u32::from(digit);
            for byte in bytes.iter_mut().rev().take(count) {
                let sum = u32::from(*byte) * radix + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
        HalfBytes { bytes, count }
    }

    fn add_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, count: usize) -> Half {
        let mut sum = Half::reduced(other, radix, count);
        let mut carry = 0;
        for at in (0..sum.count).rev() {
            let digits = u32::from(self.digits[at]) + u32::from(sum.digits[at]) + carry;
            carry = u32::from(digits >= radix);
            sum.digits[at] = (digits - carry * radix) as u8;
        }
        sum
    }

    fn sub_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, count: usize) -> Half {
        let mut difference = Half::reduced(other, radix, count);
        let mut borrow = 0;
        for at in (0..difference.count).rev() {
            let (own, less) = (u32::from(self.digits[at]), u32::from(difference.digits[at]));
            let digits = own + radix - less - borrow;
            borrow = u32::from(digits < radix);
            difference.digits[at] = (digits % radix) as u8;
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(digits: &[u8], radix: u32) -> u128 {
        digits.iter().fold(0, |number, &digit| number * u128::from(radix) + u128::from(digit))
    }

    /// Numbers that cover their range evenly enough; always the same.
    fn spread(seed: u64) -> u64 {
        let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 3
    }

    #[test]
    fn sums_and_differences_are_those_of_integers() {
        for radix in [2, 3, 10, 26, 36, 62, 255, 256] {
            for seed in 0..400 {
                let count = 1 + (seed % 7) as usize;
                let modulus = u128::from(radix).pow(count as u32);
                let digits: Vec<u8> = (0..count as u64)
                    .map(|at| (spread(seed * 31 + at) % u64::from(radix)) as u8)
                    .collect();
                let other = u128::from(spread(seed)) << 32 | u128::from(spread(seed + 7)) >> 20;
                let bytes = other.to_be_bytes();
                let own = number(&digits, radix);
                let sum = Half::of(&digits).add_mod_exp(bytes.into_iter(), radix, count);
                assert_eq!(number(sum.given(), radix), (own + other) % modulus);
                let less = Half::of(&digits).sub_mod_exp(bytes.into_iter(), radix, count);
                assert_eq!(
                    number(less.given(), radix),
                    (own + modulus - other % modulus) % modulus
                );
            }
        }
    }

    #[test]
    fn bytes_are_the_number_with_leading_zeros() {
        let bytes = |digits: &[u8], radix, count| {
            Half::of(digits).to_be_bytes(radix, count).as_ref().to_vec()
        };
        assert_eq!(bytes(&[1, 2, 3, 4], 10, 4), [0, 0, 4, 210]);
        assert_eq!(bytes(&[0, 0], 10, 1), [0]);
        assert_eq!(bytes(&[255, 255], 256, 2), [255, 255]);
    }
}
