//! What the bindings generator makes of `sdk/wit/transform.wit`.
//!
//! Generated at build time, so that the WIT stays the only text of the contract. It alone has
//! unsafe code (memory passes between host and guest here); the rest of the SDK wraps it, and a
//! plugin author never names it.
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
#![allow(clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    // The wider world: what a plugin does not call it does not import.
    world: "stateful-transform",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "offtake_sdk::bindings",
    runtime_path: "offtake_sdk::bindings::runtime",
});

/// The generator's run-time part, named here so that a plugin needs no dependency but the SDK.
pub use wit_bindgen::rt as runtime;
