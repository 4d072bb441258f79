//! `/metrics` and `/status`: well-formed, and with everything that an operator is promised.

use std::collections::{BTreeMap, BTreeSet};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::ports::free_address;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const PLUGIN: &str = "[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"email\"] }

[[route]]
tables = [\"public.*\"]
plugins = [\"hide\"]";

/// A page in Prometheus's text format: each family's type, and the samples in their order.
struct Page {
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(name, value)| {
                    sample.labels.contains(&((*name).to_owned(), (*value).to_owned()))
                })
        };
        self.samples.iter().find(has).unwrap_or_else(|| panic!("no {name} {labels:?}")).value
    }
}

fn is_name(text: &str) -> bool {
    let first = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    first && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Reads the page as the format's specification says, and panics where it is not followed.
fn parse(text: &str) -> Page {
    assert!(text.ends_with('\n'));
    let mut page = Page { kinds: BTreeMap::new(), samples: Vec::new() };
    let mut family = String::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help text");
            assert!(helped.insert(name.to_owned()), "{name} comes twice");
            assert!(!words.trim().is_empty(), "{line}");
            family = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, family, "HELP and TYPE belong together");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            page.kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let sample = parse_sample(line);
            let endings: &[&str] = match page.kinds[&family].as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let fits = endings.iter().any(|ending| sample.name == format!("{family}{ending}"));
            assert!(fits, "{line} stands under {family}");
            page.samples.push(sample);
        }
    }
    page
}

fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| {
        (name, rest.strip_suffix('}').expect("labels are closed"))
    });
    assert!(is_name(name), "{line}");
    let mut found = Vec::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect("a label's value");
        assert!(is_name(label), "{line}");
        let end = (0..after.len())
            .find(|&at| after[at..].starts_with('"') && !after[..at].ends_with('\\'))
            .expect("a label's value is closed");
        found.push((label.to_owned(), after[..end].to_owned()));
        rest = after[end + 1..].trim_start_matches(',');
    }
    let value = value.parse().unwrap_or_else(|_| panic!("{value:?} is no number: {line}"));
    Sample { name: name.to_owned(), labels: found, value }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_well_formed_and_has_every_family_that_is_promised() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text);
               INSERT INTO people VALUES (1, 'ada@example.org')";
    let rest = format!("{PLUGIN}\n\n[kafka]\nbrokers = [\"{}\"]", free_address());
    let mut fixture = Fixture::new(postgres, "metrics", sql, "", &rest).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    for id in 2..=20 {
        let insert = format!("INSERT INTO people VALUES ({id}, 'bea@example.org')");
        fixture.client.batch_execute(&insert).await.unwrap();
    }
    fixture.expect_ids(&subscriber, 1..=20).await.unwrap();
    let known = |status: &serde_json::Value| status["source"]["wal_status"] == "reserved";
    let status = fixture.gateway.wait_for_status("the slot's facts", PATIENCE, known).unwrap();
    assert_eq!(status["state"], "RUNNING");

    let text = fixture.gateway.get("/metrics").unwrap().1;
    let page = parse(&text);
    let promised = [
        ("offtake_slot_lag_bytes", "gauge"),
        ("offtake_slot_lag_seconds", "gauge"),
        ("offtake_slot_retained_wal_bytes", "gauge"),
        ("offtake_slot_wal_status", "gauge"),
        ("offtake_source_changes_total", "counter"),
        ("offtake_logged_changes_total", "counter"),
        ("offtake_transactions_total", "counter"),
        ("offtake_grpc_bytes_total", "counter"),
        ("offtake_kafka_bytes_total", "counter"),
        ("offtake_commit_to_log_seconds", "histogram"),
        ("offtake_commit_to_kafka_seconds", "histogram"),
        ("offtake_commit_to_subscriber_seconds", "histogram"),
        ("offtake_plugin_failed_total", "counter"),
        ("offtake_plugin_nanoseconds_total", "counter"),
        ("offtake_plugin_restarts_total", "counter"),
        ("offtake_plugin_changes_total", "counter"),
        ("offtake_log_bytes", "gauge"),
        ("offtake_log_blocked", "gauge"),
        ("offtake_kafka_lag_changes", "gauge"),
        ("offtake_subscribers", "gauge"),
        ("offtake_subscriber_lag_changes", "gauge"),
        ("offtake_state", "gauge"),
    ];
    for (name, kind) in promised {
        assert_eq!(page.kinds.get(name).map(String::as_str), Some(kind), "{name}");
    }
    assert_eq!(page.value("offtake_source_changes_total", &[]), 20.0);
    assert_eq!(page.value("offtake_logged_changes_total", &[]), 20.0);
    assert_eq!(page.value("offtake_plugin_changes_total", &[("plugin", "hide")]), 20.0);
    assert!(page.value("offtake_plugin_nanoseconds_total", &[("plugin", "hide")]) > 0.0);
    assert!(page.value("offtake_grpc_bytes_total", &[]) > 400.0);
    assert_eq!(page.value("offtake_grpc_changes_total", &[]), 20.0);
    assert_eq!(page.value("offtake_kafka_lag_changes", &[]), 20.0);
    assert_eq!(page.value("offtake_subscribers", &[]), 1.0);
    assert_eq!(page.value("offtake_state", &[("state", "RUNNING")]), 1.0);
    assert_eq!(page.value("offtake_slot_wal_status", &[("wal_status", "reserved")]), 1.0);
    assert!(page.value("offtake_log_bytes", &[]) > 0.0);
    assert!(!text.contains("example.org"), "a row's value is in a metric");

    let buckets: Vec<(f64, f64)> = page
        .samples
        .iter()
        .filter(|sample| sample.name == "offtake_commit_to_log_seconds_bucket")
        .map(|sample| (sample.labels[0].1.parse().unwrap(), sample.value))
        .collect();
    assert!(buckets.is_sorted() && buckets.len() > 5, "{buckets:?}");
    assert!(buckets.last().unwrap().0.is_infinite(), "{buckets:?}");
    let count = page.value("offtake_commit_to_log_seconds_count", &[]);
    assert_eq!(buckets.last().unwrap().1, count);
    assert!(count >= 1.0, "no latency was observed");
    let count = page.value("offtake_commit_to_kafka_seconds_count", &[]);
    assert_eq!(count, 0.0, "a commit counts that Kafka never got");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_what_runs_in_words_and_as_json_and_that_nothing_runs() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "status", crate::TABLE, "", "").await.unwrap();
    let admin = fixture.gateway.admin.to_string();
    for arguments in [&["status"][..], &["status", "--json"]] {
        let ended = fixture.command(arguments).unwrap();
        ended.expect_error(1, "STATUS_UNREACHABLE", &[&admin, "offtake run"]);
    }
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &["*.public.t"]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    let known = |status: &serde_json::Value| status["source"]["wal_status"] == "reserved";
    fixture.gateway.wait_for_status("the slot's facts", PATIENCE, known).unwrap();
    let name = format!("{}: RUNNING", fixture.database);
    let slot = format!("slot {}", fixture.slot);
    let texts = [
        &name,
        &slot,
        "lag ",
        "retained WAL",
        "wal_status reserved",
        "sequences 1 to 2",
        "*.public.t",
        "0 changes behind",
    ];
    fixture.command(&["status"]).unwrap().expect(0, &texts);
    let ended = fixture.command(&["status", "--json"]).unwrap().expect(0, &[]);
    let status: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(status["state"], "RUNNING");
    assert_eq!(status["log"]["last_sequence"], 2);
    assert_eq!(status["subscribers"][0]["streams"][0], "*.public.t");
    for key in ["slot_lag_bytes", "slot_lag_seconds", "retained_wal_bytes", "durable_lsn"] {
        assert!(!status["source"][key].is_null(), "{key}: {status:#}");
    }
    let arguments = ["status", "--address", &admin];
    fixture.command(&arguments).unwrap().expect(0, &["RUNNING"]);
}
