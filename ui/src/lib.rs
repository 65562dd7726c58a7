//! The face of Athanor: an egui app that draws what the engine knows and asks it for everything else.
//!
//! It reaches the engine through [`athanor_protocol::api::Client`] alone, so the same app runs in the window's web view,
//! in a browser, and natively in tests with the client of [`fake`].
//!
//! **Architecture Invariant:** no frame blocks. Requests go out, and what has come is collected once per frame.
//!
//! **Architecture Invariant:** nothing here is the truth. Everything on the screen can be dropped and asked for again;
//! what a user types is handed to the engine within two seconds.
//!
//! **Architecture Invariant:** colours, sizes and gaps are written in [`theme`] and nowhere else.
#![warn(missing_docs)]

pub mod app;
pub mod desk;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
pub mod format;
pub mod icons;
pub mod pages;
pub mod palette;
pub mod probe;
pub mod theme;
pub mod toasts;
pub mod undo;
pub mod uploads;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod widgets;
pub mod wire;
pub mod work;

pub use app::App;
