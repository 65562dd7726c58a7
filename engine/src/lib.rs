//! The engine: puts tables, learning, memory and serving together, and is the headless program.
//!
//! A [`workspace::Workspace`] is a folder. [`runs::run_file`] turns a workflow file into a recorded run: the document is
//! checked and planned ([`flow`]), a worker process does what the cache does not hold yet ([`worker`]), and its
//! supervisor persists what it says. [`registry`] signs and keeps models, [`serving`] answers with them,
//! [`predict`] applies them to whole tables.
//!
//! **Architecture Invariant:** knows neither a window toolkit nor a web view; the headless program can do everything.
//!
//! **Architecture Invariant:** planning is pure; the executor knows nodes only through the worker's dispatch.
//!
//! **Architecture Invariant:** what a worker says is persisted before anybody else hears of it.
//!
//! **Architecture Invariant:** no path is made from text that a user or a file gave: folders are named by run ids, content
//! keys and digests, which are letters and digits.
#![warn(missing_docs)]

mod bounded;
pub mod cli;
pub mod demo;
pub mod deploy;
pub mod desk;
pub mod devices;
pub mod error;
pub mod files;
pub mod flow;
pub mod identity;
pub mod ids;
pub mod keys;
pub mod mlflow;
pub mod monitor;
pub mod onnx;
pub mod predict;
pub mod registry;
pub mod rollout;
pub mod runs;
pub mod schedule;
pub mod serving;
pub mod site;
pub mod steward;
pub mod transport;
pub mod worker;
pub mod workspace;

pub use error::{EngineError, Result};
