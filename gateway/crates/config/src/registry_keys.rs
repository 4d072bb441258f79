//! The keys of `[kafka.registry]`, documented; see [`crate::keys`].

use crate::keys::{Key, Kind, key};

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        range: "`http://` or `https://`, several with commas between",
        example: "\"http://localhost:8081\"",
        text: "The registry's address, with the API's path where it has one (Apicurio: \
               `http://host:8080/apis/ccompat/v7`). Several addresses of one registry are tried in \
               turn. No proxy of the environment is used, and no redirect is followed.",
        ..registry("url", Kind::Text)
    },
    Key {
        default: Some("none"),
        range: "together with `password`",
        example: "\"offtake\"",
        text: "The user of HTTP Basic (Confluent Cloud: the API key).",
        ..registry("username", Kind::Secret)
    },
    Key {
        default: Some("none"),
        range: "together with `username`",
        example: "\"${env:REGISTRY_PASSWORD}\"",
        text: "The password.",
        ..registry("password", Kind::Secret)
    },
    Key {
        default: Some("none"),
        range: "not together with `username`",
        example: "\"${file:registry.token}\"",
        text: "A bearer token.",
        ..registry("token", Kind::Secret)
    },
    Key {
        default: Some("the system's authorities"),
        range: "a PEM file",
        example: "\"ca.pem\"",
        text: "The authorities that are trusted, instead of the system's.",
        ..registry("ca", Kind::Text)
    },
    Key {
        default: Some("none"),
        range: "a PEM file, together with `key`",
        example: "\"client.pem\"",
        text: "The certificate that is shown to the registry.",
        ..registry("certificate", Kind::Text)
    },
    Key {
        default: Some("none"),
        range: "a PEM file, together with `certificate`",
        example: "\"client.key\"",
        text: "The certificate's key.",
        ..registry("key", Kind::Text)
    },
    Key {
        default: Some("\"10s\""),
        range: "100ms to 5m",
        example: "\"3s\"",
        text: "How long one request to one address may take. A registry that is away or slow stops \
               the sink until it answers; nothing is lost.",
        ..registry("timeout", Kind::Duration)
    },
    Key {
        default: Some("\"topic_name\""),
        example: "\"topic_record_name\"",
        text: "The subject of a schema (`key.subject.name.strategy` and `value.…`). `topic_name`: \
               `TOPIC-key` and `TOPIC-value`. `record_name`: the record's full name. \
               `topic_record_name`: both.",
        ..registry(
            "subject_names",
            Kind::Choice(&["topic_name", "record_name", "topic_record_name"]),
        )
    },
    Key {
        default: Some("true"),
        example: "false",
        text: "`auto.register.schemas`: a schema that the registry does not know is registered. With \
               `false` one that is not there halts the sink.",
        ..registry("auto_register", Kind::Flag)
    },
    Key {
        default: Some("false"),
        example: "true",
        text: "`normalize.schemas`: the registry takes schemas that mean the same for the same.",
        ..registry("normalize", Kind::Flag)
    },
];

const fn registry(name: &'static str, kind: Kind) -> Key {
    key("kafka.registry", name, kind)
}
