//! The secret that a command shows to ask the gateway for something: whoever can read the log's
//! folder has it, and nobody else. Made anew at every start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const FILE: &str = "admin.token";

/// Where a gateway keeps the secret.
pub fn token_file(log_dir: &Path) -> PathBuf {
    log_dir.join(FILE)
}

/// The secret of this run.
pub struct Token {
    digest: [u8; 32],
}

impl Token {
    /// Makes one and writes it where only the gateway's own user can read it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(log_dir: &Path) -> std::io::Result<Token> {
        let random = || offtake_log::new_id().map_err(std::io::Error::other);
        let text: String =
            [random()?, random()?].concat().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = token_file(log_dir);
        let temporary = path.with_extension("token.new");
        // One of a start that was cut off may be there, with rights that somebody changed.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&temporary, &path)?;
        Ok(Token { digest: Sha256::digest(text.as_bytes()).into() })
    }

    /// Whether that is it. Compared by digest, so that the time it takes tells nothing.
    pub fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        shown == self.digest
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_the_users_own_and_another_one_at_every_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = Token::create(folder.path()).unwrap();
        let path = token_file(folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(first.is(&text) && !first.is("") && !first.is(&text[1..]));
        let second = Token::create(folder.path()).unwrap();
        assert!(!second.is(&text));
        assert!(second.is(&std::fs::read_to_string(&path).unwrap()));
    }
}
