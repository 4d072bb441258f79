//! Why the registry gives no id, with a stable code and a next step for each.
//!
//! Two kinds: what ends by itself ([`RegistryError::is_transient`]: unreachable, slow, overloaded,
//! broken) and what somebody must decide. Texts hold URLs, subjects and the registry's own reason;
//! never a login, and a schema's names only where the registry's reason quotes them.

use std::time::Duration;

use crate::{SchemaId, SchemaType};

/// Bytes of a registry's own reason that an error keeps.
const MAX_REASON_BYTES: usize = 2048;
/// The longest pause that a registry may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Why the registry gives no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// An option is wrong.
    #[error("option {option} of the schema registry: {reason}")]
    Options {
        /// Its name.
        option: &'static str,
        /// What is wrong with it; no value.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("schema registry {url} cannot be reached: {reason}")]
    Unreachable {
        /// The base URL.
        url: String,
        /// The system's reason.
        reason: String,
    },
    /// No answer in time.
    #[error("schema registry {url} did not answer within {within:?}")]
    Timeout {
        /// The base URL.
        url: String,
        /// The time that it had.
        within: Duration,
    },
    /// No TLS connection: a certificate is not trusted, has expired or is refused.
    #[error("schema registry {url}: no TLS connection: {reason}")]
    Tls {
        /// The base URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A server error (5xx, 408).
    #[error("schema registry {url} answers with status {status}: {reason}")]
    Unavailable {
        /// The base URL.
        url: String,
        /// HTTP's status.
        status: u16,
        /// The registry's reason.
        reason: String,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// Too many requests (429).
    #[error("schema registry {url} takes no more requests for now (status 429)")]
    Throttled {
        /// The base URL.
        url: String,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// The login is missing or wrong (401).
    #[error("schema registry {url} refuses the login (status 401)")]
    Unauthorized {
        /// The base URL.
        url: String,
    },
    /// Not allowed (403).
    #[error(
        "schema registry {url} does not allow this user to use subject {subject:?} (status 403)"
    )]
    Forbidden {
        /// The base URL.
        url: String,
        /// The subject; empty where none was asked for.
        subject: String,
    },
    /// The schema breaks the subject's compatibility rule (409).
    #[error("subject {subject}: the registry refuses the new schema as incompatible: {reason}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// The registry's reason.
        reason: String,
    },
    /// The registry cannot read the schema (422).
    #[error("subject {subject}: the registry does not take the {schema_type} schema: {reason}")]
    InvalidSchema {
        /// The subject.
        subject: String,
        /// The schema's language.
        schema_type: SchemaType,
        /// The registry's reason.
        reason: String,
    },
    /// The schema is larger than any registry takes.
    #[error("subject {subject}: the schema has {bytes} bytes, and {limit} is the most")]
    SchemaTooLarge {
        /// The subject.
        subject: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The schema is not registered, and is not to be.
    #[error("subject {subject}: the schema is not registered: {reason}")]
    NotRegistered {
        /// The subject.
        subject: String,
        /// The registry's reason.
        reason: String,
    },
    /// There is no schema of that id.
    #[error("the registry has no schema with id {id}")]
    UnknownId {
        /// The id.
        id: SchemaId,
    },
    /// Any other refusal.
    #[error("subject {subject}: the registry refuses with status {status}: {reason}")]
    Refused {
        /// The subject.
        subject: String,
        /// HTTP's status.
        status: u16,
        /// The registry's reason.
        reason: String,
    },
    /// Another address is named, which is not followed: it would get the login.
    #[error("{url} redirects (status {status}), which is not followed")]
    Redirected {
        /// The base URL.
        url: String,
        /// HTTP's status.
        status: u16,
    },
    /// The answer is not a registry's.
    #[error("{url} does not answer as a schema registry does: {reason}")]
    WrongAnswer {
        /// The base URL.
        url: String,
        /// What is wrong with it; nothing of the answer.
        reason: String,
    },
    /// The answer is larger than any that is wanted.
    #[error("{url} answers with more than {limit} bytes")]
    AnswerTooLarge {
        /// The base URL.
        url: String,
        /// The limit.
        limit: u64,
    },
}

impl RegistryError {
    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> RegistryError {
        RegistryError::Options { option, reason: reason.into() }
    }

    /// Whether it may end by itself: to be tried again, with growing pauses, for ever.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            RegistryError::Unreachable { .. }
                | RegistryError::Timeout { .. }
                | RegistryError::Tls { .. }
                | RegistryError::Unavailable { .. }
                | RegistryError::Throttled { .. }
        )
    }

    /// Whether no change in the registry ends it: an option, or the schema itself, is to blame.
    /// Everything else is worth asking again.
    pub fn is_final(&self) -> bool {
        matches!(self, RegistryError::Options { .. } | RegistryError::SchemaTooLarge { .. })
    }

    /// How long the registry asks to wait before the next request; at most five minutes.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            RegistryError::Unavailable { retry_after, .. }
            | RegistryError::Throttled { retry_after, .. } => {
                retry_after.map(|pause| pause.min(MAX_RETRY_AFTER))
            }
            _ => None,
        }
    }

    /// The subject that it is about, where it is about one.
    pub fn subject(&self) -> Option<&str> {
        match self {
            RegistryError::Forbidden { subject, .. }
            | RegistryError::Incompatible { subject, .. }
            | RegistryError::InvalidSchema { subject, .. }
            | RegistryError::SchemaTooLarge { subject, .. }
            | RegistryError::NotRegistered { subject, .. }
            | RegistryError::Refused { subject, .. } => {
                Some(subject.as_str()).filter(|subject| !subject.is_empty())
            }
            _ => None,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RegistryError::Options { .. } => "REGISTRY_OPTIONS",
            RegistryError::Unreachable { .. } => "REGISTRY_UNREACHABLE",
            RegistryError::Timeout { .. } => "REGISTRY_TIMEOUT",
            RegistryError::Tls { .. } => "REGISTRY_TLS",
            RegistryError::Unavailable { .. } => "REGISTRY_UNAVAILABLE",
            RegistryError::Throttled { .. } => "REGISTRY_THROTTLED",
            RegistryError::Unauthorized { .. } => "REGISTRY_UNAUTHORIZED",
            RegistryError::Forbidden { .. } => "REGISTRY_FORBIDDEN",
            RegistryError::Incompatible { .. } => "REGISTRY_INCOMPATIBLE",
            RegistryError::InvalidSchema { .. } => "REGISTRY_SCHEMA_INVALID",
            RegistryError::SchemaTooLarge { .. } => "REGISTRY_SCHEMA_TOO_LARGE",
            RegistryError::NotRegistered { .. } => "REGISTRY_NOT_REGISTERED",
            RegistryError::UnknownId { .. } => "REGISTRY_ID_UNKNOWN",
            RegistryError::Refused { .. } => "REGISTRY_REFUSED",
            RegistryError::Redirected { .. } => "REGISTRY_REDIRECTED",
            RegistryError::WrongAnswer { .. } => "REGISTRY_WRONG_ANSWER",
            RegistryError::AnswerTooLarge { .. } => "REGISTRY_ANSWER_TOO_LARGE",
        }
    }

    /// What an operator can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            RegistryError::Options { .. } => {
                "correct [kafka.registry] in the configuration, or the file that it names"
            }
            RegistryError::Unreachable { .. } | RegistryError::Timeout { .. } => {
                "check that the registry runs and can be reached from here; it is asked again until \
                 it answers"
            }
            RegistryError::Tls { .. } => {
                "check ca, certificate and key in [kafka.registry] and the registry's own \
                 certificate; it is asked again until that holds"
            }
            RegistryError::Unavailable { .. } | RegistryError::Throttled { .. } => {
                "see the registry's log; it is asked again until it answers"
            }
            RegistryError::Unauthorized { .. } => {
                "correct username and password, or token, in [kafka.registry] and start again; a \
                 login that is put right in the registry is noticed by itself"
            }
            RegistryError::Forbidden { .. } => {
                "grant this user READ and WRITE on the subject (with auto_register = false READ); \
                 the registry is asked again by itself"
            }
            RegistryError::Incompatible { .. } => {
                "relax the subject's compatibility level (PUT /config/SUBJECT); the registry is \
                 asked again by itself. Later changes of the table cannot mend a change that is in \
                 the log"
            }
            RegistryError::InvalidSchema { .. } => {
                "see the reason; field_names and schema_names in [kafka.debezium] adjust names that \
                 a schema cannot hold, from the next start on"
            }
            RegistryError::SchemaTooLarge { .. } => {
                "choose a format without a registry for this stream by [[kafka.topic]], then start \
                 again"
            }
            RegistryError::NotRegistered { .. } => {
                "register the schema (a line of the process' log before this one holds it); the \
                 registry is asked again by itself. Or set auto_register = true in [kafka.registry] \
                 and start again"
            }
            RegistryError::UnknownId { .. } => {
                "check that this is the registry that the schema was registered with"
            }
            RegistryError::Refused { .. } => {
                "see the registry's reason and its mode (a read-only one takes no schema); it is \
                 asked again by itself"
            }
            RegistryError::Redirected { .. } => {
                "give the address that it redirects to as url in [kafka.registry]"
            }
            RegistryError::WrongAnswer { .. } | RegistryError::AnswerTooLarge { .. } => {
                "check url in [kafka.registry], with its path (Apicurio: /apis/ccompat/v7)"
            }
        }
    }
}

/// A text of the registry's as an error keeps it: verbatim, but on one line and bounded.
pub(crate) fn bounded(text: &str) -> String {
    let text = text.trim();
    let kept = &text[..text.floor_char_boundary(MAX_REASON_BYTES)];
    let mut out: String = kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if kept.len() < text.len() {
        out.push_str(&format!(" … ({} bytes more)", text.len() - kept.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_on_one_line_and_bounded() {
        assert_eq!(bounded(" a\n\tb\u{1b}[31m "), "a  b [31m");
        let long = "é".repeat(MAX_REASON_BYTES);
        let kept = bounded(&long);
        assert!(kept.len() < MAX_REASON_BYTES + 32);
        assert!(kept.ends_with("… (2048 bytes more)"), "{kept}");
    }

    #[test]
    fn a_pause_that_a_registry_asks_for_is_bounded() {
        let error = RegistryError::Throttled {
            url: "http://r".to_owned(),
            retry_after: Some(Duration::from_secs(86_400)),
        };
        assert_eq!(error.retry_after(), Some(MAX_RETRY_AFTER));
        assert!(error.is_transient());
    }
}
