//! `[kafka.oauth]`: where the token comes from that SASL's OAUTHBEARER shows to the brokers.
//!
//! Either from a token endpoint, by the client-credentials grant (RFC 6749 §4.4), or from a file
//! that something else keeps fresh. Fetching is the Kafka sink's business.

use std::collections::BTreeMap;

use crate::model::KafkaOauth;
use crate::reader::{At, Section};
use crate::redact;
use crate::secret::Secret;

/// The table, when it is there and not empty.
pub(crate) fn oauth(
    kafka: &Section<'_, '_>,
    properties: &BTreeMap<String, Secret>,
) -> Option<KafkaOauth> {
    let section = kafka.section("oauth", "kafka.oauth");
    let token_url = section.text("token_url");
    let token_file = section.text("token_file");
    let client_id = section.text("client_id");
    let client_secret = client_secret(&section);
    let scope = section.text("scope");
    let ca = section.text("ca");
    let given = [&token_url, &token_file, &client_id, &scope, &ca];
    if given.iter().all(|key| key.is_none()) && client_secret.is_none() {
        return None;
    }
    check_mechanism(kafka, properties);
    if let Some(url) = &token_url {
        let known = ["https://", "http://"].iter().any(|scheme| url.value.starts_with(scheme));
        if !known {
            let help = Some("for example \"https://login.example.com/token\"".to_owned());
            section.context.error("CONFIG_BAD_URL", &url.span, "`token_url` is no URL", help);
        }
    }
    match (&token_url, &token_file) {
        (Some(_), Some(file)) => section.context.error(
            "CONFIG_SECRET_TWICE",
            &file.span,
            "`token_file` and `token_url` are both given",
            Some("keep one of them".to_owned()),
        ),
        (None, None) => section.context.error(
            "CONFIG_MISSING_KEY",
            &kafka.span_of("oauth"),
            "[kafka.oauth] names no source of tokens",
            Some("add `token_url`, or `token_file`".to_owned()),
        ),
        (Some(_), None) if client_id.is_none() || client_secret.is_none() => {
            section.context.error(
                "CONFIG_MISSING_KEY",
                &kafka.span_of("oauth"),
                "`token_url` is asked with `client_id` and `client_secret`",
                Some("add them; a secret is best a reference: `${env:NAME}`".to_owned()),
            );
        }
        _ => {}
    }
    let path = |file: At<String>| section.context.sources.base.join(file.value);
    let text = |text: Option<At<String>>| text.map(|text| text.value).unwrap_or_default();
    Some(KafkaOauth {
        token_url: token_url.map(|url| url.value),
        client_id: text(client_id),
        client_secret: client_secret.unwrap_or_else(|| Secret::new(String::new())),
        scope: text(scope),
        ca: ca.map(path),
        token_file: token_file.map(path),
    })
}

fn client_secret(section: &Section<'_, '_>) -> Option<Secret> {
    let raw = section.raw_text("client_secret")?;
    if !redact::is_reference(&raw.value) {
        section.context.hide(&raw.span);
    }
    section.context.resolve(&raw, false)
}

/// Tokens are shown by one mechanism only.
fn check_mechanism(kafka: &Section<'_, '_>, properties: &BTreeMap<String, Secret>) {
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        let Some(mechanism) = properties.get(name) else { continue };
        if !mechanism.expose().eq_ignore_ascii_case("OAUTHBEARER") {
            kafka.context.error(
                "CONFIG_BAD_VALUE",
                &kafka.span_of("oauth"),
                format!("[kafka.oauth] is given, and the property `{name}` is not OAUTHBEARER"),
                Some("keep one of them".to_owned()),
            );
        }
    }
}
