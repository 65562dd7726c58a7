//! Tables from real files: the whole way from bytes to prepared rows and back.
#![allow(clippy::unwrap_used)]

mod bad_files;
mod describe;
mod expressions;
mod nasty;
mod page;
mod plot;
mod prepare;
mod random;
mod replay;
mod stream;
mod support;
