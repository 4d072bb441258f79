//! Binding, serving and stopping: tonic's server with its limits, health and reflection.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offtake_log::Log;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::Router;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::connection::accept;
use crate::error::GrpcError;
use crate::options::{GrpcOptions, TlsOptions};
use crate::service::{OfftakeService, Shared};
use crate::status::GrpcStatus;
use crate::token::TokenKey;

/// HTTP/2 windows for what clients send, and what hyper announces, bytes.
const WINDOW_BYTES: u32 = 1 << 20;
/// Requests at a time on one connection.
const MAX_STREAMS_A_CONNECTION: u32 = 200;
/// Streams that a client reset before they were accepted; more end the connection (rapid reset).
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we reset for the client's errors; more end the connection.
const MAX_LOCAL_RESETS: usize = 1024;
/// Largest header list of a request, bytes.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A connection without traffic is asked whether it lives, before a proxy drops it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The service, listening.
pub struct GrpcServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    health: HealthReporter,
    status: Arc<GrpcStatus>,
    max_connections: usize,
    drain_timeout: Duration,
    shutdown: watch::Sender<bool>,
}

impl std::fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Checks the options, reads or makes the token key, and listens. Connections wait until
/// [`GrpcServer::serve`].
///
/// `state` is what `Describe` answers as the pipeline's state: STARTING, SNAPSHOT, RUNNING,
/// BLOCKED, HALTED or STOPPING.
///
/// # Errors
/// An address beyond loopback without TLS, an address in use, a key or certificate that cannot be
/// read.
pub async fn bind(
    options: GrpcOptions,
    log: Log,
    state: watch::Receiver<String>,
) -> Result<GrpcServer, GrpcError> {
    let listen = options.listen;
    if !listen.ip().to_canonical().is_loopback() && options.tls.is_none() && !options.insecure {
        return Err(GrpcError::InsecureListen { listen });
    }
    let mut server = builder();
    if let Some(tls) = &options.tls {
        server = server.tls_config(tls_config(tls)?).map_err(GrpcError::Tls)?;
    }
    let key = TokenKey::load_or_create(&options.token_key)?;
    let failed = |source| GrpcError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let status = Arc::new(GrpcStatus::default());
    let (shutdown, receiver) = watch::channel(false);
    let (max_connections, drain_timeout) = (options.max_connections, options.drain_timeout);
    let shared =
        Shared { log, key, options, status: Arc::clone(&status), state, shutdown: receiver };
    let (health, health_service) = health_reporter();
    health.set_serving::<OfftakeService>().await;
    let router = server
        .add_service(OfftakeService(Arc::new(shared)))
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(GrpcError::Reflection)?)
        .add_service(reflection().build_v1alpha().map_err(GrpcError::Reflection)?);
    Ok(GrpcServer {
        listener,
        address,
        router,
        health,
        status,
        max_connections,
        drain_timeout,
        shutdown,
    })
}

impl GrpcServer {
    /// Where the service listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Figures of the service; they stay valid after it ends.
    pub fn status(&self) -> Arc<GrpcStatus> {
        Arc::clone(&self.status)
    }

    /// Serves until `shutdown` completes. Then every subscription gets its Ended frame; clients
    /// that have not taken it after the drain timeout are disconnected.
    ///
    /// # Errors
    /// A failure of the server itself; a client's are never one.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), GrpcError> {
        let (stop, stopped) = watch::channel(false);
        let incoming = accept(self.listener, self.max_connections, stopped);
        let mut draining = self.shutdown.subscribe();
        let drain = async move {
            // An error means that this future is being dropped.
            let _ = draining.wait_for(|draining| *draining).await;
        };
        let serving = self.router.serve_with_incoming_shutdown(incoming, drain);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(GrpcError::Serve),
            () = shutdown => {}
        }
        self.health.set_not_serving::<OfftakeService>().await;
        self.shutdown.send_replace(true);
        match tokio::time::timeout(self.drain_timeout, &mut serving).await {
            Ok(ended) => ended.map_err(GrpcError::Serve),
            Err(_) => {
                tracing::info!(
                    subscribers = self.status.subscriber_count(),
                    "subscribers did not take their last frame in time and are disconnected"
                );
                stop.send_replace(true);
                serving.await.map_err(GrpcError::Serve)
            }
        }
    }
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS_A_CONNECTION)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

fn tls_config(tls: &TlsOptions) -> Result<ServerTlsConfig, GrpcError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| GrpcError::TlsFile { path: path.to_owned(), source })
    };
    let identity = Identity::from_pem(read(&tls.cert)?, read(&tls.key)?);
    Ok(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_TIMEOUT))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(offtake_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
