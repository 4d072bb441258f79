//! `[kafka.registry]`: where the schema registry is, who asks, and how subjects are named.
//!
//! What can be seen without asking it is judged here: addresses, a login that is given twice or by
//! half, files that are not there, and formats that need a registry when none is named.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::kafka_model::{MessageFormat, TopicRule};
use crate::reader::{At, Section};
use crate::redact;
use crate::reference;
use crate::routes::RouteStreams;
use crate::secret::Secret;

/// The longest that one request may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A schema registry that speaks Confluent's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// Base URLs of one registry, without a login.
    pub urls: Vec<String>,
    /// Who asks.
    pub login: RegistryLogin,
    /// PEM file of the authorities to trust; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key; given where the certificate is.
    pub key: Option<PathBuf>,
    /// How long one request to one URL may take.
    pub timeout: Duration,
    /// How subjects are named.
    pub subject_names: SubjectNames,
    /// Whether schemas are registered that the registry does not know.
    pub auto_register: bool,
    /// Whether the registry compares schemas by their meaning.
    pub normalize: bool,
}

/// Who asks a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryLogin {
    /// Nobody in particular.
    None,
    /// HTTP Basic.
    Basic {
        /// The user.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

/// How the subject of a schema is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectNames {
    /// By topic.
    TopicName,
    /// By the record's full name.
    RecordName,
    /// By both.
    TopicRecordName,
}

/// `[kafka.registry]`, when it is there. `rules` and `routes` tell which formats are in use.
pub(crate) fn registry(
    kafka: &Section<'_, '_>,
    rules: &[TopicRule],
    routes: &[RouteStreams],
) -> Option<SchemaRegistry> {
    let section = kafka.section("registry", "kafka.registry");
    let urls = urls(&section);
    let registry = SchemaRegistry {
        login: login(&section, &urls),
        urls: urls.into_iter().map(|url| url.value).collect(),
        ca: file(&section, "ca"),
        certificate: file(&section, "certificate"),
        key: file(&section, "key"),
        timeout: section
            .duration("timeout", Duration::from_millis(100)..=MAX_TIMEOUT)
            .unwrap_or(DEFAULT_TIMEOUT),
        subject_names: section
            .one_of(
                "subject_names",
                &[
                    ("topic_name", SubjectNames::TopicName),
                    ("record_name", SubjectNames::RecordName),
                    ("topic_record_name", SubjectNames::TopicRecordName),
                ],
            )
            .unwrap_or(SubjectNames::TopicName),
        auto_register: section.flag("auto_register").unwrap_or(true),
        normalize: section.flag("normalize").unwrap_or(false),
    };
    pair(&section, "certificate", "key");
    let uses = formats_in_use(kafka, rules, routes);
    let needs = uses.iter().find(|format| needs_registry(format.value));
    if kafka.get("registry").is_none() {
        if let Some(format) = needs.filter(|_| kafka.get("brokers").is_some()) {
            kafka.context.error(
                "CONFIG_REGISTRY_MISSING",
                &format.span,
                format!("the format \"{}\" needs a schema registry", format.value.name()),
                Some(
                    "name it: `registry = { url = \"http://localhost:8081\" }` in [kafka]"
                        .to_owned(),
                ),
            );
        }
        return None;
    }
    section.require("url");
    if needs.is_none() {
        section.context.warning(
            "CONFIG_REGISTRY_UNUSED",
            &section.span,
            "[kafka.registry] is given, and no format uses a schema registry",
            Some(
                "set `format` to \"avro\", \"protobuf\" or \"json_schema\", or remove it"
                    .to_owned(),
            ),
        );
    }
    Some(registry)
}

fn needs_registry(format: MessageFormat) -> bool {
    matches!(format, MessageFormat::Avro | MessageFormat::Protobuf | MessageFormat::JsonSchema)
}

/// Every format that the file names, with its place.
fn formats_in_use(
    kafka: &Section<'_, '_>,
    rules: &[TopicRule],
    routes: &[RouteStreams],
) -> Vec<At<MessageFormat>> {
    let own = kafka.one_of("format", MessageFormat::WORDS);
    let own = own.map(|value| At { value, span: kafka.span_of("format") });
    let of_rules = rules.iter().filter_map(|rule| rule.format);
    let of_rules = of_rules.map(|value| At { value, span: kafka.span_of("topic") });
    let of_routes = routes.iter().filter_map(|route| route.format.clone());
    own.into_iter().chain(of_rules).chain(of_routes).collect()
}

/// The addresses in `url`, each known to be one.
fn urls(section: &Section<'_, '_>) -> Vec<At<String>> {
    let Some(text) = section.text("url") else { return Vec::new() };
    let mut urls = Vec::new();
    for url in text.value.split(',').map(str::trim) {
        let span = section.context.part_of(&text.span, url);
        match wrong_with(url) {
            None => urls.push(At { value: url.to_owned(), span }),
            Some((message, help)) => {
                section.context.error("CONFIG_BAD_URL", &span, message, Some(help.to_owned()));
            }
        }
    }
    urls
}

/// What is wrong with an address, and what to do.
fn wrong_with(url: &str) -> Option<(&'static str, &'static str)> {
    const EXAMPLE: &str = "for example \"http://localhost:8081\"";
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        _ => return Some(("a registry's address begins with `http://` or `https://`", EXAMPLE)),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        let help = "write `username` and `password` into [kafka.registry]";
        return Some(("a registry's address holds no login", help));
    }
    if rest.contains(['?', '#']) || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some(("a registry's address ends with its path", EXAMPLE));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or((port.is_empty()).then_some("80"))),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("80")),
        },
    };
    let is_host = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    let is_port = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (!is_host || !is_port)
        .then_some(("a registry's address has a host and perhaps a port", EXAMPLE))
}

fn login(section: &Section<'_, '_>, urls: &[At<String>]) -> RegistryLogin {
    let username = secret(section, "username");
    let password = secret(section, "password");
    let token = secret(section, "token");
    pair(section, "username", "password");
    if section.get("token").is_some() && section.get("username").is_some() {
        section.context.error(
            "CONFIG_SECRET_TWICE",
            &section.span_of("token"),
            "`token` is given, and `username` too",
            Some("keep one of them".to_owned()),
        );
    }
    let login = match (username, password, token) {
        (Some(username), Some(password), _) => RegistryLogin::Basic { username, password },
        (_, _, Some(token)) => RegistryLogin::Bearer(token),
        _ => RegistryLogin::None,
    };
    if login != RegistryLogin::None {
        for url in urls.iter().filter(|url| is_plain(&url.value)) {
            section.context.warning(
                "CONFIG_REGISTRY_PLAIN",
                &url.span,
                "the login goes to this registry in plain text",
                Some("use `https://`".to_owned()),
            );
        }
    }
    login
}

/// Whether what is sent there can be read on the way.
fn is_plain(url: &str) -> bool {
    let host = url.strip_prefix("http://");
    let local = ["localhost", "127.", "[::1]"];
    host.is_some_and(|host| !local.iter().any(|local| host.starts_with(local)))
}

fn secret(section: &Section<'_, '_>, name: &'static str) -> Option<Secret> {
    let raw = section.raw_text(name)?;
    if name != "username" && !redact::is_reference(&raw.value) {
        section.context.hide(&raw.span);
    }
    if raw.value.is_empty() {
        let message = format!("`{name}` is empty");
        section.context.error("CONFIG_BAD_VALUE", &raw.span, message, None);
        return None;
    }
    section.context.resolve(&raw, false)
}

/// Reports one of two keys that is given without the other.
fn pair(section: &Section<'_, '_>, one: &'static str, other: &'static str) {
    let lacks: Option<(Range<usize>, &str, &str)> =
        match (section.get(one).is_some(), section.get(other).is_some()) {
            (true, false) => Some((section.span_of(one), one, other)),
            (false, true) => Some((section.span_of(other), other, one)),
            _ => None,
        };
    if let Some((span, given, lacks)) = lacks {
        let message = format!("`{given}` is given without `{lacks}`");
        section.context.error("CONFIG_MISSING_KEY", &span, message, Some("give both".to_owned()));
    }
}

/// A file that is there. What is in it is looked at by whoever uses it.
fn file(section: &Section<'_, '_>, name: &'static str) -> Option<PathBuf> {
    let text = section.text(name)?;
    let path = section.context.sources.base.join(&text.value);
    let reason = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return Some(path),
        Err(error) => reference::reason(&error),
    };
    section.context.error(
        "CONFIG_FILE_MISSING",
        &text.span,
        format!("the file of `{name}` cannot be used: {reason}"),
        Some("the path starts at the folder of this file".to_owned()),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for url in [
            "http://localhost:8081",
            "https://registry.example.com",
            "http://[::1]:8080/apis/ccompat/v7",
            "https://[2001:db8::1]",
            "http://10.0.0.1:8081/",
        ] {
            assert_eq!(wrong_with(url), None, "{url}");
        }
        for url in [
            "",
            "localhost:8081",
            "ftp://localhost",
            "http://",
            "http://:8081",
            "http://user:pw@host",
            "http://host?x",
            "http://host/#x",
            "http://host:0",
            "http://host:81a",
            "http://ho st",
            "http://[::1]x",
            "http://host/a b",
        ] {
            assert!(wrong_with(url).is_some(), "{url}");
        }
    }

    #[test]
    fn a_login_is_plain_beyond_this_machine_only() {
        assert!(is_plain("http://registry:8081"));
        for url in
            ["https://registry", "http://localhost:8081", "http://127.0.0.1:1", "http://[::1]"]
        {
            assert!(!is_plain(url), "{url}");
        }
    }
}
