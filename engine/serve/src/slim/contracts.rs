//! The one place where what a platform asks for becomes settings of the endpoint.

use super::{
    args::{AccessArg, ServeArgs},
    environment::Surroundings,
};
use crate::config::{Access, ServeConfig};

/// Sets who checks requests, the platform's routes and the model of routes that name none.
pub(super) fn apply(config: &mut ServeConfig, args: &ServeArgs, around: &Surroundings) {
    config.access = match args.access {
        AccessArg::Keys => Access::Keys,
        AccessArg::Platform => Access::Platform,
    };
    // Platforms call a container by names of their own. On this machine alone a name still has to be one of ours.
    if args.access == AccessArg::Platform && !config.bound.ip().is_loopback() {
        config.allowed_hosts.push("*".to_owned());
    }
    config.default_model.clone_from(&args.default_model);
    config.vertex_health_route.clone_from(&around.health_route);
    config.vertex_predict_route.clone_from(&around.predict_route);
    config.vertex_deployed_model_id.clone_from(&around.deployed_model_id);
}
