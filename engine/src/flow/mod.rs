//! From a workflow document to what has to be done: a pure plan with content keys, and the cache of results under them.

pub mod cache;
pub mod plan;
pub mod source;
