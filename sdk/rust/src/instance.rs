//! The one plugin of a component, and the calls that reach it. Used by [`export!`](crate::export)
//! only.

use std::cell::RefCell;

use crate::bindings::exports::offtake::transform::plugin;
use crate::shape::Told;
use crate::{Batch, Config, Failure, Schema, Transform, Verdict, host};

/// Schemas that are remembered. The gateway remembers no more, and tells forgotten ones again.
const SCHEMAS: usize = 16_384;

/// Holds the plugin from `configure` on, with the schemas it was told.
#[derive(Debug)]
pub struct Slot<T> {
    state: RefCell<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    plugin: Option<T>,
    schemas: Vec<Told>,
}

impl<T: Transform> Slot<T> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "used in a constant")]
    pub const fn new() -> Slot<T> {
        Slot { state: RefCell::new(State { plugin: None, schemas: Vec::new() }) }
    }

    /// The export `configure`.
    ///
    /// # Errors
    /// The plugin's.
    pub fn configure(&self, config_json: String) -> Result<plugin::Info, Failure> {
        host::log_panics();
        let configured = T::configure(Config::from_json(config_json))?;
        let info = configured.info().wire;
        self.state.borrow_mut().plugin = Some(configured);
        Ok(info)
    }

    /// The export `on-schema`.
    ///
    /// # Errors
    /// The plugin's, or there is none yet.
    pub fn on_schema(&self, schema: Schema) -> Result<plugin::Interest, Failure> {
        let state = &mut *self.state.borrow_mut();
        let interest = state.plugin.as_mut().ok_or_else(unconfigured)?.on_schema(&schema)?.wire;
        if state.schemas.len() == SCHEMAS {
            state.schemas.drain(..SCHEMAS / 2);
        }
        state.schemas.push(Told::new(schema, &interest));
        Ok(interest)
    }

    /// The export `process`.
    ///
    /// # Errors
    /// The plugin's, or it does not know the schema.
    pub fn process(&self, batch: &plugin::Batch) -> Result<plugin::Verdict, Failure> {
        let state = &mut *self.state.borrow_mut();
        let plugin = state.plugin.as_mut().ok_or_else(unconfigured)?;
        let told = state
            .schemas
            .iter()
            .rev()
            .find(|known| known.schema.id == batch.schema)
            .ok_or_else(|| Failure::permanent("called with a schema that was never told"))?;
        let mut verdict = Verdict::new(told, batch.rows);
        plugin.process(&Batch::new(batch, &told.schema), &mut verdict)?;
        verdict.finish()
    }
}

fn unconfigured() -> Failure {
    Failure::permanent("called before it was configured")
}
