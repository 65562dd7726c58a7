//! The store's contract on every mode, bad input, several processes, and what is left after a kill.
#![allow(clippy::unwrap_used)]

mod bad;
mod contract;
mod crash;
mod foreign;
mod help;
mod model;
mod upgrade;
