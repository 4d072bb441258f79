//! A text's token, and back.
//!
//! The alphabet's characters are taken out, encrypted as one string of digits and put back where
//! they were; separators stay. A text with any other character is not tokenised in part: what is
//! neither in the alphabet nor a separator might be what is to be hidden.

use std::fmt;

use offtake_plugin_ff1::{Error, Ff1, LONGEST};
use offtake_sdk::TextWriter;

use crate::alphabet::Alphabet;

/// A key with an alphabet and separators.
#[derive(Debug)]
pub struct Tokeniser {
    ff1: Ff1,
    alphabet: Alphabet,
    separators: String,
}

/// Why a text has no token. Says nothing of the text but this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Fewer characters of the alphabet than must be.
    TooShort(usize),
    /// More than can be.
    TooLong,
    /// A character that is neither in the alphabet nor a separator.
    Foreign,
}

impl fmt::Display for Unfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::TooShort(least) => write!(
                out,
                "a value has fewer than {least} characters of the alphabet, and shorter tokens \
                 could be tried out; set `unfit_value`, or cover the column with mask"
            ),
            Unfit::TooLong => write!(
                out,
                "a value has more than {LONGEST} characters of the alphabet; set `unfit_value`, or \
                 use hash"
            ),
            Unfit::Foreign => out.write_str(
                "a value has a character that is neither in the alphabet nor in `separators`; \
                 widen one of them, or set `unfit_value`",
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// A token, or a text that a token was turned back to, ready to be written.
#[derive(Debug)]
pub struct Token<'t> {
    tokeniser: &'t Tokeniser,
    text: &'t str,
    digits: [u8; LONGEST],
}

impl Tokeniser {
    pub(crate) fn new(ff1: Ff1, alphabet: Alphabet, separators: String) -> Tokeniser {
        Tokeniser { ff1, alphabet, separators }
    }

    /// The token of a text; an empty text is its own.
    ///
    /// # Errors
    /// It cannot have one.
    pub fn tokenise<'t>(&'t self, tweak: &[u8], text: &'t str) -> Result<Token<'t>, Unfit> {
        self.map(text, |digits| self.ff1.encrypt(tweak, digits))
    }

    /// The text that has this token under the same key and tweak.
    ///
    /// # Errors
    /// It is no token.
    pub fn detokenise<'t>(&'t self, tweak: &[u8], token: &'t str) -> Result<Token<'t>, Unfit> {
        self.map(token, |digits| self.ff1.decrypt(tweak, digits))
    }

    fn map<'t>(
        &'t self,
        text: &'t str,
        cipher: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Token<'t>, Unfit> {
        let mut digits = [0; LONGEST];
        let mut count = 0;
        for character in text.chars() {
            match self.alphabet.digit(character) {
                Some(digit) => {
                    *digits.get_mut(count).ok_or(Unfit::TooLong)? = digit;
                    count += 1;
                }
                None if self.separators.contains(character) => {}
                None => return Err(Unfit::Foreign),
            }
        }
        if !text.is_empty() {
            let given = digits.get_mut(..count).unwrap_or_default();
            cipher(given).map_err(|error| match error {
                Error::TooLong => Unfit::TooLong,
                _ => Unfit::TooShort(self.ff1.shortest()),
            })?;
        }
        Ok(Token { tokeniser: self, text, digits })
    }
}

impl Token<'_> {
    /// Writes the token.
    pub(crate) fn write(&self, out: &mut TextWriter<'_>) {
        self.characters().for_each(|character| out.push(character));
    }

    /// The token's characters.
    pub fn characters(&self) -> impl Iterator<Item = char> {
        let mut digits = self.digits.iter();
        self.text.chars().map(move |character| {
            match self.tokeniser.alphabet.digit(character) {
                // There is a digit for each such character, and a character for each digit.
                Some(_) => digits
                    .next()
                    .and_then(|digit| self.tokeniser.alphabet.character(*digit))
                    .unwrap_or(char::REPLACEMENT_CHARACTER),
                None => character,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 16] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
        0x3c,
    ];

    fn tokeniser(alphabet: Alphabet) -> Tokeniser {
        let ff1 = Ff1::new(&KEY, alphabet.radix()).unwrap();
        Tokeniser::new(ff1, alphabet, " -./".to_owned())
    }

    fn named(name: &str) -> Tokeniser {
        tokeniser(Alphabet::named(name).unwrap())
    }

    fn token(tokeniser: &Tokeniser, tweak: &str, text: &str) -> Result<String, Unfit> {
        Ok(tokeniser.tokenise(tweak.as_bytes(), text)?.characters().collect())
    }

    #[test]
    fn nist_s_samples_are_tokens() {
        let digits = named("digits");
        assert_eq!(token(&digits, "", "0123456789").unwrap(), "2433477484");
        assert_eq!(token(&digits, "9876543210", "0123456789").unwrap(), "6124200773");
        let both = Alphabet::of("0123456789abcdefghijklmnopqrstuvwxyz").unwrap();
        let own = token(&tokeniser(both), "7777pqrs777", "0123456789abcdefghi").unwrap();
        assert_eq!(own, "a9tv40mll9kdu509eum");
    }

    #[test]
    fn separators_stay_where_they_are_and_do_not_count() {
        let digits = named("digits");
        assert_eq!(token(&digits, "", "012-345 6789/").unwrap(), "243-347 7484/");
        assert_eq!(token(&digits, "", "").unwrap(), "");
    }

    #[test]
    fn what_cannot_have_a_token_is_told_apart() {
        let digits = named("digits");
        assert_eq!(token(&digits, "", "12345"), Err(Unfit::TooShort(6)));
        assert_eq!(token(&digits, "", "1-2-3-4-5"), Err(Unfit::TooShort(6)));
        assert_eq!(token(&digits, "", "-"), Err(Unfit::TooShort(6)));
        assert_eq!(token(&digits, "", &"1".repeat(129)), Err(Unfit::TooLong));
        assert_eq!(token(&digits, "", "4111 1111 A111"), Err(Unfit::Foreign));
        assert_eq!(token(&digits, "", "٤١١١١١١١"), Err(Unfit::Foreign));
    }

    proptest! {
        #[test]
        fn a_token_has_the_form_of_its_text_and_is_turned_back(
            text in "[0-9A-Za-z]{4}[0-9A-Za-z ./-]{0,60}",
            tweak in "\\PC{0,20}",
        ) {
            let tokeniser = named("alphanumeric");
            let token = token(&tokeniser, &tweak, &text).unwrap();
            prop_assert_eq!(token.len(), text.len());
            for (token, text) in token.chars().zip(text.chars()) {
                prop_assert_eq!(token.is_ascii_alphanumeric(), text.is_ascii_alphanumeric());
                prop_assert!(text.is_ascii_alphanumeric() || token == text);
            }
            let back = tokeniser.detokenise(tweak.as_bytes(), &token).unwrap();
            prop_assert_eq!(back.characters().collect::<String>(), text);
        }

        #[test]
        fn every_text_has_a_token_or_a_reason(text in "\\PC*") {
            let alphabet = Alphabet::of("0123456789ñ日").unwrap();
            if let Ok(token) = tokeniser(alphabet).tokenise(b"", &text) {
                prop_assert_eq!(token.characters().count(), text.chars().count());
            }
        }
    }
}
