//! The components that were at work, kept by their digest in the log's folder.
//!
//! A transaction of which the first rows are in the log is finished by the components that began it,
//! also where the file was replaced meanwhile; and a rollback needs the one before. Kept are those at
//! work and the one before each; the rest is removed. Configurations are not kept: they may hold
//! secrets.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::chain::hexadecimal;
use super::super::halt::Halt;

/// The folder in the log's.
const FOLDER: &str = "plugins";
/// Which components are whose.
const INDEX: &str = "versions.json";

/// What is known of a plugin's versions; digests are SHA-256, hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// At work.
    pub current: String,
    /// The configuration that it has; it is not kept itself, for it may hold secrets.
    #[serde(default)]
    pub config: Option<String>,
    /// At work before.
    pub previous: Option<String>,
    /// The configuration that it last had.
    #[serde(default)]
    pub previous_config: Option<String>,
    /// The one that a rollback took out: while the file is still this one, `current` is used.
    pub rolled_back: Option<String>,
    /// The last one that a reload refused.
    #[serde(default)]
    pub refused: Option<Refused>,
}

/// A component that a reload refused: a restart, whatever caused it, does not put it to work either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its digest.
    pub component: String,
    /// The digest of the plugin's settings that it was refused with; `None`: it is refused with any.
    pub settings: Option<String>,
    /// The code of what was wrong.
    pub code: String,
}

impl Refused {
    /// What a reload refused with these settings; `None`: it was not the component's fault, or waits for
    /// something that a restart brings.
    pub fn new(halt: &Halt, component: &[u8], settings: String) -> Option<Refused> {
        const PASSING: [&str; 6] = [
            "PLUGIN_STATE_NOT_GRANTED",
            "PLUGIN_STATE_UNUSED",
            "PLUGIN_ENGINE",
            "PLUGIN_HOST",
            "PLUGIN_UNREADABLE",
            "PLUGIN_KEPT_UNUSABLE",
        ];
        let code = &*halt.code;
        let is_of_plugin = code.starts_with("PLUGIN_") && !PASSING.contains(&code);
        let is_unprotected = code == "RELOAD_UNPROTECTED";
        if !is_of_plugin
            && !is_unprotected
            && !matches!(code, "RELOAD_TRIAL_FAILED" | "CONFIG_INVALID")
        {
            return None;
        }
        Some(Refused {
            component: hexadecimal(&Sha256::digest(component)),
            // No other configuration makes it protect something.
            settings: (!is_unprotected).then_some(settings),
            code: code.to_owned(),
        })
    }
}

/// Why a plugin's file is not what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The component that is used.
    pub used: String,
    /// `PLUGIN_ROLLED_BACK` or `PLUGIN_REFUSED_BEFORE`.
    pub code: &'static str,
    /// For a person.
    pub why: String,
}

impl Versions {
    fn take(&mut self, version: Version<'_>) {
        if self.current != version.component {
            self.previous = Some(std::mem::take(&mut self.current)).filter(|it| !it.is_empty());
            self.previous_config = self.config.take().filter(|_| self.previous.is_some());
            self.current = version.component.to_owned();
        }
        self.config = Some(version.config.to_owned());
        self.refused = self.refused.take().filter(|it| it.component != version.component);
    }
}

/// A version of a plugin; digests as in [`Versions`].
#[derive(Clone, Copy, Debug)]
pub struct Version<'v> {
    /// Of the component.
    pub component: &'v str,
    /// Of the configuration.
    pub config: &'v str,
}

/// The components that are kept.
#[derive(Debug)]
pub struct Components {
    folder: PathBuf,
    versions: BTreeMap<String, Versions>,
}

impl Components {
    /// These, leaving an empty list in their place.
    pub fn take(&mut self) -> Components {
        Components { folder: self.folder.clone(), versions: std::mem::take(&mut self.versions) }
    }

    /// Those in a log's folder; none yet where there is nothing.
    ///
    /// # Errors
    /// The index is there and cannot be read.
    pub fn open(log_folder: &Path) -> Result<Components, Halt> {
        let folder = log_folder.join(FOLDER);
        let versions = match fs::read(folder.join(INDEX)) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| unusable(&folder.join(INDEX), &io::Error::other(error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(unusable(&folder.join(INDEX), &error)),
        };
        Ok(Components { folder, versions })
    }

    /// What is known of a plugin, by its name in the configuration.
    pub fn versions(&self, plugin: &str) -> Option<&Versions> {
        self.versions.get(plugin)
    }

    /// Why something else is used than the file, which has this digest: it was rolled back, or
    /// refused with these settings. `settings`: their digest.
    pub fn held_back(&self, plugin: &str, file: &str, settings: &str) -> Option<HeldBack> {
        let versions = self.versions.get(plugin)?;
        let held = |code, why| Some(HeldBack { used: versions.current.clone(), code, why });
        if versions.rolled_back.as_deref() == Some(file) {
            return held("PLUGIN_ROLLED_BACK", "is still the version that was rolled back".into());
        }
        let refused = versions.refused.as_ref().filter(|it| it.component == file)?;
        if refused.settings.as_ref().is_some_and(|with| with != settings)
            || versions.current.is_empty()
            || versions.current == file
        {
            return None;
        }
        let why = format!("is still one that a reload refused ({})", refused.code);
        held("PLUGIN_REFUSED_BEFORE", why)
    }

    /// A reload refused a component.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn refuse(&mut self, plugin: &str, refused: Refused) -> Result<(), Halt> {
        let mut new = self.versions.get(plugin).cloned().unwrap_or_default();
        new.refused = Some(refused);
        self.set(plugin, Some(new))
    }

    /// A component that is kept.
    ///
    /// # Errors
    /// It is not, or it is damaged.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>, Halt> {
        let path = self.path(digest);
        let component = fs::read(&path).map_err(|error| unusable(&path, &error))?;
        if hexadecimal(&Sha256::digest(&component)) != digest {
            return Err(unusable(&path, &io::Error::other("its content is not of that digest")));
        }
        Ok(component)
    }

    /// Whether a component is kept.
    pub fn holds(&self, digest: &str) -> bool {
        self.path(digest).is_file()
    }

    /// Keeps a component, before it is at work.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, component: &[u8]) -> Result<(), Halt> {
        let path = self.path(&hexadecimal(&Sha256::digest(component)));
        if path.is_file() {
            return Ok(());
        }
        self.write(&path, component)
    }

    /// A version is put to work. `rolled_back`: in place of this component. Gives what was known
    /// before, for [`Components::put_back`].
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn at_work(
        &mut self,
        plugin: &str,
        version: Version<'_>,
        rolled_back: Option<&str>,
    ) -> Result<Option<Versions>, Halt> {
        let before = self.versions.get(plugin).cloned();
        let mut new = before.clone().unwrap_or_default();
        new.take(version);
        new.rolled_back = rolled_back.map(str::to_owned);
        self.set(plugin, Some(new))?;
        Ok(before)
    }

    /// A version was not put to work after all.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn put_back(&mut self, plugin: &str, before: Option<Versions>) -> Result<(), Halt> {
        self.set(plugin, before)
    }

    /// The pipeline starts with a version, and `next` takes over where it only finishes a
    /// transaction. A rollback holds as long as what it put to work is what is chosen.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn started(
        &mut self,
        plugin: &str,
        at_work: Version<'_>,
        next: Option<Version<'_>>,
    ) -> Result<(), Halt> {
        let mut new = self.versions.get(plugin).cloned().unwrap_or_default();
        let chosen = next.unwrap_or(at_work);
        let rolled_back = new.rolled_back.take().filter(|_| new.current == chosen.component);
        new.take(chosen);
        if at_work.component != chosen.component {
            new.previous = Some(at_work.component.to_owned());
            new.previous_config = Some(at_work.config.to_owned());
        }
        new.rolled_back = rolled_back;
        self.set(plugin, Some(new))
    }

    fn set(&mut self, plugin: &str, versions: Option<Versions>) -> Result<(), Halt> {
        if self.versions.get(plugin) == versions.as_ref() {
            return Ok(());
        }
        match versions {
            Some(versions) => self.versions.insert(plugin.to_owned(), versions),
            None => self.versions.remove(plugin),
        };
        self.write_index()
    }

    /// Forgets plugins that are not in the configuration, and removes components that nobody needs.
    ///
    /// # Errors
    /// The index cannot be written.
    pub fn tidy(&mut self, plugins: &[&str]) -> Result<(), Halt> {
        let before = self.versions.len();
        self.versions.retain(|name, _| plugins.contains(&&**name));
        if self.versions.len() != before {
            self.write_index()?;
        }
        let needed: Vec<String> = self
            .versions
            .values()
            .flat_map(|it| [Some(&it.current), it.previous.as_ref()])
            .flatten()
            .map(|digest| format!("{digest}.wasm"))
            .collect();
        let Ok(files) = fs::read_dir(&self.folder) else { return Ok(()) };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".wasm") && !needed.contains(&name) {
                // What cannot be removed takes room and nothing else.
                let _ = fs::remove_file(file.path());
            }
        }
        Ok(())
    }

    fn write_index(&self) -> Result<(), Halt> {
        let path = self.folder.join(INDEX);
        let text = serde_json::to_vec_pretty(&self.versions)
            .map_err(|error| unusable(&path, &io::Error::other(error)))?;
        self.write(&path, &text)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// All of it or nothing, also after a crash.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Halt> {
        let written = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let unfinished = path.with_extension("new");
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        written().map_err(|error: io::Error| unusable(path, &error))
    }
}

fn unusable(path: &Path, error: &io::Error) -> Halt {
    Halt::new(
        "PLUGIN_KEPT_UNUSABLE",
        format!("the plugin versions that are kept: {}: {error}", path.display()),
        "give the gateway's user the log folder to read and write, or remove that file: what it \
         holds is needed for a rollback and for a transaction that was left in its middle",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(content: &[u8]) -> String {
        hexadecimal(&Sha256::digest(content))
    }

    fn version(component: &str) -> Version<'_> {
        Version { component, config: "config" }
    }

    #[test]
    fn the_one_at_work_and_the_one_before_stay_and_older_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        for content in [b"one", b"two", b"six"] {
            components.keep(content).unwrap();
            components.at_work("mask", version(&digest(content)), None).unwrap();
        }
        components.tidy(&["mask"]).unwrap();
        let again = Components::open(folder.path()).unwrap();
        let versions = again.versions("mask").unwrap();
        assert_eq!(
            (&versions.current, &versions.previous),
            (&digest(b"six"), &Some(digest(b"two")))
        );
        assert_eq!(again.read(&digest(b"two")).unwrap(), b"two");
        assert!(!again.holds(&digest(b"one")));
        components.tidy(&[]).unwrap();
        assert!(!again.holds(&digest(b"six")), "the plugin is gone from the configuration");
    }

    fn chosen(components: &Components, file: &str) -> Option<String> {
        components.held_back("mask", file, "settings").map(|held| held.used)
    }

    #[test]
    fn a_component_that_was_refused_is_not_used_with_the_same_settings() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        components.started("mask", version("good"), None).unwrap();
        let refused = |settings: Option<&str>| Refused {
            component: "bad".to_owned(),
            settings: settings.map(str::to_owned),
            code: "RELOAD_TRIAL_FAILED".to_owned(),
        };
        components.refuse("mask", refused(Some("settings"))).unwrap();
        components.tidy(&["mask"]).unwrap();
        let mut again = Components::open(folder.path()).unwrap();
        assert_eq!(chosen(&again, "bad").as_deref(), Some("good"));
        assert_eq!(chosen(&again, "better"), None);
        assert_eq!(again.held_back("mask", "bad", "others"), None);
        again.refuse("mask", refused(None)).unwrap();
        assert!(again.held_back("mask", "bad", "others").is_some());
        // Until it is at work after all.
        again.started("mask", version("bad"), None).unwrap();
        assert_eq!(chosen(&again, "bad"), None);
        again.started("mask", version("good"), None).unwrap();
        assert_eq!(chosen(&again, "bad"), None);
    }

    #[test]
    fn a_file_that_was_rolled_back_is_not_chosen_until_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        components.at_work("mask", version("good"), None).unwrap();
        components.at_work("mask", version("bad"), None).unwrap();
        assert_eq!(chosen(&components, "bad"), None);
        components.at_work("mask", version("good"), Some("bad")).unwrap();
        assert_eq!(chosen(&components, "bad").as_deref(), Some("good"));
        assert_eq!(chosen(&components, "better"), None);
        components.at_work("mask", version("better"), None).unwrap();
        assert_eq!(chosen(&components, "bad"), None);
    }

    #[test]
    fn what_was_not_put_to_work_is_not_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        components.at_work("mask", version("first"), None).unwrap();
        components.at_work("mask", version("second"), None).unwrap();
        let before = components.at_work("mask", version("refused"), None).unwrap();
        components.put_back("mask", before).unwrap();
        let again = Components::open(folder.path()).unwrap();
        let versions = again.versions("mask").unwrap();
        assert_eq!((&*versions.current, versions.previous.as_deref()), ("second", Some("first")));
        // Also where it would have taken a rollback's place.
        components.at_work("mask", version("first"), Some("second")).unwrap();
        let before = components.at_work("mask", version("second"), None).unwrap();
        components.put_back("mask", before).unwrap();
        assert_eq!(chosen(&components, "second").as_deref(), Some("first"));
    }

    #[test]
    fn a_rollback_outlives_any_number_of_starts_that_finish_a_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        components.started("mask", version("good"), None).unwrap();
        components.at_work("mask", version("bad"), None).unwrap();
        components.at_work("mask", version("good"), Some("bad")).unwrap();
        for _ in 0..2 {
            assert_eq!(chosen(&components, "bad").as_deref(), Some("good"));
            components.started("mask", version("bad"), Some(version("good"))).unwrap();
            let versions = components.versions("mask").unwrap();
            assert_eq!(versions.previous.as_deref(), Some("bad"), "it is needed at the next start");
        }
        components.started("mask", version("good"), None).unwrap();
        assert_eq!(chosen(&components, "bad").as_deref(), Some("good"));
        components.started("mask", version("better"), None).unwrap();
        assert_eq!(chosen(&components, "bad"), None);
    }

    #[test]
    fn the_configuration_of_the_version_before_is_told_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let mut components = Components::open(folder.path()).unwrap();
        for (component, config) in [("one", "a"), ("one", "b"), ("two", "c"), ("two", "d")] {
            components.at_work("mask", Version { component, config }, None).unwrap();
        }
        let versions = components.versions("mask").unwrap();
        assert_eq!(versions.config.as_deref(), Some("d"));
        assert_eq!(versions.previous_config.as_deref(), Some("b"));
    }

    #[test]
    fn a_component_that_is_damaged_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::open(folder.path()).unwrap();
        components.keep(b"one").unwrap();
        fs::write(components.path(&digest(b"one")), b"two").unwrap();
        assert_eq!(components.read(&digest(b"one")).unwrap_err().code, "PLUGIN_KEPT_UNUSABLE");
    }
}
