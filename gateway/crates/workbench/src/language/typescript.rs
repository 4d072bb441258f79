//! TypeScript and JavaScript: the compiler checks the types, and the SDK's own `build.mjs` makes a
//! component by esbuild and componentize-qjs, which npm puts beside the plugin.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Built, Guide, Language, Obstacle, file_name, node, read_built, sdk_in, template};

/// What the plugin may be called.
const ENTRIES: [&str; 3] = ["plugin.ts", "plugin.js", "plugin.mjs"];
const BUILD: &str = "offtake-sdk/typescript/bin/build.mjs";

pub(super) struct TypeScript;

impl Language for TypeScript {
    fn name(&self) -> &'static str {
        "ts"
    }

    fn guide(&self) -> Guide {
        Guide {
            title: "TypeScript",
            tools: "Node 20 or later with npm; the other tools come with the first build",
            source: "plugin.ts",
            tests: "npm test                                # in Node, without WebAssembly",
            does: "covers all but the first characters of one text column",
            config: "{ column = \"email\", keep_first = 1 }",
            deadline: "100ms",
            memory: "64MiB",
            ignored: "/node_modules/\n/*.bundle.js\n",
        }
    }

    fn files(&self, name: &str) -> Vec<(PathBuf, String)> {
        let mut files = template("typescript");
        files.push(("package.json".into(), package(name)));
        files.push(("tsconfig.json".into(), checks()));
        files
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["typescript", "wit"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        ENTRIES.iter().any(|entry| folder.join(entry).is_file())
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        sdk_in(folder, "typescript")?;
        node::prepare(folder)?;
        let name = file_name(folder);
        let entry = ENTRIES.iter().find(|entry| folder.join(entry).is_file());
        let entry = entry.copied().unwrap_or(ENTRIES[0]);
        // The bundler takes types away without a look at them.
        if entry == ENTRIES[0] && folder.join("tsconfig.json").is_file() {
            let check = ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."];
            node::node(folder).with(check).run()?;
        }
        // The bundle stays beside the plugin: places in failures are places in it. A linked SDK takes
        // its packages from the plugin's folder too.
        let module = format!("{name}.wasm");
        let arguments = ["--preserve-symlinks", "--preserve-symlinks-main", BUILD, entry, "-o"];
        node::node(folder).with(arguments).with([&module]).output()?;
        Ok(Built { name, wasm: read_built(&folder.join(module))? })
    }
}

/// The plugin's package, with the tools of the versions that the SDK is for.
fn package(name: &str) -> String {
    let package: Value = json!({
        "name": name,
        "private": true,
        "type": "module",
        "scripts": {
            "check": "tsc --noEmit -p .",
            "test": "node --preserve-symlinks --preserve-symlinks-main \
                     offtake-sdk/typescript/bin/test.mjs .",
        },
        "devDependencies": node::versions("typescript"),
    });
    node::document(&package)
}

/// The SDK's own strictness, for the plugin's files.
fn checks() -> String {
    let config: Value = json!({
        "extends": "./offtake-sdk/typescript/tsconfig.json",
        "include": ["*.ts", "offtake-sdk/typescript/src"],
    });
    node::document(&config)
}
