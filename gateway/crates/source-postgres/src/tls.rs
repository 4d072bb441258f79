//! TLS to the server by rustls, with what `sslmode` means verified and no more.
//!
//! `require` and weaker modes take any certificate, as libpq does; `verify-ca` takes any name under
//! a trusted authority. Also here: the hash of the server's certificate that SCRAM's channel
//! binding wants (RFC 5929, `tls-server-end-point`).

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::connect::{ConnectOptions, SslMode};

/// The client's configuration for these options, or why there is none.
pub(crate) fn client_config(options: &ConnectOptions) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match options.sslmode {
        SslMode::VerifyFull => authorities(options.sslrootcert.as_deref(), &provider)?,
        SslMode::VerifyCa => Arc::new(AnyName {
            authorities: authorities(options.sslrootcert.as_deref(), &provider)?,
        }),
        // As libpq: a given authority makes `require` mean `verify-ca`.
        SslMode::Require if options.sslrootcert.is_some() => Arc::new(AnyName {
            authorities: authorities(options.sslrootcert.as_deref(), &provider)?,
        }),
        _ => Arc::new(AnyCertificate { provider: Arc::clone(&provider) }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn authorities(
    file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    match file.filter(|path| path.as_os_str() != "system") {
        Some(path) => {
            let unreadable = |error| format!("sslrootcert {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                let certificate = certificate.map_err(unreadable)?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("sslrootcert {}: {error}", path.display()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| match file {
            Some(path) => format!("sslrootcert {}: {error}", path.display()),
            None => format!("the system has no trusted authorities: {error}"),
        })
}

/// Takes every certificate (`sslmode` up to `require`); the handshake's signature is still checked,
/// so that the peer holds the key of the certificate that channel binding hashes.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies the authority and not the name (`verify-ca`).
#[derive(Debug)]
struct AnyName {
    authorities: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is the last thing that is verified: everything else held.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// The `tls-server-end-point` hash of a certificate; `None` where its signature's hash is not
/// known to us (Ed25519, RSA-PSS), and then there is no channel binding.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID … } … }
    let (certificate_body, _) = der(certificate, 0x30)?;
    let (_, after_tbs) = der(certificate_body, 0x30)?;
    let (algorithm, _) = der(after_tbs, 0x30)?;
    let (identifier, _) = der(algorithm, 0x06)?;
    // 1.2.840.113549.1.1.n (RSA) and 1.2.840.10045.4.3.n (ECDSA).
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let (&last, family) = identifier.split_last()?;
    // MD5 and SHA-1 count as SHA-256 (RFC 5929, 4.1).
    match (family, last) {
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => Some(Sha256::digest(certificate).to_vec()),
        (RSA, 12) | (ECDSA, 3) => Some(Sha384::digest(certificate).to_vec()),
        (RSA, 13) | (ECDSA, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The body of the DER element with that tag at the beginning, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits = usize::from(first & 0x7f);
        if digits > size_of::<u32>() {
            return None;
        }
        length = rest.get(..digits)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        rest = rest.get(digits..)?;
    }
    Some((rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_certificate_have_no_end_point() {
        for bytes in [&b""[..], b"\x30", b"\x30\x85\xff", b"\x30\x03\x30\x01\x00", b"\x31\x00"] {
            assert_eq!(server_end_point(bytes), None);
        }
    }

    #[test]
    fn the_hash_follows_the_signatures_algorithm() {
        let with = |oid: &[u8]| {
            let mut algorithm = vec![0x06, oid.len() as u8];
            algorithm.extend_from_slice(oid);
            let mut body = vec![0x30, 0x00, 0x30, algorithm.len() as u8];
            body.extend_from_slice(&algorithm);
            let mut certificate = vec![0x30, body.len() as u8];
            certificate.extend_from_slice(&body);
            server_end_point(&certificate).map(|hash| hash.len())
        };
        let rsa = |n: u8| with(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, n]);
        assert_eq!([rsa(5), rsa(11), rsa(12), rsa(13)], [Some(32), Some(32), Some(48), Some(64)]);
        assert_eq!(with(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]), Some(32));
        assert_eq!(with(&[0x2b, 0x65, 0x70]), None);
    }
}
