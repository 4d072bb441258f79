//! What plugins make of the definitions of tables, before the first change and for `offtake check`: the
//! same chain over the same definitions as the running pipeline has, without a row.
//!
//! Where a plugin cannot be loaded or refuses a table, what leaves the chain is not known; the
//! plugin has a finding of its own.

use std::sync::Arc;

use offtake_change::TableSchema;
use offtake_transform::{Instance, Plugin};

/// The plugins of a configuration, in its order, each with an instance as far as one is needed.
pub struct Outputs<'p> {
    plugins: &'p [Option<Plugin>],
    instances: Vec<Option<Instance>>,
}

impl<'p> Outputs<'p> {
    /// `plugins`: in the configuration's order; `None` for one that cannot be loaded.
    pub fn new(plugins: &'p [Option<Plugin>]) -> Outputs<'p> {
        Outputs { plugins, instances: plugins.iter().map(|_| None).collect() }
    }

    /// The definition as the last of these plugins puts it out; `None`: it is not known.
    pub fn after(
        &mut self,
        plugins: &[usize],
        table: &Arc<TableSchema>,
    ) -> Option<Arc<TableSchema>> {
        let input = Arc::clone(table);
        plugins.iter().try_fold(input, |input, &plugin| self.after_one(plugin, &input))
    }

    fn after_one(&mut self, plugin: usize, input: &Arc<TableSchema>) -> Option<Arc<TableSchema>> {
        let held = self.instances.get_mut(plugin)?;
        let mut instance = match held.take() {
            Some(instance) => instance,
            None => self.plugins.get(plugin)?.as_ref()?.instance().ok()?,
        };
        // After a fault the instance is spent.
        let output = instance.output_schema(input).ok()?;
        *held = Some(instance);
        Some(output)
    }
}

/// Says which columns of a key that plugins chose are not in every delete: its key then lacks them,
/// as Debezium's does under `message.key.columns`.
pub fn warn_of_key(source: &TableSchema, output: &TableSchema, origins: &[Option<u32>]) {
    let origin = |ordinal: u32| origins.get(ordinal as usize).copied().flatten();
    let of_source: Vec<Option<u32>> = output.key.iter().map(|&key| origin(key)).collect();
    if of_source.iter().copied().eq(source.key.iter().copied().map(Some)) {
        return;
    }
    // What a plugin adds it may set in a before image too.
    let lacks = |&ordinal: &u32| origin(ordinal).is_some_and(|of| !source.is_in_identity(of));
    for ordinal in output.key.iter().copied().filter(lacks) {
        let column = output.columns.get(ordinal as usize).map(|column| column.name.as_str());
        tracing::warn!(
            code = "PLUGIN_KEY_IDENTITY",
            table = source.qualified_name(),
            column,
            plugins = ?output.changed_by,
            "a column of the key that a plugin chose is not in the replica identity: a delete's \
             key has NULL or zero for it"
        );
    }
}
