//! The endpoint from outside: routes, dialects, limits, keys, and the bytes on the wire.
#![allow(clippy::unwrap_used)]

mod batch;
mod compressed;
mod contracts;
mod contracts_fuzz;
mod contracts_guard;
mod explain;
mod fuzz;
mod grpc;
mod grpc_house;
mod guard;
mod house;
mod limits;
mod monitor;
mod named;
mod oip;
mod oip_binary;
mod openapi;
mod packaged;
mod rollout;
mod site;
mod site_events;
mod site_house;
mod tls;
mod trained;
mod wire;
