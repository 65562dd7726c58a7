//! The face of Athanor.
#![warn(missing_docs)]
