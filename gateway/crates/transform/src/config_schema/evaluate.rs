//! Holds a configuration against a schema that `vocabulary` has passed.
//!
//! Every mistake is found, not only the first. Of several forms that a value may have and of which it
//! has none, the one is told that it comes nearest to.

use serde_json::{Map, Value};

use super::found::{Found, Outcome, Place, alternatives, missing, of_other_type, wrong_type};
use super::values::{bounds, equal, numbers};
use super::vocabulary::pointer;
use super::{
    ConfigFinding, ConfigMistake, ConfigSchema, JudgedConfig, NamedColumn, Nearest, SchemaMistake,
};

/// Schemas that are applied to values in one check, and elements that are compared.
const STEPS: u32 = 200_000;
/// Steps that a missing key counts as: one schema may ask for thousands, and be applied again and
/// again.
const KEY_STEPS: u32 = 100;
/// Schemas within schemas, references followed. The configuration itself is less deep.
const DEPTH: u32 = 200;
/// Findings of one check; more help nobody.
const FINDINGS: usize = 100;
/// Words of an `enum`, or keys, that a message lists.
const LISTED: usize = 20;

/// Holds a configuration against a schema.
pub(super) fn judge(
    schema: &ConfigSchema,
    config: &Value,
    nearest: Nearest<'_>,
) -> Result<JudgedConfig, SchemaMistake> {
    let mut check = Check { schema, nearest, steps: STEPS, depth: 0 };
    let mut place = Place::default();
    let outcome = check.apply(&schema.document, config, &mut place)?;
    let mut findings: Vec<ConfigFinding> = Vec::new();
    for found in outcome.found {
        if findings.len() < FINDINGS && !findings.contains(&found.finding) {
            findings.push(found.finding);
        }
    }
    let mut columns: Vec<NamedColumn> = Vec::new();
    for column in outcome.columns {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(JudgedConfig { findings, columns, secrets: outcome.secrets })
}

struct Check<'s> {
    schema: &'s ConfigSchema,
    nearest: Nearest<'s>,
    steps: u32,
    depth: u32,
}

type Judged = Result<Outcome, SchemaMistake>;

impl<'s> Check<'s> {
    fn step(&mut self) -> Result<(), SchemaMistake> {
        self.spend(1)
    }

    fn spend(&mut self, steps: u32) -> Result<(), SchemaMistake> {
        self.steps = self.steps.checked_sub(steps).ok_or_else(|| {
            SchemaMistake::new(
                "",
                "a configuration cannot be held against it in as many steps as \
                                    one may take",
            )
        })?;
        Ok(())
    }

    fn apply(&mut self, schema: &'s Value, value: &Value, place: &mut Place) -> Judged {
        self.step()?;
        if self.depth == DEPTH {
            let message = "it refers to itself without end, or is nested too deeply";
            return Err(SchemaMistake::new("", message));
        }
        self.depth += 1;
        let judged = match schema {
            Value::Object(keywords) => self.keywords(keywords, value, place),
            Value::Bool(false) => {
                let found = vec![place.bad("must not be given")];
                Ok(Outcome { found, ..Outcome::default() })
            }
            _ => Ok(Outcome::default()),
        };
        self.depth -= 1;
        judged
    }

    fn keywords(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &Value,
        place: &mut Place,
    ) -> Judged {
        let mut outcome = Outcome::default();
        if schema.get("writeOnly") == Some(&Value::Bool(true)) {
            outcome.secrets.push(place.pointer.clone());
        }
        if let Some(found) = schema.get("type").and_then(|types| wrong_type(types, value, place)) {
            // What else there is to say presupposes the type.
            outcome.found.push(found);
            return Ok(outcome);
        }
        if let (Some("column"), Some(name)) =
            (schema.get("format").and_then(Value::as_str), value.as_str())
        {
            let (pointer, name) = (place.pointer.clone(), name.to_owned());
            outcome.columns.push(NamedColumn { pointer, name });
        }
        let words = schema.get("enum").and_then(Value::as_array).map_or(0, Vec::len);
        self.spend(u32::try_from(words).unwrap_or(u32::MAX))?;
        let fixed = match (schema.get("const"), schema.get("enum")) {
            (Some(only), _) if !equal(only, value) => Some(std::slice::from_ref(only)),
            (_, Some(Value::Array(allowed))) => {
                let fits = allowed.iter().any(|allowed| equal(allowed, value));
                (!fits).then_some(allowed.as_slice())
            }
            _ => None,
        };
        outcome.found.extend(fixed.map(|allowed| self.not_allowed(allowed, value, place)));
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(pointer)
            && let Some(target) = self.schema.document.pointer(target)
        {
            outcome.extend(self.apply(target, value, place)?);
        }
        match value {
            Value::Number(_) => numbers(schema, value, place, &mut outcome.found),
            Value::String(text) => self.text(schema, text, place, &mut outcome.found),
            Value::Array(items) => self.list(schema, items, place, &mut outcome)?,
            Value::Object(members) => {
                self.table(schema, members, place, &mut outcome)?;
                self.dependent(schema, value, place, &mut outcome)?;
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value, place, &mut outcome)?;
        Ok(outcome)
    }

    fn not_allowed(&self, allowed: &[Value], value: &Value, place: &Place) -> Found {
        let listed: Vec<String> = allowed.iter().take(LISTED).map(Value::to_string).collect();
        let more = if allowed.len() > LISTED { " or others" } else { "" };
        let message = format!("{} must be {}{more}", place.name(), alternatives(&listed));
        let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let near = value.as_str().and_then(|given| (self.nearest)(given, &words));
        let help = near.map(|word| format!("did you mean \"{word}\"?"));
        let found = place.found(ConfigMistake::BadValue, &message, help);
        Found { tells_apart: true, ..found }
    }

    fn text(&self, schema: &Map<String, Value>, text: &str, place: &Place, found: &mut Vec<Found>) {
        let length = text.chars().count() as u64;
        bounds(schema, "minLength", "maxLength", length, "character", place, found);
        let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return };
        if !self.matches(pattern, text) {
            let examples = schema.get("examples").and_then(Value::as_array);
            let example = match examples.and_then(|all| all.first()) {
                Some(example) => format!(", for example {example}"),
                None => String::new(),
            };
            found.push(place.bad(&format!("must have the form {pattern}{example}")));
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        self.schema.patterns.get(pattern).is_none_or(|pattern| pattern.is_match(text))
    }

    fn list(
        &mut self,
        schema: &'s Map<String, Value>,
        items: &[Value],
        place: &mut Place,
        outcome: &mut Outcome,
    ) -> Result<(), SchemaMistake> {
        let length = items.len() as u64;
        bounds(schema, "minItems", "maxItems", length, "element", place, &mut outcome.found);
        let first = schema.get("prefixItems").and_then(Value::as_array);
        let first = first.map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| schema.get("items")) {
                let judged = place.at(index, |place| self.apply(schema, item, place))?;
                outcome.extend(judged);
            }
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            for (index, item) in items.iter().enumerate() {
                let before = items.get(..index).unwrap_or_default();
                self.spend(u32::try_from(index).unwrap_or(u32::MAX))?;
                if before.iter().any(|other| equal(other, item)) {
                    outcome.found.push(place.at(index, |place| place.bad("stands there twice")));
                }
            }
        }
        self.contains(schema, items, place, outcome)
    }

    fn contains(
        &mut self,
        schema: &'s Map<String, Value>,
        items: &[Value],
        place: &mut Place,
        outcome: &mut Outcome,
    ) -> Result<(), SchemaMistake> {
        let Some(contained) = schema.get("contains") else { return Ok(()) };
        let mut fitting = 0_u64;
        for (index, item) in items.iter().enumerate() {
            let judged = place.at(index, |place| self.apply(contained, item, place))?;
            if judged.found.is_empty() {
                fitting += 1;
                outcome.extend(judged);
            }
        }
        let least = schema.get("minContains").and_then(Value::as_u64).unwrap_or(1);
        let most = schema.get("maxContains").and_then(Value::as_u64).unwrap_or(u64::MAX);
        if !(least..=most).contains(&fitting) {
            let what = format!("has {fitting} elements of a form of which it must have {least}");
            let most = if most == u64::MAX { " or more".to_owned() } else { format!(" to {most}") };
            outcome.found.push(place.bad(&(what + &most)));
        }
        Ok(())
    }

    fn table(
        &mut self,
        schema: &'s Map<String, Value>,
        members: &Map<String, Value>,
        place: &mut Place,
        outcome: &mut Outcome,
    ) -> Result<(), SchemaMistake> {
        let length = members.len() as u64;
        bounds(schema, "minProperties", "maxProperties", length, "key", place, &mut outcome.found);
        let properties = schema.get("properties").and_then(Value::as_object);
        for key in texts(schema.get("required")) {
            self.step()?;
            if members.contains_key(key) {
                continue;
            }
            self.spend(KEY_STEPS)?;
            outcome.found.push(missing(key, properties, place));
        }
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
        for (key, value) in members {
            let mut known = false;
            if let Some(schema) = properties.and_then(|properties| properties.get(key)) {
                known = true;
                outcome.extend(place.within(key, |place| self.apply(schema, value, place))?);
            }
            for (pattern, schema) in by_pattern.into_iter().flatten() {
                if self.matches(pattern, key) {
                    known = true;
                    outcome.extend(place.within(key, |place| self.apply(schema, value, place))?);
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !known => {
                    let names = properties.into_iter().flat_map(Map::keys);
                    let names: Vec<&str> = names.map(String::as_str).collect();
                    outcome.found.push(self.unknown(key, &names, members, place));
                }
                Some(schema) if !known => {
                    outcome.extend(place.within(key, |place| self.apply(schema, value, place))?);
                }
                _ => {}
            }
            if let Some(schema) = schema.get("propertyNames") {
                let key_itself = Value::String(key.clone());
                outcome.extend(place.within(key, |place| self.apply(schema, &key_itself, place))?);
            }
        }
        Ok(())
    }

    fn dependent(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &Value,
        place: &mut Place,
        outcome: &mut Outcome,
    ) -> Result<(), SchemaMistake> {
        let given = |keyword: &str| {
            let of = schema.get(keyword).and_then(Value::as_object);
            of.into_iter().flatten().filter(|(key, _)| value.get(key).is_some())
        };
        for (key, needed) in given("dependentRequired") {
            for needed in texts(Some(needed)).filter(|needed| value.get(needed).is_none()) {
                self.spend(KEY_STEPS)?;
                let what = format!("needs `{needed}` beside it");
                outcome.found.push(place.within(key, |place| place.bad(&what)));
            }
        }
        for (_, schema) in given("dependentSchemas") {
            outcome.extend(self.apply(schema, value, place)?);
        }
        Ok(())
    }

    fn unknown(
        &self,
        key: &str,
        names: &[&str],
        members: &Map<String, Value>,
        place: &mut Place,
    ) -> Found {
        let free: Vec<&str> =
            names.iter().copied().filter(|name| !members.contains_key(*name)).collect();
        let help = match (self.nearest)(key, &free) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => "there are no keys here".to_owned(),
            None => {
                let more = if names.len() > LISTED { " and others" } else { "" };
                let names = &names[..names.len().min(LISTED)];
                format!("there are `{}`{more}", names.join("`, `"))
            }
        };
        place.within(key, |place| {
            let message = format!("unknown key {}", place.name());
            place.found(ConfigMistake::UnknownKey, &message, Some(help))
        })
    }

    /// What several schemas say together.
    fn combined(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &Value,
        place: &mut Place,
        outcome: &mut Outcome,
    ) -> Result<(), SchemaMistake> {
        let schemas = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
        for schema in schemas("allOf").into_iter().flatten() {
            outcome.extend(self.apply(schema, value, place)?);
        }
        if let Some(forms) = schemas("anyOf") {
            outcome.extend(self.one_of(forms, value, place, true)?);
        }
        if let Some(forms) = schemas("oneOf") {
            outcome.extend(self.one_of(forms, value, place, false)?);
        }
        if let Some(excluded) = schema.get("not")
            && self.apply(excluded, value, place)?.found.is_empty()
        {
            outcome.found.push(place.bad("has a form that is excluded"));
        }
        if let Some(condition) = schema.get("if") {
            let judged = self.apply(condition, value, place)?;
            let holds = judged.found.is_empty();
            if holds {
                outcome.extend(judged);
            }
            if let Some(schema) = schema.get(if holds { "then" } else { "else" }) {
                outcome.extend(self.apply(schema, value, place)?);
            }
        }
        Ok(())
    }

    fn one_of(
        &mut self,
        forms: &'s [Value],
        value: &Value,
        place: &mut Place,
        may_be_several: bool,
    ) -> Judged {
        let (mut fitting, mut failing) = (Vec::new(), Vec::new());
        for form in forms {
            let judged = self.apply(form, value, place)?;
            let fits = judged.found.is_empty();
            if fits { fitting.push(judged) } else { failing.push(judged) }
        }
        let mut outcome = Outcome::default();
        if !may_be_several && fitting.len() > 1 {
            outcome.found.push(place.bad("has several forms of which it may have one"));
        }
        if !fitting.is_empty() {
            fitting.into_iter().for_each(|judged| outcome.extend(judged));
            return Ok(outcome);
        }
        // A secret stays one where its form is wrong.
        let secrets: Vec<String> =
            failing.iter().flat_map(|judged| judged.secrets.iter().cloned()).collect();
        let own_type = |judged: &Outcome| {
            let found = judged.found.first().filter(|_| judged.found.len() == 1)?;
            found.types.clone().filter(|_| found.finding.pointer == place.pointer)
        };
        let types: Vec<String> = failing.iter().filter_map(own_type).collect();
        if types.len() == failing.len() {
            outcome.found.push(of_other_type(&types, value, place));
        } else {
            let distance = |judged: &Outcome| {
                let apart = judged.found.iter().filter(|found| found.tells_apart).count();
                (own_type(judged).is_some(), apart, judged.found.len())
            };
            let nearest = failing.into_iter().min_by_key(distance);
            outcome.found.extend(nearest.into_iter().flat_map(|judged| judged.found));
        }
        outcome.secrets = secrets;
        Ok(outcome)
    }
}

/// The texts of a list.
fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
