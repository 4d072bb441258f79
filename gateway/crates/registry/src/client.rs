//! The questions to a registry, and what its answers mean.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::Method;

use crate::answer::{Judged, Refusal, SchemaRequest};
use crate::cache::{self, Cache};
use crate::error::bounded;
use crate::transport::{Reply, Transport};
use crate::{Reference, RegisteredSchema, RegistryError, RegistryOptions, SchemaId, SchemaType};

/// Ids that are remembered: keys and values of some thousand tables; 100 bytes each.
const MAX_CACHED_IDS: usize = 16_384;
/// The largest schema. Confluent's registry keeps schemas in a topic whose messages have at most
/// a megabyte by default.
const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// Reasons of a compatibility check that are kept.
const MAX_MESSAGES: usize = 8;
/// What a subject may hold as it is in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a compatibility check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// Whether the schema may follow the latest one.
    pub is_compatible: bool,
    /// Why not, in the registry's words; some registries give none.
    pub reasons: Vec<String>,
}

/// A registry. Every call blocks for at most [`RegistryOptions::timeout`] for each of its URLs.
pub struct Registry {
    pub(crate) transport: Transport,
    pub(crate) auto_register: bool,
    normalize: bool,
    cache: Mutex<Cache>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("url", &self.transport.url()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Sets a client up; the registry is not asked yet.
    ///
    /// # Errors
    /// [`RegistryError::Options`].
    pub fn new(options: &RegistryOptions) -> Result<Registry, RegistryError> {
        Ok(Registry {
            transport: Transport::new(options)?,
            auto_register: options.auto_register,
            normalize: options.normalize,
            cache: Mutex::new(Cache::new(MAX_CACHED_IDS)),
        })
    }

    /// The id of a schema under a subject: registered where the registry does not know it and
    /// [`RegistryOptions::auto_register`] is set, looked up otherwise. The registry is asked once
    /// for each schema.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn register(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
        references: &[Reference],
    ) -> Result<SchemaId, RegistryError> {
        let asked = cache::asked(subject, schema_type, schema, references);
        let known = self.cache().get(&asked);
        if let Some(id) = known {
            return Ok(id);
        }
        let id = if self.auto_register {
            self.register_now(subject, schema_type, schema, references)?
        } else {
            self.look_up(subject, schema_type, schema, references)?
        };
        self.cache().put(asked, id);
        Ok(id)
    }

    /// The id of a schema that is registered under a subject.
    ///
    /// # Errors
    /// [`RegistryError::NotRegistered`] and others.
    pub fn look_up(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
        references: &[Reference],
    ) -> Result<SchemaId, RegistryError> {
        let path = self.normalized(format!("/subjects/{}", encoded(subject)));
        let reply = self.post(subject, &path, schema_type, schema, references)?;
        match reply.status {
            200..=299 => reply.id(),
            _ => match missing(&reply) {
                Some(reason) => {
                    Err(RegistryError::NotRegistered { subject: subject.to_owned(), reason })
                }
                None => Err(refused(&reply, subject, schema_type)),
            },
        }
    }

    /// The latest schema under a subject; `None`: there is none.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, RegistryError> {
        let path = format!("/subjects/{}/versions/latest", encoded(subject));
        let reply = self.transport.call(&Method::GET, &path, None)?;
        match reply.status {
            200..=299 => reply.schema(None).map(Some),
            _ if missing(&reply).is_some() => Ok(None),
            _ => Err(refused(&reply, subject, SchemaType::Avro)),
        }
    }

    /// A schema by its id.
    ///
    /// # Errors
    /// [`RegistryError::UnknownId`] and others.
    pub fn schema(&self, id: SchemaId) -> Result<RegisteredSchema, RegistryError> {
        let reply = self.transport.call(&Method::GET, &format!("/schemas/ids/{id}"), None)?;
        match reply.status {
            200..=299 => reply.schema(Some(id)),
            _ if missing(&reply).is_some() => Err(RegistryError::UnknownId { id }),
            _ => Err(refused(&reply, "", SchemaType::Avro)),
        }
    }

    /// The compatibility level that holds for a subject, such as `BACKWARD`: its own or the
    /// registry's.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn compatibility_level(&self, subject: &str) -> Result<String, RegistryError> {
        let path = format!("/config/{}", encoded(subject));
        let own = self.transport.call(&Method::GET, &path, None)?;
        match own.status {
            200..=299 => return own.level(),
            // 40401: no such subject; 40408: it has no level of its own.
            404 if Refusal::read(&own.body).is_some() => {}
            _ => return Err(refused(&own, subject, SchemaType::Avro)),
        }
        let reply = self.transport.call(&Method::GET, "/config", None)?;
        match reply.status {
            200..=299 => reply.level(),
            _ => Err(refused(&reply, subject, SchemaType::Avro)),
        }
    }

    /// Whether a schema could follow the latest one under a subject; `None`: it would be the
    /// first. Registers nothing.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn check_compatibility(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
        references: &[Reference],
    ) -> Result<Option<Compatibility>, RegistryError> {
        if self.latest(subject)?.is_none() {
            return Ok(None);
        }
        let path =
            format!("/compatibility/subjects/{}/versions/latest?verbose=true", encoded(subject));
        let reply = self.post(subject, &path, schema_type, schema, references)?;
        match reply.status {
            200..=299 => {
                let judged: Judged = reply.json()?;
                let reasons = judged.messages.iter().take(MAX_MESSAGES);
                let reasons = reasons.map(|reason| bounded(reason)).collect();
                Ok(Some(Compatibility { is_compatible: judged.is_compatible, reasons }))
            }
            _ if missing(&reply).is_some() => Ok(None),
            _ => Err(refused(&reply, subject, schema_type)),
        }
    }

    /// The languages of schemas that the registry takes, as it names them.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn types(&self) -> Result<Vec<String>, RegistryError> {
        let reply = self.transport.call(&Method::GET, "/schemas/types", None)?;
        match reply.status {
            200..=299 => {
                let types: Vec<String> = reply.json()?;
                Ok(types.iter().take(MAX_MESSAGES).map(|name| bounded(name)).collect())
            }
            // A registry from before the other languages does not know the question.
            404 if Refusal::read(&reply.body).is_some_and(|refusal| refusal.is_missing()) => {
                Ok(vec![SchemaType::Avro.name().to_owned()])
            }
            _ => Err(refused(&reply, "", SchemaType::Avro)),
        }
    }

    fn register_now(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
        references: &[Reference],
    ) -> Result<SchemaId, RegistryError> {
        let path = self.normalized(format!("/subjects/{}/versions", encoded(subject)));
        let reply = self.post(subject, &path, schema_type, schema, references)?;
        match reply.status {
            200..=299 => reply.id(),
            409 => {
                let reason = reason(&reply);
                // Another client may have registered the same schema at the same time, and some
                // registries judge an old schema that comes again by the latest one.
                match self.look_up(subject, schema_type, schema, references) {
                    Ok(id) => Ok(id),
                    Err(error) if error.is_transient() => Err(error),
                    Err(_) => {
                        Err(RegistryError::Incompatible { subject: subject.to_owned(), reason })
                    }
                }
            }
            _ => Err(refused(&reply, subject, schema_type)),
        }
    }

    fn post(
        &self,
        subject: &str,
        path: &str,
        schema_type: SchemaType,
        schema: &str,
        references: &[Reference],
    ) -> Result<Reply, RegistryError> {
        if schema.trim().is_empty() {
            // Apicurio would register it.
            return Err(RegistryError::InvalidSchema {
                subject: subject.to_owned(),
                schema_type,
                reason: "it is empty".to_owned(),
            });
        }
        if schema.len() > MAX_SCHEMA_BYTES {
            return Err(RegistryError::SchemaTooLarge {
                subject: subject.to_owned(),
                bytes: schema.len(),
                limit: MAX_SCHEMA_BYTES,
            });
        }
        let body = SchemaRequest::body(schema_type, schema, references);
        self.transport.call(&Method::POST, path, Some(&body))
    }

    fn normalized(&self, path: String) -> String {
        if self.normalize { path + "?normalize=true" } else { path }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subject in a path.
fn encoded(subject: &str) -> String {
    utf8_percent_encode(subject, PLAIN).to_string()
}

/// The registry's reason where it says that something is not there.
fn missing(reply: &Reply) -> Option<String> {
    let refusal = Refusal::read(&reply.body).filter(|_| reply.status == 404)?;
    refusal.is_missing().then(|| refusal.reason())
}

fn reason(reply: &Reply) -> String {
    Refusal::read(&reply.body)
        .map_or_else(|| "without a reason".to_owned(), |refusal| refusal.reason())
}

/// What an answer that is none of those that a question expects means.
fn refused(reply: &Reply, subject: &str, schema_type: SchemaType) -> RegistryError {
    let subject = subject.to_owned();
    let refusal = Refusal::read(&reply.body);
    match (reply.status, &refusal) {
        (403, _) => RegistryError::Forbidden { url: reply.url.clone(), subject },
        // 42201: the schema; others: the version, the mode, the compatibility level.
        (422, Some(Refusal { error_code: 42201 | 422, .. }) | None) => {
            RegistryError::InvalidSchema { subject, schema_type, reason: reason(reply) }
        }
        // Any web server answers 404; a registry says why.
        (404, Some(refusal)) if refusal.error_code != 404 => {
            RegistryError::Refused { subject, status: 404, reason: refusal.reason() }
        }
        (404, _) => reply.wrong("status 404, as for a path that is not the API's"),
        (status, Some(_)) => RegistryError::Refused { subject, status, reason: reason(reply) },
        (status, None) => reply.wrong(&format!("status {status} without a registry's reason")),
    }
}
