//! What the client is told: where the registry is, who asks, and what it may do there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::RegistryError;

/// Who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Nobody in particular.
    #[default]
    None,
    /// HTTP Basic (RFC 7617); Confluent Cloud's API key and secret.
    Basic {
        /// The user; holds no colon.
        username: String,
        /// The password.
        password: String,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: String,
    },
}

impl fmt::Debug for Authentication {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Authentication::None => "None",
            Authentication::Basic { .. } => "Basic(***)",
            Authentication::Bearer { .. } => "Bearer(***)",
        })
    }
}

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Base URLs of one registry, `http` or `https`, with a path where the API has one
    /// (`http://host:8080/apis/ccompat/v7`). Tried in turn; the one that answered last comes first.
    pub urls: Vec<String>,
    /// Who asks. Sent to every URL.
    pub authentication: Authentication,
    /// PEM file of the authorities that are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate and those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// PEM file of the certificate's key; given where the certificate is.
    pub key: Option<PathBuf>,
    /// How long one request to one URL may take, from resolving its name to the answer's last byte.
    pub timeout: Duration,
    /// Whether a schema that the registry does not know is registered. Without it every schema
    /// must be there already.
    pub auto_register: bool,
    /// Whether the registry is asked to compare schemas by their meaning, not their text
    /// (`normalize=true`).
    pub normalize: bool,
}

impl Default for RegistryOptions {
    fn default() -> RegistryOptions {
        RegistryOptions {
            urls: Vec::new(),
            authentication: Authentication::None,
            ca: None,
            certificate: None,
            key: None,
            timeout: Duration::from_secs(10),
            auto_register: true,
            normalize: false,
        }
    }
}

impl RegistryOptions {
    /// The base URLs without a slash at their end, each known to be one.
    ///
    /// # Errors
    /// There is none, or one of them cannot be used. The text quotes no URL, for what is wrong may
    /// be a password in it.
    pub(crate) fn bases(&self) -> Result<Vec<String>, RegistryError> {
        let refuse = |reason: &str| RegistryError::option("url", reason);
        if self.urls.is_empty() {
            return Err(refuse("there is none"));
        }
        let mut bases = Vec::with_capacity(self.urls.len());
        for url in &self.urls {
            let parsed: ureq::http::Uri = url.parse().map_err(|_| refuse("it is no URL"))?;
            if !matches!(parsed.scheme_str(), Some("http" | "https")) {
                return Err(refuse("it begins with neither http:// nor https://"));
            }
            let authority = parsed.authority().ok_or_else(|| refuse("it names no host"))?;
            if authority.as_str().contains('@') {
                return Err(refuse("it holds a login; give username and password on their own"));
            }
            if authority.host().is_empty() {
                return Err(refuse("it names no host"));
            }
            if parsed.query().is_some() || url.contains('#') {
                return Err(refuse("it has a query or a fragment"));
            }
            bases.push(url.trim_end_matches('/').to_owned());
        }
        Ok(bases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(url: &str) -> Result<Vec<String>, RegistryError> {
        RegistryOptions { urls: vec![url.to_owned()], ..RegistryOptions::default() }.bases()
    }

    #[test]
    fn a_base_url_loses_its_last_slash_and_nothing_else() {
        assert_eq!(bases("http://127.0.0.1:8081/").unwrap(), ["http://127.0.0.1:8081"]);
        let with_path = "https://registry.example.com/apis/ccompat/v7";
        assert_eq!(bases(with_path).unwrap(), [with_path]);
        assert_eq!(bases("http://[::1]:8081").unwrap(), ["http://[::1]:8081"]);
    }

    #[test]
    fn what_is_no_base_url_is_refused_without_quoting_it() {
        for url in [
            "",
            "registry:8081",
            "ftp://registry",
            "http://",
            "http://user:hunter2@registry",
            "http://registry?x=hunter2",
            "http://registry/#hunter2",
            "http://re gistry/hunter2",
        ] {
            let error = bases(url).unwrap_err();
            assert_eq!(error.code(), "REGISTRY_OPTIONS", "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(RegistryOptions::default().bases().is_err());
    }

    #[test]
    fn options_print_no_secret() {
        let authentication =
            Authentication::Basic { username: "u".to_owned(), password: "hunter2".to_owned() };
        let options = RegistryOptions { authentication, ..RegistryOptions::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
        let bearer = Authentication::Bearer { token: "hunter2".to_owned() };
        assert!(!format!("{bearer:?}").contains("hunter2"));
    }
}
