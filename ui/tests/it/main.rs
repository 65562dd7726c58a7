//! The user interface with the fake client: every screen by label, and pictures where drawing is the point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod data;
mod endpoints;
mod frame;
mod help;
mod home;
mod runs;
mod runs_look;
mod models;
mod workflow;
