//! Python: the SDK's own `build.py` makes a component with the interpreter in it, by componentize-py,
//! which pip puts into the plugin's own `.venv`.

use std::path::{Path, PathBuf};

use super::tool::{Tool, require};
use super::{Built, Guide, Language, Obstacle, file_name, read_built, scratch, sdk_in, template};

/// What componentize-py and the SDK need.
const LEAST: (u32, u32) = (3, 10);
const INSTALL_PYTHON: &str = "install Python 3.10 or later, from https://www.python.org or your \
                              system's packages: apt-get install python3 python3-venv";
const INSTALL_VENV: &str = "apt-get install python3-venv";

pub(super) struct Python;

impl Language for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn guide(&self) -> Guide {
        Guide {
            title: "Python",
            tools: "Python 3.10 or later with venv; the other tools come with the first build",
            source: "plugin.py",
            tests: "PYTHONPATH=offtake-sdk/python .venv/bin/python -m pytest test_plugin.py",
            does: "covers all but the first characters of one text column",
            config: "{ column = \"email\", keep_first = 1 }",
            // The interpreter takes its time over large values, and grows by and by.
            deadline: "250ms",
            memory: "128MiB",
            ignored: "/.venv/\n__pycache__/\n.pytest_cache/\n",
        }
    }

    fn files(&self, _name: &str) -> Vec<(PathBuf, String)> {
        template("python")
    }

    fn sdk(&self) -> &'static [&'static str] {
        &["python", "wit"]
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join("plugin.py").is_file()
    }

    fn build(&self, folder: &Path) -> Result<Built, Obstacle> {
        let (sdk, wit) = (sdk_in(folder, "python")?, sdk_in(folder, "wit")?);
        let python = prepare(folder, &sdk.join("requirements.txt"))?;
        let (name, scratch) = (file_name(folder), scratch()?);
        let module = scratch.path().join("plugin.wasm");
        Tool::new(folder, python, INSTALL_PYTHON)
            .with([sdk.join("bin/build.py")])
            .with([".", "--wit"])
            .with([wit])
            .with(["-o"])
            .with([&module])
            .run()?;
        Ok(Built { name, wasm: read_built(&module)? })
    }
}

/// Makes sure that componentize-py is in the plugin's `.venv` in the version that the SDK names, and
/// gives the path of the Python there.
fn prepare(folder: &Path, requirements: &Path) -> Result<PathBuf, Obstacle> {
    let environment = folder.join(".venv");
    let (python, componentizer) =
        (environment.join("bin/python"), environment.join("bin/componentize-py"));
    let wanted = pinned(&String::from_utf8_lossy(&read_built(requirements)?));
    if componentizer.is_file() {
        let said =
            Tool::new(folder, &componentizer, INSTALL_PYTHON).with(["--version"]).output()?;
        if said.split_whitespace().next_back() == wanted.as_deref() {
            return Ok(python);
        }
    }
    if !python.is_file() {
        require(folder, "python3", "--version", LEAST, INSTALL_PYTHON)?;
        // Debian has it as a package of its own, and would leave half an environment.
        let asked = Tool::new(folder, "python3", INSTALL_PYTHON).with(["-c", "import ensurepip"]);
        asked.output().map_err(|_| {
            let message = "python3 cannot make an environment of its own (.venv)";
            Obstacle::new("BUILD_TOOL_MISSING", message, INSTALL_VENV)
        })?;
        Tool::new(folder, "python3", INSTALL_PYTHON).with(["-m", "venv", ".venv"]).run()?;
    }
    Tool::new(folder, &python, INSTALL_PYTHON)
        .with(["-m", "pip", "install", "--disable-pip-version-check", "-r"])
        .with([requirements])
        .run()?;
    Ok(python)
}

/// The version of componentize-py that requirements name.
fn pinned(requirements: &str) -> Option<String> {
    let mut lines = requirements.lines();
    lines.find_map(|line| Some(line.trim().strip_prefix("componentize-py==")?.to_owned()))
}
