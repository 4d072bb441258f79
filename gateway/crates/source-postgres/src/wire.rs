//! One connection to the server: how it is opened, and frames out and in.
//!
//! The client is our own because `tokio-postgres` has no replication mode; `postgres-protocol`
//! writes the messages and does SCRAM. What queries and replication do with a connection stands in
//! `session` and `copy_both`.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::SourceError;
use crate::auth;
use crate::cancel::Canceller;
use crate::connect::{ConnectOptions, SslMode};
use crate::error::ServerError;
use crate::frame_buffer::{FrameBuffer, FrameError, RawFrame};
use crate::tls;
use crate::transport::Transport;

/// Largest message taken from the server outside of replication and COPY.
pub(crate) const SQL_MESSAGE_LIMIT: usize = 64 << 20;
/// Largest message during the login, when the peer is not yet known to be a PostgreSQL server.
const LOGIN_MESSAGE_LIMIT: usize = 64 << 10;

/// Settings that make one value one text, on SQL, COPY and replication connections alike; a role's
/// or database's own settings do not override what the startup message says.
///
/// - `IntervalStyle = iso_8601`: a duration in a standard grammar, `P1Y2M3DT4H5M6.5S`.
/// - `extra_float_digits = 3`: as the built-in subscription asks; any value above 0 gives the
///   shortest text that reads back as the same float.
/// - `search_path = pg_catalog`: names in values (`regclass`) and types are always qualified.
/// - `client_encoding = UTF8`: the server converts. From a database in SQL_ASCII it cannot, for
///   nobody knows what its bytes mean: there the texts are taken as they are, and one that is no
///   UTF-8 halts by its table and column (see `login`).
/// - `row_security = off`: a table whose policies would hide rows from the snapshot is an error.
const PINNED_SETTINGS: [(&str, &str); 12] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "iso_8601"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("search_path", "pg_catalog"),
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Whether a connection speaks SQL alone or replication too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Sql,
    Replication,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    pub(crate) input: FrameBuffer,
    output: BytesMut,
    address: String,
    cancel_key: Vec<u8>,
}

impl Wire {
    /// Connects and logs in, within the options' time.
    pub(crate) async fn connect(
        options: &ConnectOptions,
        purpose: Purpose,
        message_limit: usize,
    ) -> Result<Wire, SourceError> {
        match tokio::time::timeout(options.connect_timeout, connect_any(options, purpose)).await {
            Ok(wire) => {
                let mut wire = wire?;
                wire.input.set_limit(message_limit);
                Ok(wire)
            }
            Err(_) => Err(SourceError::Io {
                address: options.address(),
                error: std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("no connection within {} s", options.connect_timeout.as_secs_f32()),
                ),
            }),
        }
    }

    fn io(&self, error: std::io::Error) -> SourceError {
        SourceError::Io { address: self.address.clone(), error }
    }

    /// Adds a message to what the next [`Wire::flush`] sends.
    ///
    /// # Errors
    /// A text that cannot be sent: it has a NUL byte.
    pub(crate) fn put(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), SourceError> {
        let before = self.output.len();
        write(&mut self.output).map_err(|error| {
            self.output.truncate(before);
            SourceError::Protocol(format!("a message cannot be written: {error}"))
        })
    }

    pub(crate) async fn flush(&mut self) -> Result<(), SourceError> {
        while !self.output.is_empty() {
            let written = self.transport.write_buf(&mut self.output).await;
            match written {
                Ok(0) => return Err(self.io(std::io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        self.transport.flush().await.map_err(|error| self.io(error))
    }

    /// Reads from the network once. May be dropped and called again without losing a byte.
    pub(crate) async fn fill(&mut self) -> Result<usize, SourceError> {
        let read = self.input.fill(&mut self.transport).await;
        read.map_err(|error| self.io(error))
    }

    /// The next frame that is already here.
    pub(crate) fn peek(&mut self) -> Result<Option<RawFrame>, SourceError> {
        self.input.peek().map_err(|error| match error {
            FrameError::TooLarge { bytes } => {
                SourceError::MessageTooLarge { bytes, limit: self.input.limit() }
            }
            FrameError::Length(length) => {
                SourceError::Protocol(format!("a message with the length {length}"))
            }
        })
    }

    /// The next frame; waits for it.
    pub(crate) async fn next(&mut self) -> Result<RawFrame, SourceError> {
        loop {
            if let Some(frame) = self.peek()? {
                self.input.consume(frame);
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    pub(crate) fn body(&self, frame: RawFrame) -> &[u8] {
        self.input.body(frame)
    }

    /// Says good-bye; the server then ends the session at once instead of at its next write.
    pub(crate) async fn close(mut self) {
        frontend::terminate(&mut self.output);
        // The connection is given up in any case.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.flush()).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.transport.shutdown()).await;
    }

    /// The hash of the server's certificate, where there is TLS.
    pub(crate) fn server_end_point(&self) -> Option<Vec<u8>> {
        let Transport::Tls(stream) = &self.transport else { return None };
        let (_, connection) = stream.get_ref();
        connection.peer_certificates()?.first().and_then(|leaf| tls::server_end_point(leaf))
    }

    /// What cancels a wait of this session at the server.
    pub(crate) fn canceller(&self) -> Canceller {
        Canceller { key: self.cancel_key.clone(), is_encrypted: self.is_encrypted() }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }
}

async fn connect_any(options: &ConnectOptions, purpose: Purpose) -> Result<Wire, SourceError> {
    let refused = |error: &SourceError| matches!(error, SourceError::Server { error, .. } if error.sqlstate.starts_with("28"));
    match options.sslmode {
        SslMode::Disable => login(options, purpose, false).await,
        SslMode::Allow => match login(options, purpose, false).await {
            Err(error) if refused(&error) => login(options, purpose, true).await,
            other => other,
        },
        SslMode::Prefer => match login(options, purpose, true).await {
            Err(error) if refused(&error) || matches!(error, SourceError::Tls { .. }) => {
                // What the first try was told is what the user needs to read.
                login(options, purpose, false).await.map_err(|_| error)
            }
            other => other,
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            login(options, purpose, true).await
        }
    }
}

async fn login(options: &ConnectOptions, purpose: Purpose, tls: bool) -> Result<Wire, SourceError> {
    let mut wire = Wire {
        transport: open(options, tls).await?,
        input: FrameBuffer::new(LOGIN_MESSAGE_LIMIT),
        output: BytesMut::new(),
        address: options.address(),
        cancel_key: Vec::new(),
    };
    let mut parameters = vec![
        ("user", options.user.as_str()),
        ("database", options.database.as_str()),
        ("application_name", options.application_name.as_str()),
    ];
    if purpose == Purpose::Replication {
        parameters.push(("replication", "database"));
    }
    parameters.extend(PINNED_SETTINGS);
    wire.put(|out| frontend::startup_message(parameters.iter().copied(), out))?;
    wire.flush().await?;
    let login = auth::log_in(&mut wire, options).await?;
    wire.cancel_key = login.cancel_key;
    if login.server_encoding == "SQL_ASCII" {
        take_bytes_as_they_are(&mut wire).await?;
    }
    Ok(wire)
}

/// The server would refuse a text without saying whose it is; our own decoder says it.
async fn take_bytes_as_they_are(wire: &mut Wire) -> Result<(), SourceError> {
    wire.put(|out| frontend::query("SET client_encoding = 'SQL_ASCII'", out))?;
    wire.flush().await?;
    let mut failure = None;
    loop {
        let frame = wire.next().await?;
        match frame.tag {
            b'E' => failure = Some(server_error("set the encoding", wire.body(frame))),
            b'C' | b'N' | b'S' => {}
            b'Z' => return failure.map_or(Ok(()), Err),
            other => {
                return Err(SourceError::Protocol(format!("tag 0x{other:02x} out of place")));
            }
        }
    }
}

pub(crate) async fn open(options: &ConnectOptions, tls: bool) -> Result<Transport, SourceError> {
    let io = |error| SourceError::Io { address: options.address(), error };
    if options.host.starts_with('/') {
        // As libpq: a Unix socket has no TLS, whatever sslmode says.
        return Ok(Transport::Unix(UnixStream::connect(options.address()).await.map_err(io)?));
    }
    let place = (options.host.as_str(), options.port);
    let mut stream = TcpStream::connect(place).await.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    if !tls {
        return Ok(Transport::Tcp(stream));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(io)?;
    let failed = |reason: String| SourceError::Tls { address: options.address(), reason };
    // Exactly one byte: what follows an 'S' before the handshake would be injected plain text.
    match stream.read_u8().await.map_err(io)? {
        b'S' => {}
        b'N' if options.sslmode == SslMode::Prefer => return Ok(Transport::Tcp(stream)),
        b'N' => return Err(failed("the server does not offer TLS".to_owned())),
        _ => return Err(failed("the server does not answer as PostgreSQL does".to_owned())),
    }
    let config = tls::client_config(options).map_err(failed)?;
    let name = ServerName::try_from(options.host.clone())
        .map_err(|_| failed(format!("{:?} is no host name", options.host)))?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| failed(error.to_string()))?;
    Ok(Transport::Tls(Box::new(stream)))
}

/// What an `ErrorResponse` says, as an error of the source.
pub(crate) fn server_error(doing: &'static str, body: &[u8]) -> SourceError {
    SourceError::Server { doing, error: ServerError::parse(body) }
}
