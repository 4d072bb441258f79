//! PostgreSQL's clock: microseconds since 2000-01-01 00:00 UTC. It is converted here, once, so that
//! nothing behind this crate knows a second epoch.

/// Microseconds from the Unix epoch to PostgreSQL's.
const POSTGRES_EPOCH_UNIX_US: i64 = 946_684_800_000_000;

/// Microseconds since the Unix epoch of a time on the wire. Saturates at the ends, which no server
/// clock reaches.
pub fn postgres_to_unix_us(postgres_us: i64) -> i64 {
    postgres_us.saturating_add(POSTGRES_EPOCH_UNIX_US)
}

/// The time on the wire of microseconds since the Unix epoch. Saturates as
/// [`postgres_to_unix_us`].
pub fn unix_to_postgres_us(unix_us: i64) -> i64 {
    unix_us.saturating_sub(POSTGRES_EPOCH_UNIX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_postgres_epoch_is_the_first_of_january_2000() {
        assert_eq!(postgres_to_unix_us(0), 946_684_800_000_000);
        assert_eq!(unix_to_postgres_us(946_684_800_000_000), 0);
        assert_eq!(unix_to_postgres_us(postgres_to_unix_us(-17)), -17);
    }

    #[test]
    fn hostile_times_saturate() {
        assert_eq!(postgres_to_unix_us(i64::MAX), i64::MAX);
        assert_eq!(unix_to_postgres_us(i64::MIN), i64::MIN);
    }
}
