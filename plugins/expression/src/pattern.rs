//! SQL's patterns: `%` for any characters, `_` for one, a backslash before what stands for itself.

/// A pattern that was taken apart once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    folded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    One(char),
    AnyOne,
    AnyMany,
}

/// Whether a pattern does not end with a backslash that escapes nothing.
pub(crate) fn is_whole(pattern: &str) -> bool {
    let trailing = pattern.chars().rev().take_while(|&character| character == '\\').count();
    trailing % 2 == 0
}

impl Pattern {
    /// `folded`: upper and lower case are alike.
    pub(crate) fn new(pattern: &str, folded: bool) -> Pattern {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                '%' => Part::AnyMany,
                '_' => Part::AnyOne,
                '\\' => Part::One(characters.next().unwrap_or('\\')),
                character => Part::One(character),
            };
            // Two in a row match what one does.
            if part != Part::AnyMany || parts.last() != Some(&Part::AnyMany) {
                parts.push(part);
            }
        }
        Pattern { parts, folded }
    }

    /// Whether the whole text matches. Goes back to the last `%` only, so the time is at most the
    /// product of both lengths, and no memory is used.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Behind the last `%`, and what was left of the text when it was met.
        let mut resume: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if self.parts.get(at) == Some(&Part::AnyMany) {
                at += 1;
                resume = Some((at, rest.clone()));
                continue;
            }
            match (rest.next(), self.parts.get(at)) {
                (None, None) => return true,
                (Some(character), Some(part)) if self.is_met(*part, character) => at += 1,
                (None, Some(_)) => return false,
                _ => {
                    let Some((behind, later)) = &mut resume else { return false };
                    // The `%` takes one character more.
                    if later.next().is_none() {
                        return false;
                    }
                    (at, rest) = (*behind, later.clone());
                }
            }
        }
    }

    fn is_met(&self, part: Part, character: char) -> bool {
        match part {
            Part::AnyOne | Part::AnyMany => true,
            Part::One(wanted) if self.folded => {
                wanted == character || wanted.to_lowercase().eq(character.to_lowercase())
            }
            Part::One(wanted) => wanted == character,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern, false).matches(text)
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "a_c"),
            ("abc", "%%%"),
            ("abc", "___"),
            ("größe", "gr__e"),
            ("50%", "50\\%"),
            ("a_b", "a\\_b"),
            ("a\\b", "a\\\\b"),
            ("aXbXbc", "a%bc"),
            ("mississippi", "m%iss%ip%i"),
        ] {
            assert!(like(text, pattern), "{text:?} like {pattern:?}");
        }
        for (text, pattern) in [
            ("", "_"),
            ("abc", "ab"),
            ("abc", "b%"),
            ("abc", "____"),
            ("abc", "ABC"),
            ("500", "50\\%"),
            ("aXb", "a\\_b"),
            ("mississippi", "m%iss%ipz%i"),
        ] {
            assert!(!like(text, pattern), "{text:?} like {pattern:?}");
        }
    }

    #[test]
    fn a_folded_pattern_takes_upper_and_lower_case_alike() {
        assert!(Pattern::new("GRÖ%", true).matches("größe"));
        assert!(Pattern::new("%ada", true).matches("xADA"));
        assert!(!Pattern::new("%ada", true).matches("adx"));
    }

    #[test]
    fn only_an_even_number_of_backslashes_ends_a_pattern() {
        assert!(is_whole("") && is_whole("a") && is_whole("a\\\\"));
        assert!(!is_whole("\\") && !is_whole("a\\\\\\"));
    }

    #[test]
    fn many_wildcards_do_not_make_it_slow() {
        let text = "a".repeat(5000);
        let pattern = "a%".repeat(500) + "b";
        assert!(!like(&text, &pattern));
    }
}
