//! The one place where what a platform asks for becomes settings of the endpoint.

use athanor_protocol::Failure;

use super::{
    args::{AccessArg, ServeArgs},
    environment::Surroundings,
    usage,
};
use crate::config::{Access, ServeConfig};

/// Sets who checks requests, the platform's routes and the model of routes that name none.
///
/// # Errors
/// If something is asked for that this endpoint does not have.
pub(super) fn apply(config: &mut ServeConfig, args: &ServeArgs, around: &Surroundings) -> Result<(), Failure> {
    config.access = match args.access {
        AccessArg::Keys => Access::Keys,
        AccessArg::Platform => Access::Platform,
    };
    // Platforms call a container by names of their own. On this machine alone a name still has to be one of ours.
    if args.access == AccessArg::Platform && !config.bound.ip().is_loopback() {
        config.allowed_hosts.push("*".to_owned());
    }
    // The routes of the platforms are settings of the endpoint where it has them; until then a container that is told to
    // answer on one must not look well.
    let asked = [
        ("--default-model", &args.default_model),
        ("AIP_HEALTH_ROUTE", &around.health_route),
        ("AIP_PREDICT_ROUTE", &around.predict_route),
    ];
    match asked.into_iter().find(|(_, value)| value.is_some()) {
        None => Ok(()),
        Some((name, _)) => Err(usage(format!("{name} cannot be used: this endpoint has no routes of platforms"))
            .hint("leave it out; predictions are asked for at /v1/models/NAME/predict and /v2/models/NAME/infer")),
    }
}
