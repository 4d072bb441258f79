//! What may be said to librdkafka: the table of its properties, and the verdict over one of them.
//!
//! A property that would break what the gateway promises is refused with the reason, a name that
//! the library does not know with the nearest one. Values are the library's to judge, but for a few
//! bounds. The Kafka sink reads the same table for callers that have no configuration file.

use std::ops::RangeInclusive;

use crate::suggest;

const TABLE: &str = include_str!("kafka_properties.tsv");

/// What the table says of a property.
pub(crate) enum Rule {
    Passed,
    Refused(&'static str),
    Within(RangeInclusive<i64>, &'static str),
}

/// The table's lines.
fn table() -> impl Iterator<Item = (&'static str, Rule)> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.splitn(3, '|').map(str::trim);
        let (name, rule, why) = (fields.next()?, fields.next()?, fields.next()?);
        let rule = match rule {
            "passed" => Rule::Passed,
            "refused" => Rule::Refused(why),
            bounds => {
                let (least, most) = bounds.split_once("..")?;
                Rule::Within(least.parse().ok()?..=most.parse().ok()?, why)
            }
        };
        Some((name, rule))
    })
}

/// What is wrong with a property: the message and what to do.
pub(crate) fn wrong(name: &str, value: &str) -> Option<(String, String)> {
    match table().find(|(known, _)| *known == name).map(|(_, rule)| rule) {
        Some(Rule::Passed) => None,
        Some(Rule::Refused(why)) => Some((
            format!("the property `{name}` is not yours to set: {why}"),
            "remove it".to_owned(),
        )),
        Some(Rule::Within(range, why)) => {
            let fits = value.trim().parse().is_ok_and(|number| range.contains(&number));
            (!fits).then(|| {
                let (least, most) = (range.start(), range.end());
                (
                    format!(
                        "the property `{name}` is a whole number from {least} to {most}: {why}"
                    ),
                    "choose one within the bounds, or remove it".to_owned(),
                )
            })
        }
        None => {
            let near = suggest::nearest(name, table().map(|(known, _)| known));
            let help = near.map_or_else(
                || "the names are those of librdkafka's CONFIGURATION.md".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            Some((format!("librdkafka has no property `{name}`"), help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_rule_and_in_order() {
        let names: Vec<&str> = table().map(|(name, _)| name).collect();
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(names.len(), lines, "a line is not `name | rule | why`");
        assert!(names.is_sorted(), "the table is in alphabetic order");
        for (name, rule) in table() {
            let why = match rule {
                Rule::Passed => continue,
                Rule::Refused(why) | Rule::Within(_, why) => why,
            };
            assert!(!why.is_empty(), "{name} is refused without a reason");
        }
    }

    #[test]
    fn what_breaks_a_guarantee_is_refused_what_is_out_of_bounds_too_and_a_typing_error_is_named() {
        let said = |name, value| wrong(name, value).map(|(message, help)| message + "; " + &help);
        assert_eq!(said("compression.codec", "zstd"), None);
        assert_eq!(said("transaction.timeout.ms", "30000"), None);
        for (name, value, part) in [
            ("acks", "1", "every in-sync copy"),
            ("transactional.id", "x", "fences a second gateway"),
            ("group.id", "x", "joins no consumer group"),
            ("test.mock.num.brokers", "3", "keeps nothing"),
            ("transaction.timeout.ms", "1", "from 5000 to 900000"),
            ("queue.buffering.max.kbytes", "lots", "from 64 to 1048576"),
            ("compresion.codec", "zstd", "did you mean `compression.codec`?"),
            ("sasl.jaas.config", "x", "has no property `sasl.jaas.config`"),
        ] {
            let said = said(name, value).unwrap_or_else(|| panic!("{name} = {value} is taken"));
            assert!(said.contains(part), "{said}");
        }
    }
}
