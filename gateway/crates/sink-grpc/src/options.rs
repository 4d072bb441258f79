//! How the service listens, and its limits.
//!
//! Only values: `config` reads them from the user's file, `server.rs` and `service.rs` use them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Largest request message, bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 << 10;
/// How long a client may take to send its request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most stream names or globs in one request.
pub(crate) const MAX_STREAM_GLOBS: usize = 256;
/// Longest stream name or glob, bytes.
pub(crate) const MAX_GLOB_BYTES: usize = 512;
/// Size that a changes frame aims at unless the client asks for another, bytes.
pub(crate) const DEFAULT_FRAME_BYTES: usize = 256 << 10;
/// What a client may ask for, bytes. The upper end stays far below the 4 MiB that gRPC clients
/// accept by default.
pub(crate) const FRAME_BYTES: std::ops::RangeInclusive<usize> = (4 << 10)..=(1 << 20);
/// A larger change travels in parts, bytes of its encoding.
pub(crate) const PART_ABOVE_BYTES: usize = 1 << 20;
/// Bytes of a change in one part.
pub(crate) const PART_BYTES: usize = 256 << 10;
/// What a client may ask for as the interval of Progress frames.
pub(crate) const PROGRESS_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);
/// An idle subscription is told at least this often that all is well, unless its interval is longer.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// Where the gRPC service listens and what it allows.
#[derive(Clone, Debug)]
pub struct GrpcOptions {
    /// Address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Allows an address beyond loopback without TLS.
    pub insecure: bool,
    /// Certificate and key; none: plain text.
    pub tls: Option<TlsOptions>,
    /// File of the key that authenticates cursors, made when absent (mode 0600).
    pub token_key: PathBuf,
    /// Most subscriptions at a time; further ones are refused as RESOURCE_EXHAUSTED.
    pub max_subscribers: usize,
    /// Most connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// Least time between two Progress frames where the client names none.
    pub progress_interval: Duration,
    /// How long subscribers have, at shutdown, to take their last frame.
    pub drain_timeout: Duration,
}

impl GrpcOptions {
    /// Options with every limit at its default: 1024 subscribers, 1024 connections, Progress each
    /// second, two seconds to drain, no TLS.
    pub fn new(listen: SocketAddr, token_key: impl Into<PathBuf>) -> GrpcOptions {
        GrpcOptions {
            listen,
            insecure: false,
            tls: None,
            token_key: token_key.into(),
            max_subscribers: 1024,
            max_connections: 1024,
            progress_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(2),
        }
    }
}

/// PEM files for TLS.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}
