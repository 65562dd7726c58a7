//! The public endpoint, built from model packages alone.
//!
//! Many dialects over one pipeline: Open Inference Protocol v2 with the binary tensor extension (`/v2/…`), also over gRPC
//! ([`serve_grpc`]), a friendly one with named columns (`/v1/models/{name}/predict`), and the contracts of platforms
//! ([`Contract`]). A request is checked for its host, origin and key, admitted,
//! read within limits, turned into the model's raw columns, predicted, and answered in the dialect that it came in.
//!
//! **Architecture Invariant:** the endpoint knows packages, not workflows, runs, stores or tables: a [`Model`] and a
//! [`Keys`] are all that it is given. Two modules stand beside it: [`slim`], a program around it that reads packages and
//! keys from files, and [`batch`], which predicts whole tables without it.
//!
//! **Architecture Invariant:** every limit (bytes, chunks, depth, values, time, requests, connections) is checked before
//! the memory or the time that it bounds is spent.
//!
//! **Architecture Invariant:** a mistake of the client is a clear 4xx and no log noise; a fault of ours is a bland 5xx
//! with its cause in the log under the request's id. Keys and values never reach a log.
//!
//! ```
//! use std::{net::SocketAddr, sync::Arc};
//! use athanor_protocol::registry::Scope;
//! use athanor_serve::{Grant, KeyRefusal, Keys, ModelTable, ServeConfig, State, router};
//!
//! struct OneKey;
//! impl Keys for OneKey {
//!     fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
//!         let grant = Grant { key_id: "demo".to_owned(), scopes: vec![Scope::Predict] };
//!         if token == "not a real secret" { Ok(grant) } else { Err(KeyRefusal::Unknown) }
//!     }
//! }
//!
//! let config = ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 8080)));
//! let models = Arc::new(ModelTable::new());
//! let state = State::new(config, Arc::new(OneKey), models)?;
//! let _router = router(&state);
//! # Ok::<(), athanor_serve::ServeError>(())
//! ```
#![warn(missing_docs)]

mod auth;
mod authority;
pub mod batch;
mod body;
mod compression;
mod config;
mod contracts;
mod crypto;
mod datatype;
mod error;
mod expiry;
mod explain;
mod gate;
mod grpc;
mod infer;
mod inside;
pub mod keyfile;
mod limits;
mod load;
mod lookup;
mod moment;
pub mod monitor;
mod named;
mod named_body;
mod oip;
mod oip_body;
mod oip_reply;
mod packaged;
mod plan;
mod queue;
mod refusal;
mod rollout;
mod router;
mod server;
pub mod site;
pub mod slim;
mod table;
pub mod tls;
mod together;
pub mod tokens;
mod values;

pub use auth::{Grant, KeyRefusal, Keys};
pub use config::{Access, Contract, ServeConfig};
pub use crypto::use_ring;
pub use error::ServeError;
pub use grpc::serve_grpc;
pub use inside::ask_inside;
pub use limits::Spent;
pub use load::Load;
pub use monitor::Monitor;
pub use packaged::PackagedModel;
pub use rollout::Trial;
pub use router::{State, router};
pub use server::serve;
pub use table::{Lineup, Model, ModelTable, Outputs, Served};
pub use tls::{Tls, TlsMaterial};
