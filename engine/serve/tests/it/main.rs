//! The endpoint from outside: routes, dialects, limits, keys, and the bytes on the wire.
#![allow(clippy::unwrap_used)]

mod fuzz;
mod grpc;
mod grpc_house;
mod guard;
mod house;
mod limits;
mod named;
mod oip;
mod oip_binary;
mod packaged;
mod site;
mod site_events;
mod site_house;
mod tls;
mod wire;
