//! What holds of every expression, every change and every text.

use offtake_expression::{
    Code, Expression, MAX_DEPTH, MAX_LENGTH, MAX_PATTERN_LENGTH, Missing, Program,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::generate::{any_change, any_condition, any_tree};
use crate::naive;
use crate::row::{Change, TABLE, compile, run, text};

/// Parses, compiles and runs a text as far as it goes; panics are what is looked for.
fn try_out(source: &str, change: &Change) {
    let error = match Expression::parse(source) {
        Err(error) => error,
        Ok(expression) => {
            let printed = expression.to_string();
            assert_eq!(Expression::parse(&printed).as_ref(), Ok(&expression), "{printed}");
            match Program::compile(&expression, &TABLE, Missing::Refused) {
                Err(error) => error,
                Ok(program) => {
                    run(&program, change);
                    return;
                }
            }
        }
    };
    assert!(error.span().start <= error.span().end && error.span().end <= source.len());
    assert!(!error.report(source).is_empty() && !error.to_string().is_empty());
}

fn any_token() -> impl Strategy<Value = &'static str> {
    select(vec![
        "and",
        "or",
        "not",
        "in",
        "between",
        "like",
        "ilike",
        "is",
        "null",
        "distinct",
        "from",
        "changed",
        "true",
        "(",
        ")",
        ",",
        "=",
        "<>",
        "<",
        ">=",
        "->>",
        "-",
        ".",
        "before.",
        "after.",
        "status",
        "id",
        "total",
        "score",
        "flag",
        "created_at",
        "payload",
        "digest",
        "\"Odd \"\"Name\"\"\"",
        "'a'",
        "'%'",
        "'2024-01-01'",
        "x'00'",
        "1",
        "1.5",
        "1e3",
        "$op",
        "$table",
        "$commit_time",
        "$header('a')",
        "$",
        "lower(",
        "coalesce(",
        "length(",
        "substring(",
        "starts_with(",
        "'",
        "\"",
        "--",
        "\n",
        "é",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_printed_tree_parses_to_the_same_tree(tree in any_tree()) {
        let printed = tree.to_string();
        match Expression::parse(&printed) {
            Ok(expression) => {
                prop_assert_eq!(expression.root(), &tree, "{}", printed);
                prop_assert_eq!(expression.to_string(), printed);
            }
            Err(error) => prop_assert!(false, "{}", error.report(&printed)),
        }
    }

    #[test]
    fn the_evaluator_says_what_the_naive_one_says(
        tree in any_condition(),
        changes in proptest::collection::vec(any_change(), 4),
    ) {
        let printed = tree.to_string();
        let expression = Expression::parse(&printed).unwrap();
        let program = match Program::compile(&expression, &TABLE, Missing::Refused) {
            Ok(program) => program,
            Err(error) => return Err(TestCaseError::fail(error.report(&printed))),
        };
        for change in &changes {
            prop_assert_eq!(run(&program, change), naive::truth(&tree, change), "{}", printed);
        }
    }

    #[test]
    fn no_text_makes_it_panic(source in any::<String>(), change in any_change()) {
        try_out(&source, &change);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        try_out(&String::from_utf8_lossy(&bytes), &Change::new(b'u'));
    }

    #[test]
    fn no_row_of_tokens_makes_it_panic(
        tokens in proptest::collection::vec(any_token(), 0..24),
        change in any_change(),
    ) {
        try_out(&tokens.join(" "), &change);
        try_out(&tokens.concat(), &change);
    }
}

#[test]
fn a_hostile_text_ends_at_a_limit() {
    let code = |source: &str| Expression::parse(source).err().map(|error| error.code());
    assert_eq!(code(&"x".repeat(MAX_LENGTH + 1)), Some(Code::TooLong));
    for repeated in
        ["(", "not ", "lower(", "a in (", "a between (", "coalesce(not (", "- (", "$header("]
    {
        let source = repeated.repeat(MAX_LENGTH / repeated.len());
        assert!(code(&source).is_some(), "{repeated}");
    }
    for repeated in ["(", "not ", "lower(", "a in ("] {
        let source = repeated.repeat(MAX_LENGTH / repeated.len());
        assert_eq!(code(&source), Some(Code::TooDeep), "{repeated}");
    }
    assert_eq!(code(&("a".to_owned() + &"->>'b'".repeat(10_000))), Some(Code::TooDeep));
}

#[test]
fn the_depth_that_is_allowed_is_parsed_printed_compiled_and_run() {
    let parentheses = |depth: usize| format!("{}flag{}", "(".repeat(depth), ")".repeat(depth));
    let nots = |depth: usize| format!("{}flag", "not ".repeat(depth));
    let lists = |depth: usize| format!("{}flag{}", "true in (".repeat(depth), ")".repeat(depth));
    // Whatever is done twice at a level would not end at this depth.
    let nested = |call: &str, depth: usize| {
        format!("{}status{} = 'a'", call.repeat(depth), ")".repeat(depth))
    };
    let coalesced = format!("{}flag{}", "coalesce(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    try_out(&coalesced, &Change::new(b'c'));
    assert!(compile(&coalesced).is_ok());
    for call in ["coalesce(", "coalesce(null, ", "lower(", "upper("] {
        try_out(&nested(call, MAX_DEPTH), &Change::new(b'c').after("status", text("A")));
        assert!(compile(&nested(call, MAX_DEPTH)).is_ok(), "{call}");
        assert!(compile(&nested(call, MAX_DEPTH + 1)).is_err(), "{call}");
    }
    let ranges = "status between ".to_owned()
        + &"(id between 1 and ".repeat(MAX_DEPTH)
        + "2"
        + &")".repeat(MAX_DEPTH)
        + " and 'b'";
    try_out(&ranges, &Change::new(b'c'));
    for source in [parentheses(MAX_DEPTH), nots(MAX_DEPTH), lists(MAX_DEPTH)] {
        try_out(&source, &Change::new(b'c'));
        assert!(Expression::parse(&source).is_ok());
    }
    for source in [parentheses(MAX_DEPTH + 1), nots(MAX_DEPTH + 1), lists(MAX_DEPTH + 1)] {
        assert!(Expression::parse(&source).is_err());
    }
}

#[test]
fn a_long_chain_is_no_deep_tree() {
    let chain = vec!["id = 1"; 6000].join(" or ");
    assert!(chain.len() <= MAX_LENGTH);
    try_out(&chain, &Change::new(b'c'));
    let list = format!("id in ({})", vec!["1"; 20_000].join(", "));
    try_out(&list, &Change::new(b'c'));
    assert!(Expression::parse(&chain).is_ok() && Expression::parse(&list).is_ok());
}

#[test]
fn a_pattern_has_a_limit() {
    let pattern = |length: usize| format!("status like '{}'", "%".repeat(length));
    assert!(Expression::parse(&pattern(MAX_PATTERN_LENGTH)).is_ok());
    let error = Expression::parse(&pattern(MAX_PATTERN_LENGTH + 1)).expect_err("it is too long");
    assert_eq!(error.code(), Code::TooLong);
}
