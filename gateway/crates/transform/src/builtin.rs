//! The plugins that come with the gateway, so that a user needs no WebAssembly toolchain.
//!
//! They are ordinary components, built from `plugins/` and committed; nothing but their way into
//! the process sets them apart from a user's own.

/// Names of the plugins that come with the gateway, as `builtin:<name>` in the configuration.
pub const BUILTIN_NAMES: &[&str] = &[
    "mask",
    "filter",
    "hash",
    "project",
    "tokenise",
    "outbox",
    "route",
    "logical-table",
    "cast",
    "flatten",
    "timezone",
    "dedupe",
];

/// The component of a plugin that comes with the gateway.
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    match name {
        "mask" => Some(include_bytes!("../../../../plugins/dist/mask.wasm")),
        "dedupe" => Some(include_bytes!("../../../../plugins/dist/dedupe.wasm")),
        "hash" => Some(include_bytes!("../../../../plugins/dist/hash.wasm")),
        "project" => Some(include_bytes!("../../../../plugins/dist/project.wasm")),
        "tokenise" => Some(include_bytes!("../../../../plugins/dist/tokenise.wasm")),
        "outbox" => Some(include_bytes!("../../../../plugins/dist/outbox.wasm")),
        "route" => Some(include_bytes!("../../../../plugins/dist/route.wasm")),
        "logical-table" => Some(include_bytes!("../../../../plugins/dist/logical-table.wasm")),
        "cast" => Some(include_bytes!("../../../../plugins/dist/cast.wasm")),
        "flatten" => Some(include_bytes!("../../../../plugins/dist/flatten.wasm")),
        "timezone" => Some(include_bytes!("../../../../plugins/dist/timezone.wasm")),
        "filter" => Some(include_bytes!("../../../../plugins/dist/filter.wasm")),
        _ => None,
    }
}
