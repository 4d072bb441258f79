//! Control records and the state that they amount to.
//!
//! The state is what a segment's checkpoint repeats, so that the newest segment alone tells where
//! to go on. Which kinds are critical is decided here, once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use offtake_proto::v1;
use prost::Message;

use crate::dead_letter::is_dead_letter_schema;
use crate::format::{CRITICAL, Record, Wrong, put_record};

/// A control record.
#[allow(clippy::large_enum_variant, reason = "a few a group, never kept in numbers")]
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// A schema under its log-wide id, before the first change that refers to it.
    Schema(v1::Schema),
    /// A stream under its log-wide id, before the first change that refers to it.
    Stream(v1::Stream),
    /// A source transaction is whole in the log.
    TransactionEnd(v1::TransactionEnd),
    /// How far the source has been taken in.
    SourcePosition(v1::SourcePosition),
    /// State of one table's snapshot.
    SnapshotProgress(v1::SnapshotProgress),
    /// A plugin began to work on a route.
    PluginActivation(v1::PluginActivation),
    /// A keyed state write of a stateful plugin.
    StateDelta(v1::StateDelta),
    /// A change that a plugin could not take.
    DeadLetter(v1::DeadLetter),
    /// A definition changed in the source.
    Definition(v1::Definition),
}

const SCHEMA: u16 = 1;
const STREAM: u16 = 2;
const TRANSACTION_END: u16 = 3;
const SOURCE_POSITION: u16 = 4;
const SNAPSHOT_PROGRESS: u16 = 5;
const PLUGIN_ACTIVATION: u16 = 6;
const STATE_DELTA: u16 = 7;
const DEAD_LETTER: u16 = 8;
const DEFINITION: u16 = 9;

/// A record that could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Damaged(Wrong),
    UnknownCritical(u16),
}

impl Control {
    /// Appends the framed record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Control::Schema(payload) => put(out, SCHEMA, CRITICAL, payload),
            Control::Stream(payload) => put(out, STREAM, CRITICAL, payload),
            Control::TransactionEnd(payload) => put(out, TRANSACTION_END, 0, payload),
            Control::SourcePosition(payload) => put(out, SOURCE_POSITION, CRITICAL, payload),
            Control::SnapshotProgress(payload) => put(out, SNAPSHOT_PROGRESS, CRITICAL, payload),
            Control::PluginActivation(payload) => put(out, PLUGIN_ACTIVATION, CRITICAL, payload),
            Control::StateDelta(payload) => put(out, STATE_DELTA, CRITICAL, payload),
            Control::DeadLetter(payload) => put(out, DEAD_LETTER, 0, payload),
            Control::Definition(payload) => put(out, DEFINITION, 0, payload),
        }
    }

    /// Reads a record; `None` for a kind of a later version that may be skipped.
    pub(crate) fn decode(record: Record<'_>) -> Result<Option<Control>, Refused> {
        let control = match record.kind {
            SCHEMA => Control::Schema(payload(record)?),
            STREAM => Control::Stream(payload(record)?),
            TRANSACTION_END => Control::TransactionEnd(payload(record)?),
            SOURCE_POSITION => Control::SourcePosition(payload(record)?),
            SNAPSHOT_PROGRESS => Control::SnapshotProgress(payload(record)?),
            PLUGIN_ACTIVATION => Control::PluginActivation(payload(record)?),
            STATE_DELTA => Control::StateDelta(payload(record)?),
            DEAD_LETTER => Control::DeadLetter(payload(record)?),
            DEFINITION => Control::Definition(payload(record)?),
            kind if record.flags & CRITICAL != 0 => return Err(Refused::UnknownCritical(kind)),
            _ => return Ok(None),
        };
        Ok(Some(control))
    }

    /// Whether the record belongs to the state that a checkpoint repeats.
    pub(crate) fn is_state(&self) -> bool {
        matches!(
            self,
            Control::Schema(_)
                | Control::Stream(_)
                | Control::SourcePosition(_)
                | Control::SnapshotProgress(_)
                | Control::PluginActivation(_)
        )
    }

    /// Whether a reader needs the record before the changes of its group.
    pub(crate) fn comes_before_changes(&self) -> bool {
        matches!(self, Control::Schema(_) | Control::Stream(_) | Control::PluginActivation(_))
    }
}

fn put(out: &mut Vec<u8>, kind: u16, flags: u16, payload: &impl Message) {
    put_record(out, kind, flags, |out| {
        payload.encode(out).expect("a vector grows as needed");
    });
}

fn payload<M: Message + Default>(record: Record<'_>) -> Result<M, Refused> {
    M::decode(record.payload)
        .map_err(|_| Refused::Damaged(Wrong("a control record's payload cannot be read")))
}

/// What the control records so far amount to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlState {
    pub(crate) schemas: BTreeMap<u32, Arc<v1::Schema>>,
    pub(crate) streams: BTreeMap<u32, v1::Stream>,
    pub(crate) position: Option<Arc<v1::SourcePosition>>,
    snapshots: BTreeMap<(String, String), v1::SnapshotProgress>,
    plugins: BTreeMap<String, v1::PluginActivation>,
}

impl ControlState {
    /// Takes a record in. Records that are no state change nothing.
    pub(crate) fn apply(&mut self, control: Control) {
        match control {
            Control::Schema(schema) => {
                self.schemas.insert(schema.id, Arc::new(schema));
            }
            Control::Stream(stream) => {
                self.streams.insert(stream.id, stream);
            }
            Control::SourcePosition(position) => self.position = Some(Arc::new(position)),
            Control::SnapshotProgress(progress) => {
                let table = (progress.namespace.clone(), progress.table.clone());
                self.snapshots.insert(table, progress);
            }
            Control::PluginActivation(plugin) => {
                self.plugins.insert(plugin.name.clone(), plugin);
            }
            Control::TransactionEnd(_)
            | Control::StateDelta(_)
            | Control::DeadLetter(_)
            | Control::Definition(_) => {}
        }
    }

    /// Appends the records of the whole state and gives their number.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let mut count = 0;
        let mut add = |control: Control| {
            control.encode(out);
            count += 1;
        };
        self.schemas.values().for_each(|schema| add(Control::Schema(v1::Schema::clone(schema))));
        self.streams.values().for_each(|stream| add(Control::Stream(stream.clone())));
        self.plugins.values().for_each(|plugin| add(Control::PluginActivation(plugin.clone())));
        self.snapshots.values().for_each(|table| add(Control::SnapshotProgress(table.clone())));
        if let Some(position) = &self.position {
            add(Control::SourcePosition(v1::SourcePosition::clone(position)));
        }
        count
    }

    /// Snapshot progress of every table.
    pub(crate) fn snapshots(&self) -> Vec<v1::SnapshotProgress> {
        self.snapshots.values().cloned().collect()
    }

    /// The last activation of every plugin.
    pub(crate) fn plugins(&self) -> Vec<v1::PluginActivation> {
        self.plugins.values().cloned().collect()
    }

    /// Forgets schemas that no held change refers to and that are not the last of their table. The
    /// highest id stays, so that no id is ever given twice. A dead letter holds a change, whose schema
    /// no directory tells: while there is one nothing is forgotten.
    pub(crate) fn forget_schemas(&mut self, in_use: &HashSet<u32>) {
        let of_letters = |(id, schema): (&u32, &Arc<v1::Schema>)| {
            in_use.contains(id) && is_dead_letter_schema(schema)
        };
        if self.schemas.iter().any(of_letters) {
            return;
        }
        let mut last_of_table = BTreeMap::new();
        for (id, schema) in &self.schemas {
            let table = (schema.database.clone(), schema.namespace.clone(), schema.table.clone());
            last_of_table.insert((table, schema.changed_by.clone()), *id);
        }
        let kept: HashSet<u32> = last_of_table.into_values().collect();
        let highest = self.schemas.last_key_value().map(|(id, _)| *id);
        self.schemas
            .retain(|id, _| in_use.contains(id) || kept.contains(id) || Some(*id) == highest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter_schema;

    fn table(id: u32, name: &str, version: u32) -> (u32, Arc<v1::Schema>) {
        let schema = v1::Schema { id, table: name.into(), version, ..Default::default() };
        (id, Arc::new(schema))
    }

    #[test]
    fn a_definition_that_only_a_dead_letter_needs_is_kept_as_long_as_there_is_one() {
        let letters = Arc::new(dead_letter_schema().to_proto(2));
        let all = || ControlState {
            schemas: [table(1, "people", 1), (2, Arc::clone(&letters)), table(3, "people", 2)]
                .into_iter()
                .collect(),
            ..ControlState::default()
        };
        let ids = |in_use: &[u32]| {
            let mut state = all();
            state.forget_schemas(&in_use.iter().copied().collect());
            state.schemas.keys().copied().collect::<Vec<_>>()
        };
        assert_eq!(ids(&[2, 3]), [1, 2, 3]);
        assert_eq!(ids(&[3]), [2, 3], "the last of each table stays");
    }
}
