//! Which streams a reader wants.

/// All streams, or those whose name matches one of several globs. Streams that begin later are
/// included.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selection {
    globs: Option<Vec<String>>,
}

impl Selection {
    /// Every stream.
    pub fn all() -> Selection {
        Selection::default()
    }

    /// Streams that match a glob: `*` stands for any characters, `?` for one, everything else for
    /// itself. No glob at all selects nothing.
    pub fn globs(globs: impl IntoIterator<Item = impl Into<String>>) -> Selection {
        Selection { globs: Some(globs.into_iter().map(Into::into).collect()) }
    }

    /// The globs; `*` alone for every stream.
    pub fn patterns(&self) -> String {
        self.globs.as_ref().map_or_else(|| "*".to_owned(), |globs| globs.join(", "))
    }

    /// Whether a stream of that name is wanted.
    pub fn matches(&self, name: &str) -> bool {
        match &self.globs {
            None => true,
            Some(globs) => globs.iter().any(|glob| matches(glob, name)),
        }
    }
}

/// Linear in the lengths for one star, and never worse than their product: after a mismatch only
/// the last star takes one character more.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at_glob, mut at_name) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(&character) = name.get(at_name) {
        match glob.get(at_glob) {
            Some('*') => {
                last_star = Some((at_glob, at_name));
                at_glob += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == character => {
                at_glob += 1;
                at_name += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else {
                    return false;
                };
                last_star = Some((star, taken + 1));
                at_glob = star + 1;
                at_name = taken + 1;
            }
        }
    }
    glob.iter().skip(at_glob).all(|&character| character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_characters_and_a_question_mark_one() {
        for (glob, name, expected) in [
            ("shop.public.*", "shop.public.orders", true),
            ("shop.public.*", "shop.private.orders", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("größe", "größe", true),
            ("gr??e", "größe", true),
            ("", "x", false),
        ] {
            assert_eq!(Selection::globs([glob]).matches(name), expected, "{glob} {name}");
        }
        assert!(Selection::all().matches("x"));
        assert!(!Selection::globs(Vec::<String>::new()).matches("x"));
    }
}
