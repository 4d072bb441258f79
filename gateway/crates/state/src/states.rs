//! The states of all plugins, put together from deltas.

use std::collections::BTreeMap;

use offtake_proto::v1;

use crate::entries::Entries;

/// Entries in one delta of a checkpoint, at most, by their weight in bytes.
const DELTA_BYTES: u64 = 1 << 20;

/// The states of all plugins, by their names in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    by_plugin: BTreeMap<String, Entries>,
}

impl States {
    /// Takes in a delta. All behind what is in have to be given, each once and in their order.
    pub fn apply(&mut self, delta: &v1::StateDelta) {
        self.by_plugin.entry(delta.plugin.clone()).or_default().apply(delta);
        if delta.cleared && delta.put.is_empty() {
            self.by_plugin.remove(&delta.plugin);
        }
    }

    /// Takes a plugin's state out.
    pub fn take(&mut self, plugin: &str) -> Entries {
        self.by_plugin.remove(plugin).unwrap_or_default()
    }

    /// Names of the plugins that have a state.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        self.by_plugin.keys().map(String::as_str)
    }

    /// Everything as deltas of a bounded size, which give the same states again.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = v1::StateDelta> {
        self.by_plugin.iter().flat_map(|(plugin, entries)| {
            let mut all = entries.iter().peekable();
            let mut begun = false;
            std::iter::from_fn(move || {
                if begun && all.peek().is_none() {
                    return None;
                }
                begun = true;
                let (plugin, time) = (plugin.clone(), entries.time());
                let mut delta = v1::StateDelta { plugin, time, ..v1::StateDelta::default() };
                let mut bytes = 0;
                while bytes < DELTA_BYTES
                    && let Some((key, entry)) = all.next()
                {
                    bytes += crate::entries::weight(key, &entry.value);
                    delta.put.push(v1::StateEntry {
                        key: key.to_vec().into(),
                        value: entry.value.to_vec().into(),
                        expires: entry.expires,
                    });
                }
                Some(delta)
            })
        })
    }
}
