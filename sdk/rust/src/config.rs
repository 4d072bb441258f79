//! A plugin's configuration: the `config` table of its TOML, as JSON.
//!
//! [`Fields`] hands out one key after the other and refuses in the end what nobody asked for, so
//! that a misspelt key is found at the start and not by its missing effect.

use crate::{Failure, Json};

/// The configuration as the gateway gives it.
#[derive(Clone, Debug)]
pub struct Config {
    text: String,
}

impl Config {
    /// Takes a JSON text; for tests of a plugin.
    pub fn from_json(text: impl Into<String>) -> Config {
        Config { text: text.into() }
    }

    /// The JSON text, for a plugin that brings its own reader.
    pub fn as_json(&self) -> &str {
        &self.text
    }

    /// The keys, to be taken one by one. An empty configuration has none.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn fields(&self) -> Result<Fields, Failure> {
        if self.text.is_empty() {
            return Ok(Fields::new(Vec::new(), String::new()));
        }
        match Json::parse(&self.text) {
            Ok(Json::Object(members)) => Ok(Fields::new(members, String::new())),
            Ok(other) => Err(refusal(&format!("must be an object, not {}", other.describe()))),
            Err(reason) => Err(refusal(&reason)),
        }
    }
}

/// The keys of an object. Take what is known, then call [`Fields::finish`].
///
/// ```
/// let config = offtake_sdk::Config::from_json(r#"{ "colums": ["email"] }"#);
/// let mut fields = config.fields()?;
/// let columns = fields.texts("columns")?;
/// assert_eq!(columns, None);
/// let refused = fields.finish().unwrap_err();
/// assert_eq!(refused.message, "config: unknown key `colums`; known are: columns");
/// # Ok::<(), offtake_sdk::Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fields {
    members: Vec<(String, Json)>,
    asked: Vec<String>,
    /// Where the object stands, for messages: empty, or `drop[0].`.
    place: String,
}

impl Fields {
    fn new(members: Vec<(String, Json)>, place: String) -> Fields {
        Fields { members, asked: Vec::new(), place }
    }

    /// Takes the value of a key.
    pub fn take(&mut self, key: &str) -> Option<Json> {
        self.asked.push(key.to_owned());
        let at = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.swap_remove(at).1)
    }

    /// Takes a string.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn required_text(&mut self, key: &str) -> Result<String, Failure> {
        self.text(key)?.ok_or_else(|| self.refuse(key, "is missing"))
    }

    /// Takes an array of strings.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Failure> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Json::List(values) = value else {
            return Err(self.wrong(key, "an array of strings", &value));
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Json::Text(text) => texts.push(text),
                other => return Err(self.wrong(key, "an array of strings", &other)),
            }
        }
        Ok(Some(texts))
    }

    /// Takes a whole number from 0 to 4,294,967,295.
    ///
    /// # Errors
    /// It is something else.
    pub fn count(&mut self, key: &str) -> Result<Option<u32>, Failure> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Json::Number(number) = &value else {
            return Err(self.wrong(key, "a whole number", &value));
        };
        number
            .parse()
            .map(Some)
            .map_err(|_| self.refuse(key, "must be a whole number from 0 to 4294967295"))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, "true or false", &other)),
        }
    }

    /// Takes an array of objects.
    ///
    /// # Errors
    /// It is something else.
    pub fn objects(&mut self, key: &str) -> Result<Option<Vec<Fields>>, Failure> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Json::List(values) = value else {
            return Err(self.wrong(key, "an array of objects", &value));
        };
        let mut objects = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            match value {
                Json::Object(members) => {
                    objects.push(Fields::new(members, format!("{}{key}[{index}].", self.place)));
                }
                other => return Err(self.wrong(key, "an array of objects", &other)),
            }
        }
        Ok(Some(objects))
    }

    /// A refusal of a key's value that names the key.
    pub fn refuse(&self, key: &str, reason: &str) -> Failure {
        refusal(&format!("`{}{key}` {reason}", self.place))
    }

    fn wrong(&self, key: &str, expected: &str, found: &Json) -> Failure {
        self.refuse(key, &format!("must be {expected}, not {}", found.describe()))
    }

    /// Ends the reading. Call it before judging values: a misspelt key is the likelier mistake.
    ///
    /// # Errors
    /// A key is left that nobody asked for.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.members.first() {
            None => Ok(()),
            Some((key, _)) => {
                let mut reason = format!("unknown key `{}{key}`; known are: ", self.place);
                for (index, known) in self.asked.iter().enumerate() {
                    reason.push_str(if index == 0 { "" } else { ", " });
                    reason.push_str(known);
                }
                Err(refusal(&reason))
            }
        }
    }
}

fn refusal(reason: &str) -> Failure {
    Failure::permanent(format!("config: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Config::from_json(json).fields().unwrap()
    }

    #[test]
    fn values_are_taken_by_type() {
        let mut all = fields(r#"{"t":"x","l":["a","b"],"n":7,"b":true,"o":[{"k":"v"}]}"#);
        assert_eq!(all.text("t").unwrap().as_deref(), Some("x"));
        assert_eq!(all.texts("l").unwrap(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(all.count("n").unwrap(), Some(7));
        assert_eq!(all.boolean("b").unwrap(), Some(true));
        let mut objects = all.objects("o").unwrap().unwrap();
        assert_eq!(objects[0].required_text("k").unwrap(), "v");
        assert_eq!(all.text("missing").unwrap(), None);
        all.finish().unwrap();
    }

    #[test]
    fn wrong_types_name_the_key_and_both_types() {
        let message = fields(r#"{"n":"7"}"#).count("n").unwrap_err().message;
        assert_eq!(message, "config: `n` must be a whole number, not a string");
        let message = fields(r#"{"n":-1}"#).count("n").unwrap_err().message;
        assert_eq!(message, "config: `n` must be a whole number from 0 to 4294967295");
        let mut objects = fields(r#"{"drop":[{}]}"#).objects("drop").unwrap().unwrap();
        let message = objects[0].required_text("column").unwrap_err().message;
        assert_eq!(message, "config: `drop[0].column` is missing");
    }

    #[test]
    fn an_empty_configuration_has_no_keys_and_another_value_is_refused() {
        Config::from_json("").fields().unwrap().finish().unwrap();
        let message = Config::from_json("[]").fields().unwrap_err().message;
        assert_eq!(message, "config: must be an object, not an array");
        assert!(Config::from_json("{").fields().is_err());
    }
}
