//! Which routes take a table, and under which stream names.
//!
//! Decided once a table definition, never a change: the worker keeps the answer beside the schema.
//! The first matching route wins an operation; one with `continue = true` lets later routes see it
//! too. Logical messages have a definition of their own and go the same way, by the routes that take
//! them; those that none takes go to a stream of the gateway's own.

use offtake_change::{Operation, Subject, TableSchema};
use offtake_config::{Config, MESSAGE_STREAM, PostgresSource, RouteOperation, Source};
use offtake_source_postgres::Selection;

use super::halt::Halt;

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
    /// The stream name of logical messages, with `{name}`; `None`: it takes none.
    pub messages: Option<String>,
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
        [MESSAGE_STREAM.replace("{name}", pipeline), offtake_log::dead_letter_stream(pipeline)]
    }

    fn message_stream(&self) -> String {
        let [messages, _] = Self::own_streams(&self.name);
        messages
    }

    /// Where changes of the schema go; empty: no route takes it.
    pub fn targets(&self, schema: &TableSchema) -> Vec<Target> {
        match schema.subject {
            Subject::Message => self.message_targets(),
            Subject::Table => self.table_targets(schema),
        }
    }

    /// Whether a route takes logical messages.
    pub fn takes_messages(&self) -> bool {
        self.routes.iter().any(|route| route.messages.is_some())
    }

    /// Where logical messages go. Those that no route takes leave without plugins.
    fn message_targets(&self) -> Vec<Target> {
        let target = |stream: String, plugins: &[usize]| Target {
            stream,
            plugins: plugins.to_vec(),
            operations: Operations::ALL,
        };
        let mut targets = Vec::new();
        for route in &self.routes {
            let Some(template) = &route.messages else { continue };
            targets.push(target(template.replace("{name}", &self.name), &route.plugins));
            if !route.continues {
                break;
            }
        }
        if targets.is_empty() {
            targets.push(target(self.message_stream(), &[]));
        }
        targets
    }

    fn table_targets(&self, schema: &TableSchema) -> Vec<Target> {
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

/// The routes, with their globs compiled.
///
/// # Errors
/// A glob that cannot be read (the configuration was checked, so this is a defect).
pub fn router(config: &Config) -> Result<Router, Halt> {
    let Source::Postgres(PostgresSource { messages: has_messages, .. }) = &config.source;
    let mut routes = Vec::with_capacity(config.routes.len());
    for route in &config.routes {
        routes.push(Route {
            tables: Selection::new(&route.tables, &route.exclude).map_err(|error| {
                Halt::new("ROUTE_TABLES", error.to_string(), "correct the route's tables")
            })?,
            messages: (route.messages && *has_messages).then(|| route.message_stream().to_owned()),
            plugins: route.plugins.clone(),
            stream: route.stream.clone(),
            operations: Operations::of(&route.operations),
            continues: route.continues,
        });
    }
    Ok(Router::new(&config.name, routes))
}

#[cfg(test)]
mod tests {
    use offtake_config::RouteOperation::{Create, Delete, Read, Truncate, Update};

    use super::*;

    fn route(stream: &str, operations: &[RouteOperation], continues: bool) -> Route {
        Route {
            tables: Selection::new(&["public.*"], &[""; 0]).unwrap(),
            messages: None,
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

    #[test]
    fn logical_messages_go_by_the_routes_that_take_them_and_else_to_a_stream_of_their_own() {
        let messages = TableSchema { subject: Subject::Message, ..orders() };
        let ways = |routes: Vec<Route>| -> Vec<(String, Vec<usize>)> {
            let router = Router::new("shop", routes);
            let targets = router.targets(&messages).into_iter();
            let ways = targets.map(|target| {
                assert!(target.operations.contains(Operation::Message));
                (target.stream, target.plugins)
            });
            ways.collect()
        };
        let takes = |stream: &str, plugin, continues| Route {
            messages: Some(stream.to_owned()),
            plugins: vec![plugin],
            // What a route takes of rows says nothing of messages.
            ..route("{name}.{table}", &[Create], continues)
        };
        let passes = |plugin| Route {
            plugins: vec![plugin],
            ..route("{name}.{table}", &RouteOperation::ALL, false)
        };
        assert_eq!(ways(vec![passes(0)]), [("shop.message".to_owned(), vec![])]);
        assert_eq!(ways(vec![]), [("shop.message".to_owned(), vec![])]);
        let first = || takes("{name}.audit", 1, true);
        assert_eq!(ways(vec![passes(0), first()]), [("shop.audit".to_owned(), vec![1])]);
        let both = [("shop.audit".to_owned(), vec![1]), ("shop.message".to_owned(), vec![2])];
        let second = || takes("{name}.message", 2, false);
        assert_eq!(ways(vec![first(), passes(0), second(), takes("never", 3, false)]), both);
        let tables = Router::new("shop", vec![second()]).targets(&orders());
        assert_eq!(tables[0].stream, "shop.orders", "a table's name is its route's");
        assert!(!Router::new("shop", vec![passes(0)]).takes_messages());
    }
}
