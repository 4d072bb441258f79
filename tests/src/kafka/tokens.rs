//! Tokens for OAUTHBEARER: a key that signs them, and a token endpoint as an identity provider has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::security::USER;

/// Whom the tokens are for.
pub(super) const AUDIENCE: &str = "kafka";
/// Who says so.
pub(super) const ISSUER: &str = "https://login.example.com";
/// The client that the endpoint knows.
pub const CLIENT_ID: &str = "gateway";
/// Its secret.
pub const CLIENT_SECRET: &str = "right-Secret";

/// Signs tokens as ES256 (RFC 7518 §3.4).
#[derive(Debug)]
pub struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(super) fn new() -> Result<Signer> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let made = made.map_err(|_| anyhow!("no key can be made"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random)
            .map_err(|error| anyhow!("the key is not one: {error}"))?;
        Ok(Signer { key, random })
    }

    /// The public key as a JSON Web Key Set.
    pub(super) fn public_keys(&self) -> String {
        // An uncompressed point: 4, then both coordinates.
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        serde_json::json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
        .to_string()
    }

    /// A token of [`USER`] that lasts so long; negative: it has expired.
    ///
    /// # Panics
    /// The system has no random numbers.
    pub fn token(&self, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let header = serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": "1"});
        let claims = serde_json::json!({
            "sub": USER, "iss": ISSUER, "aud": AUDIENCE, "scope": "kafka",
            "iat": now.min(now + seconds) - 1, "exp": now + seconds,
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&self.random, text.as_bytes()).expect("there are numbers");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// A token endpoint over HTTP until it is dropped. It gives the token that it was last told, to the
/// client that knows the secret.
#[derive(Debug)]
pub struct TokenEndpoint {
    address: SocketAddr,
    token: Arc<Mutex<(String, i64)>>,
    given: Arc<AtomicUsize>,
}

impl TokenEndpoint {
    /// Starts it.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(token: String, expires_in: i64) -> Result<TokenEndpoint> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let token = Arc::new(Mutex::new((token, expires_in)));
        let given = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (Arc::clone(&token), Arc::clone(&given));
        // It ends with the process; a test is not kept by it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away early is its own business.
                let _ = answer(&stream, &shared, &count);
            }
        });
        Ok(TokenEndpoint { address, token, given })
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// From now on it gives this token.
    ///
    /// # Panics
    /// A holder of the lock panicked.
    pub fn give(&self, token: String, expires_in: i64) {
        *self.token.lock().expect("no holder of this lock panics") = (token, expires_in);
    }

    /// How many tokens it has given.
    pub fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

fn answer(
    mut stream: &TcpStream,
    token: &Mutex<(String, i64)>,
    given: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut login, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => login = value.to_owned(),
            "content-length" => length = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let form = String::from_utf8_lossy(&form).into_owned();
    let right = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let (status, body) = if login != right {
        let error = r#"{"error":"invalid_client","error_description":"wrong client secret"}"#;
        ("401 Unauthorized", error.to_owned())
    } else if !form.contains("grant_type=client_credentials") {
        ("400 Bad Request", r#"{"error":"unsupported_grant_type"}"#.to_owned())
    } else {
        given.fetch_add(1, Ordering::Relaxed);
        let (token, life) = token.lock().expect("no holder of this lock panics").clone();
        let body = serde_json::json!({
            "access_token": token, "token_type": "Bearer", "expires_in": life,
        });
        ("200 OK", body.to_string())
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
