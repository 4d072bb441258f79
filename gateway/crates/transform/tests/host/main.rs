//! The host against components that behave, and against components that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod bad_input;
mod batches;
mod bounds;
mod bundled;
mod emitting;
mod faults;
mod isolation;
mod loading;
mod module_faults;
mod module_state;
mod module_wasi;
mod module_zoo;
mod modules;
mod reshaping;
mod secrets;
mod shapes;
mod state;
mod values;
mod zoo;
