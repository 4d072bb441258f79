//! What plugins cost: `make bench-plugins`.
//!
//! `plugin_bench FOLDER [LANGUAGE]…` measures the plugins that tests/bench/plugins/build.sh made in a
//! folder, prints a table, and writes the figures into `FOLDER.json`. It fails where a plugin does not
//! do what it is measured for, never for a figure.

mod changes;
mod measure;
mod record;
mod report;
mod shapes;

use std::path::{Path, PathBuf};

use offtake_transform::{Engine, EngineOptions};

use crate::changes::Changes;
use crate::measure::{Engines, Subject};

const LANGUAGES: [&str; 6] = ["rust", "go", "c", "assemblyscript", "python", "typescript"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: plugin_bench FOLDER [LANGUAGE]…")?);
    let mut languages: Vec<String> = arguments.collect();
    if languages.is_empty() {
        languages = LANGUAGES.map(str::to_owned).to_vec();
    }
    measure(&folder, &languages)?;
    Ok(())
}

fn measure(folder: &Path, languages: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let options = EngineOptions { cache_dir: Some(folder.join("compiled")) };
    let engines = Engines {
        limited: Engine::new(options.clone())?,
        unlimited: Engine::uninterrupted(options)?,
    };
    let changes = Changes::new();
    let mut measured = Vec::with_capacity(languages.len());
    for language in languages {
        eprintln!("measuring {language}");
        let subject = Subject::read(folder, language, &engines)?;
        let found = subject.measure(&changes).map_err(|error| format!("{language}: {error}"))?;
        print!("{}", report::table(&found));
        measured.push(found);
    }
    print!("{}", report::summary(&measured));
    let out = folder.with_extension("json");
    std::fs::write(&out, format!("{:#}\n", report::json(&measured)))?;
    println!("\nwritten to {}", out.display());
    Ok(())
}
