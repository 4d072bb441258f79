//! What becomes of a change, from whether its row is seen downstream before and after it.

use offtake_sdk::Operation;

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    Pass,
    Drop,
    /// Dropped, though the row may have been seen before.
    DropBlindly,
    Become(Operation),
}

/// Decides from whether the row is seen before and after; `None`: not known.
pub(crate) fn decide(operation: Operation, before: Option<bool>, after: Option<bool>) -> Decision {
    match (operation, before, after) {
        (Operation::Create | Operation::Read | Operation::Message, _, Some(false)) => {
            Decision::Drop
        }
        (Operation::Delete, Some(false), _) => Decision::Drop,
        (Operation::Update, Some(true), Some(false)) => Decision::Become(Operation::Delete),
        (Operation::Update, Some(false), Some(false)) => Decision::Drop,
        (Operation::Update, None, Some(false)) => Decision::DropBlindly,
        (Operation::Update, Some(false), Some(true)) => Decision::Become(Operation::Create),
        _ => Decision::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_across_the_line_becomes_a_delete_or_a_create() {
        use Operation::Update;
        assert_eq!(decide(Update, Some(true), Some(false)), Decision::Become(Operation::Delete));
        assert_eq!(decide(Update, Some(false), Some(true)), Decision::Become(Operation::Create));
        assert_eq!(decide(Update, Some(false), Some(false)), Decision::Drop);
        assert_eq!(decide(Update, Some(true), Some(true)), Decision::Pass);
        assert_eq!(decide(Update, None, Some(false)), Decision::DropBlindly);
        assert_eq!(decide(Update, None, Some(true)), Decision::Pass);
    }

    #[test]
    fn what_is_not_known_passes() {
        for before in [None, Some(true), Some(false)] {
            assert_eq!(decide(Operation::Create, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Read, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Message, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Update, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Truncate, before, Some(false)), Decision::Pass);
            assert_eq!(decide(Operation::Delete, None, before), Decision::Pass);
        }
        assert_eq!(decide(Operation::Delete, Some(false), None), Decision::Drop);
        assert_eq!(decide(Operation::Create, None, Some(false)), Decision::Drop);
        assert_eq!(decide(Operation::Message, None, Some(false)), Decision::Drop);
    }
}
