//! The keys of `[kafka.oauth]`, documented; see [`crate::keys`]. They are read by `kafka_oauth`.

use crate::keys::{Key, Kind, key};

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        default: Some("no tokens"),
        text: "Tokens for SASL's OAUTHBEARER; see [kafka.oauth].",
        example: "{ token_file = \"/var/run/secrets/kafka/token\" }",
        ..key("kafka", "oauth", Kind::Table)
    },
    Key {
        default: Some("none"),
        range: "an `https://` or `http://` URL; not together with `token_file`",
        example: "\"https://login.example.com/token\"",
        text: "The endpoint that gives tokens for `client_id` and `client_secret` (the \
               client-credentials grant of OAuth 2).",
        ..key("kafka.oauth", "token_url", Kind::Text)
    },
    Key {
        default: Some("none"),
        example: "\"offtake\"",
        text: "Who asks for the token.",
        ..key("kafka.oauth", "client_id", Kind::Text)
    },
    Key {
        default: Some("none"),
        example: "\"${env:KAFKA_CLIENT_SECRET}\"",
        text: "What proves it.",
        ..key("kafka.oauth", "client_secret", Kind::Secret)
    },
    Key {
        default: Some("the endpoint's"),
        example: "\"kafka\"",
        text: "What is asked for, words with spaces between them.",
        ..key("kafka.oauth", "scope", Kind::Text)
    },
    Key {
        default: Some("the system's"),
        range: "a file in PEM",
        example: "\"/etc/ssl/login-ca.pem\"",
        text: "Authorities that the endpoint's certificate is checked against.",
        ..key("kafka.oauth", "ca", Kind::Text)
    },
    Key {
        default: Some("none"),
        range: "a file with a JSON Web Token; not together with `token_url`",
        example: "\"/var/run/secrets/kafka/token\"",
        text: "A file that something else keeps a fresh token in; read anew when the token in use \
               is about to expire.",
        ..key("kafka.oauth", "token_file", Kind::Text)
    },
];
