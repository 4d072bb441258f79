//! `/livez`, `/readyz`, `/metrics` and `/status`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::metrics;
use super::status::{Observed, Status};
use crate::pipeline::State;

/// The admin server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("ADMIN_LISTEN: cannot listen on {address} for the admin server")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound listener, not yet serving.
#[derive(Debug)]
pub struct AdminServer {
    listener: tokio::net::TcpListener,
}

impl AdminServer {
    /// Binds the address.
    ///
    /// # Errors
    /// The address is taken or not this machine's.
    pub async fn bind(address: SocketAddr) -> Result<AdminServer, AdminError> {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| AdminError { address, source })?;
        Ok(AdminServer { listener })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is done.
    pub async fn serve(
        self,
        observed: Arc<Observed>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_page))
            .route("/status", get(status_page))
            .with_state(observed);
        axum::serve(self.listener, router).with_graceful_shutdown(shutdown).await
    }
}

/// 200 while changes can make progress; 503 with the reason otherwise.
async fn readyz(Shared(observed): Shared<Arc<Observed>>) -> Response {
    match hindrance(&observed.status()) {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Why no change makes progress now; `None`: nothing is in the way.
fn hindrance(status: &Status) -> Option<String> {
    let state = status.state.name();
    match &status.state {
        State::Halted(halt) => {
            Some(format!("{state} {}: {}\nnext: {}\n", halt.code, halt.cause, halt.next_step))
        }
        State::Starting => Some(match &status.source.last_error {
            Some(error) => format!("{state}, waiting for the source: {error}\n"),
            None => format!("{state}\n"),
        }),
        State::Stopping => Some(format!("{state}\n")),
        State::Snapshot | State::Running => {
            match (&status.log.blocked, status.source.disconnected_seconds) {
                (Some(reason), _) => Some(format!("BLOCKED {reason}\n")),
                (None, Some(seconds)) => Some(format!(
                    "{state}, but reconnecting to the database since {seconds} s: {}\n",
                    status.source.last_error.as_deref().unwrap_or("the connection is lost"),
                )),
                (None, None) => None,
            }
        }
    }
}

async fn metrics_page(Shared(observed): Shared<Arc<Observed>>) -> Response {
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], metrics::render(&observed.status())).into_response()
}

async fn status_page(Shared(observed): Shared<Arc<Observed>>) -> Response {
    Json(observed.status()).into_response()
}
