//! Tables.
#![warn(missing_docs)]

mod csv;
mod error;
mod expr;
mod frame;
mod kernels;
mod source;
mod split;
mod steps;
mod values;

pub use error::DatasetError;
