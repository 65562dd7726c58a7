//! House rules that a compiler does not check: who may import whom, who owns which heavy library, how big a file may
//! grow, what the documents must list.
//!
//! Every rule is a function from plain facts to a list of offences, each of which names the offending place. A rule is
//! tested twice: on this workspace, where it must find nothing, and on small made-up cases, where it must find them.
#![allow(clippy::unwrap_used)]

mod documents;
mod imports;
mod sources;
mod workspace;

/// Fails with every offence on a line of its own.
fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}\n", offences.join("\n  "));
}
