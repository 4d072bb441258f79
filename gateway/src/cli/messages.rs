//! What `offtake check` says about logical messages: their way where a route takes them, a stream that
//! they share with a table, and contents that nothing covers though plugins protect.

use offtake_config::Config;
use offtake_sink_kafka::ProbeStream;
use offtake_source_postgres::Finding;
use offtake_transform::Plugin;

use crate::pipeline::{Router, UnprotectedMessages, message_definition};

const ITEM: &str = "messages";

/// Judges their ways. `tables`: the streams of tables; `plugins`: in the configuration's order, `None`
/// for one that cannot be loaded.
pub fn judge(
    config: &Config,
    router: &Router,
    tables: &[ProbeStream],
    plugins: &[Option<Plugin>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = |index: &usize| config.plugins.get(*index).map_or("?", |plugin| &plugin.name);
    for target in router.targets(&message_definition("")) {
        if let Some(shared) = tables.iter().find(|it| it.stream == target.stream) {
            findings.push(Finding::error(
                ITEM,
                "ROUTE_STREAM_SHARED",
                format!("logical messages share the stream {} with a table", shared.stream),
                "give the [[route]] that takes messages a `stream` of its own",
            ));
        } else if router.takes_messages() {
            let plugins: Vec<&str> = target.plugins.iter().map(name).collect();
            let way = if plugins.is_empty() { "no plugin".to_owned() } else { plugins.join(", ") };
            findings.push(Finding::ok(ITEM, format!("{way} -> stream {}", target.stream)));
        }
    }
    let known: Vec<Option<&Plugin>> = plugins.iter().map(Option::as_ref).collect();
    if let Some(found) = UnprotectedMessages::find(config, router, &known) {
        let UnprotectedMessages { cause, next_step } = found;
        findings.push(Finding::warning(ITEM, UnprotectedMessages::CODE, cause, next_step));
    }
    findings
}
