//! Everything that needs whole runs: quality on real tables, exact resume, bad runs, graphics cards.
#![allow(clippy::unwrap_used)]

mod common;
mod gpu;
mod quality;
mod resume;
mod runs;
