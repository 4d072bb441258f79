//! The four ways an evaluation ends, and how they combine.
//!
//! SQL has three: true, false and NULL. A change may also lack a value, and then a condition on it
//! is not known. *Not known* stands for one of SQL's three without saying which, so a combination is
//! known only where all three would give the same.

/// How a condition ends for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// SQL's NULL: a value that it asks for is NULL.
    Null,
    /// The change does not have a value that would decide it.
    Unknown,
}

impl Truth {
    /// All four.
    pub const ALL: [Truth; 4] = [Truth::True, Truth::False, Truth::Null, Truth::Unknown];

    /// SQL's `and`: false decides, then not known, then NULL.
    #[must_use]
    pub fn and(self, other: Truth) -> Truth {
        use Truth::{False, Null, True, Unknown};
        match (self, other) {
            (False, _) | (_, False) => False,
            (Unknown, _) | (_, Unknown) => Unknown,
            (Null, _) | (_, Null) => Null,
            (True, True) => True,
        }
    }

    /// SQL's `or`: true decides, then not known, then NULL.
    #[must_use]
    pub fn or(self, other: Truth) -> Truth {
        (self.negated()).and(other.negated()).negated()
    }

    /// SQL's `not`.
    #[must_use]
    pub fn negated(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            other => other,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, False, Null, True, Unknown};

    /// SQL's three values.
    type Sql = Option<bool>;

    /// What a value may stand for.
    fn worlds(truth: Truth) -> Vec<Sql> {
        match truth {
            True => vec![Some(true)],
            False => vec![Some(false)],
            Null => vec![None],
            Unknown => vec![Some(true), Some(false), None],
        }
    }

    fn of(worlds: &[Sql]) -> Truth {
        match worlds {
            [first, rest @ ..] if rest.iter().all(|world| world == first) => match first {
                Some(value) => Truth::from(*value),
                None => Null,
            },
            _ => Unknown,
        }
    }

    fn sql_and(a: Sql, b: Sql) -> Sql {
        match (a, b) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    fn sql_or(a: Sql, b: Sql) -> Sql {
        match (a, b) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    #[test]
    fn a_combination_is_known_exactly_where_every_possibility_gives_the_same() {
        for a in Truth::ALL {
            let not: Vec<Sql> = worlds(a).iter().map(|world| world.map(|value| !value)).collect();
            assert_eq!(a.negated(), of(&not), "not {a:?}");
            for b in Truth::ALL {
                let pairs = |combine: fn(Sql, Sql) -> Sql| -> Vec<Sql> {
                    let of_a = worlds(a);
                    of_a.iter()
                        .flat_map(|&a| worlds(b).into_iter().map(move |b| combine(a, b)))
                        .collect()
                };
                assert_eq!(a.and(b), of(&pairs(sql_and)), "{a:?} and {b:?}");
                assert_eq!(a.or(b), of(&pairs(sql_or)), "{a:?} or {b:?}");
            }
        }
    }

    #[test]
    fn the_tables_are_those_of_the_documentation() {
        let and = [
            [True, False, Null, Unknown],
            [False, False, False, False],
            [Null, False, Null, Unknown],
            [Unknown, False, Unknown, Unknown],
        ];
        let or = [
            [True, True, True, True],
            [True, False, Null, Unknown],
            [True, Null, Null, Unknown],
            [True, Unknown, Unknown, Unknown],
        ];
        for (row, a) in Truth::ALL.into_iter().enumerate() {
            for (column, b) in Truth::ALL.into_iter().enumerate() {
                assert_eq!(a.and(b), and[row][column], "{a:?} and {b:?}");
                assert_eq!(a.or(b), or[row][column], "{a:?} or {b:?}");
            }
        }
        assert_eq!(Truth::ALL.map(Truth::negated), [False, True, Null, Unknown]);
    }
}
