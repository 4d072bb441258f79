//! `[[kafka.topic]]`: what differs for the topics of some streams.
//!
//! The order of the rules decides, so a rule that no stream can reach is an error, as with routes.
//! Which rule counts for a stream is decided by the sink, and whether a column exists by a look at
//! the database.

use crate::kafka::{PARTITIONS, REPLICATION, topic_config};
use crate::kafka_model::{MessageFormat, TopicRule};
use crate::reader::{At, Section};
use crate::routes::RouteStreams;
use crate::stream_glob::StreamGlob;

/// A rule with what is needed to judge it.
struct Draft {
    globs: Vec<At<StreamGlob>>,
    format: Option<At<MessageFormat>>,
    rule: TopicRule,
}

/// The rules, in the order of the file. `routes`: the streams of every route.
pub(crate) fn rules(kafka: &Section<'_, '_>, routes: &[RouteStreams]) -> Vec<TopicRule> {
    let sections = kafka.sections("topic", "kafka.topic", "a topic");
    let drafts: Vec<Draft> = sections.iter().map(draft).collect();
    for (at, draft) in drafts.iter().enumerate() {
        judge_reach(kafka, &drafts[..at], draft);
        judge_formats(kafka, draft, routes);
    }
    drafts.into_iter().map(|draft| draft.rule).collect()
}

fn draft(section: &Section<'_, '_>) -> Draft {
    section.require("streams");
    let list = section.texts("streams");
    if let Some(list) = list.as_ref().filter(|list| list.value.is_empty()) {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &list.span,
            "`streams` is empty, so it takes no stream",
            Some("`[\"*\"]` takes every stream".to_owned()),
        );
    }
    let given = list.map(|list| list.value).unwrap_or_default();
    let mut globs: Vec<At<StreamGlob>> = Vec::with_capacity(given.len());
    for glob in &given {
        match StreamGlob::parse(&glob.value) {
            Ok(value) => globs.push(At { value, span: glob.span.clone() }),
            Err((reason, help)) => {
                section.context.error("CONFIG_BAD_GLOB", &glob.span, reason, help);
            }
        }
    }
    let format = section.one_of("format", MessageFormat::WORDS);
    Draft {
        globs,
        format: format.map(|value| At { value, span: section.span_of("format") }),
        rule: TopicRule {
            streams: given.into_iter().map(|glob| glob.value).collect(),
            create: section.flag("create"),
            partitions: section.number("partitions", PARTITIONS),
            replication: section.number("replication", REPLICATION),
            config: topic_config(section),
            format,
            key: columns(section, "key"),
            partition_by: columns(section, "partition_by"),
        },
    }
}

/// A list of columns: not empty, and each once.
fn columns(section: &Section<'_, '_>, name: &'static str) -> Vec<String> {
    let Some(list) = section.texts(name) else { return Vec::new() };
    if list.value.is_empty() {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &list.span,
            format!("`{name}` is empty"),
            Some("leave it out for the table's own key".to_owned()),
        );
    }
    let mut columns: Vec<String> = Vec::with_capacity(list.value.len());
    for column in list.value {
        let wrong = if column.value.is_empty() {
            "a column's name is empty".to_owned()
        } else if columns.contains(&column.value) {
            format!("the column `{}` stands twice in `{name}`", column.value)
        } else {
            columns.push(column.value);
            continue;
        };
        section.context.error("CONFIG_BAD_VALUE", &column.span, wrong, None);
    }
    columns
}

/// Globs that an earlier rule takes whole.
fn judge_reach(kafka: &Section<'_, '_>, earlier: &[Draft], draft: &Draft) {
    for (at, glob) in draft.globs.iter().enumerate() {
        let same = |known: &At<StreamGlob>| known.value == glob.value;
        let context = kafka.context;
        if draft.globs[..at].iter().any(same)
            || earlier.iter().any(|rule| rule.globs.iter().any(same))
        {
            context.error(
                "CONFIG_TOPIC_TWICE",
                &glob.span,
                "the same pattern stands in an earlier place, which takes these streams first",
                Some("put both together in one [[kafka.topic]]".to_owned()),
            );
            continue;
        }
        let taker = earlier.iter().position(|rule| {
            let takes = rule.globs.iter().any(|known| known.value.covers(&glob.value));
            takes && !counts_for_format(rule, draft)
        });
        if let Some(taker) = taker {
            let number = taker + 1;
            context.error(
                "CONFIG_TOPIC_UNREACHABLE",
                &glob.span,
                format!("no stream reaches this: [[kafka.topic]] number {number} takes them first"),
                Some(format!("put this before number {number}")),
            );
        }
    }
}

/// Whether the later rule says nothing but a format, and the earlier one leaves that open.
fn counts_for_format(earlier: &Draft, later: &Draft) -> bool {
    let TopicRule { create, partitions, replication, config, format, key, partition_by, .. } =
        &later.rule;
    let nothing_else = create.is_none()
        && partitions.is_none()
        && replication.is_none()
        && config.is_empty()
        && key.is_empty()
        && partition_by.is_empty();
    format.is_some() && nothing_else && earlier.rule.format.is_none()
}

/// A route's format that can never count, for this rule takes all its streams and names another.
fn judge_formats(kafka: &Section<'_, '_>, draft: &Draft, routes: &[RouteStreams]) {
    let Some(format) = &draft.format else { return };
    for (at, route) in routes.iter().enumerate() {
        let Some(other) = route.format.as_ref().filter(|other| other.value != format.value) else {
            continue;
        };
        let taken = |stream: &StreamGlob| draft.globs.iter().any(|glob| glob.value.covers(stream));
        if route.streams.is_empty() || !route.streams.iter().all(taken) {
            continue;
        }
        kafka.context.error(
            "CONFIG_FORMAT_TWICE",
            &format.span,
            format!(
                "all streams of route {} are meant, and it gives them the format \"{}\"",
                at + 1,
                other.value.name()
            ),
            Some("keep one of the two".to_owned()),
        );
    }
}
