//! What may be a stream's name, and what becomes of other characters.

use offtake_sdk::{Failure, Fields};

/// Longest name of a stream in bytes: Kafka's of a topic.
const STREAM_BYTES: usize = 249;
/// What the gateway's own streams begin with.
const RESERVED: &str = "__";

/// What becomes of characters that a stream's name cannot have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names {
    /// Stands for each of them; `None`: such a name is none.
    replacement: Option<char>,
}

impl Names {
    /// Reads the key `replace_invalid`: a character for each that a stream's name cannot have.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(fields: &mut Fields) -> Result<Names, Failure> {
        const KEY: &str = "replace_invalid";
        let Some(text) = fields.text(KEY)? else { return Ok(Names::default()) };
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) if is_good(only) => Ok(Names { replacement: Some(only) }),
            _ => Err(fields.refuse(KEY, "must be one of the characters A-Z a-z 0-9 . _ -")),
        }
    }

    /// The stream's name that a text is, or with other characters becomes.
    ///
    /// # Errors
    /// Why it is none; the reason does not repeat it.
    pub fn stream(&self, mut name: String) -> Result<String, &'static str> {
        if let Some(replacement) = self.replacement
            && !name.chars().all(is_good)
        {
            name = name.chars().map(|it| if is_good(it) { it } else { replacement }).collect();
        }
        if name.is_empty() || matches!(name.as_str(), "." | "..") {
            return Err("the stream's name would be empty, or dots alone");
        }
        if !name.chars().all(is_good) {
            return Err("the stream's name would have a character other than A-Z a-z 0-9 . _ - \
                        (see `replace_invalid`)");
        }
        if name.len() > STREAM_BYTES {
            return Err("the stream's name would be longer than 249 characters");
        }
        if name.starts_with(RESERVED) {
            return Err("the stream's name would begin with __, as the gateway's own do");
        }
        Ok(name)
    }
}

fn is_good(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Config;

    fn names(json: &str) -> Result<Names, Failure> {
        Names::read(&mut Config::from_json(json).fields().expect("it is JSON"))
    }

    #[test]
    fn a_name_is_one_that_the_gateway_takes() {
        let of = |name: &str| Names::default().stream(name.to_owned());
        for good in ["orders", "shop.public.orders-2", "_a", "A9", &"a".repeat(249)] {
            assert_eq!(of(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "a b", "é", "a/b", "__offtake", &"a".repeat(250)] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_characters_are_replaced_where_one_is_said() {
        let names = names(r#"{"replace_invalid":"-"}"#).expect("it is one");
        assert_eq!(names.stream("Größe x/y".to_owned()).as_deref(), Ok("Gr--e-x-y"));
        assert!(names.stream(String::new()).is_err());
        let underscore = self::names(r#"{"replace_invalid":"_"}"#).expect("it is one");
        assert!(underscore.stream("  a".to_owned()).is_err(), "it would begin with __");
    }

    #[test]
    fn the_replacement_is_one_good_character() {
        for bad in [r#""""#, r#""ab""#, r#""/""#, "1"] {
            assert!(names(&format!(r#"{{"replace_invalid":{bad}}}"#)).is_err(), "{bad}");
        }
    }
}
