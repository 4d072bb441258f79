//! Rust types and calls of the plugin interface, generated from `sdk/wit/transform.wit`.
//!
//! Nothing is written by hand here; this module exists so that what the generator needs is allowed
//! in this one place.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    reason = "generated code: it lifts and lowers values across the sandbox's border"
)]

wasmtime::component::bindgen!({
    path: "../../../sdk/wit",
    world: "stateful-transform",
    imports: { default: trappable },
});

/// The wider of the two worlds: what does not import state is taken as well.
pub(crate) use StatefulTransform as Transform;
pub(crate) use StatefulTransformPre as TransformPre;
pub(crate) use exports::offtake::transform::plugin::Info;
pub(crate) use offtake::transform::types::*;
