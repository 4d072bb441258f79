//! What `messages = true` means for a route, alone and beside others.
//!
//! Logical messages have no table and are no operation on a row, so what a route says of those is
//! refused where it takes nothing else, and a stream's name is either theirs or tables'.

use super::{Draft, Route};
use crate::reader::{At, Section};
use crate::stream_glob::StreamGlob;

/// Refuses what says something of tables, in a route that takes logical messages alone.
pub(super) fn refuse_keys_of_tables(section: &Section<'_, '_>) {
    for name in ["exclude", "operations"] {
        if section.get(name).is_some() {
            section.context.error(
                "CONFIG_ROUTE_MESSAGES",
                &section.span_of_key(name),
                format!("`{name}` is about tables, and this route takes logical messages alone"),
                Some("remove it, or name `tables` too".to_owned()),
            );
        }
    }
}

/// Refuses a stream's name that logical messages cannot have.
pub(super) fn check_stream(section: &Section<'_, '_>, stream: &At<String>, is_for_tables: bool) {
    let named = ["{schema}", "{table}"].into_iter().find(|it| stream.value.contains(it));
    let (message, help) = match (is_for_tables, named) {
        (true, _) => (
            "tables and logical messages cannot share a `stream`".to_owned(),
            "leave it out, and messages go to `{name}.message`; or give them a [[route]] of their \
             own",
        ),
        (false, Some(placeholder)) => (
            format!("logical messages have no table, so `{placeholder}` stands for nothing"),
            "for example `stream = \"{name}.messages\"`",
        ),
        (false, None) => return,
    };
    let help = Some(help.to_owned());
    section.context.error("CONFIG_ROUTE_MESSAGES", &stream.span, message, help);
}

/// The stream of a route's logical messages; `None`: it takes none, or its stream was refused.
pub(super) fn stream(route: &Route, pipeline: &str) -> Option<StreamGlob> {
    let name = route.messages.then(|| route.message_stream().replace("{name}", pipeline))?;
    StreamGlob::parse(&name).ok()
}

/// What can be said of a route that takes logical messages, and of streams that are another
/// route's messages'.
pub(super) fn judge(top: &Section<'_, '_>, earlier: &[Draft], draft: &Draft, has_messages: bool) {
    if draft.route.messages && !has_messages {
        top.context.warning(
            "CONFIG_ROUTE_EMPTY",
            &draft.messages_span,
            "no logical message is captured",
            Some("remove `messages = false` in [source], or this".to_owned()),
        );
    }
    let taker = earlier.iter().position(|it| it.route.messages && !it.route.continues);
    let taker = taker.filter(|_| draft.route.messages);
    for (number, before) in (1..).zip(earlier) {
        judge_shared(top, number, before, draft, taker.is_none());
    }
    let Some(taker) = taker else { return };
    let number = taker + 1;
    let message = format!("no logical message reaches this route: route {number} takes them first");
    let help =
        Some(format!("put this route before route {number}, or set `continue = true` there"));
    if draft.route.tables.is_empty() {
        top.context.error("CONFIG_ROUTE_UNREACHABLE", &draft.span, message, help);
    } else {
        top.context.warning("CONFIG_PATTERN_UNREACHABLE", &draft.messages_span, message, help);
    }
}

/// Whether messages of one of two routes are in a stream of the other. `is_reached`: messages get to
/// the later one.
fn judge_shared(
    top: &Section<'_, '_>,
    number: usize,
    before: &Draft,
    draft: &Draft,
    is_reached: bool,
) {
    let help = || Some("give this route a `stream` of its own".to_owned());
    let is_twice = is_reached
        && before.route.continues
        && before.message_stream.is_some()
        && before.message_stream == draft.message_stream;
    if is_twice {
        top.context.error(
            "CONFIG_STREAM_TWICE",
            &draft.stream.span,
            format!("route {number} continues, and both put logical messages into the same stream"),
            help(),
        );
    }
    let of_tables = |messages: &Draft, tables: &Draft| {
        let stream = messages.message_stream.as_ref();
        stream.is_some_and(|stream| tables.streams.contains(stream))
    };
    if of_tables(before, draft) || of_tables(draft, before) {
        top.context.error(
            "CONFIG_STREAM_COLLISION",
            &draft.stream.span,
            format!("a table and logical messages share the stream with route {number}"),
            help(),
        );
    }
}
