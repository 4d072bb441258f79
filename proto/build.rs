//! Compiles the protocol files without `protoc`: `protox` reads them, `tonic-prost-build` writes
//! messages and the client. The server's half is generated where it is served, in `sink-grpc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let files = ["change", "subscribe", "log"]
        .map(|name| root.join("offtake/v1").join(format!("{name}.proto")));
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("offtake.v1.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(true)
        .bytes(".offtake.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
