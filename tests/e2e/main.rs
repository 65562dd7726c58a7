//! End to end: the real program, real worker processes, real files, a real client, port 0, no network beyond loopback.
//!
//! Every test has a workspace of its own in a temporary folder. Nothing sleeps and hopes: a test waits for a state that
//! must come, or for the process whose end would make it impossible.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod browser;
mod cache;
mod command_line;
mod contracts;
mod description;
mod desk;
mod desktop;
mod devices;
mod faults;
#[cfg(target_os = "linux")]
mod image;
mod journey;
mod monitor;
mod onnx;
mod page;
mod quality;
mod registry;
mod rollout;
mod sandbox;
mod schedules;
mod screen_journey;
mod serving;
mod transport;
mod webdriver;
