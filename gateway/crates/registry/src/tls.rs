//! TLS to the registry: which authorities are trusted, and the client's own certificate.
//!
//! Everything that a file can be wrong about is found here, before the first connection: the HTTP
//! client skips an authority that it cannot read and panics over a key that does not fit.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::{RegistryError, RegistryOptions};

/// A PEM file larger than this is something else.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// The client's TLS settings. `needed`: whether a URL begins with `https`.
///
/// # Errors
/// A file cannot be read, holds nothing of what it should, or key and certificate do not fit.
pub(crate) fn config(options: &RegistryOptions, needed: bool) -> Result<TlsConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &options.ca {
        Some(path) => authorities(path)?,
        None if needed => system_authorities()?,
        None => Vec::new(),
    };
    let client = client_certificate(options, &provider)?;
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(client)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let refuse =
        |reason: &str| RegistryError::option("ca", format!("{}: {reason}", path.display()));
    let found = certificates("ca", path)?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|error| refuse(&error.to_string()))?;
    }
    Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect())
}

fn system_authorities() -> Result<Vec<Certificate<'static>>, RegistryError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = "none is given, and the system has no trusted authorities";
        return Err(RegistryError::option("ca", reason));
    }
    Ok(found.certs.iter().map(|found| Certificate::from_der(found).to_owned()).collect())
}

fn client_certificate(
    options: &RegistryOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<ClientCert>, RegistryError> {
    let (certificate, key) = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(RegistryError::option("key", "it is missing, and certificate is given"));
        }
        (None, Some(_)) => {
            return Err(RegistryError::option("certificate", "it is missing, and key is given"));
        }
    };
    let refuse =
        |reason: String| RegistryError::option("key", format!("{}: {reason}", key.display()));
    let chain = certificates("certificate", certificate)?;
    let pem = read("key", key)?;
    let der = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| refuse("it holds no private key in PEM".to_owned()))?;
    // Whether the two fit; the HTTP client takes for granted that they do.
    rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain.clone(), der)
        .map_err(|error| refuse(format!("it does not fit the certificate: {error}")))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| refuse(error.to_string()))?;
    let chain: Vec<Certificate<'static>> =
        chain.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}

/// The certificates of a PEM file, at least one.
fn certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let pem = read(option, path)?;
    let refuse = || {
        RegistryError::option(option, format!("{}: it holds no certificate in PEM", path.display()))
    };
    let found: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| refuse())?;
    if found.is_empty() { Err(refuse()) } else { Ok(found) }
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, RegistryError> {
    let refuse =
        |reason: String| RegistryError::option(option, format!("{}: {reason}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(refuse("it is larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &RegistryOptions) -> String {
        let error = config(options, true).unwrap_err();
        assert_eq!(error.code(), "REGISTRY_OPTIONS");
        error.to_string()
    }

    #[test]
    fn files_that_cannot_be_used_are_told_before_the_first_connection() {
        let folder = tempfile::tempdir().unwrap();
        let nonsense = folder.path().join("nonsense.pem");
        std::fs::write(&nonsense, "hunter2").unwrap();
        let damaged = folder.path().join("damaged.pem");
        let begin = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
        std::fs::write(&damaged, begin).unwrap();
        let missing = folder.path().join("missing.pem");
        let with =
            |ca: Option<&Path>, certificate: Option<&Path>, key: Option<&Path>| RegistryOptions {
                ca: ca.map(Path::to_owned),
                certificate: certificate.map(Path::to_owned),
                key: key.map(Path::to_owned),
                ..RegistryOptions::default()
            };
        assert!(refused(&with(Some(&missing), None, None)).contains("missing.pem"));
        assert!(refused(&with(Some(&nonsense), None, None)).contains("no certificate"));
        assert!(refused(&with(Some(&damaged), None, None)).starts_with("option ca"));
        let alone = with(None, Some(&damaged), None);
        assert!(refused(&alone).contains("option key of the schema registry: it is missing"));
        let alone = with(None, None, Some(&nonsense));
        assert!(refused(&alone).contains("option certificate"));
        let both = refused(&with(None, Some(&damaged), Some(&nonsense)));
        assert!(both.contains("no private key") && !both.contains("hunter2"), "{both}");
    }
}
