//! The public contracts as Rust types: the messages of `offtake/v1/*.proto` and the gRPC client.
//!
//! The data plane writes and reads [`v1::Change`] by hand (`offtake_change::wire`); these types
//! serve the control plane, clients, and the tests as the oracle of what was written by hand.

#[allow(
    missing_docs,
    reason = "the documentation is in the protocol files, generated code repeats it"
)]
#[allow(
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
/// Version 1 of the contracts.
pub mod v1 {
    tonic::include_proto!("offtake.v1");
}

/// The compiled protocol files as a `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/offtake.v1.bin"));
