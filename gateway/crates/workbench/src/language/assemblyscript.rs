//! AssemblyScript: asc, which npm puts beside the plugin, makes a core module.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Built, Guide, Language, Obstacle, file_name, node, read_built, scratch, template};

const COMPILER: &str = "node_modules/assemblyscript/bin/asc.js";

pub(super) struct AssemblyScript;

impl Language for AssemblyScript {
    fn name(&self) -> &'static str {
        "as"
    }

    fn guide(&self) -> Guide {
        Guide {
            title: "AssemblyScript",
            tools: "Node 20 or later with npm; the compiler comes with the first build",
            source: "assembly/index.ts",
            tests: "",
            does: "covers all but the first characters of one text column",
            config: "{ column = \"email\", keep_first = 1 }",
            deadline: "100ms",
            memory: "64MiB",
            ignored: "/node_modules/\n",
        }
    }

    fn files(&self, name: &str) -> Vec<(PathBuf, String)> {
        let mut files = template("assemblyscript");
        for (path, text) in &mut files {
            if path == Path::new("package.json") {
                *text = package(name);
            } else if path == Path::new("asconfig.json") {
                *text = text.replace("my-plugin", &name.replace('-', "_"));
            }
        }
        files
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["assemblyscript"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join("asconfig.json").is_file()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        node::prepare(folder)?;
        let (name, scratch) = (file_name(folder), scratch()?);
        let module = scratch.path().join("plugin.wasm");
        node::node(folder)
            .with([COMPILER, "assembly/index.ts", "--target", "release", "-o"])
            .with([&module])
            .run()?;
        Ok(Built { name, wasm: read_built(&module)? })
    }
}

/// The plugin's package: the SDK from its folder, the compiler of the version that the SDK is for.
fn package(name: &str) -> String {
    let package: Value = json!({
        "name": name,
        "version": "1.0.0",
        "private": true,
        "scripts": { "build": "asc assembly/index.ts --target release" },
        "dependencies": { "offtake-sdk": "file:offtake-sdk/assemblyscript" },
        "devDependencies": node::versions("assemblyscript"),
    });
    node::document(&package)
}
