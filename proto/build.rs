//! Compiles `schema/onlyhere/v1/*.proto` with protox, so that no protoc needs to be installed, and keeps the
//! descriptor set for the gRPC reflection service.

use std::{env, fs, path::PathBuf};

use prost::Message;

const FILES: &[&str] = &[
    "onlyhere/v1/vantage.proto",
    "onlyhere/v1/target.proto",
    "onlyhere/v1/check.proto",
    "onlyhere/v1/observation.proto",
    "onlyhere/v1/report.proto",
    "onlyhere/v1/probe.proto",
    "onlyhere/v1/public.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(FILES, ["schema"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::CountingCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
