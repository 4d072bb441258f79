//! The second door: core modules, for languages without tools for the component model.
//!
//! `sdk/abi.md` is the specification. A batch goes in as one frame of bytes, a verdict comes out as
//! another, and both are translated here from and to the types of the component's contract, so that
//! everything before and behind a call is the same for both. What a plugin may do and what its
//! answers mean is not decided here.

mod batch_frame;
mod guest;
mod imports;
mod json;
mod module;
mod reader;
mod state;
#[cfg(test)]
mod tests;
mod verdict_frame;
mod wasi;

pub(crate) use guest::{Guest, NoRoom, OtherVersion, VERSION};
pub(crate) use module::prepare;
pub(crate) use reader::Unreadable;
pub(crate) use wasi::{Exited, WasiState};
