//! References in values that may hold secrets: `${env:NAME}` and `${file:path}`.
//!
//! A value may mix text and references; `$${` writes a plain `${`. In a database URL what stands
//! before the `@` is percent-encoded when it is put in, so that any password fits. An error names
//! the reference, never what it resolved to.

use std::path::Path;

/// A secret file larger than this is not one.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What is wrong with one reference.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The reference as written.
    pub(crate) reference: String,
    /// Why it has no value.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) help: String,
}

/// Where references find their values.
pub(crate) struct Sources<'a> {
    /// The environment.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths start from.
    pub(crate) base: &'a Path,
}

/// Puts the values in. `url`: percent-encode what stands before the last `@`.
///
/// # Errors
/// Every reference that has no value.
pub(crate) fn resolve(
    text: &str,
    url: bool,
    sources: &Sources<'_>,
) -> Result<String, Vec<Unresolved>> {
    let userinfo_end = if url && text.contains("://") { text.rfind('@').unwrap_or(0) } else { 0 };
    let (mut out, mut failed) = (String::with_capacity(text.len()), Vec::new());
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[..start].ends_with('$') && start > at {
            out.push_str(&text[at..start - 1]);
            out.push_str("${");
            at = start + 2;
            continue;
        }
        out.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            failed.push(Unresolved {
                reference: "${".to_owned(),
                reason: "the reference is not closed".to_owned(),
                help: "end it with `}`, or write `$${` for a plain `${`".to_owned(),
            });
            return Err(failed);
        };
        let reference = &text[start..=start + length];
        match value(&reference[2..length], sources) {
            Ok(value) if start < userinfo_end => percent_encode(&value, &mut out),
            Ok(value) => out.push_str(&value),
            Err((reason, help)) => {
                failed.push(Unresolved { reference: reference.to_owned(), reason, help });
            }
        }
        at = start + length + 1;
    }
    out.push_str(&text[at..]);
    if failed.is_empty() { Ok(out) } else { Err(failed) }
}

/// Whether the text holds a reference.
pub(crate) fn has_reference(text: &str) -> bool {
    text.contains("${env:") || text.contains("${file:")
}

/// Reads a file that holds one secret; the line end after it does not belong to it.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn read_secret_file(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| reason(&error))?.len();
    if length > MAX_FILE_BYTES {
        return Err("it is larger than 64 KiB".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|error| reason(&error))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err("it is empty".to_owned()) } else { Ok(secret.to_owned()) }
}

/// An error of the system in words that do not differ from one platform to the next.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

fn value(inner: &str, sources: &Sources<'_>) -> Result<String, (String, String)> {
    if let Some(name) = inner.strip_prefix("env:") {
        let set = format!("set {name} in the environment of the gateway");
        return match (sources.env)(name) {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => Err((format!("the environment variable {name} is empty"), set)),
            None => Err((format!("the environment variable {name} is not set"), set)),
        };
    }
    if let Some(file) = inner.strip_prefix("file:") {
        let path = sources.base.join(file);
        return read_secret_file(&path).map_err(|reason| {
            (
                format!("the file {file} cannot be used: {reason}"),
                "the path starts at the folder of the configuration file".to_owned(),
            )
        });
    }
    Err((
        "a reference names no known source".to_owned(),
        "write ${env:NAME} or ${file:path}; `$${` is a plain `${`".to_owned(),
    ))
}

fn percent_encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_here(text: &str, url: bool) -> Result<String, Vec<Unresolved>> {
        let env = |name: &str| (name == "PW").then(|| "p@ss/w".to_owned());
        resolve(text, url, &Sources { env: &env, base: Path::new("/nonexistent") })
    }

    #[test]
    fn references_are_put_in_and_encoded_in_a_url() {
        assert_eq!(resolve_here("${env:PW}", false).unwrap(), "p@ss/w");
        assert_eq!(
            resolve_here("postgres://u:${env:PW}@db/x", true).unwrap(),
            "postgres://u:p%40ss%2Fw@db/x"
        );
        assert_eq!(resolve_here("${env:PW}", true).unwrap(), "p@ss/w");
        assert_eq!(resolve_here("a$${env:PW}b", false).unwrap(), "a${env:PW}b");
    }

    #[test]
    fn every_reference_without_a_value_is_told() {
        let failed = resolve_here("${env:A}-${file:b}-${vault:c}", false).unwrap_err();
        assert_eq!(failed.len(), 3);
        assert!(failed[0].reason.contains("not set"));
        assert!(failed[1].reason.contains("does not exist"));
        assert!(resolve_here("x${env:PW", false).is_err());
    }
}
