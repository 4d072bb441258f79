//! Records that nobody reads without the secret, and that are whole or not read at all.
//!
//! Each file has a key of its own, made of the secret and a random salt (HKDF-SHA-256), so a record's
//! number in its file is a nonce that never comes twice (ChaCha20-Poly1305). A record that is
//! changed, left out or put elsewhere does not open.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a file's salt.
pub const SALT_BYTES: usize = 32;

/// Seals or opens the records of one file, in their order.
pub struct Sealer {
    key: LessSafeKey,
    next: u64,
}

/// It is not what was sealed, or not with this secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOpened;

/// A salt for a new file.
///
/// # Errors
/// The system has no randomness.
pub fn new_salt() -> Result<[u8; SALT_BYTES], NotOpened> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).map_err(|_| NotOpened)?;
    Ok(salt)
}

impl Sealer {
    /// The sealer of a file with this salt, before its first record.
    ///
    /// # Errors
    /// None that is known: the lengths are right.
    pub fn new(secret: &str, salt: &[u8; SALT_BYTES]) -> Result<Sealer, NotOpened> {
        let material = Salt::new(HKDF_SHA256, salt).extract(secret.as_bytes());
        let purpose: [&[u8]; 1] = [b"offtake capture 1"];
        let key = material.expand(&purpose, &CHACHA20_POLY1305).map_err(|_| NotOpened)?;
        Ok(Sealer { key: LessSafeKey::new(UnboundKey::from(key)), next: 0 })
    }

    /// Seals the next record in place, with what proves it behind it.
    ///
    /// # Errors
    /// It is longer than can be sealed.
    pub fn seal(&mut self, record: &mut Vec<u8>) -> Result<(), NotOpened> {
        let nonce = self.nonce();
        self.key.seal_in_place_append_tag(nonce, Aad::empty(), record).map_err(|_| NotOpened)
    }

    /// Opens the next record in place.
    ///
    /// # Errors
    /// It is not what was sealed there with this secret.
    pub fn open<'r>(&mut self, record: &'r mut [u8]) -> Result<&'r [u8], NotOpened> {
        let nonce = self.nonce();
        let opened = self.key.open_in_place(nonce, Aad::empty(), record);
        opened.map(|opened| &*opened).map_err(|_| NotOpened)
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&self.next.to_le_bytes());
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_open_with_their_secret_in_their_order_and_in_no_other_way() {
        let salt = new_salt().unwrap();
        let mut sealer = Sealer::new("secret", &salt).unwrap();
        let sealed = [b"first".to_vec(), b"second".to_vec()].map(|mut record| {
            sealer.seal(&mut record).unwrap();
            record
        });
        let open = |secret: &str, salt, records: &[Vec<u8>]| -> Vec<Result<Vec<u8>, NotOpened>> {
            let mut sealer = Sealer::new(secret, salt).unwrap();
            let open = |record: &Vec<u8>| sealer.open(&mut record.clone()).map(<[u8]>::to_vec);
            records.iter().map(open).collect()
        };
        let opened = open("secret", &salt, &sealed);
        assert_eq!(opened, [Ok(b"first".to_vec()), Ok(b"second".to_vec())]);
        assert!(open("another", &salt, &sealed).iter().all(Result::is_err));
        let other = new_salt().unwrap();
        assert!(open("secret", &other, &sealed).iter().all(Result::is_err));
        assert!(open("secret", &salt, &sealed[1..]).iter().all(Result::is_err));
        let mut changed = sealed.clone();
        changed[0][0] ^= 1;
        assert!(open("secret", &salt, &changed[..1])[0].is_err());
        assert!(!sealed[0].windows(5).any(|part| part == b"first"));
    }
}
