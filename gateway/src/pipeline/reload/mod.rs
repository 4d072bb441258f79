//! New versions of plugins without a stop: read, compiled, tried, then put to work.
//!
//! Everything that can be wrong is found beside the pipeline, which goes on meanwhile: the
//! configuration is read again, what differs is compiled and configured, told every table, and run
//! over recent changes. Only then is the worker asked to switch, which it does between two
//! transactions. What fails on the way leaves the plugins at work as they were.
//!
//! Names, order and routes of plugins do not change this way: they need a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use offtake_config::{Config, PluginSource};
use offtake_log::Log;
use offtake_source_postgres::Sample;
use offtake_transform::{Engine, EngineOptions};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::build::{configured, digest, read_component, source_halt, source_options};
use super::chain::{Configured, hexadecimal, plugin_halt};
use super::chosen::settings_digest;
use super::halt::Halt;
use super::live::{Live, is_same_version};
use super::router::Router;
use super::worker::Switch;

mod asking;
mod capture;
mod checks;
mod files;
mod inputs;
mod record;
mod reread;
mod trial;
mod versions;

pub use capture::Capture;
pub use files::watch_plugins;
pub use inputs::RecentInputs;
pub use record::{Recording, Wanted};
pub use trial::TrialReport;
pub use versions::{Components, HeldBack, Version};

use asking::{TookOver, ask};
use checks::check_replacement;
use trial::Setting;
use versions::{Refused, Versions};

/// Rows that are read of each table for a trial, at most.
pub const MOST_ROWS: u64 = 100_000;
/// How long a reload waits for another one.
const BUSY: Duration = Duration::from_secs(30);

/// What a reload or a rollback did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The plugins that changed; empty: none did.
    pub changed: Vec<Changed>,
    /// The sequence from which on the new ones work.
    pub from_sequence: Option<u64>,
    /// What the trial before the switch found.
    pub trial: Option<TrialReport>,
    /// What was not taken over, and what else whoever asked should know.
    pub warnings: Vec<String>,
}

/// A plugin that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its name in the configuration.
    pub plugin: String,
    /// SHA-256 of the component before, hexadecimal.
    pub before: String,
    /// The same of the one now; equal where only configuration or limits changed.
    pub after: String,
}

/// What a reload works with.
pub struct Reloader {
    /// The configuration's file.
    pub config_file: PathBuf,
    /// The configuration as it runs.
    pub config: Config,
    /// The routes.
    pub router: Router,
    /// The log.
    pub log: Log,
    /// The plugins at work.
    pub live: Arc<Live>,
    /// What trials run over.
    pub inputs: Arc<RecentInputs>,
    /// To the worker.
    pub switches: flume::Sender<Switch>,
    /// The components that are kept; one reload at a time.
    pub components: Mutex<Components>,
}

/// The version of a plugin that is to take over, with its component.
struct Candidate {
    configured: Configured,
    component: Vec<u8>,
}

impl Reloader {
    /// Reads the configuration again and puts to work what differs of the plugins of these names;
    /// of all where there are none. `files`: which of them are taken.
    ///
    /// # Errors
    /// What is wrong with the configuration or a plugin, or what the trial found. Nothing changed.
    pub fn reload(&self, names: &[String], files: Files) -> Result<Reloaded, Halt> {
        let mut components = self.components()?;
        let (read, mut warnings) = reread::to_reload(&self.config_file, &self.config)?;
        self.check_names(names)?;
        let live = self.live.get();
        let engine = self.engine()?;
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for (index, plugin) in read.plugins.iter().enumerate() {
            if !names.is_empty() && !names.contains(&plugin.name) {
                continue;
            }
            let mut component = read_component(plugin)?;
            let settings = settings_digest(plugin);
            let file = hexadecimal(&Sha256::digest(&component));
            let held = components.held_back(&plugin.name, &file, &settings);
            let held = held.filter(|_| files == Files::NotHeldBack);
            if let Some(held) = &held {
                warnings.push(format!(
                    "plugin {:?}: its file {}, and stays out: `offtake plugin reload {}` takes it",
                    plugin.name, held.why, plugin.name
                ));
                component = components.read(&held.used)?;
            }
            let configured = configured(&engine, &read, plugin, component.clone());
            let configured = configured.inspect_err(|halt| {
                let refused = Refused::new(halt, &component, settings.clone());
                Self::refuse(&mut components, &plugin.name, refused.filter(|_| held.is_none()));
            })?;
            let at_work = live.get(index);
            if at_work.is_some_and(|at_work| is_same(at_work, &configured)) {
                continue;
            }
            if held.is_none() {
                refused.push((plugin.name.clone(), component.clone(), settings));
            }
            candidates.push((index, Candidate { configured, component }));
        }
        let reloaded = self.put_to_work(&mut components, candidates, Way::Forward);
        let mut reloaded = reloaded.inspect_err(|halt| {
            for (plugin, component, settings) in refused {
                Self::refuse(&mut components, &plugin, Refused::new(halt, &component, settings));
            }
        })?;
        reloaded.warnings.splice(..0, warnings);
        Ok(reloaded)
    }

    /// Writes down what was refused, so that no restart puts it to work.
    fn refuse(components: &mut Components, plugin: &str, refused: Option<Refused>) {
        let written = refused.map_or(Ok(()), |refused| components.refuse(plugin, refused));
        if let Err(Halt { code, cause, .. }) = written {
            tracing::error!(%code, cause, plugin, "that the file is refused cannot be written down");
        }
    }

    /// Puts the component before back to work, under the configuration as the file has it now. What a
    /// trial finds is told and does not stop it: whoever goes back has seen worse.
    ///
    /// # Errors
    /// There is none, or it cannot be at work.
    pub fn roll_back(&self, name: &str) -> Result<Reloaded, Halt> {
        let mut components = self.components()?;
        self.check_names(std::slice::from_ref(&name.to_owned()))?;
        let known = components.versions(name).cloned().unwrap_or_default();
        let Some(previous) = known.previous else {
            return Err(Halt::new(
                "PLUGIN_NO_PREVIOUS",
                format!("plugin {name:?} has had no other component in this log"),
                "put the component that you want at its path, then `offtake plugin reload`; settings \
                 are changed back in the configuration",
            ));
        };
        let component = components.read(&previous)?;
        let (read, mut warnings) = reread::to_roll_back(&self.config_file, &self.config)?;
        let index = self.config.plugins.iter().position(|plugin| plugin.name == name);
        let plugin = read.plugins.iter().find(|plugin| plugin.name == name);
        let (Some(index), Some(plugin)) = (index, plugin) else { return Err(unknown(name)) };
        let configured = configured(&self.engine()?, &read, plugin, component.clone())?;
        let config = hexadecimal(&configured.plugin.config_digest());
        if known.previous_config.is_some_and(|before| before != config) {
            warnings.push(format!(
                "plugin {name:?}: this component last ran with another `config`, which is not kept; \
                 it now has the file's"
            ));
        }
        let candidates = vec![(index, Candidate { configured, component })];
        let mut reloaded = self.put_to_work(&mut components, candidates, Way::Back)?;
        reloaded.warnings.splice(..0, warnings);
        Ok(reloaded)
    }

    /// Reads rows of tables for a trial, so many of each at most, with a connection of its own.
    ///
    /// # Errors
    /// The server's, or that no captured table is meant.
    pub async fn sample(&self, globs: &[String], rows: u64) -> Result<Sample, Halt> {
        if globs.is_empty() {
            return Ok(Sample::default());
        }
        let options = source_options(&self.config)?;
        let rows = rows.clamp(1, MOST_ROWS);
        let known = self.inputs.catalogue();
        let sample = offtake_source_postgres::sample(&options, globs, &known, rows).await;
        let sample = sample.map_err(|error| source_halt(&error))?;
        if sample.tables.is_empty() {
            return Err(Halt::new(
                "TRY_NO_TABLE",
                format!("no captured table is {}", globs.join(", ")),
                "take names or globs of tables that [source] captures, as schema.table",
            ));
        }
        Ok(sample)
    }

    /// Runs a component beside the one at work, over recent changes and rows that were read for it;
    /// nothing is switched.
    ///
    /// # Errors
    /// What is wrong with the component.
    pub fn attempt(
        &self,
        name: &str,
        component: Vec<u8>,
        sample: Sample,
    ) -> Result<TrialReport, Halt> {
        self.check_names(std::slice::from_ref(&name.to_owned()))?;
        let (read, _) = reread::to_reload(&self.config_file, &self.config)?;
        let live = self.live.get();
        let mut tried = live.to_vec();
        let engine = self.engine()?;
        for (plugin, slot) in read.plugins.iter().zip(&mut tried) {
            if plugin.name == name {
                *slot = configured(&engine, &read, plugin, component.clone())?;
            }
        }
        let recorded = self.log.plugins();
        let mut kept = self.inputs.with_captured()?;
        kept.sample = Arc::new(sample);
        Setting { router: &self.router, recorded: &recorded, kept: &kept }
            .compare(&live, &tried, false)
    }

    /// Whether a plugin's file is what is at work.
    fn is_at_work(&self, name: &str, file: &Path) -> bool {
        let Ok(component) = std::fs::read(file) else { return false };
        let digest = <[u8; 32]>::from(Sha256::digest(component));
        let live = self.live.get();
        live.iter().any(|it| it.plugin.name() == name && it.plugin.digest() == digest)
    }

    /// One reload at a time.
    fn components(&self) -> Result<MutexGuard<'_, Components>, Halt> {
        self.components.try_lock_for(BUSY).ok_or_else(|| {
            Halt::new(
                "RELOAD_BUSY",
                "another reload is under way",
                "ask again when it is done: `offtake status` shows the digests",
            )
        })
    }

    fn engine(&self) -> Result<Engine, Halt> {
        let cache_dir = Some(self.config.log.dir.join("compiled"));
        Engine::new(EngineOptions { cache_dir }).map_err(|error| plugin_halt(&error))
    }

    fn check_names(&self, names: &[String]) -> Result<(), Halt> {
        let known = |name: &&String| self.config.plugins.iter().any(|it| it.name == **name);
        names.iter().find(|name| !known(name)).map_or(Ok(()), |name| Err(unknown(name)))
    }

    /// Tries candidates, by their place in the configuration, and has the worker switch to them.
    fn put_to_work(
        &self,
        components: &mut Components,
        candidates: Vec<(usize, Candidate)>,
        way: Way,
    ) -> Result<Reloaded, Halt> {
        let live = self.live.get();
        let mut plugins = live.to_vec();
        let mut reloaded = Reloaded::default();
        for (index, Candidate { configured, .. }) in &candidates {
            let Some(slot) = plugins.get_mut(*index) else { continue };
            check_replacement(slot, configured)?;
            reloaded.changed.push(Changed {
                plugin: configured.plugin.name().to_owned(),
                before: hexadecimal(&slot.plugin.digest()),
                after: hexadecimal(&configured.plugin.digest()),
            });
            *slot = configured.in_place_of(slot);
        }
        if reloaded.changed.is_empty() {
            return Ok(reloaded);
        }
        let kept = self.inputs.with_captured().unwrap_or_else(|halt| {
            reloaded.warnings.push(format!("it was tried without the capture: {}", halt.cause));
            self.inputs.copy()
        });
        let recorded = self.log.plugins();
        let setting = Setting { router: &self.router, recorded: &recorded, kept: &kept };
        let trial = match setting.compare(&live, &plugins, way == Way::Forward) {
            Ok(trial) => trial,
            Err(halt) if way == Way::Back => {
                // Whoever goes back has seen worse; but every table must be taken.
                setting.tell(&plugins)?;
                reloaded.warnings.push(format!("it could not be tried: {}", halt.cause));
                TrialReport::default()
            }
            Err(halt) => return Err(halt),
        };
        if let Some(failure) = &trial.first_failure {
            let said = format!(
                "over {} recent changes it fails where the one at work does not: {failure}",
                trial.changes
            );
            if way == Way::Forward {
                return Err(Halt::new(
                    "RELOAD_TRIAL_FAILED",
                    said,
                    "correct the plugin; the one at work goes on. `offtake plugin try` shows every difference",
                ));
            }
            reloaded.warnings.push(said);
        }
        reloaded.trial = Some(trial);
        for (_, candidate) in &candidates {
            components.keep(&candidate.component)?;
        }
        let beside = digest(&self.config, live.iter().map(|loaded| &loaded.plugin));
        self.switch(components, plugins, beside, way, &mut reloaded)?;
        Ok(reloaded)
    }

    /// Writes down what is chosen, and has the worker switch to it. `beside`: the pipeline's digest
    /// that it was chosen beside.
    fn switch(
        &self,
        components: &mut Components,
        plugins: Vec<Configured>,
        beside: Vec<u8>,
        way: Way,
        reloaded: &mut Reloaded,
    ) -> Result<(), Halt> {
        // Before the switch: what a crash leaves to the next start is the version that was asked for.
        let mut written = Vec::new();
        for changed in &reloaded.changed {
            let plugin = plugins.iter().find(|it| it.plugin.name() == changed.plugin);
            let config = plugin.map(|it| hexadecimal(&it.plugin.config_digest()));
            let config = config.unwrap_or_default();
            let version = Version { component: &changed.after, config: &config };
            let replaced = (way == Way::Back).then_some(&*changed.before);
            match components.at_work(&changed.plugin, version, replaced) {
                Ok(before) => written.push((&changed.plugin, before)),
                Err(halt) => {
                    put_back(components, written)?;
                    return Err(halt);
                }
            }
        }
        let digest = digest(&self.config, plugins.iter().map(|loaded| &loaded.plugin));
        let over_quota = plugins.iter().filter_map(over_quota).collect::<Vec<_>>();
        let beside = Some(beside);
        match ask(&self.switches, Switch { plugins, digest, beside, asked: None }) {
            Ok(TookOver { from_sequence, is_durable }) => {
                reloaded.from_sequence = Some(from_sequence);
                reloaded.warnings.extend(over_quota);
                let names: Vec<_> = self.config.plugins.iter().map(|it| &*it.name).collect();
                if let Err(halt) = components.tidy(&names) {
                    reloaded.warnings.push(halt.cause);
                }
                if !is_durable {
                    reloaded.warnings.push(
                        "the log does not have the switch durable yet: `offtake status` says why"
                            .to_owned(),
                    );
                }
                Ok(())
            }
            Err(halt) => {
                put_back(components, written)?;
                Err(halt)
            }
        }
    }
}

/// What was written down did not come to be.
fn put_back(
    components: &mut Components,
    written: Vec<(&String, Option<Versions>)>,
) -> Result<(), Halt> {
    written.into_iter().try_for_each(|(plugin, before)| components.put_back(plugin, before))
}

/// Which files a reload takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// All, for somebody named the plugins.
    All,
    /// None that was rolled back or refused.
    NotHeldBack,
}

/// Where a switch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To what the configuration has.
    Forward,
    /// To the component before.
    Back,
}

fn is_same(at_work: &Configured, configured: &Configured) -> bool {
    at_work.policy == configured.policy
        && at_work.columns.is_error() == configured.columns.is_error()
        && is_same_version(&at_work.plugin, &configured.plugin)
}

/// A state that is larger than the version that goes on with it may have.
fn over_quota(configured: &Configured) -> Option<String> {
    let usage = configured.plugin.state()?.usage();
    (usage.bytes > usage.quota).then(|| {
        format!(
            "plugin {:?}: its state has {} bytes and its quota is now {}: until it has less it can \
             only be read and deleted from",
            configured.plugin.name(),
            usage.bytes,
            usage.quota
        )
    })
}

fn unknown(name: &str) -> Halt {
    Halt::new(
        "PLUGIN_UNKNOWN",
        format!("there is no plugin {name:?} in the configuration"),
        "take a name of a [plugin.NAME]",
    )
}

/// Where a plugin's component stands; `None`: it is built in.
fn component_file(plugin: &offtake_config::Plugin) -> Option<&PathBuf> {
    match &plugin.wasm {
        PluginSource::Path(path) => Some(path),
        PluginSource::Builtin(_) => None,
    }
}
