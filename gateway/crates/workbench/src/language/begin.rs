//! A new plugin: the template of its language, the SDK beside it, and a README with the way from there
//! to a stream. What differs by language is the language's to say; no tool is called here.

use std::io;
use std::path::{Path, PathBuf};

use super::{Guide, Language, Obstacle, SDK, embedded};

/// Writes a new plugin into a folder of its name below `parent`. `sdk`: the folder `sdk` of Offtake's
/// repository, which is linked in place of a copy of the SDK. Gives what to write into the gateway's
/// configuration.
///
/// # Errors
/// The name cannot be one, or the folder is there already or cannot be written.
pub fn begin(
    language: &dyn Language,
    parent: &Path,
    name: &str,
    sdk: Option<&Path>,
) -> Result<String, Obstacle> {
    check_name(name)?;
    check_sdk(language, sdk)?;
    let folder = parent.join(name);
    if folder.exists() {
        let message = format!("{} is there already", folder.display());
        return Err(Obstacle::new("PLUGIN_FOLDER", message, "take another name, or remove it"));
    }
    let guide = language.guide();
    let mut files = language.files(name);
    if !files.iter().any(|(path, _)| path == Path::new("README.md")) {
        files.push(("README.md".into(), readme(&guide, name)));
    }
    files.push((".gitignore".into(), format!("{}/*.wasm\n", guide.ignored)));
    if sdk.is_none() {
        files.extend(language.sdk().iter().flat_map(|part| copy(part)));
    }
    for (path, text) in files {
        put(&folder.join(path), &text)?;
    }
    if let Some(sdk) = sdk {
        let link = folder.join(SDK);
        std::os::unix::fs::symlink(sdk, &link).map_err(|error| unwritable(&link, &error))?;
    }
    Ok(on_stream(&guide, name))
}

fn check_name(name: &str) -> Result<(), Obstacle> {
    if is_name(name) {
        return Ok(());
    }
    let message = format!("{name:?} cannot be a plugin's name");
    let rule = "take lower case letters, digits and -, at most 64, a letter first: trim-names";
    let meant = name.trim().to_lowercase().replace(['_', ' ', '.'], "-");
    let next = match is_name(&meant) {
        true => format!("did you mean {meant}? {rule}"),
        false => rule.to_owned(),
    };
    Err(Obstacle::new("PLUGIN_NAME", message, next))
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    begins && name.bytes().all(good) && name.len() <= 64 && !name.ends_with('-')
}

fn check_sdk(language: &dyn Language, sdk: Option<&Path>) -> Result<(), Obstacle> {
    let Some(sdk) = sdk else { return Ok(()) };
    let missing = language.sdk().iter().map(|part| sdk.join(part)).find(|part| !part.is_dir());
    missing.map_or(Ok(()), |missing| {
        let message = format!("{} is no folder", missing.display());
        let next = "name the folder `sdk` of Offtake's repository, or leave --sdk out: then the \
                    plugin has a copy";
        Err(Obstacle::new("PLUGIN_SDK", message, next))
    })
}

/// A part of the SDK, where a plugin has it; the template is its begin, and no part of it.
fn copy(part: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let below = Path::new(SDK).join(part);
    let of_sdk = embedded(part).filter(|(file, _)| !file.starts_with("template/"));
    of_sdk.map(move |(file, text)| (below.join(file), text.to_owned()))
}

fn put(path: &Path, text: &str) -> Result<(), Obstacle> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Obstacle {
    let message = format!("{} cannot be written: {error}", path.display());
    Obstacle::new("PLUGIN_FOLDER", message, "check the folder's permissions")
}

/// What puts the template on a stream.
fn on_stream(guide: &Guide, name: &str) -> String {
    let file = name.replace('-', "_");
    let Guide { config, deadline, memory, .. } = guide;
    format!(
        "[plugin.{file}]\n\
         wasm = \"{name}/{file}.wasm\"\n\
         config = {config}\n\
         deadline = \"{deadline}\"\n\
         memory = \"{memory}\"\n\
         \n\
         [[route]]\n\
         tables = [\"public.people\"]\n\
         plugins = [\"{file}\"]\n"
    )
}

fn readme(guide: &Guide, name: &str) -> String {
    let file = name.replace('-', "_");
    let Guide { title, tools, source, tests, does, .. } = guide;
    let tests = match tests {
        &"" => String::new(),
        command => format!("{command}\n"),
    };
    format!(
        "# {name}\n\
         \n\
         A plugin for Offtake in {title} that {does}. It needs {tools}.\n\
         \n\
         ```sh\n\
         offtake plugin build                    # {file}.wasm\n\
         offtake plugin test {file}.wasm\n\
         {tests}```\n\
         \n\
         `{source}` is the plugin. `fixtures/` has changes and what is expected to leave: add a folder \
         for each case, and accept what leaves with `--update`, once you have read it. The SDK and what \
         it says about itself: `{SDK}/`.\n\
         \n\
         On your stream, in `offtake.toml`:\n\
         \n\
         ```toml\n\
         {}```\n",
        on_stream(guide, name)
    )
}
