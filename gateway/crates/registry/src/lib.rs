//! A client of schema registries that speak Confluent's Schema Registry API, version 1: Confluent's
//! own, Apicurio's under `/apis/ccompat/v7`, Karapace.
//!
//! [`Registry::register`] turns a schema's text into the id that frames its messages
//! ([`write_frame`]), under the subject that [`Subjects`] names. Calls block: the Kafka sink has a
//! thread of its own, and a schema changes rarely. Every error says whether it ends by itself
//! ([`RegistryError::is_transient`]); how long to wait and when to try again is the caller's.
//! Nothing here knows what a schema means, a message or a broker.

mod answer;
mod cache;
mod client;
mod error;
mod frame;
mod options;
mod probe;
mod schema;
mod subject;
mod tls;
mod transport;

pub use client::{Compatibility, Registry};
pub use error::RegistryError;
pub use frame::{FRAME_BYTES, write_frame, write_protobuf_frame};
pub use options::{Authentication, RegistryOptions};
pub use probe::{ProbeItem, ProbeOutcome, Wanted};
pub use schema::{Reference, RegisteredSchema, SchemaId, SchemaType};
pub use subject::{Part, Subjects};
