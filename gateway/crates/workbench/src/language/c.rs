//! C: clang and its linker make a core module of the plugin's files and the SDK's.

use std::path::{Path, PathBuf};

use super::tool::{Tool, require};
use super::{Built, Guide, Language, Obstacle, file_name, read_built, scratch, sdk_in, template};

const LEAST: (u32, u32) = (14, 0);
const INSTALL: &str = "install clang 14 or later and its linker wasm-ld: apt-get install clang lld; \
                       CLANG names another clang";
/// The stack lies first, so that one that overflows traps instead of writing over data.
const OPTIONS: [&str; 10] = [
    "--target=wasm32-unknown-unknown",
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-nostdlib",
    "-mbulk-memory",
    "-Wl,--no-entry,--strip-all",
    "-Wl,--stack-first",
    "-Wl,-z,stack-size=65536",
];

pub(super) struct C;

impl Language for C {
    fn name(&self) -> &'static str {
        "c"
    }

    fn guide(&self) -> Guide {
        Guide {
            title: "C",
            tools: "clang 14 or later and wasm-ld",
            source: "mask.c",
            tests: "",
            does: "covers all but the first characters of one text column",
            config: "{ column = \"email\", keep_first = 1 }",
            deadline: "100ms",
            memory: "64MiB",
            ignored: "",
        }
    }

    fn files(&self, _name: &str) -> Vec<(PathBuf, String)> {
        template("c")
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["c"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        !sources(folder).is_empty()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        let sdk = sdk_in(folder, "c")?;
        let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
        require(folder, &clang, "--version", LEAST, INSTALL)?;
        require_target(folder, &clang)?;
        let (name, scratch) = (file_name(folder), scratch()?);
        let module = scratch.path().join("plugin.wasm");
        Tool::new(folder, &clang, INSTALL)
            .with(OPTIONS)
            .with([format!("-I{}", sdk.display())])
            .with(sources(folder))
            .with(sources(&sdk.join("src")))
            .with([Path::new("-o"), &module])
            .run()?;
        Ok(Built { name, wasm: read_built(&module)? })
    }
}

/// The C files right in a folder, in their names' order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "c") && path.is_file()
    };
    let mut sources: Vec<PathBuf> = paths.filter(is_source).collect();
    sources.sort();
    sources
}

/// Refuses a clang that cannot compile for WebAssembly, as Apple's, or has no linker for it.
fn require_target(folder: &Path, clang: &str) -> Result<(), Obstacle> {
    let missing = |message: String| Err(Obstacle::new("BUILD_TOOL_MISSING", message, INSTALL));
    let targets = Tool::new(folder, clang, INSTALL).with(["--print-targets"]).output()?;
    if !targets.split_whitespace().any(|word| word == "wasm32") {
        return missing(format!("{clang} cannot compile for WebAssembly"));
    }
    let asked = ["--target=wasm32-unknown-unknown", "--print-prog-name=wasm-ld"];
    let linker = Tool::new(folder, clang, INSTALL).with(asked).output()?;
    // Where clang finds none it gives back the bare name.
    if linker.trim().contains('/') {
        return Ok(());
    }
    Tool::new(folder, "wasm-ld", INSTALL).with(["--version"]).output().map(|_| ())
}
