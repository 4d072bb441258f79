//! `builtin:hash` replaces values by keyed digests: HMAC-SHA-256 of the value's canonical text.
//!
//! Equal values have equal digests, so rows can still be joined, counted and keyed by them; without
//! the key nobody can tell a value from its digest, not even by trying all of them. It protects, so
//! it covers both images and fails closed. README.md has the configuration and what a digest does
//! not hide.
//!
//! `canonical` is what of a value is hashed, `digest` the computation, `output` what is written.

mod canonical;
mod digest;
mod output;

use offtake_plugin_keys::{KEY, Written};
use offtake_sdk::{
    Batch, Column, ColumnInfo, Config, Failure, Field, Image, Info, Interest, Kind, Schema,
    Transform, Value, Verdict,
};

use digest::{Keyed, Scope};
use output::{Encoding, Form};

/// Fewest bytes of a key: 128 bits, which nobody tries out.
const SHORTEST_KEY: usize = 16;

struct Hash {
    columns: Vec<String>,
    keyed: Keyed,
    form: Form,
}

/// What a column's digests are written as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Text,
    Bytes,
    Uuid,
}

impl Hash {
    /// How a column takes a digest.
    ///
    /// # Errors
    /// Why its type does not, and what would.
    fn target(&self, column: &ColumnInfo) -> Result<Target, String> {
        match column.kind {
            Kind::Bytes => match self.form.length {
                Some(length) if length > digest::BYTES => Err(format!(
                    "`length` is {length}, and in a bytea column it counts the digest's {} bytes",
                    digest::BYTES
                )),
                _ => Ok(Target::Bytes),
            },
            Kind::Text if column.logical == "uuid" => Ok(Target::Uuid),
            Kind::Text if column.is_free_text() => match column_length(column) {
                Some(most) if most < self.form.characters() => Err(format!(
                    "its {most} characters do not hold a digest of {}; {}",
                    self.form.characters(),
                    match most {
                        ..output::SHORTEST => format!(
                            "the shortest has {}: widen the column, or use mask",
                            output::SHORTEST
                        ),
                        _ => format!("set `length` to {most} or less"),
                    },
                )),
                _ => Ok(Target::Text),
            },
            _ => Err("hash writes text, bytes or a UUID, and the type holds none of them; it \
                      covers text, varchar, char, bytea and uuid columns. For other types use \
                      mask with the strategy fixed or null"
                .to_owned()),
        }
    }
}

/// The most characters of `varchar(n)` and its like.
fn column_length(column: &ColumnInfo) -> Option<usize> {
    let (_, length) = column.logical.strip_suffix(')')?.split_once('(')?;
    length.parse().ok()
}

impl Transform for Hash {
    fn configure(config: Config) -> Result<Hash, Failure> {
        let mut fields = config.fields()?;
        let columns = fields.texts("columns")?.unwrap_or_default();
        let written = Written::take(&mut fields)?;
        let output = fields.text("output")?;
        let length = fields.count("length")?;
        let scope = fields.text("scope")?;
        fields.finish()?;
        if columns.is_empty() {
            return Err(fields.refuse("columns", "must name at least one column"));
        }
        let encoding = match output.as_deref() {
            None | Some("hex") => Encoding::Hex,
            Some("base64") => Encoding::Base64,
            Some("base64url") => Encoding::Base64Url,
            Some(_) => return Err(fields.refuse("output", "must be hex, base64 or base64url")),
        };
        let form = Form::new(encoding, length).map_err(|most| {
            let reason = format!("must be from {} to {most} with this output", output::SHORTEST);
            fields.refuse("length", &reason)
        })?;
        let scope = match scope.as_deref() {
            None | Some("column") => Scope::Column,
            Some("global") => Scope::Global,
            Some(_) => return Err(fields.refuse("scope", "must be column or global")),
        };
        let key = written.decode(&fields)?;
        if key.bytes().len() < SHORTEST_KEY {
            let reason = format!(
                "has {} bytes and must have at least {SHORTEST_KEY}, better 32: openssl rand -hex 32",
                key.bytes().len()
            );
            return Err(fields.refuse(KEY, &reason));
        }
        Ok(Hash { columns, keyed: Keyed::new(&key, scope), form })
    }

    fn info(&self) -> Info {
        Info::new("hash", env!("CARGO_PKG_VERSION")).protecting(&self.columns)
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        for name in &self.columns {
            if let Some((_, column)) = schema.column(name) {
                self.target(column).map_err(|reason| schema.refuse(column, &reason))?;
            }
        }
        Ok(Interest::in_columns(schema, &self.columns))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let schema = batch.schema();
        for (index, name) in self.columns.iter().enumerate() {
            let Some((_, info)) = schema.column(name) else { continue };
            // A column that is named twice is hashed once.
            if self.columns.iter().take(index).any(|before| before == name) {
                continue;
            }
            let target = self.target(info).map_err(|reason| schema.refuse(info, &reason))?;
            let keyed = self.keyed.of_column(schema, info);
            for image in Image::BOTH {
                let Some(column) = batch.column(image, name)? else { continue };
                for row in 0..batch.rows() {
                    if let Field::Value(value) = column.field(row) {
                        let digest = keyed.digest(info, value);
                        self.write(&digest, target, column, row, verdict);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Hash {
    fn write(
        &self,
        digest: &digest::Digest,
        target: Target,
        column: Column<'_>,
        row: u32,
        verdict: &mut Verdict<'_>,
    ) {
        match target {
            Target::Text => self.form.write(digest, &mut verdict.write_text(column.id(), row)),
            Target::Uuid => output::write_uuid(digest, &mut verdict.write_text(column.id(), row)),
            Target::Bytes => {
                let bytes = digest.get(..self.form.length.unwrap_or(digest::BYTES));
                verdict.set(column.id(), row, Value::Bytes(bytes.unwrap_or(digest)));
            }
        }
    }
}

offtake_sdk::export!(Hash);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &str = "000102030405060708090a0b0c0d0e0f";

    fn configured(more: &str) -> Result<Hash, String> {
        let config = format!(r#"{{"columns":["a"],"secret_key":"{BYTES}"{more}}}"#);
        Hash::configure(Config::from_json(config)).map_err(|failure| failure.message)
    }

    fn refused(json: &str) -> String {
        let failure = Hash::configure(Config::from_json(json)).err().expect("it was accepted");
        failure.message
    }

    fn column(kind: Kind, logical: &str) -> ColumnInfo {
        let native = logical.to_owned();
        ColumnInfo { kind, native, ..ColumnInfo::new("a", logical) }
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `columns` must name at least one column");
        assert_eq!(refused(r#"{"columns":["a"]}"#), "config: `secret_key` is missing");
        assert_eq!(
            refused(r#"{"columns":["a"],"salt":"00"}"#),
            "config: unknown key `salt`; known are: columns, secret_key, key_encoding, output, length, \
             scope"
        );
        assert_eq!(
            refused(r#"{"columns":["a"],"secret_key":"00010203"}"#),
            "config: `secret_key` has 4 bytes and must have at least 16, better 32: openssl rand -hex 32"
        );
        let message = |more: &str| configured(more).err().expect("it was accepted");
        assert_eq!(
            message(r#","output":"octal""#),
            "config: `output` must be hex, base64 or base64url"
        );
        assert_eq!(message(r#","scope":"table""#), "config: `scope` must be column or global");
        assert_eq!(
            message(r#","length":65"#),
            "config: `length` must be from 8 to 64 with this output"
        );
        assert_eq!(
            message(r#","length":44,"output":"base64""#),
            "config: `length` must be from 8 to 43 with this output"
        );
        assert!(message(r#","length":7"#).contains("`length` must be from 8"));
    }

    #[test]
    fn a_column_takes_a_digest_as_its_type_can() {
        let hash = configured("").unwrap();
        assert_eq!(hash.target(&column(Kind::Text, "text")), Ok(Target::Text));
        assert_eq!(hash.target(&column(Kind::Text, "varchar(64)")), Ok(Target::Text));
        assert_eq!(hash.target(&column(Kind::Bytes, "bytes")), Ok(Target::Bytes));
        assert_eq!(hash.target(&column(Kind::Text, "uuid")), Ok(Target::Uuid));
        for (kind, logical) in [
            (Kind::Int64, "int8"),
            (Kind::Float64, "float8"),
            (Kind::Boolean, "bool"),
            (Kind::Text, "decimal(12,2)"),
            (Kind::Text, "jsonb"),
            (Kind::Text, "list<text>"),
        ] {
            let reason = hash.target(&column(kind, logical)).expect_err(logical);
            assert!(reason.contains("text, varchar, char, bytea and uuid columns"), "{reason}");
        }
    }

    #[test]
    fn a_column_too_short_for_the_digest_is_refused_with_the_length_that_fits() {
        let hash = configured("").unwrap();
        assert_eq!(
            hash.target(&column(Kind::Text, "varchar(40)")),
            Err("its 40 characters do not hold a digest of 64; set `length` to 40 or less"
                .to_owned())
        );
        let reason = hash.target(&column(Kind::Text, "char(4)")).unwrap_err();
        assert!(reason.ends_with("widen the column, or use mask"), "{reason}");
        let shorter = configured(r#","length":40"#).unwrap();
        assert_eq!(shorter.target(&column(Kind::Text, "varchar(40)")), Ok(Target::Text));
        let reason = shorter.target(&column(Kind::Bytes, "bytes")).unwrap_err();
        assert!(reason.contains("it counts the digest's 32 bytes"), "{reason}");
    }
}
