//! What keeps the gRPC service from starting or ends it.
//!
//! What goes wrong for one subscriber is not here: it is told to that subscriber by an `Ended`
//! frame and a gRPC status, see `open.rs` and `subscription.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcError {
    /// The listener would be reachable from other machines without encryption.
    #[error("gRPC would listen on {listen} without TLS, reachable from other machines")]
    InsecureListen {
        /// Address asked for.
        listen: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {listen} for gRPC: {source}")]
    Listen {
        /// Address asked for.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key that authenticates cursors cannot be read or made.
    #[error("cannot use the token key {}: {source}", path.display())]
    TokenKey {
        /// File of the key.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file has another length than a key.
    #[error("the token key {} has {found} bytes instead of {expected}", path.display())]
    TokenKeyLength {
        /// File of the key.
        path: PathBuf,
        /// Bytes found.
        found: usize,
        /// Bytes of a key.
        expected: usize,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {} for TLS: {source}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate and key do not work.
    #[error("the TLS certificate or key of gRPC cannot be used: {0}")]
    Tls(tonic::transport::Error),
    /// The protocol descriptors cannot be served.
    #[error("gRPC reflection cannot be built: {0}")]
    Reflection(tonic_reflection::server::Error),
    /// The server ended.
    #[error("the gRPC server failed: {0}")]
    Serve(tonic::transport::Error),
}

impl GrpcError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            GrpcError::InsecureListen { .. } => "GRPC_INSECURE_LISTEN",
            GrpcError::Listen { .. } => "GRPC_LISTEN",
            GrpcError::TokenKey { .. } | GrpcError::TokenKeyLength { .. } => "GRPC_TOKEN_KEY",
            GrpcError::TlsFile { .. } | GrpcError::Tls(_) => "GRPC_TLS",
            GrpcError::Reflection(_) => "GRPC_REFLECTION",
            GrpcError::Serve(_) => "GRPC_SERVE",
        }
    }

    /// What an operator does about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            GrpcError::InsecureListen { .. } => {
                "set grpc.tls (cert and key), or listen on 127.0.0.1, or set grpc.insecure = true \
                 where the network is trusted"
            }
            GrpcError::Listen { .. } => {
                "choose another grpc.listen, or stop what uses the port (`ss -ltnp` shows it)"
            }
            GrpcError::TokenKey { .. } => {
                "make the log folder writable for the user that runs the gateway"
            }
            GrpcError::TokenKeyLength { .. } => {
                "restore the file from a backup, or delete it: a new key is made, and every cursor \
                 that a subscriber keeps ends as CURSOR_MALFORMED"
            }
            GrpcError::TlsFile { .. } | GrpcError::Tls(_) => {
                "check that grpc.tls names a certificate chain and its private key, both in PEM"
            }
            GrpcError::Reflection(_) => "report this as a defect",
            GrpcError::Serve(_) => "restart the gateway; report this if it comes back",
        }
    }
}
