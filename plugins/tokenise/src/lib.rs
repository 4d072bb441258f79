//! `builtin:tokenise` replaces values by tokens of the same form: a card number by another number
//! of as many digits, with its dashes where they were (FF1, format-preserving encryption).
//!
//! Equal values have equal tokens and different values different ones, and whoever has the key can
//! turn a token back. It protects, so it covers both images and fails closed. README.md has the
//! configuration, what a token does not hide, and how a key is changed.
//!
//! `alphabet` is the characters, `token` a text's way to its token, `tweak` what else a token
//! depends on; the cipher is the crate `offtake-plugin-ff1`.

mod alphabet;
mod settings;
mod token;
mod tweak;

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Image, Info, Interest, Schema, Transform, Verdict,
};

pub use settings::Settings;
pub use token::{Tokeniser, Unfit};
pub use tweak::Tweak;

/// The plugin.
struct Tokenise {
    settings: Settings,
}

impl Tokenise {
    /// Refuses a column that cannot hold tokens.
    fn check(&self, schema: &Schema, ordinal: u32, column: &ColumnInfo) -> Result<(), Failure> {
        if !column.is_free_text() {
            let reason = "tokenise covers text columns only: a token may begin with zeros, and a \
                          number or a date would not be one any more. What fits: text, varchar \
                          and char columns; for others hash (uuid, bytea) or mask";
            return Err(schema.refuse(column, reason));
        }
        let Some(constant) = &self.settings.unfit_value else { return Ok(()) };
        if schema.key.contains(&ordinal) {
            let reason = "`unfit_value` could give several rows the same key; leave it out, so \
                          that such a change fails instead";
            return Err(schema.refuse(column, reason));
        }
        match column_length(column) {
            Some(most) if constant.chars().count() > most => {
                let reason = format!("`unfit_value` is longer than its {most} characters");
                Err(schema.refuse(column, &reason))
            }
            _ => Ok(()),
        }
    }

    /// Sets the tokens of a column of an image.
    fn tokenise(
        &self,
        batch: &Batch<'_>,
        image: Image,
        name: &str,
        failed: &mut Vec<u32>,
        verdict: &mut Verdict<'_>,
    ) -> Result<(), Failure> {
        let Some(column) = batch.text(image, name)? else { return Ok(()) };
        let schema = batch.schema();
        let mut tweak = self.settings.tweak.of_column(batch, image, name)?;
        for (row, text) in column.values() {
            let Some(tweak) = tweak.of_row(row) else {
                let reason = self.settings.tweak.missing(schema, name);
                fail(row, reason, failed, verdict);
                continue;
            };
            let token = self.settings.tokeniser.tokenise(tweak, text);
            match (token, &self.settings.unfit_value) {
                (Ok(token), _) => token.write(&mut verdict.write_text(column.id(), row)),
                (Err(_), Some(constant)) => {
                    verdict.write_text(column.id(), row).push_str(constant);
                }
                (Err(unfit), None) => {
                    let place = schema.qualified_name();
                    fail(row, format!("{place}.{name}: {unfit}"), failed, verdict);
                }
            }
        }
        Ok(())
    }
}

/// Fails a row, once.
fn fail(row: u32, reason: String, failed: &mut Vec<u32>, verdict: &mut Verdict<'_>) {
    if !failed.contains(&row) {
        failed.push(row);
        verdict.fail(row, Failure::permanent(reason));
    }
}

/// The most characters of `varchar(n)` and its like.
fn column_length(column: &ColumnInfo) -> Option<usize> {
    let (_, length) = column.logical.strip_suffix(')')?.split_once('(')?;
    length.parse().ok()
}

impl Transform for Tokenise {
    fn configure(config: Config) -> Result<Tokenise, Failure> {
        Ok(Tokenise { settings: Settings::read(&config)? })
    }

    fn info(&self) -> Info {
        Info::new("tokenise", env!("CARGO_PKG_VERSION")).protecting(&self.settings.columns)
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let mut wanted: Vec<&str> = Vec::new();
        for name in &self.settings.columns {
            if let Some((ordinal, column)) = schema.column(name) {
                self.check(schema, ordinal, column)?;
                self.settings.tweak.check(schema, name)?;
                wanted.push(name);
            }
        }
        if !wanted.is_empty() {
            wanted.extend(self.settings.tweak.column());
        }
        Ok(Interest::in_columns(schema, wanted))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let mut failed = Vec::new();
        for name in &self.settings.columns {
            for image in Image::BOTH {
                self.tokenise(batch, image, name, &mut failed, verdict)?;
            }
        }
        Ok(())
    }
}

offtake_sdk::export!(Tokenise);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Kind;

    fn tokenise(more: &str) -> Tokenise {
        let key = "2b7e151628aed2a6abf7158809cf4f3c";
        let config =
            format!(r#"{{"columns":["card"],"alphabet":"digits","secret_key":"{key}"{more}}}"#);
        Tokenise::configure(Config::from_json(config)).unwrap()
    }

    fn schema(kind: Kind, logical: &str, key: &[u32]) -> Schema {
        let column = |name: &str, kind, logical: &str, nullable| {
            let native = logical.to_owned();
            ColumnInfo { kind, native, nullable, ..ColumnInfo::new(name, logical) }
        };
        let columns = vec![
            column("card", kind, logical, true),
            column("id", Kind::Int64, "int8", false),
            column("tenant", Kind::Text, "text", true),
            column("weight", Kind::Float64, "float8", false),
        ];
        Schema::new("public", "cards", columns, key)
    }

    fn refused(more: &str, schema: &Schema) -> String {
        tokenise(more).on_schema(schema).expect_err("it was accepted").message
    }

    #[test]
    fn columns_that_hold_no_tokens_are_refused() {
        for (kind, logical) in [
            (Kind::Int64, "int8"),
            (Kind::Text, "decimal(16,0)"),
            (Kind::Text, "uuid"),
            (Kind::Bytes, "bytes"),
            (Kind::Text, "list<text>"),
        ] {
            let message = refused("", &schema(kind, logical, &[1]));
            assert!(message.starts_with("public.cards.card has type "), "{message}");
            assert!(message.contains("What fits: text, varchar and char"), "{message}");
        }
        assert!(tokenise("").on_schema(&schema(Kind::Text, "varchar(19)", &[0])).is_ok());
    }

    #[test]
    fn a_constant_that_the_column_cannot_take_is_refused() {
        let constant = r#","unfit_value":"unknown""#;
        let message = refused(constant, &schema(Kind::Text, "varchar(6)", &[1]));
        assert!(message.contains("`unfit_value` is longer than its 6 characters"), "{message}");
        let message = refused(constant, &schema(Kind::Text, "text", &[0]));
        assert!(message.contains("several rows the same key"), "{message}");
        assert!(tokenise(constant).on_schema(&schema(Kind::Text, "text", &[1])).is_ok());
    }

    #[test]
    fn a_tweak_column_must_be_there_in_every_row() {
        let table = schema(Kind::Text, "text", &[1]);
        let message = refused(r#","tweak_column":"account""#, &table);
        assert_eq!(message, "public.cards has no column account, the `tweak_column` of card");
        let message = refused(r#","tweak_column":"tenant""#, &table);
        assert!(message.starts_with("public.cards.tenant has type text: "), "{message}");
        assert!(message.contains("may be NULL"), "{message}");
        let message = refused(r#","tweak_column":"weight""#, &table);
        assert!(message.contains("an integer, a boolean or a text"), "{message}");
        assert!(tokenise(r#","tweak_column":"id""#).on_schema(&table).is_ok());
    }
}
