//! Puts the SDKs' sources into the crate, so that a new plugin needs neither a registry nor this
//! repository: `embedded.rs` is a list of paths below `sdk/` with their texts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is taken of `sdk/`.
const TAKEN: [&str; 2] = ["rust", "wit"];

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let sdk = manifest.join("../../../sdk");
    let mut files = Vec::new();
    for folder in TAKEN {
        walk(&sdk.join(folder), &mut files)?;
    }
    files.sort();
    let mut text = String::from("&[\n");
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&sdk).unwrap_or(file).display();
        let path = fs::canonicalize(file)?;
        // Writing into a String cannot fail.
        let _ = writeln!(text, "    ({:?}, include_str!({:?})),", name.to_string(), path);
    }
    text.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("embedded.rs"), text)
}

/// The sources below a folder; what a build leaves there is none.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, files)?;
            }
        } else if path.extension().is_none_or(|extension| extension != "wasm") {
            files.push(path);
        }
    }
    Ok(())
}
