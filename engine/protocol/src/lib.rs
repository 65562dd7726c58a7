//! The words that UI, engine, workers and saved files share.
//!
//! Plain data with public fields, and the pure rules that need nothing but the data: names, workflow checks, shape
//! inference of networks, the table of error codes.
//!
//! **Architecture Invariant:** compiles for native and `wasm32-unknown-unknown`; no I/O, no clock, no threads, no
//! async, no random numbers. Ids and times are passed in.
//!
//! **Architecture Invariant:** everything that is saved carries a version and is read through it; non-finite numbers
//! are explicit in the type ([`metric::MetricValue`]).
//!
//! ```
//! use athanor_protocol::{catalogue::Catalogue, check::check, workflow::Workflow};
//!
//! let text = r#"{"version":1,"name":"empty","nodes":[],"links":[]}"#;
//! let workflow = Workflow::from_json(text).expect("a valid document");
//! let problems = check(&workflow, &Catalogue::builtin());
//! assert_eq!(problems[0].message, "the workflow has no nodes");
//! ```
#![warn(missing_docs)]

pub mod api;
pub mod card;
pub mod catalogue;
pub mod check;
pub mod columns;
pub mod cron;
pub mod error;
pub mod explanation;
pub mod governance;
pub mod job;
pub mod learner;
pub mod metric;
pub mod monitor;
pub mod names;
pub mod network;
pub mod package;
pub mod recipe;
pub mod registry;
pub mod rollout;
pub mod run;
pub mod signature;
pub mod table;
pub mod workflow;

pub use error::{Code, Failure};
