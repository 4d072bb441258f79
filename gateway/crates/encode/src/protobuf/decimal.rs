//! How many decimal digits a two's complement integer has: `confluent.type.Decimal` carries the
//! precision of each value, as Java's `BigDecimal.precision` counts it.

/// Bytes of an integer that is counted in one step.
const STEP: usize = 16;
/// A chunk of eighteen digits.
const CHUNK: u64 = 1_000_000_000_000_000_000;

/// The digits of a big-endian two's complement integer; zero has one.
pub(super) fn digits(unscaled: &[u8]) -> u32 {
    if unscaled.len() <= STEP {
        let negative = unscaled.first().is_some_and(|&byte| byte >= 0x80);
        let mut bytes = if negative { [0xff; STEP] } else { [0; STEP] };
        bytes[STEP - unscaled.len()..].copy_from_slice(unscaled);
        let magnitude = i128::from_be_bytes(bytes).unsigned_abs();
        return magnitude.checked_ilog10().map_or(1, |digits| digits + 1);
    }
    let magnitude = magnitude(unscaled);
    estimate(&magnitude).unwrap_or_else(|| count(magnitude))
}

/// The magnitude in words, most significant first, without zeros before it.
fn magnitude(unscaled: &[u8]) -> Vec<u64> {
    let negative = unscaled.first().is_some_and(|&byte| byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let padding = unscaled.len().next_multiple_of(8) - unscaled.len();
    let mut padded = vec![fill; padding];
    padded.extend_from_slice(unscaled);
    let (words, _) = padded.as_chunks::<8>();
    let mut words: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
    if negative {
        let mut carry = true;
        for word in words.iter_mut().rev() {
            (*word, carry) = (!*word).overflowing_add(u64::from(carry));
        }
    }
    let zeros = words.iter().take_while(|&&word| word == 0).count();
    words.drain(..zeros);
    words
}

/// From the logarithm; `None` next to a power of ten, where it does not tell.
fn estimate(words: &[u64]) -> Option<u32> {
    const DOUBTFUL: f64 = 1e-6;
    let [first, second, rest @ ..] = words else { return None };
    let top = (*first as f64).mul_add(2f64.powi(64), *second as f64);
    let logarithm = top.log10() + rest.len() as f64 * 64.0 * std::f64::consts::LOG10_2;
    let doubtful = (logarithm - logarithm.round()).abs() < DOUBTFUL;
    (!doubtful).then(|| logarithm as u32 + 1)
}

/// By dividing until nothing is left.
fn count(mut words: Vec<u64>) -> u32 {
    let mut digits = 0;
    while !words.is_empty() {
        let mut rest = 0;
        for word in &mut words {
            let dividend = (u128::from(rest) << 64) | u128::from(*word);
            // The rest is less than the divisor, so both quotient and rest are one word.
            *word = (dividend / u128::from(CHUNK)) as u64;
            rest = (dividend % u128::from(CHUNK)) as u64;
        }
        let zeros = words.iter().take_while(|&&word| word == 0).count();
        words.drain(..zeros);
        digits +=
            if words.is_empty() { rest.checked_ilog10().map_or(0, |log| log + 1) } else { 18 };
    }
    digits.max(1)
}

#[cfg(test)]
mod tests {
    use super::digits;

    /// `10^exponent + offset`, or its negative, as two's complement.
    fn power(exponent: u32, offset: i8, negative: bool) -> Vec<u8> {
        // Little-endian bytes, multiplied by ten again and again.
        let mut bytes = vec![1u8];
        for _ in 0..exponent {
            let mut carry = 0u16;
            for byte in &mut bytes {
                let product = u16::from(*byte) * 10 + carry;
                *byte = product as u8;
                carry = product >> 8;
            }
            if carry > 0 {
                bytes.push(carry as u8);
            }
        }
        bytes.push(0);
        let mut carry = i16::from(offset);
        for byte in &mut bytes {
            let sum = i16::from(*byte) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        if negative {
            let mut carry = true;
            for byte in &mut bytes {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        bytes.reverse();
        bytes
    }

    #[test]
    fn digits_are_exact_around_every_power_of_ten() {
        assert_eq!(digits(&[]), 1);
        assert_eq!(digits(&[0]), 1);
        for exponent in (1..400).chain([1000, 5000]) {
            for negative in [false, true] {
                assert_eq!(digits(&power(exponent, -1, negative)), exponent, "10^{exponent} - 1");
                assert_eq!(digits(&power(exponent, 0, negative)), exponent + 1, "10^{exponent}");
                assert_eq!(digits(&power(exponent, 1, negative)), exponent + 1);
            }
        }
    }
}
