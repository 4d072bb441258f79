//! The order in which Java's `HashMap` gives its entries, for texts that Java libraries write from
//! one: consumers and registries compare those byte for byte.
//!
//! Buckets are taken in order, and within one the order of insertion stays. Left out: that a bucket
//! of more than eight entries makes a small table grow early, which names of columns do not do.
//! Source: `java.util.HashMap` (unchanged in this since Java 8), `java.lang.String.hashCode`.

/// Capacity of a map that was made without one.
pub(crate) const DEFAULT_CAPACITY: usize = 16;

/// The indices of texts in the order of a map that had them inserted one by one. `capacity` is what
/// the map was made for; Java rounds it up to a power of two.
pub(crate) fn order<'k>(keys: impl Iterator<Item = &'k str>, capacity: usize) -> Vec<usize> {
    let hashes: Vec<u32> = keys.map(spread_hash).collect();
    let mask = mask(hashes.len(), capacity);
    let mut indices: Vec<usize> = (0..hashes.len()).collect();
    indices.sort_by_key(|&index| hashes[index] & mask);
    indices
}

/// What of a hash chooses the bucket in a map of so many entries that was made for `capacity`.
pub(crate) fn mask(entries: usize, capacity: usize) -> u32 {
    let mut buckets = capacity.next_power_of_two();
    // It doubles as soon as more than three quarters of it are taken.
    while entries > buckets * 3 / 4 {
        buckets *= 2;
    }
    u32::try_from(buckets - 1).unwrap_or(u32::MAX)
}

/// A text's hash as the map uses it.
pub(crate) fn spread_hash(text: &str) -> u32 {
    let hash = text
        .encode_utf16()
        .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    spread(hash)
}

/// What the map makes of a hash: the upper half is folded into the lower.
pub(crate) fn spread(hash: u32) -> u32 {
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered<'k>(keys: &[&'k str], capacity: usize) -> Vec<&'k str> {
        order(keys.iter().copied(), capacity).into_iter().map(|index| keys[index]).collect()
    }

    // The expected orders are what Java prints.
    #[test]
    fn entries_come_in_the_order_of_their_buckets() {
        assert_eq!(ordered(&["before", "after", "m", "op"], 16), ["op", "before", "after", "m"]);
        assert_eq!(ordered(&["id", "f", "d", "v", "e"], 16), ["d", "e", "f", "v", "id"]);
        assert_eq!(ordered(&["key4", "key5"], 16), ["key5", "key4"]);
        // One bucket: as they were inserted.
        assert_eq!(ordered(&["BB", "Aa"], 16), ["BB", "Aa"]);
        assert_eq!(ordered(&["Aa", "BB"], 16), ["Aa", "BB"]);
    }

    #[test]
    fn a_small_map_has_fewer_buckets() {
        assert_eq!(
            ordered(&["scale", "connect.decimal.precision"], 2),
            ["scale", "connect.decimal.precision"]
        );
        assert_eq!(ordered(&[], 0), Vec::<&str>::new());
    }
}
