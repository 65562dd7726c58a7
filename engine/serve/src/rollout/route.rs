//! Which version answers a request: the one that it names, or the one that `production` means, with a rollout between.

use std::sync::Arc;

use athanor_protocol::{Code, names::check_alias, registry::PRODUCTION};
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::Trial;
use crate::{refusal::Refusal, router::State, table::Served};

/// The header that names an alias where the address names no version.
pub(crate) const ALIAS: HeaderName = HeaderName::from_static("x-athanor-alias");

/// What a request says about the version that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// Nothing: what `production` means.
    Nothing,
    /// A number or an alias.
    Version(&'a str),
}

/// Reads the address and the header together.
pub(crate) fn named<'a>(in_path: Option<&'a str>, headers: &'a HeaderMap) -> Result<Named<'a>, Refusal> {
    let refuse = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message);
    let mut all = headers.get_all(ALIAS).iter();
    let in_header = match (all.next(), all.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let alias = value.to_str().ok().filter(|text| check_alias(text).is_ok());
            Some(alias.ok_or_else(|| refuse("the header 'x-athanor-alias' holds no alias"))?)
        }
        (Some(_), Some(_)) => return Err(refuse("there is more than one 'x-athanor-alias' header")),
    };
    let named = match (in_path, in_header) {
        (Some(_), Some(_)) => {
            return Err(refuse("the address names a version, and the header 'x-athanor-alias' names one too")
                .hint("leave one of them out"));
        }
        (Some(text), None) | (None, Some(text)) if text != PRODUCTION => Named::Version(text),
        _ => Named::Nothing,
    };
    Ok(named)
}

/// Who answers a request, and who is asked with it.
#[derive(Debug)]
pub(crate) struct Routed {
    /// Answers, or stands behind the candidate.
    pub(crate) stable: Arc<Served>,
    /// What a rollout makes of this request.
    pub(crate) side: Side,
}

impl Routed {
    /// The versions that may answer.
    pub(crate) fn versions(&self) -> [Option<Arc<Served>>; 2] {
        let candidate = match &self.side {
            Side::Candidate(_, candidate) => Some(Arc::clone(candidate)),
            Side::Plain | Side::Stable(_) | Side::Shadow(..) => None,
        };
        [Some(Arc::clone(&self.stable)), candidate]
    }
}

/// What a rollout makes of a request.
#[derive(Debug)]
pub(crate) enum Side {
    /// There is none.
    Plain,
    /// The stable version answers and is counted.
    Stable(Arc<Trial>),
    /// The candidate answers, the stable version where it cannot.
    Candidate(Arc<Trial>, Arc<Served>),
    /// The stable version answers, and the candidate is asked as well.
    Shadow(Arc<Trial>, Arc<Served>),
}

impl State {
    /// Who answers. `request_id` decides where no client's header does.
    pub(crate) fn route(
        &self,
        name: &str,
        wanted: Named<'_>,
        headers: &HeaderMap,
        request_id: &str,
    ) -> Result<Routed, Refusal> {
        // One look: alias, versions and rollout are those of one moment.
        let lineup = self.models().now();
        let version = match wanted {
            Named::Nothing => None,
            Named::Version(text) => Some(text),
        };
        let stable = crate::lookup::find(self.models(), &lineup, name, version)?;
        let trial = lineup.trial(name).filter(|trial| {
            wanted == Named::Nothing && trial.tripped().is_none() && trial.rollout().stable == stable.version()
        });
        let Some(trial) = trial.cloned() else { return Ok(Routed { stable, side: Side::Plain }) };
        let sticky = trial.rollout().spec.sticky_header.as_deref().and_then(|name| headers.get(name));
        let key = sticky.map_or(request_id.as_bytes(), |value| value.as_bytes());
        let candidate = lineup.version(name, trial.rollout().spec.candidate).filter(|_| trial.chooses(key)).cloned();
        let side = match candidate {
            None => Side::Stable(trial),
            Some(candidate) if trial.is_shadow() => Side::Shadow(trial, candidate),
            Some(candidate) => Side::Candidate(trial, candidate),
        };
        Ok(Routed { stable, side })
    }
}
