//! The user interface with the fake client: every screen by label, and pictures where drawing is the point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod compute;
mod data;
mod deploy;
mod endpoint_options;
mod endpoints;
mod frame;
mod governance;
mod help;
mod home;
mod imports;
mod models;
mod monitoring;
mod rollouts;
mod runs;
mod runs_look;
mod schedules;
mod settings;
mod widgets;
mod workflow;
