//! Puts the SDKs' sources into the crate, so that a new plugin needs neither a registry nor this
//! repository: `embedded.rs` is a list of paths below `sdk/` with their texts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is taken of `sdk/`: what a plugin is begun and built with, not what builds and tests the SDKs.
const TAKEN: [&str; 24] = [
    "assemblyscript/README.md",
    "assemblyscript/assembly",
    "assemblyscript/package.json",
    "assemblyscript/template",
    "c/README.md",
    "c/offtake.h",
    "c/src",
    "c/template",
    "go",
    "python/README.md",
    "python/bin",
    "python/offtake",
    "python/requirements.txt",
    "python/template",
    "rust",
    "typescript/README.md",
    "typescript/bin",
    "typescript/package.json",
    "typescript/src",
    "typescript/template",
    "typescript/test/host.ts",
    "typescript/test/state.ts",
    "typescript/tsconfig.json",
    "wit",
];
/// What tools leave behind, and what a new plugin has of its own.
const LEFT_OUT: [&str; 9] = [
    "target",
    "node_modules",
    "__pycache__",
    ".pytest_cache",
    ".gitignore",
    "package-lock.json",
    "build.sh",
    "tests",
    "toolchain.sh",
];

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let sdk = manifest.join("../../../sdk");
    let mut files = Vec::new();
    for path in TAKEN {
        take(&sdk.join(path), &mut files)?;
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

/// A source, or those below a folder; what a build leaves there is none.
fn take(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        if path.extension().is_none_or(|extension| extension != "wasm") {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    println!("cargo:rerun-if-changed={}", path.display());
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let tests_sdk = !path.components().any(|part| part.as_os_str() == "template")
            && name.to_string_lossy().ends_with("_test.go");
        if !tests_sdk && !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            take(&path, files)?;
        }
    }
    Ok(())
}
