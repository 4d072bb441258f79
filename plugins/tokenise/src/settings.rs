//! The configuration.

use offtake_plugin_ff1::{Error, Ff1};
use offtake_plugin_keys::{KEY, Written};
use offtake_sdk::{Config, Failure, Fields};

use crate::alphabet::Alphabet;
use crate::token::Tokeniser;
use crate::tweak::Tweak;

/// Separators where none are configured: what stands between the digits of cards, accounts and
/// telephone numbers.
const SEPARATORS: &str = " -./()+";

/// A configuration, read and judged.
#[derive(Debug)]
pub struct Settings {
    /// Columns that are tokenised, each once.
    pub columns: Vec<String>,
    /// Key, alphabet and separators.
    pub tokeniser: Tokeniser,
    /// How tweaks are made.
    pub tweak: Tweak,
    /// What stands for values that have no token; none: their changes fail.
    pub unfit_value: Option<String>,
}

impl Settings {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What is wrong, by key. The secret key is not repeated.
    pub fn read(config: &Config) -> Result<Settings, Failure> {
        let mut fields = config.fields()?;
        let given = fields.texts("columns")?.unwrap_or_default();
        let written = Written::take(&mut fields)?;
        let named = fields.text("alphabet")?;
        let characters = fields.text("characters")?;
        let separators = fields.text("separators")?;
        let tweak = Tweak { text: fields.text("tweak")?, column: fields.text("tweak_column")? };
        let unfit_value = fields.text("unfit_value")?;
        fields.finish()?;
        let mut columns: Vec<String> = Vec::new();
        for column in given {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        if columns.is_empty() {
            return Err(fields.refuse("columns", "must name at least one column"));
        }
        if tweak.column.as_ref().is_some_and(|column| columns.contains(column)) {
            return Err(fields.refuse("tweak_column", "must not be one of `columns`"));
        }
        let alphabet = alphabet(&fields, named, characters)?;
        let separators = match separators {
            Some(own) if own.chars().any(|character| alphabet.digit(character).is_some()) => {
                return Err(fields.refuse("separators", "must have no character of the alphabet"));
            }
            Some(own) => own,
            // A given alphabet may have some of the usual ones itself.
            None => SEPARATORS.chars().filter(|&usual| alphabet.digit(usual).is_none()).collect(),
        };
        let key = written.decode(&fields)?;
        let ff1 = Ff1::new(key.bytes(), alphabet.radix()).map_err(|error| match error {
            Error::KeyLength(bytes) => {
                let reason =
                    format!("has {bytes} bytes, and AES takes 16, 24 or 32: openssl rand -hex 32");
                fields.refuse(KEY, &reason)
            }
            other => fields.refuse("characters", &format!("give {other}")),
        })?;
        let tokeniser = Tokeniser::new(ff1, alphabet, separators);
        Ok(Settings { columns, tokeniser, tweak, unfit_value })
    }
}

fn alphabet(
    fields: &Fields,
    named: Option<String>,
    characters: Option<String>,
) -> Result<Alphabet, Failure> {
    match (named, characters) {
        (Some(name), None) => Alphabet::named(&name).ok_or_else(|| {
            let known =
                "must be digits, lower, upper or alphanumeric; for another set `characters`";
            fields.refuse("alphabet", known)
        }),
        (None, Some(characters)) => {
            Alphabet::of(&characters).map_err(|reason| fields.refuse("characters", reason))
        }
        _ => Err(fields.refuse("alphabet", "or `characters` must be given, and not both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(more: &str) -> String {
        let config = format!(r#"{{"columns":["a"]{more}}}"#);
        Settings::read(&Config::from_json(config)).expect_err("it was accepted").message
    }

    const BYTES: &str = r#","secret_key":"000102030405060708090a0b0c0d0e0f""#;

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        let none = Settings::read(&Config::from_json("{}")).expect_err("it was accepted");
        assert_eq!(none.message, "config: `columns` must name at least one column");
        let neither = "config: `alphabet` or `characters` must be given, and not both";
        assert_eq!(refused(BYTES), neither);
        assert_eq!(refused(r#","alphabet":"digits","characters":"01""#), neither);
        assert_eq!(
            refused(r#","alphabet":"hex""#),
            "config: `alphabet` must be digits, lower, upper or alphanumeric; for another set \
             `characters`"
        );
        assert_eq!(
            refused(r#","characters":"010""#),
            "config: `characters` must have each character once"
        );
        assert_eq!(
            refused(r#","alphabet":"digits","separators":"-1""#),
            "config: `separators` must have no character of the alphabet"
        );
        assert_eq!(refused(r#","alphabet":"digits""#), "config: `secret_key` is missing");
        assert_eq!(
            refused(r#","alphabet":"digits","secret_key":"0011""#),
            "config: `secret_key` has 2 bytes, and AES takes 16, 24 or 32: openssl rand -hex 32"
        );
        assert_eq!(
            refused(r#","alphabet":"digits","tweak_column":"a""#),
            "config: `tweak_column` must not be one of `columns`"
        );
        assert!(refused(r#","alphabet":"digits","tweek":"a""#).contains("unknown key `tweek`"));
    }

    #[test]
    fn the_key_chooses_the_cipher_and_is_not_printed() {
        for bytes in [16, 24, 32] {
            let key = "ab".repeat(bytes);
            let config =
                format!(r#"{{"columns":["a","a"],"alphabet":"digits","secret_key":"{key}"}}"#);
            let settings = Settings::read(&Config::from_json(config)).unwrap();
            assert_eq!(settings.columns, ["a"]);
            assert!(!format!("{settings:?}").contains("171"), "{settings:?}");
        }
    }
}
