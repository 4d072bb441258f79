//! Which name was probably meant.

/// Longest name in characters that is compared; the work grows with the product of two lengths.
const MAX_LENGTH: usize = 128;

/// The known name that is nearest to a misspelt one, where one is near: at most a third of its
/// characters inserted, left out or replaced, upper and lower case being alike.
pub(crate) fn nearest<'n>(
    wrong: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let wrong = characters(wrong)?;
    let most = (wrong.len() / 3).max(1);
    known
        .into_iter()
        .filter_map(|name| Some((distance(&wrong, &characters(name)?), name)))
        .filter(|&(distance, name)| distance <= most && distance < name.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

fn characters(name: &str) -> Option<Vec<char>> {
    let characters: Vec<char> =
        name.chars().take(MAX_LENGTH + 1).flat_map(char::to_lowercase).collect();
    (characters.len() <= MAX_LENGTH).then_some(characters)
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    // One row of the table: distances of what of `a` was seen to each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, left) in a.iter().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            *cell = replaced.min(*cell + 1).min(before + 1);
            before = *cell;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_edits() {
        let of = |a: &str, b: &str| distance(&characters(a).unwrap(), &characters(b).unwrap());
        assert_eq!(of("status", "status"), 0);
        assert_eq!(of("stauts", "status"), 2);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("Größe", "größe"), 0);
    }

    #[test]
    fn only_a_near_name_is_offered() {
        let known = ["id", "status", "customer_id", "created_at"];
        assert_eq!(nearest("stauts", known), Some("status"));
        assert_eq!(nearest("Status", known), Some("status"));
        assert_eq!(nearest("customerid", known), Some("customer_id"));
        assert_eq!(nearest("amount", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest(&"x".repeat(60_000), known), None);
    }
}
