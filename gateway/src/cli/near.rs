//! "Did you mean": the name that is nearest to one that does not exist.
//!
//! What stands in the configuration has its own in that crate; this is for names that only the
//! running parts know: columns of tables.

/// The nearest of the names, when it is near enough to be meant.
pub fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let given: Vec<char> = given.to_lowercase().chars().collect();
    let limit = (given.len() / 3).clamp(1, 3);
    names
        .map(|name| (distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, removals, replacements and swaps of neighbours between two words.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut lines: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replaced = lines[row][column] + usize::from(a != b);
            let mut best = replaced.min(lines[row][column + 1] + 1).min(line[column] + 1);
            let is_swap = row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b;
            if is_swap {
                best = best.min(lines[row - 1][column - 1] + 1);
            }
            line.push(best);
        }
        lines.push(line);
    }
    lines.last().and_then(|line| line.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        let nearest = |given| nearest(given, ["mask", "filter"].into_iter());
        assert_eq!(nearest("msk"), Some("mask"));
        assert_eq!(nearest("Mask"), Some("mask"));
        assert_eq!(nearest("fitler"), Some("filter"));
        assert_eq!(nearest("filters"), Some("filter"));
        assert_eq!(nearest("encrypt"), None);
        assert_eq!(nearest(""), None);
    }
}
