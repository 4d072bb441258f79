//! Tables that the configuration names without a wildcard and that the database has not.
//!
//! A glob with a wildcard may well match nothing yet; a name is meant. What is there and is only
//! not captured (a partition, a foreign or an unlogged table) has its own line already.

use super::Finding;
use crate::SourceError;
use crate::catalog::Table;
use crate::glob::{Selection, TableGlob, literal_glob};
use crate::session::Session;

/// A name in `tables` that no table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AbsentTable {
    /// As the configuration writes it.
    pub(crate) pattern: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What is named and not there, and what could have been meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absent {
    pub(crate) tables: Vec<AbsentTable>,
    /// Schema and name of the tables that could be captured and that no name in `tables` and no
    /// glob in `exclude` is about; empty when nothing is absent.
    pub(crate) candidates: Vec<(String, String)>,
}

/// Finds the absent tables. `captured`: those that the selection has in the catalogue.
pub(crate) async fn read_absent(
    session: &mut Session,
    patterns: &[String],
    selection: &Selection,
    captured: &[Table],
) -> Result<Absent, SourceError> {
    let has = |table: &AbsentTable, namespace: &str, name: &str| {
        table.namespace == namespace && table.name == name
    };
    let mut tables: Vec<AbsentTable> = patterns
        .iter()
        .filter_map(|pattern| literal_name(pattern))
        .filter(|table| !selection.excludes(&table.namespace, &table.name))
        .filter(|table| !captured.iter().any(|it| has(table, &it.namespace, &it.name)))
        .collect();
    // Nothing captured at all is an error that names the patterns.
    if tables.is_empty() || captured.is_empty() {
        return Ok(Absent::default());
    }
    let sql = "SELECT n.nspname, c.relname, c.relkind <> 'f' AND c.relpersistence = 'p' \
               AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%' \
               AND n.nspname <> 'information_schema' \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'f') ORDER BY 1, 2";
    let rows = session.query("list the names of all tables", sql).await?;
    tables.retain(|table| !rows.iter().any(|row| has(table, row.text(0), row.text(1))));
    if tables.is_empty() {
        return Ok(Absent::default());
    }
    let candidates = rows
        .iter()
        .filter(|row| row.is_true(2))
        .map(|row| (row.text(0).to_owned(), row.text(1).to_owned()))
        .filter(|(namespace, name)| {
            !selection.names(namespace, name) && !selection.excludes(namespace, name)
        })
        .collect();
    Ok(Absent { tables, candidates })
}

/// The one table that a glob without a wildcard is about.
fn literal_name(pattern: &str) -> Option<AbsentTable> {
    let (namespace, name) = TableGlob::parse(pattern).ok()?.one_table()?;
    Some(AbsentTable { pattern: pattern.to_owned(), namespace, name })
}

/// One warning for each. `nearest` gives the nearest of the names when one is near enough.
pub(crate) fn judge(
    absent: &Absent,
    nearest: impl Fn(&str, &[&str]) -> Option<String>,
) -> Vec<Finding> {
    let step = "`tables` under [source]";
    let warning = |table: &AbsentTable| {
        let next = match meant(table, &absent.candidates, &nearest) {
            Some(meant) => {
                format!("did you mean {meant}? correct it in {step}, or create the table")
            }
            None => format!("create the table, or remove the name from {step}"),
        };
        let text = format!("{} in `tables` is no table of the database", table.pattern);
        Finding::warning("tables", "PG_TABLE_ABSENT", text, next)
    };
    absent.tables.iter().map(warning).collect()
}

/// What was probably meant, as the configuration would write it: the same name in another schema,
/// or a near name in the same one.
fn meant(
    table: &AbsentTable,
    candidates: &[(String, String)],
    nearest: &impl Fn(&str, &[&str]) -> Option<String>,
) -> Option<String> {
    if let Some((namespace, name)) = candidates.iter().find(|(_, name)| *name == table.name) {
        return Some(literal_glob(namespace, name));
    }
    let beside = candidates.iter().filter(|(namespace, _)| *namespace == table.namespace);
    let names: Vec<&str> = beside.map(|(_, name)| name.as_str()).collect();
    nearest(&table.name, &names).map(|name| literal_glob(&table.namespace, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_without_a_wildcard_is_about_one_table() {
        let name = |pattern: &str| literal_name(pattern).map(|it| (it.namespace, it.name));
        let is = |namespace: &str, name: &str| Some((namespace.to_owned(), name.to_owned()));
        assert_eq!(name("orders"), is("public", "orders"));
        assert_eq!(name("sales.orders"), is("sales", "orders"));
        assert_eq!(name("sales.\"a.*\""), is("sales", "a.*"));
        assert_eq!(name("sales.\"a\"\"b\""), is("sales", "a\"b"));
        for wildcard in ["*", "sales.*", "s?les.orders", "a.b.c", "\"open"] {
            assert_eq!(name(wildcard), None, "{wildcard}");
        }
    }

    #[test]
    fn the_same_name_elsewhere_or_a_near_one_beside_it_is_proposed() {
        let candidates = [("sales", "orders"), ("public", "People"), ("public", "things")];
        let candidates = candidates.map(|(schema, name)| (schema.to_owned(), name.to_owned()));
        let first = |_: &str, names: &[&str]| names.first().map(|name| (*name).to_owned());
        let near = |pattern: &str| meant(&literal_name(pattern).unwrap(), &candidates, &first);
        assert_eq!(near("slaes.orders").as_deref(), Some("sales.orders"));
        assert_eq!(near("public.people").as_deref(), Some("public.People"));
        assert_eq!(near("far.people"), None);
    }
}
