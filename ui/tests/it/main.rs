//! The user interface with the fake client: every screen by label, and pictures where drawing is the point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod frame;
mod help;
