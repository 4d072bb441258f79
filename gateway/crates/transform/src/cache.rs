//! Compiled code on disk, found by the digest of what it was compiled from.
//!
//! To load compiled code is to run it with all the gateway's rights, so only what this very gateway
//! wrote is loaded: each file carries an authentication code under a random key that lies beside it,
//! readable to the gateway's user alone, and the code covers the name. A file that is damaged,
//! foreign or made by another version of the compiler is compiled again and overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mac::{MAC_BYTES, equal, hex, hmac_sha256};
use sha2::{Digest, Sha256};

/// Part of every name. To be changed when the settings of the host change in a way that wasmtime's
/// own compatibility hash does not see.
const POLICY: &[u8] = b"offtake-compiled-plugin-1";
/// Largest file that is read.
const FILE_BYTES: u64 = 256 << 20;
/// Files that are kept; beyond that the oldest go.
const FILES: usize = 64;
const KEY_FILE: &str = "key";
const SUFFIX: &str = "compiled";

/// The folder of compiled code. Clones share it.
#[derive(Clone)]
pub(crate) struct CodeCache {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    key: [u8; MAC_BYTES],
    hits: AtomicU64,
}

/// Identifies compiled code: source, compiler, settings.
pub(crate) struct CodeKey([u8; 32]);

impl CodeKey {
    pub(crate) fn new(engine: &wasmtime::Engine, wasm_digest: &[u8; 32]) -> CodeKey {
        let mut hasher = DigestHasher(Sha256::new_with_prefix(POLICY));
        hasher.0.update(wasm_digest);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        CodeKey(hasher.0.finalize().into())
    }
}

/// Feeds a digest with what is hashed; the 64-bit result of a usual hasher would be too short.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl CodeCache {
    pub(crate) fn open(dir: &Path) -> io::Result<CodeCache> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::metadata(dir)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder belongs to another user",
            ));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        let key = read_or_make_key(&dir.join(KEY_FILE))?;
        Ok(CodeCache {
            inner: Arc::new(Inner { dir: dir.to_owned(), key, hits: AtomicU64::new(0) }),
        })
    }

    /// Plugins that needed no compilation so far.
    pub(crate) fn hits(&self) -> u64 {
        self.inner.hits.load(Ordering::Relaxed)
    }

    /// The component or core module, where this gateway compiled it before.
    pub(crate) fn load<C: Compiled>(&self, engine: &wasmtime::Engine, key: &CodeKey) -> Option<C> {
        let path = self.path(key);
        let bytes = match read_limited(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled plugin unreadable, compiling it again");
                return None;
            }
        };
        let Some((mac, code)) = bytes.split_first_chunk::<MAC_BYTES>() else {
            tracing::warn!(path = %path.display(), "compiled plugin damaged, compiling it again");
            return None;
        };
        if !equal(mac, &self.mac(key, code)) {
            tracing::warn!(path = %path.display(), "compiled plugin damaged or foreign, compiling it again");
            return None;
        }
        match authenticated::load(engine, code) {
            Ok(compiled) => {
                self.inner.hits.fetch_add(1, Ordering::Relaxed);
                Some(compiled)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled plugin unusable, compiling it again");
                None
            }
        }
    }

    /// Keeps compiled code. That it cannot be kept is no failure of the plugin.
    pub(crate) fn store(&self, key: &CodeKey, code: &[u8]) {
        let path = self.path(key);
        if let Err(error) = self.write(&path, &self.mac(key, code), code) {
            tracing::warn!(path = %path.display(), %error, "compiled plugin not kept");
        }
        self.prune();
    }

    fn path(&self, key: &CodeKey) -> PathBuf {
        self.inner.dir.join(format!("{}.{SUFFIX}", hex(&key.0)))
    }

    fn mac(&self, key: &CodeKey, code: &[u8]) -> [u8; MAC_BYTES] {
        hmac_sha256(&self.inner.key, &[&key.0, code])
    }

    /// Writes aside and renames. Nothing is synced: a torn file has a wrong code.
    fn write(&self, path: &Path, mac: &[u8], code: &[u8]) -> io::Result<()> {
        let aside = path.with_extension(format!("{}.part", std::process::id()));
        let written = private_file(&aside, false)
            .and_then(|mut file| file.write_all(mac).and_then(|()| file.write_all(code)))
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.inner.dir) else { return };
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == SUFFIX))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        if files.len() > FILES {
            files.sort();
            for (_, path) in &files[..files.len() - FILES] {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn private_file(path: &Path, exclusive: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if exclusive { options.create_new(true) } else { options.create(true).truncate(true) }
        .open(path)
}

/// The key, made anew where it is missing, of a wrong length or open to others; what was
/// authenticated with the old one is then compiled again.
fn read_or_make_key(path: &Path) -> io::Result<[u8; MAC_BYTES]> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.mode() & 0o077 == 0 => {
            let mut bytes = Vec::with_capacity(MAC_BYTES);
            File::open(path)?.take(MAC_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            if let Ok(key) = <[u8; MAC_BYTES]>::try_from(bytes.as_slice()) {
                return Ok(key);
            }
            fs::remove_file(path)?;
        }
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; MAC_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    private_file(path, true)?.write_all(&key)?;
    Ok(key)
}

pub(crate) use authenticated::Compiled;

/// The one place where compiled code becomes executable.
#[allow(unsafe_code, reason = "loading compiled code is unsafe by nature; see SAFETY")]
mod authenticated {
    use wasmtime::component::Component;
    use wasmtime::{Engine, Module, Result};

    /// What a plugin is compiled to.
    pub(crate) trait Compiled: Sized {
        /// Compiles WebAssembly.
        fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self>;

        /// The compiled code.
        fn serialize(&self) -> Result<Vec<u8>>;

        /// Takes compiled code for what it is.
        ///
        /// # Safety
        /// The bytes are what [`Compiled::serialize`] gave, and cannot change.
        unsafe fn deserialize(engine: &Engine, code: &[u8]) -> Result<Self>;
    }

    impl Compiled for Component {
        fn compile(engine: &Engine, wasm: &[u8]) -> Result<Component> {
            Component::from_binary(engine, wasm)
        }

        fn serialize(&self) -> Result<Vec<u8>> {
            self.serialize()
        }

        unsafe fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component> {
            // SAFETY: the caller's promise.
            unsafe { Component::deserialize(engine, code) }
        }
    }

    impl Compiled for Module {
        fn compile(engine: &Engine, wasm: &[u8]) -> Result<Module> {
            Module::from_binary(engine, wasm)
        }

        fn serialize(&self) -> Result<Vec<u8>> {
            self.serialize()
        }

        unsafe fn deserialize(engine: &Engine, code: &[u8]) -> Result<Module> {
            // SAFETY: the caller's promise.
            unsafe { Module::deserialize(engine, code) }
        }
    }

    /// Loads code whose authentication code the caller has checked.
    pub(super) fn load<C: Compiled>(engine: &Engine, code: &[u8]) -> Result<C> {
        // SAFETY: `deserialize` needs bytes that wasmtime itself made. The caller verified an HMAC
        // over them, made with a key that only this gateway's user can read, when it stored what
        // `serialize` gave; the bytes are in our memory and cannot change after the check.
        // wasmtime checks its own version and settings on top, and whether it is a component.
        unsafe { C::deserialize(engine, code) }
    }
}
