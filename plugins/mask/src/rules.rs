//! The configuration: which columns are covered, and how.
//!
//! A rule names columns and a strategy. The rule at the top, without `strategy`, is the plugin's
//! first form; `rules` adds others.

use offtake_sdk::{ColumnInfo, Config, Failure, Fields, Json, Schema};

use crate::text::{Characters, Cover, Kept};
use crate::value::Owned;
use crate::{fits, fixed};

/// Columns that are covered alike.
#[derive(Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) columns: Vec<String>,
    strategy: Strategy,
}

#[derive(Debug, PartialEq)]
enum Strategy {
    Cover(Cover),
    Characters(Characters),
    Constant(Json),
    Null,
    Fixed,
}

/// What becomes of a column's values.
#[derive(Debug, PartialEq)]
pub(crate) enum Replacement<'r> {
    Cover(&'r Cover),
    Characters(&'r Characters),
    Null,
    Value(Owned),
}

/// Reads all rules, each column in one of them.
pub(crate) fn read(config: &Config) -> Result<Vec<Rule>, Failure> {
    let mut fields = config.fields()?;
    let columns = fields.texts("columns")?;
    let further = fields.objects("rules")?;
    let mut rules = Vec::new();
    // Settings at the top go with the columns there, and would have no effect without them.
    if columns.is_some() || further.is_none() {
        rules.push(rule(&mut fields, columns)?);
    } else {
        fields.finish()?;
    }
    if further.as_ref().is_some_and(Vec::is_empty) {
        return Err(fields.refuse("rules", "must have at least one rule"));
    }
    for mut object in further.unwrap_or_default() {
        let columns = object.texts("columns")?;
        rules.push(rule(&mut object, columns)?);
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        for name in &rule.columns {
            // Within one rule it says the same twice, as it always could.
            let before = rules.iter().take(index).any(|other| other.columns.contains(name));
            if before && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    match names.first() {
        None => Ok(rules),
        Some(name) => Err(fields.refuse("rules", &format!("name the column {name} twice"))),
    }
}

/// Reads what a rule has beside its columns.
fn rule(fields: &mut Fields, columns: Option<Vec<String>>) -> Result<Rule, Failure> {
    let strategy = fields.text("strategy")?;
    let strategy = match strategy.as_deref() {
        None | Some("cover") => {
            let kept = kept(fields)?;
            let with = fields.text("with")?;
            fields.finish()?;
            Strategy::Cover(Cover { kept, with: character(fields, "with", with, '*')? })
        }
        Some("characters") => {
            let kept = kept(fields)?;
            let (digit, letter) = (fields.text("digit")?, fields.text("letter")?);
            fields.finish()?;
            let digit = character(fields, "digit", digit, '0')?;
            let letter = character(fields, "letter", letter, 'x')?;
            Strategy::Characters(Characters { kept, digit, letter })
        }
        Some("constant") => {
            let value = fields.take("value");
            fields.finish()?;
            match value {
                Some(value @ (Json::Text(_) | Json::Number(_) | Json::Boolean(_))) => {
                    Strategy::Constant(value)
                }
                _ => {
                    let reason = "must be a text, a number or true or false";
                    return Err(fields.refuse("value", reason));
                }
            }
        }
        Some("null") => Strategy::Null,
        Some("fixed") => Strategy::Fixed,
        Some(_) => {
            let known = "must be cover, characters, constant, null or fixed";
            return Err(fields.refuse("strategy", known));
        }
    };
    fields.finish()?;
    match columns {
        Some(columns) if !columns.is_empty() => Ok(Rule { columns, strategy }),
        _ => Err(fields.refuse("columns", "must name at least one column")),
    }
}

fn kept(fields: &mut Fields) -> Result<Kept, Failure> {
    let last = fields.count("keep_last")?.unwrap_or(0) as usize;
    let first = fields.count("keep_first")?.unwrap_or(0) as usize;
    Ok(Kept { first, last })
}

fn character(
    fields: &Fields,
    key: &str,
    text: Option<String>,
    default: char,
) -> Result<char, Failure> {
    let Some(text) = text else { return Ok(default) };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(character),
        _ => Err(fields.refuse(key, "must be exactly one character")),
    }
}

impl Rule {
    /// Refuses a column that the strategy has no value for, and says which strategies have.
    pub(crate) fn check(
        &self,
        schema: &Schema,
        ordinal: u32,
        column: &ColumnInfo,
    ) -> Result<(), Failure> {
        let in_key = schema.key.contains(&ordinal);
        let reason = match self.replacement(column) {
            Err(reason) => reason,
            Ok(Replacement::Null) if in_key => "`null` cannot cover a column of the key".to_owned(),
            // One value for all rows would make them one row downstream.
            Ok(Replacement::Value(_)) if in_key && schema.key.len() == 1 => {
                let strategy = self.strategy.name();
                format!("`{strategy}` would give every row the same key")
            }
            Ok(_) => return Ok(()),
        };
        let others = fitting(column, in_key, in_key && schema.key.len() == 1);
        Err(schema.refuse(column, &format!("{reason}; {others}")))
    }

    /// What becomes of a column's values.
    ///
    /// # Errors
    /// Why the strategy has nothing for the column.
    pub(crate) fn replacement(&self, column: &ColumnInfo) -> Result<Replacement<'_>, String> {
        match &self.strategy {
            Strategy::Cover(_) | Strategy::Characters(_) if !column.is_free_text() => {
                Err(format!("`{}` covers text columns only", self.strategy.name()))
            }
            Strategy::Cover(cover) => Ok(Replacement::Cover(cover)),
            Strategy::Characters(characters) => Ok(Replacement::Characters(characters)),
            Strategy::Null if !column.nullable => {
                Err("`null` needs a column that may be NULL, and this one is NOT NULL".to_owned())
            }
            Strategy::Null => Ok(Replacement::Null),
            Strategy::Constant(value) => fits::constant(column, value).map(Replacement::Value),
            Strategy::Fixed => match fixed::value(column) {
                Some(value) => Ok(Replacement::Value(value)),
                None => Err("`fixed` knows no value of this type".to_owned()),
            },
        }
    }
}

impl Strategy {
    fn name(&self) -> &'static str {
        match self {
            Strategy::Cover(_) => "cover",
            Strategy::Characters(_) => "characters",
            Strategy::Constant(_) => "constant",
            Strategy::Null => "null",
            Strategy::Fixed => "fixed",
        }
    }
}

/// The strategies that would do, for the end of a refusal.
fn fitting(column: &ColumnInfo, in_key: bool, alone_in_key: bool) -> String {
    let mut fitting: Vec<&str> = Vec::new();
    if column.is_free_text() {
        fitting.extend(["cover", "characters"]);
    }
    if !alone_in_key {
        if fixed::value(column).is_some() {
            fitting.push("fixed");
        }
        fitting.push("constant with a value of the type");
    }
    if column.nullable && !in_key {
        fitting.push("null");
    }
    match fitting.is_empty() {
        true => "no strategy fits: see the plugins hash and tokenise".to_owned(),
        false => format!("what fits: {}", fitting.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Kind;

    fn rules(json: &str) -> Result<Vec<Rule>, String> {
        read(&Config::from_json(json)).map_err(|failure| failure.message)
    }

    fn refused(json: &str) -> String {
        rules(json).expect_err("it was accepted")
    }

    fn schema(kind: Kind, logical: &str, nullable: bool, key: &[u32]) -> Schema {
        let column = |name: &str| {
            let native = logical.to_owned();
            ColumnInfo { kind, native, nullable, ..ColumnInfo::new(name, logical) }
        };
        Schema::new("public", "people", vec![column("a"), column("b")], key)
    }

    fn check(strategy: &str, schema: &Schema) -> Result<(), String> {
        let config = format!(r#"{{"rules":[{{"columns":["a"],{strategy}}}]}}"#);
        let rules = rules(&config).expect("a rule");
        rules[0].check(schema, 0, &schema.columns[0]).map_err(|failure| failure.message)
    }

    #[test]
    fn the_first_form_of_the_configuration_is_one_rule() {
        let kept = Kept { first: 0, last: 4 };
        let cover = Strategy::Cover(Cover { kept, with: '*' });
        let columns = vec!["email".to_owned(), "email".to_owned()];
        assert_eq!(
            rules(r#"{"columns":["email","email"],"keep_last":4}"#),
            Ok(vec![Rule { columns, strategy: cover }])
        );
        let defaults = rules(r#"{"columns":["email"]}"#).unwrap();
        let kept = Kept { first: 0, last: 0 };
        assert_eq!(defaults[0].strategy, Strategy::Cover(Cover { kept, with: '*' }));
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `columns` must name at least one column");
        assert_eq!(
            refused(r#"{"columns":["a"],"keep":1}"#),
            "config: unknown key `keep`; known are: columns, rules, strategy, keep_last, \
             keep_first, with"
        );
        let one_character = "config: `with` must be exactly one character";
        assert_eq!(refused(r#"{"columns":["a"],"with":"xx"}"#), one_character);
        assert_eq!(refused(r#"{"columns":["a"],"with":""}"#), one_character);
        assert_eq!(
            refused(r#"{"columns":["a"],"strategy":"hash"}"#),
            "config: `strategy` must be cover, characters, constant, null or fixed"
        );
        assert_eq!(
            refused(r#"{"columns":["a"],"strategy":"constant"}"#),
            "config: `value` must be a text, a number or true or false"
        );
        assert_eq!(refused(r#"{"rules":[]}"#), "config: `rules` must have at least one rule");
        assert_eq!(
            refused(r#"{"rules":[{"strategy":"null"}]}"#),
            "config: `rules[0].columns` must name at least one column"
        );
        assert_eq!(
            refused(r#"{"columns":["a"],"rules":[{"columns":["b","a"],"strategy":"null"}]}"#),
            "config: `rules` name the column a twice"
        );
    }

    #[test]
    fn a_setting_that_would_have_no_effect_is_refused() {
        assert_eq!(
            refused(r#"{"columns":["a"],"strategy":"null","keep_last":1}"#),
            "config: unknown key `keep_last`; known are: columns, rules, strategy"
        );
        assert_eq!(
            refused(r#"{"keep_last":1,"rules":[{"columns":["a"]}]}"#),
            "config: unknown key `keep_last`; known are: columns, rules"
        );
        assert_eq!(
            refused(r#"{"rules":[{"columns":["a"],"strategy":"fixed","value":1}]}"#),
            "config: unknown key `rules[0].value`; known are: columns, strategy"
        );
    }

    #[test]
    fn a_column_that_the_strategy_cannot_cover_is_refused_with_what_would() {
        let table = schema(Kind::Int64, "int4", true, &[]);
        assert_eq!(
            check(r#""keep_last":4"#, &table),
            Err("public.people.a has type int4: `cover` covers text columns only; what fits: \
                 fixed, constant with a value of the type, null"
                .to_owned())
        );
        assert_eq!(
            check(r#""strategy":"constant","value":2147483648"#, &table),
            Err("public.people.a has type int4: `value` must be a whole number from -2147483648 \
                 to 2147483647; what fits: fixed, constant with a value of the type, null"
                .to_owned())
        );
        let table = schema(Kind::Text, "enum", false, &[]);
        assert_eq!(
            check(r#""strategy":"fixed""#, &table),
            Err("public.people.a has type enum: `fixed` knows no value of this type; what fits: \
                 constant with a value of the type"
                .to_owned())
        );
        assert_eq!(
            check(r#""strategy":"null""#, &schema(Kind::Text, "text", false, &[])),
            Err("public.people.a has type text: `null` needs a column that may be NULL, and this \
                 one is NOT NULL; what fits: cover, characters, fixed, constant with a value of \
                 the type"
                .to_owned())
        );
    }

    #[test]
    fn a_key_is_not_made_missing_and_not_made_one_for_all_rows() {
        let alone = schema(Kind::Text, "uuid", true, &[0]);
        let message = check(r#""strategy":"fixed""#, &alone).unwrap_err();
        assert_eq!(
            message,
            "public.people.a has type uuid: `fixed` would give every row the same key; no \
             strategy fits: see the plugins hash and tokenise"
        );
        let pair = schema(Kind::Text, "uuid", true, &[0, 1]);
        assert_eq!(check(r#""strategy":"fixed""#, &pair), Ok(()));
        let message = check(r#""strategy":"null""#, &pair).unwrap_err();
        assert!(message.contains("`null` cannot cover a column of the key"), "{message}");
        assert_eq!(check(r#""keep_first":1"#, &schema(Kind::Text, "text", true, &[0])), Ok(()));
    }
}
