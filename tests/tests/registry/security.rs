//! Who may ask: TLS with an authority of one's own, client certificates, Basic and bearer logins,
//! through a proxy in front of the real registry.

use std::path::Path;

use offtake_registry::{
    Authentication, Registry, RegistryError, RegistryOptions, SchemaId, SchemaType,
};
use offtake_tests::kafka::skipped;
use offtake_tests::registry::SchemaRegistry;

use crate::options;
use crate::proxy::{Proxy, certificates};

fn register(options: &RegistryOptions) -> Result<SchemaId, RegistryError> {
    let registry = Registry::new(options)?;
    let subject = SchemaRegistry::shared().subject("secured");
    registry.register(&subject, SchemaType::Avro, "\"int\"", &[])
}

fn basic(password: &str) -> Authentication {
    Authentication::Basic { username: "shop".to_owned(), password: password.to_owned() }
}

/// Options for a proxy, trusting its authority.
fn trusting(proxy: &Proxy, folder: &Path) -> RegistryOptions {
    RegistryOptions { ca: Some(folder.join("ca.crt")), ..options(&proxy.url()) }
}

#[test]
fn a_login_is_needed_and_a_wrong_one_is_final() {
    if skipped("a_login_is_needed_and_a_wrong_one_is_final") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    // `shop:hunter2` in base64.
    let proxy = Proxy::start(folder.path(), false, "Basic c2hvcDpodW50ZXIy");
    let with =
        |authentication| RegistryOptions { authentication, ..trusting(&proxy, folder.path()) };
    register(&with(basic("hunter2"))).unwrap();
    for wrong in [basic("hunter3"), Authentication::None] {
        let error = register(&with(wrong)).unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("REGISTRY_UNAUTHORIZED", false));
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
    let proxy = Proxy::start(folder.path(), false, "Bearer abc.def");
    let with = |token: &str| RegistryOptions {
        authentication: Authentication::Bearer { token: token.to_owned() },
        ..trusting(&proxy, folder.path())
    };
    register(&with("abc.def")).unwrap();
    assert_eq!(register(&with("abc.xyz")).unwrap_err().code(), "REGISTRY_UNAUTHORIZED");
}

#[test]
fn only_a_trusted_certificate_of_the_right_name_is_talked_to() {
    if skipped("only_a_trusted_certificate_of_the_right_name_is_talked_to") {
        return;
    }
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(folder.path());
    certificates(other.path());
    let proxy = Proxy::start(folder.path(), false, "Bearer t");
    let bearer = Authentication::Bearer { token: "t".to_owned() };
    let trusting = trusting(&proxy, folder.path());
    let trusting = RegistryOptions { authentication: bearer, ..trusting };
    register(&trusting).unwrap();
    let untrusting = RegistryOptions { ca: Some(other.path().join("ca.crt")), ..trusting.clone() };
    let by_address = proxy.url().replace("localhost", "127.0.0.1");
    let wrong_name = RegistryOptions { urls: vec![by_address], ..trusting.clone() };
    let plain = RegistryOptions { urls: vec![proxy.url().replace("https", "http")], ..trusting };
    for options in [untrusting, wrong_name] {
        let error = register(&options).unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("REGISTRY_TLS", true), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert!(register(&plain).is_err());
    assert_eq!(proxy.served(), 1, "the login is sent to no one else");
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    if skipped("a_client_certificate_is_shown_where_one_is_wanted") {
        return;
    }
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(folder.path());
    certificates(other.path());
    let proxy = Proxy::start(folder.path(), true, "");
    let with = |certificate: &Path, key: &Path| RegistryOptions {
        certificate: Some(certificate.join("client.crt")),
        key: Some(key.join("client.key")),
        ..trusting(&proxy, folder.path())
    };
    register(&with(folder.path(), folder.path())).unwrap();
    let refused = [trusting(&proxy, folder.path()), with(other.path(), other.path())];
    for options in refused {
        let error = register(&options).unwrap_err();
        // A refusal races the request that it refuses: an alert, or a connection that is closed.
        let told = error.code() == "REGISTRY_TLS" || error.to_string().contains("certificate");
        assert!(told && error.is_transient(), "{error}");
    }
    assert_eq!(proxy.served(), 1);
    let mixed = register(&with(folder.path(), other.path())).unwrap_err();
    assert_eq!(mixed.code(), "REGISTRY_OPTIONS", "{mixed}");
    assert!(mixed.to_string().contains("does not fit the certificate"), "{mixed}");
}
