//! Logical messages where plugins are told of tables, and where nothing covers what is in them.
//!
//! Messages have one definition, known before the first of them comes. So what a plugin on their way
//! needs is judged with the tables, at the start. A plugin that protects covers columns by name:
//! contents are covered where it promises the column `content` and a route hands it messages; wherever
//! else they leave as they were written, a person who has something to hide is told so.

use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_config::{Config, Source};
use offtake_transform::Plugin;

use super::router::Router;

/// The column of a message's content.
const CONTENT: &str = "content";

/// The definition of the logical messages of a database.
pub fn message_definition(database: &str) -> Arc<TableSchema> {
    Arc::new(offtake_source_postgres::message_schema(database))
}

/// The tables, and the definition of logical messages where a route takes these.
pub fn with_messages(
    router: &Router,
    tables: &[Arc<TableSchema>],
    database: &str,
) -> Vec<Arc<TableSchema>> {
    let messages = router.takes_messages().then(|| message_definition(database));
    tables.iter().cloned().chain(messages).collect()
}

/// Contents of logical messages that leave as they were written, while a plugin protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnprotectedMessages {
    /// What is so.
    pub cause: String,
    /// What to do about it.
    pub next_step: &'static str,
}

impl UnprotectedMessages {
    /// Its code.
    pub const CODE: &str = "MESSAGES_UNPROTECTED";

    /// Whether it is so; `plugins`: in the configuration's order, `None` for one that is not known.
    pub fn find(
        config: &Config,
        router: &Router,
        plugins: &[Option<&Plugin>],
    ) -> Option<UnprotectedMessages> {
        let Source::Postgres(source) = &config.source;
        let protects = plugins.iter().flatten().find(|plugin| plugin.info().protects)?;
        let covers = |index: &usize| {
            let info = plugins.get(*index).copied().flatten().map(Plugin::info);
            info.is_some_and(|it| it.protects && it.required_columns.iter().any(|it| it == CONTENT))
        };
        let targets = router.targets(&message_definition("")).into_iter();
        let open = targets.filter(|target| !target.plugins.iter().any(covers));
        let streams: Vec<String> = open.map(|target| target.stream).collect();
        if !source.messages || streams.is_empty() {
            return None;
        }
        Some(UnprotectedMessages {
            cause: format!(
                "plugin {:?} protects columns of tables, and the contents of logical messages \
                 (pg_logical_emit_message) are published as they are, in {}",
                protects.name(),
                streams.join(" and ")
            ),
            next_step: "set `messages = false` under [source] where nobody needs them; or send them \
                        through a [[route]] with `messages = true` and a plugin that covers the \
                        column `content`; where nothing secret is written into them, this may stay",
        })
    }
}

/// Says it in the log at the start.
pub fn warn_of_unprotected_messages<'p>(
    config: &Config,
    router: &Router,
    plugins: impl Iterator<Item = &'p Plugin>,
) {
    let plugins: Vec<Option<&Plugin>> = plugins.map(Some).collect();
    if let Some(found) = UnprotectedMessages::find(config, router, &plugins) {
        tracing::warn!(
            code = UnprotectedMessages::CODE,
            next_step = found.next_step,
            "{}",
            found.cause
        );
    }
}
