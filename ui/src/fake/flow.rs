//! Answers about flow.

use athanor_protocol::{
    Failure,
    api::{Reply, Request},
};

pub(super) fn answer(_request: &Request) -> Option<Result<Reply, Failure>> {
    None
}
