//! Rust: cargo for `wasm32-unknown-unknown`, and the component made of what it gives.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tool::Tool;
use super::{Built, Guide, Language, Obstacle, read_built, template};

const TARGET: &str = "wasm32-unknown-unknown";
/// The name in the template.
const TEMPLATE_NAME: &str = "my-plugin";
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

    fn guide(&self) -> Guide {
        Guide {
            title: "Rust",
            tools: "Rust 1.95 or later with the target wasm32-unknown-unknown",
            source: "src/lib.rs",
            tests: "cargo test                              # natively, without WebAssembly",
            does: "trims the white space around one text column",
            config: "{ column = \"name\" }",
            deadline: "100ms",
            memory: "64MiB",
            ignored: "/target/\n",
        }
    }

    fn files(&self, name: &str) -> Vec<(PathBuf, String)> {
        let mut files = template("rust");
        for (file, text) in &mut files {
            *text = text.replace(TEMPLATE_NAME, name);
            // Its name in the code, and in the name of what is built.
            *text = text.replace("my_plugin", &name.replace('-', "_"));
            if file == Path::new("Cargo.toml") {
                *text = manifest(text);
            }
        }
        files
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["rust", "wit"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join("Cargo.toml").is_file()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        let libraries = ["--print", "target-libdir", "--target", TARGET];
        let libraries = Tool::new(folder, "rustc", INSTALL_RUST).with(libraries).output()?;
        if !Path::new(libraries.trim()).is_dir() {
            let message = format!("the Rust compiler has no library for {TARGET}");
            return Err(Obstacle::new("BUILD_TOOL_MISSING", message, INSTALL_TARGET));
        }
        let arguments =
            ["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
        let messages = Tool::new(folder, "cargo", INSTALL_RUST).with(arguments).output()?;
        let Some(module) = messages.lines().filter_map(module).next_back() else {
            let message = "cargo built no WebAssembly module";
            let next = "write crate-type = [\"cdylib\", \"rlib\"] under [lib] in Cargo.toml";
            return Err(Obstacle::new("BUILD_NOT_A_PLUGIN", message, next));
        };
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Built { name, wasm: componentize(&read_built(&module)?)? })
    }
}

/// The template's manifest, without what is said to who copies it, and with the way to the SDK.
fn manifest(template: &str) -> String {
    let lines = template.lines().filter(|line| {
        !line.starts_with("# A plugin to begin with") && !line.starts_with("# Where you copied")
    });
    let lines = lines.map(|line| match line.starts_with("offtake-sdk = ") {
        true => "offtake-sdk = { path = \"offtake-sdk/rust\" }\n".to_owned(),
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

/// The component of a core module that carries its world.
fn componentize(module: &[u8]) -> Result<Vec<u8>, Obstacle> {
    let refused = |what: &str, error: &dyn fmt::Display| {
        let next = "export a plugin (offtake_sdk::export!), and build for wasm32-unknown-unknown: a \
                    plugin reaches no file, network or clock";
        Obstacle::new("BUILD_NOT_A_PLUGIN", format!("{what}: {error}"), next)
    };
    let encoder = wit_component::ComponentEncoder::default().module(module);
    let encoder = encoder
        .map_err(|error| refused("its embedded WIT world cannot be read", &format!("{error:#}")))?;
    encoder
        .validate(true)
        .encode()
        .map_err(|error| refused("it cannot be made a component", &format!("{error:#}")))
}
