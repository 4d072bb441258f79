//! Rust: cargo for `wasm32-unknown-unknown`, and the component made of what it gives.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Built, Language, Obstacle, componentize, embedded, run};

const TARGET: &str = "wasm32-unknown-unknown";
/// The name in the template.
const TEMPLATE_NAME: &str = "my-plugin";
/// Where a plugin keeps its copy of the SDK.
const COPY: &str = "offtake-sdk";
const INSTALL_RUST: &str =
    "install Rust, by https://rustup.rs or your system's packages, and open a new shell";
const INSTALL_TARGET: &str = "rustup target add wasm32-unknown-unknown; where rustup's servers \
                              cannot be reached, eval \"$(sdk/toolchain.sh)\" in the repository of \
                              Offtake";

pub(super) struct Rust;

impl Language for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn files(&self, name: &str, sdk: Option<&Path>) -> Vec<(PathBuf, String)> {
        let path = match sdk {
            Some(path) => path.join("rust").display().to_string(),
            None => format!("{COPY}/rust"),
        };
        let mut files: Vec<(PathBuf, String)> = embedded("rust/template")
            .map(|(file, text)| {
                let text = text.replace(TEMPLATE_NAME, name);
                // Its name in the code, and in the name of what is built.
                let text = text.replace("my_plugin", &name.replace('-', "_"));
                (PathBuf::from(file), text)
            })
            .collect();
        for (file, text) in &mut files {
            if file == Path::new("Cargo.toml") {
                *text = manifest(text, &path);
            }
        }
        files.push((PathBuf::from(".gitignore"), "/target/\n/*.wasm\n".to_owned()));
        if sdk.is_none() {
            let of_sdk = embedded("rust").filter(|(file, _)| !file.starts_with("template/"));
            let of_sdk = of_sdk.map(|(file, text)| (format!("{COPY}/rust/{file}"), text));
            let wit = embedded("wit").map(|(file, text)| (format!("{COPY}/wit/{file}"), text));
            files.extend(
                of_sdk.chain(wit).map(|(file, text)| (PathBuf::from(file), text.to_owned())),
            );
        }
        files
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join("Cargo.toml").is_file()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        let libraries = ["--print", "target-libdir", "--target", TARGET];
        let libraries = run(folder, "rustc", &libraries, INSTALL_RUST)?;
        if !Path::new(libraries.trim()).is_dir() {
            let message = format!("the Rust compiler has no library for {TARGET}");
            return Err(Obstacle::new("BUILD_TOOL_MISSING", message, INSTALL_TARGET));
        }
        let arguments =
            ["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
        let messages = run(folder, "cargo", &arguments, INSTALL_RUST)?;
        let Some(module) = messages.lines().filter_map(module).next_back() else {
            let message = "cargo built no WebAssembly module";
            let next = "write crate-type = [\"cdylib\", \"rlib\"] under [lib] in Cargo.toml";
            return Err(Obstacle::new("BUILD_NOT_A_PLUGIN", message, next));
        };
        let bytes = std::fs::read(&module).map_err(|error| {
            let message = format!("{} cannot be read: {error}", module.display());
            Obstacle::new("BUILD_FAILED", message, "build again")
        })?;
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Built { name, wasm: componentize(&bytes)? })
    }
}

/// The template's manifest, without what is said to who copies it, and with the way to the SDK.
fn manifest(template: &str, sdk: &str) -> String {
    let lines = template.lines().filter(|line| {
        !line.starts_with("# A plugin to begin with") && !line.starts_with("# Where you copied")
    });
    let lines = lines.map(|line| match line.starts_with("offtake-sdk = ") {
        true => format!("offtake-sdk = {{ path = {} }}\n", Value::from(sdk)),
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// The module that a message of cargo's says was made.
fn module(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let files = message["filenames"].as_array()?;
    let mut paths = files.iter().filter_map(Value::as_str).map(PathBuf::from);
    paths.find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
}
