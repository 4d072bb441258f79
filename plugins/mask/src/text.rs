//! Covered texts: every character but the first and last few becomes another.
//!
//! Characters are Unicode scalar values. A covered text has as many of them as it had before.

use offtake_sdk::TextWriter;

/// How many characters stay readable at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Kept {
    /// The text in three: shown, covered, shown; and how many characters are covered. A text of no
    /// more characters than are kept is covered whole: it has nothing that could be shown without
    /// showing all.
    fn split<'t>(&self, text: &'t str) -> (&'t str, &'t str, &'t str, usize) {
        let ascii = text.is_ascii();
        let characters = if ascii { text.len() } else { text.chars().count() };
        let (first, last) = (self.first, self.last);
        if first.checked_add(last).is_none_or(|kept| characters <= kept) {
            return ("", text, "", characters);
        }
        let place = |characters: usize| match ascii {
            true => characters,
            false => text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at),
        };
        let (begin, end) = (place(first), place(characters - last));
        let part = |range| text.get(range).unwrap_or_default();
        (part(0..begin), part(begin..end), part(end..text.len()), characters - first - last)
    }
}

/// Covers with one character.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) kept: Kept,
    pub(crate) with: char,
}

impl Cover {
    /// Writes `text` covered.
    pub(crate) fn write(&self, text: &str, out: &mut TextWriter<'_>) {
        let (begin, _, end, characters) = self.kept.split(text);
        out.push_str(begin);
        out.push_repeated(self.with, characters);
        out.push_str(end);
    }
}

/// Covers digits with one character and letters with another; separators stay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Characters {
    pub(crate) kept: Kept,
    pub(crate) digit: char,
    pub(crate) letter: char,
}

impl Characters {
    /// Writes `text` covered.
    pub(crate) fn write(&self, text: &str, out: &mut TextWriter<'_>) {
        let (begin, covered, end, _) = self.kept.split(text);
        out.push_str(begin);
        covered.chars().for_each(|character| out.push(self.cover(character)));
        out.push_str(end);
    }

    /// What stays is known to tell nothing but the form: ASCII punctuation and white space. All
    /// that is not ASCII counts as a letter, so that no script's digits or signs slip through.
    fn cover(&self, character: char) -> char {
        match character {
            '0'..='9' => self.digit,
            ' ' | '\t' | '\n' | '\r' => character,
            _ if character.is_ascii_punctuation() => character,
            _ => self.letter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(first: usize, last: usize, text: &str) -> (&str, &str, &str) {
        let (begin, covered, end, characters) = Kept { first, last }.split(text);
        assert_eq!(covered.chars().count(), characters);
        (begin, covered, end)
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(split(0, 4, "4111111111111111"), ("", "411111111111", "1111"));
        assert_eq!(split(0, 2, "Zoë😀"), ("", "Zo", "ë😀"));
        assert_eq!(split(2, 1, "ñandú"), ("ña", "nd", "ú"));
        assert_eq!(split(0, 0, "añb"), ("", "añb", ""));
        assert_eq!(split(1, 0, "añb"), ("a", "ñb", ""));
    }

    #[test]
    fn a_text_not_longer_than_what_is_kept_is_covered_whole() {
        assert_eq!(split(0, 4, "1234"), ("", "1234", ""));
        assert_eq!(split(0, 4, "ë"), ("", "ë", ""));
        assert_eq!(split(2, 2, "1234"), ("", "1234", ""));
        assert_eq!(split(2, 2, "12345"), ("12", "3", "45"));
        assert_eq!(split(0, 4, ""), ("", "", ""));
        assert_eq!(split(usize::MAX, 1, "1234"), ("", "1234", ""));
    }

    #[test]
    fn every_split_is_the_text_again() {
        for text in ["", "a", "ab", "añb", "日本語テキ", "😀😀😀", "ne\u{301}es"] {
            for first in 0..8 {
                for last in 0..8 {
                    let (begin, covered, end) = split(first, last, text);
                    assert_eq!(format!("{begin}{covered}{end}"), text);
                    let shown = begin.chars().count() + end.chars().count();
                    assert!(shown == 0 || shown == first + last, "{first} {last} {text}");
                    assert!(text.is_empty() || !covered.is_empty(), "{first} {last} {text}");
                }
            }
        }
    }

    #[test]
    fn digits_and_letters_are_covered_and_separators_stay() {
        let characters = Characters { kept: Kept { first: 0, last: 0 }, digit: '0', letter: 'x' };
        let cover = |text: &str| text.chars().map(|c| characters.cover(c)).collect::<String>();
        assert_eq!(cover("+44 (0)20 7946-0958"), "+00 (0)00 0000-0000");
        assert_eq!(cover("Ada.Löw@example.org"), "xxx.xxx@xxxxxxx.xxx");
        // Digits of other scripts, control characters and signs beyond ASCII are not kept.
        assert_eq!(cover("٣ 三 £ \u{7} \u{a0}"), "x x x x x");
    }
}
