//! `[kafka.debezium]`: the options of Debezium's that change what its messages look like.
//!
//! Read into plain values; an option's effect is the encoder's business.

use std::time::Duration;

use crate::kafka_model::{
    Binary, Debezium, Decimal, Hstore, Interval, NameAdjustment, SkippedOperations, TimePrecision,
    UnfitValues, UnknownTypes,
};
use crate::reader::{At, Section};

/// What Debezium writes where a value is not known.
const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";
/// The longest placeholder, in bytes.
const MAX_PLACEHOLDER_BYTES: usize = 256;
const DAY: Duration = Duration::from_secs(86_400);

const NAME_ADJUSTMENTS: &[(&str, NameAdjustment)] = &[
    ("none", NameAdjustment::None),
    ("avro", NameAdjustment::Avro),
    ("avro_unicode", NameAdjustment::AvroUnicode),
];

/// `[kafka.debezium]`; everything at its default when it is left out. `pipeline`: its name.
pub(crate) fn debezium(kafka: &Section<'_, '_>, pipeline: &str) -> Debezium {
    let section = kafka.section("debezium", "kafka.debezium");
    let digits = section.number("money_fraction_digits", 0..=10);
    Debezium {
        topic_prefix: prefix(&section).unwrap_or_else(|| pipeline.to_owned()),
        schemas: section.flag("schemas").unwrap_or(false),
        decimal: section
            .one_of(
                "decimal",
                &[
                    ("precise", Decimal::Precise),
                    ("string", Decimal::String),
                    ("double", Decimal::Double),
                ],
            )
            .unwrap_or(Decimal::Precise),
        time_precision: time_precision(&section),
        binary: section
            .one_of(
                "binary",
                &[
                    ("bytes", Binary::Bytes),
                    ("base64", Binary::Base64),
                    ("base64-url-safe", Binary::Base64UrlSafe),
                    ("hex", Binary::Hex),
                ],
            )
            .unwrap_or(Binary::Bytes),
        interval: section
            .one_of("interval", &[("numeric", Interval::Numeric), ("string", Interval::String)])
            .unwrap_or(Interval::Numeric),
        hstore: section
            .one_of("hstore", &[("json", Hstore::Json), ("map", Hstore::Map)])
            .unwrap_or(Hstore::Json),
        money_fraction_digits: digits.and_then(|digits| digits.try_into().ok()).unwrap_or(2),
        unavailable_value: unavailable_value(&section),
        unknown_types: section
            .one_of("unknown_types", &[("text", UnknownTypes::Text), ("omit", UnknownTypes::Omit)])
            .unwrap_or(UnknownTypes::Text),
        unfit_values: section
            .one_of("unfit_values", &[("keep", UnfitValues::Keep), ("null", UnfitValues::Null)])
            .unwrap_or(UnfitValues::Keep),
        replace_null_with_default: section.flag("replace_null_with_default").unwrap_or(true),
        tombstones: section.flag("tombstones").unwrap_or(true),
        field_names: section
            .one_of("field_names", NAME_ADJUSTMENTS)
            .unwrap_or(NameAdjustment::None),
        schema_names: section
            .one_of("schema_names", NAME_ADJUSTMENTS)
            .unwrap_or(NameAdjustment::None),
        skipped_operations: skipped_operations(&section),
        transactions: section.flag("transactions").unwrap_or(false),
        heartbeat_interval: section
            .duration("heartbeat_interval", Duration::ZERO..=DAY)
            .unwrap_or_default(),
        context_headers: section.flag("context_headers").unwrap_or(false),
    }
}

fn time_precision(section: &Section<'_, '_>) -> TimePrecision {
    let words = &[
        ("adaptive", TimePrecision::Adaptive),
        ("adaptive_time_microseconds", TimePrecision::AdaptiveTimeMicroseconds),
        ("connect", TimePrecision::Connect),
        ("isostring", TimePrecision::IsoString),
        ("microseconds", TimePrecision::Microseconds),
        ("nanoseconds", TimePrecision::Nanoseconds),
    ];
    section.one_of("time_precision", words).unwrap_or(TimePrecision::Adaptive)
}

fn prefix(section: &Section<'_, '_>) -> Option<String> {
    let text = section.text("topic_prefix")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !text.value.is_empty() && text.value.len() <= 200 && text.value.chars().all(allowed) {
        return Some(text.value);
    }
    section.context.error(
        "CONFIG_BAD_NAME",
        &text.span,
        "`topic_prefix` takes letters, digits, `_`, `-` and `.`, from 1 to 200",
        None,
    );
    None
}

fn unavailable_value(section: &Section<'_, '_>) -> String {
    let Some(text) = section.text("unavailable_value") else {
        return UNAVAILABLE_VALUE.to_owned();
    };
    let wrong = match text.value.strip_prefix("hex:") {
        _ if text.value.len() > MAX_PLACEHOLDER_BYTES => Some("is longer than 256 bytes"),
        Some(digits) if digits.len() % 2 == 1 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Some("has something else than pairs of hexadecimal digits after `hex:`")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        let message = format!("`unavailable_value` {wrong}");
        let help = Some("for example \"__debezium_unavailable_value\" or \"hex:dead\"".to_owned());
        section.context.error("CONFIG_BAD_VALUE", &text.span, message, help);
    }
    text.value
}

fn skipped_operations(section: &Section<'_, '_>) -> SkippedOperations {
    let Some(list) = section.choices("skipped_operations") else {
        return SkippedOperations { truncate: true, ..SkippedOperations::default() };
    };
    let has = |word: &str| list.value.iter().any(|given: &At<&str>| given.value == word);
    if has("none") && list.value.len() > 1 {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &list.span,
            "`skipped_operations` lists \"none\" and operations too",
            Some("write `[\"none\"]` alone, or the operations".to_owned()),
        );
    }
    SkippedOperations { create: has("c"), update: has("u"), delete: has("d"), truncate: has("t") }
}
