//! ONNX: packages written as ONNX files that other programs run, and ONNX files that are served as models.
//!
//! [`export()`] writes preparation, encoder and model as one graph, so that raw named columns go in; `docs/serving/onnx.md`
//! says which type each column has and what stands for a missing value. The bytes are run on the spot and compared with
//! the package's own answers. [`OnnxModel`] reads files from elsewhere: only known operators within limits, nothing
//! beside the file is opened, and no panic of the runtime leaves.
//!
//! **Architecture Invariant:** no type of tract or prost stands in a public signature.
//!
//! **Architecture Invariant:** what ONNX cannot express in the same way is refused with the name of the step or column;
//! a file that answers otherwise than its package is never written.

mod check;
mod columns;
mod encoder;
mod ensemble;
mod export;
mod expression;
mod graph;
mod model;
mod network;
mod ops;
mod package;
mod prepared;
mod proto;
mod read;
mod recipe;
mod scan;
mod session;
mod signature;
#[cfg(test)]
mod tests;
mod texts;
mod trees;

pub use self::{
    check::{Prepare, SelfCheck},
    columns::{MISSING_MOMENT, MISSING_TEXT},
    export::{About, Exported, OnnxInput, export},
    model::{Inspected, OnnxModel, inspect},
    package::package_onnx,
    prepared::{Difference, recipe_differences},
    read::MAX_ONNX_BYTES,
};
use crate::LearnError;

fn unsupported(message: String, hint: &str) -> LearnError {
    LearnError::Unsupported { message, hint: Some(hint.to_owned()) }
}

fn corrupt(message: impl Into<String>) -> LearnError {
    LearnError::Corrupt { part: "onnx".to_owned(), message: message.into() }
}
