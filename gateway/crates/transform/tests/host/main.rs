//! The host against components that behave, and against components that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batches;
mod bundled;
mod faults;
mod isolation;
mod loading;
mod secrets;
mod shapes;
mod values;
mod zoo;
