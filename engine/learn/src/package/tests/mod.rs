//! Tests of packages, by what they are about.

mod bytes;
mod contents;
mod fixture;
mod networks;
