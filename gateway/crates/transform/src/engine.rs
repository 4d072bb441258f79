//! The compiler and its settings, shared by all plugins of a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::{Config, OptLevel, Store, WasmBacktraceDetails, WasmFeatures};

use crate::cache::{CodeCache, CodeKey, Compiled};
use crate::code_in_use::CodeInUse;
use crate::{Limits, PluginError, ticker};

/// What of WebAssembly a plugin cannot use: what is young, what leaves determinism, and what the
/// gateway has no need of.
const REFUSED: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_ERROR_CONTEXT)
    .union(WasmFeatures::CM_GC);

/// Settings of an [`Engine`].
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Folder for compiled code, made when absent and closed to other users. `None`: every plugin
    /// is compiled at every start (60 ms for a small one, seconds for a large one).
    pub cache_dir: Option<PathBuf>,
}

/// What compiled code looks at while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    /// Whether its time is up.
    Deadline,
    /// The same, and what it executes is counted.
    DeadlineAndFuel,
    /// Nothing.
    None,
}

/// Compiles plugins. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) cache: Option<CodeCache>,
    /// Of all its plugins, whatever their stack.
    pub(crate) code_in_use: Arc<CodeInUse>,
    checks: Checks,
    /// wasmtime has one stack limit an engine, so there is one for each that is asked for.
    by_stack: Arc<Mutex<BTreeMap<usize, wasmtime::Engine>>>,
}

impl Engine {
    /// Sets the compiler up, and the cache. A cache that cannot be used is reported and left out,
    /// for a plugin can always be compiled.
    ///
    /// # Errors
    /// The machine cannot run WebAssembly, or gives no thread.
    pub fn new(options: EngineOptions) -> Result<Engine, PluginError> {
        Engine::with(options, Checks::Deadline)
    }

    /// An engine whose instances count what they execute, instruction by instruction: slower, and the
    /// same on every machine. For measurements, not for a pipeline.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn counting_fuel(options: EngineOptions) -> Result<Engine, PluginError> {
        Engine::with(options, Checks::DeadlineAndFuel)
    }

    /// An engine whose compiled code never looks at its deadline: what a plugin costs without. For
    /// measurements, not for a pipeline, since a plugin that does not end holds its thread for ever.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn uninterrupted(options: EngineOptions) -> Result<Engine, PluginError> {
        Engine::with(options, Checks::None)
    }

    fn with(options: EngineOptions, checks: Checks) -> Result<Engine, PluginError> {
        let stack_bytes = Limits::default().stack_bytes;
        let wasmtime = started(stack_bytes, checks)?;
        let cache = options.cache_dir.and_then(|dir| match CodeCache::open(&dir) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled plugins are not cached");
                None
            }
        });
        let by_stack = Arc::new(Mutex::new(BTreeMap::from([(stack_bytes, wasmtime.clone())])));
        Ok(Engine { wasmtime, cache, code_in_use: Arc::default(), checks, by_stack })
    }

    /// The same with another stack for its plugins.
    pub(crate) fn with_stack(&self, stack_bytes: usize) -> Result<Engine, PluginError> {
        let mut by_stack = self.by_stack.lock();
        let wasmtime = match by_stack.get(&stack_bytes) {
            Some(wasmtime) => wasmtime.clone(),
            None => {
                let wasmtime = started(stack_bytes, self.checks)?;
                by_stack.insert(stack_bytes, wasmtime.clone());
                wasmtime
            }
        };
        Ok(Engine { wasmtime, ..self.clone() })
    }

    /// Gives a store all the fuel that there can be, where fuel is counted.
    pub(crate) fn fill_up<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        match self.checks {
            Checks::DeadlineAndFuel => store.set_fuel(u64::MAX),
            Checks::Deadline | Checks::None => Ok(()),
        }
    }

    /// Compiles a plugin, or finds it compiled.
    pub(crate) fn compiled<C: Compiled>(
        &self,
        wasm: &[u8],
        digest: &[u8; 32],
    ) -> wasmtime::Result<C> {
        let Some(cache) = &self.cache else { return C::compile(&self.wasmtime, wasm) };
        let key = CodeKey::new(&self.wasmtime, digest);
        if let Some(compiled) = cache.load(&self.wasmtime, &key) {
            return Ok(compiled);
        }
        let compiled = C::compile(&self.wasmtime, wasm)?;
        cache.store(&key, &compiled.serialize()?);
        Ok(compiled)
    }

    /// Plugins that were found compiled in the cache so far.
    pub fn cache_hits(&self) -> u64 {
        self.cache.as_ref().map_or(0, CodeCache::hits)
    }
}

/// An engine of wasmtime, with its epoch moved.
fn started(stack_bytes: usize, checks: Checks) -> Result<wasmtime::Engine, PluginError> {
    let wasmtime = wasmtime::Engine::new(&config(stack_bytes, checks))
        .map_err(|error| PluginError::Engine(format!("{error:#}")))?;
    ticker::register(&wasmtime).map_err(|error| PluginError::Engine(error.to_string()))?;
    Ok(wasmtime)
}

fn config(stack_bytes: usize, checks: Checks) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_features(REFUSED, false)
        .epoch_interruption(checks != Checks::None)
        .consume_fuel(checks == Checks::DeadlineAndFuel)
        .max_wasm_stack(stack_bytes)
        // A replay must give the same bytes on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        // Names of functions are enough; source lines would need a lookup in the guest's own data.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .parallel_compilation(true);
    config
}
