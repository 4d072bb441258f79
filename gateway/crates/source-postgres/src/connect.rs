//! Where the server is and how to log in: options, read from a URL or from `key=value` pairs as
//! libpq reads them.
//!
//! No environment is looked at here; `PGPASSWORD` and password files are the configuration's.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::SourceError;

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A password; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the password.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Gives it out, for the login alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(***)")
    }
}

/// When TLS is used and what is verified, with libpq's names and meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only where the server refuses a plain connection.
    Allow,
    /// Where the server offers it. The default.
    Prefer,
    /// Always; the certificate is verified only when `sslrootcert` is given.
    Require,
    /// Always, signed by a trusted authority.
    VerifyCa,
    /// Always, signed by a trusted authority, for this host name.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<SslMode, SourceError> {
        Ok(match text {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => {
                return Err(wrong(format!(
                    "sslmode {text:?} is none of disable, allow, prefer, require, verify-ca, \
                     verify-full"
                )));
            }
        })
    }
}

/// A server, a database and a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Host name, address, or (beginning with `/`) the folder of the server's Unix socket.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Role to log in as.
    pub user: String,
    /// Its password, where one is needed.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// When TLS is used.
    pub sslmode: SslMode,
    /// PEM file with trusted authorities; `system` (and, where verifying is demanded, none) means
    /// the system's.
    pub sslrootcert: Option<PathBuf>,
    /// Shown in `pg_stat_activity` and `pg_stat_replication`.
    pub application_name: String,
    /// For the whole of connecting: network, TLS and login.
    pub connect_timeout: Duration,
}

impl ConnectOptions {
    /// Host and port as a person reads them.
    pub fn address(&self) -> String {
        if self.host.starts_with('/') {
            format!("{}/.s.PGSQL.{}", self.host, self.port)
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn from_pairs(pairs: Vec<(String, String)>) -> Result<ConnectOptions, SourceError> {
        let mut options = ConnectOptions {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
            user: String::new(),
            password: None,
            database: String::new(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            application_name: "offtake".to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        };
        let mut mode_given = false;
        for (key, value) in pairs {
            match key.as_str() {
                "host" | "hostaddr" if value.contains(',') => {
                    return Err(wrong("several hosts are not supported".to_owned()));
                }
                "host" => options.host = value,
                "port" => {
                    options.port = value
                        .parse()
                        .map_err(|_| wrong(format!("port {value:?} is no port number")))?;
                }
                "user" => options.user = value,
                "password" => options.password = Some(Secret::new(value)),
                "dbname" | "database" => options.database = value,
                "sslmode" => {
                    options.sslmode = value.parse()?;
                    mode_given = true;
                }
                "sslrootcert" => options.sslrootcert = Some(PathBuf::from(value)),
                "application_name" => options.application_name = value,
                "connect_timeout" => {
                    let seconds = value
                        .parse()
                        .map_err(|_| wrong("connect_timeout is no number of seconds".to_owned()))?;
                    options.connect_timeout = Duration::from_secs(seconds);
                }
                _ => return Err(wrong(format!("parameter {key:?} is not known"))),
            }
        }
        if options.user.is_empty() {
            return Err(wrong("it names no user".to_owned()));
        }
        if options.database.is_empty() {
            options.database.clone_from(&options.user);
        }
        if options.host.is_empty() {
            options.host = "localhost".to_owned();
        }
        // As libpq: the system's authorities sign for anybody, so the name must be verified.
        if options.sslrootcert.as_deref().is_some_and(|path| path.as_os_str() == "system") {
            if mode_given && options.sslmode != SslMode::VerifyFull {
                return Err(wrong("sslrootcert=system needs sslmode=verify-full".to_owned()));
            }
            options.sslmode = SslMode::VerifyFull;
        }
        Ok(options)
    }
}

impl FromStr for ConnectOptions {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<ConnectOptions, SourceError> {
        for scheme in ["postgres://", "postgresql://"] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return ConnectOptions::from_pairs(url_pairs(rest)?);
            }
        }
        ConnectOptions::from_pairs(keyword_pairs(text)?)
    }
}

fn wrong(reason: String) -> SourceError {
    SourceError::Connection(reason)
}

/// The parts of a URL after its scheme as libpq's keywords.
fn url_pairs(rest: &str) -> Result<Vec<(String, String)>, SourceError> {
    let mut pairs = Vec::new();
    let mut push = |key: &str, value: &str| -> Result<(), SourceError> {
        pairs.push((key.to_owned(), percent_decode(value)?));
        Ok(())
    };
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => (login, place),
        None => ("", authority),
    };
    if !login.is_empty() {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        push("user", user)?;
        if let Some(password) = password {
            push("password", password)?;
        }
    }
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, after) = bracketed
            .split_once(']')
            .ok_or_else(|| wrong("the bracket around an IPv6 address is not closed".to_owned()))?;
        (host, after.strip_prefix(':').unwrap_or(""))
    } else {
        place.split_once(':').unwrap_or((place, ""))
    };
    if !host.is_empty() {
        push("host", host)?;
    }
    if !port.is_empty() {
        push("port", port)?;
    }
    if !database.is_empty() {
        push("dbname", database)?;
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter
            .split_once('=')
            .ok_or_else(|| wrong(format!("parameter {parameter:?} has no value")))?;
        push(key, value)?;
    }
    Ok(pairs)
}

fn percent_decode(text: &str) -> Result<String, SourceError> {
    let error = || wrong("a percent sign is not followed by two hexadecimal digits".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits =
            rest.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).ok_or_else(error)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(error());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| error())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 once decoded".to_owned()))
}

/// `key = value` pairs; a value with spaces is quoted with `'`, `\` escapes.
fn keyword_pairs(text: &str) -> Result<Vec<(String, String)>, SourceError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| wrong("expected postgres://... or key=value pairs".to_owned()))?;
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut characters = after.char_indices().skip(usize::from(quoted));
        let mut closed = !quoted;
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    closed = true;
                    end = at + 1;
                    break;
                }
                space if space.is_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                other => value.push(other),
            }
        }
        if !closed {
            return Err(wrong("a quoted value is not closed".to_owned()));
        }
        pairs.push((key.trim().to_owned(), value));
        rest = after[end..].trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConnectOptions {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_gives_every_part_decoded() {
        let options = parse(
            "postgres://of%40take:p%3Aw%2F%C3%A9@db.example.com:6543/sh%20op?sslmode=verify-full\
             &sslrootcert=/etc/ca.pem&application_name=a&connect_timeout=3",
        );
        assert_eq!(options.user, "of@take");
        assert_eq!(options.password, Some(Secret::new("p:w/é")));
        assert_eq!((options.host.as_str(), options.port), ("db.example.com", 6543));
        assert_eq!(options.database, "sh op");
        assert_eq!(options.sslmode, SslMode::VerifyFull);
        assert_eq!(options.sslrootcert, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn defaults_are_libpqs() {
        let options = parse("postgresql://me@");
        assert_eq!((options.host.as_str(), options.port), ("localhost", 5432));
        assert_eq!((options.database.as_str(), options.sslmode), ("me", SslMode::Prefer));
        assert_eq!(parse("postgres://me@[::1]:7/db").address(), "[::1]:7");
    }

    #[test]
    fn a_socket_folder_is_a_host_in_every_spelling() {
        for text in [
            "postgres://me@%2Fvar%2Frun/db",
            "postgres:///db?host=/var/run&user=me",
            "host=/var/run user=me dbname=db",
        ] {
            let options = parse(text);
            assert_eq!(options.host, "/var/run", "{text}");
            assert_eq!(options.address(), "/var/run/.s.PGSQL.5432", "{text}");
        }
    }

    #[test]
    fn keywords_take_quotes_and_escapes() {
        let options = parse(r"user = me password='it\'s a \\ secret' host=h  port = 1");
        assert_eq!(options.password, Some(Secret::new(r"it's a \ secret")));
        assert_eq!((options.host.as_str(), options.port), ("h", 1));
    }

    #[test]
    fn a_wrong_string_says_what_is_wrong_and_never_the_password() {
        for (text, part) in [
            ("postgres://h/db", "no user"),
            ("postgres://me:s3cret@h:x/db", "port"),
            ("postgres://me:s3cret%zz@h/db", "percent"),
            ("postgres://me:s3cret@h/db?sslmode=maybe", "sslmode"),
            ("postgres://me:s3cret@h/db?nonsense=1", "nonsense"),
            ("postgres://me:s3cret@a,b/db", "several hosts"),
            ("me", "postgres://"),
            ("user=me password='s3cret", "not closed"),
            ("postgres://me@h/db?sslrootcert=system&sslmode=require", "verify-full"),
        ] {
            let error = text.parse::<ConnectOptions>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(!format!("{:?}", parse("postgres://me:s3cret@h")).contains("s3cret"));
    }
}
