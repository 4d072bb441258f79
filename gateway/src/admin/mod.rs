//! The admin listener: health, metrics and status over HTTP.
//!
//! It only reads what the pipeline tells about itself; nothing can be changed through it.

mod connection;
mod delivery;
mod http;
mod kafka;
mod metrics;
mod plugin;
mod status;

pub use connection::Connection;
pub use http::AdminServer;
pub use status::Observed;
