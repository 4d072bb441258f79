//! The admin listener: health, metrics and status over HTTP.
//!
//! It reads what the pipeline tells about itself. One request makes the gateway do something, and is
//! taken from this machine with a secret alone: a replay of dead letters.

mod connection;
mod delivery;
mod http;
mod kafka;
mod metrics;
mod plugin;
mod replay;
mod status;
mod token;

pub use connection::Connection;
pub use http::AdminServer;
pub use replay::{MOST_LETTERS, ReplayDesk};
pub use status::Observed;
pub use token::{Token, token_file};
