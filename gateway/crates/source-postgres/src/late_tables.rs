//! Tables that match the globs and came after the run chose its own: who made them is told, for
//! nothing of them is captured before a restart.
//!
//! The catalogue is looked at now and then on the connection that watches the slot, and at once when
//! the stream tells of such a table. Each is told of once, with what is to be done before the
//! restart where the gateway may not do it. Nothing is captured, published or altered here.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::SourceError;
use crate::catalog::{Table, table_of_oid};
use crate::glob::{Selection, literal_glob};
use crate::publication::{add_statement, read_publication};
use crate::run::{SnapshotMode, SourceOptions};
use crate::session::Session;
use crate::start_checks::check_readable;
use crate::status::SourceStatus;

/// Longest time between two looks; an idle interval below it counts.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Shortest time between two looks, however often the stream asks for one.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Most tables told of at one look; the others follow at the next ones.
const MOST_AT_ONCE: usize = 100;

/// What is shared between the stream, which asks, and the watch, which looks.
#[derive(Debug, Default)]
pub(crate) struct LateTables {
    known: Mutex<Known>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// OIDs of the run's tables; `None`: they are not chosen yet.
    captured: Option<HashSet<u32>>,
    told: HashSet<u32>,
    last_look: Option<Instant>,
    is_asked: bool,
}

/// A table that is there now and was not when the run began.
#[derive(Debug)]
struct Late {
    oid: u32,
    namespace: String,
    name: String,
    owned: bool,
}

impl LateTables {
    fn known(&self) -> MutexGuard<'_, Known> {
        // A holder only assigns, so a poisoned lock still holds whole values.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has chosen its tables.
    pub(crate) fn chosen(&self, oids: impl Iterator<Item = u32>) {
        self.known().captured = Some(oids.collect());
        self.asked.notify_one();
    }

    /// The stream tells of a table that may be one.
    pub(crate) fn ask(&self) {
        self.known().is_asked = true;
        self.asked.notify_one();
    }

    /// Waits until the stream asks for a look.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether it is time to look, which is then taken as done.
    fn is_due(&self, interval: Duration) -> bool {
        let mut known = self.known();
        let since = known.last_look.map_or(Duration::MAX, |last| last.elapsed());
        let is_due = since >= interval || known.is_asked && since >= SHORTEST_INTERVAL;
        if known.captured.is_none() || !is_due {
            return false;
        }
        known.last_look = Some(Instant::now());
        known.is_asked = false;
        true
    }

    /// Looks at the catalogue, when it is time, and tells of what is new in it.
    pub(crate) async fn look(
        &self,
        session: &mut Session,
        server_version: u32,
        options: &SourceOptions,
        status: &SourceStatus,
    ) -> Result<(), SourceError> {
        if !self.is_due(options.idle_interval.min(LONGEST_INTERVAL)) {
            return Ok(());
        }
        let selection = Selection::new(&options.tables, &options.exclude)?;
        let there = self.late(session, &selection).await?;
        status.set_late_tables(
            there.iter().take(MOST_AT_ONCE).map(|it| format!("{}.{}", it.namespace, it.name)),
        );
        let new = self.first_seen(there);
        if new.is_empty() {
            return Ok(());
        }
        let publication = read_publication(session, server_version, &options.publication).await?;
        for late in new {
            // Dropped again meanwhile.
            let Some(table) = table_of_oid(session, late.oid).await? else { continue };
            let standing = Standing {
                is_published: publication
                    .as_ref()
                    .is_some_and(|found| found.table(&table.namespace, &table.name).is_some()),
                may_add: options.create_publication
                    && late.owned
                    && publication.as_ref().is_none_or(|found| found.owned),
                right: missing_right(session, options, &table).await?,
            };
            tell(&table, &standing.advice(&table, &options.publication));
        }
        Ok(())
    }

    async fn late(
        &self,
        session: &mut Session,
        selection: &Selection,
    ) -> Result<Vec<Late>, SourceError> {
        let sql = "SELECT c.oid, n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition \
             ORDER BY n.nspname, c.relname";
        let rows = session.query("look for new tables", sql).await?;
        let known = self.known();
        let is_late = |oid: u32| known.captured.as_ref().is_some_and(|own| !own.contains(&oid));
        Ok(rows
            .iter()
            .filter(|row| selection.matches(row.text(1), row.text(2)))
            .map(|row| Late {
                oid: row.number(0).unwrap_or(0),
                namespace: row.text(1).to_owned(),
                name: row.text(2).to_owned(),
                owned: row.is_true(3),
            })
            .filter(|late| is_late(late.oid))
            .collect())
    }

    /// Those that were not told of, which they are from now on.
    fn first_seen(&self, there: Vec<Late>) -> Vec<Late> {
        let mut known = self.known();
        let oids: HashSet<u32> = there.iter().map(|late| late.oid).collect();
        known.told.retain(|oid| oids.contains(oid));
        let new = there.into_iter().filter(|late| !known.told.contains(&late.oid));
        let new: Vec<Late> = new.take(MOST_AT_ONCE).collect();
        known.told.extend(new.iter().map(|late| late.oid));
        new
    }
}

/// How the gateway stands towards a late table.
#[derive(Debug, Default)]
struct Standing {
    is_published: bool,
    /// Whether the next start may publish it by itself.
    may_add: bool,
    /// The statement that lets the gateway read it; `None`: it may, or need not.
    right: Option<String>,
}

/// What is to be done about a late table before the next start.
#[derive(Debug, PartialEq, Eq)]
enum Advice {
    Restart,
    /// Statements.
    Run(String),
    /// The table itself comes first: published as it is, the application's UPDATE and DELETE fail.
    Mend {
        reason: String,
        exclude: String,
        run: String,
    },
}

impl Standing {
    fn advice(&self, table: &Table, publication: &str) -> Advice {
        let one = [(table.namespace.as_str(), table.name.as_str())];
        let is_to_be_added = !self.is_published && !self.may_add;
        let add = is_to_be_added.then(|| add_statement(publication, one));
        let statements: Vec<&str> =
            [&self.right, &add].into_iter().filter_map(Option::as_deref).collect();
        let run = statements.join(" ");
        match table.identity_problem().filter(|_| !self.is_published) {
            Some(reason) => {
                Advice::Mend { reason, exclude: literal_glob(&table.namespace, &table.name), run }
            }
            None if run.is_empty() => Advice::Restart,
            None => Advice::Run(run),
        }
    }
}

/// The statement that is missing for the table's copy.
async fn missing_right(
    session: &mut Session,
    options: &SourceOptions,
    table: &Table,
) -> Result<Option<String>, SourceError> {
    if options.snapshot == SnapshotMode::Never {
        return Ok(None);
    }
    let one = std::slice::from_ref(table);
    match check_readable(session, &options.connect.user, one).await {
        Ok(()) => Ok(None),
        Err(SourceError::Unreadable { statement, .. }) => Ok(Some(statement)),
        Err(error) => Err(error),
    }
}

fn tell(table: &Table, advice: &Advice) {
    let table = table.qualified_name();
    match advice {
        Advice::Restart => {
            tracing::warn!(table, "a new table matches: it is not captured before a restart");
        }
        Advice::Run(run) => tracing::warn!(
            table,
            run,
            "a new table matches: it is not captured before the statements are run and the \
             gateway is restarted, and a restart without them halts"
        ),
        Advice::Mend { reason, exclude, run } => tracing::warn!(
            table,
            reason,
            exclude,
            run_after = run,
            "a new table matches that must not be published as it is: give it a primary key or \
             REPLICA IDENTITY FULL first, or exclude it; a restart before that halts"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table;

    #[test]
    fn a_table_is_published_only_when_its_updates_would_go_on() {
        let mut later = table(7, "later");
        let add = "ALTER PUBLICATION \"p\" ADD TABLE \"public\".\"later\";";
        let grant = "GRANT SELECT ON \"public\".\"later\" TO \"offtake\";";
        let refused = || Standing { right: Some(grant.to_owned()), ..Standing::default() };
        let published = |right| Standing { is_published: true, right, ..Standing::default() };
        let may_add = Standing { may_add: true, ..Standing::default() };
        let run = |texts: &[&str]| Advice::Run(texts.join(" "));
        assert_eq!(Standing::default().advice(&later, "p"), run(&[add]));
        assert_eq!(refused().advice(&later, "p"), run(&[grant, add]));
        assert_eq!(published(Some(grant.to_owned())).advice(&later, "p"), run(&[grant]));
        assert_eq!(published(None).advice(&later, "p"), Advice::Restart);
        assert_eq!(may_add.advice(&later, "p"), Advice::Restart);

        later.key.clear();
        for (identity, reason) in [('d', "no primary key"), ('n', "NOTHING"), ('i', "dropped")] {
            later.replica_identity = identity;
            for (standing, after) in
                [(&refused(), format!("{grant} {add}")), (&may_add, String::new())]
            {
                let Advice::Mend { reason: found, exclude, run } = standing.advice(&later, "p")
                else {
                    panic!("{identity}: it is to be published as it is")
                };
                assert!(found.contains(reason), "{found}");
                assert_eq!((exclude.as_str(), run), ("public.later", after));
            }
        }
        later.replica_identity = 'f';
        assert_eq!(Standing::default().advice(&later, "p"), run(&[add]));
    }

    fn late(oid: u32) -> Late {
        Late { oid, namespace: "public".to_owned(), name: format!("t{oid}"), owned: true }
    }

    #[test]
    fn a_table_is_told_of_once_and_a_flood_over_several_looks() {
        let tables = LateTables::default();
        let oids = |new: Vec<Late>| new.iter().map(|late| late.oid).collect::<Vec<u32>>();
        assert_eq!(oids(tables.first_seen(vec![late(1), late(2)])), [1, 2]);
        assert_eq!(oids(tables.first_seen(vec![late(1), late(2), late(3)])), [3]);
        assert_eq!(oids(tables.first_seen(vec![])), [0; 0]);
        assert_eq!(tables.first_seen((10..160).map(late).collect()).len(), MOST_AT_ONCE);
        assert_eq!(tables.first_seen((10..160).map(late).collect()).len(), 50);
    }

    #[test]
    fn the_catalogue_is_looked_at_once_an_interval_and_when_the_stream_asks() {
        let tables = LateTables::default();
        assert!(!tables.is_due(Duration::ZERO), "nothing is chosen yet");
        tables.chosen([1].into_iter());
        let long = Duration::from_secs(3_600);
        assert!(tables.is_due(long), "the first");
        tables.ask();
        assert!(!tables.is_due(long), "too soon");
        tables.known().last_look = Instant::now().checked_sub(SHORTEST_INTERVAL);
        assert!(tables.is_due(long), "asked for");
        tables.known().last_look = Instant::now().checked_sub(SHORTEST_INTERVAL);
        assert!(!tables.is_due(long), "not asked for again");
    }
}
