//! The endpoint from outside: routes, dialects, limits, keys, and the bytes on the wire.
#![allow(clippy::unwrap_used)]

mod compressed;
mod contracts;
mod contracts_fuzz;
mod contracts_guard;
mod fuzz;
mod guard;
mod house;
mod limits;
mod named;
mod oip;
mod oip_binary;
mod openapi;
mod packaged;
mod site;
mod site_events;
mod site_house;
mod wire;
