//! One running plugin in its store, and the guard around every call of it.

use std::sync::Arc;

use offtake_state::Keyspace;
use wasmtime::{Store, UpdateDeadline};

use crate::abi::{self, OtherVersion};
use crate::bindings as wit;
use crate::classify::{self, CallContext};
use crate::clock::CallClock;
use crate::defined::COLUMNS;
use crate::door::Running;
use crate::fault::guest_text;
use crate::host::{CustomMetric, HostState, Phase};
use crate::plugin::{Loaded, Words};
use crate::ticker::CallInProgress;
use crate::{Fault, FaultCode, Info, Limits, PluginError};

/// Text in place of a plugin's own where it handles what is protected.
const WITHHELD: &str = "it handles protected data, so its own words are withheld";

/// A store with one instance in it.
pub(crate) struct Runner {
    loaded: Arc<Loaded>,
    store: Store<HostState>,
    guest: Running,
    /// Its own words are not repeated while it handles changes.
    withheld: bool,
    poisoned: bool,
}

impl Runner {
    /// Instantiates and configures.
    pub(crate) fn start(loaded: &Arc<Loaded>) -> Result<(Runner, Info), PluginError> {
        let limits = &loaded.limits;
        let clock = CallClock::start(limits.setup_deadline);
        let mut store = Store::new(
            &loaded.engine.wasmtime,
            HostState::new(&loaded.name, limits, loaded.state.clone()),
        );
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.output_bytes);
        store.epoch_deadline_callback(|context| {
            Ok(UpdateDeadline::Continue(context.data().clock.extend()?))
        });
        store.set_epoch_deadline(clock.ticks());
        loaded
            .engine
            .fill_up(&mut store)
            .map_err(|error| PluginError::Engine(format!("{error:#}")))?;
        let running = CallInProgress::begin();
        let started = loaded.prepared.start(&mut store, limits.output_bytes);
        drop(running);
        store.data_mut().end_lines();
        let guest = started.map_err(|error| {
            if let Some(OtherVersion(found)) = error.downcast_ref() {
                let plugin = Arc::clone(&loaded.name);
                return PluginError::AbiVersion { plugin, found: *found, offered: abi::VERSION };
            }
            let last_error = store.data_mut().last_error.take();
            let context = CallContext { phase: Phase::Configure, last_error };
            PluginError::Fault(classify::fault(&loaded.name, &error, &context))
        })?;
        let loaded = Arc::clone(loaded);
        let mut runner = Runner { loaded, store, guest, withheld: false, poisoned: false };
        let info = runner.configure()?;
        Ok((runner, info))
    }

    fn configure(&mut self) -> Result<Info, PluginError> {
        let loaded = Arc::clone(&self.loaded);
        let answer = self
            .call(Phase::Configure, |guest, store| guest.configure(store, &loaded.config_json))
            .map_err(PluginError::Fault)?;
        let plugin = || Arc::clone(&loaded.name);
        let info = answer.map_err(|failure| PluginError::ConfigRefused {
            plugin: plugin(),
            message: guest_text(&failure.message),
        })?;
        if !info.extra.is_empty() {
            let message = "it says more of itself than this version of the contract has (`extra`)";
            return Err(PluginError::Fault(self.poison(FaultCode::FeatureUnsupported, message)));
        }
        match (info.stateful, loaded.state.is_some()) {
            (true, false) => return Err(PluginError::StateNotGranted { plugin: plugin() }),
            (false, true) => return Err(PluginError::StateUnused { plugin: plugin() }),
            _ => {}
        }
        if !info.protects && !info.required_columns.is_empty() {
            return Err(PluginError::ConfigRefused {
                plugin: plugin(),
                message:
                    "it names columns that it must cover and does not declare that it protects"
                        .to_owned(),
            });
        }
        let promised = info.required_columns.len();
        if promised > COLUMNS {
            return Err(PluginError::ConfigRefused {
                plugin: plugin(),
                message: format!(
                    "it names {promised} columns that it must cover, where {COLUMNS} are the most"
                ),
            });
        }
        self.withheld = match loaded.words {
            Words::UnlessProtecting => info.protects,
            Words::Withheld => true,
            Words::Shown => false,
        };
        if self.withheld {
            self.store.data_mut().keep_secret();
        }
        Ok(Info {
            name: guest_text(&info.name),
            version: guest_text(&info.version),
            protects: info.protects,
            required_columns: info.required_columns,
            stateful: info.stateful,
        })
    }

    /// Calls the plugin under the limits of `phase`. After an error the instance is spent.
    pub(crate) fn call<R>(
        &mut self,
        phase: Phase,
        call: impl FnOnce(&mut Running, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        if self.poisoned {
            let message = "the instance had a fault before and cannot be used again";
            return Err(Fault::new(FaultCode::Poisoned, &self.loaded.name, message));
        }
        let limits = &self.loaded.limits;
        let deadline = match phase {
            Phase::Process => limits.deadline,
            Phase::Configure | Phase::Schema => limits.setup_deadline,
        };
        let clock = CallClock::start(deadline);
        self.store.set_epoch_deadline(clock.ticks());
        self.store.data_mut().begin(phase, clock, limits);
        let running = CallInProgress::begin();
        let result = call(&mut self.guest, &mut self.store);
        drop(running);
        self.store.data_mut().end_lines();
        result.map_err(|error| {
            self.poisoned = true;
            let quiet = self.withheld && phase == Phase::Process;
            let last_error = self.store.data_mut().last_error.take().filter(|_| !quiet);
            classify::fault(&self.loaded.name, &error, &CallContext { phase, last_error })
        })
    }

    /// A fault that the host found in an answer. The instance is spent.
    pub(crate) fn poison(&mut self, code: FaultCode, message: impl Into<String>) -> Fault {
        self.poisoned = true;
        Fault::new(code, &self.loaded.name, message)
    }

    /// A failure that the plugin declared. The instance goes on: it did what it should.
    pub(crate) fn declared(&self, code: FaultCode, failure: &wit::Failure) -> Fault {
        // Only a call with changes can repeat a value of one.
        let message = if self.withheld && self.store.data().phase == Phase::Process {
            format!("it declared a failure ({WITHHELD})")
        } else {
            format!("it declared a failure: {}", guest_text(&failure.message))
        };
        let mut fault = Fault::new(code, &self.loaded.name, message);
        fault.permanent = failure.permanent;
        fault
    }

    /// The plugin's name in the configuration.
    pub(crate) fn plugin(&self) -> &Arc<str> {
        &self.loaded.name
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// What the plugin keeps, where it keeps something.
    pub(crate) fn state(&self) -> Option<&Keyspace> {
        self.loaded.state.as_ref()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.loaded.limits
    }

    pub(crate) fn metrics(&self) -> &[CustomMetric] {
        &self.store.data().metrics
    }

    /// Fuel that was spent, where it is counted.
    pub(crate) fn fuel_spent(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// Linear memory that the instance has now, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }
}
