//! The memory of a workspace: runs, metrics, registry, queue, keys, audit, in one SQLite file.
//!
//! [`Store`] is the contract; [`SqliteStore`] keeps it, in a file that several processes may use at once, or in memory
//! for tests. Everything that goes in and out is plain data of the protocol or of this crate.
//!
//! **Architecture Invariant:** the only crate that contains SQL. Rows never leave it; they are turned into plain data by
//! hand.
//!
//! **Architecture Invariant:** [`Store::record`] is the one write path for what a run reports, and is one transaction.
//!
//! **Architecture Invariant:** time and ids come from the caller; nothing here asks a clock.
//!
//! **Architecture Invariant:** migrations are numbered, never changed once released, and each is one transaction with
//! the version that it brings.
//!
//! ```
//! use athanor_protocol::{metric::{MetricPoint, Split}, names::RunId, run::{NewRun, Owner, RunStatus}};
//! use athanor_store::{Batch, Recorded, SqliteStore, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteStore::open_in_memory()?;
//! let id = RunId::new("01k2m3n4p5q6r7s8t9v0w1x2y3")?;
//! store.create_run(&NewRun {
//!     id: id.clone(),
//!     workflow: "wine".to_owned(),
//!     workflow_json: "{}".to_owned(),
//!     seed: 7,
//!     device: "cpu".to_owned(),
//!     created_at_millis: 1_000,
//!     steps: vec![],
//!     params: vec![],
//!     environment: vec![],
//! })?;
//! let owner = Owner { host: "here".to_owned(), pid: 1, started: 1 };
//! store.start_attempt(&id, 1, &owner, 1_001)?;
//! let point = MetricPoint { key: "loss".to_owned(), split: Split::Train, step: 0, at_millis: 1_002, value: 0.5.into() };
//! let batch = Batch { metrics: vec![point], ..Batch::default() };
//! assert_eq!(store.record(&id, 1, 1, &batch)?, Recorded::Applied);
//! assert_eq!(store.record(&id, 1, 1, &batch)?, Recorded::Duplicate);
//! store.finish(&id, 1, RunStatus::Finished, None, false, 1_003)?;
//! assert_eq!(store.run(&id)?.summary.latest.len(), 1);
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod contract;
mod error;
pub mod foreign_mlflow;
mod governance;
mod sqlite;
mod types;

pub use contract::Store;
pub use error::{Result, StoreError};
pub use governance::{Act, AuditQuery, Governance, RegisteredVersion, StageOutcome};
pub use sqlite::SqliteStore;
pub use types::*;
