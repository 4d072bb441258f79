//! `[[route]]`, and what routes, plugins and the captured tables mean together.
//!
//! The order of routes decides, so the mistakes that order invites are errors: a route that no
//! table can reach (masking that never happens), two tables in one stream, one table twice in the
//! same stream. What only the real tables can tell is `offtake check`'s.

use std::ops::Range;

use crate::glob::Glob;
use crate::kafka_model::MessageFormat;
use crate::model::{MESSAGE_STREAM, Plugin, Route, RouteOperation};
use crate::reader::{At, Section};
use crate::sections;
use crate::stream_glob::StreamGlob;
use crate::suggest;

mod messages;

const DEFAULT_STREAM: &str = "{name}.{schema}.{table}";
const PLACEHOLDERS: &[&str] = &["name", "schema", "table"];

/// A route with what is needed to judge it.
struct Draft {
    span: Range<usize>,
    tables: Vec<At<Glob>>,
    exclude: Vec<At<Glob>>,
    stream: At<String>,
    streams: Vec<StreamGlob>,
    /// The stream of logical messages, where it takes them.
    message_stream: Option<StreamGlob>,
    messages_span: Range<usize>,
    continue_span: Range<usize>,
    format: Option<At<MessageFormat>>,
    route: Route,
}

/// The streams that a route can write, and the format that it names for them.
pub(crate) struct RouteStreams {
    pub(crate) streams: Vec<StreamGlob>,
    pub(crate) exclude: Vec<StreamGlob>,
    pub(crate) format: Option<At<MessageFormat>>,
}

/// The routes, with the streams of each; without any, one that takes every table. `pipeline`: its
/// name; `has_messages`: logical messages are captured.
pub(crate) fn routes(
    top: &Section<'_, '_>,
    pipeline: &str,
    plugins: &[At<Plugin>],
    captured: &[At<Glob>],
    has_messages: bool,
) -> (Vec<Route>, Vec<RouteStreams>) {
    let sections = top.sections("route", "route", "a route");
    let mut used = vec![false; plugins.len()];
    let mut drafts: Vec<Draft> =
        sections.iter().map(|section| draft(section, plugins, &mut used)).collect();
    for draft in &mut drafts {
        draft.streams = streams(&draft.stream.value, pipeline, &draft.tables, captured);
        draft.message_stream = messages::stream(&draft.route, pipeline);
    }
    for (plugin, _) in plugins.iter().zip(&used).filter(|(_, used)| !**used) {
        top.context.warning(
            "CONFIG_PLUGIN_UNUSED",
            &plugin.span,
            format!("no route uses the plugin `{}`", plugin.value.name),
            Some("name it in `plugins` of a [[route]], or remove it".to_owned()),
        );
    }
    for (at, draft) in drafts.iter().enumerate() {
        judge_alone(top, draft, captured, at + 1 == drafts.len());
        messages::judge(top, &drafts[..at], draft, has_messages);
        for (earlier_at, earlier) in drafts[..at].iter().enumerate() {
            judge_pair(top, earlier_at, earlier, draft);
            judge_formats(top, earlier_at, earlier, draft);
            judge_state(top, earlier_at, earlier, draft, plugins);
        }
        judge_reach(top, &drafts[..at], draft);
    }
    if drafts.is_empty() {
        let route = Route {
            tables: vec!["*.*".to_owned()],
            exclude: Vec::new(),
            messages: false,
            plugins: Vec::new(),
            stream: DEFAULT_STREAM.to_owned(),
            operations: RouteOperation::ALL.to_vec(),
            continues: false,
        };
        return (vec![route], Vec::new());
    }
    let written = drafts.iter().map(|draft| RouteStreams {
        streams: draft.streams.iter().chain(&draft.message_stream).cloned().collect(),
        exclude: streams(&draft.stream.value, pipeline, &draft.exclude, captured),
        format: draft.format.clone(),
    });
    let written = written.collect();
    (drafts.into_iter().map(|draft| draft.route).collect(), written)
}

/// The streams that a template gives for tables that are captured at all.
fn streams(
    template: &str,
    pipeline: &str,
    tables: &[At<Glob>],
    captured: &[At<Glob>],
) -> Vec<StreamGlob> {
    let mut found = Vec::new();
    for table in tables.iter().map(|table| &table.value) {
        let within = captured.iter().map(|known| &known.value);
        if captured.is_empty() || within.clone().any(|known| known.covers(table)) {
            found.push(StreamGlob::of_route(template, pipeline, table));
            continue;
        }
        for known in within.filter(|known| known.overlaps(table)) {
            let narrow = if table.covers(known) { known } else { table };
            found.push(StreamGlob::of_route(template, pipeline, narrow));
        }
    }
    found
}

fn draft(section: &Section<'_, '_>, plugins: &[At<Plugin>], used: &mut [bool]) -> Draft {
    let takes_messages = section.flag("messages").unwrap_or(false);
    let is_for_tables = section.get("tables").is_some() || !takes_messages;
    if is_for_tables {
        section.require("tables");
    } else {
        messages::refuse_keys_of_tables(section);
    }
    let (tables, globs) = sections::patterns(section, "tables", true);
    let (exclude, excluded) = sections::patterns(section, "exclude", false);
    let default = if is_for_tables { DEFAULT_STREAM } else { MESSAGE_STREAM };
    let default = || At { value: default.to_owned(), span: section.span.clone() };
    let stream = section.text("stream").filter(|stream| template(section, stream));
    if let Some(stream) = stream.as_ref().filter(|_| takes_messages) {
        messages::check_stream(section, stream, is_for_tables);
    }
    let stream = stream.unwrap_or_else(default);
    let continues = section.flag("continue").unwrap_or(false);
    Draft {
        span: section.span.clone(),
        tables: globs,
        exclude: excluded,
        streams: Vec::new(),
        message_stream: None,
        messages_span: section.span_of("messages"),
        continue_span: section.span_of("continue"),
        format: section
            .one_of("format", MessageFormat::WORDS)
            .map(|value| At { value, span: section.span_of("format") }),
        route: Route {
            tables,
            exclude,
            messages: takes_messages,
            plugins: chain(section, plugins, used),
            stream: stream.value.clone(),
            operations: operations(section),
            continues,
        },
        stream,
    }
}

/// The operations that a route takes, in the order of [`RouteOperation::ALL`].
fn operations(section: &Section<'_, '_>) -> Vec<RouteOperation> {
    let Some(list) = section.choices("operations") else { return RouteOperation::ALL.to_vec() };
    if list.value.is_empty() {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &list.span,
            "`operations` is empty, so this route takes nothing",
            Some("leave it out, and it takes every operation".to_owned()),
        );
    }
    let named =
        |operation: &RouteOperation| list.value.iter().any(|word| word.value == operation.word());
    RouteOperation::ALL.into_iter().filter(named).collect()
}

/// The plugins of a route by index.
fn chain(section: &Section<'_, '_>, plugins: &[At<Plugin>], used: &mut [bool]) -> Vec<usize> {
    let mut chain = Vec::new();
    for name in section.texts("plugins").map(|list| list.value).unwrap_or_default() {
        let known = || plugins.iter().map(|plugin| plugin.value.name.as_str());
        let Some(index) = known().position(|known| known == name.value) else {
            let near = suggest::nearest(&name.value, known());
            let help = match (near, plugins.is_empty()) {
                (Some(near), _) => format!("did you mean \"{near}\"?"),
                (None, true) => format!("describe it in a table [plugin.{}]", name.value),
                (None, false) => format!(
                    "there are {}",
                    known().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
                ),
            };
            let message = format!("there is no plugin `{}`", name.value);
            section.context.error("CONFIG_UNKNOWN_PLUGIN", &name.span, message, Some(help));
            continue;
        };
        used[index] = true;
        if chain.contains(&index) {
            section.context.error(
                "CONFIG_PLUGIN_TWICE",
                &name.span,
                format!("the plugin `{}` stands twice in this route", name.value),
                Some("remove one of them".to_owned()),
            );
        }
        chain.push(index);
    }
    chain
}

/// Checks a stream template's placeholders and characters.
fn template(section: &Section<'_, '_>, stream: &At<String>) -> bool {
    let before = stream.value.as_str();
    let mut rest = before;
    let mut literal = String::new();
    while let Some(open) = rest.find('{') {
        literal.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        if !PLACEHOLDERS.contains(&name) {
            let written = format!("{{{name}}}");
            let near = suggest::nearest(name, PLACEHOLDERS.iter().copied());
            section.context.error(
                "CONFIG_UNKNOWN_PLACEHOLDER",
                &section.context.part_of(&stream.span, &written),
                format!("unknown placeholder `{written}`"),
                Some(match near {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => "there are `{name}`, `{schema}` and `{table}`".to_owned(),
                }),
            );
            return false;
        }
        rest = &rest[open + close + 1..];
    }
    literal.push_str(rest);
    let wrong =
        literal.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    if wrong.is_none() && !before.is_empty() {
        return true;
    }
    let message = match wrong {
        Some(wrong) => format!("`{wrong}` cannot stand in a stream's name"),
        None => "`stream` is empty".to_owned(),
    };
    section.context.error(
        "CONFIG_BAD_VALUE",
        &stream.span,
        message,
        Some(
            "letters, digits, `.`, `_` and `-`, as for a Kafka topic, and placeholders".to_owned(),
        ),
    );
    false
}

/// What can be said of a route by itself.
fn judge_alone(top: &Section<'_, '_>, draft: &Draft, captured: &[At<Glob>], last: bool) {
    if draft.route.continues && last {
        top.context.warning(
            "CONFIG_CONTINUE_LAST",
            &draft.continue_span,
            "`continue = true` has no effect on the last route",
            Some("remove it, or add the route that is to see these tables too".to_owned()),
        );
    }
    for table in &draft.tables {
        if !captured.is_empty() && !captured.iter().any(|known| known.value.overlaps(&table.value))
        {
            top.context.warning(
                "CONFIG_ROUTE_EMPTY",
                &table.span,
                "no captured table can match this pattern",
                Some("add it to `tables` in [source], or remove it here".to_owned()),
            );
        }
    }
    let template = &draft.stream.value;
    let one_table =
        draft.tables.len() <= 1 && draft.tables.iter().all(|glob| glob.value.one_table().is_some());
    let first_schema = draft.tables.first().and_then(|glob| glob.value.one_schema());
    let one_schema = draft.tables.is_empty()
        || first_schema.is_some()
            && draft.tables.iter().all(|glob| glob.value.one_schema() == first_schema);
    let missing = match (template.contains("{table}"), template.contains("{schema}")) {
        (false, _) if !one_table => "table",
        (_, false) if !one_schema => "schema",
        _ => return,
    };
    top.context.error(
        "CONFIG_STREAM_COLLISION",
        &draft.stream.span,
        format!(
            "this route can take several tables, and `stream` would put them all into one: \
                 it lacks `{{{missing}}}`"
        ),
        Some(format!("for example `stream = \"{DEFAULT_STREAM}\"`, or one route for each table")),
    );
}

/// What can be said of two routes.
fn judge_pair(top: &Section<'_, '_>, earlier_at: usize, earlier: &Draft, later: &Draft) {
    let has_tables = |draft: &Draft| !draft.route.tables.is_empty();
    if earlier.stream.value != later.stream.value || !has_tables(earlier) || !has_tables(later) {
        return;
    }
    let taken = &earlier.route.operations;
    let is_apart = !later.route.operations.iter().any(|operation| taken.contains(operation));
    let of_one = |draft: &Draft| match draft.route.tables.as_slice() {
        [table] => draft.tables.first()?.value.one_table().is_some().then(|| table.clone()),
        _ => None,
    };
    if is_apart
        && (earlier.stream.value.contains("{table}")
            || of_one(earlier).is_some() && of_one(earlier) == of_one(later))
    {
        // The changes of one table on two ways into its stream.
        return;
    }
    let overlap = earlier
        .tables
        .iter()
        .any(|left| later.tables.iter().any(|right| left.value.overlaps(&right.value)));
    let number = earlier_at + 1;
    if overlap && earlier.route.continues {
        top.context.error(
            "CONFIG_STREAM_TWICE",
            &later.stream.span,
            format!("route {number} continues, and both put the same table into the same stream"),
            Some("give this route a `stream` of its own".to_owned()),
        );
    } else if !earlier.stream.value.contains("{table}") {
        top.context.error(
            "CONFIG_STREAM_COLLISION",
            &later.stream.span,
            format!("route {number} has the same `stream`, so that two tables share it"),
            Some("give this route a `stream` of its own".to_owned()),
        );
    }
}

/// Whether a plugin that keeps state would see a change twice: it has one memory, so on the second
/// way it would take the change for one that was there before.
fn judge_state(
    top: &Section<'_, '_>,
    earlier_at: usize,
    earlier: &Draft,
    later: &Draft,
    plugins: &[At<Plugin>],
) {
    let taken = &earlier.route.operations;
    let same_tables = later.route.operations.iter().any(|operation| taken.contains(operation))
        && earlier
            .tables
            .iter()
            .any(|left| later.tables.iter().any(|right| left.value.overlaps(&right.value)));
    let sees_the_same =
        earlier.route.continues && (same_tables || earlier.route.messages && later.route.messages);
    let keeps = |index: &&usize| {
        plugins.get(**index).is_some_and(|plugin| plugin.value.state_quota.is_some())
    };
    let both = later.route.plugins.iter().filter(|index| earlier.route.plugins.contains(index));
    let Some(index) = both.filter(|_| sees_the_same).find(keeps) else { return };
    let name = plugins.get(*index).map_or("", |plugin| plugin.value.name.as_str());
    top.context.error(
        "CONFIG_STATE_TWICE",
        &later.span,
        format!(
            "plugin `{name}` keeps state, and route {} has it too and continues: it would see the same \
             change twice",
            earlier_at + 1
        ),
        Some("describe the plugin twice under two names, each with `state`, one for each route".to_owned()),
    );
}

/// Whether a stream of both could be meant to have either's format. Where one template tells its
/// tables apart, it is the same table that both name, and the earlier route takes it.
fn judge_formats(top: &Section<'_, '_>, earlier_at: usize, earlier: &Draft, later: &Draft) {
    let format = |draft: &Draft| draft.format.as_ref().map(|format| format.value);
    if format(earlier) == format(later) {
        return;
    }
    let template = &later.stream.value;
    let tells_apart = template.contains("{table}")
        && (template.contains("{schema}") || one_schema(earlier) == one_schema(later));
    if earlier.stream.value == *template && tells_apart {
        return;
    }
    let written = |draft: &Draft| -> Vec<StreamGlob> {
        draft.streams.iter().chain(&draft.message_stream).cloned().collect()
    };
    let (left, right) = (written(earlier), written(later));
    if left.iter().any(|left| right.iter().any(|right| left.overlaps(right))) {
        let span = later.format.as_ref().map_or(&later.span, |format| &format.span);
        top.context.error(
            "CONFIG_FORMAT_TWICE",
            span,
            format!(
                "route {} can write the same streams, and gives them another `format`",
                earlier_at + 1
            ),
            Some("give both routes the same format, or streams that differ".to_owned()),
        );
    }
}

/// The one schema of a route's tables.
fn one_schema(draft: &Draft) -> Option<String> {
    let first = draft.tables.first()?.value.one_schema()?;
    let same = |glob: &At<Glob>| glob.value.one_schema().as_ref() == Some(&first);
    draft.tables.iter().all(same).then_some(first)
}

/// Whether every table of a route is taken by an earlier one.
fn judge_reach(top: &Section<'_, '_>, earlier: &[Draft], draft: &Draft) {
    let taken_by = |table: &Glob| {
        earlier.iter().position(|earlier| {
            let taken = &earlier.route.operations;
            !earlier.route.continues
                && earlier.route.exclude.is_empty()
                && draft.route.operations.iter().all(|operation| taken.contains(operation))
                && earlier.tables.iter().any(|glob| glob.value.covers(table))
        })
    };
    let takers: Vec<Option<usize>> = draft.tables.iter().map(|t| taken_by(&t.value)).collect();
    let all = !takers.is_empty() && takers.iter().all(Option::is_some) && !draft.route.messages;
    for (table, taker) in draft.tables.iter().zip(takers) {
        let Some(taker) = taker else { continue };
        let number = taker + 1;
        let help = format!("put this route before route {number}, or set `continue = true` there");
        if all {
            let message = format!("no table reaches this route: route {number} takes them first");
            top.context.error("CONFIG_ROUTE_UNREACHABLE", &draft.span, message, Some(help));
            return;
        }
        let message = format!("route {number} takes the tables of this pattern first");
        top.context.warning("CONFIG_PATTERN_UNREACHABLE", &table.span, message, Some(help));
    }
}
