//! A served version by the words of an address.

use std::sync::Arc;

use athanor_protocol::Code;
use axum::http::StatusCode;

use crate::{
    refusal::Refusal,
    table::{Lineup, ModelTable, Served},
};

fn not_found(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, message)
}

/// The version that a number or an alias means; where none is named, the one that answers for the model.
pub(crate) fn find(
    table: &ModelTable,
    lineup: &Lineup,
    name: &str,
    version: Option<&str>,
) -> Result<Arc<Served>, Refusal> {
    let aliases = lineup.aliases(name);
    let Some(versions) = lineup.versions(name).or(aliases.map(|_| [].as_slice())) else {
        let near = crate::plan::near_names(name, lineup.names());
        let hint = if near.is_empty() {
            "GET /v1/models lists them".to_owned()
        } else {
            format!("did you mean {}", near.join(" or "))
        };
        return Err(not_found("no model of that name is served here").hint(hint));
    };
    let number = match version {
        None => lineup.default_of(name),
        // An alias never looks like a number, and only a number's own spelling is one: "+1" and "01" are no versions.
        Some(text) => versions
            .iter()
            .map(|served| served.version())
            .find(|version| version.to_string() == text)
            .or_else(|| aliases?.get(text).copied()),
    };
    let Some(number) = number else {
        let mut list: Vec<String> = versions.iter().map(|served| served.version().to_string()).collect();
        list.extend(aliases.into_iter().flat_map(|aliases| aliases.keys().cloned()));
        let message = match version {
            Some(_) => "that version of the model is not served here",
            None => "the model has no version that answers where none is named",
        };
        return Err(not_found(message).hint(format!("served: {}", list.join(", "))));
    };
    lineup.version(name, number).cloned().ok_or_else(|| {
        table.want(name, number);
        let message = "that version of the model is being loaded";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message).retry_after(1)
    })
}
