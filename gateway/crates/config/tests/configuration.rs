//! What a user reads of a wrong configuration, what a right one becomes, and that no input breaks
//! the parser.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use offtake_config::{
    Binary, Config, Debezium, Decimal, Diagnostics, Hstore, Interval, Kafka, MessageFormat,
    MessageHeaders, Misfit, MisfitKind, NameAdjustment, OnError, OnHalt, Oversize, PluginSource,
    RegistryLogin, RouteFormat, SchemaRegistry, Secret, Severity, SkippedOperations, Snapshot,
    Source, SubjectNames, TimePrecision, TopicRule, UnfitValues, UnknownTypes,
    configuration_reference, load, parse,
};
use proptest::prelude::*;

const SHOP: &str = include_str!("../testdata/shop.toml");
const ALL_KEYS: &str = include_str!("../testdata/all_keys.toml");

fn no_environment(_: &str) -> Option<String> {
    None
}

fn environment(name: &str) -> Option<String> {
    match name {
        "EMPTY" => Some(String::new()),
        "DB_PASSWORD" | "KAFKA_PASSWORD" => Some("s3cret".to_owned()),
        _ => None,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn parse_text(text: &str) -> Result<Config, Diagnostics> {
    parse(text, Path::new("shop.toml"), &environment)
}

/// The shop's configuration with one part replaced.
fn shop(from: &str, to: &str) -> String {
    assert!(SHOP.contains(from), "{from}");
    SHOP.replacen(from, to, 1)
}

fn codes(text: &str) -> Vec<&'static str> {
    match parse_text(text) {
        Ok(config) => config.warnings.items().iter().map(|item| item.code).collect(),
        Err(diagnostics) => diagnostics.items().iter().map(|item| item.code).collect(),
    }
}

/// Compares with a file, or writes it when `UPDATE` is set.
fn golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; UPDATE=1 rewrites it. Now:\n{text}\nExpected:\n{expected}",
        path.display()
    );
}

#[test]
fn every_mistake_of_a_bad_file_is_shown_at_its_place() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap();
        let diagnostics = parse(&text, Path::new(name), &environment).unwrap_err();
        assert!(!diagnostics.render(true).contains("hunter2"), "{}", path.display());
        golden(&path.with_extension("expected"), &diagnostics.render(false));
    }
}

#[test]
fn the_example_becomes_the_expected_model() {
    let config = parse(SHOP, Path::new("/etc/offtake/shop.toml"), &no_environment).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    assert_eq!(config.name, "shop");
    assert_eq!(config.on_halt, OnHalt::Stay);
    let Source::Postgres(source) = &config.source;
    assert_eq!(source.url.expose(), "postgres://offtake@db.example.com/shop");
    assert_eq!(source.password, None);
    assert_eq!((source.tables.as_slice(), source.exclude.len()), (&["public.*".to_owned()][..], 0));
    assert_eq!(
        (source.slot.as_str(), source.publication.as_str()),
        ("offtake_shop", "offtake_shop")
    );
    assert_eq!(source.snapshot, Snapshot::Initial);
    assert!(source.create_publication && source.messages);
    assert_eq!(source.max_row_bytes, 64 << 20);

    let plugin = &config.plugins[0];
    assert_eq!((config.plugins.len(), plugin.name.as_str()), (1, "mask_people"));
    assert_eq!(plugin.wasm, PluginSource::Builtin("mask".to_owned()));
    assert_eq!(plugin.config_json, r#"{"columns":["email","card_number"],"keep_last":4}"#);
    assert_eq!(plugin.deadline, Duration::from_millis(100));
    assert_eq!((plugin.memory_bytes, plugin.output_bytes), (64 << 20, 8 << 20));

    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.routes[0].plugins, [0]);
    assert_eq!(config.routes[0].stream, "{name}.{schema}.{table}");
    assert!(!config.routes[0].continues && config.routes[1].plugins.is_empty());

    assert_eq!(config.log.dir, Path::new("/etc/offtake/data"));
    assert_eq!(config.log.retain_age, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!((config.log.retain_bytes, config.log.segment_bytes), (20 << 30, 64 << 20));

    let kafka = config.kafka.unwrap();
    assert_eq!(kafka.brokers, ["localhost:9092"]);
    assert!(kafka.topics.create && kafka.topics.partitions == Some(1));
    assert_eq!(config.grpc.unwrap().listen, "127.0.0.1:7070".parse::<SocketAddr>().unwrap());
    assert_eq!(config.admin.unwrap().listen, "127.0.0.1:7071".parse::<SocketAddr>().unwrap());
}

#[test]
fn what_others_find_in_a_plugin_s_config_is_shown_at_its_place_and_secrets_are_not() {
    let line = r#"config = { columns = ["email"], "a/b" = "hunter2", rules = [{ with = 1 }] }"#;
    let text = format!(
        "{}\n[plugin.p]\nwasm = \"builtin:mask\"\n{line}\n",
        SHOP.split("[[route]]").next().unwrap()
    );
    let config = parse(&text, Path::new("shop.toml"), &no_environment).unwrap();
    let plugin = config.plugins.iter().find(|plugin| plugin.name == "p").unwrap();
    let misfit = |pointer: &str, kind| Misfit {
        pointer: pointer.to_owned(),
        kind,
        message: format!("wrong at {pointer}"),
        help: None,
    };
    let misfits = [
        misfit("/rules/0/with", MisfitKind::WrongType),
        misfit("/rules/0", MisfitKind::MissingKey),
        misfit("/a~1b", MisfitKind::UnknownKey),
        misfit("", MisfitKind::MissingKey),
    ];
    let shown = config.diagnose(plugin, &misfits, &["/a~1b".to_owned()]).to_string();
    let number = text.lines().position(|other| other == line).unwrap() + 1;
    for (pointer, part) in [("", "config"), ("/a~1b", "\"a/b\""), ("/rules/0/with", "1 }]")] {
        let column = line.find(part).unwrap() + 1;
        let place = format!("wrong at {pointer}\n   --> shop.toml:{number}:{column}\n");
        assert!(shown.contains(&place), "{place} in\n{shown}");
    }
    assert!(!shown.contains("hunter2") && shown.contains("\"a/b\" = ***,"), "{shown}");
    assert_eq!(shown.matches("error[CONFIG_MISSING_KEY]").count(), 2, "{shown}");
    let column = line.find("1 }]").unwrap() + 1;
    assert_eq!(config.place_of(plugin, "/rules/0/with"), format!("shop.toml:{number}:{column}"));
    assert_eq!(plugin.config_json.matches("hunter2").count(), 1);
}

#[test]
fn references_in_a_plugin_s_config_are_replaced_and_not_printed() {
    let text =
        SHOP.replace("keep_last = 4", r#"keep_last = 4, nested = [{ secret_key = "${env:K}" }]"#);
    assert_ne!(text, SHOP);
    let environment = |name: &str| (name == "K").then(|| "s3\"cret".to_owned());
    let config = parse(&text, Path::new("/etc/offtake/shop.toml"), &environment).unwrap();
    let given: serde_json::Value = serde_json::from_str(&config.plugins[0].config_json).unwrap();
    assert_eq!(given["nested"][0]["secret_key"], "s3\"cret");
    assert!(!format!("{config:?}").contains("cret"), "{config:?}");
}

#[test]
fn every_key_can_be_set() {
    let config = parse_text(ALL_KEYS).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    let Source::Postgres(source) = &config.source;
    assert_eq!(source.password.as_ref().unwrap().expose(), "s3cret");
    assert_eq!((source.slot.as_str(), source.publication.as_str()), ("shop_slot", "Shop"));
    assert_eq!(config.on_halt, OnHalt::Exit);
    let given: serde_json::Value = serde_json::from_str(&config.plugins[0].config_json).unwrap();
    let expected = serde_json::json!({
        "columns": ["email"], "keep_last": 4, "since": "2024-01-31", "share": 0.5,
        "deep": {"on": true, "text": "a\"b\n"},
    });
    assert_eq!(given, expected);
    assert_eq!((config.log.retain_age, config.log.retain_bytes), (None, 500_000_000));
    let kafka = config.kafka.as_ref().unwrap();
    let exposed: Vec<(&str, &str)> =
        kafka.properties.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(
        exposed,
        [("linger.ms", "5"), ("sasl.password", "s3cret"), ("security.protocol", "SASL_SSL")]
    );
    assert_eq!(kafka.topics.config["retention.ms"], "604800000");
    assert_eq!((kafka.topics.partitions, kafka.topics.replication), (Some(6), Some(3)));
    every_key_of_messages_and_topics_is_set(kafka);
    every_key_of_the_registry_is_set(kafka);
    assert!(config.grpc.is_some() && config.admin.is_none());
    assert!(!format!("{config:?}").contains("s3cret"));
}

fn every_key_of_the_registry_is_set(kafka: &Kafka) {
    let file = || Some(PathBuf::from("/dev/null"));
    let registry = SchemaRegistry {
        urls: vec![
            "https://one.example.com:8081".to_owned(),
            "https://two.example.com/apis/ccompat/v7".to_owned(),
        ],
        login: RegistryLogin::Basic {
            username: Secret::new("offtake"),
            password: Secret::new("s3cret"),
        },
        ca: file(),
        certificate: file(),
        key: file(),
        timeout: Duration::from_secs(3),
        subject_names: SubjectNames::TopicRecordName,
        auto_register: false,
        normalize: true,
    };
    assert_eq!(kafka.registry.as_ref(), Some(&registry));
}

#[test]
fn a_registry_has_defaults_and_tells_what_looks_like_a_mistake() {
    let with = |more: &str, url: &str| {
        let kafka = format!(
            "[kafka]\n{more}registry = {{ url = \"{url}\", token = \"${{env:DB_PASSWORD}}\" }}"
        );
        shop("[kafka]", &kafka)
    };
    let avro = "format = \"avro\"\n";
    let config = parse_text(&with(avro, "https://registry")).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    let registry = config.kafka.unwrap().registry.unwrap();
    assert_eq!(registry.login, RegistryLogin::Bearer(Secret::new("s3cret")));
    assert_eq!(registry.timeout, Duration::from_secs(10));
    assert_eq!(registry.subject_names, SubjectNames::TopicName);
    assert!(registry.auto_register && !registry.normalize);
    assert!(!format!("{registry:?}").contains("s3cret"));
    assert_eq!(codes(&with(avro, "http://registry")), ["CONFIG_REGISTRY_PLAIN"]);
    assert_eq!(codes(&with("", "https://registry")), ["CONFIG_REGISTRY_UNUSED"]);
}

fn every_key_of_messages_and_topics_is_set(kafka: &Kafka) {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let headers = MessageHeaders { position: true, transaction: true, event_id: true };
    assert_eq!((kafka.format, kafka.oversize), (MessageFormat::Json, Oversize::DeadLetter));
    assert_eq!(kafka.headers, headers);
    let config = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
    let rule = TopicRule {
        streams: texts(&["shop-2.public.orders", "shop-2.masked.*"]),
        create: Some(false),
        partitions: Some(12),
        replication: Some(2),
        config: config.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        format: Some(MessageFormat::Protobuf),
        key: texts(&["tenant", "id"]),
        partition_by: texts(&["tenant"]),
    };
    assert_eq!(kafka.rules, [rule]);
    let first = RouteFormat {
        streams: texts(&["shop-2.masked.customers"]),
        exclude: texts(&["shop-2.masked.test_*"]),
        format: None,
    };
    let second = RouteFormat {
        streams: texts(&["shop-2.public.*", "shop-2.sales.orders"]),
        exclude: Vec::new(),
        format: Some(MessageFormat::Avro),
    };
    assert_eq!(kafka.route_formats, [first, second]);
    let debezium = Debezium {
        topic_prefix: "shop".to_owned(),
        schemas: true,
        decimal: Decimal::Double,
        time_precision: TimePrecision::Connect,
        binary: Binary::Base64UrlSafe,
        interval: Interval::String,
        hstore: Hstore::Map,
        money_fraction_digits: 4,
        unavailable_value: "hex:dead".to_owned(),
        unknown_types: UnknownTypes::Omit,
        unfit_values: UnfitValues::Null,
        replace_null_with_default: false,
        tombstones: false,
        field_names: NameAdjustment::Avro,
        schema_names: NameAdjustment::AvroUnicode,
        skipped_operations: SkippedOperations::default(),
        transactions: true,
        heartbeat_interval: Duration::from_secs(10),
        context_headers: true,
    };
    assert_eq!(kafka.debezium, debezium);
}

#[test]
fn a_rule_for_topics_may_leave_its_format_to_a_later_one() {
    let with = |rules: &str| shop("[grpc]", &format!("{rules}\n[grpc]"));
    let wide = "[[kafka.topic]]\nstreams = [\"*\"]\npartitions = 3\n";
    let format = "[[kafka.topic]]\nstreams = [\"shop.public.a\"]\nformat = \"json\"\n";
    assert!(codes(&with(&format!("{wide}{format}"))).is_empty());
    let more = format!("{wide}{format}partitions = 1\n");
    assert_eq!(codes(&with(&more)), ["CONFIG_TOPIC_UNREACHABLE"]);
}

#[test]
fn rules_for_topics_under_the_name_of_their_defaults_are_told_the_right_one() {
    let text = shop("[grpc]", "[[kafka.topics]]\nstreams = [\"*\"]\n[grpc]");
    let refused = parse_text(&text).unwrap_err().to_string();
    assert!(refused.contains("a list of tables is `[[kafka.topic]]`"), "{refused}");
    let text = shop("[log]", "[[log]]");
    let refused = parse_text(&text).unwrap_err().to_string();
    assert!(refused.contains("write `[log]`, in single brackets"), "{refused}");
}

#[test]
fn state_is_granted_by_its_table_and_not_where_the_log_may_be_lost() {
    let with = |keys: &str| shop("[plugin.mask_people]", &format!("[plugin.mask_people]\n{keys}"));
    let quota = |keys: &str| parse_text(&with(keys)).unwrap().plugins.remove(0).state_quota;
    assert_eq!(quota(""), None);
    assert_eq!(quota("state = {}"), Some(64 << 20));
    assert_eq!(quota("state = { quota = \"1GiB\" }"), Some(1 << 30));
    assert_eq!(codes(&with("state = true")), ["CONFIG_WRONG_TYPE"]);
    assert_eq!(codes(&with("state = { quota = \"1KiB\" }")), ["CONFIG_OUT_OF_RANGE"]);
    assert_eq!(codes(&with("state = { size = \"1MiB\" }")), ["CONFIG_UNKNOWN_KEY"]);
    let lost = ALL_KEYS.replace("output = \"16MiB\"", "output = \"16MiB\"\nstate = {}");
    let refused = parse_text(&lost).unwrap_err().to_string();
    assert!(refused.contains("keeps state, and with `ack = \"sinks\"`"), "{refused}");
}

#[test]
fn a_plugin_says_what_becomes_of_what_it_fails_at() {
    let with = |keys: &str| shop("[plugin.mask_people]", &format!("[plugin.mask_people]\n{keys}"));
    let plugin = |keys: &str| parse_text(&with(keys)).unwrap().plugins.remove(0);
    let plain = plugin("");
    assert_eq!((plain.on_error, plain.breaker_percent), (OnError::Halt, Some(10)));
    assert_eq!((plain.isolation, plain.fan_out), (Duration::from_secs(5), 100));
    let set = plugin(
        "on_error = \"dead_letter\"\nbreaker = \"5%\"\nisolation = \"1s\"\nfan_out = 7\nhost_calls = 0",
    );
    assert_eq!((set.on_error, set.breaker_percent), (OnError::DeadLetter, Some(5)));
    assert_eq!((set.isolation, set.fan_out), (Duration::from_secs(1), 7));
    assert_eq!((plain.host_calls, set.host_calls, set.log_lines), (10_000, 0, 100));
    assert_eq!(plugin("breaker = \"off\"").breaker_percent, None);
    for wrong in ["0%", "101%", "5", "five%"] {
        assert_eq!(
            codes(&with(&format!("breaker = \"{wrong}\""))),
            ["CONFIG_BAD_VALUE"],
            "{wrong}"
        );
    }
    let kafka = SHOP.replace("mask_people", "kafka");
    assert_eq!(codes(&kafka), ["CONFIG_BAD_NAME"]);
}

#[test]
fn a_route_may_have_a_format_of_its_own() {
    let json =
        shop("plugins = [\"mask_people\"]", "plugins = [\"mask_people\"]\nformat = \"json\"");
    let kafka = parse_text(&json).unwrap().kafka.unwrap();
    let formats: Vec<_> =
        kafka.route_formats.iter().map(|it| (it.streams.join(" "), it.format)).collect();
    let customers = "shop.public.customers shop.public.payments".to_owned();
    assert_eq!(
        formats,
        [(customers, Some(MessageFormat::Json)), ("shop.public.*".to_owned(), None)]
    );
    let without = json.replace("[kafka] ", "# ").replace("brokers", "# brokers");
    assert_eq!(codes(&without), ["CONFIG_FORMAT_UNUSED"]);
}

#[test]
fn the_password_comes_from_url_key_file_or_environment() {
    let password = |text: &str, env: &dyn Fn(&str) -> Option<String>| {
        let config = parse(text, Path::new("shop.toml"), env).unwrap();
        let Source::Postgres(source) = config.source;
        (source.url.expose().to_owned(), source.password.map(|secret| secret.expose().to_owned()))
    };
    let pgpassword = |name: &str| (name == "PGPASSWORD").then(|| "from-env".to_owned());
    let url = "postgres://offtake@db.example.com/shop";
    assert_eq!(password(SHOP, &pgpassword), (url.to_owned(), Some("from-env".to_owned())));

    let in_url = shop("offtake@db", "offtake:${env:DB_PASSWORD}@db");
    let with_both = |name: &str| environment(name).or_else(|| pgpassword(name));
    let (given, key) = password(&in_url, &with_both);
    assert_eq!((given.as_str(), key), ("postgres://offtake:s3cret@db.example.com/shop", None));

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pw"), "from-file\n").unwrap();
    let file = folder.path().join("shop.toml");
    fs::write(&file, shop("slot =", "password_file = \"pw\"\nslot =")).unwrap();
    let Source::Postgres(source) = load(&file, &pgpassword).unwrap().source;
    assert_eq!(source.password.unwrap().expose(), "from-file");
    assert_eq!(source.password_file, Some(folder.path().join("pw")));
}

#[test]
fn what_is_left_out_has_a_default() {
    let text = "name = \"North.Shop-1\"\n[source]\ntype = \"postgres\"\n\
                url = \"postgres://o@db/shop\"\ntables = [\"public.*\"]\n";
    let config = parse_text(text).unwrap();
    let Source::Postgres(source) = &config.source;
    assert_eq!(source.slot, "offtake_north_shop_1");
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].tables, ["*.*"]);
    assert!(config.kafka.is_none() && config.grpc.is_some() && config.admin.is_some());
    assert_eq!(config.log.dir, Path::new("./data"));
    let small = parse_text(&format!("{text}[log]\nretain = {{ size = \"8MiB\" }}\n")).unwrap();
    assert_eq!(small.log.segment_bytes, 2 << 20);
}

#[test]
fn what_looks_like_a_mistake_is_a_warning() {
    let last = shop("stream = \"{name}.{schema}.{table}\"", "continue = true");
    assert_eq!(codes(&last), ["CONFIG_CONTINUE_LAST"]);
    assert_eq!(codes(&shop("plugins = [\"mask_people\"]", "")), ["CONFIG_PLUGIN_UNUSED"]);
    let none = shop("\"public.payments\"", "\"sales.payments\"");
    assert_eq!(codes(&none), ["CONFIG_ROUTE_EMPTY"]);
}

#[test]
fn a_masking_route_behind_a_catch_all_is_an_error() {
    let text =
        shop("tables = [\"public.customers\", \"public.payments\"]", "tables = [\"public.c*\"]");
    assert!(codes(&text).is_empty());
    let mut parts: Vec<&str> = text.split("[[route]]").collect();
    let (head, tail) = parts[2].split_once("[log]").unwrap();
    let (second, rest) = (head.to_owned(), format!("[log]{tail}"));
    let first = parts[1].to_owned();
    parts.truncate(1);
    let swapped = format!("{}[[route]]{second}[[route]]{first}{rest}", parts[0]);
    assert_eq!(codes(&swapped), ["CONFIG_ROUTE_UNREACHABLE"]);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(&folder.path().join("offtake.toml"), &no_environment).unwrap_err();
    assert_eq!(missing.items()[0].code, "CONFIG_UNREADABLE");
    assert!(missing.to_string().contains("it does not exist"), "{missing}");
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"name = \"shop\"\nx = \"\xff\"\n").unwrap();
    let binary = load(&binary, &no_environment).unwrap_err();
    assert!(binary.to_string().contains("line 2 is not UTF-8"), "{binary}");
}

#[test]
fn the_reference_page_is_the_one_written_from_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONFIGURATION.md");
    golden(&path, &configuration_reference());
}

/// Changes to a valid file: cut, doubled, replaced pieces, and characters with a meaning.
fn mutated() -> impl Strategy<Value = String> {
    let base = prop_oneof![Just(SHOP), Just(ALL_KEYS)];
    let edit = (any::<u16>(), 0usize..24, "[\\[\\]{}\"'=.,#\\n\\\\$:@*a-z0-9 é\\t]{0,6}");
    (base, prop::collection::vec(edit, 1..6)).prop_map(|(base, edits)| {
        let mut text: Vec<char> = base.chars().collect();
        for (at, length, with) in edits {
            let at = usize::from(at) % (text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        text.into_iter().collect()
    })
}

fn check_spans(text: &str) {
    let diagnostics = match parse_text(text) {
        Ok(config) => config.warnings,
        Err(diagnostics) => {
            assert!(diagnostics.count(Severity::Error) > 0);
            diagnostics
        }
    };
    for item in diagnostics.items() {
        let span = item.span.clone().expect("a finding of a text has a place");
        assert!(text.get(span.clone()).is_some(), "{span:?} of {}: {item:?}", text.len());
    }
    for color in [false, true] {
        diagnostics.render(color);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mutated_file_never_panics_and_every_finding_has_a_place_in_it(text in mutated()) {
        check_spans(&text);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        check_spans(&text);
    }
}
