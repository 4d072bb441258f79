//! The login: trust, SCRAM-SHA-256 with channel binding where there is TLS, and a clear-text
//! password over TLS alone.
//!
//! MD5 is refused: PostgreSQL itself deprecates it, and its hash is as good as the password.

use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use crate::SourceError;
use crate::connect::{ConnectOptions, Secret};
use crate::wire::{Wire, server_error};

/// Codes of the `R` messages (chapter 55.7 of the manual).
const AUTHENTICATION_OK: i32 = 0;
const CLEARTEXT_PASSWORD: i32 = 3;
const MD5_PASSWORD: i32 = 5;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;
/// A server that asks for more rounds than any of the methods has is no PostgreSQL server.
const MAX_MESSAGES: usize = 200;

/// What the server said of itself.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// The database's encoding, as the server names it.
    pub(crate) server_encoding: String,
    /// Process and secret, for a request to cancel; empty: it gave none.
    pub(crate) cancel_key: Vec<u8>,
}

/// Answers the server until it is ready for queries.
pub(crate) async fn log_in(
    wire: &mut Wire,
    options: &ConnectOptions,
) -> Result<Login, SourceError> {
    let mut scram = None;
    let mut login = Login::default();
    for _ in 0..MAX_MESSAGES {
        let frame = wire.next().await?;
        match frame.tag {
            b'R' => {
                let body = wire.body(frame);
                let (code, rest) = body
                    .split_first_chunk::<4>()
                    .ok_or_else(|| SourceError::Protocol("a cut login request".to_owned()))?;
                let rest = rest.to_vec();
                answer(wire, options, &mut scram, i32::from_be_bytes(*code), &rest)?;
                wire.flush().await?;
            }
            b'E' => return Err(server_error("log in", wire.body(frame))),
            b'S' => {
                let value = wire.body(frame).strip_prefix(b"server_encoding\0");
                if let Some(value) = value.and_then(|value| value.strip_suffix(b"\0")) {
                    login.server_encoding = String::from_utf8_lossy(value).into_owned();
                }
            }
            b'K' => login.cancel_key = wire.body(frame).to_vec(),
            // Notices, the protocol's minor version.
            b'N' | b'v' => {}
            b'Z' => return Ok(login),
            other => {
                return Err(SourceError::Protocol(format!("tag 0x{other:02x} during the login")));
            }
        }
    }
    Err(SourceError::Protocol("the login does not end".to_owned()))
}

fn answer(
    wire: &mut Wire,
    options: &ConnectOptions,
    scram: &mut Option<ScramSha256>,
    code: i32,
    data: &[u8],
) -> Result<(), SourceError> {
    let out_of_place = || SourceError::Protocol("a SASL message out of place".to_owned());
    let failed = |error: std::io::Error| SourceError::Login(error.to_string());
    match code {
        AUTHENTICATION_OK => {}
        CLEARTEXT_PASSWORD => {
            if !wire.is_encrypted() {
                return Err(SourceError::Login(
                    "the server wants the password in clear text over a connection without TLS; \
                     use sslmode=require or set scram-sha-256 in pg_hba.conf"
                        .to_owned(),
                ));
            }
            let password = password(options)?;
            wire.put(|out| frontend::password_message(password.expose().as_bytes(), out))?;
        }
        MD5_PASSWORD => {
            return Err(SourceError::Login(
                "the server wants an MD5 password, which is not supported; set \
                 password_encryption = scram-sha-256 and set the role's password again"
                    .to_owned(),
            ));
        }
        SASL => {
            let (client, mechanism) = begin_scram(wire, password(options)?, data)?;
            wire.put(|out| frontend::sasl_initial_response(mechanism, client.message(), out))?;
            *scram = Some(client);
        }
        SASL_CONTINUE => {
            let client = scram.as_mut().ok_or_else(out_of_place)?;
            client.update(data).map_err(failed)?;
            wire.put(|out| frontend::sasl_response(client.message(), out))?;
        }
        // The server proves here that it knows the password too.
        SASL_FINAL => scram.as_mut().ok_or_else(out_of_place)?.finish(data).map_err(failed)?,
        other => {
            return Err(SourceError::Login(format!(
                "the server wants the authentication method {other}, which is not supported \
                 (trust, scram-sha-256 and password over TLS are)"
            )));
        }
    }
    Ok(())
}

fn begin_scram(
    wire: &Wire,
    password: &Secret,
    mechanisms: &[u8],
) -> Result<(ScramSha256, &'static str), SourceError> {
    let offered =
        |name: &str| mechanisms.split(|&byte| byte == 0).any(|found| found == name.as_bytes());
    let (binding, mechanism) = match wire.server_end_point() {
        Some(hash) if offered(SCRAM_SHA_256_PLUS) => {
            (ChannelBinding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS)
        }
        Some(_) if offered(SCRAM_SHA_256) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        None if offered(SCRAM_SHA_256) => (ChannelBinding::unsupported(), SCRAM_SHA_256),
        _ => {
            return Err(SourceError::Login(
                "the server offers no SASL mechanism that is supported (SCRAM-SHA-256 is)"
                    .to_owned(),
            ));
        }
    };
    Ok((ScramSha256::new(password.expose().as_bytes(), binding), mechanism))
}

fn password(options: &ConnectOptions) -> Result<&Secret, SourceError> {
    options.password.as_ref().ok_or_else(|| {
        SourceError::Login(format!("the server wants a password for {}", options.user))
    })
}
