//! `builtin:mask` covers text columns: every character but the last few becomes a mask character.
//!
//! It protects: the gateway always sends it both images, so that before, after and keys are
//! covered, and stops rather than let a change pass uncovered. A configured column that is no free
//! text is refused, because a masked value would not be one of its type. README.md has the
//! configuration.

use offtake_sdk::{
    Batch, Config, Failure, Image, Info, Interest, Schema, TextWriter, Transform, Verdict,
};

struct Mask {
    columns: Vec<String>,
    cover: Cover,
}

/// How a text is covered.
#[derive(Debug, PartialEq)]
struct Cover {
    keep_last: usize,
    with: char,
}

impl Cover {
    /// Writes `text` covered. A text of at most `keep_last` characters is covered whole: it has
    /// nothing that could be shown without showing all.
    fn write(&self, text: &str, out: &mut TextWriter<'_>) {
        let (covered, kept) = self.split(text);
        out.push_repeated(self.with, covered);
        out.push_str(kept);
    }

    /// How many characters are covered, and the rest.
    fn split<'t>(&self, text: &'t str) -> (usize, &'t str) {
        let ascii = text.is_ascii();
        let characters = if ascii { text.len() } else { text.chars().count() };
        if characters <= self.keep_last {
            return (characters, "");
        }
        let covered = characters - self.keep_last;
        let at = if ascii {
            covered
        } else {
            text.char_indices().nth(covered).map_or(text.len(), |(at, _)| at)
        };
        (covered, text.get(at..).unwrap_or_default())
    }
}

impl Transform for Mask {
    fn configure(config: Config) -> Result<Mask, Failure> {
        let mut fields = config.fields()?;
        let columns = fields.texts("columns")?.unwrap_or_default();
        let keep_last = fields.count("keep_last")?.unwrap_or(0) as usize;
        let with = fields.text("with")?.unwrap_or_else(|| "*".to_owned());
        fields.finish()?;
        if columns.is_empty() {
            return Err(fields.refuse("columns", "must name at least one column"));
        }
        let mut characters = with.chars();
        let (Some(with), None) = (characters.next(), characters.next()) else {
            return Err(fields.refuse("with", "must be exactly one character"));
        };
        Ok(Mask { columns, cover: Cover { keep_last, with } })
    }

    fn info(&self) -> Info {
        Info::new("mask", env!("CARGO_PKG_VERSION")).protecting(&self.columns)
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        for name in &self.columns {
            if let Some((_, column)) = schema.column(name)
                && !column.is_free_text()
            {
                return Err(schema.refuse(column, "mask covers text columns only"));
            }
        }
        Ok(Interest::in_columns(schema, &self.columns))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        for image in Image::BOTH {
            for name in &self.columns {
                let Some(column) = batch.text(image, name)? else { continue };
                for (row, text) in column.values() {
                    self.cover.write(text, &mut verdict.write_text(column.id(), row));
                }
            }
        }
        Ok(())
    }
}

offtake_sdk::export!(Mask);

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(json: &str) -> Result<Mask, String> {
        Mask::configure(Config::from_json(json)).map_err(|failure| failure.message)
    }

    fn refused(json: &str) -> String {
        configured(json).err().expect("it was accepted")
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let cover = |keep_last, text| Cover { keep_last, with: '*' }.split(text);
        assert_eq!(cover(4, "4111111111111111"), (12, "1111"));
        assert_eq!(cover(2, "Zoë😀"), (2, "ë😀"));
        assert_eq!(cover(0, "añb"), (3, ""));
    }

    #[test]
    fn a_text_not_longer_than_what_is_kept_is_covered_whole() {
        let cover = |keep_last, text| Cover { keep_last, with: '*' }.split(text);
        assert_eq!(cover(4, "1234"), (4, ""));
        assert_eq!(cover(4, "ë"), (1, ""));
        assert_eq!(cover(4, ""), (0, ""));
        assert_eq!(cover(4, "12345"), (1, "2345"));
    }

    #[test]
    fn defaults_are_a_star_and_nothing_kept() {
        let mask = configured(r#"{"columns":["email"]}"#).unwrap();
        assert_eq!(mask.cover, Cover { keep_last: 0, with: '*' });
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `columns` must name at least one column");
        assert_eq!(
            refused(r#"{"columns":["a"],"keep":1}"#),
            "config: unknown key `keep`; known are: columns, keep_last, with"
        );
        let one_character = "config: `with` must be exactly one character";
        assert_eq!(refused(r#"{"columns":["a"],"with":"xx"}"#), one_character);
        assert_eq!(refused(r#"{"columns":["a"],"with":""}"#), one_character);
    }
}
