//! One HTTP request to the registry, over the URLs in turn.
//!
//! What is no answer, or none to go by (5xx, 429), leads to the next URL, and when there is none
//! left to a transient error. Here is also what any answer may be refused for: a redirect, a
//! rejected login, its size. What an answer means is read in `client.rs`.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::{Agent, Body};

use crate::answer::Refusal;
use crate::error::bounded;
use crate::{Authentication, RegistryError, RegistryOptions, tls};

/// The largest answer.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// The largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a connection may take; of [`RegistryOptions::timeout`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that are kept, and for how long; the registry closes idle ones as well.
const MAX_IDLE_CONNECTIONS: usize = 2;
const MAX_IDLE_AGE: Duration = Duration::from_secs(10);
/// What the API is asked to speak.
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPTED: &str =
    "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json";

/// An answer that is worth reading.
pub(crate) struct Reply {
    /// The base URL that answered.
    pub(crate) url: String,
    /// HTTP's status: neither 3xx, 401, 408, 429 nor 5xx.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The HTTP client.
pub(crate) struct Transport {
    agent: Agent,
    urls: Vec<String>,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    /// The URL that answered last.
    preferred: AtomicUsize,
}

impl Transport {
    /// Sets the client up; connects nowhere.
    ///
    /// # Errors
    /// [`RegistryError::Options`].
    pub(crate) fn new(options: &RegistryOptions) -> Result<Transport, RegistryError> {
        let urls = options.bases()?;
        if options.timeout.is_zero() {
            return Err(RegistryError::option("timeout", "it is zero"));
        }
        let tls = tls::config(options, urls.iter().any(|url| url.starts_with("https")))?;
        let authorization = authorization(&options.authentication)?;
        if authorization.is_some() {
            keep_out_of_logs();
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the login to wherever the answer says.
            .max_redirects(0)
            // Not from the environment: what is asked is what the configuration names.
            .proxy(None)
            .tls_config(tls)
            .timeout_global(Some(options.timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(options.timeout)))
            .max_response_header_size(MAX_HEAD_BYTES)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_age(MAX_IDLE_AGE)
            .user_agent(concat!("offtake/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Transport {
            agent: config.new_agent(),
            urls,
            authorization,
            timeout: options.timeout,
            preferred: AtomicUsize::new(0),
        })
    }

    /// The URL that is asked first.
    pub(crate) fn url(&self) -> &str {
        &self.urls[self.preferred.load(Ordering::Relaxed)]
    }

    /// Asks one URL after the other until one answers. `path` is percent-encoded.
    ///
    /// # Errors
    /// The first URL's, where all are transient; otherwise the one that is not.
    pub(crate) fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Reply, RegistryError> {
        let from = self.preferred.load(Ordering::Relaxed);
        let mut first = None;
        for turn in 0..self.urls.len() {
            let at = (from + turn) % self.urls.len();
            match self.attempt(&self.urls[at], method, path, body) {
                Ok(reply) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) if error.is_transient() => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.expect("there is at least one URL, and every turn that goes on keeps an error"))
    }

    fn attempt(
        &self,
        url: &str,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Reply, RegistryError> {
        let sent = match self.send(url, method, path, body) {
            // What was kept open from the request before may have been closed since; every request
            // can be repeated.
            Err(ureq::Error::Io(error)) if is_hang_up(&error) => self.send(url, method, path, body),
            sent => sent,
        };
        let (head, mut content) = sent.map_err(|error| self.failed(url, error))?.into_parts();
        let status = head.status.as_u16();
        if (300..400).contains(&status) {
            return Err(RegistryError::Redirected { url: url.to_owned(), status });
        }
        let body = read(&mut content).map_err(|error| self.failed(url, error))?;
        let url = url.to_owned();
        match status {
            401 => Err(RegistryError::Unauthorized { url }),
            429 => Err(RegistryError::Throttled { url, retry_after: retry_after(&head.headers) }),
            408 | 500.. => Err(RegistryError::Unavailable {
                url,
                status,
                reason: Refusal::read(&body)
                    .map_or_else(|| "without a reason".to_owned(), |refusal| refusal.reason()),
                retry_after: retry_after(&head.headers),
            }),
            _ => Ok(Reply { url, status, body }),
        }
    }

    fn send(
        &self,
        url: &str,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request =
            Request::builder().method(method).uri(format!("{url}{path}")).header(ACCEPT, ACCEPTED);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        match body {
            Some(body) => self.agent.run(request.header(CONTENT_TYPE, CONTENT).body(body)?),
            None => self.agent.run(request.body(())?),
        }
    }

    /// What a failed request means.
    fn failed(&self, url: &str, error: ureq::Error) -> RegistryError {
        let url = url.to_owned();
        match error {
            ureq::Error::Timeout(_) => RegistryError::Timeout { url, within: self.timeout },
            ureq::Error::Io(error) => match tls_reason(&error) {
                Some(reason) => RegistryError::Tls { url, reason },
                None => RegistryError::Unreachable { reason: broken(&url, &error), url },
            },
            ureq::Error::Rustls(error) => RegistryError::Tls { url, reason: error.to_string() },
            ureq::Error::Tls(reason) => RegistryError::Tls { url, reason: reason.to_owned() },
            ureq::Error::HostNotFound => {
                RegistryError::Unreachable { url, reason: "no such host".to_owned() }
            }
            ureq::Error::ConnectionFailed => {
                RegistryError::Unreachable { url, reason: "no connection".to_owned() }
            }
            ureq::Error::BodyExceedsLimit(limit) => RegistryError::AnswerTooLarge { url, limit },
            ureq::Error::LargeResponseHeader(_, limit) => {
                RegistryError::AnswerTooLarge { url, limit: limit as u64 }
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                RegistryError::WrongAnswer { url, reason: "it is not HTTP".to_owned() }
            }
            other => RegistryError::Unreachable { url, reason: bounded(&other.to_string()) },
        }
    }
}

fn read(content: &mut Body) -> Result<Vec<u8>, ureq::Error> {
    content.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()
}

/// Whether the other side ended the connection.
fn is_hang_up(error: &std::io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// The reason of a connection that broke for no reason of TLS's own. With TLS 1.3 a client learns
/// that its certificate is refused only after it has begun to send, and mostly as such a break.
fn broken(url: &str, error: &std::io::Error) -> String {
    let reason = bounded(&error.to_string());
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
            if url.starts_with("https") =>
        {
            format!("{reason}; it may want another client certificate")
        }
        _ => reason,
    }
}

/// The reason where a broken connection was TLS's doing.
fn tls_reason(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(bounded(&inner.to_string()))
}

/// `Retry-After` in seconds; a date, which it may be as well, counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The HTTP client's protocol crate logs whole requests at TRACE, with the login in them, by the
/// crate `log`, which nothing of this project logs with: that level is taken from it.
fn keep_out_of_logs() {
    if log::max_level() > log::LevelFilter::Debug {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

fn authorization(authentication: &Authentication) -> Result<Option<HeaderValue>, RegistryError> {
    let (option, text) = match authentication {
        Authentication::None => return Ok(None),
        Authentication::Basic { username, .. } if username.contains(':') => {
            return Err(RegistryError::option("username", "it holds a colon"));
        }
        Authentication::Basic { username, password } => {
            ("password", format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
        }
        Authentication::Bearer { token } => ("token", format!("Bearer {token}")),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| RegistryError::option(option, "it holds characters that no header can"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
