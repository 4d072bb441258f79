//! Which tables are captured: the catalogue's at the run's beginning, told apart by OID, and what
//! the log knows of them by name.
//!
//! The stream tells of tables as they were when a change was written, the catalogue as they are
//! now, and the log as they were at an earlier run. A table may have been dropped, made anew or
//! renamed in between, and none of that may leave a gap that nobody is told of, or carry rows past
//! a plugin that knows the table by its old name. Nothing is read or written here.

use std::collections::HashMap;

use offtake_change::Lsn;
use offtake_proto::v1::{SnapshotProgress, SnapshotState};

use crate::SourceError;
use crate::catalog::Table;
use crate::glob::Selection;
use crate::progress::{SnapshotStates, position};

/// The captured tables of a run.
pub(crate) struct Captured {
    selection: Selection,
    /// By OID, as they were when the run began.
    tables: HashMap<u32, Table>,
}

impl Captured {
    /// Of no table yet.
    pub(crate) fn new(selection: Selection) -> Captured {
        Captured { selection, tables: HashMap::new() }
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Takes the tables that the selection has in the catalogue.
    pub(crate) fn choose(&mut self, tables: Vec<Table>) {
        self.tables = tables.into_iter().map(|table| (table.oid, table)).collect();
    }

    /// Takes no table of that OID any more: it was dropped. What the stream still has of it goes on
    /// under its name.
    pub(crate) fn forget(&mut self, oid: u32) {
        self.tables.remove(&oid);
    }

    /// The captured table of that OID, as it was when the run began.
    pub(crate) fn table(&self, oid: u32) -> Option<&Table> {
        self.tables.get(&oid)
    }

    /// Whether a table that the stream tells of is left out only because it came after the run
    /// began.
    pub(crate) fn is_late(&self, relation: u32, namespace: &str, name: &str) -> bool {
        !self.tables.contains_key(&relation) && self.selection.matches(namespace, name)
    }

    /// The tables by schema and name.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.tables.values().cloned().collect();
        tables.sort_by(|left, right| {
            (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name))
        });
        tables
    }

    /// Whether the rows of a relation are taken, which the stream describes under that name.
    pub(crate) fn takes(
        &self,
        states: &SnapshotStates,
        relation: u32,
        namespace: &str,
        name: &str,
    ) -> Result<bool, SourceError> {
        let known = states.get(namespace, name);
        let selected = self.selection.matches(namespace, name);
        let Some(table) = self.tables.get(&relation) else {
            // Dropped, or made anew under the same name, before the run began or during it: what
            // the log has of the name goes on. A name that the log does not know is copied whole
            // when a run finds the table.
            let takes = selected && known.is_some();
            if takes {
                let table = format!("{namespace}.{name}");
                tracing::warn!(table, relation, "a table that was dropped or made anew has rows");
            }
            return Ok(takes);
        };
        if table.namespace == namespace && table.name == name {
            return Ok(true);
        }
        if states.is_settled(table) {
            return Err(SourceError::Renamed {
                was: (table.namespace.clone(), table.name.clone()),
                now: (namespace.to_owned(), name.to_owned()),
            });
        }
        // An earlier name, for the table is still to be copied, under the name that it has now, at
        // a later place than this. What the log has under the earlier name goes on.
        Ok(selected && known.is_some_and(|known| known.relation_id == relation))
    }

    /// What the log is to be told of tables at a run's beginning, before any of them is announced:
    /// those that are not captured any more, and the OID of those of which it has none.
    pub(crate) fn amendments(&self, states: &SnapshotStates, start: Lsn) -> Vec<SnapshotProgress> {
        let by_name: HashMap<(&str, &str), &Table> = self
            .tables
            .values()
            .map(|table| ((table.namespace.as_str(), table.name.as_str()), table))
            .collect();
        let mut amendments = Vec::new();
        for known in states.iter() {
            match by_name.get(&(known.namespace.as_str(), known.table.as_str())) {
                None if known.state() != SnapshotState::Removed => {
                    amendments.push(SnapshotProgress {
                        state: SnapshotState::Removed.into(),
                        rows: 0,
                        // Whatever was announced of the table, no slot is.
                        consistent_point: Some(position(start)),
                        ..known.clone()
                    });
                }
                Some(table) if known.relation_id == 0 && states.is_settled(table) => {
                    amendments.push(SnapshotProgress { relation_id: table.oid, ..known.clone() });
                }
                _ => {}
            }
        }
        amendments.sort_by(|left, right| {
            (&left.namespace, &left.table).cmp(&(&right.namespace, &right.table))
        });
        amendments
    }
}

/// Whether every table that the log knows has the name under which it knows it. `names` are those
/// that tables have now, by OID.
///
/// A renamed table is passed over only where the configuration shows that somebody decided about
/// it: it is excluded under its new name, or taken by both names (the old one excluded, the new one
/// named without a wildcard), or neither name is selected. All else halts, whether the globs take
/// the new name or not: a start that drops the table would be a gap that nobody was told of.
pub(crate) fn check_names(
    states: &SnapshotStates,
    selection: &Selection,
    names: &HashMap<u32, (String, String)>,
) -> Result<(), SourceError> {
    let undecided = |known: &&SnapshotProgress| {
        let Some((namespace, name)) = names.get(&known.relation_id) else { return false };
        let (old_namespace, old_name) = (&known.namespace, &known.table);
        if known.state() == SnapshotState::Removed
            || (namespace, name) == (old_namespace, old_name)
            || selection.excludes(namespace, name)
        {
            return false;
        }
        let taken_over =
            selection.excludes(old_namespace, old_name) && selection.names(namespace, name);
        let any = selection.matches(old_namespace, old_name) || selection.matches(namespace, name);
        any && !taken_over
    };
    let first = states
        .iter()
        .filter(undecided)
        .min_by_key(|known| (known.namespace.as_str(), known.table.as_str()));
    match first.and_then(|known| Some((known, names.get(&known.relation_id)?))) {
        None => Ok(()),
        Some((known, now)) => Err(SourceError::Renamed {
            was: (known.namespace.clone(), known.table.clone()),
            now: now.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table;

    fn known(oid: u32, name: &str, state: SnapshotState) -> SnapshotProgress {
        SnapshotProgress {
            namespace: "public".to_owned(),
            table: name.to_owned(),
            state: state.into(),
            relation_id: oid,
            ..SnapshotProgress::default()
        }
    }

    fn captured(tables: &[Table], states: &SnapshotStates) -> Captured {
        let selection = Selection::new(&["public.*".to_owned()], &["public.out*".to_owned()]);
        let mut captured = Captured::new(selection.unwrap());
        check_names(states, &captured.selection, &names(tables)).unwrap();
        captured.choose(tables.to_vec());
        captured
    }

    fn names(tables: &[Table]) -> HashMap<u32, (String, String)> {
        let names = tables.iter();
        names.map(|table| (table.oid, (table.namespace.clone(), table.name.clone()))).collect()
    }

    fn takes(captured: &Captured, states: &SnapshotStates, oid: u32, name: &str) -> &'static str {
        match captured.takes(states, oid, "public", name) {
            Ok(true) => "taken",
            Ok(false) => "left",
            Err(error) => error.code(),
        }
    }

    #[test]
    fn rows_of_a_dropped_table_are_taken_where_the_log_knows_it() {
        let states = SnapshotStates::new(&[
            known(1, "kept", SnapshotState::Done),
            known(2, "dropped", SnapshotState::Done),
            known(3, "out_of_it", SnapshotState::Removed),
        ]);
        let captured = captured(&[table(1, "kept")], &states);
        assert_eq!(takes(&captured, &states, 1, "kept"), "taken");
        assert_eq!(takes(&captured, &states, 2, "dropped"), "taken");
        assert_eq!(takes(&captured, &states, 3, "out_of_it"), "left");
        assert_eq!(takes(&captured, &states, 4, "young"), "left", "copied when a run finds it");
        assert_eq!(takes(&captured, &states, 5, "kept"), "taken", "made anew");
    }

    #[test]
    fn a_name_that_changes_halts_unless_the_table_is_still_to_be_copied() {
        let states = SnapshotStates::new(&[
            known(1, "settled", SnapshotState::Done),
            known(2, "earlier", SnapshotState::Removed),
            known(2, "pending", SnapshotState::Pending),
        ]);
        let captured = captured(&[table(1, "settled"), table(2, "pending")], &states);
        assert_eq!(takes(&captured, &states, 1, "other"), "PG_TABLE_RENAMED");
        assert_eq!(takes(&captured, &states, 1, "out_of_it"), "PG_TABLE_RENAMED");
        assert_eq!(takes(&captured, &states, 2, "earlier"), "taken");
        assert_eq!(takes(&captured, &states, 2, "older_still"), "left");
    }

    #[test]
    fn a_known_table_may_not_have_another_name_unless_somebody_decided_so() {
        let states = SnapshotStates::new(&[known(1, "a", SnapshotState::Done)]);
        let judge = |include: &[&str], exclude: &[&str], tables: &[Table]| {
            let selection = Selection::new(include, exclude).unwrap();
            check_names(&states, &selection, &names(tables))
                .map_or_else(|error| error.code(), |()| "")
        };
        let all = &["public.*"][..];
        assert_eq!(judge(all, &[], &[table(1, "a")]), "");
        assert_eq!(judge(all, &[], &[table(1, "b")]), "PG_TABLE_RENAMED");
        assert_eq!(judge(all, &[], &[table(1, "b"), table(2, "a")]), "PG_TABLE_RENAMED", "swapped");
        assert_eq!(judge(all, &[], &[table(2, "a")]), "", "dropped and made anew");
        // Out of the globs' reach, or renamed together with them.
        assert_eq!(judge(&["a"], &[], &[table(1, "b")]), "PG_TABLE_RENAMED");
        assert_eq!(judge(&["b"], &[], &[table(1, "b")]), "PG_TABLE_RENAMED");
        assert_eq!(judge(all, &["a"], &[table(1, "b")]), "PG_TABLE_RENAMED", "by a wildcard");
        // Decided.
        assert_eq!(judge(all, &["b"], &[table(1, "b")]), "");
        assert_eq!(judge(&["b"], &["a"], &[table(1, "b")]), "");
        assert_eq!(judge(&["public.*", "b"], &["a"], &[table(1, "b")]), "");
        assert_eq!(judge(&["c"], &[], &[table(1, "b")]), "");
        let states = SnapshotStates::new(&[known(1, "a", SnapshotState::Removed)]);
        let selection = Selection::new(all, &[] as &[&str]).unwrap();
        assert!(check_names(&states, &selection, &names(&[table(1, "b")])).is_ok());
    }

    #[test]
    fn a_table_that_was_dropped_before_its_copy_is_forgotten_and_its_changes_go_on() {
        let mut states = SnapshotStates::new(&[known(1, "a", SnapshotState::Pending)]);
        let mut captured = captured(&[table(1, "a")], &states);
        captured.forget(1);
        states.set(known(1, "a", SnapshotState::Removed));
        assert!(captured.tables().is_empty());
        assert_eq!(takes(&captured, &states, 1, "a"), "taken");
        assert_eq!(takes(&captured, &states, 2, "a"), "taken", "made anew");
        assert!(captured.is_late(3, "public", "young") && !captured.is_late(3, "public", "out"));
    }

    #[test]
    fn the_log_is_told_what_is_not_captured_any_more() {
        let states = SnapshotStates::new(&[
            known(1, "a", SnapshotState::Done),
            known(2, "gone", SnapshotState::Done),
            known(3, "long_gone", SnapshotState::Removed),
            known(0, "without", SnapshotState::Done),
        ]);
        let captured = captured(&[table(1, "a"), table(4, "without")], &states);
        let told: Vec<(String, SnapshotState, u32)> = captured
            .amendments(&states, Lsn(7))
            .into_iter()
            .map(|told| (told.table.clone(), told.state(), told.relation_id))
            .collect();
        assert_eq!(
            told,
            [
                ("gone".to_owned(), SnapshotState::Removed, 2),
                ("without".to_owned(), SnapshotState::Done, 4)
            ]
        );
    }
}
