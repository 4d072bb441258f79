//! The secret key of a plugin, as its configuration gives it: `secret_key` and `key_encoding`.
//!
//! Shared by the plugins that need one, so that a key is written the same way everywhere. No text
//! made here repeats the key or a part of it.

use std::fmt;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use offtake_sdk::{Failure, Fields};

/// The name of a key in the configuration. The gateway hides the value of what is called a secret
/// when it quotes a line of its configuration file.
pub const KEY: &str = "secret_key";

/// A key's bytes, which are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The bytes, for the cipher.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// A key as it was written, taken out of the configuration but not yet judged.
pub struct Written {
    key: Option<String>,
    encoding: Option<String>,
}

impl fmt::Debug for Written {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Written {
    /// Takes `secret_key` and `key_encoding` out of the configuration.
    ///
    /// # Errors
    /// One of them is no text.
    pub fn take(fields: &mut Fields) -> Result<Written, Failure> {
        Ok(Written { key: fields.text(KEY)?, encoding: fields.text("key_encoding")? })
    }

    /// The key's bytes. Call it after [`Fields::finish`]: a misspelt key is the likelier mistake.
    ///
    /// # Errors
    /// There is no key, or it is not written as `key_encoding` says.
    pub fn decode(self, fields: &Fields) -> Result<Key, Failure> {
        let Some(text) = self.key else { return Err(fields.refuse(KEY, "is missing")) };
        let wrong = |reason| Err(fields.refuse(KEY, reason));
        match self.encoding.as_deref() {
            None | Some("hex") => match base16ct::mixed::decode_vec(&text) {
                Ok(bytes) => Ok(Key(bytes)),
                Err(_) => wrong("is not hexadecimal; for another form set `key_encoding`"),
            },
            Some("base64") => match Base64Unpadded::decode_vec(text.trim_end_matches('=')) {
                // Where there is padding, it must be right.
                Ok(bytes) if !text.ends_with('=') || Base64::decode_vec(&text).is_ok() => {
                    Ok(Key(bytes))
                }
                _ => wrong("is not base64; for another form set `key_encoding`"),
            },
            Some("text") => Ok(Key(text.into_bytes())),
            Some(_) => Err(fields.refuse("key_encoding", "must be hex, base64 or text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Config;

    fn key(json: &str) -> Result<Vec<u8>, String> {
        let read = || {
            let mut fields = Config::from_json(json).fields()?;
            let written = Written::take(&mut fields)?;
            fields.finish()?;
            written.decode(&fields)
        };
        read().map(|key| key.bytes().to_vec()).map_err(|failure: Failure| failure.message)
    }

    #[test]
    fn a_key_is_read_in_each_encoding() {
        assert_eq!(key(r#"{"secret_key":"00ffAB"}"#), Ok(vec![0, 255, 171]));
        assert_eq!(key(r#"{"secret_key":"00ff","key_encoding":"hex"}"#), Ok(vec![0, 255]));
        assert_eq!(
            key(r#"{"secret_key":"AP+r/g==","key_encoding":"base64"}"#),
            Ok(vec![0, 255, 171, 254])
        );
        assert_eq!(
            key(r#"{"secret_key":"AP+r/g","key_encoding":"base64"}"#),
            Ok(vec![0, 255, 171, 254])
        );
        assert_eq!(
            key(r#"{"secret_key":"é!","key_encoding":"text"}"#),
            Ok("é!".as_bytes().to_vec())
        );
    }

    #[test]
    fn a_wrong_key_is_refused_and_not_repeated() {
        assert_eq!(key("{}"), Err("config: `secret_key` is missing".to_owned()));
        for secret in ["abc", "hunter2hunter2", "0x00ff", "00 ff"] {
            let message = key(&format!(r#"{{"secret_key":"{secret}"}}"#)).expect_err(secret);
            assert!(message.contains("`secret_key` is not hexadecimal"), "{message}");
            assert!(!message.contains(secret), "{message}");
        }
        for secret in ["AP+r/g=", "AP+r/g===", "A", "A-_A", "é"] {
            let config = format!(r#"{{"secret_key":"{secret}","key_encoding":"base64"}}"#);
            let message = key(&config).expect_err(secret);
            assert!(message.contains("`secret_key` is not base64"), "{message}");
        }
        let message =
            key(r#"{"secret_key":"00","key_encoding":"utf8"}"#).expect_err("it was accepted");
        assert_eq!(message, "config: `key_encoding` must be hex, base64 or text");
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Key(b"hunter2".to_vec())), "***");
    }
}
