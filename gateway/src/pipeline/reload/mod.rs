//! New versions of plugins without a stop: read, compiled, tried, then put to work.
//!
//! Everything that can be wrong is found beside the pipeline, which goes on meanwhile: the
//! configuration is read again, what differs is compiled and configured, told every table, and run
//! over recent changes. Only then is the worker asked to switch, which it does between two
//! transactions. What fails on the way leaves the plugins at work as they were.
//!
//! Names, order and routes of plugins do not change this way: they need a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offtake_config::{Config, PluginSource};
use offtake_log::Log;
use offtake_transform::{Engine, EngineOptions};
use serde::{Deserialize, Serialize};

use super::build::{configured, digest, read_component};
use super::chain::{Configured, hexadecimal, is_same_version, plugin_halt};
use super::halt::Halt;
use super::live::Live;
use super::plugin_config::CONFIG_INVALID;
use super::router::Router;
use super::worker::Switch;

mod files;
mod inputs;
mod record;
mod trial;
mod versions;

pub use files::watch_plugins;
pub use inputs::RecentInputs;
pub use record::{Recording, Wanted};
pub use trial::TrialReport;
pub use versions::Components;

use trial::Setting;

/// How long a switch may wait for a transaction's end before it is called off.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a reload or a rollback did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The plugins that changed; empty: none did.
    pub changed: Vec<Changed>,
    /// The sequence from which on the new ones work.
    pub from_sequence: Option<u64>,
    /// What the trial before the switch found.
    pub trial: Option<TrialReport>,
    /// What was not taken over.
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
    /// of all where there are none.
    ///
    /// # Errors
    /// What is wrong with the configuration or a plugin, or what the trial found. Nothing changed.
    pub fn reload(&self, names: &[String]) -> Result<Reloaded, Halt> {
        let mut components = self.components();
        let (read, warnings) = self.read_again()?;
        self.check_names(names)?;
        let live = self.live.get();
        let engine = self.engine()?;
        let mut candidates = Vec::new();
        for (index, plugin) in read.plugins.iter().enumerate() {
            if !names.is_empty() && !names.contains(&plugin.name) {
                continue;
            }
            let component = read_component(plugin)?;
            let configured = configured(&engine, &read, plugin, component.clone())?;
            let at_work = live.get(index);
            if at_work.is_some_and(|at_work| is_same(at_work, &configured)) {
                continue;
            }
            check_stateless(&configured)?;
            candidates.push((index, Candidate { configured, component }));
        }
        let mut reloaded = self.put_to_work(&mut components, candidates, false)?;
        reloaded.warnings = warnings;
        Ok(reloaded)
    }

    /// Puts the version before back to work, with the configuration of the one at work.
    ///
    /// # Errors
    /// There is none, or what a reload would say.
    pub fn roll_back(&self, name: &str) -> Result<Reloaded, Halt> {
        let mut components = self.components();
        self.check_names(std::slice::from_ref(&name.to_owned()))?;
        let previous = components.versions(name).and_then(|versions| versions.previous.clone());
        let Some(previous) = previous else {
            return Err(Halt::new(
                "PLUGIN_NO_PREVIOUS",
                format!("plugin {name:?} has had no other component in this log"),
                "put the component that you want at its path, then `offtake plugin reload`",
            ));
        };
        let component = components.read(&previous)?;
        let (read, warnings) = self.read_again()?;
        let Some((index, plugin)) =
            read.plugins.iter().enumerate().find(|(_, plugin)| plugin.name == name)
        else {
            return Err(unknown(name));
        };
        let configured = configured(&self.engine()?, &read, plugin, component.clone())?;
        check_stateless(&configured)?;
        let candidates = vec![(index, Candidate { configured, component })];
        let mut reloaded = self.put_to_work(&mut components, candidates, true)?;
        reloaded.warnings = warnings;
        Ok(reloaded)
    }

    /// Runs a component beside the one at work, over recent changes; nothing is switched.
    ///
    /// # Errors
    /// What is wrong with the component.
    pub fn attempt(&self, name: &str, component: Vec<u8>) -> Result<TrialReport, Halt> {
        self.check_names(std::slice::from_ref(&name.to_owned()))?;
        let (read, _) = self.read_again()?;
        let live = self.live.get();
        let mut tried = live.to_vec();
        let engine = self.engine()?;
        for (plugin, slot) in read.plugins.iter().zip(&mut tried) {
            if plugin.name == name {
                *slot = configured(&engine, &read, plugin, component.clone())?;
            }
        }
        let recorded = self.log.plugins();
        let setting =
            Setting { router: &self.router, recorded: &recorded, kept: &self.inputs.copy() };
        setting.compare(&live, &tried)
    }

    fn components(&self) -> MutexGuard<'_, Components> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> Result<Engine, Halt> {
        let cache_dir = Some(self.config.log.dir.join("compiled"));
        Engine::new(EngineOptions { cache_dir }).map_err(|error| plugin_halt(&error))
    }

    /// The configuration as the file now has it, and what of it waits for a restart.
    fn read_again(&self) -> Result<(Config, Vec<String>), Halt> {
        let environment = |name: &str| std::env::var(name).ok();
        let read = offtake_config::load(&self.config_file, &environment).map_err(|wrong| {
            Halt::new(
                CONFIG_INVALID,
                wrong.to_string().trim_end().to_owned(),
                "correct the configuration; the plugins at work go on as they were",
            )
        })?;
        let names = |config: &Config| -> Vec<String> {
            config.plugins.iter().map(|plugin| plugin.name.clone()).collect()
        };
        let mut warnings = Vec::new();
        if names(&read) != names(&self.config) || read.routes != self.config.routes {
            return Err(Halt::new(
                "RELOAD_NEEDS_RESTART",
                "names or order of plugins, or routes, are others than those that run",
                "restart the gateway to take them over; a reload changes what plugins are made of, \
                 their `config`, limits and `on_error`",
            ));
        }
        if read.source != self.config.source {
            warnings.push("[source] was changed too: that takes effect at a restart".to_owned());
        }
        Ok((read, warnings))
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
        rolls_back: bool,
    ) -> Result<Reloaded, Halt> {
        let live = self.live.get();
        let mut plugins = live.to_vec();
        let mut changed = Vec::new();
        for (index, Candidate { configured, .. }) in &candidates {
            let Some(slot) = plugins.get_mut(*index) else { continue };
            changed.push(Changed {
                plugin: configured.plugin.name().to_owned(),
                before: hexadecimal(&slot.plugin.digest()),
                after: hexadecimal(&configured.plugin.digest()),
            });
            // It goes on counting where the one before stopped.
            *slot = Configured { counters: Arc::clone(&slot.counters), ..configured.clone() };
        }
        if changed.is_empty() {
            return Ok(Reloaded {
                changed,
                from_sequence: None,
                trial: None,
                warnings: Vec::new(),
            });
        }
        let recorded = self.log.plugins();
        let setting =
            Setting { router: &self.router, recorded: &recorded, kept: &self.inputs.copy() };
        let trial = setting.compare(&live, &plugins)?;
        if let Some(failure) = &trial.first_failure {
            return Err(Halt::new(
                "RELOAD_TRIAL_FAILED",
                format!(
                    "over {} recent changes it fails where the one at work does not: {failure}",
                    trial.changes
                ),
                "correct the plugin; the one at work goes on. `offtake plugin try` shows every difference",
            ));
        }
        for (_, candidate) in &candidates {
            components.keep(&candidate.component)?;
        }
        // Before the switch: what a crash leaves to the next start is the version that was asked for.
        for Changed { plugin, before, after } in &changed {
            components.at_work(plugin, after, rolls_back.then_some(before))?;
        }
        let digest = digest(&self.config, plugins.iter().map(|loaded| &loaded.plugin));
        match self.ask(Switch { plugins, digest, asked: None }) {
            Ok(sequence) => Ok(Reloaded {
                changed,
                from_sequence: Some(sequence),
                trial: Some(trial),
                warnings: Vec::new(),
            }),
            Err(halt) => {
                for Changed { plugin, before, .. } in &changed {
                    components.at_work(plugin, before, None)?;
                }
                Err(halt)
            }
        }
    }

    /// Asks the worker and waits.
    fn ask(&self, switch: Switch) -> Result<u64, Halt> {
        let (asked, answer) = flume::bounded(1);
        let gone = || {
            Halt::new(
                "RELOAD_NOT_RUNNING",
                "the pipeline is halted or stopping, so nothing can take over",
                "see `offtake status`; the next start takes the plugins as the configuration has them",
            )
        };
        self.switches.send(Switch { asked: Some(asked), ..switch }).map_err(|_| gone())?;
        match answer.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(flume::RecvTimeoutError::Disconnected) => Err(gone()),
            Err(flume::RecvTimeoutError::Timeout) => Err(Halt::new(
                "RELOAD_TIMED_OUT",
                format!(
                    "a transaction has been open for {} s, and plugins do not change inside one",
                    PATIENCE.as_secs()
                ),
                "ask again once it has ended; the plugins at work go on as they were",
            )),
        }
    }
}

fn is_same(at_work: &Configured, configured: &Configured) -> bool {
    at_work.policy == configured.policy && is_same_version(&at_work.plugin, &configured.plugin)
}

/// What a plugin keeps is handed from one version to the next by a restart alone.
fn check_stateless(configured: &Configured) -> Result<(), Halt> {
    if configured.plugin.state().is_none() {
        return Ok(());
    }
    Err(Halt::new(
        "RELOAD_STATEFUL",
        format!(
            "plugin {:?} keeps state, which a restart hands on and a reload does not",
            configured.plugin.name()
        ),
        "restart the gateway to take it over; name the others to reload them alone",
    ))
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
