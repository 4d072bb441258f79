//! The look that `offtake check` takes at a registry. Nothing is registered.

use crate::client::{Compatibility, Registry};
use crate::{Reference, RegistryError, SchemaType};

/// How an item turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// As it should be.
    Ok,
    /// It will work, but somebody should know.
    Warning,
    /// It will not work.
    Error,
}

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeItem {
    /// What was looked at: `schema registry`, `subject NAME`; a sink has names of its own.
    pub name: String,
    /// How it turned out.
    pub outcome: ProbeOutcome,
    /// Stable code; empty where nothing is wrong.
    pub code: &'static str,
    /// What was found.
    pub text: String,
    /// What to do; empty where nothing is to be done.
    pub next_step: String,
}

/// A schema that the pipeline would register.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Under which subject.
    pub subject: &'a str,
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text; `None` where it is not known yet.
    pub schema: Option<&'a str>,
    /// What it imports.
    pub references: &'a [Reference],
}

impl Registry {
    /// Looks whether the registry answers, knows the languages that are wanted, and would take
    /// each schema. Blocks as long as its requests take; stops at the first item when the registry
    /// does not answer.
    pub fn probe(&self, wanted: &[Wanted<'_>]) -> Vec<ProbeItem> {
        let types = match self.types() {
            Ok(types) => types,
            Err(error) => return vec![ProbeItem::error("schema registry", &error)],
        };
        let mut items = vec![self.types_item(&types, wanted)];
        for wanted in wanted {
            let name = format!("subject {}", wanted.subject);
            match self.subject_item(&name, wanted) {
                Ok(item) => items.push(item),
                Err(error) => items.push(ProbeItem::error(&name, &error)),
            }
        }
        items
    }

    fn types_item(&self, types: &[String], wanted: &[Wanted<'_>]) -> ProbeItem {
        let lacks = SchemaType::ALL.into_iter().find(|known| {
            wanted.iter().any(|wanted| wanted.schema_type == *known)
                && !types.iter().any(|name| name == known.name())
        });
        let text = format!("{} answers and takes {}", self.transport.url(), types.join(", "));
        match lacks {
            None => ProbeItem::ok("schema registry", text),
            Some(lacks) => ProbeItem {
                name: "schema registry".to_owned(),
                outcome: ProbeOutcome::Error,
                code: "REGISTRY_TYPE",
                text: format!("{text}, but not {lacks}"),
                next_step: "choose another format, or a later version of the registry".to_owned(),
            },
        }
    }

    fn subject_item(&self, name: &str, wanted: &Wanted<'_>) -> Result<ProbeItem, RegistryError> {
        let level = self.compatibility_level(wanted.subject)?;
        let latest = self.latest(wanted.subject)?;
        let state = match latest.as_ref().and_then(|latest| latest.version) {
            Some(version) => format!("has version {version}, compatibility {level}"),
            None if latest.is_some() => format!("exists, compatibility {level}"),
            None => format!("does not exist yet, compatibility {level}"),
        };
        let Some(schema) = wanted.schema else { return Ok(ProbeItem::ok(name, state)) };
        let Wanted { subject, schema_type, references, .. } = *wanted;
        match self.look_up(subject, schema_type, schema, references) {
            Ok(id) => {
                return Ok(ProbeItem::ok(name, format!("{state}; has this schema, id {id}")));
            }
            Err(RegistryError::NotRegistered { .. }) if self.auto_register => {}
            Err(error) => return Err(error),
        }
        match self.check_compatibility(subject, schema_type, schema, references)? {
            None => {
                Ok(ProbeItem::ok(name, format!("{state}; the first schema will be registered")))
            }
            Some(Compatibility { is_compatible: true, .. }) => {
                Ok(ProbeItem::ok(name, format!("{state}; a new version will be registered")))
            }
            Some(Compatibility { reasons, .. }) => Err(RegistryError::Incompatible {
                subject: subject.to_owned(),
                reason: match reasons.join("; ") {
                    none if none.is_empty() => {
                        format!("compatibility is {level}, and it gives no reason when asked ahead")
                    }
                    reasons => reasons,
                },
            }),
        }
    }
}

impl ProbeItem {
    /// An item that is as it should be.
    pub fn ok(name: impl Into<String>, text: impl Into<String>) -> ProbeItem {
        ProbeItem {
            name: name.into(),
            outcome: ProbeOutcome::Ok,
            code: "",
            text: text.into(),
            next_step: String::new(),
        }
    }

    fn error(name: &str, error: &RegistryError) -> ProbeItem {
        ProbeItem {
            name: name.to_owned(),
            outcome: ProbeOutcome::Error,
            code: error.code(),
            text: error.to_string(),
            next_step: error.next_step().to_owned(),
        }
    }
}
