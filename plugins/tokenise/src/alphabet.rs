//! The characters that are encrypted, each with its digit, and those that stay in place.

/// Characters with digits from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alphabet {
    characters: Vec<char>,
    /// Digits of ASCII characters; [`NONE`] where one is not in the alphabet.
    ascii: [u16; 128],
}

const NONE: u16 = u16::MAX;

const DIGITS: &str = "0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";

impl Alphabet {
    /// An alphabet by its name: `digits`, `lower`, `upper`, `alphanumeric` (digits, then capitals,
    /// then small letters).
    pub(crate) fn named(name: &str) -> Option<Alphabet> {
        let characters = match name {
            "digits" => DIGITS.to_owned(),
            "lower" => LOWER.to_owned(),
            "upper" => UPPER.to_owned(),
            "alphanumeric" => [DIGITS, UPPER, LOWER].concat(),
            _ => return None,
        };
        Alphabet::of(&characters).ok()
    }

    /// An alphabet of given characters; the first is the digit 0.
    ///
    /// # Errors
    /// There are too few or too many of them, or one comes twice.
    pub(crate) fn of(text: &str) -> Result<Alphabet, &'static str> {
        let characters: Vec<char> = text.chars().collect();
        if !(2..=offtake_plugin_ff1::LARGEST_RADIX as usize).contains(&characters.len()) {
            return Err("must have from 2 to 256 characters");
        }
        let mut ascii = [NONE; 128];
        for (digit, character) in characters.iter().enumerate() {
            if characters.iter().take(digit).any(|before| before == character) {
                return Err("must have each character once");
            }
            if let Some(place) = ascii.get_mut(*character as usize) {
                *place = digit as u16;
            }
        }
        Ok(Alphabet { characters, ascii })
    }

    /// How many characters there are.
    pub(crate) fn radix(&self) -> u32 {
        self.characters.len() as u32
    }

    /// A character's digit.
    pub(crate) fn digit(&self, character: char) -> Option<u8> {
        let digit = match self.ascii.get(character as usize) {
            Some(&digit) => usize::from(digit),
            None => self.characters.iter().position(|other| *other == character)?,
        };
        u8::try_from(digit).ok()
    }

    /// A digit's character.
    pub(crate) fn character(&self, digit: u8) -> Option<char> {
        self.characters.get(usize::from(digit)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_characters_are_each_other_s() {
        let own = Alphabet::of("0ñ日a").unwrap();
        let bytes: String = (0..=255).map(|code: u8| char::from(code)).collect();
        let largest = Alphabet::of(&bytes).unwrap();
        let named =
            ["digits", "lower", "upper", "alphanumeric"].map(|name| Alphabet::named(name).unwrap());
        for alphabet in named.iter().chain([&own, &largest]) {
            for digit in 0..alphabet.radix() {
                let digit = digit as u8;
                let character = alphabet.character(digit).unwrap();
                assert_eq!(alphabet.digit(character), Some(digit));
            }
        }
        assert_eq!(named.map(|alphabet| alphabet.radix()), [10, 26, 26, 62]);
        assert_eq!((own.digit('b'), own.digit('語'), own.character(4)), (None, None, None));
        assert_eq!(Alphabet::named("hex"), None);
    }

    #[test]
    fn an_alphabet_that_is_none_is_refused() {
        assert_eq!(Alphabet::of("0"), Err("must have from 2 to 256 characters"));
        assert_eq!(Alphabet::of("010"), Err("must have each character once"));
        let many: String = ('\u{4e00}'..).take(257).collect();
        assert_eq!(Alphabet::of(&many), Err("must have from 2 to 256 characters"));
    }
}
