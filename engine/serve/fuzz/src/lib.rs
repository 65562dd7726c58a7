//! What strangers send, made by a fuzzer: packages, ONNX files, bodies of every contract, messages of gRPC.
//!
//! A target is a function of bytes that must come back, whatever they are: no panic, no fault of ours in an answer. The
//! programs in `targets` give them to libFuzzer (`cargo xtask fuzz`, or `cargo fuzz` with the feature `libfuzzer`); the
//! tests give them every seed and some thousand changed ones.
#![warn(missing_docs)]
// Nothing of this is part of a program, and a fuzzer wants to know of every surprise.
#![allow(clippy::unwrap_used)]

mod bodies;
mod files;
#[allow(dead_code, reason = "the tests of the endpoint use all of it")]
#[path = "../../tests/it/grpc_house.rs"]
mod grpc_house;
#[allow(dead_code, reason = "the tests of the endpoint use all of it")]
#[path = "../../tests/it/house.rs"]
mod house;
mod messages;
#[path = "../../tests/it/trained.rs"]
mod trained;

use std::{fs, path::Path};

pub use self::{
    bodies::{contracts, oip_binary, oip_json},
    files::{onnx, package},
    messages::grpc,
};

/// Where the variable names a folder, a fuzzer's program writes its seeds there before it begins.
const SEEDS: &str = "ATHANOR_FUZZ_SEEDS";

/// A function that must come back, and the bytes to begin with.
#[derive(Clone, Copy)]
pub struct Target {
    /// As the program is named, without `fuzz_`.
    pub name: &'static str,
    /// What is done with bytes. It panics where something is wrong with us.
    pub run: fn(&[u8]),
    /// Good bytes, which a fuzzer changes.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "package", run: package, seeds: files::packages },
    Target { name: "onnx", run: onnx, seeds: files::onnx_files },
    Target { name: "oip_json", run: oip_json, seeds: bodies::json_seeds },
    Target { name: "oip_binary", run: oip_binary, seeds: bodies::binary_seeds },
    Target { name: "contracts", run: contracts, seeds: bodies::contract_seeds },
    Target { name: "grpc", run: grpc, seeds: messages::seeds },
];

/// Writes the seeds of a target where the environment asks for them.
///
/// # Panics
/// If the folder cannot be written.
pub fn begin(name: &str) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).unwrap();
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    for (at, seed) in (target.seeds)().into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
    }
}
