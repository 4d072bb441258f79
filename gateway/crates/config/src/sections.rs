//! The tables of the configuration, each read into its part of the model.
//!
//! A value that is wrong was reported by the reader and falls back to something harmless here, so
//! that everything else is still judged; the result is thrown away when there was an error.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::delivery;
use crate::glob::Glob;
use crate::model::{
    Ack, Admin, BUILTIN_PLUGINS, Grpc, LogConfig, OnError, OnHalt, Plugin, PluginSource,
    PostgresSource, Snapshot, Source, UnknownColumns,
};
use crate::places::Place;
use crate::reader::{At, Section, kind_of};
use crate::reference;
use crate::secret::Secret;
use crate::{json, redact, suggest, unit};

const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What a plugin's `deadline` and `memory` may be.
const PLUGIN_DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(60);
const PLUGIN_MEMORY: RangeInclusive<u64> = MIB..=4 * GIB;
/// PostgreSQL's NAMEDATALEN less one.
const IDENTIFIER_BYTES: usize = 63;

/// The pipeline's name.
pub(crate) fn name(top: &Section<'_, '_>) -> Option<String> {
    top.require("name");
    let name = top.text("name")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let well_formed = !name.value.is_empty()
        && name.value.len() <= 48
        && name.value.chars().all(allowed)
        && name.value != "."
        && name.value != "..";
    if !well_formed {
        top.context.error(
            "CONFIG_BAD_NAME",
            &name.span,
            "`name` takes letters, digits, `_`, `-` and `.`, from 1 to 48",
            Some("it becomes part of stream and topic names".to_owned()),
        );
        return None;
    }
    Some(name.value)
}

/// Threads that run plugins.
pub(crate) fn workers(top: &Section<'_, '_>) -> NonZeroUsize {
    let given = top.number("workers", 1..=64).and_then(|count| usize::try_from(count).ok());
    given.and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

/// What a halt does to the process.
pub(crate) fn on_halt(top: &Section<'_, '_>) -> OnHalt {
    match top.choice("on_halt") {
        Some(word) if word.value == "exit" => OnHalt::Exit,
        _ => OnHalt::Stay,
    }
}

/// `[source]`.
pub(crate) fn source(top: &Section<'_, '_>, name: Option<&str>) -> Source {
    let section = top.section("source", "source");
    if top.get("source").is_none() {
        top.require("source");
        return Source::Postgres(postgres(top, &section, name));
    }
    for key in ["type", "url", "tables"] {
        section.require(key);
    }
    section.choice("type");
    Source::Postgres(postgres(top, &section, name))
}

fn postgres(
    top: &Section<'_, '_>,
    section: &Section<'_, '_>,
    name: Option<&str>,
) -> PostgresSource {
    let default = default_slot(name.unwrap_or("x"));
    let (url, url_has_password) = url(section);
    let password = password(section, url_has_password);
    PostgresSource {
        url,
        password,
        password_file: password_path(section)
            .map(|path| section.context.sources.base.join(path.value)),
        tables: patterns(section, "tables", true).0,
        exclude: patterns(section, "exclude", false).0,
        slot: slot(section).unwrap_or_else(|| default.clone()),
        publication: publication(section).unwrap_or(default),
        snapshot: match section.choice("snapshot") {
            Some(word) if word.value == "never" => Snapshot::Never,
            _ => Snapshot::Initial,
        },
        create_publication: section.flag("create_publication").unwrap_or(true),
        messages: section.flag("messages").unwrap_or(true),
        idle_interval: section
            .duration("idle_interval", Duration::from_millis(100)..=Duration::from_secs(3600))
            .unwrap_or(Duration::from_secs(60)),
        max_row_bytes: section.size("max_row_bytes", MIB..=GIB).unwrap_or(64 * MIB),
        ack: delivery::ack(top, section),
    }
}

/// `offtake_` and the pipeline's name in what a slot's name may hold.
fn default_slot(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("offtake_{}", name.chars().map(fit).collect::<String>())
}

/// The URL, and whether there is a password in it.
fn url(section: &Section<'_, '_>) -> (Secret, bool) {
    let Some(raw) = section.raw_text("url") else { return (Secret::default(), false) };
    let Some(url) = section.context.resolve(&raw, true) else { return (Secret::default(), true) };
    let text = url.expose();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let (message, help) = match scheme {
        Some("postgres" | "postgresql") => {
            let authority = text.split_once("://").map_or("", |(_, rest)| rest);
            let authority = authority.split(['/', '?']).next().unwrap_or("");
            let login = authority.rsplit_once('@').map(|(login, _)| login);
            let in_query = text.contains("?password=") || text.contains("&password=");
            return (url.clone(), in_query || login.is_some_and(|login| login.contains(':')));
        }
        Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == ':') => (
            format!("`url` begins with `{scheme}://`, and a PostgreSQL URL with `postgres://`"),
            match scheme {
                s if s.starts_with("jdbc") => {
                    Some("leave out `jdbc:` and write the user before `@`".to_owned())
                }
                _ => None,
            },
        ),
        None if text.contains('=') => {
            let password = text.split_whitespace().any(|word| word.starts_with("password="));
            return (url.clone(), password);
        }
        _ => (
            "`url` is neither a `postgres://` URL nor `key=value` words".to_owned(),
            Some("for example `postgres://offtake@db.example.com/shop`".to_owned()),
        ),
    };
    section.context.error("CONFIG_BAD_URL", &raw.span, message, help);
    (url, false)
}

/// The password from the file's keys or, failing those and the URL, from PGPASSWORD.
fn password(section: &Section<'_, '_>, url_has_password: bool) -> Option<Secret> {
    let given = section.raw_text("password");
    if let Some(raw) = given.as_ref().filter(|raw| !redact::is_reference(&raw.value)) {
        section.context.hide(&raw.span);
    }
    let file = password_path(section);
    let twice = match (&given, &file) {
        (Some(_), Some(file)) => {
            Some((&file.span, "`password` and `password_file` are both given"))
        }
        (Some(raw), None) if url_has_password => {
            Some((&raw.span, "`password` is given, and `url` holds one too"))
        }
        (None, Some(file)) if url_has_password => {
            Some((&file.span, "`password_file` is given, and `url` holds a password too"))
        }
        _ => None,
    };
    if let Some((span, message)) = twice {
        let help = Some("keep one of them".to_owned());
        section.context.error("CONFIG_SECRET_TWICE", span, message, help);
    }
    if let Some(raw) = given {
        return section.context.resolve(&raw, false);
    }
    if let Some(file) = file {
        let path = section.context.sources.base.join(&file.value);
        return match reference::read_secret_file(&path) {
            Ok(secret) => Some(Secret::new(secret)),
            Err(reason) => {
                let message = format!("the password file cannot be used: {reason}");
                let help = Some("the path starts at the folder of this file".to_owned());
                section.context.error("CONFIG_SECRET_UNRESOLVED", &file.span, message, help);
                None
            }
        };
    }
    let from_environment =
        (section.context.sources.env)("PGPASSWORD").filter(|_| !url_has_password);
    from_environment.filter(|password| !password.is_empty()).map(Secret::new)
}

/// `password_file`, once: asking twice would report a fault twice (equal reports are merged).
fn password_path(section: &Section<'_, '_>) -> Option<At<String>> {
    section.text("password_file")
}

fn slot(section: &Section<'_, '_>) -> Option<String> {
    let slot = section.text("slot")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let length = slot.value.len();
    if (1..=IDENTIFIER_BYTES).contains(&length) && slot.value.chars().all(allowed) {
        return Some(slot.value);
    }
    let fixed: String =
        default_slot(&slot.value)["offtake_".len()..].chars().take(IDENTIFIER_BYTES).collect();
    section.context.error(
        "CONFIG_BAD_SLOT",
        &slot.span,
        "a slot's name takes lower-case letters, digits and `_`, from 1 to 63",
        (length > 0).then(|| format!("did you mean \"{fixed}\"?")),
    );
    None
}

fn publication(section: &Section<'_, '_>) -> Option<String> {
    let publication = section.text("publication")?;
    let fits = (1..=IDENTIFIER_BYTES).contains(&publication.value.len());
    if fits && !publication.value.contains('\0') {
        return Some(publication.value);
    }
    section.context.error(
        "CONFIG_BAD_PUBLICATION",
        &publication.span,
        "a publication's name has from 1 to 63 bytes",
        None,
    );
    None
}

/// A list of table patterns: as written, and parsed with their places.
pub(crate) fn patterns(
    section: &Section<'_, '_>,
    name: &'static str,
    needed: bool,
) -> (Vec<String>, Vec<At<Glob>>) {
    let Some(list) = section.texts(name) else { return Default::default() };
    if list.value.is_empty() && needed {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &list.span,
            format!("`{name}` is empty, so it takes no table"),
            Some("`[\"public.*\"]` takes every table of the schema public".to_owned()),
        );
    }
    let (mut texts, mut globs) = (Vec::new(), Vec::new());
    for pattern in list.value {
        match Glob::parse(&pattern.value) {
            Ok(glob) => globs.push(At { value: glob, span: pattern.span }),
            Err((reason, help)) => {
                section.context.error("CONFIG_BAD_GLOB", &pattern.span, reason, help);
            }
        }
        texts.push(pattern.value);
    }
    (texts, globs)
}

/// `[plugin.NAME]`, with the place of each name.
pub(crate) fn plugins(top: &Section<'_, '_>) -> Vec<At<Plugin>> {
    let mut plugins = Vec::new();
    for (name, value) in top.free("plugin") {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(allowed) {
            top.context.error(
                "CONFIG_BAD_NAME",
                &name.span,
                "a plugin's name takes letters, digits, `_` and `-`, from 1 to 64",
                None,
            );
        }
        if name.value == "kafka" {
            top.context.error(
                "CONFIG_BAD_NAME",
                &name.span,
                "`kafka` is the name under which the Kafka sink writes dead letters",
                Some("give the plugin another name".to_owned()),
            );
        }
        let DeValue::Table(table) = value.get_ref() else {
            top.context.error(
                "CONFIG_WRONG_TYPE",
                &value.span(),
                format!("a plugin is a table, and this is {}", kind_of(value.get_ref())),
                Some("write [plugin.NAME] and its keys below".to_owned()),
            );
            continue;
        };
        let section = Section::new(top.context, "plugin", Some(table), name.span.clone());
        plugins.push(At { value: plugin(&section, name.value), span: name.span });
    }
    plugins
}

/// Reads a plugin's `deadline` where it is not given in a file.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn plugin_deadline(text: &str) -> Result<Duration, String> {
    let deadline = unit::duration(text)?;
    if PLUGIN_DEADLINE.contains(&deadline) {
        return Ok(deadline);
    }
    let (least, most) = PLUGIN_DEADLINE.into_inner();
    let (least, most) = (unit::show_duration(least), unit::show_duration(most));
    Err(format!("it must be from {least} to {most}"))
}

/// Reads a plugin's `memory` where it is not given in a file, in bytes.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn plugin_memory(text: &str) -> Result<u64, String> {
    let memory = unit::size(text)?;
    if PLUGIN_MEMORY.contains(&memory) {
        return Ok(memory);
    }
    let (least, most) = PLUGIN_MEMORY.into_inner();
    Err(format!("it must be from {} to {}", unit::show_size(least), unit::show_size(most)))
}

fn plugin(section: &Section<'_, '_>, name: String) -> Plugin {
    section.require("wasm");
    let ms = Duration::from_millis;
    let count = |name, least, most, default: u32| {
        let number = section.number(name, least..=most);
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let wasm = section.text("wasm").and_then(|wasm| plugin_source(section, &wasm));
    let place = Place { key: section.span_of_key("config"), value: section.span_of_key("config") };
    let config = json::object(section.context, &section.free("config"), place);
    Plugin {
        name,
        wasm: wasm.unwrap_or_else(|| PluginSource::Builtin(String::new())),
        config_json: config.text,
        config_places: config.places,
        deadline: section.duration("deadline", PLUGIN_DEADLINE).unwrap_or(ms(100)),
        memory_bytes: section.size("memory", PLUGIN_MEMORY).unwrap_or(64 * MIB),
        stack_bytes: section.size("stack", 64 << 10..=MIB).unwrap_or(512 << 10),
        table_elements: count("table", 1_000, 1_000_000, 200_000),
        output_bytes: section.size("output", 64 << 10..=GIB).unwrap_or(8 * MIB),
        fan_out: count("fan_out", 1, 100_000, 100),
        host_calls: count("host_calls", 0, 1_000_000, 10_000),
        log_lines: count("log_lines", 0, 10_000, 100),
        isolation: section.duration("isolation", ms(10)..=ms(600_000)).unwrap_or(ms(5_000)),
        on_error: section.one_of("on_error", ON_ERROR).unwrap_or(OnError::Halt),
        breaker_percent: breaker(section),
        unknown_columns: section
            .one_of("unknown_columns", UNKNOWN_COLUMNS)
            .unwrap_or(UnknownColumns::Warn),
        state_quota: state_quota(section),
        watch: section.flag("watch").unwrap_or(false),
    }
}

const ON_ERROR: &[(&str, OnError)] = &[
    ("halt", OnError::Halt),
    ("dead_letter", OnError::DeadLetter),
    ("drop", OnError::Drop),
    ("pass", OnError::Pass),
];

const UNKNOWN_COLUMNS: &[(&str, UnknownColumns)] =
    &[("error", UnknownColumns::Error), ("warn", UnknownColumns::Warn)];

/// Per cent of the changes that a plugin may fail at.
const BREAKER_PERCENT: u8 = 10;

/// State is only in the log's folder, so nothing may count as done that is not safe there.
pub(crate) fn check_state(top: &Section<'_, '_>, ack: Ack, plugins: &[At<Plugin>]) {
    let keeps = plugins.iter().filter(|plugin| plugin.value.state_quota.is_some());
    for plugin in keeps.filter(|_| ack == Ack::Sinks) {
        top.context.error(
            "CONFIG_BAD_VALUE",
            &plugin.span,
            format!(
                "plugin {:?} keeps state, and with `ack = \"sinks\"` the log's folder may be lost: its \
                 state would be lost with it",
                plugin.value.name
            ),
            Some("set `ack = \"log\"` under [source], or remove `state`".to_owned()),
        );
    }
}

/// `state` of `[plugin.NAME]`: granted where the table is there, also when it is empty.
fn state_quota(section: &Section<'_, '_>) -> Option<u64> {
    let state = section.section("state", "plugin.state");
    let quota = state.size("quota", 64 << 10..=4 * GIB).unwrap_or(64 * MIB);
    section.get("state").map(|_| quota)
}

fn breaker(section: &Section<'_, '_>) -> Option<u8> {
    let Some(text) = section.text("breaker") else { return Some(BREAKER_PERCENT) };
    if text.value == "off" {
        return None;
    }
    let percent = text.value.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &text.span,
            "`breaker` must be a percentage from 1% to 100%, or \"off\"",
            Some("for example `breaker = \"5%\"`".to_owned()),
        );
    }
    percent
}

fn plugin_source(section: &Section<'_, '_>, wasm: &At<String>) -> Option<PluginSource> {
    if let Some(name) = wasm.value.strip_prefix("builtin:") {
        if BUILTIN_PLUGINS.contains(&name) {
            return Some(PluginSource::Builtin(name.to_owned()));
        }
        let help = Some(meant_builtin(name).unwrap_or_else(all_builtins));
        let message = format!("no plugin `{}` comes with the gateway", wasm.value);
        section.context.error("CONFIG_UNKNOWN_BUILTIN", &wasm.span, message, help);
        return None;
    }
    let path = section.context.sources.base.join(&wasm.value);
    let reason = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return Some(PluginSource::Path(path)),
        Err(error) => reference::reason(&error),
    };
    // A name without its prefix, or with a misspelt one.
    let name = wasm.value.split_once(':').map_or(wasm.value.as_str(), |(_, name)| name);
    let is_path = wasm.value.contains(['/', '.']);
    let help = meant_builtin(name)
        .filter(|_| !is_path)
        .unwrap_or_else(|| "the path starts at the folder of this file".to_owned());
    let message = format!("the component cannot be used: {reason}");
    section.context.error("CONFIG_FILE_MISSING", &wasm.span, message, Some(help));
    None
}

fn meant_builtin(name: &str) -> Option<String> {
    let near = suggest::nearest(name.trim(), BUILTIN_PLUGINS.iter().copied())?;
    Some(format!("did you mean \"builtin:{near}\"?"))
}

fn all_builtins() -> String {
    let all: Vec<String> =
        BUILTIN_PLUGINS.iter().map(|name| format!("\"builtin:{name}\"")).collect();
    format!(
        "there are {}; one of your own is named by the path of its `.wasm` file",
        all.join(", ")
    )
}

/// `[log]`.
pub(crate) fn log(top: &Section<'_, '_>) -> LogConfig {
    let section = top.section("log", "log");
    let retain = section.section("retain", "log.retain");
    let dir = section.text("dir").map_or_else(|| "data".to_owned(), |dir| dir.value);
    if dir.is_empty() {
        let span = section.span_of("dir");
        section.context.error("CONFIG_BAD_VALUE", &span, "`dir` is empty", None);
    }
    let retain_bytes = retain.size("size", 4 * MIB..=u64::MAX).unwrap_or(20 * GIB);
    let segment = section.size("segment", MIB..=GIB);
    if let Some(segment) = segment.filter(|segment| *segment > retain_bytes / 4) {
        section.context.error(
            "CONFIG_OUT_OF_RANGE",
            &section.span_of("segment"),
            "`segment` is more than a quarter of `retain.size`, so retention could not work",
            Some(format!(
                "make it at most \"{}MiB\", or `retain.size` at least \"{}MiB\"",
                retain_bytes / 4 / MIB,
                segment.saturating_mul(4).div_ceil(MIB)
            )),
        );
    }
    LogConfig {
        dir: section.context.sources.base.join(dir),
        retain_age: age(&retain, "age").unwrap_or(Some(7 * DAY)),
        retain_bytes,
        segment_bytes: segment.unwrap_or((64 * MIB).min(retain_bytes / 4)),
        cache_bytes: section.size("cache", MIB..=16 * GIB).unwrap_or(32 * MIB),
        reserve_bytes: section.size("reserve", 64 << 10..=GIB).unwrap_or(MIB),
    }
}

/// A duration of at least a second, or `forever` (`Some(None)`); `None` when it is left out.
pub(crate) fn age(section: &Section<'_, '_>, name: &'static str) -> Option<Option<Duration>> {
    let is_text = matches!(section.get(name)?.get_ref(), DeValue::String(_));
    if is_text && section.text(name).is_some_and(|text| text.value == "forever") {
        return Some(None);
    }
    section.duration(name, Duration::from_secs(1)..=36_500 * DAY).map(Some)
}

/// `[grpc]`; `None` when it is switched off.
pub(crate) fn grpc(top: &Section<'_, '_>) -> Option<Grpc> {
    let section = top.section("grpc", "grpc");
    let (enabled, listen, insecure) = listener(&section, 7070);
    enabled.then_some(Grpc { listen, insecure })
}

/// `[admin]`; `None` when it is switched off.
pub(crate) fn admin(top: &Section<'_, '_>, grpc: Option<&Grpc>) -> Option<Admin> {
    let section = top.section("admin", "admin");
    let (enabled, listen, insecure) = listener(&section, 7071);
    let both = grpc.filter(|grpc| enabled && grpc.listen == listen && listen.port() != 0);
    if both.is_some() {
        section.context.error(
            "CONFIG_SAME_ADDRESS",
            &section.span_of("listen"),
            format!("[grpc] and [admin] both listen on {listen}"),
            Some("give one of them another port".to_owned()),
        );
    }
    enabled.then_some(Admin { listen, insecure })
}

fn listener(section: &Section<'_, '_>, port: u16) -> (bool, SocketAddr, bool) {
    let enabled = section.flag("enabled").unwrap_or(true);
    let insecure = section.flag("insecure").unwrap_or(false);
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Some(text) = section.text("listen") else { return (enabled, default, insecure) };
    let local = text.value.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let Ok(listen) = local.as_ref().unwrap_or(&text.value).parse::<SocketAddr>() else {
        let help = match text.value.trim_start_matches(':').parse::<u16>() {
            Ok(port) => format!("did you mean \"127.0.0.1:{port}\"?"),
            Err(_) => format!("for example \"127.0.0.1:{port}\" or \"[::1]:{port}\""),
        };
        let message = "`listen` is an IP address and a port";
        section.context.error("CONFIG_BAD_ADDRESS", &text.span, message, Some(help));
        return (enabled, default, insecure);
    };
    if enabled && !insecure && !listen.ip().is_loopback() {
        section.context.error(
            "CONFIG_NOT_LOOPBACK",
            &text.span,
            format!("{} would listen beyond this machine without TLS", section.header()),
            Some(format!(
                "listen on 127.0.0.1:{} behind a proxy with TLS, or set `insecure = true`",
                listen.port()
            )),
        );
    }
    (enabled, listen, insecure)
}
