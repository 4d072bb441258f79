//! JSON text as slices: members and items as they are written, nothing parsed, nothing changed.
//!
//! Only what both sides write is understood: no white space between tokens. Anything else is no
//! container, and is compared as text.

/// The members of an object as they are written: name without its quotes, value. `None`: the text
/// is no object without white space.
pub(crate) fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (name, after) = split_value(rest)?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        let (value, after) = split_value(after.strip_prefix(':')?)?;
        members.push((name, value));
        rest = next(after)?;
    }
    Some(members)
}

/// The items of an array as they are written.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (value, after) = split_value(rest)?;
        items.push(value);
        rest = next(after)?;
    }
    Some(items)
}

/// The member of an object at a path of names.
pub(crate) fn at<'t>(text: &'t str, path: &[&str]) -> Option<&'t str> {
    path.iter().try_fold(text, |text, name| {
        members(text)?.into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    })
}

/// The text with the values at the paths replaced; a path that is not there changes nothing.
pub(crate) fn masked(text: &str, paths: &[Vec<&str>], mask: &str) -> String {
    let Some(members) = members(text) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    for (name, value) in members {
        out.push_str(if out.is_empty() { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        let below: Vec<Vec<&str>> = paths
            .iter()
            .filter(|path| path.first() == Some(&name))
            .map(|path| path[1..].to_vec())
            .collect();
        if below.iter().any(Vec::is_empty) {
            out.push_str(mask);
        } else if below.is_empty() {
            out.push_str(value);
        } else {
            out.push_str(&masked(value, &below, mask));
        }
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push('}');
    out
}

/// After a value there is an end, or a comma and another one.
fn next(after: &str) -> Option<&str> {
    if after.is_empty() {
        return Some(after);
    }
    after.strip_prefix(',').filter(|rest| !rest.is_empty())
}

/// The first value of the text and what follows it.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            if in_string || depth > 0 {
                continue;
            }
            return Some(text.split_at(place + 1));
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(text.split_at(place + 1));
                }
            }
            b',' | b':' if depth == 0 => {
                return (place > 0).then(|| text.split_at(place));
            }
            _ => {}
        }
    }
    (depth == 0 && !in_string && !text.is_empty()).then_some((text, ""))
}

#[test]
fn json_is_taken_apart_and_put_together_as_it_is_written() {
    let text = r#"{"a":{"x":"}\"{,","y":[1,2.50,{"z":null}]},"b":-1e5,"c":"","":[]}"#;
    let found = members(text).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["a", "b", "c", ""]);
    assert_eq!(at(text, &["a", "y"]), Some(r#"[1,2.50,{"z":null}]"#));
    assert_eq!(items(r#"[1,2.50,{"z":null}]"#).unwrap(), ["1", "2.50", r#"{"z":null}"#]);
    assert_eq!(masked(text, &[], "*"), text);
    let mask = [vec!["a", "x"], vec!["c"], vec!["nowhere"]];
    assert_eq!(
        masked(text, &mask, "*"),
        r#"{"a":{"x":*,"y":[1,2.50,{"z":null}]},"b":-1e5,"c":*,"":[]}"#
    );
    for broken in ["{\"a\" :1}", "{\"a\":1,}", "{\"a\"}", "[1", "{", "1", "{\"a\":]}", ""] {
        assert_eq!(members(broken), None, "{broken}");
    }
    assert_eq!(members("{}").unwrap(), []);
}
