//! Tokens for SASL's OAUTHBEARER: fetched from a token endpoint by the client-credentials grant
//! (RFC 6749 §4.4), or read from a file that something else keeps fresh.
//!
//! All clients of a sink share one token, which is renewed before it expires. The client library
//! could fetch tokens itself, but only with a second HTTP and TLS library built in.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rdkafka::client::OAuthToken;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long the endpoint may take. The sink's thread waits for it when a token is renewed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer of the endpoint, and the largest token file.
const MAX_BYTES: u64 = 256 << 10;
/// The largest text that the endpoint's own reason is told with.
const MAX_REASON: usize = 200;
/// Share of a token's life after which it is renewed, in percent; the library asks at 80.
const RENEW_AFTER_PERCENT: i64 = 75;
/// Life of a token of which nobody says when it expires.
const UNKNOWN_LIFE: Duration = Duration::from_secs(300);

/// Where tokens come from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OauthOptions {
    /// The token endpoint; `None`: the file.
    pub token_url: Option<String>,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub client_secret: String,
    /// What is asked for; empty: the endpoint's default.
    pub scope: String,
    /// Authorities for the endpoint's certificate, in PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// A file that holds a JSON Web Token.
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for OauthOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OauthOptions")
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .field("ca", &self.ca)
            .field("token_file", &self.token_file)
            .finish_non_exhaustive()
    }
}

/// Why there is no token. Texts never hold a secret or a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token endpoint {url} cannot be asked: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the token endpoint {url} refuses with status {status}: {reason}")]
    Refused { url: String, status: u16, reason: String },
    #[error("the answer of the token endpoint {url} holds no access_token")]
    NoToken { url: String },
    #[error("the token file {file}: {reason}")]
    File { file: String, reason: String },
    #[error("the token has expired {seconds} s ago")]
    Expired { seconds: i64 },
    #[error("[kafka.oauth] ca {file}: {reason}")]
    Authorities { file: String, reason: String },
}

#[derive(Clone)]
struct Token {
    text: String,
    principal: String,
    /// Milliseconds since the Unix epoch.
    renew_at: i64,
    expires: i64,
}

/// The sink's token. Clones share it.
#[derive(Clone)]
pub struct Oauth {
    options: OauthOptions,
    token: Arc<Mutex<Option<Token>>>,
}

impl fmt::Debug for Oauth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.options, out)
    }
}

impl Oauth {
    /// Asks nobody yet.
    pub fn new(options: OauthOptions) -> Oauth {
        Oauth { options, token: Arc::default() }
    }

    /// The token, fetched when there is none or it is to be renewed. Blocks for some seconds at
    /// most.
    pub(crate) fn token(&self) -> Result<OAuthToken, TokenError> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_ms();
        let token = match token.take() {
            Some(fresh) if now < fresh.renew_at => token.insert(fresh),
            _ => token.insert(self.fetch(now)?),
        };
        Ok(OAuthToken {
            token: token.text.clone(),
            principal_name: token.principal.clone(),
            lifetime_ms: token.expires,
        })
    }

    fn fetch(&self, now: i64) -> Result<Token, TokenError> {
        let (text, life) = match (&self.options.token_url, &self.options.token_file) {
            (Some(url), _) => self.ask(url)?,
            (None, Some(file)) => (read_file(file)?, None),
            (None, None) => {
                let reason = "none is named".to_owned();
                return Err(TokenError::File { file: "token_file".to_owned(), reason });
            }
        };
        let claims = Claims::of(&text);
        let told = claims.exp.map(|seconds| (seconds * 1000.0) as i64);
        let lasts = life.unwrap_or(UNKNOWN_LIFE).as_millis().try_into().unwrap_or(i64::MAX);
        let expires = told.unwrap_or_else(|| now.saturating_add(lasts));
        if expires <= now {
            return Err(TokenError::Expired { seconds: (now - expires) / 1000 });
        }
        let renew_at = now + (expires - now) / 100 * RENEW_AFTER_PERCENT;
        let own = Some(self.options.client_id.clone()).filter(|id| !id.is_empty());
        let principal = claims.sub.or(own).unwrap_or_else(|| "offtake".to_owned());
        Ok(Token { text, principal, renew_at, expires })
    }

    /// Asks the endpoint: the token and how long it lasts, where that is said.
    fn ask(&self, url: &str) -> Result<(String, Option<Duration>), TokenError> {
        let unreachable = |reason: String| TokenError::Unreachable { url: url.to_owned(), reason };
        let agent = self.agent()?;
        let OauthOptions { client_id, client_secret, scope, .. } = &self.options;
        let login = STANDARD.encode(format!("{client_id}:{client_secret}"));
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        let answer = agent
            .post(url)
            .header("Authorization", format!("Basic {login}"))
            .header("Accept", "application/json")
            .send_form(form);
        let mut answer = answer.map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        let body = body.map_err(|error| unreachable(error.to_string()))?;
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        if status != 200 {
            let reason = bounded(&answer.reason());
            return Err(TokenError::Refused { url: url.to_owned(), status, reason });
        }
        let life = answer.expires_in.filter(|seconds| (1.0..1e9).contains(seconds));
        let text = answer.access_token.filter(|token| is_plain(token));
        let text = text.ok_or_else(|| TokenError::NoToken { url: url.to_owned() })?;
        Ok((text, life.map(Duration::from_secs_f64)))
    }

    fn agent(&self) -> Result<Agent, TokenError> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&self.authorities()?))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the login to wherever the answer says.
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("offtake/", env!("CARGO_PKG_VERSION")));
        Ok(config.build().new_agent())
    }

    fn authorities(&self) -> Result<Vec<Certificate<'static>>, TokenError> {
        let Some(ca) = &self.options.ca else {
            let found = rustls_native_certs::load_native_certs().certs;
            return Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect());
        };
        let refuse = |reason: &str| TokenError::Authorities {
            file: ca.display().to_string(),
            reason: reason.to_owned(),
        };
        let pem = read_bounded(ca).map_err(|error| refuse(&error.to_string()))?;
        let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| refuse("it holds no certificate in PEM"))?;
        if found.is_empty() {
            return Err(refuse("it holds no certificate in PEM"));
        }
        Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect())
    }
}

/// The endpoint's answer, RFC 6749 §5.1 and §5.2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Answer {
    fn reason(&self) -> String {
        match (&self.error, &self.error_description) {
            (Some(error), Some(description)) => format!("{error}: {description}"),
            (Some(reason), None) | (None, Some(reason)) => reason.clone(),
            (None, None) => "no reason is given".to_owned(),
        }
    }
}

/// What is looked at of a JSON Web Token; whether it holds is the brokers' to judge.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: Option<String>,
    /// Seconds since the Unix epoch, perhaps with a fraction (RFC 7519 §2).
    exp: Option<f64>,
}

impl Claims {
    /// Of a token that is none, nothing.
    fn of(token: &str) -> Claims {
        let payload = token.split('.').nth(1).unwrap_or_default();
        let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).unwrap_or_default();
        let claims: Claims = serde_json::from_slice(&json).unwrap_or_default();
        let sub = claims.sub.filter(|sub| !sub.contains('\0'));
        Claims { exp: claims.exp.filter(|exp| exp.abs() < 1e12), sub }
    }
}

fn read_file(file: &Path) -> Result<String, TokenError> {
    let refuse =
        |reason: &str| TokenError::File { file: file.display().to_string(), reason: reason.into() };
    let bytes = read_bounded(file).map_err(|error| refuse(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is no text"))?;
    let text = text.trim().to_owned();
    if is_plain(&text) { Ok(text) } else { Err(refuse("it holds no token")) }
}

fn read_bounded(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a token can be sent: printable, RFC 6750 §2.1.
fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bounded(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_REASON).collect()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims))
    }

    fn of_file(text: &str) -> Result<OAuthToken, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, text).unwrap();
        Oauth::new(OauthOptions { token_file: Some(file), ..OauthOptions::default() }).token()
    }

    #[test]
    fn a_token_in_a_file_lasts_as_long_as_it_says_and_is_its_subjects() {
        let expires = now_ms() / 1000 + 600;
        let text = jwt(&format!("{{\"sub\":\"shop\",\"exp\":{expires}}}"));
        let token = of_file(&format!("{text}\n")).unwrap();
        assert_eq!((token.token, token.principal_name), (text, "shop".to_owned()));
        assert_eq!(token.lifetime_ms, expires * 1000);
    }

    #[test]
    fn an_expired_token_and_a_file_without_one_are_told() {
        let error = of_file(&jwt("{\"sub\":\"shop\",\"exp\":1000}")).err().unwrap().to_string();
        assert!(error.starts_with("the token has expired"), "{error}");
        let error = of_file("two words").err().unwrap().to_string();
        assert!(error.contains("holds no token") && !error.contains("two words"), "{error}");
    }

    #[test]
    fn a_secret_is_not_in_the_debug_text() {
        let options = OauthOptions { client_secret: "hush".to_owned(), ..OauthOptions::default() };
        assert!(!format!("{:?}", Oauth::new(options)).contains("hush"));
    }

    proptest! {
        #[test]
        fn whatever_a_token_holds_it_is_read(token in ".{0,80}") {
            let _ = Claims::of(&token);
        }
    }
}
