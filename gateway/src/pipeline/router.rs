//! Which routes take a table, and under which stream names.
//!
//! Decided once a table definition, never a change: the worker keeps the answer beside the schema.
//! The first matching route wins an operation; one with `continue = true` lets later routes see it
//! too.

use offtake_change::{Operation, Subject, TableSchema};
use offtake_config::RouteOperation;
use offtake_source_postgres::Selection;

/// A set of operations, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Every operation.
    pub const ALL: Operations = Operations(u8::MAX);

    /// What a route takes. Whatever is no row's or table's change (a definition, say) is in every
    /// set that is not empty.
    pub fn of(named: &[RouteOperation]) -> Operations {
        let left_out = RouteOperation::ALL.into_iter().filter(|it| !named.contains(it));
        let bits = left_out.fold(u8::MAX, |bits, it| bits & !Self::bit(operation(it)));
        Operations(if named.is_empty() { 0 } else { bits })
    }

    /// Whether it holds the operation.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & Self::bit(operation) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What a route can name and this set does not hold.
    pub fn missing(self) -> Vec<&'static str> {
        let missing = RouteOperation::ALL.into_iter().filter(|it| !self.contains(operation(*it)));
        missing.map(RouteOperation::word).collect()
    }

    fn bit(operation: Operation) -> u8 {
        1 << (operation as u8)
    }

    fn both(self, other: Operations) -> Operations {
        Operations(self.0 & other.0)
    }

    fn without(self, other: Operations) -> Operations {
        Operations(self.0 & !other.0)
    }

    fn with(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }
}

fn operation(named: RouteOperation) -> Operation {
    match named {
        RouteOperation::Create => Operation::Create,
        RouteOperation::Read => Operation::Read,
        RouteOperation::Update => Operation::Update,
        RouteOperation::Delete => Operation::Delete,
        RouteOperation::Truncate => Operation::Truncate,
    }
}

/// One route as the worker uses it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Tables that it takes.
    pub tables: Selection,
    /// Indices into the pipeline's plugins, in the order of the chain.
    pub plugins: Vec<usize>,
    /// Stream name with `{name}`, `{schema}` and `{table}`.
    pub stream: String,
    /// Operations that it takes.
    pub operations: Operations,
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
    /// The operations that go this way.
    pub operations: Operations,
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
        Self::own_streams(&self.name).iter().any(|own| own == stream)
    }

    /// The streams of a pipeline of that name that only the gateway itself writes.
    pub fn own_streams(pipeline: &str) -> [String; 2] {
        [format!("{pipeline}.message"), offtake_log::dead_letter_stream(pipeline)]
    }

    fn message_stream(&self) -> String {
        let [messages, _] = Self::own_streams(&self.name);
        messages
    }

    /// Where changes of the schema go; empty: no route takes it. Logical messages have no table
    /// and go to `{name}.message`, as Debezium names their topic.
    pub fn targets(&self, schema: &TableSchema) -> Vec<Target> {
        if schema.subject == Subject::Message {
            return vec![Target {
                stream: self.message_stream(),
                plugins: Vec::new(),
                operations: Operations::ALL,
            }];
        }
        let mut targets = Vec::new();
        let mut left = Operations::ALL;
        for route in &self.routes {
            let operations = left.both(route.operations);
            if !operations.is_empty() && route.tables.matches(&schema.namespace, &schema.table) {
                targets.push(Target {
                    stream: self.stream_name(&route.stream, schema),
                    plugins: route.plugins.clone(),
                    operations,
                });
                if !route.continues {
                    left = left.without(route.operations);
                }
            }
        }
        targets
    }

    /// The operations of a table's changes that none of its routes takes.
    pub fn untaken(targets: &[Target]) -> Vec<&'static str> {
        targets.iter().fold(Operations(0), |taken, it| taken.with(it.operations)).missing()
    }

    /// The plugins of each route, in order.
    pub fn chains(&self) -> impl Iterator<Item = &[usize]> {
        self.routes.iter().map(|route| &route.plugins[..])
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

#[cfg(test)]
mod tests {
    use offtake_config::RouteOperation::{Create, Delete, Read, Truncate, Update};

    use super::*;

    fn route(stream: &str, operations: &[RouteOperation], continues: bool) -> Route {
        Route {
            tables: Selection::new(&["public.*"], &[""; 0]).unwrap(),
            plugins: Vec::new(),
            stream: stream.to_owned(),
            operations: Operations::of(operations),
            continues,
        }
    }

    fn orders() -> TableSchema {
        TableSchema::new("shop", "public", "orders", Vec::new(), &[])
    }

    fn ways(routes: Vec<Route>, operation: Operation) -> Vec<String> {
        let targets = Router::new("shop", routes).targets(&orders());
        let takes = targets.into_iter().filter(|target| target.operations.contains(operation));
        takes.map(|target| target.stream).collect()
    }

    #[test]
    fn each_operation_goes_to_the_first_route_that_takes_it() {
        let routes = || {
            vec![
                route("removed", &[Delete, Truncate], false),
                route("written", &[Create, Update], true),
                route("all", &RouteOperation::ALL, false),
                route("never", &RouteOperation::ALL, false),
            ]
        };
        assert_eq!(ways(routes(), Operation::Delete), ["removed"]);
        assert_eq!(ways(routes(), Operation::Truncate), ["removed"]);
        assert_eq!(ways(routes(), Operation::Update), ["written", "all"]);
        assert_eq!(ways(routes(), Operation::Read), ["all"]);
    }

    #[test]
    fn what_no_route_takes_is_known_by_its_words() {
        let schema = orders();
        let router = Router::new(
            "shop",
            vec![route("a", &[Create, Read], false), route("b", &[Update], false)],
        );
        assert_eq!(Router::untaken(&router.targets(&schema)), ["delete", "truncate"]);
        let whole = Router::new("shop", vec![route("a", &RouteOperation::ALL, false)]);
        assert!(Router::untaken(&whole.targets(&schema)).is_empty());
    }
}
