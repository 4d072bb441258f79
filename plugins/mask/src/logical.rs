//! Reading a logical type's name: `decimal(12,2)` is the type `decimal` with the numbers 12 and 2.

/// A logical type in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logical<'a> {
    /// The name without numbers; `list` for every list.
    pub(crate) base: &'a str,
    /// The numbers in brackets: a length, a precision, a precision and a scale.
    pub(crate) first: Option<i32>,
    pub(crate) second: Option<i32>,
}

impl<'a> Logical<'a> {
    /// Takes a name apart. What is no number counts as none.
    pub(crate) fn of(name: &'a str) -> Logical<'a> {
        if name.starts_with("list<") {
            return Logical { base: "list", first: None, second: None };
        }
        let (base, rest) = name.split_once('(').unwrap_or((name, ""));
        let mut numbers = rest.trim_end_matches(')').split(',').map(|number| number.parse().ok());
        let first = numbers.next().flatten();
        Logical { base, first, second: numbers.next().flatten() }
    }

    /// Digits after the point of a decimal that has a fixed number of them.
    pub(crate) fn scale(&self) -> Option<usize> {
        usize::try_from(self.second?.max(0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let parts = |name| {
            let Logical { base, first, second } = Logical::of(name);
            (base, first, second)
        };
        assert_eq!(parts("decimal(12,2)"), ("decimal", Some(12), Some(2)));
        assert_eq!(parts("decimal(5,-3)"), ("decimal", Some(5), Some(-3)));
        assert_eq!(parts("varchar(80)"), ("varchar", Some(80), None));
        assert_eq!(parts("uuid"), ("uuid", None, None));
        assert_eq!(parts("list<decimal(12,2)>"), ("list", None, None));
    }
}
