//! Tokens: what makes a cursor valid for this log, this principal and these streams only.
//!
//! A token is `version (1) | log id (16) | principal (16) | streams (16) | MAC (16)`, where
//! principal and streams are truncated SHA-256 and the MAC is HMAC-SHA256 over all before it. The
//! sequence of a cursor is not under the MAC: it is no capability, and it may then be read off any
//! change. Rights are not decided here.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use ring::rand::SecureRandom;
use ring::{digest, hmac, rand};

use crate::error::GrpcError;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const FIELD: usize = 16;
const SIGNED: usize = 1 + 3 * FIELD;
const TOKEN_BYTES: usize = SIGNED + FIELD;

/// What a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    log: [u8; FIELD],
    principal: [u8; FIELD],
    streams: [u8; FIELD],
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No token of ours, or altered.
    Malformed,
    /// Of another log.
    AnotherLog,
    /// Of a subscription to other streams.
    OtherSelection,
}

impl Binding {
    /// Binds to a log, a principal's name and globs; the order and repetition of globs do not
    /// matter, and no globs at all mean the same as `*`.
    pub(crate) fn new(log: [u8; FIELD], principal: &str, globs: &[String]) -> Binding {
        Binding {
            log,
            principal: hash([principal].into_iter()),
            streams: hash(normalized(globs).into_iter()),
        }
    }
}

/// The globs sorted and without repetition; empty when they choose every stream.
pub(crate) fn normalized(globs: &[String]) -> Vec<&str> {
    let mut globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    if globs.contains(&"*") {
        globs.clear();
    }
    globs.sort_unstable();
    globs.dedup();
    globs
}

fn hash<'a>(parts: impl Iterator<Item = &'a str>) -> [u8; FIELD] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    first(context.finish().as_ref())
}

fn first(digest: &[u8]) -> [u8; FIELD] {
    let mut field = [0; FIELD];
    field.copy_from_slice(&digest[..FIELD]);
    field
}

/// The key of this gateway's tokens.
pub(crate) struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

impl TokenKey {
    /// Reads the key, or makes one that is durable before it is used.
    pub(crate) fn load_or_create(path: &Path) -> Result<TokenKey, GrpcError> {
        let failed = |source| GrpcError::TokenKey { path: path.to_owned(), source };
        let bytes = match fs::File::open(path) {
            Ok(file) => read_key(path, file).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_key(path).map_err(failed)?.to_vec()
            }
            Err(error) => return Err(failed(error)),
        };
        if bytes.len() != KEY_BYTES {
            return Err(GrpcError::TokenKeyLength {
                path: path.to_owned(),
                found: bytes.len(),
                expected: KEY_BYTES,
            });
        }
        Ok(TokenKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The token of a binding. Equal bindings have equal tokens.
    pub(crate) fn token(&self, binding: &Binding) -> Bytes {
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&binding.log);
        token.extend_from_slice(&binding.principal);
        token.extend_from_slice(&binding.streams);
        let mac = hmac::sign(&self.0, &token);
        token.extend_from_slice(&first(mac.as_ref()));
        token.into()
    }

    /// Checks a client's token.
    ///
    /// Another log is told apart before the MAC is checked, because another log often has another
    /// key; it only chooses which refusal the client reads.
    pub(crate) fn check(&self, token: &[u8], binding: &Binding) -> Result<(), Refused> {
        if token.len() != TOKEN_BYTES || token[0] != VERSION {
            return Err(Refused::Malformed);
        }
        if token[1..1 + FIELD] != binding.log {
            return Err(Refused::AnotherLog);
        }
        let mac = hmac::sign(&self.0, &token[..SIGNED]);
        // Every byte is looked at, so that the time taken does not tell how many were right.
        let difference = mac.as_ref()[..FIELD]
            .iter()
            .zip(&token[SIGNED..])
            .fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs));
        if difference != 0 || token[1 + FIELD..1 + 2 * FIELD] != binding.principal {
            return Err(Refused::Malformed);
        }
        if token[1 + 2 * FIELD..SIGNED] != binding.streams {
            return Err(Refused::OtherSelection);
        }
        Ok(())
    }
}

fn read_key(path: &Path, file: fs::File) -> io::Result<Vec<u8>> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{:o}", mode & 0o777),
            "the token key can be read by other users; set its mode to 0600"
        );
    }
    let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new key beside its place, syncs, renames and syncs the folder: a crash leaves either
/// no key or a whole one.
fn create_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    rand::SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn key() -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, &[7; KEY_BYTES]))
    }

    #[test]
    fn a_token_is_as_it_was_always_written() {
        let token = key().token(&Binding::new([9; 16], "", &globs(&["b", "a", "b"])));
        let written: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, GOLDEN);
    }

    // Computed once with Python's hmac and hashlib.
    const GOLDEN: &str = "0109090909090909090909090909090909af5570f5a1810b7af78caf4bc70a660fcf6ab613e3942391f88ed698557e168079b57e5cb700cd0e9b545403ea1142e4";

    #[test]
    fn a_token_is_good_for_its_binding_whatever_the_order_of_the_globs() {
        let token = key().token(&Binding::new([1; 16], "", &globs(&["b", "a"])));
        assert_eq!(
            key().check(&token, &Binding::new([1; 16], "", &globs(&["a", "b", "a"]))),
            Ok(())
        );
        let all = key().token(&Binding::new([1; 16], "", &[]));
        assert_eq!(key().check(&all, &Binding::new([1; 16], "", &globs(&["x", "*"]))), Ok(()));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let binding = Binding::new([1; 16], "", &globs(&["a"]));
        let token = key().token(&binding);
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut altered = token.to_vec();
                altered[at] ^= 1 << bit;
                let expected =
                    if (1..17).contains(&at) { Refused::AnotherLog } else { Refused::Malformed };
                assert_eq!(key().check(&altered, &binding), Err(expected), "byte {at} bit {bit}");
            }
            assert_eq!(key().check(&token[..at], &binding), Err(Refused::Malformed));
        }
    }

    #[test]
    fn another_log_key_principal_or_selection_is_told_apart() {
        let binding = Binding::new([1; 16], "", &globs(&["a"]));
        let token = key().token(&binding);
        let check = |binding: &Binding| key().check(&token, binding);
        assert_eq!(check(&Binding::new([2; 16], "", &globs(&["a"]))), Err(Refused::AnotherLog));
        assert_eq!(check(&Binding::new([1; 16], "x", &globs(&["a"]))), Err(Refused::Malformed));
        assert_eq!(check(&Binding::new([1; 16], "", &globs(&["b"]))), Err(Refused::OtherSelection));
        // Lengths are hashed too: two globs are not one that reads the same.
        assert_eq!(
            check(&Binding::new([1; 16], "", &globs(&["", "a"]))),
            Err(Refused::OtherSelection)
        );
        let other = TokenKey(hmac::Key::new(hmac::HMAC_SHA256, &[8; KEY_BYTES]));
        assert_eq!(other.check(&token, &binding), Err(Refused::Malformed));
    }

    #[test]
    fn the_key_file_is_made_once_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token_key");
        let binding = Binding::new([1; 16], "", &[]);
        let token = TokenKey::load_or_create(&path).unwrap().token(&binding);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(TokenKey::load_or_create(&path).unwrap().token(&binding), token);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "short").unwrap();
        assert_eq!(TokenKey::load_or_create(&path).unwrap_err().code(), "GRPC_TOKEN_KEY");
    }
}
