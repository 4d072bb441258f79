//! Which routes take a table, and under which stream names.
//!
//! Decided once a table definition, never a change: the worker keeps the answer beside the schema.
//! The first matching route wins; one with `continue = true` lets later routes see the table too.

use offtake_change::{Subject, TableSchema};
use offtake_source_postgres::Selection;

/// One route as the worker uses it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Tables that it takes.
    pub tables: Selection,
    /// Indices into the pipeline's plugins, in the order of the chain.
    pub plugins: Vec<usize>,
    /// Stream name with `{name}`, `{schema}` and `{table}`.
    pub stream: String,
    /// Whether later routes see the table too.
    pub continues: bool,
}

/// Where a table's changes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The stream's name.
    pub stream: String,
    /// Indices into the pipeline's plugins.
    pub plugins: Vec<usize>,
}

/// All routes of a pipeline, in the order of the file.
#[derive(Clone, Debug)]
pub struct Router {
    name: String,
    routes: Vec<Route>,
}

impl Router {
    /// A router for the pipeline of that name.
    pub fn new(name: &str, routes: Vec<Route>) -> Router {
        Router { name: name.to_owned(), routes }
    }

    /// Name of the pipeline.
    pub fn pipeline(&self) -> &str {
        &self.name
    }

    /// Whether a stream is one that only the gateway itself writes.
    pub fn is_own_stream(&self, stream: &str) -> bool {
        stream == self.message_stream() || stream == offtake_log::dead_letter_stream(&self.name)
    }

    fn message_stream(&self) -> String {
        format!("{}.message", self.name)
    }

    /// Where changes of the schema go; empty: no route takes it. Logical messages have no table
    /// and go to `{name}.message`, as Debezium names their topic.
    pub fn targets(&self, schema: &TableSchema) -> Vec<Target> {
        if schema.subject == Subject::Message {
            return vec![Target { stream: self.message_stream(), plugins: Vec::new() }];
        }
        let mut targets = Vec::new();
        for route in &self.routes {
            if route.tables.matches(&schema.namespace, &schema.table) {
                targets.push(Target {
                    stream: self.stream_name(&route.stream, schema),
                    plugins: route.plugins.clone(),
                });
                if !route.continues {
                    break;
                }
            }
        }
        targets
    }

    /// Whether the plugin works on the table.
    pub fn uses_plugin(&self, schema: &TableSchema, plugin: usize) -> bool {
        self.targets(schema).iter().any(|target| target.plugins.contains(&plugin))
    }

    fn stream_name(&self, template: &str, schema: &TableSchema) -> String {
        template
            .replace("{name}", &self.name)
            .replace("{schema}", &schema.namespace)
            .replace("{table}", &schema.table)
    }
}
