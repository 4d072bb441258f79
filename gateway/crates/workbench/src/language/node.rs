//! What AssemblyScript and TypeScript share: Node, and packages that npm puts into the plugin's own
//! `node_modules`, of the versions that its `package.json` names.

use std::path::Path;

use serde_json::{Map, Value};

use super::tool::{Tool, require};
use super::{Obstacle, embedded};

/// What both compilers need.
const LEAST: (u32, u32) = (20, 0);
const INSTALL_NODE: &str = "install Node 20 or later with npm, from https://nodejs.org or your \
                            system's packages: apt-get install nodejs npm";

/// Makes sure of Node, and that the plugin's packages are there as its `package.json` names them.
///
/// # Errors
/// A tool is missing or too old, or npm could not get a package.
pub(super) fn prepare(folder: &Path) -> Result<(), Obstacle> {
    require(folder, "node", "--version", LEAST, INSTALL_NODE)?;
    if is_installed(folder) {
        return Ok(());
    }
    // What packages would run on installation is not needed by any of these.
    let arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    Tool::new(folder, "npm", INSTALL_NODE).with(arguments).run()
}

/// Whether npm has been here since `package.json` was last changed.
fn is_installed(folder: &Path) -> bool {
    let changed = |path: &str| folder.join(path).metadata().and_then(|file| file.modified()).ok();
    match (changed("node_modules/.package-lock.json"), changed("package.json")) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    }
}

/// A call of Node.
pub(super) fn node(folder: &Path) -> Tool {
    Tool::new(folder, "node", INSTALL_NODE)
}

/// The versions of packages that an SDK's `package.json` names.
pub(super) fn versions(sdk: &str) -> Map<String, Value> {
    let text = embedded(sdk).find(|(path, _)| *path == "package.json").map_or("", |found| found.1);
    let package: Value = serde_json::from_str(text).unwrap_or_default();
    let all = ["dependencies", "devDependencies"].into_iter();
    let all = all.filter_map(|kind| package[kind].as_object()).flatten();
    all.map(|(name, version)| (name.clone(), version.clone())).collect()
}

/// A document as a file has it.
pub(super) fn document(value: &Value) -> String {
    format!("{value:#}\n")
}
