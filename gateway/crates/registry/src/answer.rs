//! The JSON of the API: what is asked, what is answered, and what a refusal looks like.
//!
//! Registries differ in what they add and leave out, so unknown members are skipped and nothing is
//! taken for granted that is not needed.

use serde::{Deserialize, Serialize};

use crate::error::bounded;
use crate::transport::Reply;
use crate::{Reference, RegisteredSchema, RegistryError, SchemaId, SchemaType};

/// A schema in a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaRequest<'a> {
    schema: &'a str,
    /// Left out for Avro, as registries from before the other languages want it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[Reference]>::is_empty")]
    references: &'a [Reference],
}

impl<'a> SchemaRequest<'a> {
    /// The request's body.
    pub(crate) fn body(
        schema_type: SchemaType,
        schema: &'a str,
        references: &'a [Reference],
    ) -> Vec<u8> {
        let named = Some(schema_type.name()).filter(|_| schema_type != SchemaType::Avro);
        let request = SchemaRequest { schema, schema_type: named, references };
        serde_json::to_vec(&request).expect("texts and numbers always become JSON")
    }
}

/// `{"error_code":…,"message":…}`.
#[derive(Deserialize)]
pub(crate) struct Refusal {
    /// HTTP's status, mostly with two digits behind it.
    pub(crate) error_code: i64,
    #[serde(default)]
    message: String,
}

impl Refusal {
    /// A refusal's body; `None`: it is no registry's.
    pub(crate) fn read(body: &[u8]) -> Option<Refusal> {
        serde_json::from_slice(body).ok()
    }

    /// The registry's words, bounded.
    pub(crate) fn reason(&self) -> String {
        match bounded(&self.message) {
            reason if reason.is_empty() => format!("without a reason (code {})", self.error_code),
            reason => reason,
        }
    }

    /// Whether it says that a subject, a version or a schema is not there: 40401, 40402, 40403.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.error_code, 40401..=40403)
    }
}

/// `{"id":…}`, also within more.
#[derive(Deserialize)]
struct Registered {
    id: i64,
}

/// A schema with where it stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: Option<i64>,
    version: Option<i32>,
    schema_type: Option<String>,
    schema: String,
    #[serde(default)]
    references: Vec<Reference>,
}

/// `{"is_compatible":…,"messages":[…]}`.
#[derive(Deserialize)]
pub(crate) struct Judged {
    pub(crate) is_compatible: bool,
    #[serde(default)]
    pub(crate) messages: Vec<String>,
}

/// The compatibility level, under either name that registries give it.
#[derive(Deserialize)]
struct Level {
    #[serde(alias = "compatibility")]
    #[serde(rename = "compatibilityLevel")]
    level: String,
}

impl Reply {
    /// The body as JSON of that shape.
    ///
    /// # Errors
    /// It is none; the text says nothing of what it is.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, RegistryError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON without what was asked for",
                _ => "no JSON",
            };
            self.wrong(&format!("status {} with {what}", self.status))
        })
    }

    /// That this is no registry's answer.
    pub(crate) fn wrong(&self, reason: &str) -> RegistryError {
        RegistryError::WrongAnswer { url: self.url.clone(), reason: reason.to_owned() }
    }

    /// The id in it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn id(&self) -> Result<SchemaId, RegistryError> {
        let registered: Registered = self.json()?;
        self.checked(registered.id)
    }

    /// The schema in it; `asked` is its id where the answer need not repeat it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn schema(
        &self,
        asked: Option<SchemaId>,
    ) -> Result<RegisteredSchema, RegistryError> {
        let described: Described = self.json()?;
        let id = match (described.id, asked) {
            (_, Some(asked)) => asked,
            (Some(id), None) => self.checked(id)?,
            (None, None) => return Err(self.wrong("a schema without its id")),
        };
        Ok(RegisteredSchema {
            id,
            version: described.version,
            schema_type: SchemaType::named(described.schema_type.as_deref()),
            schema: described.schema,
            references: described.references,
        })
    }

    /// The compatibility level in it, such as `BACKWARD_TRANSITIVE`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn level(&self) -> Result<String, RegistryError> {
        let level: Level = self.json()?;
        let is_word = !level.level.is_empty()
            && level.level.len() <= 32
            && level.level.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if is_word { Ok(level.level) } else { Err(self.wrong("no compatibility level")) }
    }

    fn checked(&self, id: i64) -> Result<SchemaId, RegistryError> {
        match i32::try_from(id) {
            Ok(id) if id >= 0 => Ok(SchemaId(id)),
            _ => Err(self.wrong("an id that is none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(body: &[u8]) -> Reply {
        Reply { url: "http://r".to_owned(), status: 200, body: body.to_vec() }
    }

    #[test]
    fn a_request_names_what_is_not_avro() {
        let body = |schema_type, references: &[Reference]| {
            String::from_utf8(SchemaRequest::body(schema_type, "\"int\"", references)).unwrap()
        };
        assert_eq!(body(SchemaType::Avro, &[]), r#"{"schema":"\"int\""}"#);
        let reference =
            Reference { name: "a.proto".to_owned(), subject: "a".to_owned(), version: 1 };
        assert_eq!(
            body(SchemaType::Protobuf, &[reference]),
            "{\"schema\":\"\\\"int\\\"\",\"schemaType\":\"PROTOBUF\",\"references\":\
             [{\"name\":\"a.proto\",\"subject\":\"a\",\"version\":1}]}"
        );
    }

    #[test]
    fn an_id_is_a_number_from_zero() {
        assert_eq!(reply(br#"{"id":7,"guid":"x"}"#).id().unwrap(), SchemaId(7));
        for body in
            [&b"{}"[..], br#"{"id":-1}"#, br#"{"id":2147483648}"#, br#"{"id":"7"}"#, b"7", b""]
        {
            assert_eq!(reply(body).id().unwrap_err().code(), "REGISTRY_WRONG_ANSWER");
        }
    }

    #[test]
    fn the_level_goes_by_two_names() {
        assert_eq!(reply(br#"{"compatibilityLevel":"FULL"}"#).level().unwrap(), "FULL");
        assert_eq!(reply(br#"{"compatibility":"NONE"}"#).level().unwrap(), "NONE");
        assert!(reply(br#"{"compatibility":"full\n"}"#).level().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let reply = reply(&body);
            let _ = (reply.id(), reply.schema(None), reply.level(), reply.json::<Judged>());
            let _ = Refusal::read(&body).map(|refusal| refusal.reason());
        }

        #[test]
        fn any_json_is_answered(
            text in "\\{\"(id|error_code|compatibility|message|schema|references)\":[0-9\\[\\]{}\",:a-z-]{0,40}\\}"
        ) {
            let reply = reply(text.as_bytes());
            let _ = (reply.id(), reply.schema(None), reply.level(), reply.json::<Judged>());
        }
    }
}
