//! "Did you mean": the nearest known name, and names that other products use for the same thing.

/// What the keys of Debezium and Kafka Connect are called here, as `[section] key`.
const ELSEWHERE: &[(&str, &str)] = &[
    ("bootstrap.servers", "brokers"),
    ("bootstrap_servers", "brokers"),
    ("binary_handling_mode", "binary"),
    ("cleanup.policy", "config"),
    ("cleanup_policy", "config"),
    ("database.dbname", "url"),
    ("database.hostname", "url"),
    ("database_url", "url"),
    ("decimal_handling_mode", "decimal"),
    ("dsn", "url"),
    ("exclude_tables", "exclude"),
    ("field_name_adjustment_mode", "field_names"),
    ("heartbeat_interval_ms", "heartbeat_interval"),
    ("host", "url"),
    ("hostname", "url"),
    ("hstore_handling_mode", "hstore"),
    ("include", "tables"),
    ("interval_handling_mode", "interval"),
    ("memory_limit", "memory"),
    ("message_key_columns", "key"),
    ("path", "wasm"),
    ("provide_transaction_metadata", "transactions"),
    ("publication_name", "publication"),
    ("replication_factor", "replication"),
    ("schema_name_adjustment_mode", "schema_names"),
    ("schemas_enable", "schemas"),
    ("slot_name", "slot"),
    ("snapshot_mode", "snapshot"),
    ("table_exclude_list", "exclude"),
    ("table_include_list", "tables"),
    ("time_precision_mode", "time_precision"),
    ("timeout", "deadline"),
    ("tombstones_on_delete", "tombstones"),
    ("topic", "stream"),
    ("topic_prefix", "name"),
    ("unavailable_value_placeholder", "unavailable_value"),
    ("user", "url"),
];

/// The nearest of the names, when one is near enough to be meant.
pub fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = given.to_lowercase().replace('-', "_");
    let limit = (lower.chars().count() / 3).clamp(1, 3);
    names
        .map(|name| (distance(&lower, &name.to_lowercase(), limit), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, name)| (*distance, name.len()))
        .map(|(_, name)| name)
}

/// What a name of another product is called here.
pub(crate) fn elsewhere(given: &str) -> Option<&'static str> {
    let lower = given.to_lowercase().replace('-', "_");
    ELSEWHERE.iter().find(|(name, _)| *name == lower).map(|(_, here)| *here)
}

/// Edits between two words, a swap of neighbours counting as one. Above `limit` only "more".
fn distance(left: &str, right: &str, limit: usize) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let mut best = (above[column] + usize::from(a != b))
                .min(above[column + 1] + 1)
                .min(line[column] + 1);
            let swapped =
                row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b && a != b;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed_and_far_ones_are_not() {
        let names = ["tables", "exclude", "url", "publication"];
        let nearest = |given| nearest(given, names.into_iter());
        assert_eq!(nearest("table"), Some("tables"));
        assert_eq!(nearest("tabels"), Some("tables"));
        assert_eq!(nearest("Publicaton"), Some("publication"));
        assert_eq!(nearest("ulr"), Some("url"));
        assert_eq!(nearest("compression"), None);
        assert_eq!(elsewhere("table-include-list"), Some("tables"));
    }
}
